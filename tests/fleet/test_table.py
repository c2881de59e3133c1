"""Hosts from a table and as one: what is written, and each mistake with its file, line, column and remedy."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import pytest
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Host
from strandline_fleet.inventory.table import exported, imported

from tests.generate_fleet import write_fleet

ROOT = Path(__file__).resolve().parents[2]
TODAY = dt.date(2026, 11, 25)
HEADER = "host,provider,provider_name,addresses,city,country,plan,price,currency,period,renews"
OSLO = "osl1,alder,,203.0.113.77,Oslo,NO,on,24.00,USD,year,2027-03-01"
WARSAW = 'waw1,cedar,Cedar Hosting,203.0.113.40 203.0.113.41,"Warsaw, Mokotów",PL,24,2.5,EUR,month,2027-01-25'


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the example."""
    return Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))


def table(inventory: Path, *lines: str) -> Path:
    """A table of these lines."""
    path = inventory.parent / "hosts.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def hosts(inventory: Path) -> dict[str, Host]:
    """The hosts by name, of an inventory without mistakes."""
    fleet = load(inventory, TODAY)
    assert fleet.problems == ()
    return {host.name: host for host in fleet.hosts()}


def test_hosts_go_to_their_providers_and_a_second_time_nothing_changes(inventory: Path) -> None:
    path = table(inventory, OSLO, WARSAW, OSLO.replace("osl1", "osl2").replace(".77", ".78"))
    planned = imported(load(inventory, TODAY), path, TODAY)
    assert sorted(each.name for each in planned.sources) == ["alder.yml", "cedar.yml"]
    planned.apply()
    found = hosts(inventory)
    assert list(found) == ["ams1", "sin1", "osl1", "osl2", "scl1", "waw1"]
    assert (found["osl1"].place.country, found["osl1"].lease.plan) == ("NO", "on")
    assert (found["waw1"].place.city, found["waw1"].place.continent) == ("Warsaw, Mokotów", "EU")
    assert found["waw1"].addresses == ("203.0.113.40", "203.0.113.41")
    assert not imported(load(inventory, TODAY), path, TODAY)


def test_a_spreadsheet_may_write_semicolons_and_a_byte_order_mark(inventory: Path) -> None:
    path = table(inventory, OSLO)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_text().replace(",", ";").encode())
    imported(load(inventory, TODAY), path, TODAY).apply()
    assert "osl1" in hosts(inventory)


@pytest.mark.slow
def test_an_export_of_a_hundred_hosts_changes_nothing_and_makes_the_same_fleet(tmp_path: Path) -> None:
    write_fleet(tmp_path / "a", 100, 30, 1, TODAY)
    first = load(tmp_path / "a", TODAY)
    path = tmp_path / "fleet.csv"
    path.write_text(exported(first))
    assert not imported(first, path, TODAY)
    write_fleet(tmp_path / "b", 1, 1, 2, TODAY)
    for file in (tmp_path / "b" / "providers").iterdir():
        file.unlink()
    imported(load(tmp_path / "b", TODAY), path, TODAY).apply()
    second = load(tmp_path / "b", TODAY)
    assert second.errors == ()
    again = {host.name: (host.addresses, host.place, host.lease) for host in second.hosts()}
    assert [again[host.name] for host in first.hosts()] == [(h.addresses, h.place, h.lease) for h in first.hosts()]


def test_what_a_lease_says_otherwise_than_its_provider_comes_through_a_table(inventory: Path) -> None:
    alder = inventory / "providers" / "alder.yml"
    text = alder.read_text().replace(
        "          cancel_days: 14", "          auto_renew: false\n          cancel_days: 14"
    )
    text = text.replace(
        "renews: 2027-03-01, status: active", "renews: 2027-03-01, status: active, auto_renew: true, cancel_days: 3"
    )
    alder.write_text(text)
    before = load(inventory, TODAY)
    path = inventory.parent / "fleet.csv"
    path.write_text(exported(before))
    assert not imported(before, path, TODAY)
    leases = {host.name: host.lease for host in before.hosts()}
    assert (leases["ams1"].auto_renew, leases["sin1"].auto_renew) == (True, False)
    line = next(line for line in path.read_text().splitlines() if line.startswith("ams1,"))
    path.write_text(
        f"{path.read_text().splitlines()[0]}\n{line.replace('ams1', 'ams2').replace('198.51.100.1', '198.51.100.2')}\n"
    )
    imported(before, path, TODAY).apply()
    assert hosts(inventory)["ams2"].lease == leases["ams1"]


