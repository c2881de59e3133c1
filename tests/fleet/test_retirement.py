"""Who is retired, what the fleet loses by it, and what stays behind on this machine."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import change, edit, retirement
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Fleet

from filter_plugins.retirement_table import retirement_table
from tests.generate_fleet import write_fleet

EXAMPLE = Path(__file__).resolve().parents[2] / "inventory" / "example"
TODAY = dt.date(2026, 11, 25)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    shutil.copytree(EXAMPLE, tmp_path / "inventory")
    return load(tmp_path / "inventory", TODAY)


def move(fleet: Fleet, *names: str) -> Fleet:
    """Retire hosts as far as the inventory's entries go."""
    edit.apply(edit.retire_hosts(fleet, [host for host in fleet.hosts() if host.name in names], TODAY, "gone"))
    return load(fleet.directory, TODAY)


def retire(fleet: Fleet, *names: str) -> change.Change:
    """What retiring hosts would change."""
    leaving, _ = retirement.chosen(fleet, names)
    return change.retired(fleet, leaving, retirement.out_of_service(fleet), TODAY, "gone", [22, 20022])


def test_a_provider_stands_for_its_hosts_each_once(fleet: Fleet) -> None:
    hosts, moved = retirement.chosen(fleet, ["alder", "ams1", "scl1", "provider_birch"])
    assert ([host.name for host in hosts], moved) == (["ams1", "sin1", "scl1"], [])


@pytest.mark.parametrize("name", ["elder", "collector1"])
def test_an_unknown_name_is_refused_with_the_providers_there_are(fleet: Fleet, name: str) -> None:
    with pytest.raises(Refusal, match=rf"{name} is no leased host and no provider .* alder, birch"):
        retirement.chosen(fleet, [name])


@pytest.mark.parametrize("name", ["scl1", "birch", "Birch Servers"])
def test_a_run_that_was_stopped_after_the_inventory_had_changed_carries_on(fleet: Fleet, name: str) -> None:
    assert retirement.chosen(move(fleet, "scl1"), [name]) == ([], ["scl1"])


def test_what_went_before_of_a_provider_is_not_named_but_made_complete(fleet: Fleet) -> None:
    left = move(fleet, "sin1")
    hosts, moved = retirement.chosen(left, ["alder"])
    assert ([host.name for host in hosts], moved) == (["ams1"], [])
    assert [lease.name for lease in retirement.out_of_service(left)] == ["sin1"]


def test_a_name_that_was_leased_again_is_in_service(fleet: Fleet) -> None:
    text = (fleet.directory / "providers" / "birch.yml").read_text()
    move(fleet, "scl1")
    (fleet.directory / "providers" / "birch.yml").write_text(text)
    again = load(fleet.directory, TODAY)
    hosts, moved = retirement.chosen(again, ["scl1"])
    assert ([host.name for host in hosts], moved) == (["scl1"], [])
    assert retirement.out_of_service(again) == []


def test_the_table_says_what_the_fleet_loses(fleet: Fleet) -> None:
    hosts, _ = retirement.chosen(fleet, ["ams1", "scl1"])
    text = retirement_table(retirement.losses(fleet, hosts), retirement.currency(fleet), ["scl1"])
    lines = {line.split()[0]: line for line in text.splitlines()}
    assert "none" in lines["ams1"]  # sin1 is in the same /8
    assert "trust ends" in lines["ams1"]
    assert " 203 " in lines["scl1"]
    assert "30.00" in lines["scl1"]
    assert "is wiped" in lines["scl1"]
    assert "USD a year" in lines["host"]
    assert max(map(len, text.splitlines())) <= 80


def test_certificates_and_host_keys_go_and_file_modes_stay(fleet: Fleet) -> None:
    certificates = fleet.directory / "certificates"
    certificates.mkdir()
    for name in ("ams1.pem", "ams1.next.pem", "ams10.pem"):
        (certificates / name).touch()
    known = fleet.directory / "known_hosts"
    known.write_text("ams1 ssh-ed25519 AAAA\n[198.51.100.11]:20022 ssh-ed25519 AAAA\nams10 ssh-ed25519 BBBB\n")
    known.chmod(0o600)
    retire(fleet, "ams1").apply()
    assert [path.name for path in certificates.iterdir()] == ["ams10.pem"]
    assert known.read_text() == "ams10 ssh-ed25519 BBBB\n"
    assert known.stat().st_mode & 0o777 == 0o600


def test_a_run_that_was_stopped_before_it_forgot_them_is_made_complete(fleet: Fleet) -> None:
    (fleet.directory / "certificates").mkdir()
    certificate = fleet.directory / "certificates" / "scl1.pem"
    certificate.touch()
    known = fleet.directory / "known_hosts"
    known.write_text("[203.0.113.21]:20022 ssh-ed25519 AAAA\n")
    left = move(fleet, "scl1")
    retire(left, "ams1").apply()
    assert not certificate.exists()
    assert known.read_text() == ""
    again = load(fleet.directory, TODAY)
    assert not retire(again, "ams1")


def test_an_address_that_another_host_has_by_now_keeps_its_key(fleet: Fleet) -> None:
    left = move(fleet, "scl1")
    edit.apply(edit.renumber_host(left, next(left.hosts()), "198.51.100.11", "203.0.113.21"))
    known = fleet.directory / "known_hosts"
    known.write_text("203.0.113.21 ssh-ed25519 AAAA\n")
    retire(load(fleet.directory, TODAY), "scl1").apply()
    assert known.read_text() == "203.0.113.21 ssh-ed25519 AAAA\n"


def test_hosts_that_stay_and_are_not_known_here_are_named(fleet: Fleet) -> None:
    """Lost certificates would cut off hosts that are in service."""
    (fleet.directory / "certificates").mkdir()
    (fleet.directory / "certificates" / "sin1.pem").touch()
    hosts, _ = retirement.chosen(fleet, ["scl1"])
    assert retirement.unknown_here(fleet, hosts) == ["ams1"]


def test_the_last_provider_may_go(fleet: Fleet) -> None:
    retire(fleet, "alder", "birch").apply()
    again = load(fleet.directory, TODAY)
    assert again.errors == ()
    assert list(again.hosts()) == []
    assert {lease.name for lease in retirement.out_of_service(again)} == {"ams1", "scl1", "sin1"}


def test_a_provider_of_a_large_fleet_is_found_at_once(tmp_path: Path) -> None:
    write_fleet(tmp_path, hosts=100, providers=30, seed=1, today=TODAY)
    fleet = load(tmp_path, TODAY)
    provider = fleet.providers[3]
    hosts, _ = retirement.chosen(fleet, [provider.group])
    assert hosts == list(provider.hosts)
