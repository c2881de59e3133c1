"""A PostgreSQL of its own with our schema, for what only the database can tell."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import execute_values
from publisher_fakes import ROOT
from strandline.publisher.source import PostgresSource

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
Sighting = tuple[str, datetime, str, int, int]
"""Category, when, address, events, verified events."""


class Database:
    """The server, reached by a socket in its directory."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask as the database's administrator."""
        connection = psycopg2.connect(f"host={self.home} dbname=strandline user=postgres", options="-c timezone=UTC")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, parameters or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def source(self) -> PostgresSource:
        """What the publisher reads it by."""
        parameters = {"host": str(self.home), "dbname": "strandline", "user": "strandline_publisher"}
        return PostgresSource(parameters, statement_timeout=60)

    def see(self, sightings: Iterable[Sighting]) -> None:
        """Store sightings as the loader does: an hour's row for each source, and the daily totals that follow."""
        hours: dict[tuple[datetime, str, str], list[Any]] = {}
        for category, when, address, events, verified in sightings:
            hour = when.replace(minute=0, second=0, microsecond=0)
            known = hours.setdefault((hour, category, address), [when, when, 0, 0])
            known[:] = [min(when, known[0]), max(when, known[1]), known[2] + events, known[3] + verified]
        rows = [(hour, *values, category, address) for (hour, category, address), values in hours.items()]
        connection = psycopg2.connect(f"host={self.home} dbname=strandline user=postgres", options="-c timezone=UTC")
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
    """Run PostgreSQL, without waiting for disks, under an account that is not root."""
    home = Path(f"/tmp/strandline-publisher-{os.getpid()}")  # noqa: S108 - a socket's path must be short
    home.mkdir(mode=0o700)
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if prefix:
        shutil.chown(home, "postgres")

    def run(name: str, *arguments: str) -> None:
        command = [*prefix, str(BINARIES[0] / name), "-D", f"{home}/data", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    try:
        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        run("pg_ctl", "-w", "-l", f"{home}/log", "-o", f"-k {home} -c listen_addresses='' -c fsync=off", "start")
        try:
            connection = psycopg2.connect(f"host={home} dbname=postgres user=postgres")
            connection.autocommit = True
            with connection.cursor() as cursor:
                for role in ("owner", "loader LOGIN", "publisher LOGIN", "archive LOGIN"):
                    cursor.execute(f"CREATE ROLE strandline_{role}")
                cursor.execute("CREATE DATABASE strandline OWNER strandline_owner")
            connection.close()
            dsn = f"host={home} dbname=strandline user=postgres"
            command = [sys.executable, str(ROOT / "files/database/migrate.py"), "--dsn", dsn]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            yield Database(home)
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
