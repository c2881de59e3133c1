#!/usr/bin/env python3
"""Kill the loader and PostgreSQL again and again while lines arrive, then compare the database with what was written.

Runs on a collector, as root, in a database of its own: `python3 torture.py --help`. Two loaders with a spool each share
the sensors, as two collectors do that sensors fail over between. The writer mixes in everything that goes wrong: lines
sent again to either spool, out of order, days late, days too late, broken in every way, cut anywhere by a write. Prints
one JSON object; exit status 0 when every line is accounted for exactly once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
from spool_lines import FORMS, line

LIBRARY = Path("/usr/lib/strandline")
FEEDS = Path("/etc/strandline/feeds.yml")
FIGURES = ("events", "rejects", "copies", "kills", "seconds")  # of the result; everything else must be 0
POSTGRES = "postgresql@17-main.service"
BROKEN = (
    b"\0" * 700,
    b'{"sensor":"sensor1","run":"r","n":"5","ts":',
    b'{"sensor":"\xff\xfe"}',
    b"[1,2,3]",
    b"",
    b"x" * 70_000,
    b'{"sensor":"sensor1","reject":"unknown","msg":"event=\\u0000"}',
    b"sensor1 r\t\t1764036738.123456\t1764036738.123456\tevent=ssh.client\t",
    b"sensor1 r\t7\t1764036738.123456\t17640",
    b"\t\t\t\t",
)


class Writer:
    """Writes lines to two spools and remembers what must come of them."""

    def __init__(self, spools: list[Path], rng: random.Random) -> None:
        """Start with empty spools."""
        self.rng = rng
        self.files = [spool / f"{datetime.now(UTC):%Y%m%d-%H}.log" for spool in spools]
        self.pending = [b"", b""]
        self.numbers = [0] * 6
        self.old: list[bytes] = []  # lines to send again
        self.held: list[bytes] = []  # lines to send out of order
        self.events: set[tuple[str, str, int]] = set()
        self.numbered_rejects: set[tuple[str, str, int]] = set()
        self.other_rejects = 0
        self.copies = 0

    def make(self, count: int) -> None:
        """Make `count` new lines and what goes wrong with them."""
        rng = self.rng
        for _ in range(count):
            sensor = rng.randrange(len(self.numbers))
            self.numbers[sensor] += 1
            name, run, n = f"torture{sensor}", f"1764036738123456-{sensor:04x}", self.numbers[sensor]
            days = rng.choices((0, 1, 3, 40, 200, -30), (960, 20, 10, 5, 3, 2))[0]
            when = datetime.now(UTC) - timedelta(days=days, seconds=rng.random() * 60)
            # What is sent again may have come in the form of an earlier release the first time, or the other way round.
            seed = rng.random()
            text, other = (line(name, run, n, when, random.Random(seed), 300, form) for form in rng.sample(FORMS, 2))
            kept = days in (0, 1, 3, 40)
            (self.events if kept else self.numbered_rejects).add((name, run, n))
            if rng.random() < 0.02:
                self.held.append(text)
            else:
                self.put(text)
            if rng.random() < 0.05:
                self.old.append(rng.choice((text, other)))
            if rng.random() < 0.003:
                self.put(rng.choice(BROKEN) + b"\n")
                self.other_rejects += 1
        for lines in (self.old, self.held):
            rng.shuffle(lines)
            for _ in range(len(lines) * 2 // 3):
                self.put(lines.pop())
                self.copies += lines is self.old
        self.flush(cut=True)

    def put(self, text: bytes) -> None:
        """Queue a line for one of the spools."""
        # Mostly one collector at a time, as sensors fail over; sometimes the other.
        spool = int(time.monotonic() / 3) % 2 ^ (self.rng.random() < 0.1)
        self.pending[spool] += text

    def flush(self, cut: bool) -> None:
        """Write what is queued, with `cut` up to any byte of it."""
        for spool, data in enumerate(self.pending):
            end = self.rng.randrange(len(data) + 1) if cut else len(data)
            with self.files[spool].open("ab") as file:
                file.write(data[:end])
            self.pending[spool] = data[end:]

    def finish(self) -> None:
        """Write everything that is still held back."""
        for lines in (self.old, self.held):
            while lines:
                self.put(lines.pop())
                self.copies += lines is self.old
        self.flush(cut=False)


class Loaders:
    """The two loader processes."""

    def __init__(self, directory: Path, spools: list[Path], database: str) -> None:
        """Write their configuration."""
        self.directory = directory
        self.processes: list[subprocess.Popen[bytes] | None] = [None, None]
        self.kills = 0
        for number, spool in enumerate(spools):
            (directory / f"loader{number}.yml").write_text(
                json.dumps(
                    {
                        "collector": f"torture{number}",
                        "database": f"dbname={database} user=postgres host=/var/run/postgresql",
                        "spool": str(spool), "feeds": str(FEEDS), "status": str(directory / f"status{number}.json"),
                        "chunk_bytes": 1 << 17,
                    }
                )
            )  # fmt: skip

    def start(self) -> None:
        """Start those that do not run."""
        for number, process in enumerate(self.processes):
            if process is None or process.poll() is not None:
                config = self.directory / f"loader{number}.yml"
                command = [sys.executable, "-m", "strandline.collector.loader", "--config", str(config)]
                with config.with_suffix(".log").open("ab") as log:
                    environment = {**os.environ, "PYTHONPATH": str(LIBRARY), "PYTHONDONTWRITEBYTECODE": "1"}
                    self.processes[number] = subprocess.Popen(command, env=environment, stderr=log)

    def kill(self, number: int, how: signal.Signals) -> None:
        """Kill one and wait for it to be gone."""
        process = self.processes[number]
        if process is not None and process.poll() is None:
            process.send_signal(how)
            process.wait(60)
            self.kills += how == signal.SIGKILL

    def stop(self) -> None:
        """End both in good order."""
        for number in range(len(self.processes)):
            self.kill(number, signal.SIGTERM)


def connect(database: str) -> psycopg2.extensions.connection:
    """Connect as the administrator."""
    connection = psycopg2.connect(f"dbname={database} user=postgres host=/var/run/postgresql")
    connection.autocommit = True
    return connection


def query(database: str, sql: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """Ask the database, however long it takes to come back."""
    for _ in range(120):
        try:
            with contextlib.closing(connect(database)) as connection, connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.OperationalError:
            time.sleep(0.5)
    raise TimeoutError("PostgreSQL does not come back")


def loaded(database: str, files: list[Path]) -> bool:
    """Tell whether both files have been read to their end."""
    rows = query(database, "SELECT collector, byte_offset FROM strandline.spool_position")
    positions = {collector: offset for collector, offset in rows}
    return all(positions.get(f"torture{number}") == file.stat().st_size for number, file in enumerate(files))


def recount(database: str) -> int:
    """Return the number of sightings that differ from a count of the stored events."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(LIBRARY))
    from strandline.event import feeds  # noqa: PLC0415 - on the collector only

    different = 0
    for rule in feeds.load(FEEDS).rules:
        condition, parameters = rule.sql()
        sql = f"""
            WITH counted AS (
                SELECT date_trunc('hour', ts, 'UTC') AS hour, saddr, min(ts) AS first_seen, max(ts) AS last_seen,
                       count(*) AS events, count(*) FILTER (WHERE verified) AS verified_events
                FROM strandline.event WHERE {condition} GROUP BY 1, 2)
            SELECT count(*) FROM counted c
            FULL JOIN (
                SELECT hour, saddr, min(first_seen) AS first_seen, max(last_seen) AS last_seen, sum(events) AS events,
                       sum(verified_events) AS verified_events
                FROM (SELECT * FROM strandline.sighting UNION ALL SELECT * FROM strandline.sighting_fresh) both_tables
                WHERE category = %(category)s GROUP BY 1, 2) s USING (hour, saddr)
            WHERE (c.first_seen, c.last_seen, c.events, c.verified_events)
                  IS DISTINCT FROM (s.first_seen, s.last_seen, s.events, s.verified_events)
        """  # noqa: S608
        different += query(database, sql, {**parameters, "category": rule.category})[0][0]
    return different


