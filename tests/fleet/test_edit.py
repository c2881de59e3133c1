"""Changes to an inventory keep what the operator wrote, and can be read back."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest
import yaml as pyyaml
from strandline_fleet.inventory.edit import apply, check, difference, host_entry, retire_hosts
from strandline_fleet.inventory.files import FORMER
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.trees import add_host

from strandline_cli.errors import Refusal

ROOT = Path(__file__).resolve().parents[2]
TODAY = dt.date(2026, 11, 25)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory")
    return tmp_path / "inventory"


def oslo(price: str = "24.00") -> dict[str, object]:
    lease = {"plan": "nano", "price": price, "currency": "USD", "period": "year", "renews": TODAY, "status": "active"}
    return {
        "addresses": ["203.0.113.77"],
        "place": {"city": "Oslo", "country": "NO", "continent": "EU"},
        "lease": lease,
    }


def test_adding_changes_only_the_lines_it_adds(inventory: Path) -> None:
    fleet = load(inventory, TODAY)
    texts = add_host(fleet, "alder", "osl1", host_entry(**oslo()))  # type: ignore[arg-type]
    changed = [line for line in difference(texts).splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == [
        "+        osl1:",
        "+          addresses: [203.0.113.77]",
        '+          place: {city: Oslo, country: "NO", continent: EU}',
        "+          lease: {plan: nano, price: 24.00, currency: USD, period: year, renews: 2026-11-25, status: active}",
    ]
    apply(texts)
    again = load(inventory, TODAY)
    assert again.problems == ()
    assert "osl1" in [host.name for host in again.hosts()]
    # Ansible reads YAML 1.1.
    tree = pyyaml.safe_load((inventory / "providers" / "alder.yml").read_text())
    assert tree["sensors"]["children"]["provider_alder"]["hosts"]["osl1"]["place"]["country"] == "NO"


def test_a_taken_name_and_an_unknown_provider_are_refused(inventory: Path) -> None:
    fleet = load(inventory, TODAY)
    with pytest.raises(Refusal, match=r"ams1 is already a host in .*alder"):
        add_host(fleet, "birch", "ams1", host_entry(**oslo()))  # type: ignore[arg-type]
    with pytest.raises(Refusal, match=r"no provider 'cedar'.*alder, birch"):
        add_host(fleet, "cedar", "osl1", host_entry(**oslo()))  # type: ignore[arg-type]


def test_a_new_provider_gets_a_file_of_its_own(inventory: Path) -> None:
    texts = add_host(load(inventory, TODAY), "cedar", "osl1", host_entry(**oslo()), {"name": "Cedar Hosting"})  # type: ignore[arg-type]
    assert list(texts) == [inventory / "providers" / "cedar.yml"]
    apply(texts)
    again = load(inventory, TODAY)
    assert again.problems == ()
    assert [provider.name for provider in again.providers] == ["Alder Hosting", "Birch Servers", "Cedar Hosting"]


def test_retiring_one_host_leaves_the_other(inventory: Path) -> None:
    fleet = load(inventory, TODAY)
    apply(retire_hosts(fleet, [host for host in fleet.hosts() if host.name == "sin1"], TODAY, "vanished"))
    again = load(inventory, TODAY)
    assert again.problems == ()
    assert [host.name for host in again.hosts()] == ["ams1", "scl1"]
    former = pyyaml.safe_load((inventory / FORMER).read_text())["former_leases"]["sin1"]
    assert former["retired"] == TODAY
    assert former["reason"] == "vanished"
    assert former["provider"] == "Alder Hosting"
    assert former["addresses"] == ["198.51.100.75"]


def test_retiring_a_provider_takes_its_file_away_and_keeps_the_record(inventory: Path) -> None:
    for name in ("birch", "alder"):
        fleet = load(inventory, TODAY)
        leaving = [host for host in fleet.hosts() if host.provider == f"provider_{name}"]
        apply(retire_hosts(fleet, leaving, TODAY, "gave up"))
        assert not (inventory / "providers" / f"{name}.yml").exists()
    text = (inventory / FORMER).read_text()
    assert text.count("# Leases that ended.") == 1
    former = pyyaml.safe_load(text)["former_leases"]
    assert set(former) == {"ams1", "sin1", "scl1"}
    assert former["scl1"]["provider_details"]["payment"] == "paypal"


def test_a_name_leased_again_does_not_overwrite_the_record(inventory: Path) -> None:
    for _ in range(3):
        fleet = load(inventory, TODAY)
        apply(retire_hosts(fleet, [host for host in fleet.hosts() if host.name == "ams1"], TODAY, "moved"))
        fleet = load(inventory, TODAY)
        apply(add_host(fleet, "alder", "ams1", host_entry(**oslo())))  # type: ignore[arg-type]
    assert len(pyyaml.safe_load((inventory / FORMER).read_text())["former_leases"]) == 3


def test_a_wrong_entry_is_found_before_it_is_written(inventory: Path) -> None:
    fleet = load(inventory, TODAY)
    entry = host_entry(**{**oslo(), "addresses": ["198.51.100.11"]})  # type: ignore[arg-type]
    before = (inventory / "providers" / "birch.yml").read_text()
    problems = check(fleet, add_host(fleet, "birch", "osl1", entry))
    assert len(problems) == 1
    assert "198.51.100.11 belongs to host ams1" in str(problems[0])
    assert str(problems[0]).startswith(f"{inventory}/providers/birch.yml")
    assert (inventory / "providers" / "birch.yml").read_text() == before


def test_nothing_is_written_where_one_of_several_files_can_not_be(tmp_path: Path) -> None:
    first, blocked = tmp_path / "first.yml", tmp_path / "file"
    first.write_text("before\n")
    blocked.write_text("no folder\n")
    with pytest.raises(OSError, match=str(blocked)):
        apply({first: "after\n", blocked / "second.yml": "after\n"})
    assert first.read_text() == "before\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "first.yml"]
