"""What every test of the network shares: its hosts by their part, the scanner's record, the database's rows.

The hosts are the inventory's that STRANDLINE_INVENTORY names (molecule sets it), by default this scenario's own.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import testinfra
import yaml
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "files" / "demo" / "scanner"))

from strandline_scanner import compare  # noqa: E402 - found by the line above

INVENTORY = Path(os.environ.get("STRANDLINE_INVENTORY", ROOT / "molecule" / "network" / "inventory"))
RECORD = "/var/lib/scanner/record.jsonl"
PSQL = ["runuser", "-u", "postgres", "--", "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname=strandline"]
T = TypeVar("T")


@dataclass
class Machine:
    """A host of the network, reached by `podman exec`."""

    name: str
    variables: dict[str, Any] = field(repr=False)

    @functools.cached_property
    def host(self) -> Host:
        """testinfra's view of it."""
        return testinfra.get_host(f"podman://{self.name}")

    @property
    def addresses(self) -> list[str]:
        """Its addresses, as the inventory gives them."""
        return list(self.variables["addresses"])

    def run(self, *argv: str, stdin: str = "", seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command as root; the caller looks at its exit status. No shell unless argv asks for one."""
        return subprocess.run(
            ["podman", "exec", "--interactive", self.name, *argv],
            input=stdin,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=seconds,
            check=False,
        )

    def check(self, *argv: str, stdin: str = "", seconds: float = 60) -> str:
        """Run a command that must succeed, and return its standard output."""
        done = self.run(*argv, stdin=stdin, seconds=seconds)
        assert done.returncode == 0, f"{self.name}: {shlex.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def journal(self, lines: int = 60) -> str:
        """The last lines of its journal, and the units that failed."""
        failed = self.run("systemctl", "--no-pager", "--plain", "--no-legend", "list-units", "--state=failed").stdout
        said = self.run("journalctl", "--boot", "--no-pager", "--quiet", "--output=short-iso", f"--lines={lines}").stdout
        return f"failed units: {failed.strip() or 'none'}\n{said}"

    def sql(self, query: str) -> list[Any]:
        """The rows of a query that gives one JSON value for each, from the collector's database."""
        out = self.check(*PSQL, "--set=ON_ERROR_STOP=1", f"--command={query}")
        return [json.loads(line) for line in out.splitlines() if line]


@dataclass
class Inventory:
    """`ansible-inventory --list`, with groups resolved to hosts."""

    listing: dict[str, Any]

    def members(self, group: str) -> list[Machine]:
        """The hosts of a group and of the groups below it, in the inventory's order."""
        entry = self.listing.get(group, {})
        names = list(entry.get("hosts", []))
        for child in entry.get("children", []):
            names += [machine.name for machine in self.members(child) if machine.name not in names]
        return [machine(name) for name in names]

    @property
    def machines(self) -> list[Machine]:
        """Every host."""
        return [machine(name) for name in self.listing["_meta"]["hostvars"]]


@functools.cache
def load_inventory() -> Inventory:
    """Ask Ansible once."""
    done = subprocess.run(
        ["ansible-inventory", "--inventory", str(INVENTORY), "--list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return Inventory(json.loads(done.stdout))


@functools.cache
def machine(name: str) -> Machine:
    """One object for each host, so that its connection is made once."""
    return Machine(name, load_inventory().listing["_meta"]["hostvars"][name])


def poll(look: Callable[[], T], seconds: float = 30, every: float = 0.5) -> T:
    """Look again and again until what is seen is true, at most so long; return the last look."""
    end = time.monotonic() + seconds
    while not (seen := look()) and time.monotonic() < end:
        time.sleep(every)
    return seen


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`sensor` is each sensor, `anyhost` each host that the playbook provisions."""
    inventory = load_inventory()
    for name, groups in (("sensor", ["sensors"]), ("anyhost", ["collectors", "publishers", "sensors"])):
        if name in metafunc.fixturenames:
            chosen = [m for group in groups for m in inventory.members(group)]
            metafunc.parametrize(name, chosen, ids=[m.name for m in chosen])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
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
    """files/catalogue/events.yml."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "files" / "catalogue" / "events.yml").read_text())
    return loaded


@pytest.fixture(scope="session")
def feeds() -> dict[str, Any]:
    """The entries of files/catalogue/feeds.yml by category."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "files" / "catalogue" / "feeds.yml").read_text())["feeds"]
    return loaded


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
