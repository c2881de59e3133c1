"""Load the collector's spool of parsed events into PostgreSQL, exactly once.

`python3 -m strandline.collector.loader --config /etc/strandline/loader.yml`

A chunk of a spool file becomes rows; the rows of some chunks, what they add to the sightings, and the positions behind
them are one transaction. While PostgreSQL works (without Python's lock), the next chunks are prepared: that makes use
of both cores. When anything goes wrong, all that is in memory is thrown away and work begins again at the stored
positions.
"""

from __future__ import annotations

import argparse
import gc
import logging
import signal
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import FrameType

import psycopg2
from psycopg2.errors import UniqueViolation
from psycopg2.extensions import TransactionRollbackError

from strandline.collector import config as configuration
from strandline.collector.batch import Batch, Builder, refuse, reject_row
from strandline.collector.config import Config
from strandline.collector.database import Busy, Database, Outpaced
from strandline.collector.lines import decode, iso
from strandline.collector.spool import HOURLY, Chunk, Position, Spool
from strandline.collector.status import Counters, Status
from strandline.event import feeds as catalogue
from strandline.event.feeds import Feeds
from strandline.shared.service import notify
from strandline.shared.settings import ConfigurationError

log = logging.getLogger("strandline.collector.loader")

BACKOFF_SECONDS = (0.5, 1, 2, 5, 10, 15)
HOUSEKEEPING_SECONDS = 60.0
# Sightings are added up when there is time for it: when nothing came for a while. A source that was noted many times
# until then is added once. Later than that they are not: feeds would take longer to compile.
IDLE_SECONDS = 1.0
SETTLE_SECONDS = 60.0
MAX_UNSETTLED = 1_000_000
# Chunks of rows that are ready or being written: PostgreSQL completes a batch while the next ones are prepared. Each
# takes about 0.4 MiB.
MAX_WAITING = 4


