"""Stores events of a log as the loader stores those of its spool: rows, sightings and account in one transaction.

Where a sensor of ours numbers its events, these get a number from a hash of their line: the same line has the same
number in whatever file it stands, so that a log may be imported again, in pieces, packed, joined, or while it grows,
and each event is stored once. Lines that are equal to the last byte are told apart by counting them: the second in a
file has another number than the first. The run of these numbers has no highest one (high_n stays 0): none is missing.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from strandline.collector.batch import Batch, Builder
from strandline.collector.database import Database
from strandline.collector.lines import MAX_N
from strandline.collector.spool import Chunk, Position
from strandline.event.feeds import Feeds

LOCK = "(adopt)"
BATCH = 2000
"""Events in a transaction."""
MAX_LINE = 65536
MAX_REMEMBERED = 50_000
"""Lines that equal ones are looked for among. Lines with the same time stand together."""
MAX_UNSETTLED = 200_000


class Numbers:
    """Numbers lines by what they say."""

    def __init__(self) -> None:
        """Start a file."""
        self._seen: OrderedDict[bytes, int] = OrderedDict()

    def of(self, line: bytes) -> int:
        """Return a line's number, 1 or more and below 10 to the power of 18."""
        digest = hashlib.sha256(line).digest()
        before = self._seen.pop(digest, 0)
        self._seen[digest] = before + 1
        if len(self._seen) > MAX_REMEMBERED:
            self._seen.popitem(last=False)
        if before:
            digest = hashlib.sha256(digest + before.to_bytes(8)).digest()
        return int.from_bytes(digest[:8]) % (10**18 - 1) + 1


class Session(Database):
    """A session with the database for one import; with `dry_run` it takes everything back."""

    def __init__(self, dsn: str, dry_run: bool = False) -> None:
        """Connect; raises psycopg2.Error, or Busy while another import runs."""
        super().__init__(dsn, LOCK)
        self._dry_run = dry_run
        if dry_run:
            # What the look-ups add goes back together with the rows.
            self._finder.close()
            self._finder = self._writer

    def __enter__(self) -> Session:
        """Return itself."""
        return self

    def find_run(self, sensor: str, run: str) -> tuple[int, int]:
        """Return a run's id; no number of it counts as new without a look."""
        return super().find_run(sensor, run)[0], MAX_N

    def finish(self, batch: Batch) -> tuple[int, int]:
        """Write what belongs to a transaction; return rows that are new and rows that were stored already."""
        if not self._dry_run:
            return super().finish(batch)
        with self._writer.cursor() as cursor:
            inserted = self._store_doubtful(cursor, batch)
        self._writer.rollback()
        return inserted, len(batch.doubtful) - inserted


class Store:
    """Takes events one after the other."""

    def __init__(
        self,
        session: Session,
        feeds: Feeds,
        stored: Callable[[str, int, int], None],
        refused: Callable[[str, int, bytes], None],
    ) -> None:
        """Tell `stored` of a day's new and known events, `refused` of a reason, a line's number and its beginning."""
        self._session = session
        self._builder = Builder(feeds, session.find_run, session.find_kind, session.find_day, MAX_LINE)
        self._stored = stored
        self._refused = refused
        self._waiting: list[bytes] = []
        self._places: dict[bytes, int] = {}

    def add(self, line: bytes, place: int) -> None:
        """Take an event, as a line of the parsed spool, and where it stood in the log."""
        self._waiting.append(line)
        self._places[line] = place
        if len(self._waiting) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Store what waits. Raises psycopg2.Error; then nothing of it is stored."""
        lines, places = self._waiting, self._places
        if not lines:
            return
        self._waiting, self._places = [], {}
        batch = Batch(careful=True)
        self._builder.reset()  # after a dry run's roll-back nothing is where it was
        self._builder.add(batch, Chunk("", None, lines, None, 0, Position(0, 0), full=False))
        batch.moves.clear()  # no file of the spool
        # None of them came late: their numbers have no order.
        batch.doubtful = [doubtful._replace(below=False) for doubtful in batch.doubtful]
        rejects, batch.rejects = batch.rejects, []
        self._session.finish(batch)
        for (_, day), tally in batch.tallies.items():
            self._stored(day, tally.stored, tally.duplicates)
        for reject in rejects:
            old = reject.reason.startswith("ts: ")
            reason = "time: outside the days whose events are kept" if old else f"can't be stored: {reject.reason[:80]}"
            self._refused(reason, places.get(bytes(reject.raw), 0), reject.raw)
        if self._session.unsettled > MAX_UNSETTLED:
            self.settle()

    def settle(self) -> None:
        """Add what was noted to the sightings."""
        self._session.settle()
