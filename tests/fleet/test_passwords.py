"""The providers' passwords: one for all hosts, or one for each in the order in which they are named."""

from __future__ import annotations

import pytest
from strandline_fleet.errors import Refusal
from strandline_fleet.passwords import host_passwords

GROUPS = {"sensors": ["ams1", "sin1", "scl1"], "provider_alder": ["ams1", "sin1"], "provider_birch": ["scl1"]}


@pytest.mark.parametrize(
    ("text", "target", "passwords"),
    [
        ("secret\n", "ams1,sin1", {"ams1": "secret", "sin1": "secret"}),
        ("one\n two \n", ["sin1", "ams1"], {"sin1": "one", "ams1": " two "}),
        ("one\ntwo\nthree", "birch alder", {"scl1": "one", "ams1": "two", "sin1": "three"}),
        ("{{ $x }}", "ams1", {"ams1": "{{ $x }}"}),
    ],
)
def test_one_password_for_all_or_one_for_each(text: str, target: str | list[str], passwords: dict[str, str]) -> None:
    assert host_passwords(text, target, GROUPS) == passwords


@pytest.mark.parametrize("text", ["", "\n", "one\ntwo\n", "one\n\nthree\n"])
def test_passwords_of_another_number_are_refused_and_not_shown(text: str) -> None:
    with pytest.raises(Refusal, match="3 hosts") as refused:
        host_passwords(text, "ams1,sin1,scl1", GROUPS)
    assert "two" not in str(refused.value)
