"""An operator's year with 100 leased hosts, by a clock of its own: how many commands it takes, and what they leave.

Each command is the task that its playbook runs, with Ansible and the module itself; no host is contacted. The
inventory is checked after each. docs/an-operators-year.md has the counts, and they are compared here.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from strandline_fleet import journal
from strandline_fleet.inventory.change import host_of
from strandline_fleet.inventory.former import former_leases
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Fleet, Host
from strandline_fleet.journal import Kind
from strandline_fleet.payments import payments
from strandline_fleet.report import Known, summarise

from strandline_cli.verbs import VERBS
from tests.generate_fleet import write_fleet

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "an-operators-year.md"
FIRST, AFTER = dt.date(2025, 1, 1), dt.date(2026, 1, 1)
HEADER = "host,provider,provider_name,addresses,city,country,plan,price,currency,period,renews"
ROW = "{host},nova,Nova,{address},Lagos,NG,nano,20.00,USD,year,2026-10-01"


class Year:
    """The inventory, the operator's day, and what was done so far."""

    def __init__(self, directory: Path) -> None:
        """Begin with 100 hosts of 30 providers. One of these is paid by hand."""
        self.directory = directory
        self.day = FIRST
        self.commands: Counter[str] = Counter()
        self.edits = 0
        self.chance = random.Random(2)
        write_fleet(directory, 100, 30, 1, FIRST)
        by_hand, *self.others = self.fleet().providers
        self.by_hand = by_hand.group.removeprefix("provider_")
        text = by_hand.file.read_text()
        by_hand.file.write_text(text.replace("          payment:", "          auto_renew: false\n          payment:"))
        self._tasks: list[dict[str, Any]] = []
        self._unused: list[Host] = []

    def fleet(self) -> Fleet:
        """The inventory as it is read on the day. It has no mistake in it."""
        fleet = load(self.directory, self.day)
        assert fleet.errors == ()
        return fleet

    def begin(self, month: int) -> Fleet:
        """The operator sits down on the 28th."""
        self.day = dt.date(2025, month, 28)
        fleet = self.fleet()
        self._unused = [host for host in fleet.hosts() if host.lease.status == "active"]
        self.chance.shuffle(self._unused)
        return fleet

    def pick(self, period: str = "", without: tuple[str, ...] = ()) -> Host:
        """An active host by chance, another each time: of a lease by this period, and not of these providers."""
        fits = (host for host in self._unused if period in ("", host.lease.period) and host.provider not in without)
        host = next(fits)
        self._unused.remove(host)
        return host

    def do(self, verb: str, module: str = "strandline_inventory", **arguments: Any) -> None:
        """Give a command, which must change something; and look whether the inventory has mistakes then."""
        self.commands[verb] += 1
        today = {"today": str(self.day)}
        change = arguments if module != "strandline_inventory" else {**arguments, **today}
        done = f"done_{len(self._tasks)}"
        unchanged = {"register": done, "failed_when": f"{done} is failed or {done} is not changed"}
        self._tasks += [
            {"name": f"{verb} on {self.day}", module: change, "run_once": True, **unchanged},
            {"name": f"Check the inventory after {verb}", "strandline_inventory": today, "run_once": True},
        ]

    def play(self) -> None:
        """Run the month's commands, under the inventory's lock, as the playbooks do."""
        lock = {"name": "Lock", "strandline_inventory": {"lock": "exclusive", "verb": "year"}, "run_once": True}
        play = {"name": "A month", "hosts": "all", "gather_facts": False, "tasks": [lock, *self._tasks]}
        path = self.directory.parent / "month.yml"
        path.write_text(json.dumps([play]))
        done = subprocess.run(
            ["ansible-playbook", f"--inventory={self.directory}", str(path)], cwd=ROOT, check=False,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        self._tasks = []

    def file(self, name: str, *lines: str) -> str:
        """A file of the operator's, outside of the inventory."""
        path = self.directory.parent / name
        path.write_text("\n".join(lines) + "\n")
        return str(path)

    def cancel(self, host: Host) -> None:
        """What has no verb: a word in the provider's file, once the provider's panel has said so."""
        lines = host.file.read_text().splitlines(keepends=True)
        start = lines.index(f"        {host.name}:\n")
        spot = next(n for n in range(start, len(lines)) if "status: active" in lines[n])
        lines[spot] = lines[spot].replace("status: active", "status: cancelled")
        host.file.write_text("".join(lines))
        self.edits += 1


def payments_of(fleet: Fleet) -> int:
    """How many payments fall into the year, each of which is an edit where dates are written by hand."""
    return sum(
        len(list(payments(lease.written or lease.renews, lease.period, FIRST, AFTER)))
        for lease in (host.lease for host in fleet.hosts())
    )


def month(year: Year, number: int) -> None:
    """What happens in a month."""
    fleet = year.begin(number)
    others = [provider.group for provider in year.others]
    vanishing = {2: others[3], 8: others[4]}
    named = (f"provider_{year.by_hand}", *vanishing.values(), *others[6:9])
    leases(year, fleet, number, named)
    servers(year, number, named)
    if number in vanishing:
        year.do("retire", state="retired", hosts=vanishing[number], reason="vanished")
    if number == 6:
        bought, renamed, buyer = (group.removeprefix("provider_") for group in others[6:9])
        year.do("provider", state="provider_merged", old_provider=bought, new_provider=buyer)
        phoenix = {"new_provider": "phoenix", "provider_name": "Phoenix"}
        year.do("provider", state="provider_renamed", old_provider=renamed, **phoenix)
    year.play()


def leases(year: Year, fleet: Fleet, number: int, named: tuple[str, ...]) -> None:
    """What is paid, costs more, ends, is leased anew and is noted."""
    if any(host.lease.renews < year.day for host in fleet.hosts() if not host.lease.auto_renew):
        year.do("renewed", state="renewed", hosts=year.by_hand)
    for _ in range(2):
        price = f"{year.chance.uniform(3, 30):.2f}"
        year.do("renewed", state="renewed", hosts=[year.pick(without=named).name], price=price)
    if ended := [host.name for host in fleet.hosts() if host.lease.ended]:
        year.do("retire", state="retired", hosts=ended, reason="cancelled")
    if number % 3 == 0:
        note = {
            "host": year.pick(without=named).name,
            "text": "answered a ticket within a day",
            "about": "support",
            "score": 4,
        }
        year.do("note", state="noted", notes=[note])
    if number in {3, 9}:
        for _ in range(2):
            year.cancel(year.pick("month", named))
    if number in {4, 10}:
        rows = [ROW.format(host=f"nova{number}-{n}", address=f"41.{number}.0.{n}") for n in range(1, 6)]
        year.do("import", state="imported", file=year.file("hosts.csv", HEADER, *rows))
    if number == 5:
        like = year.pick(without=named)
        year.do("add", state="added", host="likened", like=like.name, entry={"addresses": ["48.0.0.1"]})
    if number == 12:
        year.do(
            "export", "strandline_export", inventory=str(year.directory), path=str(year.directory.parent / "fleet.csv")
        )


def servers(year: Year, number: int, named: tuple[str, ...]) -> None:
    """What is reinstalled and gets other addresses."""
    if number % 2:
        host = year.pick(without=named)
        with (year.directory / "known_hosts").open("a") as known:
            known.write(f"{host.name} ssh-ed25519 AAAA\n")
        year.do("reinstall", state="forgotten", hosts=[host.name])
    if number in {5, 6, 7}:
        host = year.pick(without=named)
        moved = {"old_address": host.addresses[0], "new_address": f"43.{number}.0.1"}
        year.do("renumber", state="renumbered", host=host.name, **moved)
    if number == 11:
        pairs = year.file("pairs", "41.4.0.0/24 45.4.0.0/24", "41.10.0.0/24 45.10.0.0/24  # the second order")
        year.do("renumber", state="renumbered", file=pairs)
        year.do("address", state="addressed", host="nova4-1", addresses=["47.0.0.1"])
    if number == 12:
        year.do("address", state="unaddressed", host="nova4-1", addresses=["45.4.0.1"])


@pytest.mark.long
def test_a_year_takes_the_commands_that_the_document_says(tmp_path: Path) -> None:
    year = Year(tmp_path / "inventory")
    before = payments_of(year.fleet())
    for number in range(1, 13):
        month(year, number)
    year.day = dt.date(2025, 12, 31)
    fleet = year.fleet()
    former = former_leases(year.directory)
    assert Counter(lease.reason for lease in former) == {"vanished": 7, "cancelled": 4}
    groups = {provider.group for provider in fleet.providers}
    bought, renamed, buyer = (provider.group for provider in year.others[6:9])
    assert {"provider_nova", "provider_phoenix", buyer} <= groups
    assert not groups & {bought, renamed, year.others[3].group, year.others[4].group}
    assert sum(1 for _ in fleet.hosts()) == 100 + 10 + 1 - len(former)
    assert host_of(fleet, "nova4-1").addresses == ("47.0.0.1",)
    assert host_of(fleet, "nova10-5").addresses == ("45.10.0.5",)
    kinds = Counter(entry.kind for entries in journal.read(year.directory).values() for entry in entries)
    assert (kinds[Kind.PRICE], kinds[Kind.REINSTALL], kinds[Kind.ADDRESS], kinds[Kind.NAME]) == (24, 6, 13, 2)
    assert sum(len(host.lease.earlier) for host in fleet.hosts()) <= 24
    assert not [host for host in fleet.hosts() if host.lease.auto_renew and host.lease.renews < year.day]
    summary = summarise(fleet, dt.datetime(2025, 12, 31, 12, tzinfo=dt.UTC), Known(former=former))
    assert not summary["renewals"]["ended"]
    page = PAGE.read_text()
    said = {verb: int(count) for verb, count in re.findall(r"^\| `(\w+)`[^|]*\|[^|]*\| (\d+) \|$", page, re.MULTILINE)}
    assert said == dict(year.commands)
    assert said.keys() <= {verb.name for verb in VERBS}
    assert f"{sum(said.values())} commands" in page
    assert f"{before} payments" in page
    assert f"{year.edits} words" in page
