"""known_hosts as ssh writes it, hashed and not, checked against ssh-keygen itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strandline_fleet import known_hosts

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA"
NAMES = ["ams1", "ams10", "[192.0.2.10]:20022", "192.0.2.11", "[2001:db8::1]:20022"]
PORTS = [20022]


@pytest.fixture(params=["as it is", "hashed"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A known_hosts with all the names, as it is or as `ssh-keygen -H` hashes it."""
    path = tmp_path / "known_hosts"
    path.write_text("".join(f"{name} {KEY}\n" for name in NAMES))
    if request.param == "hashed":
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
        assert "ams1" not in path.read_text()
    return path


def knows(path: Path, name: str) -> bool:
    """Whether ssh finds the name there."""
    return subprocess.run(["ssh-keygen", "-F", name, "-f", path], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("gone", "without"),
    [(["ams1"], ["ams1"]), (["192.0.2.10", "2001:db8::1"], ["[192.0.2.10]:20022", "[2001:db8::1]:20022"]), ([], [])],
)
def test_ssh_knows_a_forgotten_host_no_more_and_all_others_still(
    file: Path, gone: list[str], without: list[str]
) -> None:
    file.write_text(known_hosts.forget(file.read_text(), gone, PORTS))
    assert [name for name in NAMES if not knows(file, name)] == without


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        ("192.0.2.10", "192.0.2.99", "[192.0.2.10]:20022", "[192.0.2.99]:20022"),
        ("192.0.2.11", "192.0.2.99", "192.0.2.11", "192.0.2.99"),
        ("2001:db8::1", "2001:db8::99", "[2001:db8::1]:20022", "[2001:db8::99]:20022"),
    ],
)
def test_ssh_knows_a_renumbered_host_by_its_new_address_alone(
    file: Path, old: str, new: str, before: str, after: str
) -> None:
    hashed = "|1|" in file.read_text()
    file.write_text(known_hosts.rename(file.read_text(), old, new, PORTS))
    assert knows(file, after)
    assert not knows(file, before)
    assert all(knows(file, name) for name in NAMES if name != before)
    assert (new not in file.read_text()) is hashed


def test_a_line_with_several_names_loses_only_the_one() -> None:
    assert known_hosts.forget(f"ams1,192.0.2.10,[ams1]:2222 {KEY}\n", ["ams1"]) == f"192.0.2.10 {KEY}\n"


def test_markers_and_comments_stay_where_they_are() -> None:
    text = f"# ams1 is ours\n@revoked ams1 {KEY}\n\n@cert-authority *.example.org {OTHER} ca\nams1 {KEY} note\n"
    assert known_hosts.forget(text, ["ams1"]) == text.replace(f"\nams1 {KEY} note", "")


def test_two_lines_that_become_one_are_one() -> None:
    text = f"192.0.2.10 {KEY}\n192.0.2.99 {KEY}\n192.0.2.99 {OTHER}\n"
    assert known_hosts.rename(text, "192.0.2.10", "192.0.2.99") == f"192.0.2.99 {KEY}\n192.0.2.99 {OTHER}\n"


@pytest.mark.parametrize("entry", ["|1|", "|1|x|y", "|1|!!|", "|2|a|b|c", "|"])
def test_what_only_looks_hashed_is_a_name_like_any_other(entry: str) -> None:
    text = f"{entry} {KEY}\n"
    assert known_hosts.forget(text, ["ams1"]) == text
    assert known_hosts.rename(text, "ams1", "ams2") == text


@given(st.text())
def test_any_text_without_the_name_stays_as_it_is(text: str) -> None:
    """Lines that stand there twice are one line; nothing else changes."""
    changed = known_hosts.forget(text, ["no-such-host"], PORTS)
    assert set(changed.splitlines()) <= set(text.splitlines()) | {","}
    assert known_hosts.forget(changed, ["no-such-host"], PORTS) == changed


@pytest.mark.parametrize(
    ("scans", "state"),
    [
        ([f"192.0.2.9 {KEY}\n"], "same"),
        (["", f"# 192.0.2.9:22 SSH-2.0-OpenSSH\n192.0.2.9 {OTHER}\n"], "other"),
        ([f"192.0.2.9 {OTHER}\n", f"192.0.2.9 {KEY}\n"], "other"),
        ([f"192.0.2.9 ssh-rsa AAAA\n192.0.2.9 {KEY}\n"], "same"),
        (["192.0.2.9 ssh-rsa AAAA\n"], "other"),
        (["", ""], "silent"),
    ],
)
def test_a_host_is_recognised_by_its_key(file: Path, scans: list[str], state: str) -> None:
    assert known_hosts.recognise(file.read_text(), "ams1", scans)["state"] == state


def test_a_host_that_is_not_known_is_said_to_be_so(file: Path) -> None:
    said = known_hosts.recognise(file.read_text(), "sin1", [f"192.0.2.9 {KEY}\n"])
    assert (said["state"], said["known"]) == ("unknown", [])


def test_fingerprints_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_text(f"{KEY}\n")
    done = subprocess.run(["ssh-keygen", "-l", "-f", path], check=True, capture_output=True, text=True)
    assert known_hosts.fingerprint(KEY.split()[1]) == done.stdout.split()[1]
