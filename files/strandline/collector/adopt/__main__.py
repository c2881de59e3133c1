"""python3 -m strandline.collector.adopt ... < LOG: bring the events of another daemon's log into the database.

For playbooks/adopt.yml, on the host of the database, under the loader's account. The log comes by standard input, from
a file, plain or packed by gzip, xz or zstd. Prints what was stored and what was left out.
"""

from __future__ import annotations

import argparse
import sys
import time
import zoneinfo
from collections import Counter
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Protocol

import psycopg2

from strandline.collector import config as configuration
from strandline.collector.adopt import dataplane, documents, reading
from strandline.collector.adopt.found import Found, Skip, epoch, message, microseconds
from strandline.collector.adopt.origin import Origin, Unknown, sensors
from strandline.collector.adopt.store import Numbers, Session, Store
from strandline.collector.database import Busy
from strandline.event import feeds as catalogue
from strandline.event.line import quote
from strandline.shared.settings import ConfigurationError

FORMATS = ("dataplane", "cowrie", "opencanary")
SHOWN = 3
"""Lines that are shown for each reason."""
LOOKED_AT = 200
"""Lines that are looked at to tell a file's format."""
MAX_REASONS = 100


class Reader(Protocol):
    """What reads the lines of a format."""

    def read(self, line: bytes) -> Found: ...


class Report:
    """What became of the lines of one file."""

    def __init__(self) -> None:
        """Start with none."""
        self.lines = 0
        self.days: dict[str, list[int]] = {}
        self.events: Counter[str] = Counter()
        self.ambiguous = 0
        self.left_out: dict[str, list[tuple[int, bytes]]] = {}
        self.reasons: Counter[str] = Counter()

    def stored(self, day: str, new: int, known: int) -> None:
        """Count events of a day."""
        counts = self.days.setdefault(day, [0, 0])
        counts[0] += new
        counts[1] += known

    def leave_out(self, reason: str, number: int, text: bytes) -> None:
        """Count a line that was left out, and keep it if it is among the first."""
        if reason not in self.reasons and len(self.reasons) >= MAX_REASONS:
            reason = "other reasons"
        self.reasons[reason] += 1
        examples = self.left_out.setdefault(reason, [])
        if len(examples) < SHOWN:
            examples.append((number, text[:400]))

    @property
    def totals(self) -> tuple[int, int]:
        """New events and known ones."""
        return sum(new for new, _ in self.days.values()), sum(known for _, known in self.days.values())

    def text(self, name: str, kind: str, dry_run: bool) -> str:
        """Show it to people."""
        new, known = self.totals
        verb = "would be stored" if dry_run else "stored"
        rows = [
            f"{shown(name.encode('utf-8', 'surrogateescape'))}, read as {kind}: {self.lines} lines",
            f"  {new} events {verb}, {known} were stored before, {self.reasons.total()} lines left out",
        ]
        if self.ambiguous:
            rows.append(f"  {self.ambiguous} of the events have values that the log leaves open (data->>'ambiguous')")
        rows += [f"  {count:>12}  {event}" for event, count in sorted(self.events.items())]
        rows += [f"  {day}  {new} new, {known} known" for day, (new, known) in sorted(self.days.items())]
        for reason, count in self.reasons.most_common():
            rows.append(f"  left out {count:>12}  {reason}")
            rows += [f"    line {number}: {shown(text)}" for number, text in self.left_out[reason]]
        return "\n".join(rows)


def shown(text: bytes) -> str:
    """Show what strangers wrote so that no terminal obeys it."""
    return quote(text, 160)[1:].partition('"')[0] + ("…" if len(text) > 160 else "")


def guess(lines: Iterable[reading.Line]) -> str:
    """Tell a file's format by its first lines."""
    for line in lines:
        if line.text.startswith(b"{"):
            if b'"eventid"' in line.text:
                return "cowrie"
            if b'"logtype"' in line.text:
                return "opencanary"
    return "dataplane"


