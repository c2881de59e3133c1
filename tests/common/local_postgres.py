"""A PostgreSQL of a test's own with our schema, on this machine: no container, no waiting for disks."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

DATABASE = Path(__file__).parents[2] / "files" / "database"
BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
needs_postgresql = pytest.mark.skipif(not BINARIES, reason="PostgreSQL is not installed on this machine")
# As the role event_database has it: only the loader needs a temporary table, for doubtful rows.
_PREPARED = (
    *(f"CREATE ROLE strandline_{role}" for role in ("owner", "loader LOGIN", "publisher LOGIN", "archive LOGIN")),
    "CREATE DATABASE strandline OWNER strandline_owner ENCODING 'UTF8' TEMPLATE template0",
    "REVOKE ALL ON DATABASE strandline FROM PUBLIC",
    "GRANT CONNECT, TEMPORARY ON DATABASE strandline TO strandline_loader",
    "GRANT CONNECT ON DATABASE strandline TO strandline_publisher, strandline_archive",
)


def ask(dsn: str, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Ask as the database's administrator, with times in UTC."""
    connection = psycopg2.connect(f"{dsn} user=postgres", options="-c timezone=UTC")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Run it under an account that is not root; libpq's words for where it is: `host=DIRECTORY`."""
    home = Path(tempfile.mkdtemp(prefix="strandline-pg-", dir="/tmp"))
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if prefix:
        shutil.chown(home, "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [*prefix, str(BINARIES[0] / program), "-D", f"{home}/data", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

    try:
        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        run("pg_ctl", "-w", "-l", f"{home}/log", "-o", f"-k {home} -c listen_addresses='' -c fsync=off", "start")
        try:
            connection = psycopg2.connect(f"host={home} dbname=postgres user=postgres")
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in _PREPARED:
                    cursor.execute(statement)
            connection.close()
            migrate = [sys.executable, str(DATABASE / "migrate.py"), "--dsn"]
            schema = [*migrate, f"host={home} dbname=strandline user=postgres"]
            subprocess.run(schema, check=True, stdout=subprocess.DEVNULL)
            yield f"host={home}"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
