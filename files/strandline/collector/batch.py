"""Sort lines into what a transaction writes: new rows, doubtful rows, sightings, rejects, the account.

A sensor numbers its events 1, 2, 3, ... within a run. A line whose number is above every number of its run that was
stored or seen before is certainly new: it goes straight into the table. Any other line may be there already (sent
again, or out of order) and takes the way that checks. So exactly once costs next to nothing as long as things go well.

This runs once for each event, up to 100,000 times a second. What many lines share is worked out for the first of them
and found again by the bytes that they share: a Flow. A line whose fields are not those of the flow's first line, or
that is odd in any other way, is read by lines.decode.
"""

from __future__ import annotations

import itertools
import re
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from operator import itemgetter
from socket import AF_INET, inet_pton
from typing import NamedTuple

from strandline.collector.lines import (
    HOUR,
    MICROSECONDS,
    NAME,
    POSTGRES_EPOCH,
    RAW_KEPT,
    UNIX_TO_POSTGRES,
    Record,
    Reject,
    decode,
    iso,
    timestamp,
)
from strandline.collector.spool import Chunk, Position
from strandline.event.feeds import Feeds

# Registering a run, a kind or a day is a round trip to the database: the callers hand these in.
FindRun = Callable[[str, str], tuple[int, int]]  # (sensor, run) -> (run id, highest n stored)
KindKey = tuple[str, str, bool, bool, tuple[str, ...]]  # event, proto, verified, cut, names of its fields
FindKind = Callable[[KindKey], int]
FindDay = Callable[[str], bool]  # YYYY-MM-DD -> can events of that day be stored?

# A transaction of a backlog spans several chunks, since it notes each sighting once, however often it is counted.
# Half as many would be a tenth more to note; each takes about 300 bytes, and two batches are in memory.
MAX_SIGHTINGS = 7_000
MAX_DOUBTFUL = 4000
MAX_REJECTS = 1000
MAX_SECONDS = 2.0
MAX_CACHED = 20_000  # runs, flows, days: a sensor that invents them must not fill our memory
MAX_REMEMBERED = 256  # of one field's values, which strangers choose

# Columns of strandline.event_row in the order of a row, which is COPY's binary format
# (https://www.postgresql.org/docs/17/sql-copy.html): each field has its length in front. What flows share comes first.
COLUMNS = "run_id, kind, dport, daddr, saddr, n, ts, rts, sport, fields"
_shared = struct.Struct(">hiiihii").pack  # 10 fields; run_id, kind, dport
_rest = struct.Struct(">iqiqiqiii").pack  # n, ts, rts, sport, the length of what follows
_INET = {4: b"\0\0\0\x08\x02\x20\0\x04", 16: b"\0\0\0\x14\x03\x80\0\x10"}  # length, family, bits, no network, bytes
_V4 = _INET[4]

# A line of the usual form; what it says of the source is looked at more closely below.
_usual = re.compile(
    rb"([^\t]+)\t([1-9][0-9]{0,17})\t([0-9]{10})\.([0-9]{6})\t([0-9]{10}\.[0-9]{6})\t"
    rb"event=([^ ]+) saddr=([0-9.]{7,15}) sport=([0-9]{1,5}) (daddr=[^ ]+ dport=[0-9]{1,5} proto=[a-z0-9]+) ([^\t]+)\t"
).fullmatch
# The fields of the first line of a flow, to make an expression for those of the others. The groups: a name with its =,
# and the opening quote of a value.
_fields = re.compile(rb'([a-z][a-z0-9_]*=)(?:[A-Za-z0-9_.:+/=-]+|(")[^"]*")(?: |$)').findall


def inet(packed: bytes) -> bytes:
    """Return an address as a field of a row."""
    return _INET[len(packed)] + packed


class Run:
    """A run and the highest number of it that this process has seen; and where a batch counts its new rows."""

    __slots__ = ("batch", "counted", "high", "hour", "id", "rows", "span", "tally")

    def __init__(self, run_id: int, high: int) -> None:
        """Start from what the database has."""
        self.id = run_id
        self.high = high
        self.batch = -1  # its serial: the batch itself would stay in memory for as long as its runs are known
        self.hour = -1
        self.tally = Tally()  # of that hour's day
        self.rows: list[bytes] = []  # new ones of the chunk at hand
        self.counted = 0  # how many of them are in the tally

    def enter(self, batch: Batch) -> None:
        """Count new rows in a batch from now on."""
        self.batch, self.hour = batch.serial, -1
        self.span = batch.highs.setdefault(self.id, [self.high, self.high])

    def turn(self, batch: Batch, hour: int) -> None:
        """Count for the day of an hour from now on."""
        self.count()
        self.hour = hour
        self.tally = batch.tally(self.id, day_of(hour))

    def count(self) -> None:
        """Count the rows that are not counted yet: for each row by itself that would cost more."""
        self.tally.stored += len(self.rows) - self.counted
        self.counted = len(self.rows)

    def take(self) -> list[bytes]:
        """Return the chunk's new rows, when there are no more of it."""
        self.count()
        rows, self.rows, self.counted = self.rows, [], 0
        self.span[1] = self.high
        return rows


