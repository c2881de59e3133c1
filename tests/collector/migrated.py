#!/usr/bin/env python3
"""Migrate a database that has events of before 0010_compact_events.sql, and load into it with today's loader.

Runs on a collector, as root, in a database of its own: `python3 migrated.py --help`. What was stored must be seen as it
was, must not be stored again when it comes again, and must go when its time is over; both forms must look the same.
Prints one JSON object; the exit status is 0 when all of it is so.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
from spool_lines import line
from strandline.collector.batch import Batch, Builder
from strandline.collector.database import Database
from strandline.collector.lines import decode, iso, shown
from strandline.collector.loader import write
from strandline.collector.spool import Chunk, Position
from strandline.collector.status import Counters
from strandline.event import feeds

NAME = "strandline_migrated"
FIRST = 10  # the migration that is tested, and those behind it
RUN = "1764036738123456-0001"
SEEN = "ts, rts, n, run_id, sport, dport, verified, event, saddr, daddr, proto, data"
CUT = '"' + "A" * 256 + '"/1500'


class World:
    """The database, in the state before and behind the migration."""

    def __init__(self, server: str, migrations: Path) -> None:
        """Make the database as it was before."""
        self.server, self.migrations, self.dsn = server, migrations, f"dbname={NAME} {server}"
        self.administer(
            f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)",
            f"CREATE DATABASE {NAME} OWNER strandline_owner ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"
            " TEMPLATE template0",
        )
        with tempfile.TemporaryDirectory() as before:
            for path in migrations.glob("*.sql"):
                if int(path.name[:4]) < FIRST:
                    shutil.copy(path, before)
            self.migrate(Path(before))

    def administer(self, *statements: str) -> None:
        """Run statements that no transaction may hold."""
        connection = psycopg2.connect(f"dbname=postgres {self.server}")
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()

    def migrate(self, directory: Path) -> None:
        """Run the migrations of a directory."""
        program = [sys.executable, str(self.migrations / "migrate.py"), "--dsn", self.dsn, str(directory)]
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)

    def ask(self, sql: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Ask in a transaction of its own, with times in UTC."""
        connection = psycopg2.connect(self.dsn, options="-c timezone=UTC")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def events(self, condition: str = "true") -> list[tuple[Any, ...]]:
        """What the view shows."""
        return self.ask(f"SELECT {SEEN} FROM strandline.event WHERE {condition} ORDER BY n")  # noqa: S608

    def store_before(self, lines: list[bytes]) -> None:
        """Store events as the loader of before did."""
        self.ask("INSERT INTO strandline.sensor (name) VALUES ('s')")
        self.ask("INSERT INTO strandline.run (sensor_id, run) SELECT id, %s FROM strandline.sensor", (RUN,))
        for text in lines:
            record = decode(text)
            lengths = record.values[len(record.names) :]
            data: dict[str, Any] = dict(record.data)
            data |= {f"{name.decode()}_length": int(n) for name, n in zip(lengths[::2], lengths[1::2], strict=True)}
            self.ask("SELECT strandline.ensure_day(%s)", (iso(record.ts)[:10],))
            self.ask(
                f"INSERT INTO strandline.event ({SEEN}) VALUES (%s, %s, %s, 1, %s, %s, %s, %s, %s, %s, %s, %s)",  # noqa: S608
                (
                    iso(record.ts), iso(record.rts), record.n, record.sport, record.dport, record.verified,
                    record.event, shown(record.saddr), shown(record.daddr), record.proto, json.dumps(data),
                ),
            )  # fmt: skip
        self.ask("UPDATE strandline.run SET high_n = %s", (len(lines),))
        self.ask(
            "INSERT INTO strandline.tally SELECT run_id, (ts AT TIME ZONE 'UTC')::date, count(*), 0, 0"
            " FROM strandline.event GROUP BY 1, 2"
        )

    def load(self, lines: list[bytes], file: str) -> Counters:
        """Load lines as the loader of today does."""
        counters = Counters()
        rules = feeds.parse(
            {"feeds": {"pw": {"event": "ssh.password", "title": "T", "description": "D"}}}, "migrated.py"
        )
        with Database(self.dsn, "migrated") as database:
            builder = Builder(rules, database.find_run, database.find_kind, database.find_day, 65536)
            batch = Batch()
            chunk = Chunk(file, None, lines, None, 0, Position(1, sum(len(x) + 1 for x in lines)), full=False)
            write(database, builder.add(batch, chunk), batch, counters)
        return counters


