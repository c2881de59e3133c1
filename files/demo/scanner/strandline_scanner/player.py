"""Plays the script at every sensor address and writes the record."""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from . import clients, expect
from .capture import Capture, Flow
from .script import ACTIONS, Action

SETTLE = 0.3
"""Seconds after a client's end in which its last packets (FIN, an answer on the way) still belong to it."""
PORTS = {"any": 8443, "ssh": 22, "telnet": 23, "smtp": 25, "dns": 53, "ntp": 123, "sip": 5060, "vnc": 5900}


class PlanError(ValueError):
    """A plan that can't be played; the message says what to change."""


@dataclass(frozen=True)
class Plan:
    """Whom to scan, and from which addresses of ours."""

    sensors: dict[str, list[str]]
    sources: list[str]
    ports: dict[str, int] = field(default_factory=lambda: dict(PORTS))

    @classmethod
    def read(cls, text: str) -> Plan:
        """Read plan.json. Raises PlanError."""
        try:
            raw = json.loads(text)
            sensors = {entry["name"]: list(map(str, entry["addresses"])) for entry in raw["sensors"]}
            plan = cls(sensors, list(map(str, raw["sources"])), {**PORTS, **raw.get("ports", {})})
            addresses = [ipaddress.IPv4Address(a) for a in [*plan.sources, *(a for s in sensors.values() for a in s)]]
        except (ValueError, KeyError, TypeError) as error:
            raise PlanError(f"the plan can't be read ({error!r}): see README.md for its form") from error
        if not sensors or not all(sensors.values()) or not plan.sources:
            raise PlanError("the plan needs at least one sensor with an address and one source")
        if len(set(addresses)) != len(addresses):
            raise PlanError("an address stands twice in the plan")
        return plan


@dataclass
class Play:
    """The script at one sensor address."""

    sensor: str
    daddr: str
    where: frozenset[str]
    """Which actions are played here: `each`, and `first` or `last` at that address of the sensor."""
    number: int


def positions(address: str, addresses: Sequence[str]) -> frozenset[str]:
    """What this address of a sensor is to the script: `each`, `first`, `last`."""
    ends = (("first", addresses[0]), ("last", addresses[-1]))
    return frozenset(["each", *(name for name, end in ends if address == end)])


class Player:
    """Plays at all sensor addresses at the same time, the actions at one address one after another."""

    def __init__(self, plan: Plan, out: TextIO, actions: Sequence[Action], deadline: float) -> None:
        self.plan, self.actions = plan, actions
        self._out, self._lock = out, threading.Lock()
        self._until = time.monotonic() + deadline
        self._done = self._all = 0
        self.failed = self.expected = 0
        self._record: Callable[[dict[str, Any]], None] = lambda _: None

    def play(self, record: TextIO, rounds: int) -> None:
        """Play everything and write the record."""

        def write(entry: dict[str, Any]) -> None:
            with self._lock:
                record.write(json.dumps(entry) + "\n")

        self._record = write
        plays = [
            Play(sensor, daddr, positions(daddr, addresses), number)
            for number, (sensor, daddr, addresses) in enumerate(
                (sensor, daddr, addresses) for sensor, addresses in self.plan.sensors.items() for daddr in addresses
            )
        ]
        self._all = rounds * sum(len(self._of(play)) for play in plays)
        work = Path(tempfile.mkdtemp(prefix="scanner-"))
        clients.make_keys(work)
        start = time.time_ns()
        write({"kind": "run", "start": expect.utc(start), "plan": self.plan.__dict__, "rounds": rounds})
        capture = Capture(self.plan.sources, [play.daddr for play in plays])
        try:
            with ThreadPoolExecutor(len(plays)) as pool:
                try:
                    list(pool.map(lambda play: self._play(play, capture, work, rounds), plays))
                except BaseException:
                    self._until = 0  # the others end after the action that they are at
                    raise
        finally:
            time.sleep(SETTLE)
            dropped = capture.close()
            shutil.rmtree(work, ignore_errors=True)
        self.failed += self._all - self._done
        write(
            {
                "kind": "end",
                "start": expect.utc(start),
                "end": expect.utc(time.time_ns()),
                "dropped": dropped,
                "failed": self.failed,
                "not_played": self._all - self._done,
                "expected": self.expected,
            }
        )

    def _of(self, play: Play) -> list[Action]:
        return [action for action in self.actions if action.where in play.where]

    def _play(self, play: Play, capture: Capture, work: Path, rounds: int) -> None:
        deriver = expect.Deriver(play.sensor, self.plan.ports)
        with Route(play.daddr) as route:
            for number in range(1, rounds + 1):
                for index, action in enumerate(self._of(play)):
                    if time.monotonic() > self._until:
                        return
                    source = self.plan.sources[(index + play.number + number) % len(self.plan.sources)]
                    self._act(action, Stage(play, source, number, route, capture, deriver, work))

    def _act(self, action: Action, stage: Stage) -> None:
        play, saddr = stage.play, stage.saddr
        directory = Path(tempfile.mkdtemp(dir=stage.work))
        context = clients.Context(saddr, play.daddr, self.plan.ports, directory, stage.work)
        start, reason, outcome = time.time_ns(), "", clients.Outcome("-")
        try:
            stage.route.source(saddr)
            outcome = action.play(context)
        except Exception as error:  # a client's library may raise anything; the others are played all the same
            reason = str(error) or type(error).__name__
        time.sleep(SETTLE)
        flows = stage.capture.take(play.daddr)
        rows = stage.deriver.rows(flows, outcome.attempts, outcome.by_ident, outcome.said)
        reason = reason or shortfall(action, flows, rows, outcome, self.plan.ports["ssh"], saddr)
        self._record(
            {
                "kind": "action",
                "action": action.name,
                "tool": outcome.tool,
                "round": stage.round,
                "saddr": saddr,
                "sensor": play.sensor,
                "daddr": play.daddr,
                "start": expect.utc(start),
                "end": expect.utc(time.time_ns()),
                "ok": not reason,
                "reason": reason,
                "exit": outcome.exit,
                "argv": outcome.argv,
                "output": outcome.output[-8000:],
                "flows": [_flow(flow) for flow in flows],
                "expected": [expect.as_json(row) for row in rows],
            }
        )
        shutil.rmtree(directory, ignore_errors=True)
        with self._lock:
            self._done += 1
            self.failed += bool(reason)
            self.expected += len(rows)
            status = f"FAILED {reason}" if reason else "ok"
            line = f"{self._done}/{self._all} {action.name} {outcome.tool} {saddr} -> {play.daddr} {len(rows)} {status}"
            print(line, file=self._out, flush=True)


