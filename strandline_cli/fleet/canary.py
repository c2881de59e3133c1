"""`./strandline canary`: a marked event through every listener of a sensor, found in the collector's database."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table
from strandline_fleet import probes
from strandline_fleet.inventory.read import fleet_of
from strandline_fleet.probes import Probe

from strandline_cli import paths, verbs
from strandline_cli.errors import Refusal, StepFailed
from strandline_cli.fleet import listing
from strandline_cli.fleet.listing import Entry
from strandline_cli.progress import Progress

TIMEOUT = 5.0  # seconds for a connection and for each answer
TRIES = 3  # datagrams, each sent only when the one before stayed without an answer
WORKERS = 16
TABLE_WIDTH = 200  # columns where there is no terminal
WAIT = 30  # seconds that the events have to reach the database
CATALOGUE = paths.ROOT / "files" / "catalogue" / "events.yml"


@dataclass(frozen=True)
class Sent:
    """What became of a probe on the wire."""

    probe: Probe
    at: float
    """When its event left (time.time())."""
    failure: str = ""


def send(probe: Probe) -> Sent:
    """Play one client: say the mark, wait for the answer, leave."""
    at = time.time()
    try:
        at = _stream(probe) if probe.proto == "tcp" else _datagram(probe)
    except TimeoutError:
        return Sent(probe, at, "no answer")
    except OSError as error:
        return Sent(probe, at, (error.strerror or str(error)).lower())
    return Sent(probe, at)


def _stream(probe: Probe) -> float:
    with socket.create_connection((probe.address, probe.port), timeout=TIMEOUT) as connection:
        connection.settimeout(TIMEOUT)
        if probe.speaks_first and not connection.recv(256):
            raise ConnectionError("closed without a word")
        at = time.time()
        connection.sendall(probe.payload)
        if not connection.recv(256):
            raise ConnectionError("closed without an answer")
        return at


def _datagram(probe: Probe) -> float:
    family = socket.AF_INET6 if ":" in probe.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as endpoint:
        endpoint.connect((probe.address, probe.port))
        endpoint.settimeout(TIMEOUT / TRIES)
        for _ in range(TRIES):
            at = time.time()
            endpoint.send(probe.payload)
            try:
                endpoint.recv(2048)
            except TimeoutError:
                continue
            return at
    raise TimeoutError


def send_all(wanted: Sequence[Probe]) -> list[Sent]:
    """Send every probe, several at a time."""
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        return list(pool.map(send, wanted))


def look(
    progress: Progress, inventory: str, sent: Sequence[Probe], expected: int | None = None
) -> tuple[list[dict[str, Any]], float]:
    """Wait until the collectors' databases hold the events; return the rows and when they had been looked up.

    So many events are ``expected``: all of them, unless some were not even answered.
    """
    with tempfile.TemporaryDirectory(prefix="strandline-") as directory:
        variables = Path(directory) / "variables.yml"
        wanted = {
            "canary_query": probes.query(sent),
            "canary_forget": probes.forget(sent),
            "canary_expected": len(sent) if expected is None else expected,
            "canary_seconds": WAIT,
            "canary_dir": directory,
        }
        variables.write_text(json.dumps(wanted))
        with progress.step("database", "Wait until the database holds the events") as step:
            extra = [f"--extra-vars=@{variables}"]
            code = verbs.play(step, paths.PLAYBOOKS / "canary.yml", [inventory], extra, check=False)
            found = sorted(Path(directory).glob("*.json"))
            step.check(bool(found), f"no collector could be asked (ansible-playbook ended with {code})")
            return [row for file in found for row in probes.rows_of(file.read_text())], time.time()


def result(sent: Iterable[Sent], rows: Iterable[Mapping[str, Any]]) -> tuple[Table, int]:
    """Return the table to show and how many probes failed.

    The seconds run from the sensor's time stamp to the collector's receipt: they hold the offset of the two clocks.
    """
    sent = list(sent)
    found = probes.match((each.probe for each in sent), rows)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("sensor", "address", "listener", "event", "seen"):
        table.add_column(heading, no_wrap=True)
    failed = 0
    for each in sent:
        probe, row = each.probe, found[each.probe]
        if row is not None and not each.failure:
            seen = f"✔ received after {row['rts'] - row['ts']:.2f} s"
        else:
            failed += 1
            seen = f"✘ {each.failure or 'answered, and no event came'}"
            if row is not None:
                seen += ", and its event came all the same"
        table.add_row(probe.sensor, probe.address, f"{probe.listener} {probe.port}/{probe.proto}", probe.event, seen)
    return table, failed


def wanted_of(hosts: Sequence[Entry]) -> list[Probe]:
    """A probe for each port of each listener that each of the sensors has, on each of its addresses."""
    listeners = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))["listeners"]
    has = {host.name: host.listeners for host in hosts}
    found = probes.probes({host.name: host.addresses for host in hosts}, listeners)
    return [probe for probe in found if (some := has[probe.sensor]) is None or probe.listener in some]


def send_off(progress: Progress, wanted: Sequence[Probe]) -> tuple[list[Sent], int]:
    """Send every probe as a step of its own; what became of them, and how many were not answered."""
    with progress.step("canary", f"Send {len(wanted)} marked events through the listeners") as step:
        sent = send_all(wanted)
        unsent = sum(bool(each.failure) for each in sent)
        step.say(f"{unsent} of them without an answer." if unsent else f"{len(sent)} answered.")
        return sent, unsent


def canary(progress: Progress, inventory: str, hosts: Sequence[Entry]) -> bool:
    """Send the marked events, look for them, show a table; say whether every one came through. Raises StepFailed."""
    wanted = wanted_of(hosts)
    began = time.time()
    sent, unsent = send_off(progress, wanted)
    rows, looked = look(progress, inventory, wanted, len(sent) - unsent)
    table, failed = result(sent, rows)
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    console.print(table)
    if failed:
        console.print(f"{failed} of {len(sent)} marked events failed. What to do: docs/onboard.md, The canary")
    else:
        console.print(
            f"All {len(sent)} marked events were found in the database {looked - began:.1f} s after the first one left."
        )
    return failed == 0


@click.command("canary", short_help="Prove that events reach the database, through every listener.")
@click.option("-i", "--inventory", required=True, help="The network: inventory/production.")
@click.argument("hosts", nargs=-1)
def canary_(inventory: str, hosts: tuple[str, ...]) -> None:
    """Send a marked event through every listener of the sensors HOSTS (all without a name) and find it in the database.

    The sightings that this causes are removed, so that this machine's own address never appears in a feed.
    """
    fleet_of(inventory)
    place = verbs.inventory_path(inventory)
    progress = Progress("canary")
    verbs.prepare_ansible(progress)
    chosen = listing.chosen(listing.of(place), hosts, ["sensors"])
    if not chosen:
        raise Refusal(f"{inventory} has no sensors. Write one into it first: ./strandline add --help")
    if not canary(progress, place, chosen):
        raise StepFailed
