"""Addresses that come, go, and change by whole ranges."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest
from strandline_fleet import journal
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.addresses import added, pairs_of, removed, renumbered
from strandline_fleet.inventory.load import load
from strandline_fleet.journal import Entry, Kind

ROOT = Path(__file__).resolve().parents[2]
TODAY = dt.date(2026, 11, 28)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the example with host keys."""
    directory = Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))
    (directory / "known_hosts").write_text("198.51.100.11 ssh-ed25519 AAAA\n[198.51.100.12]:20022 ssh-ed25519 BBBB\n")
    return directory


def addresses(inventory: Path) -> dict[str, tuple[str, ...]]:
    """Every host's addresses, of an inventory without mistakes."""
    fleet = load(inventory, TODAY)
    assert fleet.problems == ()
    return {host.name: host.addresses for host in fleet.hosts()}


def pairs(inventory: Path, text: str) -> Path:
    """A file of pairs."""
    path = inventory.parent / "pairs"
    path.write_text(text)
    return path


def test_a_range_and_single_addresses_change_in_one_run(inventory: Path) -> None:
    path = pairs(inventory, "# moved\n198.51.100.8/29 203.0.113.8/29\n203.0.113.22, 198.51.100.99  # alone\n")
    moved = renumbered(load(inventory, TODAY), path, [22, 20022])
    said = [(move.host, move.old, move.new) for move in moved.moves]
    assert said == [
        ("ams1", "198.51.100.11", "203.0.113.11"),
        ("ams1", "198.51.100.12", "203.0.113.12"),
        ("scl1", "203.0.113.22", "198.51.100.99"),
    ]
    moved.change.apply()
    assert addresses(inventory) == {
        "ams1": ("203.0.113.11", "203.0.113.12"),
        "sin1": ("198.51.100.75",),
        "scl1": ("203.0.113.21", "198.51.100.99"),
    }
    assert (inventory / "known_hosts").read_text() == (
        "203.0.113.11 ssh-ed25519 AAAA\n[203.0.113.12]:20022 ssh-ed25519 BBBB\n"
    )
    entries = [
        Entry("alder", TODAY, Kind.ADDRESS, "198.51.100.11 became 203.0.113.11", "ams1"),
        Entry("alder", TODAY, Kind.ADDRESS, "198.51.100.12 became 203.0.113.12", "ams1"),
    ]
    birch = [Entry("birch", TODAY, Kind.ADDRESS, "203.0.113.22 became 198.51.100.99", "scl1")]
    assert journal.read(inventory) == {"alder": entries, "birch": birch}
    again = renumbered(load(inventory, TODAY), path)
    assert not again.change
    assert [(move.host, move.old, move.new) for move in again.moves] == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no pairs in it. Write OLD NEW"),
        ("198.51.100.11\n", r"pairs:1: the line has 1 words; write OLD NEW"),
        ("\n198.51.100.11 203.0.113.x\n", r"pairs:2: '203.0.113.x' is neither an address nor a network"),
        ("198.51.100.1/24 203.0.113.0/24\n", r"pairs:1: '198.51.100.1/24' is neither"),
        ("198.51.100.0/24 203.0.113.0/28\n", r"pairs:1: 198.51.100.0/24 and 203.0.113.0/28 are not of one size"),
        ("198.51.100.11 2001:db8::1\n", "are not of one size"),
        ("198.51.100.11 198.51.100.11\n", "overlap"),
        ("198.51.100.11 203.0.113.1\n198.51.100.0/28 203.0.113.16/28\n", r":2: .*/28 \(old\) overlaps .*line 1"),
        ("198.51.100.11 198.51.100.12\n198.51.100.12 198.51.100.11\n", r":2: .*overlaps.*; .*take two runs"),
        ("198.51.100.55 203.0.113.1\n", r"pairs:1: no host of .* has 198.51.100.55, nor 203.0.113.1 in its place"),
        ("198.51.100.96/29 203.0.113.96/29\n", r"pairs:1: no host of .* has an address of 198.51.100.96/29"),
        ("198.51.100.11 198.51.100.75\n", "(?s)Nothing was written.*belongs to host"),
        ("198.51.100.11 192.168.0.1\n", "(?s)Nothing was written.*private or reserved"),
        ("198.51.100.11 198.51.100.12\n", r"ams1 has both .*./strandline address remove ams1 198.51.100.11"),
    ],
)
def test_a_mistake_in_the_pairs_is_told_at_its_line(inventory: Path, text: str, message: str) -> None:
    before = addresses(inventory)
    with pytest.raises(Refusal, match=message):
        renumbered(load(inventory, TODAY), pairs(inventory, text))
    assert addresses(inventory) == before


def test_a_hundred_pairs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "pairs"
    path.write_text("".join(f"198.51.100.{n} 203.0.113.{n}\n" for n in range(100)))
    assert len(pairs_of(path)) == 100


def test_addresses_come_behind_those_that_are_there_and_go_with_their_keys(inventory: Path) -> None:
    added(load(inventory, TODAY), "ams1", ["203.0.113.50", "203.0.113.51"]).apply()
    assert addresses(inventory)["ams1"] == ("198.51.100.11", "198.51.100.12", "203.0.113.50", "203.0.113.51")
    assert not added(load(inventory, TODAY), "ams1", ["203.0.113.51"])
    removed(load(inventory, TODAY), "ams1", ["198.51.100.11", "203.0.113.50"], [22, 20022]).apply()
    assert addresses(inventory)["ams1"] == ("198.51.100.12", "203.0.113.51")
    assert (inventory / "known_hosts").read_text() == "[198.51.100.12]:20022 ssh-ed25519 BBBB\n"
    assert not removed(load(inventory, TODAY), "ams1", ["198.51.100.11"])
    entries = journal.read(inventory)["alder"]
    assert [(entry.kind, entry.host, entry.text) for entry in entries] == [
        (Kind.NOTE, "ams1", "has 203.0.113.50, 203.0.113.51 too"),
        (Kind.NOTE, "ams1", "has 198.51.100.11, 203.0.113.50 no more"),
    ]
    assert not journal.incidents(entries, TODAY)


@pytest.mark.parametrize(
    ("name", "gone", "message"),
    [
        (
            "ams1",
            ["198.51.100.11", "198.51.100.12"],
            r"alder\.yml: addresses: all of them would go.*retire -i INVENTORY ams1",
        ),
        ("ams1", ["198.51.100.75"], "198.51.100.75 is no address of ams1 but another host's"),
        ("ams9", ["198.51.100.75"], "ams9 is no host in"),
        ("ams1", ["198.51.100"], "is no IP address"),
    ],
)
def test_what_can_not_go_is_refused(inventory: Path, name: str, gone: list[str], message: str) -> None:
    with pytest.raises(Refusal, match=message):
        removed(load(inventory, TODAY), name, gone)


@pytest.mark.parametrize("text", ["198.51.100.75", "10.0.0.1", "203.0.113.0/24"])
def test_what_can_not_come_is_refused(inventory: Path, text: str) -> None:
    with pytest.raises(Refusal, match=r"belongs to host|private or reserved|no IP address"):
        added(load(inventory, TODAY), "ams1", [text])
