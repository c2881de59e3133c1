"""Providers that are renamed or bought: hosts, comments, variables, former leases and history follow."""

from __future__ import annotations

import dataclasses
import datetime as dt
import shutil
from pathlib import Path

import pytest
from strandline_fleet import journal
from strandline_fleet.due import last_day_to_cancel
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import edit
from strandline_fleet.inventory.former import former_leases
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Fleet
from strandline_fleet.inventory.providers import mentions, merged, renamed
from strandline_fleet.journal import Kind

ROOT = Path(__file__).resolve().parents[2]
TODAY = dt.date(2026, 11, 28)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the example, in which a lease of birch's has ended."""
    directory = Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))
    birch = directory / "providers" / "birch.yml"
    birch.write_text(
        birch.read_text()
        + """        # Slow, but alone in its /8.
        scl2:
          addresses: [203.0.113.31]
          place: {city: Santiago, country: CL, continent: SA}
          lease: {plan: micro, price: 30.00, currency: USD, period: year, renews: 2027-08-15, status: active}
        scl3:
          addresses: [203.0.113.32]
          place: {city: Santiago, country: CL, continent: SA}
          lease: {plan: micro, price: 30.00, currency: USD, period: year, renews: 2027-08-15, status: active}
"""
    )
    fleet = load(directory, TODAY)
    edit.apply(edit.retire_hosts(fleet, [each for each in fleet.hosts() if each.name == "scl2"], TODAY, "dear"))
    return directory


def whole(inventory: Path) -> Fleet:
    """The fleet, of an inventory without mistakes."""
    fleet = load(inventory, TODAY)
    assert fleet.problems == ()
    return fleet


def test_a_rename_moves_the_file_and_keeps_every_other_line(inventory: Path) -> None:
    before = (inventory / "providers" / "birch.yml").read_text()
    (inventory / "group_vars" / "provider_birch.yml").write_text("---\nonboard_user: debian\n")
    renamed(load(inventory, TODAY), "birch", "elm", "Elm Cloud", TODAY).apply()
    assert not (inventory / "providers" / "birch.yml").exists()
    after = (inventory / "providers" / "elm.yml").read_text()
    note = "          formerly: [{name: Birch Servers, group: birch, until: 2026-11-28}]\n"
    assert after.replace(note, "") == before.replace("provider_birch", "provider_elm").replace(
        "name: Birch Servers", "name: Elm Cloud"
    )
    assert note in after
    assert (inventory / "group_vars" / "provider_elm.yml").read_text() == "---\nonboard_user: debian\n"
    assert not (inventory / "group_vars" / "provider_birch.yml").exists()
    fleet = whole(inventory)
    assert {host.name: host.provider for host in fleet.hosts()}["scl1"] == "provider_elm"
    assert [(lease.host, lease.provider, lease.group) for lease in former_leases(inventory)] == [
        ("scl2", "Elm Cloud", "elm")
    ]
    (entry,) = journal.read(inventory)["elm"]
    assert (entry.kind, entry.day, entry.text) == (Kind.NAME, TODAY, "Birch Servers is called Elm Cloud now")
    assert not renamed(fleet, "birch", "elm", "Elm Cloud", TODAY)


def test_without_a_name_only_the_short_one_changes(inventory: Path) -> None:
    renamed(load(inventory, TODAY), "birch", "elm", "", TODAY).apply()
    assert [provider.name for provider in whole(inventory).providers] == ["Alder Hosting", "Birch Servers"]


def test_a_second_rename_adds_to_the_history(inventory: Path) -> None:
    renamed(load(inventory, TODAY), "birch", "elm", "Elm Cloud", TODAY).apply()
    renamed(load(inventory, TODAY), "elm", "fir", "Fir", TODAY).apply()
    merged(load(inventory, TODAY), "fir", "alder", TODAY).apply()
    alder = whole(inventory).providers[0]
    assert [each["group"] for each in alder.details["formerly"]] == ["birch", "elm", "fir"]
    assert [lease.group for lease in former_leases(inventory)] == ["alder"]
    assert [path.name for path in (inventory / "journal").iterdir()] == ["alder.yml"]
    assert [entry.text for entry in journal.read(inventory)["alder"]] == [
        "Birch Servers is called Elm Cloud now", "Elm Cloud is called Fir now", "Alder Hosting bought Fir",
    ]  # fmt: skip


