"""The loader around a database that is made up here: it fails in every way, and still has every line once."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors
import pytest
from spool_lines import as_text, read_row
from strandline.collector import batch as batch_module
from strandline.collector import loader
from strandline.collector.batch import Batch
from strandline.collector.config import Config
from strandline.collector.database import Busy, Outpaced
from strandline.collector.loader import Loader, halves
from strandline.collector.spool import Chunk, Position
from strandline.event import feeds

RULES = feeds.parse({"feeds": {"pw": {"event": "ssh.password", "title": "T", "description": "D"}}}, "x")


class Server:
    """What is committed, and which failures are still to come."""

    def __init__(self) -> None:
        """Start empty and well."""
        self.rows: list[tuple[int, int]] = []
        self.rejects: list[str] = []
        self.positions: dict[str, Position] = {}
        self.failures: list[Exception] = []
        self.poison = -1  # the n of a row that it refuses
        self.sessions = 0
        self.settled = 0


class FakeDatabase:
    """Stands in for database.Database."""

    server: Server

    def __init__(self, dsn: str, collector: str) -> None:
        """Connect, unless that is to fail."""
        assert (dsn, collector) == ("dsn", "c1")
        self.server.sessions += 1
        self.open: list[bytes] = []
        self.unsettled = 1
        self._fail(psycopg2.InterfaceError, Busy)

    def _fail(self, *kinds: type[Exception]) -> None:
        """Raise the next failure when it is of these kinds."""
        failures = self.server.failures
        if failures and isinstance(failures[0], kinds):
            raise failures.pop(0)

    def __enter__(self) -> FakeDatabase:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forget what is open."""
        self.open = []

    def rollback(self) -> None:
        """Forget what is open."""
        self.open = []

    def ping(self) -> None:
        """Say nothing."""

    def positions(self) -> dict[str, Position]:
        """Return what is committed."""
        return dict(self.server.positions)

    def forget(self, files: list[str]) -> None:
        """Delete positions."""
        for name in files:
            self.server.positions.pop(name, None)

    def find_run(self, *_: str) -> tuple[int, int]:
        """Return one run for all."""
        return 1, max((n for _, n in self.server.rows), default=0)

    def find_kind(self, _: object) -> int:
        """Return one kind for all."""
        return 1

    def find_day(self, _: str) -> bool:
        """Keep every day."""
        return True

    def settle(self) -> None:
        """Count how often."""
        assert not self.open, "not in the middle of a batch"
        self.server.settled += 1
        self.unsettled = 0

    def copy(self, rows: list[bytes]) -> None:
        """Take rows into the transaction."""
        self.open += rows
        self._refuse(rows)

    def _refuse(self, rows: list[bytes]) -> None:
        """Refuse the poisoned row."""
        if any(read_row(row)["n"] == self.server.poison for row in rows):
            raise psycopg2.DataError("poison")

    def finish(self, batch: Batch) -> tuple[int, int]:
        """Commit."""
        self._fail(psycopg2.OperationalError, Outpaced, psycopg2.IntegrityError)
        rows = self.open + [d.row for d in batch.doubtful]
        self.open = []
        self._refuse([d.row for d in batch.doubtful])
        for file, (before, _) in batch.moves.items():
            if self.server.positions.get(file) != before:
                raise Outpaced(file)
        new = [(read["run_id"], read["n"]) for read in map(read_row, rows)]
        known = set(self.server.rows)
        fresh = [key for key in dict.fromkeys(new) if key not in known]
        self.server.rows += fresh
        self.unsettled += batch.sighted
        self.server.rejects += [reject.reason for reject in batch.rejects]
        # Last: this is what the tests wait for.
        self.server.positions.update({file: after for file, (_, after) in batch.moves.items()})
        return len(fresh), len(new) - len(fresh)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """A made-up database, with short waits between tries."""
    server = Server()
    monkeypatch.setattr(FakeDatabase, "server", server, raising=False)
    monkeypatch.setattr(loader, "Database", FakeDatabase)
    monkeypatch.setattr(loader, "BACKOFF_SECONDS", (0.01,))
    return server


@pytest.fixture
def running(tmp_path: Path, server: Server) -> Iterator[Loader]:
    """A loader in a thread; it must end by itself when told to."""
    (tmp_path / "spool").mkdir()
    config = Config("c1", "dsn", tmp_path / "spool", Path("x"), tmp_path / "status.json", poll_seconds=0.01)
    stop = threading.Event()
    one = Loader(config, RULES, stop)
    thread = threading.Thread(target=one.run)
    yield_started = [thread]
    one.start = thread.start  # type: ignore[attr-defined]
    yield one
    stop.set()
    if yield_started[0].ident is not None:
        thread.join(10)
        assert not thread.is_alive()


def text(n: int) -> bytes:
    """One line with its newline."""
    ts = "2026-11-25T02:12:18.000000+00:00"
    fields: dict[str, Any] = {
        "sensor": "s", "run": "r", "n": str(n), "ts": ts, "rts": ts, "event": "ssh.password", "saddr": "192.0.2.7",
        "sport": "1", "daddr": "192.0.2.9", "dport": "22", "proto": "tcp",
    }  # fmt: skip
    return as_text(fields | {"user": '"u"'}) + b"\n"


def write(running: Loader, data: bytes, name: str = "20261125-02.log") -> Path:
    """Append to the spool."""
    path = running.config.spool / name
    with path.open("ab") as file:
        file.write(data)
    return path


def wait(condition: Any, seconds: float = 10) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def read_to_end(running: Loader, server: Server, path: Path) -> bool:
    """Tell whether a file has been loaded."""
    position = server.positions.get(path.name)
    return position is not None and position.offset == path.stat().st_size


