"""The loader's side of the database: one session that writes, one that looks runs and days up.

Everything of a batch, the positions of its files included, is written in one transaction. Whatever happens to the
loader or the database, either all of it is there or nothing is, and the positions tell which.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg2
import psycopg2.extras

from strandline.collector.batch import COLUMNS, Batch, KindKey
from strandline.collector.lines import HOUR
from strandline.collector.spool import Position


class Busy(Exception):
    """Another loader works on the same spool."""


class Outpaced(Exception):
    """The database is not where this process believes it is: read runs and positions again.

    Another collector's loader stored lines of the same run, or our own former session committed after all.
    """


def _array(values: Iterable[object]) -> str:
    """Return a PostgreSQL array literal. For values without quotes, commas, braces, blanks and backslashes only."""
    return "{" + ",".join(map(str, values)) + "}"


# One statement locks the runs in the order of their ids (two loaders cannot wait for each other), compares and raises.
# A batch whose rows were all checked need not compare.
RAISE_HIGHS = """
    WITH wanted AS (SELECT * FROM unnest(%s::int[], %s::bigint[], %s::bigint[]) AS w (id, old, new)),
         locked AS (SELECT r.id, w.new FROM strandline.run r JOIN wanted w ON w.id = r.id AND (w.old = r.high_n OR %s)
                    ORDER BY r.id FOR UPDATE OF r)
    UPDATE strandline.run r SET high_n = greatest(r.high_n, l.new) FROM locked l WHERE r.id = l.id
"""
# What was stored before events had their present form has a table of its own (files/database/0010_compact_events.sql).
INSERT_DOUBTFUL = f"""
    INSERT INTO strandline.event_row ({COLUMNS})
    SELECT {COLUMNS} FROM doubtful d
    WHERE NOT EXISTS (SELECT FROM strandline.event_before b WHERE b.run_id = d.run_id AND b.n = d.n AND b.ts = d.ts)
    ON CONFLICT DO NOTHING
    RETURNING run_id, n, (extract(epoch FROM ts) * 1000000)::bigint - 946684800000000
"""  # noqa: S608 - constants
SIGHTING = "category, hour, first_seen, last_seen, events, verified_events, saddr"
# COPY's binary format: what stands before the rows (no flags, no extension) and behind them.
HEADER, TRAILER = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", b"\xff\xff"
_sighting = struct.Struct(">iqiqiqiqiq").pack  # hour, first seen, last seen, events, verified events
ADD_TALLIES = """
    INSERT INTO strandline.tally AS t (run_id, day, stored, late, duplicates)
    SELECT * FROM unnest(%s::int[], %s::date[], %s::bigint[], %s::bigint[], %s::bigint[]) ORDER BY 1, 2
    ON CONFLICT (run_id, day) DO UPDATE SET
        stored = t.stored + excluded.stored,
        late = t.late + excluded.late,
        duplicates = t.duplicates + excluded.duplicates
"""
ADD_REJECTS = """
    INSERT INTO strandline.reject (rts, sensor, run, n, reason, raw, raw_length) VALUES %s ON CONFLICT DO NOTHING
"""
# The old position must be what this process believes, or its lines have been stored by somebody else.
FIRST_POSITION = """
    INSERT INTO strandline.spool_position (collector, file, inode, byte_offset, mid_line) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""
MOVE_POSITION = """
    UPDATE strandline.spool_position SET inode = %s, byte_offset = %s, mid_line = %s
    WHERE collector = %s AND file = %s AND inode = %s AND byte_offset = %s AND mid_line = %s
"""


