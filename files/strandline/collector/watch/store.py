"""The watcher's memory in the database: files/database/0005_watch.sql."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg2
import psycopg2.extensions

from .judge import Known, Listener, Publisher, Sensor, Told

LOCK = "strandline.watch"
KEEP_DAYS = 90
"""Days that notices are kept."""

# to_jsonb: the column is there once a sensor could be retired.
SENSORS = """
    SELECT n.name, w.since, h.listener, h.heard, h.data, l.ts
    FROM unnest(%s::text[]) AS n (name)
    JOIN strandline.watched_since w ON w.name = n.name
    LEFT JOIN strandline.sensor s ON s.name = n.name
    LEFT JOIN strandline.heartbeat h ON h.sensor_id = s.id
    LEFT JOIN strandline.last_event l ON l.sensor_id = s.id AND l.listener = h.listener
    WHERE s.id IS NULL OR to_jsonb(s)->>'retired_at' IS NULL
    ORDER BY n.name, h.listener
"""


@dataclass(frozen=True)
class Due:
    """What has to go one way now: the items of one notice or several."""

    ids: tuple[int, ...]
    made: datetime
    items: tuple[Told, ...]
    tries: int


def connect(database: str) -> psycopg2.extensions.connection:
    """Open the database. Raises psycopg2.Error."""
    return psycopg2.connect(
        database,
        connect_timeout=10,
        application_name="strandline-watch",
        options="-c timezone=UTC -c jit=off -c lock_timeout=20s -c statement_timeout=60s",
    )


class Store:
    """One round of the watcher. Nothing is committed before `commit`."""

    def __init__(self, connection: psycopg2.extensions.connection) -> None:
        self.connection = connection

    def publishers(self) -> list[Publisher]:
        """What each publisher said of its last run; one that has said nothing for a month is not there any more."""
        rows = self._ask(
            "SELECT publisher, ran_at, stale_after, problems FROM strandline.publication"
            " WHERE ran_at > now() - interval '30 days'"
        )
        return [Publisher(name, ran, stale, tuple(problems)) for name, ran, stale, problems in rows]

    def _ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def commit(self) -> None:
        """Keep what was done."""
        self.connection.commit()

    def lock(self, seconds: float = 30) -> bool:
        """Whether this is the only watcher at work; those on other collectors are waited for."""
        end = time.monotonic() + seconds
        while not self._ask("SELECT pg_try_advisory_lock(hashtext(%s))", (LOCK,))[0][0]:
            if time.monotonic() > end:
                return False
            self.connection.rollback()
            time.sleep(1)
        return True

    def now(self) -> datetime:
        """The database's time."""
        moment: datetime = self._ask("SELECT clock_timestamp()")[0][0]
        return moment

    def count(self, host: str, counters: Iterable[tuple[str, str, int]]) -> None:
        """Put a host's own counters into the account of today."""
        for what, life, value in counters:
            self._ask(
                "SELECT strandline.count_up(%s, '', %s, %s, (now() AT TIME ZONE 'UTC')::date, %s)",
                (host, what, life, value),
            )

    def sensors(self, names: Sequence[str]) -> list[Sensor]:
        """What is known of these sensors; those that are retired are left out."""
        self._ask("SELECT strandline.note_last_events()")
        self._ask(
            """INSERT INTO strandline.watched_since (name, since) SELECT n, clock_timestamp() FROM unnest(%s::text[]) n
               ON CONFLICT DO NOTHING""",
            (list(names),),
        )
        found: dict[str, Sensor] = {}
        listeners: dict[str, dict[str, Listener]] = {}
        for name, since, listener, heard, data, last_event in self._ask(SENSORS, (list(names),)):
            found.setdefault(name, Sensor(name, since, listeners=listeners.setdefault(name, {})))
            if listener == "":
                interval = timedelta(seconds=number(data, "interval", 300) or 300)
                free = number(data, "disk_free", None)
                found[name] = Sensor(name, since, heard, interval, free, listeners[name])
            elif listener is not None:
                state, mute = str(data.get("state", "-")), str(data.get("mute", "-"))
                listeners[name][listener] = Listener(heard, state, mute, last_event)
        return list(found.values())

    def hearing_since(self, collector: str, now: datetime, judged: bool | None) -> datetime:
        """Since when this collector could judge its sensors; `judged` False sets it to now, None only asks."""
        name = f"hearing {collector}"
        if judged is False:
            self._ask(
                """INSERT INTO strandline.watched_since (name, since) VALUES (%s, %s)
                   ON CONFLICT (name) DO UPDATE SET since = excluded.since""",
                (name, now),
            )
        rows = self._ask("SELECT since FROM strandline.watched_since WHERE name = %s", (name,))
        return rows[0][0] if rows else datetime.fromtimestamp(0, now.tzinfo)

    def known(self) -> dict[str, Known]:
        """What is remembered of every subject."""
        rows = self._ask("SELECT subject, state, since, told, changes, damped FROM strandline.watched")
        return {
            subject: Known(state, since, told, tuple(changes), damped)
            for subject, state, since, told, changes, damped in rows
        }

    def remember(self, before: Mapping[str, Known], after: Mapping[str, Known]) -> None:
        """Write what has changed."""
        for subject, one in after.items():
            if before.get(subject) != one:
                self._ask(
                    """INSERT INTO strandline.watched (subject, state, since, told, changes, damped)
                       VALUES (%s, %s, %s, %s, %s::timestamptz[], %s)
                       ON CONFLICT (subject) DO UPDATE SET state = excluded.state, since = excluded.since,
                           told = excluded.told, changes = excluded.changes, damped = excluded.damped""",
                    (subject, one.state, one.since, one.told, list(one.changes), one.damped),
                )
        gone = sorted(set(before) - set(after))
        if gone:
            self._ask("DELETE FROM strandline.watched WHERE subject = ANY(%s)", (gone,))

    def notify(self, items: Sequence[Told], ways: Sequence[str]) -> None:
        """Have something told, in one notice."""
        if not items:
            return
        document = json.dumps([asdict(item) for item in items])
        ((notice,),) = self._ask("INSERT INTO strandline.notice (items) VALUES (%s) RETURNING id", (document,))
        for way in ways:
            self._ask("INSERT INTO strandline.notice_delivery (notice_id, way) VALUES (%s, %s)", (notice, way))
        self._ask(
            "DELETE FROM strandline.notice WHERE made_at < now() - make_interval(days => %s)",
            (KEEP_DAYS,),
        )

    def due(self, way: str) -> Due | None:
        """What has to go this way now, everything that waits together; None while it is not time to try again."""
        rows = self._ask(
            """SELECT n.id, n.made_at, n.items, d.tries, d.try_after <= clock_timestamp()
               FROM strandline.notice_delivery d JOIN strandline.notice n ON n.id = d.notice_id
               WHERE d.way = %s AND d.done_at IS NULL ORDER BY n.id""",
            (way,),
        )
        if not rows or not rows[0][4]:
            return None
        items = tuple(Told(**item) for row in rows for item in row[2])
        return Due(tuple(row[0] for row in rows), rows[0][1], items, max(row[3] for row in rows))

    def done(self, way: str, due: Due) -> None:
        """It has been delivered."""
        self._ask(
            """UPDATE strandline.notice_delivery SET done_at = clock_timestamp(), tries = tries + 1, last_error = NULL
               WHERE way = %s AND notice_id = ANY(%s)""",
            (way, list(due.ids)),
        )

    def failed(self, way: str, due: Due, error: str, again: timedelta | None) -> None:
        """It has not, and is tried again after a while; None: it is given up."""
        self._ask(
            """UPDATE strandline.notice_delivery SET tries = tries + 1, last_error = %s,
                   try_after = clock_timestamp() + coalesce(%s, interval '0'),
                   done_at = CASE WHEN %s::interval IS NULL THEN clock_timestamp() END
               WHERE way = %s AND notice_id = ANY(%s)""",
            (error, again, again, way, list(due.ids)),
        )


def number(data: Mapping[str, Any], name: str, otherwise: int | None) -> int | None:
    """A whole number that a sensor stated."""
    text = data.get(name)
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 10 else otherwise
