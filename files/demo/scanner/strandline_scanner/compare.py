"""Compares the scanner's record with the rows of the database: each expected row exactly once, and no other.

Rows are matched by event and by both ends' address and port, then by their content and time. Needs nothing but the
standard library.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

QUERY = """
SELECT json_build_object('event', e.event, 'saddr', host(e.saddr), 'sport', e.sport,
                         'daddr', host(e.daddr), 'dport', e.dport, 'proto', e.proto,
                         'sensor', s.name, 'verified', e.verified,
                         'ts', to_char(e.ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'data', e.data)
  FROM strandline.event e JOIN strandline.run r ON r.id = e.run_id JOIN strandline.sensor s ON s.id = r.sensor_id
 WHERE e.ts BETWEEN '{start}' AND '{end}' AND e.event NOT IN ('sensor.heartbeat', 'sensor.listener')
 ORDER BY e.ts, r.id, e.n
"""
"""One JSON object for each row between two times (ISO 8601 with zone), but for what sensors say of themselves."""

Row = Mapping[str, Any]
Endpoints = tuple[str, str, int, str, int, str]
TOLERANCE = timedelta(seconds=2)
"""Between the packet that the scanner saw and the time that the sensor gave the event."""


@dataclass
class Report:
    """What did not agree; each a line that names the action and shows both sides."""

    matched: int = 0
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Actions that were not played as the script says, a capture that lost packets: the record proves nothing."""

    @property
    def ok(self) -> bool:
        """Everything agreed, and there was something to agree on."""
        return self.matched > 0 and not (self.missing or self.wrong or self.double or self.unexpected or self.failed)

    def text(self, limit: int = 40) -> str:
        """For people: counts first, then up to `limit` lines of each kind."""
        kinds = ("failed", "missing", "wrong", "double", "unexpected")
        lines = [f"{self.matched} rows right, " + ", ".join(f"{len(getattr(self, kind))} {kind}" for kind in kinds)]
        for kind in kinds:
            found: list[str] = getattr(self, kind)
            lines += [f"{kind}: {line}" for line in found[:limit]]
            lines += [f"{kind}: and {len(found) - limit} more"] if len(found) > limit else []
        return "\n".join(lines)


@dataclass
class _Claim:
    """An expected row with the action that expects it."""

    row: Row
    action: str


def parse(time: str) -> datetime:
    """ISO 8601 with `Z`."""
    return datetime.fromisoformat(time)


def _endpoints(row: Row) -> Endpoints:
    return (row["event"], row["saddr"], int(row["sport"]), row["daddr"], int(row["dport"]), row["proto"])


def _differences(expected: Row, row: Row, tolerance: timedelta) -> list[str]:
    """In what a row differs from the expected one; empty when it is right."""
    found = [
        f"{name} {row.get(name)!r} instead of {expected[name]!r}"
        for name in ("sensor", "verified")
        if row.get(name) != expected[name]
    ]
    have, want = row.get("data") or {}, expected["data"]
    found += [
        f"{name} {have.get(name)!r} instead of {want.get(name)!r}"
        for name in sorted(have.keys() | want.keys())
        if have.get(name) != want.get(name)
    ]
    early, late = parse(expected["not_before"]) - tolerance, parse(expected["not_after"]) + tolerance
    if not early <= parse(row["ts"]) <= late:
        found.append(f"ts {row['ts']} not within {expected['not_before']} .. {expected['not_after']}")
    return found


def _show(row: Row) -> str:
    event, saddr, sport, daddr, dport, proto = _endpoints(row)
    when = row.get("ts") or row["not_before"]
    data = json.dumps(row.get("data"), sort_keys=True)
    return f"{when} {event} {saddr}:{sport} -> {daddr}:{dport}/{proto} sensor={row.get('sensor')} {data}"


def _join(claims: list[_Claim], rows: list[Row], tolerance: timedelta, report: Report) -> None:
    """Match the rows and the claims of the same endpoints."""
    right: list[Row] = []
    for claim in list(claims):
        row = next((r for r in rows if not _differences(claim.row, r, tolerance)), None)
        if row is not None:
            rows.remove(row)
            claims.remove(claim)
            right.append(row)
            report.matched += 1
    for row in [r for r in rows if any(_same(r, other) for other in right)]:
        rows.remove(row)
        report.double.append(_show(row))
    for claim in claims:
        if not rows:
            report.missing.append(f"{claim.action}: {_show(claim.row)}")
            continue
        row = min(rows, key=lambda r: len(_differences(claim.row, r, tolerance)))
        rows.remove(row)
        report.wrong.append(f"{claim.action}: {_show(row)}: " + "; ".join(_differences(claim.row, row, tolerance)))
    report.unexpected += [_show(row) for row in rows]


def _same(one: Row, other: Row) -> bool:
    return bool(one.get("data") == other.get("data") and one.get("sensor") == other.get("sensor"))


def compare(record: Iterable[Row], rows: Iterable[Row], tolerance: timedelta = TOLERANCE) -> Report:
    """Compare a record with the rows of its time. Rows of any source count: a forged one must be found too."""
    report = Report()
    claims: defaultdict[Endpoints, list[_Claim]] = defaultdict(list)
    ended = False
    for entry in record:
        if entry["kind"] == "end":
            ended = True
            if entry["dropped"]:
                report.failed.append(f"the capture lost {entry['dropped']} packets")
            if entry.get("not_played"):
                report.failed.append(f"{entry['not_played']} actions were not played: the deadline had passed")
        if entry["kind"] != "action":
            continue
        action = f"{entry['action']}#{entry['round']}"
        if not entry["ok"]:
            report.failed.append(f"{action} {entry['saddr']} -> {entry['daddr']}: {entry['reason']}")
        for row in entry["expected"]:
            claims[_endpoints(row)].append(_Claim(row, action))
    if not ended:
        report.failed.append("the record has no end: the scanner was stopped")
    found: defaultdict[Endpoints, list[Row]] = defaultdict(list)
    for row in rows:
        found[_endpoints(row)].append(row)
    for endpoints in sorted(claims.keys() | found.keys()):
        _join(claims[endpoints], found[endpoints], tolerance, report)
    return report


def window(record: Iterable[Row], tolerance: timedelta = TOLERANCE) -> tuple[str, str]:
    """Start and end of the record with the tolerance on both sides, for QUERY. Raises ValueError when it has no end."""
    times = {entry["kind"]: entry for entry in record}
    if "run" not in times or "end" not in times:
        raise ValueError("the record has no start or no end")
    start, end = parse(times["run"]["start"]) - tolerance, parse(times["end"]["end"]) + tolerance
    return start.isoformat(), end.isoformat()
