"""Which numbers are missing, which of them can be sent again, and which are lost: the database's side of reconciling.

A sensor's index (strandline.sensor.forwarding.replay) says which numbers its spool holds. What is missing here and held
there is asked for; what is missing here and gone there is recorded as lost. Nothing is called lost that might
still be on its way: neither behind what the index states, nor before the loader has read all that was received.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import psycopg2.extensions
import psycopg2.extras
from psycopg2.extensions import cursor as Cursor

from strandline.collector.config import Config
from strandline.collector.lines import MAX_N, NAME
from strandline.collector.spool import Spool
from strandline.shared.ranges import Ranges, common, normal, size, without

Request = dict[str, dict[str, list[list[int]]]]
"""By sensor and run: the ranges to send again."""
MAX_RUNS = 10_000  # of one sensor's index
MAX_ASKED = 20_000  # ranges that a sensor is asked for at once; the rest the next time
POLL_SECONDS = 0.5
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class BadIndex(Exception):
    """A sensor's index can't be read as one; the text says whose, and why."""


class Behind(Exception):
    """The loader has not read what the collector received: nobody can say yet what is missing."""


@dataclass
class Stated:
    """What a sensor said of one run."""

    last: int
    """The last number that there ever was in the spool; above the ranges when what followed them was pruned."""
    ranges: Ranges
    days: dict[str, tuple[int, int]] = field(default_factory=dict)


def _number(value: Any) -> int:
    """A number that an event can have. Raises ValueError."""
    if type(value) is not int or not 1 <= value <= MAX_N:
        raise ValueError(f"{value!r} is no number of an event")
    return value


def _pair(first: Any, last: Any) -> tuple[int, int]:
    """A range. Raises ValueError."""
    if _number(first) > _number(last):
        raise ValueError(f"{first} is above {last}")
    return first, last


def parse_index(sensor: str, tree: Any) -> dict[str, Stated]:
    """Check what a sensor said: its host may be somebody else's by now. Raises BadIndex."""
    try:
        if not NAME.fullmatch(sensor):
            raise ValueError("not a name of a sensor")
        runs = tree["runs"]
        if len(runs) > MAX_RUNS:
            raise ValueError(f"more than {MAX_RUNS} runs")
        stated = {}
        for run, entry in runs.items():
            if not NAME.fullmatch(run):
                raise ValueError(f"{run!r} is no run")
            ranges = normal(_pair(*one) for one in entry["ranges"])
            last = _number(entry["last"])
            if ranges and ranges[-1][1] > last:
                raise ValueError(f"run {run}: its last number is not {last}")
            days = {}
            for day, (first, end, _) in entry["days"].items():
                if not _DAY.fullmatch(day):
                    raise ValueError(f"{day!r} is no day")
                days[date.fromisoformat(day).isoformat()] = _pair(first, end)
            stated[run] = Stated(last, ranges, days)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadIndex(f"the index of {sensor} can't be used: {error}") from error
    return stated


@dataclass
class Run:
    """A run as the database knows it."""

    id: int
    sensor: str
    name: str
    high: int
    """Its highest number, stored, rejected or stated."""
    old: bool
    """It was known before the sensors were asked."""


@dataclass
class Decision:
    """What to do about the gaps of one run."""

    ask: Ranges
    lost: dict[str, Ranges]
    """By reason."""


def decide(gaps: Ranges, run: Run, stated: Stated | None) -> Decision:
    """Sort the gaps of a run whose sensor has answered. Pure.

    With `stated` None the spool holds nothing of the run. If it is old, all of it has left the spool; if it is not, it
    began after the index was made.
    """
    if stated is None:
        return Decision([], {"outlived": gaps} if run.old and gaps else {})
    # What is behind the last number was written after the index was made.
    decidable = common(gaps, [(1, stated.last)])
    gone = without(decidable, stated.ranges)
    # In front of what is left and behind it: once in the spool, and removed. Between: never written.
    left = [(stated.ranges[0][0], stated.ranges[-1][1])] if stated.ranges else []
    lost = {"outlived": without(gone, left), "unwritten": common(gone, left)}
    return Decision(common(decidable, stated.ranges), {reason: some for reason, some in lost.items() if some})


