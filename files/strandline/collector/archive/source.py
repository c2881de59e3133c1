"""The archive's side of the database: what the account says of a day, and the day's rows. It only reads."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg2
import psycopg2.extensions

from .store import Account

# Days that the database has dropped are left out: what the archive has of them is whole.
ACCOUNT = """
    SELECT t.day::text, s.name, r.run, sum(t.stored)::bigint
    FROM strandline.tally t JOIN strandline.run r ON r.id = t.run_id JOIN strandline.sensor s ON s.id = r.sensor_id
    WHERE t.stored > 0 AND t.day < (now() AT TIME ZONE 'UTC')::date
      AND coalesce(to_regclass('strandline.event_row_p' || to_char(t.day, 'YYYYMMDD')),
                   to_regclass('strandline.event_before_p' || to_char(t.day, 'YYYYMMDD'))) IS NOT NULL
    GROUP BY 1, 2, 3
"""
RUNS = """
    SELECT r.id, s.name, r.run, t.stored
    FROM strandline.tally t JOIN strandline.run r ON r.id = t.run_id JOIN strandline.sensor s ON s.id = r.sensor_id
    WHERE t.day = %s AND t.stored > 0
"""
IN_DAY = "ts >= '{day} 00:00:00+00' AND ts < '{day} 00:00:00+00'::timestamptz + interval '24 hours'"
PLACE = "timezone('UTC', e.ts), timezone('UTC', e.rts), e.n, e.run_id, e.sport, e.dport"
ROWS = "SELECT {place}, e.kind, e.saddr, e.daddr, e.fields FROM strandline.event_row e WHERE e.{in_day}"
# What was stored before events had their present form (files/database/0010_compact_events.sql) is brought into it, with
# kinds of its own below 0. A length is a number, everything else is text.
BEFORE = """
    SELECT b.*, k.names, k.fields, k.lengths
    FROM strandline.event_before b, LATERAL (
        SELECT coalesce(array_agg(d.key ORDER BY d.at) FILTER (WHERE NOT d.is_length), '{{}}') AS names,
               coalesce(string_agg(d.value, E'\\t' ORDER BY d.at) FILTER (WHERE NOT d.is_length), '') AS fields,
               string_agg(left(d.key, -7) || E'\\t' || d.value, E'\\t' ORDER BY d.at) FILTER (WHERE d.is_length)
                   AS lengths
        FROM (SELECT j.key, j.value #>> '{{}}' AS value, j.at, jsonb_typeof(j.value) = 'number' AS is_length
              FROM jsonb_each(b.data) WITH ORDINALITY j (key, value, at)) d) k
    WHERE b.{in_day}
"""
BEFORE_KINDS = """
    SELECT -row_number() OVER (ORDER BY b.event, b.proto, b.verified, b.lengths IS NOT NULL, b.names)::integer AS id,
           b.event, b.proto, b.verified, b.lengths IS NOT NULL AS cut, b.names
    FROM ({before}) b GROUP BY b.event, b.proto, b.verified, b.lengths IS NOT NULL, b.names
"""
BEFORE_ROWS = """
    UNION ALL
    SELECT {place}, k.id, e.saddr, e.daddr, concat_ws(E'\\t', CASE WHEN e.names <> '{{}}' THEN e.fields END, e.lengths)
    FROM ({before}) e JOIN ({kinds}) k
    ON (k.event, k.proto, k.verified, k.cut, k.names) = (e.event, e.proto, e.verified, e.lengths IS NOT NULL, e.names)
"""


class Kind(NamedTuple):
    """What the rows of one kind have in common, as strandline.event_kind has it."""

    id: int
    event: str
    proto: str
    verified: bool
    cut: bool
    names: list[str]


class Run(NamedTuple):
    """One run, and how many of its events the account has for the day."""

    id: int
    sensor: str
    run: str
    stored: int


class Source:
    """A connection that reads, and sees one day as it is at one moment."""

    def __init__(self, dsn: str) -> None:
        """Connect. Raises psycopg2.Error."""
        self.connection = psycopg2.connect(
            dsn,
            connect_timeout=10,
            application_name="strandline-archive",
            options="-c timezone=UTC -c datestyle=ISO -c jit=off -c lock_timeout=60s",
        )
        self.connection.set_session(
            isolation_level=psycopg2.extensions.ISOLATION_LEVEL_REPEATABLE_READ, readonly=True, autocommit=False
        )

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def accounts(self) -> dict[str, Account]:
        """The account of each day that has ended and that the database still has. Raises psycopg2.Error."""
        found: dict[str, Account] = defaultdict(dict)
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(ACCOUNT)
            for day, sensor, run, stored in cursor:
                found[day][sensor, run] = int(stored)
        return dict(found)

    def day(self, day: str) -> Day:
        """Begin to read a day: what its methods return is of one moment. Call `end` afterwards."""
        return Day(self.connection, day)

    def end(self) -> None:
        """End the transaction in which a day was read."""
        if not self.connection.closed:
            self.connection.rollback()


class Day:
    """One day, within one transaction. `day` is YYYY-MM-DD, from the database itself. Methods raise psycopg2.Error."""

    def __init__(self, connection: psycopg2.extensions.connection, day: str) -> None:
        self._connection = connection
        self._day = day
        self._in_day = IN_DAY.format(day=day)
        self._before = BEFORE.format(in_day=self._in_day)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT EXISTS (SELECT FROM strandline.event_before WHERE {self._in_day})")  # noqa: S608
            self._is_old = cursor.fetchone() == (True,)

    def runs(self) -> list[Run]:
        """The runs that the account has."""
        with self._connection.cursor() as cursor:
            cursor.execute(RUNS, (self._day,))
            return [Run(*row) for row in cursor.fetchall()]

    def kinds(self) -> list[Kind]:
        """The kinds that the rows name."""
        query = "SELECT id, event, proto, verified, cut, names FROM strandline.event_kind"
        if self._is_old:
            query += f" UNION ALL SELECT * FROM ({BEFORE_KINDS.format(before=self._before)}) old"  # noqa: S608 - ours
        with self._connection.cursor() as cursor:
            cursor.execute(query)
            return [Kind(*row) for row in cursor.fetchall()]

    @contextmanager
    def rows(self) -> Iterator[str]:
        """A file from which the rows can be read once, as CSV in the order of `writer.STAGE`, while the block runs.

        Leaving the block raises psycopg2.Error when the rows did not come to their end.
        """
        query = ROWS.format(place=PLACE, in_day=self._in_day)
        if self._is_old:
            kinds = BEFORE_KINDS.format(before=self._before)
            query += BEFORE_ROWS.format(place=PLACE, before=self._before, kinds=kinds)
        reader, writer = os.pipe()
        failed: list[BaseException] = []

        def send() -> None:
            try:
                with os.fdopen(writer, "wb", buffering=1 << 20) as file, self._connection.cursor() as cursor:
                    cursor.copy_expert(f"COPY ({query}) TO STDOUT (FORMAT csv)", file)
            except BaseException as error:  # raised in the thread that waits
                failed.append(error)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield f"/proc/self/fd/{reader}"
        finally:
            os.close(reader)  # so that nobody writes for ever to a reader that has given up
            thread.join()
        if failed:
            raise failed[0]
