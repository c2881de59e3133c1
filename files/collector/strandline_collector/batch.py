"""Sort lines into what a transaction writes: new rows, doubtful rows, sightings, rejects, the account.

A sensor numbers its events 1, 2, 3, ... within a run. A line whose number is above every number of its run that was
stored or seen before is certainly new: it goes straight into the table. Any other line may be there already (sent
again, or out of order) and takes the way that checks. So exactly once costs next to nothing as long as things go well.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from strandline_collector.feeds import Feeds
from strandline_collector.lines import NAME, RAW_KEPT, Record, Reject, decode, microseconds, timestamp
from strandline_collector.spool import Chunk, Position

# Registering a run or a day is a round trip to the database: the callers hand these in.
FindRun = Callable[[str, str], tuple[int, int]]  # (sensor, run) -> (run id, highest n stored)
FindDay = Callable[[str], bool]  # YYYY-MM-DD -> can events of that day be stored?

# A transaction of a backlog spans several chunks, since it notes each sighting once, however often it is counted.
# Half as many would be a tenth more to note; each takes about 400 bytes, and two batches are in memory.
MAX_SIGHTINGS = 10_000
MAX_DOUBTFUL = 4000
MAX_REJECTS = 1000
MAX_SECONDS = 2.0
MAX_CACHED = 20_000  # runs, days: a sensor that invents them must not fill our memory


class Run:
    """A run and the highest number of it that this process has seen; and where a batch counts its new rows."""

    __slots__ = ("batch", "day", "high", "id", "prefix", "span", "tally")

    def __init__(self, run_id: int, high: int) -> None:
        """Start from what the database has."""
        self.id = run_id
        self.high = high
        self.prefix = str(run_id).encode()  # what a row begins with
        self.batch = -1  # its serial: the batch itself would stay in memory for as long as its runs are known
        self.day = ""

    def enter(self, batch: Batch) -> None:
        """Count new rows in a batch from now on."""
        self.batch, self.day = batch.serial, ""
        self.span = batch.highs.setdefault(self.id, [self.high, self.high])

    def count(self, batch: Batch, day: str) -> None:
        """Count one new row of a day."""
        if self.day != day:
            self.day, self.tally = day, batch.tally(self.id, day)
        self.tally.stored += 1


class Doubtful(NamedTuple):
    """A row that may be stored already."""

    key: tuple[int, int, int]  # run id, n, time stamp in microseconds
    row: bytes
    day: str
    below: bool  # its number is not above those seen before
    categories: list[str]
    hour: str
    saddr: str
    ts: str
    verified: bool


class RejectRow(NamedTuple):
    """A row of the table of rejects."""

    rts: str | None
    sensor: str | None
    run: str | None
    n: int | None
    reason: str
    raw: bytes
    raw_length: int


@dataclass(slots=True)
class Sighting:
    """What one transaction adds to a (category, hour, source)."""

    first_seen: str
    last_seen: str
    events: int
    verified_events: int


@dataclass(slots=True)
class Tally:
    """What one transaction adds to a (run, day)."""

    stored: int = 0
    late: int = 0
    duplicates: int = 0


@dataclass(slots=True)
class Batch:
    """What one transaction writes besides the new rows, which go to the database chunk by chunk."""

    moves: dict[str, tuple[Position | None, Position]] = field(default_factory=dict)  # file: position before and after
    careful: bool = False  # every row takes the way that checks
    copied: int = 0  # new rows
    doubtful: list[Doubtful] = field(default_factory=list)
    rejects: list[RejectRow] = field(default_factory=list)
    sightings: dict[tuple[str, str], dict[str, Sighting]] = field(default_factory=dict)  # (category, hour): by source
    sighted: int = 0  # how many sightings that is
    tallies: dict[tuple[int, str], Tally] = field(default_factory=dict)
    highs: dict[int, list[int]] = field(default_factory=dict)  # run id: highest n before and after
    last_rts: str | None = None  # receipt of the last good line
    begun: float = field(default_factory=time.monotonic)
    serial: int = field(default_factory=itertools.count().__next__)

    def is_large(self) -> bool:
        """Tell whether it is time to commit: what is kept in memory is bounded, and so is the time others wait."""
        return (
            self.sighted > MAX_SIGHTINGS
            or len(self.doubtful) > MAX_DOUBTFUL
            or len(self.rejects) > MAX_REJECTS
            or time.monotonic() - self.begun > MAX_SECONDS
        )

    def move(self, chunk: Chunk) -> None:
        """Note that a chunk has been read."""
        before = self.moves[chunk.file][0] if chunk.file in self.moves else chunk.before
        self.moves[chunk.file] = (before, chunk.after)

    def see(self, categories: Iterable[str], hour: str, saddr: str, ts: str, verified: bool) -> None:
        """Count one event of a source for each category."""
        for category in categories:
            sources = self.sightings.get((category, hour))
            if sources is None:
                sources = self.sightings[category, hour] = {}
            known = sources.get(saddr)
            if known is None:
                sources[saddr] = Sighting(ts, ts, 1, int(verified))
                self.sighted += 1
                continue
            known.events += 1
            known.verified_events += verified
            # One form of time stamp throughout: it sorts as text.
            if ts < known.first_seen:
                known.first_seen = ts
            elif ts > known.last_seen:
                known.last_seen = ts

    def tally(self, run_id: int, day: str) -> Tally:
        """Return the account of a run's day."""
        key = (run_id, day)
        tally = self.tallies.get(key)
        if tally is None:
            tally = self.tallies[key] = Tally()
        return tally