class Ledger:
    """The tables of 0002_reconcile.sql. One process at a time: the constructor waits for the other."""

    def __init__(self, connection: psycopg2.extensions.connection) -> None:
        """Take the lock, which lasts as long as the connection."""
        self._connection = connection
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext('strandline.reconcile'))")

    def now(self) -> str:
        """The database's clock."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SELECT now()::text")
            return str(_one(cursor)[0])

    def totals(self) -> int:
        """How many numbers are missing, counted, not searched for."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("SELECT coalesce(sum(greatest(high_n - accounted, 0)), 0) FROM strandline.run_numbers")
            return int(_one(cursor)[0])

    def behind(self, collector: str, spool: Spool, sizes: dict[str, int]) -> bool:
        """Tell whether lines that were in the collector's spool at the given sizes still wait for the loader."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT file, inode, byte_offset FROM strandline.spool_position WHERE collector = %s", (collector,)
            )
            positions = {name: (inode, offset) for name, inode, offset in cursor.fetchall()}
        for name, state in spool.files():
            inode, offset = positions.get(name, (state.st_ino, 0))
            if inode != state.st_ino:
                offset = 0
            end = sizes.get(name, 0)
            if offset < end and _has_newline(spool.directory / name, offset, end):
                return True
        return False

    def state(self, index: dict[str, dict[str, Stated]]) -> None:
        """Store what the sensors said: runs of which nothing arrived become known, and tails show."""
        with self._connection, self._connection.cursor() as cursor:
            _find_lost(cursor)  # or it would be counted twice
            for sensor, runs in index.items():
                cursor.execute("INSERT INTO strandline.sensor (name) VALUES (%s) ON CONFLICT DO NOTHING", (sensor,))
                names = list(runs)
                cursor.execute(
                    """INSERT INTO strandline.run (sensor_id, run)
                       SELECT s.id, w.run FROM strandline.sensor s, unnest(%s::text[]) AS w (run)
                       WHERE s.name = %s AND NOT EXISTS (
                           SELECT FROM strandline.run r WHERE r.sensor_id = s.id AND r.run = w.run)
                       ON CONFLICT DO NOTHING""",
                    (names, sensor),
                )
                cursor.execute(
                    """INSERT INTO strandline.run_check AS c (run_id, stated_n)
                       SELECT r.id, w.last FROM unnest(%s::text[], %s::bigint[]) AS w (run, last)
                       JOIN strandline.sensor s ON s.name = %s
                       JOIN strandline.run r ON r.sensor_id = s.id AND r.run = w.run
                       ON CONFLICT (run_id) DO UPDATE SET stated_n = excluded.stated_n
                       WHERE c.stated_n < excluded.stated_n""",
                    (names, [runs[name].last for name in names], sensor),
                )
                rows = [(name, day, *span) for name in names for day, span in runs[name].days.items()]
                cursor.execute(
                    """INSERT INTO strandline.run_day AS d (run_id, day, first_n, last_n)
                       SELECT r.id, w.day, w.first, w.last
                       FROM unnest(%s::text[], %s::date[], %s::bigint[], %s::bigint[]) AS w (run, day, first, last)
                       JOIN strandline.sensor s ON s.name = %s
                       JOIN strandline.run r ON r.sensor_id = s.id AND r.run = w.run
                       ON CONFLICT (run_id, day) DO UPDATE SET first_n = least(d.first_n, excluded.first_n),
                                                               last_n = greatest(d.last_n, excluded.last_n)
                       WHERE d.first_n > excluded.first_n OR d.last_n < excluded.last_n""",
                    (*([row[column] for row in rows] for column in range(4)), sensor),
                )

    def plan(self, index: dict[str, dict[str, Stated]], since: str) -> Request:
        """Record what is lost and what is asked for; return the latter. `since`: now() before the index was made."""
        request: Request = {}
        with self._connection, self._connection.cursor() as cursor:
            gaps = self._look(cursor)
            runs = _runs(cursor, list(gaps), since)
            ask: list[tuple[int, int, int]] = []
            lost: list[tuple[int, int, int, str]] = []
            left = dict.fromkeys(index, MAX_ASKED)
            for run_id, ranges in gaps.items():
                run = runs[run_id]
                if run.sensor not in index:
                    continue
                decision = decide(ranges, run, index[run.sensor].get(run.name))
                some = decision.ask[: left[run.sensor]]
                left[run.sensor] -= len(some)
                if some:
                    request.setdefault(run.sensor, {})[run.name] = [list(one) for one in some]
                ask += [(run_id, *one) for one in some]
                lost += [(run_id, *one, reason) for reason, gone in decision.lost.items() for one in gone]
            _add_asked(cursor, ask)
            _add_lost(cursor, lost)
        return request

    def conclude(self) -> None:
        """See what came of what was asked for, and remember what need not be looked at again."""
        with self._connection, self._connection.cursor() as cursor:
            self._look(cursor)

    @staticmethod
    def _look(cursor: Cursor) -> dict[int, Ranges]:
        """Find the gaps, and settle with them what was open. Returns them by run."""
        _find_lost(cursor)
        # Before the gaps are searched: a number up to this is then either there or in a gap.
        cursor.execute("SELECT run_id, high_n FROM strandline.run_numbers WHERE high_n > checked_n")
        highs = dict(cursor.fetchall())
        cursor.execute("SELECT run_id, first_n, last_n FROM strandline.gaps()")
        gaps: dict[int, Ranges] = {}
        for run_id, first, last in cursor.fetchall():
            gaps.setdefault(run_id, []).append((first, last))
        _close_asked(cursor, gaps)
        _advance(
            cursor, {run: min([high, *(one[0] - 1 for one in gaps.get(run, [])[:1])]) for run, high in highs.items()}
        )
        return gaps


def settle(
    ledger: Ledger, config: Config, quiet: float, limit: float, clock: Callable[[], float] = time.monotonic
) -> None:
    """Wait until what is on its way has arrived: the loader has read all that there was, and nothing more turns up.

    `quiet` is for how many seconds nothing may turn up, `limit` how many seconds to wait at all. Raises Behind when the
    loader has not caught up by then. A sensor that is still sending its backlog is not waited for beyond the limit:
    what it is asked for may then arrive twice, and is stored once.
    """
    spool = Spool(config.spool, config.chunk_bytes, config.max_line_bytes)
    sizes = {name: state.st_size for name, state in spool.files()}
    begun = since = clock()
    best: int | None = None
    while True:
        behind = ledger.behind(config.collector, spool, sizes)
        missing = ledger.totals()
        if best is None or missing < best or behind:
            best, since = missing, clock()
        if not behind and (missing == 0 or clock() - since >= quiet):
            return
        if clock() - begun >= limit:
            if behind:
                raise Behind(
                    f"the loader has not read what the collector had received {limit:g} s ago: "
                    "look at strandline-loader.service"
                )
            return
        time.sleep(POLL_SECONDS)


def _has_newline(path: Path, offset: int, end: int) -> bool:
    """Tell whether a line ends in this part of a file. A file that is gone had been read to its end."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while offset < end and (data := file.read(min(1 << 16, end - offset))):
                if b"\n" in data:
                    return True
                offset += len(data)
    except FileNotFoundError:
        pass
    return False


