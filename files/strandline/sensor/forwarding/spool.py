"""What the spool holds, by run and number. Reads each line of the spool once: what was learned is kept in a file.

Only the beginning of a line says what it is, up to the number that syslog-ng put there. What follows was written by
whoever connected to this sensor and may look like anything.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...shared import documents
from ...shared.ranges import Ranges, normal
from ...shared.retention import policy
from ...shared.retention.keeper import look

# RFC 5424, section 6, as the template in syslog-ng.conf writes it. The groups: UTC day, run, number.
LINE = re.compile(
    rb"<134>1 ([0-9]{4}-[0-9]{2}-[0-9]{2})T[0-9:.+]{1,32} [!-~]{1,255} [!-~]{1,48} [!-~]{1,128} - "
    rb'\[ev@[0-9]{1,10} run="([A-Za-z0-9][A-Za-z0-9_.:-]{0,63})" n="([1-9][0-9]{0,17})"\] '
)
FORMAT = 1
_CHUNK = 1 << 20
_LONGEST = 1 << 16  # no line of the spool is as long; more without a newline is damage


@dataclass
class Held:
    """What a file, or the whole spool, holds of one run."""

    ranges: Ranges = field(default_factory=list)
    days: dict[str, list[int]] = field(default_factory=dict)
    """By UTC day of the events' time stamps: first number, last number, lines."""

    def add(self, other: Held) -> None:
        """Add what another file holds."""
        self.ranges += other.ranges
        for day, (first, last, lines) in other.days.items():
            known = self.days.setdefault(day, [first, last, 0])
            known[:] = [min(known[0], first), max(known[1], last), known[2] + lines]


@dataclass
class Known:
    """How far a file has been read, and what it holds up to there."""

    inode: int
    offset: int = 0
    runs: dict[str, Held] = field(default_factory=dict)


def lines_from(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
    """Each whole line from an offset on, without its newline, and the offset behind it.

    A last line without a newline is still being written: it is left for the next time. A file that was removed has no
    lines.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "rb") as file:
        file.seek(offset)
        rest = b""
        while chunk := file.read(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                offset += len(line) + 1
                yield line, offset
            if len(rest) > _LONGEST:
                # A hole that a crash of the machine left. Whatever it is, it is no line of ours.
                offset += len(rest)
                rest = b""


def read(path: Path, known: Known) -> None:
    """Read on where the file was left."""
    run = b""
    day = b""
    held = Held()
    first = last = 0
    days: list[int] = []

    def close() -> None:
        if first:
            held.ranges.append((first, last))

    for line, behind in lines_from(path, known.offset):
        known.offset = behind
        match = LINE.match(line)
        if match is None:
            continue
        number = int(match[3])
        if match[2] != run or number != last + 1:
            close()
            first = number
            if match[2] != run:
                run, day = match[2], b""
                held = known.runs.setdefault(run.decode(), Held())
        last = number
        if match[1] != day:
            day = match[1]
            days = held.days.setdefault(day.decode(), [number, number, 0])
        days[2] += 1
        if number > days[1]:
            days[1] = number
        elif number < days[0]:
            days[0] = number
    close()
    for held in known.runs.values():
        held.ranges = normal(held.ranges)


@dataclass
class Index:
    """What is known of each file of the spool."""

    spool: Path
    files: dict[str, Known] = field(default_factory=dict)

    @classmethod
    def load(cls, spool: Path, state: Path) -> Index:
        """Take up what was learned before; when there is nothing, or nothing legible, everything is read anew."""
        index = cls(spool)
        try:
            tree: dict[str, Any] = json.loads(state.read_text(encoding="utf-8"))
            if tree["format"] == FORMAT and tree["spool"] == str(spool):
                for name, entry in tree["files"].items():
                    runs = {
                        run: Held([(one[0], one[1]) for one in held["ranges"]], held["days"])
                        for run, held in entry["runs"].items()
                    }
                    index.files[name] = Known(entry["inode"], entry["offset"], runs)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            index.files.clear()
        return index

    def save(self, state: Path) -> None:
        """Keep what was learned; whole or not at all. Raises OSError."""
        tree = {
            "format": FORMAT,
            "spool": str(self.spool),
            "files": {
                name: {
                    "inode": known.inode,
                    "offset": known.offset,
                    "runs": {run: {"ranges": held.ranges, "days": held.days} for run, held in known.runs.items()},
                }
                for name, known in self.files.items()
            },
        }
        documents.write(state, tree)

    def refresh(self) -> None:
        """Read what is new, and forget files that were removed. Raises OSError when the spool can't be read."""
        present = set()
        for path in self.paths():
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue  # the pruner was faster
            present.add(path.name)
            known = self.files.get(path.name)
            if known is None or known.inode != status.st_ino or known.offset > status.st_size:
                known = self.files[path.name] = Known(status.st_ino)
            if known.offset < status.st_size:
                read(path, known)
        for name in set(self.files) - present:
            del self.files[name]

    def paths(self) -> list[Path]:
        """The files that are there, oldest first. Raises OSError when the spool is not there."""
        self.spool.stat()
        return [file.path for file in policy.oldest_first(_found(self.spool))]

    def runs(self) -> dict[str, Held]:
        """What the whole spool holds."""
        total: dict[str, Held] = {}
        for known in self.files.values():
            for run, held in known.runs.items():
                total.setdefault(run, Held()).add(held)
        for held in total.values():
            held.ranges = normal(held.ranges)
        return total


def _found(spool: Path) -> list[policy.File]:
    """The spool's files; it has no subdirectories."""
    return [file for file in look(spool) if file.path.parent == spool and not file.compressed]
