"""Another address for a host: the inventory's entry, the host keys, and what is refused before anything changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Fleet

from strandline_cli.errors import Refusal
from strandline_cli.fleet import renumber

PROVIDER = """\
---
# Whom we lease from.
sensors:
  children:
    provider_alder:
      vars:
        provider:
          name: Alder Hosting
      hosts:
        ams1:
          # The second one was free.
          addresses: ["198.51.100.21", 198.51.100.22]  # in this order
          place: {city: Amsterdam, country: NL, continent: EU}
          lease: {plan: nano, price: 24.00, currency: USD, period: year, renews: 2036-01-01, status: active}
        ams2:
          addresses: [198.51.100.23]
          place: {city: Amsterdam, country: NL, continent: EU}
          lease: {plan: nano, price: 24.00, currency: USD, period: year, renews: 2036-01-01, status: active}
          listener_ssh_addresses: [198.51.100.23]
"""
SETTINGS = "---\nfleet_currency: USD\nfleet_allowed_ranges: [198.51.100.0/24]\n"
KEYS = """\
ams1 ssh-ed25519 AAAAname
198.51.100.21,gate ssh-ed25519 AAAAplain
[198.51.100.21]:20022 ssh-ed25519 AAAAport
[198.51.100.211]:20022 ssh-ed25519 AAAAother
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An inventory of two hosts."""
    (tmp_path / "providers").mkdir()
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "providers" / "alder.yml").write_text(PROVIDER)
    (tmp_path / "group_vars" / "all.yml").write_text(SETTINGS)
    (tmp_path / "known_hosts").write_text(KEYS)
    return tmp_path


def rewrite(directory: Path, name: str, old: str, new: str) -> Fleet:
    """Rewrite the inventory without a question, and read it again."""
    fleet = load(directory)
    assert not fleet.errors
    renumber.rewrite(fleet, renumber.host_of(fleet, name), old, new, yes=True)
    return load(directory)


def test_the_entry_changes_in_place(directory: Path) -> None:
    fleet = rewrite(directory, "ams1", "198.51.100.21", "198.51.100.99")
    text = (directory / "providers" / "alder.yml").read_text()
    assert text == PROVIDER.replace('"198.51.100.21"', '"198.51.100.99"')
    assert renumber.host_of(fleet, "ams1").addresses == ("198.51.100.99", "198.51.100.22")


def test_a_second_time_nothing_changes(directory: Path) -> None:
    rewrite(directory, "ams1", "198.51.100.21", "198.51.100.99")
    before = {path: path.read_text() for path in directory.rglob("*") if path.is_file()}
    rewrite(directory, "ams1", "198.51.100.21", "198.51.100.99")
    assert {path: path.read_text() for path in directory.rglob("*") if path.is_file()} == before


def test_host_keys_kept_by_address_follow(directory: Path) -> None:
    rewrite(directory, "ams1", "198.51.100.21", "198.51.100.99")
    assert (directory / "known_hosts").read_text() == (
        "ams1 ssh-ed25519 AAAAname\n198.51.100.99,gate ssh-ed25519 AAAAplain\n"
        "[198.51.100.99]:20022 ssh-ed25519 AAAAport\n[198.51.100.211]:20022 ssh-ed25519 AAAAother\n"
    )


def test_where_the_old_address_stands_too_is_said(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewrite(directory, "ams2", "198.51.100.23", "198.51.100.99")
    said = capsys.readouterr().err
    assert f"{directory}/providers/alder.yml:19: 198.51.100.23 stands here too" in said


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("ams9", "198.51.100.21", "198.51.100.99", "no host in .*there are: ams1, ams2"),
        ("ams1", "198.51.100.55", "198.51.100.99", "none of ams1's addresses"),
        ("ams1", "198.51.100.21", "198.51.100.22", "has both"),
        ("ams1", "198.51.100.21", "198.51.100.23", "Nothing was written"),
        ("ams1", "198.51.100.21", "192.168.1.1", "Nothing was written"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_changes(
    directory: Path, name: str, old: str, new: str, message: str
) -> None:
    with pytest.raises(Refusal, match=f"(?s){message}"):
        rewrite(directory, name, old, new)
    assert (directory / "providers" / "alder.yml").read_text() == PROVIDER


@pytest.mark.parametrize("text", ["ams1", "198.51.100", "198.51.100.0/24", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="no IP address"):
        renumber.address(text)


def test_addresses_are_compared_and_not_their_spelling() -> None:
    assert renumber.address("2001:DB8::0:1") == "2001:db8::1"


def test_a_copy_does_not_count(directory: Path) -> None:
    """What stands in the certificates' directory or the record of former leases says what was."""
    (directory / "certificates").mkdir()
    shutil.copy(directory / "providers" / "alder.yml", directory / "certificates" / "old.yml")
    assert not list(renumber.mentions(directory / "certificates", "203.0.113.1"))
    assert [where.rpartition(":")[2] for where in renumber.mentions(directory, "198.51.100.22")] == ["12"]