class Group:
    """The categories that some events count for, and where a batch counts their sources."""

    __slots__ = ("batch", "categories", "hour", "sources")

    def __init__(self, categories: list[str]) -> None:
        """Start outside of any batch."""
        self.categories = categories
        self.batch = self.hour = -1
        self.sources: list[dict[bytes, list[int]]] = []

    def enter(self, batch: Batch, hour: int) -> None:
        """Count in a batch and an hour from now on."""
        if self.batch != batch.serial:
            batch.groups.append(self)
        self.batch, self.hour = batch.serial, hour
        self.sources = [batch.sources(category, hour) for category in self.categories]

    def leave(self) -> None:
        """Let go of what was counted: an event like these may never come again, and megabytes would stay in memory."""
        self.batch = self.hour = -1
        self.sources = []


class Form:
    """What the events of a flow share that have the same fields and are equally sure of their source."""

    __slots__ = ("asked", "group", "prefix", "record", "remembered", "run", "verified")

    def __init__(self, record: Record, run: Run, kind: int, feeds: Feeds) -> None:
        """Take it from one event of them."""
        self.run = run
        self.verified = int(record.verified)
        self.prefix = _shared(10, 4, run.id, 2, kind, 4, record.dport) + inet(record.daddr)
        # The fields that its categories depend on; without any, all its events have the same.
        conditions = {condition.name for rule in feeds.by_event.get(record.event, ()) for condition in rule.conditions}
        asked = [index for index, name in enumerate(record.names) if name in conditions]
        self.group = None if asked else Group(categories_of(record, feeds))
        self.record = record
        self.asked = itemgetter(*asked or [0])
        self.remembered: dict[object, Group] = {}  # by the values of these fields

    def choose(self, values: tuple[bytes, ...], feeds: Feeds) -> Group:
        """Return the categories of an event, by the values of its fields."""
        if len(self.remembered) >= MAX_REMEMBERED:
            self.remembered.clear()
        group = Group(categories_of(self.record._replace(values=values), feeds))
        self.remembered[self.asked(values)] = group
        return group


class Flow:
    """What the events share that have the run, the name, and the address and port of the sensor in common."""

    __slots__ = ("claims", "forms", "match", "names")

    def __init__(self, own: bytes) -> None:
        """Take the names of the fields from the first of them, which was found to be well-formed."""
        names = _fields(own)
        self.claims = names[0][0] == b"verified="  # its value decides between two forms, and is no field of the row
        self.names = tuple([name[:-1].decode() for name, _ in names[self.claims :]])
        self.match = re.compile(
            b" ".join(name + (rb'"([ !#-~]*)"' if quote else rb"([A-Za-z0-9_.:+/=-]+)") for name, quote in names)
        ).fullmatch
        self.forms: dict[bytes, Form] = {}  # by the value of `verified`, or by nothing


def categories_of(record: Record, feeds: Feeds) -> list[str]:
    """Return the categories that an event counts for."""
    return feeds.categories(record.event, record.data, record.proto, record.dport, record.verified)


class Doubtful(NamedTuple):
    """A row that may be stored already."""

    key: tuple[int, int, int]  # run id, n, time stamp in microseconds since 2000
    row: bytes
    day: str
    below: bool  # its number is not above those seen before
    categories: list[str]
    hour: int
    saddr: bytes  # a field of a row
    ts: int
    verified: int


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
    # (category, hour): by source: first seen, last seen, events, verified events
    sightings: dict[tuple[str, int], dict[bytes, list[int]]] = field(default_factory=dict)
    sighted: int = 0  # how many sightings that is
    groups: list[Group] = field(default_factory=list)  # that count in `sightings`
    tallies: dict[tuple[int, str], Tally] = field(default_factory=dict)
    highs: dict[int, list[int]] = field(default_factory=dict)  # run id: highest n before and after
    last_rts: int | None = None  # receipt of the last good line
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

    def sources(self, category: str, hour: int) -> dict[bytes, list[int]]:
        """Return the sightings of a category and an hour, by source."""
        sources = self.sightings.get((category, hour))
        if sources is None:
            sources = self.sightings[category, hour] = {}
        return sources

    def see(self, sources: dict[bytes, list[int]], saddr: bytes, ts: int, verified: int) -> None:
        """Count one event of a source."""
        seen = sources.get(saddr)
        if seen is None:
            sources[saddr] = [ts, ts, 1, verified]
            self.sighted += 1
            return
        seen[2] += 1
        seen[3] += verified
        if ts < seen[0]:
            seen[0] = ts
        elif ts > seen[1]:
            seen[1] = ts

    def tally(self, run_id: int, day: str) -> Tally:
        """Return the account of a run's day."""
        key = (run_id, day)
        tally = self.tallies.get(key)
        if tally is None:
            tally = self.tallies[key] = Tally()
        return tally


