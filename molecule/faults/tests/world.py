"""The scenario's hosts, the known traffic, and the comparison of what was heard with what is in the database."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from containers import OPERATORS_BUILD, PSQL, Machine, operators_environment

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = ROOT / "molecule" / "faults" / "inventory"
BUILD = ROOT / "build" / "molecule" / "faults"
ACCOUNT = OPERATORS_BUILD / "reconcile" / "account.json"
SPOOL = "/var/spool/strandline/events"
RAW = "/var/log/strandline/raw"
PARSED = "/var/spool/strandline/parsed"


COLLECTOR1 = Machine("flt-collector1", "198.19.160.10")
COLLECTOR2 = Machine("flt-collector2", "198.19.160.11")
COLLECTORS = [COLLECTOR1, COLLECTOR2]
SCANNER = Machine("flt-scanner", "198.19.170.1")
SENSORS = [Machine("flt-sensor1", "198.19.161.1"), Machine("flt-sensor2", "198.19.161.2")]
DATABASE = "postgresql@17-main.service"
SIP = "strandline-sip.service"
SYSLOG = "syslog-ng.service"
LOADER = "strandline-loader.service"

Number = tuple[str, str, int]
"""Sensor, run, number: what every event is known by."""
QUEUED = re.compile(r"dst\.syslog;d_collector#.*;a;queued;")
LINE = re.compile(r'\[ev@32473 run="([^"]+)" n="([0-9]+)"\](?:.* call_id="([^"]*)")?')


def strandline(*arguments: str) -> str:
    """Run ./strandline with the operator's environment, not molecule's; it must succeed. Returns what it said."""
    done = subprocess.run(
        [str(ROOT / "strandline"), *arguments],
        cwd=ROOT, env=operators_environment(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def reconcile() -> dict[str, Any]:
    """Have what is missing sent again; the account before and after."""
    # Nothing is on its way any more: quiet() has seen to that.
    strandline("reconcile", "-i", str(INVENTORY), "--", "-e", "reconcile_quiet=1")
    document: dict[str, Any] = json.loads(ACCOUNT.read_text())
    return document


def sql(query: str) -> list[Any]:
    """The rows of a query that gives one JSON value for each."""
    out = COLLECTOR1.check(*PSQL, "--set=ON_ERROR_STOP=1", f"--command={query}")
    return [json.loads(line) for line in out.splitlines() if line]


def numbered() -> dict[Number, str]:
    """Every event in the sensors' spools, with its Call-ID where it has one."""
    found = {}
    for sensor in SENSORS:
        for file in sensor.file(SPOOL).glob("2*.log"):
            for line in file.read_text().splitlines():
                match = LINE.search(line)
                if not match:
                    # What a power cut left of a header, and nothing else.
                    assert "<134>1 ".startswith(line[:7]), line
                    assert "event=" not in line, line
                    continue
                found[sensor.name, match[1], int(match[2])] = match[3] or ""
    return found


def stored() -> Counter[Number]:
    """Every event in the database, and how often it is there."""
    rows = sql(
        "SELECT json_build_array(s.name, r.run, e.n) FROM strandline.event e JOIN strandline.run r ON r.id = e.run_id"
        " JOIN strandline.sensor s ON s.id = r.sensor_id"
    )
    return Counter((name, run, n) for name, run, n in rows)


def refused() -> set[Number]:
    """Every number whose line arrived and could not be read."""
    rows = sql("SELECT json_build_array(sensor, run, n) FROM strandline.reject WHERE n IS NOT NULL")
    return {(name, run, n) for name, run, n in rows}


def nowhere() -> set[Number]:
    """What the spools have and the database lacks."""
    return set(numbered()) - set(stored()) - refused()


def calls() -> Counter[str]:
    """The Call-IDs in the database, and how often each is there."""
    return Counter(sql("SELECT to_json(data->>'call_id') FROM strandline.event WHERE event = 'sip.request'"))


def raw_lines(collector: Machine, mark: str) -> int:
    """Lines of a mark in a collector's raw files."""
    done = collector.run("sh", "-c", f"cat {RAW}/*/*/*.log | grep -c {mark}-")
    return int(done.stdout or 0)


class Traffic:
    """Requests that go out until :meth:`stop`, and the client's own record of those that were answered."""

    live: ClassVar[list[Traffic]] = []
    """Those that nobody has stopped yet."""

    def __init__(self, mark: str, rate: float = 60) -> None:
        """Begin, at so many requests a second over all sensors."""
        BUILD.mkdir(parents=True, exist_ok=True)
        # Unlike that of any earlier run on the same hosts.
        mark = self.mark = f"{mark}{time.time_ns() // 1_000_000:x}"
        self.rate = rate
        self.refused = refused()
        Traffic.live.append(self)
        self._stop = f"/run/{mark}.stop"
        SCANNER.check("rm", "-f", self._stop)
        self._path = BUILD / f"{mark}.record"
        with self._path.open("w") as record:
            program = (Path(__file__).parent / "traffic.py").read_text()
            addresses = [sensor.address for sensor in SENSORS]
            self._client = subprocess.Popen(
                ["podman", "exec", SCANNER.name, "python3", "-c", program, mark, str(rate), self._stop, *addresses],
                stdout=record,
            )

    def answered(self) -> set[str]:
        """The Call-IDs that were answered so far."""
        return set(self._path.read_text().split())

    def heard_by(self, call: str) -> Machine:
        """The sensor that a request went to."""
        return SENSORS[int(call.removeprefix(f"{self.mark}-")[0])]

    def stop(self) -> set[str]:
        """End it; the whole record."""
        if self in Traffic.live:
            Traffic.live.remove(self)
        SCANNER.check("touch", self._stop)
        assert self._client.wait(timeout=30) == 0
        return self.answered()