@dataclass
class Stage:
    """What one action needs around it."""

    play: Play
    saddr: str
    round: int
    route: Route
    capture: Capture
    deriver: expect.Deriver
    work: Path


def shortfall(
    action: Action,
    flows: Sequence[Flow],
    rows: Sequence[expect.Expected],
    outcome: clients.Outcome,
    ssh_port: int,
    saddr: str,
) -> str:
    """Why the traffic is not what the action was to make; empty when it is."""
    if not any(flow.bytes or flow.established for flow in flows):
        return "no packet left for the sensor"
    if foreign := {flow.saddr for flow in flows} - {saddr}:
        return f"packets left from {', '.join(sorted(foreign))} instead"
    if any(flow.fragmented for flow in flows):
        return "a datagram was sent in fragments, which the capture does not put together"
    connections = sum(flow.proto == "tcp" and flow.dport == ssh_port and flow.established for flow in flows)
    if outcome.attempts and connections != len(outcome.attempts):
        return f"{connections} SSH connections where the client tells of {len(outcome.attempts)}"
    for event, data in action.least:
        if not any(row.event == event and data.items() <= row.data.items() for row in rows):
            return f"no {event} with {dict(data)} was sent"
    return ""


def _flow(flow: Flow) -> dict[str, Any]:
    return {
        "proto": flow.proto,
        "saddr": flow.saddr,
        "sport": flow.sport,
        "daddr": flow.daddr,
        "dport": flow.dport,
        "first": expect.utc(flow.first),
        "last": expect.utc(flow.last),
        "bytes": flow.bytes,
    }


class Route:
    """The source address of everything that goes to one destination, set by a host route (ip-route(8), `src`).

    It holds for every client, also for those that can't be told an address. Needs CAP_NET_ADMIN.
    """

    def __init__(self, destination: str) -> None:
        self.destination = destination
        self._via: list[str] = []

    def __enter__(self) -> Route:
        found = json.loads(self._ip("-j", "route", "get", self.destination).stdout)[0]
        self._via = [*(["via", found["gateway"]] if "gateway" in found else []), "dev", found["dev"]]
        return self

    def source(self, address: str) -> None:
        """From now on packets to the destination leave from this address of ours."""
        self._ip("route", "replace", f"{self.destination}/32", *self._via, "src", address)

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "route", "del", f"{self.destination}/32"], check=False, capture_output=True)

    @staticmethod
    def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
        if done.returncode:
            raise clients.ClientError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
        return done


def select(patterns: Sequence[str]) -> list[Action]:
    """The actions whose name one of the patterns matches; all without patterns. Raises PlanError when none does."""
    chosen = [a for a in ACTIONS if not patterns or any(fnmatch.fnmatchcase(a.name, p) for p in patterns)]
    if not chosen:
        raise PlanError(f"no action is named like {', '.join(patterns)}: --list shows them all")
    return chosen


def check_rights(plan: Plan) -> None:
    """Raises PlanError when this can't be the scanner of the plan."""
    if os.geteuid():
        raise PlanError("the scanner needs root: it sets routes and captures packets")
    found = json.loads(subprocess.run(["ip", "-j", "-4", "address"], check=True, capture_output=True).stdout)
    own = {info["local"] for link in found for info in link["addr_info"]}
    if missing := [address for address in plan.sources if address not in own]:
        raise PlanError(f"not an address of this host: {', '.join(missing)}; it has {', '.join(sorted(own))}")