def day_of(hour: int) -> str:
    """Return the UTC day of an hour since 2000 as YYYY-MM-DD."""
    return f"{POSTGRES_EPOCH + timedelta(hours=hour):%Y-%m-%d}"


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
            rts = iso(timestamp(reject.rts))
    raw = line if reject.message is None else reject.message.encode("utf-8", "replace")
    full = len(raw) if length is None else length
    reason = reject.reason.replace("\0", "")
    return RejectRow(rts, _text(reject.sensor), _text(reject.run), n, reason, raw[:RAW_KEPT], full)


class Builder:
    """Builds batches; remembers runs, flows and days between them."""

    def __init__(
        self, feeds: Feeds, find_run: FindRun, find_kind: FindKind, find_day: FindDay, max_line: int
    ) -> None:  # fmt: skip
        """Keep what is needed to look runs, kinds and days up."""
        self._feeds = feeds
        self._find_run = find_run
        self._find_kind = find_kind
        self._find_day = find_day
        self._max_line = max_line
        self._runs: dict[tuple[str, str], Run] = {}
        self._forms: dict[tuple[object, ...], Form] = {}
        self._flows: dict[tuple[bytes, bytes, bytes], Flow] = {}
        self._kinds: dict[KindKey, int] = {}
        self._days: dict[int, bool] = {}  # by hour: can its events be stored?
        self._groups: list[Group] = []  # that count in the batch at hand

    def reset(self) -> None:
        """Forget what was learned: the database has moved on, or a transaction that it counted on has failed."""
        for cache in (self._runs, self._forms, self._flows, self._kinds, self._days):
            cache.clear()

    def _run(self, record: Record) -> Run:
        """Return the run of an event; raise Reject when its name is not that of a run."""
        key = (record.sensor, record.run)
        run = self._runs.get(key)
        if run is None:
            for name, value in zip(("sensor", "run"), key, strict=True):
                if not NAME.fullmatch(value):
                    raise refuse(record, f"{name}: not a name")
            run = self._runs[key] = Run(*self._find_run(*key))
        return run

    def _form(self, record: Record) -> Form:
        """Return what an event shares with others; raise Reject when its run has no name."""
        key = (
            record.sensor, record.run, record.event, record.daddr, record.dport, record.proto, record.verified,
            record.cut, record.names,
        )  # fmt: skip
        form = self._forms.get(key)
        if form is None:
            run = self._run(record)
            kind = (record.event, record.proto, record.verified, record.cut, record.names)
            number = self._kinds.get(kind)
            if number is None:
                number = self._kinds[kind] = self._find_kind(kind)
            form = self._forms[key] = Form(record, run, number, self._feeds)
        return form

    def _can_store(self, record: Record | None, hour: int) -> bool:
        """Tell whether the events of an hour can be stored; with an event of it, raise Reject when they can't."""
        known = self._days.get(hour)
        if known is None:
            known = self._days[hour] = self._find_day(day_of(hour))
        if not known and record is not None:
            raise refuse(record, f"ts: {day_of(hour)} is outside the days that are kept")
        return known

    def _read(self, line: bytes) -> tuple[Record, Form]:
        """Read any line, and learn from it how to read those like it; raise Reject when it is no event."""
        if len(line) > self._max_line:
            raise Reject(f"longer than {self._max_line} bytes")
        record = decode(line)
        self._can_store(record, record.ts // HOUR)
        form = self._form(record)
        match = _usual(line)
        if match is not None and not record.cut:
            who, event, there, own = match.group(1, 6, 9, 10)
            flow = self._flows.get((who, event, there))
            if flow is None:
                flow = self._flows[who, event, there] = Flow(own)
            found = flow.match(own)
            if found is not None and flow.names == record.names and (not flow.claims or found[1] in (b"yes", b"no")):
                flow.forms.setdefault(found[1] if flow.claims else b"", form)
        return record, form

    def _take(self, batch: Batch) -> None:
        """Go on with a batch; when it is another one, nothing here holds on to what the last one counted."""
        if batch.groups is not self._groups:
            for group in self._groups:
                group.leave()
            self._groups = batch.groups

    def add(self, batch: Batch, chunk: Chunk) -> list[bytes]:
        """Sort a chunk into a batch and return the rows that are certainly new, those of each run together.

        psycopg2.Error from the look-ups passes; the batch is then of no use any more.
        """
        if any(len(cache) > MAX_CACHED for cache in (self._runs, self._forms, self._flows, self._days)):
            self.reset()
        self._take(batch)
        batch.move(chunk)
        touched: dict[int, Run] = {}
        self._sort(batch, chunk.lines, touched)
        if chunk.too_long is not None:
            reason = f"longer than {self._max_line} bytes" if chunk.after.mid_line else "the last line never ended"
            batch.rejects.append(reject_row(Reject(reason), chunk.too_long, chunk.too_long_length))
        rows: list[bytes] = []
        for run in touched.values():
            # Together: the index on run and number then grows at a few places, whose pages get full.
            rows += run.take()
        batch.copied += len(rows)
        return rows

    # In one piece: a call more for each line would cost a tenth of it.
    def _sort(  # noqa: PLR0912, PLR0915
        self, batch: Batch, lines: list[bytes], touched: dict[int, Run]
    ) -> None:
        """Put each event where it belongs; runs with new rows are noted."""
        flows, days, feeds, serial = self._flows, self._days, self._feeds, batch.serial
        max_line, careful = self._max_line, batch.careful
        rts: int | None = None
        # Many lines are received at once, and many happened in the same second.
        latest, latest_rts = b"", 0
        second, since, in_hour, is_kept = b"", 0, 0, False
        for line in lines:
            form: Form | None = None
            match = _usual(line)
            if match is not None and len(line) <= max_line:
                who, number, s, us, received, event, source, sport_text, there, own = match.groups()
                flow = flows.get((who, event, there))
                found = None if flow is None else flow.match(own)
                if flow is not None and found is not None:
                    values = found.groups()
                    try:  # to look it up among those seen before would take as long
                        saddr = _V4 + inet_pton(AF_INET, source.decode())
                    except OSError:
                        saddr = b""
                    sport = int(sport_text)
                    if s != second:
                        second, since = s, int(s) * MICROSECONDS - UNIX_TO_POSTGRES
                        in_hour = since // HOUR
                        is_kept = days.get(in_hour) or self._can_store(None, in_hour)
                    if flow.claims:
                        form = flow.forms.get(values[0])
                        values = values[1:]
                    else:
                        form = flow.forms.get(b"")
                    fields = b"\t".join(values)
                    if (
                        form is None
                        or not saddr
                        or sport > 65535
                        or (b"\\" in fields and fields.count(b"\\") != fields.count(b"\\x"))
                        or not is_kept
                    ):
                        form = None
                    else:
                        n, ts, hour = int(number), since + int(us), in_hour
                        if received != latest:
                            latest, latest_rts = received, int(received.replace(b".", b"")) - UNIX_TO_POSTGRES
                        rts = latest_rts
            if form is None:
                try:
                    record, form = self._read(line)
                except Reject as reject:
                    batch.rejects.append(reject_row(reject, line))
                    continue
                n, ts, rts, sport, values = record.n, record.ts, record.rts, record.sport, record.values
                saddr, fields, hour = inet(record.saddr), b"\t".join(values), ts // HOUR
            run = form.run
            row = form.prefix + saddr + _rest(8, n, 8, ts, 8, rts, 4, sport, len(fields)) + fields
            group = form.group or form.remembered.get(form.asked(values)) or form.choose(values, feeds)
            new = n > run.high
            if new:
                if run.batch != serial:
                    run.enter(batch)
                run.high = n
            if careful or not new:
                if new:
                    run.span[1] = n
                day = day_of(hour)
                key = (run.id, n, ts)
                doubt = Doubtful(key, row, day, not new, group.categories, hour, saddr, ts, form.verified)
                batch.doubtful.append(doubt)
                continue
            if run.hour != hour:
                run.turn(batch, hour)
            rows = run.rows
            if not rows:
                touched[run.id] = run
            rows.append(row)
            if group.batch != serial or group.hour != hour:
                group.enter(batch, hour)
            for sources in group.sources:
                seen = sources.get(saddr)
                if seen is None:
                    sources[saddr] = [ts, ts, 1, form.verified]
                    batch.sighted += 1
                else:
                    seen[2] += 1
                    seen[3] += form.verified
                    if ts < seen[0]:
                        seen[0] = ts
                    elif ts > seen[1]:
                        seen[1] = ts
        if rts is not None:
            batch.last_rts = rts


def refuse(record: Record, reason: str) -> Reject:
    """Return the refusal of an event that was well-formed."""
    return Reject(reason, record.sensor, record.run, str(record.n), iso(record.rts))
