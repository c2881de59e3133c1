"""The archive has what the database has, each event once and to the byte, whatever interrupts it. Both are real."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import local_postgres
import psycopg2
import psycopg2.errors
import pytest
import yaml
from local_postgres import needs_postgresql
from spool_lines import as_text, fields, line, quoted
from strandline.collector.archive import config as configuration
from strandline.collector.archive.store import Store
from strandline.collector.batch import Batch, Builder
from strandline.collector.database import Database
from strandline.collector.loader import write
from strandline.collector.spool import Chunk, Position
from strandline.collector.status import Counters
from strandline.event import catalogue, feeds
from strandline.shared.settings import ConfigurationError, Section

from strandline_cli import duckdb_library

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "files"
pytestmark = pytest.mark.slow
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAYS = [f"{TODAY - timedelta(days=n):%Y-%m-%d}" for n in (2, 1)]
RUN = "1764036738123456-0001"
SEEN = (
    "SELECT timezone('UTC', e.ts)::text, timezone('UTC', e.rts)::text, s.name, r.run, e.n, e.event, e.verified,"
    " e.proto, host(e.saddr), e.sport, host(e.daddr), e.dport, e.data FROM strandline.event e JOIN strandline.run r"
    " ON r.id = e.run_id JOIN strandline.sensor s ON s.id = r.sensor_id WHERE timezone('UTC', e.ts)::date = %s"
)
COMMON = 12
# Reads the archive as any other program would, without the modules that wrote it.
READ = """
import json, sys, duckdb
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
for file in sys.argv[1:]:
    rows = connection.execute("SELECT * REPLACE (timezone('UTC', ts)::VARCHAR AS ts,"
                              " timezone('UTC', rts)::VARCHAR AS rts)"
                              " FROM read_parquet(?, hive_partitioning = false)", [file])
    names = [column[0] for column in rows.description]
    for row in rows.fetchall():
        print(json.dumps(dict(zip(names, row))))
