"""Another address or another host in an inventory: what is written, and what is refused before anything is."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path

import pytest
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import change
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Fleet

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
TODAY = dt.date(2026, 11, 25)
ENTRY = change.Entry(
    name="osl1",
    provider="alder",
    addresses=["198.51.100.77"],
    city="Oslo",
    country="NO",
    plan="nano",
    price="24",
    currency="USD",
    period="year",
    renews="2027-03-01",
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An inventory of two hosts."""
    (tmp_path / "providers").mkdir()
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "providers" / "alder.yml").write_text(PROVIDER)
    (tmp_path / "group_vars" / "all.yml").write_text(SETTINGS)
    (tmp_path / "known_hosts").write_text("ams1 ssh-ed25519 AAAA\n[198.51.100.21]:20022 ssh-ed25519 AAAA\n")
    return tmp_path


def renumber(directory: Path, name: str, old: str, new: str) -> Fleet:
    """Change an address, and read the inventory again."""
    change.renumbered(load(directory), name, old, new).apply()
    return load(directory)


def test_the_address_changes_in_place(directory: Path) -> None:
    fleet = renumber(directory, "ams1", "198.51.100.21", "198.51.100.99")
    text = (directory / "providers" / "alder.yml").read_text()
    assert text == PROVIDER.replace('"198.51.100.21"', '"198.51.100.99"')
    assert change.host_of(fleet, "ams1").addresses == ("198.51.100.99", "198.51.100.22")
    assert "[198.51.100.99]:20022 ssh-ed25519 AAAA" in (directory / "known_hosts").read_text()


def test_a_second_time_nothing_changes(directory: Path) -> None:
    fleet = renumber(directory, "ams1", "198.51.100.21", "198.51.100.99")
    assert not change.renumbered(fleet, "ams1", "198.51.100.21", "198.51.100.99")


def test_host_keys_follow_also_where_a_run_was_stopped_before_them(directory: Path) -> None:
    keys = (directory / "known_hosts").read_text()
    renumber(directory, "ams1", "198.51.100.21", "198.51.100.99")
    (directory / "known_hosts").write_text(keys)
    renumber(directory, "ams1", "198.51.100.21", "198.51.100.99")
    assert "198.51.100.21" not in (directory / "known_hosts").read_text()


def test_where_the_old_address_will_stand_too_is_found(directory: Path) -> None:
    planned = change.renumbered(load(directory), "ams2", "198.51.100.23", "198.51.100.99")
    places = change.mentions(directory, "198.51.100.23", planned.sources)
    assert list(places) == [f"{directory}/providers/alder.yml:19"]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("ams9", "198.51.100.21", "198.51.100.99", "no host in .*there are: ams1, ams2"),
        ("ams1", "198.51.100.55", "198.51.100.99", "none of ams1's addresses"),
        ("ams1", "198.51.100.21", "198.51.100.22", "has both"),
        ("ams1", "198.51.100.21", "198.51.100.23", "Nothing was written"),
        ("ams1", "198.51.100.21", "192.168.1.1", "Nothing was written"),
        ("ams1", "198.51.100.21", "198.51.100.21", "are the same address"),
        ("ams1", "198.51.100", "198.51.100.99", "no IP address"),
    ],
)
def test_what_can_not_be_is_refused(directory: Path, name: str, old: str, new: str, message: str) -> None:
    with pytest.raises(Refusal, match=f"(?s){message}"):
        change.renumbered(load(directory), name, old, new)


@pytest.mark.parametrize("text", ["ams1", "198.51.100", "198.51.100.0/24", ""])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Refusal, match="no IP address"):
        change.address(text)


def test_addresses_are_compared_and_not_their_spelling() -> None:
    assert change.address("2001:DB8::0:1") == "2001:db8::1"


def test_a_copy_does_not_count(directory: Path) -> None:
    """What stands in the certificates' directory or the record of former leases says what was."""
    (directory / "certificates").mkdir()
    shutil.copy(directory / "providers" / "alder.yml", directory / "certificates" / "old.yml")
    assert [where.rpartition(":")[2] for where in change.mentions(directory, "198.51.100.22", {})] == ["12"]


def test_a_host_is_added_once(directory: Path) -> None:
    change.added(load(directory), ENTRY, TODAY).apply()
    added = {host.name: host for host in load(directory).hosts()}["osl1"]
    assert (added.place.country, added.place.continent, added.lease.price) == ("NO", "EU", Decimal(24))
    assert not change.added(load(directory), ENTRY, TODAY)
    with pytest.raises(Refusal, match="osl1 is already a host"):
        change.added(load(directory), dataclasses.replace(ENTRY, price="25"), TODAY)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("country", "XX", r"add_country \(--country\): 'XX' is no country"),
        ("price", "24,00", r"add_price \(--price\): '24,00' is no amount"),
        ("price", "nan", "no amount"),
        ("price", "1e400", "no amount"),
        ("price", "-1", "no amount"),
        ("renews", "2027-02-30", r"add_renews \(--renews\): '2027-02-30' is no date"),
        ("period", "fortnight", r"add_period \(--period\): 'fortnight' is no period"),
        ("currency", "CHF", "there is no rate for 'CHF'"),
        ("provider", "../../x", "no provider's short name"),
        ("provider", "cedar", "There is no provider 'cedar'"),
        ("addresses", ["192.168.1.1"], "private or reserved"),
        ("name", "No", "is no host name"),
    ],
)
def test_a_wrong_field_is_named_with_its_variable_before_anything_is_written(
    directory: Path, field: str, value: str, message: str
) -> None:
    with pytest.raises(Refusal, match=message):
        change.added(load(directory), dataclasses.replace(ENTRY, **{field: value}), TODAY)
    assert (directory / "providers" / "alder.yml").read_text() == PROVIDER


def test_settings_from_a_vault_are_used_for_the_check_of_a_change(directory: Path) -> None:
    settings = {"fleet_currency": "USD", "fleet_allowed_ranges": ["198.51.100.0/24"]}
    (directory / "group_vars" / "all.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    fleet = load(directory, TODAY, settings)
    assert fleet.errors == ()
    assert change.added(fleet, ENTRY, TODAY)
