"""The hosts that an operator's names stand for."""

from __future__ import annotations

import pytest
from strandline_fleet.errors import Refusal
from strandline_fleet.targets import hosts_of, unmatched, words

GROUPS = {
    "all": ["ams1", "sin1", "scl1", "collector1", "www1", "builder"],
    "sensors": ["ams1", "sin1", "scl1"],
    "provider_alder": ["ams1", "sin1"],
    "provider_birch": ["scl1"],
    "collectors": ["collector1"],
    "publishers": ["www1"],
    "builders": ["builder"],
    "provider_empty": [],
}


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("", ["ams1", "sin1", "scl1", "collector1", "www1"]),
        (None, ["ams1", "sin1", "scl1", "collector1", "www1"]),
        ("sin1", ["sin1"]),
        ("scl1,ams1", ["ams1", "scl1"]),
        ("scl1, ams1 ams1", ["ams1", "scl1"]),
        (["scl1", "alder"], ["ams1", "sin1", "scl1"]),
        ("provider_birch", ["scl1"]),
        ("collectors,www1", ["collector1", "www1"]),
    ],
)
def test_names_become_hosts_in_the_inventorys_order(target: str | list[str] | None, found: list[str]) -> None:
    assert hosts_of(GROUPS, target) == found


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("sinn1", "sinn1 is no host, provider or group.*Did you mean sin1"),
        ("aldr", "Did you mean alder"),
        ("builder", "builder is no host of sensors or collectors or publishers"),
        ("empty", "empty is no host, provider or group with a host in it|with a host in"),
        ("ams1,nothing-like-it", "nothing-like-it is no host.*There are: ams1, sin1"),
        ("*", r"\* is no host"),
    ],
)
def test_an_unknown_name_is_an_error_and_not_an_empty_target(target: str, said: str) -> None:
    with pytest.raises(Refusal, match=said):
        hosts_of(GROUPS, target)


def test_a_host_of_another_function_is_refused_by_a_verb_for_sensors() -> None:
    with pytest.raises(Refusal, match="www1 is no host of sensors of this inventory"):
        hosts_of(GROUPS, "www1", ["sensors"])


def test_words_come_from_a_text_or_a_list() -> None:
    assert words(" a,b  c,,a ") == ["a", "b", "c"]
    assert words(["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("patterns", "wrong"),
    [
        (["ams1", "!scl1", "&sensors", "all", "localhost"], []),
        (["ams*", "s?n1", "sensors[0]", "collectors[0:1]", "~am.*", "@file"], []),
        (["ams2"], ["ams2"]),
        (["!ams2", "ams1"], ["ams2"]),
        (["nosuch*"], ["nosuch*"]),
    ],
)
def test_patterns_of_a_limit_that_match_nothing_are_found(patterns: list[str], wrong: list[str]) -> None:
    assert unmatched(patterns, GROUPS) == wrong