def check(world: World) -> dict[str, int]:
    """Go through it; the result's figures but `events` must be 0."""
    rng = random.Random(1)
    now = datetime.now(UTC)
    days = [now - timedelta(days=n % 3, minutes=1) for n in range(400)]
    forms = [[line("s", RUN, n, when, random.Random(n), form=form)[:-1] for n, when in enumerate(days, 1)]
             for form in ("json", "text")]  # fmt: skip
    for one in forms:
        cut = [n for n, text in enumerate(one) if b"ssh.password" in text][:5]
        for n in cut:
            old, new = ((b'"user":"', b'"user":' + json.dumps(CUT).encode() + b',"was":"') if one is forms[0]
                        else (b" user=", f" user={CUT} was=".encode()))  # fmt: skip
            one[n] = one[n].replace(old, new)
    before, more = forms[0][:300], forms[1]
    world.store_before(before)
    stored = world.events()
    world.migrate(world.migrations)
    wrong = {"seen_otherwise": int(world.events() != stored or len(stored) != len(before))}
    # All of it comes again, in either form, and a hundred for the first time.
    again = rng.sample(forms[0], 300) + more
    counters = world.load(again, "20261125-02.log")
    wrong["stored_twice"] = counters.rows - (len(more) - len(before))
    wrong["rejected"] = counters.rejects
    wrong["duplicates_off"] = counters.duplicates - (len(again) - (len(more) - len(before)))
    (count,) = world.ask("SELECT count(*), count(DISTINCT n) FROM strandline.event")
    wrong["rows_off"] = abs(count[0] - len(more)) + abs(count[1] - len(more))
    # A new row looks as an old one would.
    for n in (7, 350):
        record = decode(forms[0][n - 1])
        ((ts, rts, _, _, sport, dport, verified, event, saddr, daddr, proto, data),) = world.events(f"n = {n}")
        seen = (ts.isoformat(timespec="microseconds"), rts.isoformat(timespec="microseconds"), sport, dport, verified,
                event, saddr, daddr, proto)  # fmt: skip
        is_same = seen == (iso(record.ts), iso(record.rts), record.sport, record.dport, record.verified, record.event,
                           shown(record.saddr), shown(record.daddr), record.proto)  # fmt: skip
        wrong[f"row_{n}_off"] = int(not is_same or {key: data[key] for key in record.names} != record.data)
    # Both tables answer to what an operator asks, and to a change of an event's own fields.
    cuts = world.ask("SELECT count(*), min(data->>'user_length') FROM strandline.event WHERE data ? 'user_length'")
    wrong["cut_off"] = int(cuts[0][0] != 5 or cuts[0][1] != "1500")
    world.ask('UPDATE strandline.event SET data = data || \'{"canary": "yes"}\' WHERE n IN (7, 350)')
    marked = world.ask("SELECT n FROM strandline.event WHERE data->>'canary' = 'yes' ORDER BY 1")
    wrong["not_marked"] = int(marked != [(7,), (350,)])
    world.ask(f"INSERT INTO strandline.event ({SEEN}) SELECT {SEEN.replace(' n,', ' n + 1000,')} FROM strandline.event")  # noqa: S608
    copied = world.events("n > 1000")
    originals = world.events("n < 1000")
    wrong["copied_otherwise"] = sum(a[:2] + a[3:] != b[:2] + b[3:] for a, b in zip(copied, originals, strict=True))
    for n in (7, 350):
        try:
            world.ask(f"INSERT INTO strandline.event SELECT {SEEN} FROM strandline.event WHERE n = {n}")  # noqa: S608
            wrong[f"copied_{n}"] = 1
        except psycopg2.errors.UniqueViolation:
            wrong[f"copied_{n}"] = 0
    # What was there before goes by the same retention.
    world.ask("UPDATE strandline.retention SET days = 1 WHERE what = 'event'")
    world.ask("SELECT strandline.maintain()")
    gone = world.ask("SELECT count(*) FROM strandline.event WHERE ts < %s", (now.date() - timedelta(days=1),))
    kept = world.ask("SELECT count(*) FROM strandline.event_before")
    wrong["too_old"] = gone[0][0]
    wrong["too_few_kept"] = int(kept[0][0] == 0)
    return {"events": len(more), **wrong}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--server", default="user=postgres host=/var/run/postgresql", help="libpq connection string")
    parser.add_argument("--migrations", type=Path, default=Path("/usr/lib/strandline/database"))
    options = parser.parse_args()
    world = World(options.server, options.migrations)
    try:
        result = check(world)
    finally:
        world.administer(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
    print(json.dumps(result))
    return 1 if any(value for key, value in result.items() if key != "events") else 0


if __name__ == "__main__":
    sys.exit(main())