def compare(database: str, writer: Writer) -> dict[str, int]:
    """Compare the database with what was written; see FIGURES."""
    stored = query(
        database,
        """SELECT s.name, r.run, e.n FROM strandline.event e JOIN strandline.run r ON r.id = e.run_id
           JOIN strandline.sensor s ON s.id = r.sensor_id""",
    )
    found = set(stored)
    rejects = query(database, "SELECT sensor, run, n FROM strandline.reject")
    numbered = [row for row in rejects if row[2] is not None]
    (tally,) = query(database, "SELECT sum(stored), sum(duplicates) FROM strandline.tally")
    return {
        "events": len(stored),
        "rejects": len(rejects),
        "copies": writer.copies,
        "missing": len(writer.events - found),
        "unexpected": len(found - writer.events),
        "duplicate": len(stored) - len(found),
        "rejects_missing": len(writer.numbered_rejects ^ set(numbered)),
        "rejects_unnumbered_off": len(rejects) - len(numbered) - writer.other_rejects,
        "rejects_duplicate": len(numbered) - len(set(numbered)),
        "sightings_off": recount(database),
        "tally_off": int(tally[0]) - len(stored),
    }


def main() -> int:
    """Command line; exit status 1 when something is lost, stored twice or counted wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--loader-kills", type=int, default=12)
    parser.add_argument("--postgres-kills", type=int, default=2, help="half of them by SIGKILL, half by a restart")
    parser.add_argument("--database", default="strandline_torture", help="made anew, and dropped at the end")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp/strandline-torture"))  # noqa: S108
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    spools = [options.directory / name for name in ("a", "b")]
    for spool in spools:
        spool.mkdir(parents=True, exist_ok=True)
        for old in spool.iterdir():
            old.unlink()
    query("postgres", f"DROP DATABASE IF EXISTS {options.database} WITH (FORCE)")
    query("postgres", f"CREATE DATABASE {options.database} OWNER strandline_owner ENCODING 'UTF8' LC_COLLATE 'C'"
                      " LC_CTYPE 'C.UTF-8' TEMPLATE template0")  # fmt: skip
    dsn = f"dbname={options.database} user=postgres host=/var/run/postgresql"
    subprocess.run([sys.executable, LIBRARY / "database" / "migrate.py", "--dsn", dsn], check=True, stdout=sys.stderr)
    writer, loaders = Writer(spools, rng), Loaders(options.directory, spools, options.database)
    rounds = max(options.loader_kills, options.postgres_kills * 2, 1)
    begun = time.monotonic()
    try:
        for number in range(rounds):
            loaders.start()
            for _ in range(10):
                writer.make(options.events // rounds // 10)
                time.sleep(rng.random() * 0.15)
            if number < options.loader_kills:
                loaders.kill(number % 2, signal.SIGKILL)
            if number % 2 and number // 2 < options.postgres_kills:
                if number // 2 % 2:
                    subprocess.run(["systemctl", "restart", POSTGRES], check=True)
                else:
                    subprocess.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", POSTGRES], check=True)
        writer.finish()
        loaders.start()
        deadline = time.monotonic() + 180
        while not loaded(options.database, writer.files):
            if time.monotonic() > deadline:
                raise TimeoutError("the loaders did not come to the end")
            time.sleep(0.5)
        result = compare(options.database, writer)
        result["kills"] = loaders.kills
        result["seconds"] = int(time.monotonic() - begun)
    finally:
        loaders.stop()
    print(json.dumps(result))
    query("postgres", f"DROP DATABASE IF EXISTS {options.database} WITH (FORCE)")
    wrong = [key for key, value in result.items() if value and key not in FIGURES]
    return 1 if wrong or not result["events"] else 0


if __name__ == "__main__":
    sys.exit(main())
