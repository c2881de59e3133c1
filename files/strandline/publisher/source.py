"""Where the sightings come from: one snapshot of the database for all feeds of a run."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import make_dsn

from .errors import SourceError, SourceUnavailableError
from .window import Window

_LOG = logging.getLogger(__name__)


class Take(Protocol):
    """Takes a source.

    Times are `YYYY-mm-dd HH:MM:SS`, UTC. Bit k of `days` is set when it was seen in the 24 hours that end k days before
    the window does; 0 where that is not known.
    """

    def __call__(self, address: str, first: str, last: str, events: int, verified: int, days: int = 0, /) -> None:
        """Take it."""


TakePast = Callable[[float, float, int, int, int, bool], None]
"""Takes a source as it was at the end of a window: hours since last seen, hours from first to last seen, events,
verified events, days as above, and whether it was seen in the 24 hours after that."""

_TIME = "to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
_COLUMNS = f"host(saddr), {_TIME.format('first_seen')}, {_TIME.format('last_seen')}, events, verified_events"


@dataclass(frozen=True)
class Condition:
    """How fresh the database is. `collectors`: when the loader of each last got ahead."""

    clock: datetime
    newest_event: datetime | None
    collectors: Mapping[str, datetime] = field(default_factory=dict)


class Snapshot(Protocol):
    """The database as it was at one moment, however long it is read."""

    condition: Condition

    def rows(self, category: str, window: Window, take: Take) -> None:
        """Hand over each source of the category, in no particular order.

        Raises SourceError, or SourceUnavailableError when no category can be read any more.
        """

    def rows_of_several(self, category: str, window: Window, take: Take, *, sensors: int, most: int) -> None:
        """Hand over unproven sources that at least `sensors` sensors saw: at most `most`, those with the most events.

        Raises as `rows`.
        """

    def days_with_rows(self, category: str, since: datetime, before: datetime) -> Sequence[datetime]:
        """Return the UTC days that have sightings of the category, of those that begin in a span. `since` begins one.

        Raises as `rows`.
        """

    def recurrence(self, category: str, day: datetime, sample: int, take: TakePast) -> None:
        """Hand over the category's sources as they were when a UTC day began, about one in `sample` of them.

        Raises as `rows`.
        """

    def stays(self, category: str, day: datetime) -> tuple[int, int]:
        """Return how many sources left the feed in the seven days before a UTC day begins, and the median of their
        stay in days (0 when none did). Raises as `rows`.
        """


class Source(Protocol):
    """Something that has snapshots, and takes a note of how a run went."""

    def snapshot(self, *, statement_timeout: int | None = None) -> AbstractContextManager[Snapshot]:
        """Open a snapshot. `statement_timeout`: seconds, if not the usual ones. Raises SourceUnavailableError."""

    def note(self, publisher: str, stale_after: datetime | None, problems: Sequence[str]) -> None:
        """Say how the run went, for the watcher. Raises SourceError."""

    def password_pairs(self, day: date, *, sources: int, most: int) -> Sequence[tuple[str, str, int, int]]:
        """Return user name, password, sources and attempts of each pair of a day. Raises SourceError."""


class _Lines:
    """Takes what COPY sends, in pieces of any size, and hands over its lines."""

    def __init__(self, take: Callable[[list[str]], None]) -> None:
        self._take = take
        self._rest = b""

    def write(self, piece: bytes | str) -> int:
        data = piece.encode() if isinstance(piece, str) else piece
        *lines, self._rest = (self._rest + data).split(b"\n")
        take = self._take
        for line in lines:
            take(line.decode("ascii").split("\t"))
        return len(piece)


class _PostgresSnapshot:
    """A transaction of the isolation level REPEATABLE READ."""

    def __init__(self, connection: Connection, condition: Condition) -> None:
        self._connection = connection
        self._days_known = True
        self.condition = condition

    def _copy(self, query: str, values: Sequence[object], take: Callable[[list[str]], None]) -> None:
        try:
            with self._connection.cursor() as cursor:
                # A category that fails (it takes too long, say) leaves the snapshot to the others.
                cursor.execute("SAVEPOINT category")
                try:
                    statement = cursor.mogrify(query, values).decode()
                    cursor.copy_expert(f"COPY ({statement}) TO STDOUT", _Lines(take), 65536)
                except psycopg2.Error:
                    # Of a lost session there is nothing to take back, and the attempt would hide why it was lost.
                    if not self._connection.closed:
                        cursor.execute("ROLLBACK TO SAVEPOINT category")
                    raise
        except psycopg2.Error as error:
            lost = self._connection.closed or isinstance(error, psycopg2.InterfaceError)
            kind = SourceUnavailableError if lost else SourceError
            raise kind(f"the database gave no rows: {_one_line(error)}") from error

    def rows(self, category: str, window: Window, take: Take) -> None:
        def line(fields: list[str]) -> None:
            address, first, last, events, verified, days = fields
            take(address, first, last, int(events), int(verified), int(days))

        values = (category, window.start, window.end)
        if self._days_known:
            try:
                # S608: a constant.
                self._copy(f"SELECT {_COLUMNS}, days FROM strandline.feed_days(%s, %s, %s)", values, line)  # noqa: S608
                return
            except SourceError as error:
                if not isinstance(error.__cause__, psycopg2.errors.UndefinedFunction):
                    raise
                self._days_known = False
                _LOG.warning(
                    "the database lacks a migration (%s): the feeds have no confidence. Run `site` for the collectors",
                    error,
                )
        self._copy(f"SELECT {_COLUMNS}, 0 FROM strandline.feed(%s, %s, %s)", values, line)  # noqa: S608 - a constant

    def rows_of_several(self, category: str, window: Window, take: Take, *, sensors: int, most: int) -> None:
        def line(fields: list[str]) -> None:
            address, first, last, events, verified = fields
            take(address, first, last, int(events), int(verified))

        self._copy(
            f"SELECT {_COLUMNS} FROM strandline.feed_of_several(%s, %s, %s, %s, %s)",  # noqa: S608 - a constant
            (category, window.start, window.end, sensors, most),
            line,
        )

    def days_with_rows(self, category: str, since: datetime, before: datetime) -> list[datetime]:
        found: list[datetime] = []
        # Each day is one look at the primary key, however many rows it has.
        self._copy(
            "SELECT day FROM generate_series(%s::timestamptz, %s::timestamptz - interval '1 second', '24 hours') day"
            " WHERE EXISTS (SELECT FROM strandline.sighting_day d WHERE d.category = %s AND d.hour = day)",
            (since, before, category),
            lambda fields: found.append(datetime.fromisoformat(fields[0])),
        )
        return found

    def recurrence(self, category: str, day: datetime, sample: int, take: TakePast) -> None:
        def line(fields: list[str]) -> None:
            idle, span, events, verified, days, again = fields
            take(float(idle), float(span), int(events), int(verified), int(days), again == "t")

        self._copy(
            "SELECT date_part('epoch', %s - last_seen) / 3600, date_part('epoch', last_seen - first_seen) / 3600,"
            " events, verified_events, days, again FROM strandline.recurrence(%s, %s, %s)",
            (day, category, day, sample),
            line,
        )

    def stays(self, category: str, day: datetime) -> tuple[int, int]:
        found: list[str] = []
        self._copy(
            "SELECT sources, coalesce(median_days, 0) FROM strandline.stays(%s, %s)", (category, day), found.extend
        )
        return int(found[0]), int(found[1])


class PostgresSource:
    """The database of the collectors, by role strandline_publisher."""

    def __init__(self, parameters: Mapping[str, str], *, statement_timeout: int) -> None:
        """`parameters` are libpq's; `statement_timeout` is in seconds."""
        settings = {
            "application_name": "strandline-publisher",
            "connect_timeout": "10",
            **parameters,
            # Sources are grouped in memory rather than on disk; compiling queries costs more than it gains.
            "options": f"-c statement_timeout={statement_timeout}s -c TimeZone=UTC -c jit=off -c work_mem=32MB",
        }
        self._dsn = make_dsn(**settings)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            connection = psycopg2.connect(self._dsn)
        except psycopg2.Error as error:
            raise SourceUnavailableError(f"the database can't be reached: {_one_line(error)}") from error
        try:
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def snapshot(self, *, statement_timeout: int | None = None) -> Iterator[_PostgresSnapshot]:
        """Open a read-only transaction that sees one moment. Raises SourceUnavailableError."""
        with self._connected() as connection:
            try:
                connection.set_session(
                    isolation_level=psycopg2.extensions.ISOLATION_LEVEL_REPEATABLE_READ, readonly=True
                )
                with connection.cursor() as cursor:
                    if statement_timeout is not None:
                        cursor.execute("SET statement_timeout = %s", (f"{statement_timeout}s",))
                    cursor.execute("SELECT clock, newest_event, collectors FROM strandline.feed_status()")
                    found = cursor.fetchone()
            except psycopg2.Error as error:
                raise SourceUnavailableError(f"the database says nothing of itself: {_one_line(error)}") from error
            if found is None:
                raise SourceUnavailableError("the database says nothing of itself")
            clock, newest, collectors = found
            moved = {str(name): datetime.fromisoformat(moment) for name, moment in collectors.items()}
            yield _PostgresSnapshot(connection, Condition(clock, newest, moved))

    def password_pairs(self, day: date, *, sources: int, most: int) -> list[tuple[str, str, int, int]]:
        """Count a day's pairs: this reads all of its events. Raises SourceError."""
        try:
            with self._connected() as connection, connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT username, password, sources, attempts FROM strandline.password_pairs(%s, %s, %s)",
                    (day, sources, most),
                )
                found: list[tuple[str, str, int, int]] = cursor.fetchall()
                return found
        except psycopg2.Error as error:
            raise SourceError(f"the pairs of {day} can't be counted: {_one_line(error)}") from error

    def note(self, publisher: str, stale_after: datetime | None, problems: Sequence[str]) -> None:
        """Write how the run went into the database. Raises SourceError."""
        try:
            with self._connected() as connection, connection, connection.cursor() as cursor:
                cursor.execute(
                    "SELECT strandline.note_publication(%s, %s, %s)",
                    (publisher, stale_after, json.dumps(list(problems))),
                )
        except psycopg2.Error as error:
            raise SourceError(f"the database takes no note of the run: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
