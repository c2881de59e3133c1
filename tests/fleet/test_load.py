"""An inventory's mistakes: each is found and named with file, host, field, value and remedy."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pytest
from strandline_fleet.inventory import schema
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Fleet, Severity

from tests.generate_fleet import write_fleet

ROOT = Path(__file__).resolve().parents[2]
TODAY = dt.date(2026, 11, 25)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    write_fleet(tmp_path, hosts=6, providers=2, seed=3, today=TODAY)
    return tmp_path


def first_file(directory: Path) -> Path:
    return min((directory / "providers").glob("*.yml"))


def plant(directory: Path, pattern: str, replacement: str) -> Fleet:
    """Change the first match in the first provider's file and load the inventory."""
    path = first_file(directory)
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"), count=1)
    assert count == 1
    path.write_text(text, encoding="utf-8")
    return load(directory, TODAY)


@pytest.mark.parametrize("name", ["example", "demo"])
def test_our_own_inventories_are_right(name: str) -> None:
    fleet = load(ROOT / "inventory" / name, TODAY)
    assert fleet.problems == ()
    assert len(list(fleet.hosts())) >= 2


def test_the_generated_schema_says_what_catalogue_and_roles_say() -> None:
    """To correct it: ./strandline run env PYTHONPATH=module_utils python -m strandline_fleet.inventory.schema."""
    assert json.loads((schema.DIRECTORY / schema.GENERATED).read_text()) == schema.generated()


def test_a_generated_fleet_is_right(tmp_path: Path) -> None:
    write_fleet(tmp_path, hosts=100, providers=30, seed=1, today=TODAY)
    fleet = load(tmp_path, TODAY)
    assert fleet.problems == ()
    assert len(list(fleet.hosts())) == 100
    assert len(fleet.providers) == 30
    assert {host.place.continent for host in fleet.hosts()} == {"AF", "AS", "EU", "NA", "OC", "SA"}


@pytest.mark.parametrize(
    ("pattern", "replacement", "field", "message", "remedy"),
    [
        (r"lease: ", "laese: ", "laese", "no known key", "'lease'"),
        (r"price: [\d.]+", "price: cheap", "lease.price", "'cheap' is no amount", "24.00"),
        (r"price: [\d.]+", "price: -3", "lease.price", "'-3' is no amount", "24.00"),
        (r"currency: \w+", "currency: CHF", "lease.currency", "no rate for 'CHF'", "fleet_rates"),
        (r", currency: \w+", "", "lease.currency", "is missing", "add it"),
        (r"period: \w+", "period: monht", "lease.period", "'monht' is unknown", "'month'"),
        (
            r"status: active",
            "status: active, earlier: [{until: 2026-01-01, price: low}]",
            "lease.earlier.price",
            "'low' is no amount",
            "24.00",
        ),
        (
            r"status: active",
            "status: active, earlier: [{until: 2026-02-01, price: 2}, {until: 2026-01-01, price: 1}]",
            "lease.earlier",
            "not in order",
            "the oldest first",
        ),
        (r"status: active", "status: active, earlier: 20.00", "lease.earlier", "no list", "the oldest first"),
        (
            r"place: ",
            "fleet_listeners: [ssh, gopher]\n          place: ",
            "fleet_listeners",
            "'gopher' is no",
            "leave it out",
        ),
        (r"place: ", "fleet_listeners: all\n          place: ", "fleet_listeners", "'all' is no list", "[ssh, sip]"),
        (r"renews: [\d-]+", "renews: soon", "lease.renews", "'soon' is no date", "2027-03-01"),
        (r"status: active", "status: actve", "lease.status", "'actve' is unknown", "'active'"),
        (r"country: [^,]+", "country: UK", "place.country", "'UK' is no country", "ISO 3166"),
        (
            r"country: [^,]+, continent: \w+",
            "country: NO, continent: EU",
            "place.country",
            "NO without quotes",
            "in quotes",
        ),
        (
            r"country: [^,]+, continent: \w+",
            "country: JP, continent: EU",
            "place.continent",
            "JP is not in Europe",
            "AS (Asia)",
        ),
        (r"addresses: \[[\d.]+", "addresses: [10.1.2.3", "addresses", "10.1.2.3 is private", "public address"),
        (r"addresses: \[[\d.]+", "addresses: [1.2.3.400", "addresses", "'1.2.3.400' is no IP address", "192.0.2.10"),
        (r"addresses: \[[^\]]+\]", "addresses: []", "addresses", "is no list of addresses", "192.0.2.10"),
        (r"          name: .*\n", "", "provider.name", "is missing", "add it"),
    ],
)
def test_a_planted_mistake_is_named(
    fleet: Path, pattern: str, replacement: str, field: str, message: str, remedy: str
) -> None:
    errors = plant(fleet, pattern, replacement).errors
    matching = [problem for problem in errors if problem.field == field]
    assert len(matching) == 1, [str(problem) for problem in errors]
    text = str(matching[0])
    assert message in text
    assert remedy in matching[0].remedy
    assert text.startswith(f"{fleet}/providers/{first_file(fleet).name}:")
    if not field.startswith("provider."):
        assert matching[0].host


def test_a_mistake_names_its_line(fleet: Path) -> None:
    path = first_file(fleet)
    path.write_text(path.read_text().replace("status: active", "status: lost", 1))
    expected = next(n for n, line in enumerate(path.read_text().splitlines(), 1) if "status: lost" in line)
    assert [problem.line for problem in load(fleet, TODAY).errors] == [expected]


def test_a_duplicate_address_names_both_hosts(fleet: Path) -> None:
    hosts = list(load(fleet, TODAY).hosts())
    other = next(host for host in hosts if host.file != hosts[0].file)
    errors = plant(fleet, re.escape(hosts[0].addresses[0]), other.addresses[0]).errors
    assert len(errors) == 1
    assert {hosts[0].name, other.name} <= set(re.findall(r"\w+", str(errors[0])))


def test_a_duplicate_name_across_files_is_found(fleet: Path) -> None:
    other = max(load(fleet, TODAY).hosts(), key=lambda host: host.file)
    errors = plant(fleet, r"        \w+1:\n", f"        {other.name}:\n").errors
    assert [problem.host for problem in errors] == [other.name]


def test_a_duplicate_name_in_one_file_is_found(fleet: Path) -> None:
    path = first_file(fleet)
    name = re.findall(r"^        (\w+1):$", path.read_text(), re.M)[0]
    errors = plant(fleet, rf"        {name[:-1]}2:\n", f"        {name}:\n").errors
    assert len(errors) == 1
    assert f"{name!r} stands twice" in str(errors[0])


def test_a_past_renewal_is_said_and_stops_nothing(fleet: Path) -> None:
    loaded = plant(fleet, r"renews: [\d-]+", "auto_renew: false, renews: 2026-11-24")
    assert loaded.errors == ()
    assert [problem.severity for problem in loaded.problems] == [Severity.WARNING]
    assert "2026-11-24 is past" in str(loaded.problems[0])


def test_broken_yaml_is_named_with_its_line(fleet: Path) -> None:
    path = first_file(fleet)
    path.write_text("---\nsensors:\n  children: [\n")
    errors = load(fleet, TODAY).errors
    assert len(errors) == 1
    assert re.search(rf"{path.name}:\d+: is no valid YAML", str(errors[0]))


def test_an_empty_directory_is_an_error(tmp_path: Path) -> None:
    assert "copy inventory/example" in str(load(tmp_path, TODAY).errors[0])