class Loader:
    """Moves lines from the spool to the database until it is told to stop."""

    def __init__(self, config: Config, feeds: Feeds, stop: threading.Event) -> None:
        """Prepare; nothing is opened yet."""
        self.config = config
        self.feeds = feeds
        self.stop = stop
        self.spool = Spool(config.spool, config.chunk_bytes, config.max_line_bytes)
        self.status = Status(config.status)
        self._cleaned = 0.0
        # For all sessions: errors that keep coming must not put off adding up.
        self._loaded = time.monotonic()  # when a chunk was last read
        self._settled = time.monotonic()  # when there last was nothing to add up

    def run(self) -> None:
        """Work until `stop` is set; a database that is away is waited for."""
        failures = 0
        notify("READY=1")
        self.status.write()
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer") as pool:
            while not self.stop.is_set():
                loaded = self.status.counters.transactions
                try:
                    with Database(self.config.database, self.config.collector) as database:
                        self._say("connected")
                        self._session(database, pool)
                except (psycopg2.Error, Busy) as error:
                    self._say(" ".join(str(error).split()) or type(error).__name__)
                failures = 0 if self.status.counters.transactions > loaded else failures + 1
                self._wait(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
        notify("STOPPING=1")
        self.status.write()

    def _say(self, state: str) -> None:
        """Note the state of the database, and log it when it changed."""
        if self.status.counters.database != state:
            self.status.counters.database = state
            log.log(logging.INFO if state == "connected" else logging.ERROR, "database: %s", state)

    def _wait(self, seconds: float) -> None:
        """Wait, with the status kept fresh."""
        end = time.monotonic() + seconds
        while not self.stop.is_set():
            if self.status.due():
                self.status.counters.lag_bytes = self.spool.lag_bytes()
                self.status.write()
            left = end - time.monotonic()
            if left <= 0:
                return
            self.stop.wait(min(left, 1.0))

    def _session(self, database: Database, pool: ThreadPoolExecutor) -> None:
        """Work with one pair of connections until it breaks (psycopg2.Error) or `stop` is set."""
        builder = Builder(
            self.feeds, database.find_run, database.find_kind, database.find_day, self.config.max_line_bytes
        )
        careful = False
        while not self.stop.is_set():
            database.rollback()
            self.spool.reset(database.positions())
            builder.reset()
            try:
                if careful:
                    self._load_carefully(database, builder)
                    careful = False
                self._load(database, builder, pool)
            except (Outpaced, TransactionRollbackError, UniqueViolation) as error:
                # Two loaders at the same run, as when a sensor moves from one collector to another.
                log.info("checking the next lines one by one: %s", " ".join(str(error).split())[:300])
                careful = True
            except (psycopg2.DataError, psycopg2.IntegrityError) as error:
                # A row that passed our checks and not PostgreSQL's: find the line.
                log.warning("checking the next lines one by one: %s", " ".join(str(error).split())[:300])
                careful = True

    def _load(self, database: Database, builder: Builder, pool: ThreadPoolExecutor) -> None:
        """Load chunk after chunk, one being written while the next is prepared."""
        writer = Writer(pool, database, self.status.counters)
        batch = Batch()
        try:
            while not self.stop.is_set():
                begun = time.monotonic()
                chunk = self.spool.next_chunk()
                if chunk is not None:
                    self._loaded = begun
                    rows = builder.add(batch, chunk)
                    if batch.is_large() or not chunk.full:
                        writer.begin(rows, batch)
                        batch = Batch()
                    else:
                        writer.begin(rows, None)
                if self.status.due():
                    if chunk is None:
                        database.ping()  # with nothing to load, nobody else would notice
                    self.status.counters.lag_bytes = self.spool.lag_bytes()
                    self.status.write()
                if chunk is not None and chunk.full:
                    continue  # a backlog: no waiting
                if batch.moves:  # the last chunk happened to end with the file
                    writer.begin([], batch)
                    batch = Batch()
                writer.wait()
                self._settle(database, begun)
                if begun - self._cleaned >= HOUSEKEEPING_SECONDS:
                    self._clean(database, builder)
                    self._cleaned = begun
                self.stop.wait(max(0.0, self.config.poll_seconds - (time.monotonic() - begun)))
            if batch.moves:
                writer.begin([], batch)
            writer.wait()
        finally:
            writer.give_up()

    def _settle(self, database: Database, now: float) -> None:
        """Add up what was noted, when nothing comes or it has waited long enough."""
        if not database.unsettled:
            self._settled = now
        elif now - self._loaded >= IDLE_SECONDS or now - self._settled >= SETTLE_SECONDS:
            database.settle()

    def _load_carefully(self, database: Database, builder: Builder) -> None:
        """Load one chunk the way that checks for duplicates; lines that PostgreSQL refuses become rejects."""
        chunk = self.spool.next_chunk()
        if chunk is not None:
            self._split(database, builder, chunk)

    def _split(self, database: Database, builder: Builder, chunk: Chunk) -> None:
        """Store a chunk; when it is refused, its halves; when it is one line, as a reject."""
        builder.reset()
        batch = Batch(careful=True)
        try:
            write(database, builder.add(batch, chunk), batch, self.status.counters)
        except (psycopg2.DataError, psycopg2.IntegrityError) as error:
            if len(chunk.lines) > 1:
                for half in halves(chunk):
                    self._split(database, builder, half)
                    if self.status.due():
                        self.status.write()
                return
            batch = Batch()
            builder.add(batch, replace(chunk, lines=[]))
            reason = "PostgreSQL: " + " ".join((error.pgerror or str(error)).split())[:500]
            for line in chunk.lines:
                record = decode(line)  # it was not rejected before
                batch.rejects.append(reject_row(refuse(record, reason), line))
            write(database, [], batch, self.status.counters)

    def _clean(self, database: Database, builder: Builder) -> None:
        """Delete files that have been loaded to their end and are old enough, and the positions of files long gone."""
        keep = timedelta(hours=self.config.keep_hours)
        gone = []
        for name in self.spool.finished(keep):
            rest = self.spool.unfinished(name)
            if rest is not None:
                batch = Batch()
                builder.add(batch, rest)
                write(database, [], batch, self.status.counters)
                self.spool.positions[name] = rest.after
            self.spool.remove(name)
            gone.append(name)
            log.info("deleted %s", name)
        present = {name for name, _ in self.spool.files()}
        # A file that is missing although it is not old: its directory may be away for the moment.
        limit = time.strftime("%Y%m%d-%H", time.gmtime(time.time() - keep.total_seconds() - 86400))
        for name in set(self.spool.positions) - present:
            match = HOURLY.fullmatch(name)
            if match is not None and match[1] < limit:
                self.spool.positions.pop(name)
                gone.append(name)
        if gone:
            database.forget(gone)


def write(database: Database, rows: list[bytes], whole: Batch | None, counters: Counters) -> None:
    """Send rows; when they complete a batch, commit and count it."""
    if rows:
        database.copy(rows)
    if whole is None:
        return
    inserted, duplicates = database.finish(whole)
    counters.transactions += 1
    counters.rows += inserted
    counters.duplicates += duplicates
    counters.rejects += len(whole.rejects)
    if whole.rejects:
        counters.last_reject = whole.rejects[-1].reason
    if whole.last_rts is not None:
        counters.last_rts = iso(whole.last_rts)
    if database.unsettled > MAX_UNSETTLED:
        database.settle()


class Writer:
    """Has writes done by another thread, in their order, while the caller prepares the next ones."""

    def __init__(self, pool: ThreadPoolExecutor, database: Database, counters: Counters) -> None:
        """Start idle; the pool must have one thread."""
        self._pool = pool
        self._database = database
        self._counters = counters
        self._running: deque[Future[None]] = deque()
        self._completing: Future[None] | None = None
        self._broken = False

    def begin(self, rows: list[bytes], whole: Batch | None) -> None:
        """Begin a write, or put it behind those that run; raises what one of these raised.

        Waits while too much is under way: rows of MAX_WAITING chunks, or a batch that is not complete yet.
        """
        while self._running and (len(self._running) >= MAX_WAITING or self._running[0].done()):
            self._running.popleft().result()
        if whole is not None and self._completing is not None:
            self._completing.result()
        begun = self._pool.submit(self._write, rows, whole)
        self._running.append(begun)
        if whole is not None:
            self._completing = begun

    def _write(self, rows: list[bytes], whole: Batch | None) -> None:
        """Write, unless a write before failed: its transaction is gone, and these rows must not begin another."""
        if self._broken:
            return
        try:
            write(self._database, rows, whole, self._counters)
        except BaseException:
            self._broken = True
            raise

    def wait(self) -> None:
        """Wait until nothing is being written; raises what a write raised."""
        while self._running:
            self._running.popleft().result()

    def give_up(self) -> None:
        """Wait, whatever comes of it: the connection is not ours before. The writer is of no use any more."""
        self._broken = True
        while self._running:
            self._running.popleft().exception()


def halves(chunk: Chunk) -> tuple[Chunk, Chunk]:
    """Divide a chunk of two lines or more into two that follow each other.

    The border between them is counted back from the chunk's end, since the chunk may have begun inside a line.
    """
    middle = len(chunk.lines) // 2
    second = chunk.lines[middle:]
    behind = sum(len(line) + 1 for line in second) + chunk.too_long_length
    border = Position(chunk.after.inode, chunk.after.offset - behind)
    first = replace(chunk, lines=chunk.lines[:middle], too_long=None, too_long_length=0, after=border)
    return first, replace(chunk, before=border, lines=second)


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit status 2 when the configuration is wrong, 0 after SIGTERM."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("/etc/strandline/loader.yml"))
    parser.add_argument("--check", action="store_true", help="check the configuration and the feeds, then end")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        config = configuration.load(options.config)
        feeds = catalogue.load(config.feeds)
    except (ConfigurationError, catalogue.FeedError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.check:
        return 0
    # The writer asks for Python's lock a few times with each chunk. The other thread would keep it for 5 ms each time,
    # which is half as long as PostgreSQL works on a chunk.
    sys.setswitchinterval(0.0001)
    # Nothing that is made for a line refers to itself: to look for such garbage all the time costs up to a tenth, and
    # finds none. What does grow, as after errors, is still found.
    gc.set_threshold(100_000)
    gc.freeze()
    stop = threading.Event()

    def terminate(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, terminate)
    signal.signal(signal.SIGINT, terminate)
    Loader(config, feeds, stop).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