def adopt(
    file: BinaryIO, kind: str, origin: Origin, session: Session, feeds: catalogue.Feeds, zone: zoneinfo.ZoneInfo,
    modified: float, dry_run: bool,
) -> tuple[str, Report]:  # fmt: skip
    """Bring a file's events into the database; raises psycopg2.Error, and then what was told so far is stored."""
    report = Report()
    lines = reading.lines(file)
    first = list(islice(lines, LOOKED_AT))
    kind = kind or guess(first)
    reader: Reader
    if kind == "cowrie":
        reader = documents.Cowrie()
    elif kind == "opencanary":
        reader = documents.OpenCanary()
    else:
        reader = dataplane.Reader(zone, modified)
    numbers = Numbers()
    store = Store(session, feeds, report.stored, report.leave_out)
    now = time.time()
    received = epoch(int(now * 1_000_000))
    for number, text, wrong in chain(first, lines):
        report.lines += 1
        try:
            if wrong:
                raise Skip(wrong)
            if not text.strip():
                raise Skip("an empty line")
            found = reader.read(text)
            sensor, daddr, is_sure = origin.of(found.host, found.saddr)
            when = microseconds(found.moment, now)
            unsure = found.ambiguous if found.daddr or is_sure else (*found.ambiguous, "daddr")
            said = message(found, found.daddr or daddr, unsure)
        except Skip as skip:
            report.leave_out(str(skip), number, text)
            continue
        row = f"{sensor} adopted-{kind}\t{numbers.of(text)}\t{epoch(when)}\t{received}\t{said}\t"
        report.events[found.event.name] += 1
        report.ambiguous += bool(unsure)
        store.add(row.encode("ascii"), number)
    store.flush()
    if not dry_run:
        store.settle()
    return kind, report


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit status 1 when it can't be done, 2 for a wrong call or configuration, 3 for a foreign file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--sensor", default="", help="the sensor that all lines are of")
    whose.add_argument("--by-address", action="store_true", help="the path or each line's host is a sensor's address")
    parser.add_argument("--address", action="append", default=[], help="with --sensor: an address that it had")
    parser.add_argument("--format", choices=FORMATS, default="", help="what wrote the log; guessed without it")
    parser.add_argument("--time-zone", default="UTC", help="of times without one: Europe/Amsterdam")
    parser.add_argument("--name", default="standard input", help="the log's path where it came from")
    parser.add_argument("--modified", type=float, help="when it was last changed, in seconds since 1970")
    parser.add_argument("--dry-run", action="store_true", help="store nothing, and say what would be stored")
    parser.add_argument("--config", type=Path, default=Path("/etc/strandline/loader.yml"))
    parser.add_argument("--sensors", type=Path, default=Path("/etc/strandline/collector/addresses.list"))
    options = parser.parse_args(arguments)
    if options.address and not options.sensor:
        parser.error("--address belongs to --sensor NAME")
    try:
        config = configuration.load(options.config)
        feeds = catalogue.load(config.feeds)
        zone = zoneinfo.ZoneInfo(options.time_zone)
        origin = Origin(options.sensor, options.address, sensors(options.sensors), options.name)
    except (ConfigurationError, catalogue.FeedError, Unknown) as error:
        print(error, file=sys.stderr)
        return 2
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        print(f"--time-zone {options.time_zone}: no such zone. Write it like Europe/Amsterdam", file=sys.stderr)
        return 2
    modified = min(time.time(), time.time() if options.modified is None else options.modified)
    try:
        with Session(config.database, options.dry_run) as session:
            kind, report = adopt(
                sys.stdin.buffer, options.format, origin, session, feeds, zone, modified, options.dry_run
            )
    except Busy:
        print("Another import is under way. Start this one again when it has ended", file=sys.stderr)
        return 1
    except (psycopg2.Error, OSError) as error:
        text = str(error).strip()
        print(f"{text}\nWhat was stored so far stays. Start it again: each event is stored once", file=sys.stderr)
        return 1
    print(report.text(options.name, kind, options.dry_run))
    if not report.events and report.lines:
        print("No line of it is an event. Is it a log of one of these daemons? --format says which", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