def test_a_merge_moves_the_hosts_with_what_held_for_them(inventory: Path) -> None:
    birch = inventory / "providers" / "birch.yml"
    birch.write_text(
        birch.read_text()
        .replace("      vars:\n", "      vars:\n        onboard_user: debian\n")
        .replace(
            "          payment: paypal\n",
            "          payment: paypal\n          auto_renew: false\n          cancel_days: 7\n",
        )
    )
    before = load(inventory, TODAY)
    entries = {host.name: (host.addresses, host.place, host.lease) for host in before.hosts()}
    days = {host.name: last_day_to_cancel(host, provider) for provider in before.providers for host in provider.hosts}
    merged(load(inventory, TODAY), "birch", "alder", TODAY).apply()
    assert not birch.exists()
    fleet = whole(inventory)
    assert [(host.name, host.provider) for host in fleet.hosts()] == [
        (name, "provider_alder") for name in ("ams1", "sin1", "scl1", "scl3")
    ]
    for host in fleet.hosts():
        addresses, place, lease = entries[host.name]
        assert (host.addresses, host.place) == (addresses, place)
        assert dataclasses.replace(host.lease, cancel_days=lease.cancel_days) == lease
        assert last_day_to_cancel(host, fleet.providers[0]) == days[host.name]
    text = (inventory / "providers" / "alder.yml").read_text()
    assert text.count("onboard_user: debian") == 2
    assert text.count("auto_renew: false, cancel_days: 7}") == 2
    assert "# Retiring a vanished provider takes this one file away." in text
    assert [each["name"] for each in fleet.providers[0].details["formerly"]] == ["Birch Servers"]
    assert [lease.provider for lease in former_leases(inventory)] == ["Alder Hosting"]
    assert not merged(fleet, "birch", "alder", TODAY)


def test_where_the_former_group_stands_is_named(inventory: Path) -> None:
    central = inventory / "central.yml"
    central.write_text(f"{central.read_text()}\nslow:\n  children:\n    provider_birch:\n")
    line = len(central.read_text().splitlines())
    planned = renamed(load(inventory, TODAY), "birch", "elm", "", TODAY)
    assert list(mentions(load(inventory, TODAY), "birch", planned.sources)) == [f"{central}:{line}"]


@pytest.mark.parametrize(
    ("verb", "old", "new", "message"),
    [
        ("rename", "cedar", "elm", "no provider 'cedar'.*Known are alder, birch"),
        ("merge", "cedar", "alder", "no provider 'cedar'.*Known are alder, birch"),
        ("rename", "birch", "alder", r"alder is a provider already, in .*alder\.yml\..*provider merge birch alder"),
        ("merge", "birch", "elm", "no provider 'elm' to merge birch into.*provider rename birch elm"),
        ("rename", "birch", "../elm", "'../elm' is no provider's short name"),
        ("merge", "birch", "birch", "are the same provider"),
    ],
)
def test_what_can_not_be_is_refused(inventory: Path, verb: str, old: str, new: str, message: str) -> None:
    fleet = load(inventory, TODAY)
    with pytest.raises(Refusal, match=message):
        _ = renamed(fleet, old, new, "", TODAY) if verb == "rename" else merged(fleet, old, new, TODAY)


def test_a_variable_that_would_reach_other_hosts_is_refused(inventory: Path) -> None:
    alder = inventory / "providers" / "alder.yml"
    alder.write_text(alder.read_text().replace("      vars:\n", "      vars:\n        onboard_port: 2222\n"))
    with pytest.raises(Refusal, match=r"alder\.yml: vars\.onboard_port would hold for Birch Servers's hosts too"):
        merged(load(inventory, TODAY), "birch", "alder", TODAY)
    alder.write_text(alder.read_text().replace("        onboard_port: 2222\n", ""))
    (inventory / "group_vars" / "provider_birch.yml").write_text("---\nonboard_user: debian\n")
    with pytest.raises(Refusal, match=r"provider_birch\.yml holds variables of birch's hosts"):
        merged(load(inventory, TODAY), "birch", "alder", TODAY)
