#!/usr/bin/env python3
"""Bring the database's schema up to date: run the numbered SQL files that have not been run yet.

Each file `NNNN_name.sql` runs in a transaction of its own as the database's owner, together with the row in
strandline_migration.applied that remembers it. A file that was run is never run again, and must never change: its
SHA-256 is kept and compared. Prints one line `applied NNNN_name.sql` for each file it runs, with --check one line
`pending NNNN_name.sql` for each that it would run.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from pathlib import Path

import psycopg2

FILE_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
TABLE = "strandline_migration.applied"


class MigrationError(Exception):
    """The files and the database do not fit together; the text says what to do."""


def read_files(directory: Path) -> list[tuple[int, str, str]]:
    """Return (number, name, SQL) of each migration in `directory`, in order; raise MigrationError on a wrong name."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        match = FILE_NAME.fullmatch(path.name)
        if not match:
            raise MigrationError(f"{path}: name it NNNN_what_it_does.sql")
        found.append((int(match[1]), path.name, path.read_text(encoding="utf-8")))
    # Not without gaps: parts of a release are written side by side, and each takes its number when it begins.
    numbers = [number for number, _, _ in found]
    if not numbers or len(set(numbers)) < len(numbers):
        raise MigrationError(f"{directory}: each file needs a number of its own, 0001, 0002, ...; found {numbers}")
    return found


def digest(sql: str) -> str:
    """SHA-256 of a migration's text, in hex."""
    return hashlib.sha256(sql.encode()).hexdigest()


def migrate(dsn: str, owner: str, directory: Path, check: bool) -> list[str]:
    """Run what is missing (with `check` only name it) and return the names of these files.

    Raises MigrationError when the files contradict what was run before, psycopg2.Error when SQL fails; everything
    up to the failed file stays applied.
    """
    files = read_files(directory)
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (TABLE,))
            (exists,) = cursor.fetchone() or (False,)
            applied: dict[int, tuple[str, str]] = {}
            if exists:
                cursor.execute(f"SELECT number, name, sha256 FROM {TABLE}")  # noqa: S608 - a constant
                applied = {number: (name, sha256) for number, name, sha256 in cursor.fetchall()}
        for number, (name, sha256) in applied.items():
            mine = next((f for f in files if f[0] == number), None)
            if mine is None:
                raise MigrationError(f"the database has {name}, which is not in {directory}: install a newer release")
            if digest(mine[2]) != sha256:
                raise MigrationError(
                    f"{directory / mine[1]} was changed after it had been applied: restore it and put the change into "
                    f"a new file {max(n for n, _, _ in files) + 1:04d}_...sql"
                )
        pending = [f for f in files if f[0] not in applied]
        if not check:
            for number, name, sql in pending:
                with connection, connection.cursor() as cursor:
                    # One at a time, also when two collectors are provisioned at once.
                    cursor.execute("SELECT pg_advisory_xact_lock(hashtext('strandline.migrate'))")
                    cursor.execute(f'SET LOCAL ROLE "{owner}"')
                    cursor.execute("CREATE SCHEMA IF NOT EXISTS strandline_migration")
                    cursor.execute(
                        f"CREATE TABLE IF NOT EXISTS {TABLE} (number integer PRIMARY KEY, name text NOT NULL,"
                        " sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
                    )
                    cursor.execute(
                        f"INSERT INTO {TABLE} (number, name, sha256) VALUES (%s, %s, %s)",  # noqa: S608
                        (number, name, digest(sql)),
                    )
                    cursor.execute(sql)
        return [name for _, name, _ in pending]
    finally:
        connection.close()


def main() -> int:
    """Command line; exit status 0 when the schema is (or with --check could be brought) up to date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dsn", default="dbname=strandline user=postgres", help="libpq connection string")
    parser.add_argument("--owner", default="strandline_owner", help="role that owns the schema")
    parser.add_argument("--check", action="store_true", help="name what would be run, run nothing")
    parser.add_argument("directory", type=Path, nargs="?", default=Path(__file__).resolve().parent)
    options = parser.parse_args()
    try:
        names = migrate(options.dsn, options.owner, options.directory, options.check)
    except (MigrationError, psycopg2.Error, OSError) as error:
        print(f"migrate: {error}", file=sys.stderr)
        return 1
    for name in names:
        print(("pending" if options.check else "applied"), name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