class Database:
    """Two connections to the database; both are closed on leaving the `with` block."""

    def __init__(self, dsn: str, collector: str) -> None:
        """Connect and take the spool for this process; raise psycopg2.Error, or Busy when another loader has it."""
        self.collector = collector
        self.unsettled = 1  # sightings noted and not added yet: a session before this one may have left some
        options: dict[str, Any] = {
            "connect_timeout": 10,
            "application_name": "strandline-loader",
            # A database whose host vanished without a word is tried anew, and not waited for a quarter of an hour.
            "tcp_user_timeout": 20_000,  # milliseconds without an answer, to data or to a probe
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            # A lock that is held for ever or a statement that hangs must end in a new try, not in silence.
            "options": "-c timezone=UTC -c jit=off -c lock_timeout=60s -c statement_timeout=300s",
        }
        self._writer = psycopg2.connect(dsn, **options)
        try:
            self._finder = psycopg2.connect(dsn, **options)
            self._finder.autocommit = True
            with self._writer, self._writer.cursor() as cursor:
                # Held by the session: while a killed loader's last transaction still runs, its successor waits.
                name = f"strandline.spool {collector}"
                cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,))
                if cursor.fetchone() != (True,):
                    raise Busy(f"another loader works on the spool of collector {collector!r}")
                cursor.execute("CREATE TEMPORARY TABLE doubtful (LIKE strandline.event_row) ON COMMIT DELETE ROWS")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Database:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close both connections."""
        self.close()

    def close(self) -> None:
        """Close both connections; what was not committed is rolled back."""
        self._writer.close()
        if hasattr(self, "_finder"):
            self._finder.close()

    def positions(self) -> dict[str, Position]:
        """Return the stored position of each file."""
        with self._finder.cursor() as cursor:
            cursor.execute(
                "SELECT file, inode, byte_offset, mid_line FROM strandline.spool_position WHERE collector = %s",
                (self.collector,),
            )
            return {file: Position(inode, offset, mid_line) for file, inode, offset, mid_line in cursor.fetchall()}

    def ping(self) -> None:
        """Raise psycopg2.Error when the database is gone."""
        with self._finder.cursor() as cursor:
            cursor.execute("SELECT 1")

    def forget(self, files: Sequence[str]) -> None:
        """Delete the positions of files that are no more."""
        with self._finder.cursor() as cursor:
            cursor.execute(
                "DELETE FROM strandline.spool_position WHERE collector = %s AND file = ANY(%s)",
                (self.collector, list(files)),
            )

    def find_run(self, sensor: str, run: str) -> tuple[int, int]:
        """Return a run's id and highest stored n; a run that is not known yet is added."""
        with self._finder.cursor() as cursor:
            query = """SELECT r.id, r.high_n FROM strandline.run r JOIN strandline.sensor s ON s.id = r.sensor_id
                       WHERE s.name = %s AND r.run = %s"""
            cursor.execute(query, (sensor, run))
            found = cursor.fetchone()
            if found is None:
                cursor.execute("INSERT INTO strandline.sensor (name) VALUES (%s) ON CONFLICT DO NOTHING", (sensor,))
                cursor.execute(
                    """INSERT INTO strandline.run (sensor_id, run) SELECT id, %s FROM strandline.sensor WHERE name = %s
                       ON CONFLICT DO NOTHING""",
                    (run, sensor),
                )
                cursor.execute(query, (sensor, run))
                found = cursor.fetchone()
            assert found is not None  # noqa: S101 - inserted above
            return int(found[0]), int(found[1])

    def find_kind(self, kind: KindKey) -> int:
        """Return the number under which a kind of event is stored; one that is not known yet is added."""
        event, proto, verified, cut, names = kind
        with self._finder.cursor() as cursor:
            cursor.execute(
                "SELECT strandline.find_kind(%s, %s, %s, %s, %s::text[])", (event, proto, verified, cut, list(names))
            )
            found = cursor.fetchone()
            assert found is not None  # noqa: S101 - a function always returns
            return int(found[0])

    def find_day(self, day: str) -> bool:
        """Make sure that events of a UTC day can be stored; False when it is outside the days that are kept."""
        with self._finder.cursor() as cursor:
            cursor.execute("SELECT strandline.ensure_day(%s)", (day,))
            found = cursor.fetchone()
            return found is not None and bool(found[0])

    def copy(self, rows: list[bytes]) -> None:
        """Send new rows into the transaction (a first statement begins it)."""
        with self._writer.cursor() as cursor:
            self._copy(cursor, f"strandline.event_row ({COLUMNS})", rows)

    def rollback(self) -> None:
        """Give up the transaction."""
        self._writer.rollback()

    def finish(self, batch: Batch) -> tuple[int, int]:
        """Write what else belongs to the transaction and commit; return rows inserted and duplicates left out.

        Raises Outpaced when the database is elsewhere, psycopg2.Error when it refuses or is gone. In both cases nothing
        is written; only when the connection breaks during COMMIT the position has to be asked for.
        """
        with self._writer, self._writer.cursor() as cursor:
            self._raise_highs(cursor, batch)
            self._move(cursor, batch)
            inserted = batch.copied
            if batch.doubtful:
                inserted += self._store_doubtful(cursor, batch)
            duplicates = batch.copied + len(batch.doubtful) - inserted
            self._note_sightings(cursor, batch)
            if batch.rejects:
                psycopg2.extras.execute_values(cursor, ADD_REJECTS, batch.rejects, page_size=200)
            if batch.tallies:
                keys, tallies = list(batch.tallies), list(batch.tallies.values())
                cursor.execute(
                    ADD_TALLIES,
                    (
                        _array(run for run, _ in keys),
                        _array(day for _, day in keys),
                        _array(tally.stored for tally in tallies),
                        _array(tally.late for tally in tallies),
                        _array(tally.duplicates for tally in tallies),
                    ),
                )
        return inserted, duplicates

    @staticmethod
    def _copy(cursor: psycopg2.extensions.cursor, table: str, rows: list[bytes]) -> None:
        """COPY encoded rows into a table."""
        data = b"".join((HEADER, *rows, TRAILER))
        # In one piece: for each one that psycopg2 fetches it waits for Python's lock.
        cursor.copy_expert(f"COPY {table} FROM STDIN (FORMAT binary)", io.BytesIO(data), size=len(data))

    @staticmethod
    def _raise_highs(cursor: psycopg2.extensions.cursor, batch: Batch) -> None:
        """Lock the runs that get new rows and raise their highest n."""
        if not batch.highs:
            return
        highs = batch.highs
        cursor.execute(
            RAISE_HIGHS,
            (
                _array(highs),
                _array(old for old, _ in highs.values()),
                _array(new for _, new in highs.values()),
                batch.careful,
            ),
        )
        if cursor.rowcount != len(highs):
            raise Outpaced("another loader has stored lines of the same run")

    def _move(self, cursor: psycopg2.extensions.cursor, batch: Batch) -> None:
        """Write the files' new positions."""
        for file, (old, new) in batch.moves.items():
            after = (new.inode, new.offset, new.mid_line)
            if old is None:
                cursor.execute(FIRST_POSITION, (self.collector, file, *after))
            else:
                before = (old.inode, old.offset, old.mid_line)
                cursor.execute(MOVE_POSITION, (*after, self.collector, file, *before))
            if cursor.rowcount != 1:
                raise Outpaced(f"the position of {file} is not what it was")

    @staticmethod
    def _store_doubtful(cursor: psycopg2.extensions.cursor, batch: Batch) -> int:
        """Insert the rows that are not there yet, count them in sightings and account; return their number."""
        Database._copy(cursor, f"doubtful ({COLUMNS})", [doubtful.row for doubtful in batch.doubtful])
        cursor.execute(INSERT_DOUBTFUL)
        fresh = set(cursor.fetchall())
        inserted = len(fresh)
        for doubtful in batch.doubtful:
            tally = batch.tally(doubtful.key[0], doubtful.day)
            if doubtful.key in fresh:
                fresh.remove(doubtful.key)  # the same line may come twice in a batch
                tally.stored += 1
                tally.late += doubtful.below
                for category in doubtful.categories:
                    sources = batch.sources(category, doubtful.hour)
                    batch.see(sources, doubtful.saddr, doubtful.ts, doubtful.verified)
            else:
                tally.duplicates += 1
        return inserted

    def _note_sightings(self, cursor: psycopg2.extensions.cursor, batch: Batch) -> None:
        """Note what the batch saw; :meth:`settle` adds it to the sightings."""
        rows: list[bytes] = []
        for (category, hour), sources in batch.sightings.items():
            name, since = category.encode(), hour * HOUR
            head = struct.pack(">hi", 7, len(name)) + name
            rows += [
                head + _sighting(8, since, 8, first, 8, last, 8, events, 8, verified) + saddr
                for saddr, (first, last, events, verified) in sources.items()
            ]
        if rows:
            self._copy(cursor, f"strandline.sighting_fresh ({SIGHTING})", rows)
        self.unsettled += batch.sighted

    def settle(self) -> None:
        """Add what was noted to the sightings."""
        with self._writer, self._writer.cursor() as cursor:
            cursor.execute("SELECT strandline.settle_sightings()")
        self.unsettled = 0
