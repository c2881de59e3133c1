"""What ./strandline onboard does before and after Ansible: names, passwords, who must learn of the new host."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
import yaml

from strandline_cli.errors import Refusal
from strandline_cli.fleet import listing, onboard
from strandline_cli.fleet.listing import Entry

LISTING = {
    "sensors": {"children": ["provider_alder"]},
    "provider_alder": {"hosts": ["ams1", "sin1"]},
    "collectors": {"hosts": ["collector1"]},
    "publishers": {"hosts": ["www1"]},
    "builders": {"hosts": ["builder"]},
    "_meta": {
        "hostvars": {
            "ams1": {"addresses": ["192.0.2.11", "192.0.2.12"], "fleet_admin_port": 2222},
            "sin1": {"addresses": ["192.0.2.21"], "fleet_admin_port": "{{ port }}"},
            "collector1": {"addresses": ["192.0.2.1"]},
            "www1": {"addresses": ["192.0.2.2"]},
        }
    },
}


@pytest.fixture
def hosts() -> dict[str, Entry]:
    return listing.entries(LISTING)


def test_leased_hosts_are_those_with_a_function(hosts: dict[str, Entry]) -> None:
    assert list(hosts) == ["ams1", "sin1", "collector1", "www1"]
    assert hosts["ams1"] == Entry("ams1", "sensors", ("192.0.2.11", "192.0.2.12"), 2222)
    assert hosts["sin1"].admin_port == 20022


def test_hosts_are_chosen_by_name_once(hosts: dict[str, Entry]) -> None:
    assert [entry.name for entry in listing.chosen(hosts, ["sin1", "ams1", "sin1"])] == ["sin1", "ams1"]
    assert [entry.name for entry in listing.chosen(hosts, [], ["sensors"])] == ["ams1", "sin1"]


@pytest.mark.parametrize("name", ["ams2", "builder"])
def test_a_name_that_is_none_is_refused_with_those_there_are(hosts: dict[str, Entry], name: str) -> None:
    with pytest.raises(Refusal, match=rf"{name} is no host .*ams1, sin1, collector1, www1"):
        listing.chosen(hosts, [name])


def test_a_collector_has_no_listeners_for_a_canary(hosts: dict[str, Entry]) -> None:
    with pytest.raises(Refusal, match="collector1 is no host of sensors"):
        listing.chosen(hosts, ["collector1"], ["sensors"])


def test_arguments_are_hosts_up_to_the_first_option() -> None:
    assert onboard.divide(["ams1", "sin1", "-e", "x=1"]) == (["ams1", "sin1"], ["-e", "x=1"])
    assert onboard.divide(["--check"]) == ([], ["--check"])


def test_collectors_and_publishers_learn_of_the_new_host_and_other_sensors_do_not(hosts: dict[str, Entry]) -> None:
    named = listing.chosen(hosts, ["sin1"])
    assert onboard.limit(hosts, named, packages=True) == "sin1,collector1,www1"
    assert onboard.limit(hosts, named, packages=False) == "sin1,collector1,www1,builders"
    assert onboard.limit(hosts, listing.chosen(hosts, ["collector1"]), packages=True) == "collector1,www1"


def test_packages_are_there_when_both_were_built(cache: Path) -> None:
    assert not onboard.packages_there()
    for name in ("openssh", "bind"):
        (cache / "packages" / f"{name}-current").mkdir(parents=True)
        (cache / "packages" / f"{name}-current" / "manifest.json").touch()
    assert onboard.packages_there()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRANDLINE_CACHE", str(tmp_path))
    return tmp_path


def test_one_password_for_all_or_one_for_each() -> None:
    assert onboard.passwords_of("secret\n", ["a", "b"]) == {"a": "secret", "b": "secret"}
    assert onboard.passwords_of("one\n two \n", ["a", "b"]) == {"a": "one", "b": " two "}


@pytest.mark.parametrize("text", ["", "\n", "one\ntwo\n", "one\n\nthree\n"])
def test_passwords_of_another_number_are_refused(text: str) -> None:
    with pytest.raises(Refusal, match="3 hosts"):
        onboard.passwords_of(text, ["a", "b", "c"])


def test_without_a_terminal_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(Refusal, match="--password-file"):
        onboard.ask(["ams1"])


class Tagged(yaml.SafeLoader):
    """A loader that shows which strings are not to be taken for templates."""


Tagged.add_constructor("!unsafe", lambda _loader, node: ("unsafe", node.value))


@pytest.mark.parametrize(
    "word", ["simple", "{{ 7 * 7 }}", "\"quo'te\\", "a: b # c", "pässwörd 🔑", "\t!unsafe", "yes", "0x1f"]
)
def test_a_password_reaches_ansible_as_it_is(word: str) -> None:
    read = yaml.load(onboard.vars_text({"ams1": word}), Loader=Tagged)  # noqa: S506 - a safe loader
    assert read == {"onboard_passwords": {"ams1": ("unsafe", word)}}


def test_no_password_is_a_vars_file_too() -> None:
    assert yaml.safe_load(onboard.vars_text({})) == {"onboard_passwords": {}}


def test_the_vars_file_is_ours_alone_and_goes_away() -> None:
    with onboard.vars_file({"ams1": "secret"}) as file:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        directory = file.parent
    assert not directory.exists()


def test_the_vars_file_goes_away_when_the_run_is_interrupted() -> None:
    with pytest.raises(KeyboardInterrupt), onboard.vars_file({"ams1": "secret"}) as file:
        raise KeyboardInterrupt
    assert not file.exists()


def test_what_a_killed_run_left_goes_and_what_another_one_needs_stays(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    left, needed = (tmp_path / f"{onboard.PREFIX}{number}-x" for number in (ended.pid, os.getpid()))
    for directory in (left, needed):
        directory.mkdir()
        (directory / "passwords.yml").touch()
    onboard.remove_leftovers(tmp_path)
    assert not left.exists()
    assert needed.exists()
