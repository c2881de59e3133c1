"""Where the sightings come from: the database, or anything that yields rows in a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import make_dsn

from .errors import SourceError, SourceUnavailableError
from .window import Window

_BATCH = 5000  # rows a round trip: large enough for the network, small enough for the memory


class Row(NamedTuple):
    """One address of one category in the window. Times carry a time zone."""

    address: str
    first_seen: datetime
    last_seen: datetime
    events: int
    verified_events: int


class Source(Protocol):
    """Yields the rows of a category. Raises SourceError, or SourceUnavailableError when no category can be read."""

    def rows(self, category: str, window: Window) -> Iterator[Row]: ...


class PostgresSource:
    """Reads `strandline.feed` through a server-side cursor, one read-only transaction for each category."""

    def __init__(self, parameters: Mapping[str, str], *, statement_timeout: int) -> None:
        """`parameters` are libpq's; `statement_timeout` is in seconds."""
        settings = {
            "application_name": "strandline-publisher",
            "connect_timeout": "10",
            **parameters,
            "options": f"-c statement_timeout={statement_timeout}s -c TimeZone=UTC -c default_transaction_read_only=on",
        }
        self._dsn = make_dsn(**settings)
        self._connection: Connection | None = None

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            try:
                self._connection = psycopg2.connect(self._dsn)
            except psycopg2.Error as error:
                raise SourceUnavailableError(f"the database can't be reached: {_one_line(error)}") from error
        return self._connection

    def rows(self, category: str, window: Window) -> Iterator[Row]:
        """Yield the category's rows in no particular order."""
        connection = self._connect()
        try:
            # `with connection` ends the transaction and leaves the connection open.
            with connection, connection.cursor(name="feed") as cursor:
                cursor.itersize = _BATCH
                cursor.execute(
                    "SELECT host(saddr), first_seen, last_seen, events, verified_events"
                    " FROM strandline.feed(%s, %s, %s)",
                    (category, window.start, window.end),
                )
                for row in cursor:
                    yield Row(*row)
        except psycopg2.Error as error:
            raise SourceError(f"the database gave no rows: {_one_line(error)}") from error

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