@pytest.mark.parametrize(
    ("line", "field", "message", "remedy"),
    [
        (OSLO.replace("24.00", '"24,00"'), "price", "'24,00' is no amount", "for example 24.00"),
        (OSLO.replace("24.00", "..."), "price", "'...' is no amount", "for example 24.00"),
        (OSLO.replace("24.00", ""), "price", "is missing", "fill in the column"),
        (OSLO.replace("2027-03-01", "1.3.2027"), "renews", "'1.3.2027' is no date", "2027-03-01"),
        (OSLO.replace("2027-03-01", "2207-03-01"), "renews", "more than ten years away", "next payment"),
        (OSLO.replace("NO", "XX"), "country", "'XX' is no country", "ISO 3166"),
        (OSLO.replace("USD", "CHF"), "currency", "there is no rate for 'CHF'", "fleet_rates"),
        (OSLO.replace("year", "yaer"), "period", "'yaer' is unknown", "'year'"),
        (OSLO.replace("203.0.113.77", "192.0.2.256"), "addresses", "'192.0.2.256' is no IP address", "192.0.2.10"),
        (OSLO.replace("203.0.113.77", "192.168.0.1"), "addresses", "is private or reserved", "public address"),
        (OSLO.replace("203.0.113.77", "198.51.100.11"), "addresses", "belongs to host ams1", "remove it"),
        (OSLO.replace("203.0.113.77", ""), "addresses", "is no list of addresses", "write for example"),
        (OSLO.replace("osl1", "Osl_1"), "host", "'Osl_1' is no host name", "use a-z"),
        (OSLO.replace("osl1", "localhost"), "host", "has a meaning of its own", "another name"),
        (OSLO.replace("alder", "aldr"), "provider", "there is no provider 'aldr'", "did you mean 'alder'"),
        (OSLO.replace("alder,", "../x,X"), "provider", "'../x' is no provider's short name", "use a-z"),
        (OSLO.replace("alder", ""), "provider", "is missing", "fill it in"),
        (
            OSLO.replace("osl1,alder,,203.0.113.77", "sin1,alder,,198.51.100.75"),
            "price", "sin1 has 2.5 in", "./strandline renewed --price",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_line_of_the_table(
    inventory: Path, line: str, field: str, message: str, remedy: str
) -> None:
    before = {path: path.read_text() for path in inventory.rglob("*.yml")}
    path = table(inventory, WARSAW, line)
    with pytest.raises(Refusal) as refused:
        imported(load(inventory, TODAY), path, TODAY)
    said = [each for each in str(refused.value).splitlines() if f": {field}: " in each or f"host {field}" in each]
    if field == "host":
        said = str(refused.value).splitlines()[1:]
    assert len(said) == 1, str(refused.value)
    assert said[0].startswith(f"{path}:3: ")
    assert message in said[0]
    assert remedy in said[0]
    assert {path: path.read_text() for path in inventory.rglob("*.yml")} == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty. Its first line names the columns: host,provider"),
        (f"{HEADER.replace('price', 'prise')}\n{OSLO}\n", r":1: prise: is no column of the table; did you mean"),
        (f"{HEADER.replace(',renews', '')}\n", r":1: renews: the column is missing; add it"),
        (f"{HEADER},price\n", ":1: price: the column stands twice; keep one"),
        (f"{HEADER}\n{OSLO},more\n", ":2: the line has 12 columns and the first one 11"),
        (f'{HEADER}\n"{OSLO}\n', ":2: is no table: "),
        (f"{HEADER}\n{OSLO}\n{OSLO}\n", ":3: host osl1: host: osl1 stands in line 2 too; remove one"),
    ],
)
def test_what_is_no_such_table_is_refused(inventory: Path, text: str, message: str) -> None:
    path = inventory.parent / "hosts.csv"
    path.write_text(text)
    with pytest.raises(Refusal, match=message):
        imported(load(inventory, TODAY), path, TODAY)


def test_all_mistakes_are_told_at_once(inventory: Path) -> None:
    lines = [OSLO.replace("osl1", f"osl{n}").replace("24.00", "cheap") for n in range(1, 4)]
    with pytest.raises(Refusal) as refused:
        imported(load(inventory, TODAY), table(inventory, *lines), TODAY)
    assert str(refused.value).count("'cheap' is no amount") == 3
