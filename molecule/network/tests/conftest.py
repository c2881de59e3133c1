"""What every test of the network shares: its hosts by their part, the scanner's record, the database's rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from typing import Any

import pytest
from containers import poll
from machines import ROOT, Inventory, Machine, load_inventory
from strandline.event import catalogue as catalogue_files
from strandline.event import feeds as feed_files

sys.path.insert(0, str(ROOT / "files" / "demo" / "scanner"))

from strandline_scanner import compare

RECORD = "/var/lib/scanner/record.jsonl"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`sensor` is each sensor, `anyhost` each host that the playbook provisions."""
    inventory = load_inventory()
    for name, groups in (("sensor", ["sensors"]), ("anyhost", ["collectors", "publishers", "sensors"])):
        if name in metafunc.fixturenames:
            chosen = [m for group in groups for m in inventory.members(group)]
            metafunc.parametrize(name, chosen, ids=[m.name for m in chosen])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the journals of the hosts that a failed test was about."""
    report = yield
    if report.failed and report.when in ("setup", "call"):
        for value in getattr(item, "funcargs", {}).values():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, Machine):
                    report.sections.append((f"journal of {one.name}", one.journal()))
    return report


@pytest.fixture(scope="session")
def inventory() -> Inventory:
    """The whole inventory."""
    return load_inventory()


@pytest.fixture(scope="session")
def catalogue() -> dict[str, Any]:
    """The catalogue of listeners and events."""
    return catalogue_files.load()


@pytest.fixture(scope="session")
def feeds() -> dict[str, Any]:
    """The definitions of all feeds by category."""
    found: dict[str, Any] = feed_files.collect(catalogue_files.PACKAGE)["feeds"]
    return found


@pytest.fixture(scope="session")
def sensors(inventory: Inventory) -> list[Machine]:
    """All sensors."""
    return inventory.members("sensors")


@pytest.fixture(scope="session")
def collector(inventory: Inventory) -> Machine:
    """The collector with the database."""
    return inventory.members("collectors")[0]


@pytest.fixture(scope="session")
def publisher(inventory: Inventory) -> Machine:
    """The publisher with the website."""
    return inventory.members("publishers")[0]


@pytest.fixture(scope="session")
def scanner(inventory: Inventory) -> Machine:
    """The scanner; it has every client that the demo plays."""
    return inventory.members("scanners")[0]


@pytest.fixture(scope="session")
def record(scanner: Machine) -> list[dict[str, Any]]:
    """The scanner's own record, entry by entry."""
    done = scanner.run("cat", RECORD)
    if done.returncode:
        pytest.fail(f"no {RECORD} on {scanner.name}: run `molecule side_effect -s network` first")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def expected(record: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that must be there."""
    return [row for entry in record if entry["kind"] == "action" for row in entry["expected"]]


@pytest.fixture(scope="session")
def rows(collector: Machine, record: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The database's rows of the time that the record covers, once they agree with it or have stopped coming."""
    start, end = compare.window(record)
    query = compare.QUERY.format(start=start, end=end)
    found: list[dict[str, Any]] = []

    def agree() -> bool:
        found[:] = collector.sql(query)
        return compare.compare(record, found).ok

    poll(agree, seconds=20, every=2)
    return found