def test_every_line_once_whatever_fails(running: Loader, server: Server) -> None:
    server.failures = [
        psycopg2.InterfaceError("no server"),
        Busy("another loader"),
        psycopg2.OperationalError("server closed the connection"),
        Outpaced("elsewhere"),
        psycopg2.errors.UniqueViolation("already there"),
        psycopg2.errors.DeadlockDetected("deadlock"),
    ]
    path = write(running, b"".join(text(n) for n in range(1, 500)))
    running.start()  # type: ignore[attr-defined]
    wait(lambda: read_to_end(running, server, path))
    write(running, text(3) + text(500) + b"broken\n")
    wait(lambda: read_to_end(running, server, path))
    assert sorted(server.rows) == [(1, n) for n in range(1, 501)]
    (reject,) = server.rejects
    assert reject.startswith("not JSON")
    assert not server.failures
    assert server.sessions == 4


def test_a_row_that_postgresql_refuses_becomes_a_reject_alone(running: Loader, server: Server) -> None:
    server.poison = 77
    path = write(running, b"".join(text(n) for n in range(1, 200)))
    running.start()  # type: ignore[attr-defined]
    wait(lambda: read_to_end(running, server, path))
    assert sorted(server.rows) == [(1, n) for n in range(1, 200) if n != 77]
    assert server.rejects == ["PostgreSQL: poison"]
    assert server.sessions == 1


@pytest.mark.slow
def test_the_status_file_is_whole_and_says_how_it_is(running: Loader, server: Server) -> None:
    path = write(running, text(1) + text(2) + b"?\n")
    running.start()  # type: ignore[attr-defined]
    wait(lambda: read_to_end(running, server, path))
    wait(lambda: running.config.status.exists() and json.loads(running.config.status.read_text())["rows"] == 2)
    status = json.loads(running.config.status.read_text())
    assert (status["database"], status["rejects"], status["lag_bytes"]) == ("connected", 1, 0)
    assert status["last_rts"] == "2026-11-25T02:12:18.000000+00:00"


def test_finished_files_go_and_what_they_still_hold_is_a_reject(running: Loader, server: Server) -> None:
    path = write(running, text(1) + b"half", "20200101-00.log")
    long_ago = time.time() - 86400
    os.utime(path, (long_ago, long_ago))
    server.positions["20200101-05.log"] = Position(1, 5)  # removed by somebody else
    server.positions["20990101-05.log"] = Position(1, 5)  # its directory may be away for the moment
    running.start()  # type: ignore[attr-defined]
    wait(lambda: not path.exists() and "20200101-05.log" not in server.positions)
    assert server.rows == [(1, 1)]
    assert server.rejects == ["the last line never ended"]
    assert set(server.positions) == {"20990101-05.log"}


@pytest.mark.slow
@pytest.mark.parametrize("spoiled", [0, 3, 8])
def test_what_stands_behind_a_write_that_failed_is_not_written(
    running: Loader, server: Server, monkeypatch: pytest.MonkeyPatch, spoiled: int
) -> None:
    """Rows of later chunks are ready by then. They belong to a transaction that is gone, and must not begin another."""
    monkeypatch.setattr(batch_module, "MAX_SIGHTINGS", 0)
    took: list[int] = []
    copy = FakeDatabase.copy

    def slow(self: FakeDatabase, rows: list[bytes]) -> None:
        took.append(len(rows))
        time.sleep(0.02)  # the other thread goes on meanwhile
        if len(took) - 1 == spoiled:
            raise psycopg2.OperationalError("server closed the connection")
        copy(self, rows)

    monkeypatch.setattr(FakeDatabase, "copy", slow)
    path = write(running, b"".join(text(n) for n in range(1, 45_000)))
    running.start()  # type: ignore[attr-defined]
    wait(lambda: read_to_end(running, server, path), 30)
    assert server.rows == [(1, n) for n in range(1, 45_000)]
    assert server.sessions == 2
    # Nothing but the chunk that failed was taken twice, whatever stood behind it.
    assert sum(took) <= 44_999 + 2 * max(took)


def test_sightings_are_added_up_when_all_is_read_and_before_they_are_too_many(
    running: Loader, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(running, text(1))
    running.start()  # type: ignore[attr-defined]
    wait(lambda: read_to_end(running, server, path) and server.settled == 1)
    monkeypatch.setattr(loader, "MAX_UNSETTLED", 0)
    write(running, text(2))
    wait(lambda: server.settled == 2, 0.9)


@pytest.mark.parametrize("limit", ["IDLE_SECONDS", "SETTLE_SECONDS"])
def test_sightings_are_not_added_up_after_each_transaction_and_not_put_off_for_ever(
    running: Loader, server: Server, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    for name in ("IDLE_SECONDS", "SETTLE_SECONDS"):
        monkeypatch.setattr(loader, name, 3600.0)
    path = write(running, text(1))
    running.start()  # type: ignore[attr-defined]
    for n in range(2, 12):
        wait(lambda: read_to_end(running, server, path))
        write(running, text(n))
    wait(lambda: read_to_end(running, server, path) and len(server.rows) == 11)
    assert server.settled == 0
    monkeypatch.setattr(loader, limit, 0.0)
    wait(lambda: server.settled == 1)


def test_halves_follow_each_other() -> None:
    whole = Chunk(
        "f", Position(7, 3, mid_line=True), [b"a", b"bb", b"ccc"], b"dddd", 4, Position(7, 30, True), full=True
    )
    first, second = halves(whole)
    assert (first.lines, second.lines) == ([b"a"], [b"bb", b"ccc"])
    assert first.before == whole.before
    assert first.after == second.before == Position(7, 30 - 4 - 4 - 3)
    assert (first.too_long, second.too_long, second.after) == (None, b"dddd", whole.after)