"""
# Ends itself before one of the things that it does to the archive's files.
KILLED = """
import os, runpy, signal, sys
at, directory, seen = int(sys.argv.pop(1)), sys.argv.pop(1), 0
def hook(event, arguments):
    global seen
    changes = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree")
    if event in changes and directory in str(arguments):
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
runpy.run_module("strandline.collector.archive", run_name="__main__")
"""


def when(n: int, day: int = 0) -> datetime:
    """A moment of one of the two days."""
    return TODAY - timedelta(days=2 - day) + timedelta(seconds=n * 37 % 86400, microseconds=n * 977)


def ssh(n: int, moment: datetime, user: bytes, password: bytes) -> bytes:
    """A line of the SSH listener with these values."""
    document = {
        "sensor": "ams1", "run": RUN, "n": str(n), "ts": moment.isoformat(),
        "rts": (moment + timedelta(seconds=1)).isoformat(),
        "event": "ssh.password", "saddr": "198.51.100.7", "sport": "4242", "daddr": "192.0.2.9", "dport": "22",
        "proto": "tcp", "method": "password", "user": quoted(user), "password": quoted(password),
    }  # fmt: skip
    return as_text(document)


class World:
    """A PostgreSQL of its own with our schema, the loader that fills it, and the program as the timer starts it."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder, self.dsn = folder, f"{server} dbname=strandline"
        self.archive = folder / "archive"
        self.library = duckdb_library.folder()
        self.rules = feeds.parse(
            {"feeds": {"pw": {"event": "ssh.password", "title": "T", "description": "D"}}}, "test_archive.py"
        )
        self.columns = catalogue.columns(catalogue.read(catalogue.load()))
        (folder / "archive.yml").write_text(
            yaml.safe_dump(
                {"database": f"{self.dsn} user=strandline_archive", "directory": str(self.archive),
                 "columns": self.columns, "memory_mib": 128}
            )
        )  # fmt: skip
        self.files = 0

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask as the database's administrator."""
        return local_postgres.ask(self.dsn, sql, *parameters)

    def empty(self) -> None:
        """Forget all events."""
        self.ask("TRUNCATE strandline.event_row, strandline.event_before, strandline.tally, strandline.run,"
                 " strandline.sensor, strandline.sighting_fresh CASCADE")  # fmt: skip
        shutil.rmtree(self.archive, ignore_errors=True)
        self.archive.mkdir()

    def load(self, lines: list[bytes]) -> Counters:
        """Load lines as the collector's loader does."""
        self.files += 1
        counters = Counters()
        with Database(f"{self.dsn} user=strandline_loader", "c1") as database:
            builder = Builder(self.rules, database.find_run, database.find_kind, database.find_day, 65536)
            batch = Batch()
            lines = [one.rstrip(b"\n") for one in lines]
            position = Position(1, sum(len(one) + 1 for one in lines))
            write(database, builder.add(batch, Chunk(f"f{self.files}", None, lines, None, 0, position, full=False)),
                  batch, counters)  # fmt: skip
        return counters

    def run(self, what: str = "write", code: int = 0, prefix: tuple[str, ...] = ()) -> str:
        """Run the program, and return what it said."""
        program = [sys.executable, *(prefix or ("-m", "strandline.collector.archive")), what]
        done = subprocess.run(
            [*program, "--config", str(self.folder / "archive.yml")], check=False, capture_output=True, text=True,
            cwd="/", env={**os.environ, "PYTHONPATH": f"{FILES}:{self.library}"}, timeout=300,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def stored(self, day: str) -> Counter[str]:
        """The database's events of a day, each as text."""
        return Counter(json.dumps([*row[:COMMON], sorted(row[COMMON].items())]) for row in self.ask(SEEN, day))

    def archived(self, day: str) -> Counter[str]:
        """The archive's."""
        files = [str(path) for path in self.archive.glob(f"day={day}/listener=*/*.parquet")]
        done = subprocess.run([sys.executable, "-c", READ, *files], check=True, capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": str(self.library)})  # fmt: skip
        found: Counter[str] = Counter()
        for text in done.stdout.splitlines():
            row = json.loads(text)
            more, cut = row.pop("more") or {}, row.pop("cut") or {}
            values = list(row.items())
            assert [name for name, _ in values[:COMMON]] == [
                "ts", "rts", "sensor", "run", "n", "event", "verified", "proto", "saddr", "sport", "daddr", "dport",
            ]  # fmt: skip
            data = {name.removeprefix("event_"): value for name, value in values[COMMON:] if value is not None}
            data |= more | {f"{name}_length": length for name, length in cut.items()}
            found[json.dumps([*(value for _, value in values[:COMMON]), sorted(data.items())])] += 1
        return found

    def agree(self) -> int:
        """Say that the archive has both days as the database does; return the number of events."""
        assert Store(self.archive).days() == DAYS
        for day in DAYS:
            assert self.archived(day) == self.stored(day)
        tally = dict(self.ask("SELECT day::text, sum(stored) FROM strandline.tally GROUP BY day"))
        for day in DAYS:
            account = Store(self.archive).account(day)
            assert account is not None
            assert sum(account.values()) == tally[day]
        assert "as they were written" in self.run("check")
        return sum(map(int, tally.values()))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A PostgreSQL with our schema."""
    with local_postgres.server() as where:
        yield World(tmp_path_factory.mktemp("archive"), where)


@pytest.fixture
def world(server: World) -> World:
    """It, without events."""
    server.empty()
    return server


def lines(first: int, last: int, day: int = 0, sensor: str = "ams1") -> list[bytes]:
    """Events of every kind of the mix."""
    return [line(sensor, RUN, n, when(n, day), random.Random(n)) for n in range(first, last)]


@needs_postgresql
def test_each_day_that_has_ended_is_archived_to_the_byte(world: World) -> None:
    world.load(lines(1, 400) + lines(400, 600, day=1) + lines(1, 50, day=1, sensor="scl1"))
    world.load([line("ams1", RUN, 900, datetime.now(UTC), random.Random(1))])  # of a day that goes on
    said = world.run()
    assert said.count(" events, ") == 2
    assert world.agree() == 649  # and the one of today, which the account has too
    assert (world.archive / f"day={DAYS[0]}" / "listener=ssh" / "part.parquet").is_file()
    # Another run finds nothing to do, and touches nothing.
    before = {path: path.stat().st_mtime_ns for path in world.archive.rglob("*") if path.name != ".lock"}
    assert world.run() == ""
    assert {path: path.stat().st_mtime_ns for path in world.archive.rglob("*") if path.name != ".lock"} == before


@needs_postgresql
def test_what_a_stranger_chooses_comes_back_to_the_byte(world: World) -> None:
    odd = [
        b"", b" ", b"\\N", b"NULL", b'"', b'""', b"'", b"a,b", b"a\tb", b"a\nb", b"\r\n", b"\x00", b"\xff\xfe",
        bytes(range(256)),
        b"x" * 255, b"x" * 256, b"x" * 257, b"\\x5c", b"{}", b"[1, 2]", b"1", b"true", "ü".encode(),
        b"'; DROP TABLE stage; --",
        b"/etc/passwd", b"=1+1", b";", b"|", b"\\.",
    ]  # fmt: skip
    rows = [ssh(n, when(n), user, odd[-n]) for n, user in enumerate(odd, 1)]
    counters = world.load(rows + lines(500, 501, day=1))
    assert counters.rejects == 0
    world.run()
    assert world.agree() == len(odd) + 1
    lengths = [json.loads(row)[COMMON] for row in world.archived(DAYS[0])]
    assert any(["user_length", 257] in row for row in lengths), "nothing was cut"


@needs_postgresql
def test_fields_that_the_catalogue_does_not_have_are_kept(world: World) -> None:
    world.load(lines(1, 30) + lines(30, 60, day=1))
    world.ask(
        """UPDATE strandline.event SET data = data || '{"canary": "it''s, \\"so\\"", "origin": "a"}' WHERE n % 3 = 0"""
    )
    world.run()
    world.agree()
    assert "canary" in str(world.archived(DAYS[0]))


@needs_postgresql
def test_events_of_before_the_compact_form_are_archived_too(world: World) -> None:
    world.load(lines(1, 200) + lines(200, 300, day=1) + [ssh(300, when(300), b"x" * 300, b"y" * 900)])
    for day in DAYS:
        world.ask("SELECT strandline.make_partition('event_before', %s)", day)
    world.ask("INSERT INTO strandline.event_before SELECT * FROM strandline.event WHERE n % 2 = 0 OR n > 290")
    world.ask("DELETE FROM strandline.event_row WHERE n % 2 = 0 OR n > 290")
    world.run()
    assert world.agree() == 300


@needs_postgresql
def test_late_events_and_replays_amend_a_day(world: World) -> None:
    world.load(lines(1, 200) + lines(200, 300, day=1))
    world.run()
    inode = (world.archive / f"day={DAYS[1]}").stat().st_ino
    # Sent again, all of it: nothing is new, and nothing is written.
    world.load(lines(1, 200))
    assert world.run() == ""
    late = lines(300, 340) + lines(150, 200)
    assert world.load(late).rows == 40
    said = world.run()
    assert said.startswith(DAYS[0])
    assert DAYS[1] not in said
    assert world.agree() == 339
    assert (world.archive / f"day={DAYS[1]}").stat().st_ino == inode


@needs_postgresql
def test_a_day_that_does_not_add_up_stays_as_it_was_and_is_reported(world: World) -> None:
    world.load(lines(1, 100) + lines(100, 150, day=1))
    world.run()
    old = world.archived(DAYS[0])
    world.load(lines(200, 220))
    world.ask("DELETE FROM strandline.event_row WHERE n = 7")
    said = world.run(code=1)
    assert (
        f"{DAYS[0]}: run {RUN} of ams1: the database has 118 events, the account has 119; what the archive had stays"
        in said
    )
    assert world.archived(DAYS[0]) == old
    # Nor does it keep others from being written, or the database from dropping what is old.
    world.load(lines(300, 310, day=1))
    assert f"{DAYS[1]}: 60 events" in world.run(code=1)
    world.ask("UPDATE strandline.retention SET days = 1 WHERE what = 'event'")
    try:
        world.ask("SELECT strandline.maintain()")
        assert world.stored(DAYS[0]) == Counter()
        # What the database no longer has is not taken for a change, also when it would be kept for longer from now on.
        assert world.run() == ""
        world.ask("UPDATE strandline.retention SET days = 90 WHERE what = 'event'")
        assert world.run() == ""
        assert world.archived(DAYS[0]) == old
    finally:
        world.ask("UPDATE strandline.retention SET days = 90 WHERE what = 'event'")
        world.ask("SELECT strandline.ensure_day(%s)", DAYS[0])


@needs_postgresql
def test_it_may_be_killed_before_anything_that_it_does(world: World) -> None:
    world.load(lines(1, 100) + lines(100, 150, day=1))
    world.run()
    at, added = 0, 200
    while True:
        at += 1
        world.load(lines(added, added + 3))
        added += 3
        before = world.archived(DAYS[0])
        program = [sys.executable, "-c", KILLED, str(at), str(world.archive), "write", "--config",
                   str(world.folder / "archive.yml")]  # fmt: skip
        done = subprocess.run(program, check=False, capture_output=True, text=True, cwd="/",
                              env={**os.environ, "PYTHONPATH": f"{FILES}:{world.library}"})  # fmt: skip
        if done.returncode == 0:
            break
        assert done.returncode == -9, done.stderr
        # The old day or the new one, or it is aside: never a part of one.
        assert world.archived(DAYS[0]) in (before, world.stored(DAYS[0]), Counter())
        if at % 4 == 0:
            world.run()
            world.agree()
    assert at > 15, "it was hardly ever killed"
    world.agree()
    assert not list(world.archive.glob(".new/*")) + list(world.archive.glob(".old/*"))


@needs_postgresql
def test_a_changed_file_is_found_by_its_sum(world: World) -> None:
    world.load(lines(1, 100) + lines(100, 150, day=1))
    world.run()
    ssh_file, dns_file = (
        world.archive / f"day={DAYS[0]}" / f"listener={name}" / "part.parquet" for name in ("ssh", "dns")
    )
    whole = ssh_file.read_bytes()
    ssh_file.write_bytes(whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    dns_file.unlink()
    (ssh_file.parent / "extra.parquet").write_bytes(whole)
    (world.archive / f"day={DAYS[1]}" / "manifest.json").write_text("[]")
    said = world.run("check", code=1)
    assert f"{ssh_file}: has been changed" in said
    assert f"{dns_file}: is missing" in said
    assert f"{ssh_file.parent / 'extra.parquet'}: does not belong there" in said
    assert "manifest.json: is missing or damaged" in said
    assert len(said.splitlines()) == 4
    copy = subprocess.run(
        [sys.executable, "-m", "strandline.collector.archive", "check", "--directory", str(world.archive)],
        check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(FILES)},
    )  # fmt: skip
    assert (copy.returncode, copy.stderr) == (1, said)


@needs_postgresql
def test_its_account_can_only_read(world: World) -> None:
    connection = psycopg2.connect(f"{world.dsn} user=strandline_archive")
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM strandline.event_row")
            for statement in (
                "DELETE FROM strandline.event_row", "UPDATE strandline.tally SET stored = 0",
                "CREATE TEMPORARY TABLE t ()",
                "INSERT INTO strandline.sensor (name) VALUES ('x')", "SELECT strandline.maintain()",
                "CREATE TABLE strandline.t ()",
                "SELECT count(*) FROM strandline.notice",
            ):  # fmt: skip
                connection.rollback()
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(statement)
    finally:
        connection.close()


@needs_postgresql
def test_two_at_once_are_refused(world: World) -> None:
    world.load(lines(1, 10))
    with Store(world.archive).writing():
        assert "another process is writing" in world.run(code=1)


@needs_postgresql
def test_a_disk_that_is_nearly_full_is_left_to_the_database(world: World) -> None:
    world.load(lines(1, 100) + lines(100, 150, day=1))
    file = world.folder / "archive.yml"
    good = file.read_text()
    file.write_text(yaml.safe_dump(yaml.safe_load(good) | {"min_free_mib": 1 << 29}))
    try:
        assert world.run(code=1).count("MiB free, and writing it needs") == 2
        assert Store(world.archive).days() == []
    finally:
        file.write_text(good)
    world.run()
    world.agree()


@needs_postgresql
def test_a_database_that_is_away_is_named(world: World, tmp_path: Path) -> None:
    config = yaml.safe_load((world.folder / "archive.yml").read_text()) | {"database": f"host={tmp_path} dbname=x"}
    (tmp_path / "archive.yml").write_text(yaml.safe_dump(config))
    program = [sys.executable, "-m", "strandline.collector.archive", "write", "--config", str(tmp_path / "archive.yml")]
    done = subprocess.run(program, check=False, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": f"{FILES}:{world.library}"})  # fmt: skip
    assert done.returncode == 1
    assert str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_configuration_that_cannot_be_used_is_named() -> None:
    good = {"database": "dbname=x", "directory": "/a", "columns": {"ssh": ["user"]}}
    assert configuration.parse(Section("f", good)).columns == {"ssh": ("user",)}
    for change in (
        {"columns": {"ssh": ["a b"]}},
        {"columns": {"ssh": ["x; DROP"]}},
        {"directory": "a"},
        {"memory_mib": 1},
        {"odd": 1},
    ):
        with pytest.raises(ConfigurationError, match=f"^f {next(iter(change))}"):
            configuration.parse(Section("f", good | change))


def test_the_lines_have_fields_of_the_catalogue() -> None:
    # Or the tests above would only see `more`.
    known = {
        event.name: {*event.trusted, *(value.name for value in event.values)}
        for event in catalogue.read(catalogue.load())
    }
    assert set(fields("ssh.password", random.Random(1))) <= known["ssh.password"]
