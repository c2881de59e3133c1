"""A PostgreSQL of its own with our schema, for what only the database can tell."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg2
from local_postgres import ask, server
from psycopg2.extras import execute_values
from strandline.publisher.source import PostgresSource

Sighting = tuple[str, datetime, str, int, int]
"""Category, when, address, events, verified events."""


class Database:
    """The server, reached by a socket in its directory."""

    def __init__(self, where: str) -> None:
        self.dsn = f"{where} dbname=strandline"
        self.host = where.partition("=")[2]

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask as the database's administrator."""
        return ask(self.dsn, sql, *parameters)

    def source(self) -> PostgresSource:
        """What the publisher reads it by."""
        parameters = {"host": self.host, "dbname": "strandline", "user": "strandline_publisher"}
        return PostgresSource(parameters, statement_timeout=60)

    def see(self, sightings: Iterable[Sighting]) -> None:
        """Store sightings as the loader does: an hour's row for each source, and the daily totals that follow."""
        hours: dict[tuple[datetime, str, str], list[Any]] = {}
        for category, when, address, events, verified in sightings:
            hour = when.replace(minute=0, second=0, microsecond=0)
            known = hours.setdefault((hour, category, address), [when, when, 0, 0])
            known[:] = [min(when, known[0]), max(when, known[1]), known[2] + events, known[3] + verified]
        rows = [(hour, *values, category, address) for (hour, category, address), values in hours.items()]
        connection = psycopg2.connect(f"{self.dsn} user=postgres", options="-c timezone=UTC")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("TRUNCATE strandline.sighting, strandline.sighting_day, strandline.sighting_fresh")
                for day in sorted({row[0].astimezone(UTC).date() for row in rows}):
                    cursor.execute("SELECT strandline.make_partition('sighting', %s)", (day,))
                execute_values(
                    cursor,
                    "INSERT INTO strandline.sighting"
                    " (hour, first_seen, last_seen, events, verified_events, category, saddr) VALUES %s",
                    rows,
                    page_size=5000,
                )
        finally:
            connection.close()


@contextlib.contextmanager
def database() -> Iterator[Database]:
    """Run PostgreSQL with our schema."""
    with server() as where:
        yield Database(where)