def _one(cursor: Cursor) -> tuple[Any, ...]:
    """The only row."""
    row: tuple[Any, ...] | None = cursor.fetchone()
    assert row is not None  # noqa: S101 - an aggregate always has one
    return row


def _runs(cursor: Cursor, ids: list[int], since: str) -> dict[int, Run]:
    """Look runs up."""
    cursor.execute(
        """SELECT n.run_id, s.name, r.run, n.high_n, r.created_at < %s::timestamptz
           FROM strandline.run_numbers n JOIN strandline.run r ON r.id = n.run_id
           JOIN strandline.sensor s ON s.id = r.sensor_id WHERE n.run_id = ANY(%s)""",
        (since, ids),
    )
    return {row[0]: Run(*row) for row in cursor.fetchall()}


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows as columns, for unnest()."""
    table = list(rows)
    return [[row[column] for row in table] for column in range(width)]


def _add_asked(cursor: Cursor, ask: list[tuple[int, int, int]]) -> None:
    cursor.execute(
        """INSERT INTO strandline.asked (run_id, first_n, last_n, day)
           SELECT w.run_id, d.first_n, d.last_n, d.day
           FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS w (run_id, first, last)
           CROSS JOIN LATERAL strandline.by_day(w.run_id, w.first, w.last) d""",
        _columns(ask, 3),
    )


def _add_lost(cursor: Cursor, lost: list[tuple[int, int, int, str]]) -> None:
    cursor.execute(
        """INSERT INTO strandline.lost (run_id, first_n, last_n, day, reason)
           SELECT w.run_id, d.first_n, d.last_n, d.day, w.reason
           FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::text[]) AS w (run_id, first, last, reason)
           CROSS JOIN LATERAL strandline.by_day(w.run_id, w.first, w.last) d""",
        _columns(lost, 4),
    )


def _recover(cursor: Cursor, rows: list[tuple[int, date, int]]) -> None:
    """Add to what was recovered: run, day, events."""
    cursor.execute(
        """INSERT INTO strandline.recovered AS c (run_id, day, events)
           SELECT w.run_id, w.day, sum(w.events)
           FROM unnest(%s::int[], %s::date[], %s::bigint[]) AS w (run_id, day, events)
           GROUP BY 1, 2 ON CONFLICT (run_id, day) DO UPDATE SET events = c.events + excluded.events""",
        _columns(rows, 3),
    )


def _close_asked(cursor: Cursor, gaps: dict[int, Ranges]) -> None:
    """Count what is not missing any more of what was asked for. What still is will be asked for again."""
    cursor.execute("DELETE FROM strandline.asked RETURNING run_id, day, first_n, last_n")
    found = []
    for run_id, day, first, last in cursor.fetchall():
        came = size(without([(first, last)], gaps.get(run_id, [])))
        if came:
            found.append((run_id, day, came))
    _recover(cursor, found)


def _find_lost(cursor: Cursor) -> None:
    """Strike what was called lost and has turned up all the same, for example out of another collector's spool."""
    cursor.execute(
        """DELETE FROM strandline.lost l USING strandline.run r, strandline.sensor s
           WHERE r.id = l.run_id AND s.id = r.sensor_id
             AND (EXISTS (SELECT FROM strandline.event_number e
                          WHERE e.run_id = l.run_id AND e.n BETWEEN l.first_n AND l.last_n)
                  OR EXISTS (SELECT FROM strandline.reject j
                             WHERE j.sensor = s.name AND j.run = r.run AND j.n BETWEEN l.first_n AND l.last_n))
           RETURNING l.run_id, s.name, r.run, l.day, l.first_n, l.last_n, l.reason, l.found_at, l.reported_at"""
    )
    came = []
    for run_id, sensor, run, day, first, last, *rest in cursor.fetchall():
        cursor.execute(
            "SELECT n FROM strandline.event_number WHERE run_id = %s AND n BETWEEN %s AND %s", (run_id, first, last)
        )
        stored = {n for (n,) in cursor.fetchall()}
        cursor.execute(
            "SELECT n FROM strandline.reject WHERE sensor = %s AND run = %s AND n BETWEEN %s AND %s",
            (sensor, run, first, last),
        )
        rejected = {n for (n,) in cursor.fetchall()} - stored
        # Rejects up to checked_n are in its count; these are new there.
        cursor.execute(
            """UPDATE strandline.run_check SET rejected = rejected + (
                   SELECT count(*) FROM unnest(%s::bigint[]) AS w (n) WHERE w.n <= checked_n)
               WHERE run_id = %s""",
            (list(rejected), run_id),
        )
        present = normal((n, n) for n in stored | rejected)
        came.append((run_id, day, size(present)))
        psycopg2.extras.execute_values(
            cursor,
            "INSERT INTO strandline.lost (run_id, day, first_n, last_n, reason, found_at, reported_at) VALUES %s",
            [(run_id, day, *one, *rest) for one in without([(first, last)], present)],
        )
    _recover(cursor, came)


def _advance(cursor: Cursor, checked: dict[int, int]) -> None:
    """Remember up to where each run has no gap."""
    cursor.execute(
        """INSERT INTO strandline.run_check AS c (run_id, checked_n, rejected)
           SELECT w.run_id, w.checked, (
               SELECT count(*) FROM strandline.reject j JOIN strandline.sensor s ON s.name = j.sensor
               WHERE s.id = r.sensor_id AND j.run = r.run AND j.n > coalesce(o.checked_n, 0) AND j.n <= w.checked
                 AND NOT EXISTS (SELECT FROM strandline.event_number e WHERE e.run_id = r.id AND e.n = j.n))
           FROM unnest(%s::int[], %s::bigint[]) AS w (run_id, checked)
           JOIN strandline.run r ON r.id = w.run_id
           LEFT JOIN strandline.run_check o ON o.run_id = w.run_id
           WHERE w.checked > coalesce(o.checked_n, 0)
           ON CONFLICT (run_id) DO UPDATE SET checked_n = excluded.checked_n,
                                              rejected = c.rejected + excluded.rejected""",
        (list(checked), list(checked.values())),
    )