def _text(value: object) -> str | None:
    """Return an unchecked field of a rejected line fit for a text column."""
    return value[:255].replace("\0", "") if isinstance(value, str) and value else None


def reject_row(reject: Reject, line: bytes, length: int | None = None) -> RejectRow:
    """Make the row for a rejected line; nothing of it is trusted to fit its column."""
    rts: str | None = None
    n: int | None = None
    if isinstance(reject.n, str) and reject.n.isascii() and reject.n.isdigit() and len(reject.n) < 19:
        n = int(reject.n)
    if isinstance(reject.rts, str):
        with suppress(ValueError, OverflowError):
            rts = timestamp(reject.rts)
    raw = line if reject.message is None else reject.message.encode("utf-8", "replace")
    full = len(raw) if length is None else length
    reason = reject.reason.replace("\0", "")
    return RejectRow(rts, _text(reject.sensor), _text(reject.run), n, reason, raw[:RAW_KEPT], full)


class Builder:
    """Builds batches; remembers runs and days between them."""

    def __init__(self, feeds: Feeds, find_run: FindRun, find_day: FindDay, max_line: int) -> None:
        """Keep what is needed to look runs and days up."""
        self._feeds = feeds
        self._find_run = find_run
        self._find_day = find_day
        self._max_line = max_line
        self._runs: dict[tuple[str, str], Run] = {}
        self._days: dict[str, bool] = {}
        self._hours: dict[str, str] = {}

    def reset(self) -> None:
        """Forget what was learned: the database has moved on, or a transaction that it counted on has failed."""
        self._runs.clear()
        self._days.clear()

    def _run(self, record: Record) -> Run:
        """Return the run of an event; raise Reject when its name is none."""
        key = (record.sensor, record.run)
        run = self._runs.get(key)
        if run is None:
            for name, value in zip(("sensor", "run"), key, strict=True):
                if not NAME.fullmatch(value):
                    raise Reject(f"{name}: not a name", *key, str(record.n), record.rts)
            run = self._runs[key] = Run(*self._find_run(*key))
        return run

    def _hour(self, text: str) -> str:
        """Return an hour, always the same object: a hundred thousand sightings share it."""
        if len(self._hours) > MAX_CACHED:
            self._hours.clear()
        return self._hours.setdefault(text, text)

    def _check_day(self, record: Record) -> None:
        """Raise Reject when the event's day cannot be stored."""
        day = record.ts[:10]
        known = self._days.get(day)
        if known is None:
            known = self._days[day] = self._find_day(day)
        if not known:
            reason = f"ts: {day} is outside the days that are kept"
            raise Reject(reason, record.sensor, record.run, str(record.n), record.rts)

    def add(self, batch: Batch, chunk: Chunk) -> list[bytes]:
        """Sort a chunk into a batch and return the rows that are certainly new.

        psycopg2.Error from the look-ups passes; the batch is then of no use any more.
        """
        for cache in (self._runs, self._days):
            if len(cache) > MAX_CACHED:
                cache.clear()
        batch.move(chunk)
        rows: list[bytes] = []
        for line in chunk.lines:
            try:
                if len(line) > self._max_line:
                    raise Reject(f"longer than {self._max_line} bytes")
                self._add(batch, rows, decode(line))
            except Reject as reject:
                batch.rejects.append(reject_row(reject, line))
        if chunk.too_long is not None:
            reason = f"longer than {self._max_line} bytes" if chunk.after.mid_line else "the last line never ended"
            batch.rejects.append(reject_row(Reject(reason), chunk.too_long, chunk.too_long_length))
        batch.copied += len(rows)
        return rows

    def _add(self, batch: Batch, rows: list[bytes], record: Record) -> None:
        """Put one event where it belongs."""
        sensor, run_name, n, ts, rts, event, saddr, dport, proto, verified, data, tail = record
        day = ts[:10]
        if not self._days.get(day):
            self._check_day(record)
        run = self._runs.get((sensor, run_name)) or self._run(record)
        hour = self._hours.get(ts[:13])
        if hour is None:
            hour = self._hour(ts[:13])
        categories = self._feeds.categories(event, data, proto, dport, verified)
        batch.last_rts = rts
        new = n > run.high
        if new:
            if run.batch != batch.serial:
                run.enter(batch)
            run.high = run.span[1] = n
        if batch.careful or not new:
            key = (run.id, n, microseconds(ts))
            row = run.prefix + tail
            batch.doubtful.append(Doubtful(key, row, day, not new, categories, hour, saddr, ts, verified))
            return
        rows.append(run.prefix + tail)
        batch.see(categories, hour, saddr, ts, verified)
        run.count(batch, day)