def raw_days(collector: Machine, traffic: Traffic) -> list[tuple[str, date]]:
    """The Call-ID of each line of a traffic in a collector's raw files, compressed or not, and its file's day.

    Each line must have been received on that day.
    """
    found = []
    for path in collector.check("find", RAW, "-name", "2*.log*").split():
        day = os.path.basename(path)[:10]
        for line in collector.check("zstdcat", "--force", path).splitlines():
            match = LINE.search(line)
            if match and (match[3] or "").startswith(f"{traffic.mark}-"):
                assert line.startswith(day), (path, line)
                found.append((match[3], date.fromisoformat(day)))
    return found


@dataclass(frozen=True)
class Outcome:
    """What came of an outage."""

    answered: set[str]
    unnumbered: set[str]
    """Answered, and neither in the database nor in a spool: lost before it had a number."""
    missing: set[Number]
    """Numbered and not in the database, before anything was sent again."""
    account: dict[str, Any]


def unsent(sensor: Machine) -> str:
    """Why something may be on its way from a sensor, if so: in the queue, or in the kernel and not acknowledged."""
    stats = sensor.run("syslog-ng-ctl", "stats")
    queued = [int(line.rpartition(";")[2]) for line in stats.stdout.splitlines() if QUEUED.match(line)]
    connections = sensor.check("ss", "-Htn", "state", "established", "( dport = :6514 )").splitlines()
    if stats.returncode or not queued or not connections:
        return f"{sensor.name} has no connection"
    unacknowledged = [int(line.split()[1]) for line in connections]
    if any(queued) or any(unacknowledged):
        return f"{sensor.name} has {sum(queued)} events in its queue, {sum(unacknowledged)} bytes not acknowledged"
    return ""


def unread(collector: Machine) -> str:
    """Why something may be on its way into the database from a collector, if so: received and not read."""
    connections = collector.check("ss", "-Htn", "state", "established", "( sport = :6514 )").splitlines()
    if any(int(line.split()[0]) for line in connections):
        return f"{collector.name} has not read what it received"
    what = "SELECT json_build_array(file, byte_offset) FROM strandline.spool_position"
    positions = dict(sql(f"{what} WHERE collector = '{collector.name}'"))
    for file in [*collector.file(PARSED).glob("*.log"), *collector.file(PARSED).glob("*.jsonl")]:
        with file.open("rb") as lines:
            lines.seek(positions.get(file.name, 0))
            # syslog-ng may have died in the middle of a line.
            if b"\n" in lines.read():
                return f"the loader of {collector.name} has not read all of {file.name}"
    return ""


def quiet() -> None:
    """Wait until nothing more comes into the database by itself: nowhere on the way is there anything."""
    end, calm = time.monotonic() + 180, 0
    while nowhere():
        # Seen from the end to the beginning, what moves between two looks would be in neither.
        why = [reason for reason in [*map(unsent, SENSORS), *map(unread, COLLECTORS)] if reason]
        calm = 0 if why else calm + 1
        # Twice: the last bytes of the spool may have been written just now.
        if calm == 2:
            return
        assert time.monotonic() < end, why
        time.sleep(1)


def seen_as(number: Number, call: str) -> str:
    """What the database has under a number, and under which number it has the Call-ID."""
    sensor, run, n = number
    event = "strandline.event e JOIN strandline.run r ON r.id = e.run_id JOIN strandline.sensor s ON s.id = r.sensor_id"
    shown = f"SELECT json_build_array(s.name, r.run, e.n, e.ts, e.event, e.data) FROM {event} WHERE"  # noqa: S608
    under_it = sql(f"{shown} (s.name, r.run, e.n) = ('{sensor}', '{run}', {n})")
    elsewhere = sql(f"{shown} e.data->>'call_id' = '{call}'")
    return f"under {number} of {call}: {under_it}; elsewhere: {elsewhere}"


def conclude(traffic: Traffic, torn: int = 0) -> Outcome:
    """End the traffic and compare: the account must name what is missing exactly, and nothing be missing after it.

    `torn` is how many lines a power cut may have left by half, so that they can't be read; otherwise each can.
    """
    answered = traffic.stop()
    quiet()
    spools = numbered()
    missing = nowhere()
    account = reconcile()
    assert account["before"]["missing"] == len(missing), (sorted(missing), sorted(set(numbered()) - set(spools)))
    assert account["after"]["missing"] == 0
    after = stored()
    assert set(spools) - set(after) - refused() == set()
    assert len(refused() - traffic.refused) <= torn
    assert [number for number, times in after.items() if times > 1] == []
    # Not by the spools: the pruner may have taken what had arrived.
    unnumbered = answered - set(calls())
    otherwise = [(number, call) for number, call in spools.items() if call in unnumbered]
    assert not otherwise, [len(otherwise), *(seen_as(number, call) for number, call in otherwise[:3])]
    print(
        f"{len(answered)} answered; {len(missing)} missing before they were sent again, 0 afterwards;"
        f" {len(unnumbered)} lost before they had a number"
    )
    return Outcome(answered, unnumbered, missing, account)
