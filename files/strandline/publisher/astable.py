"""Which autonomous system announces an address: a table of ranges in iptoasn's layout.

A line is `range_start TAB range_end TAB number TAB country TAB name`, both ends included, IPv4 and IPv6 in one file or
either alone; number 0 says that nobody announces the range. The file may be gzip. Where ranges overlap, the more
specific one (the smaller) holds. The table stays in arrays: a real one has some 500,000 ranges, and a look-up is one
bisection. Reading the text takes seconds, so what came of it is kept in a file that is read in a tenth of one.
"""

from __future__ import annotations

import gzip
import hashlib
import heapq
import io
import json
import logging
import sys
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..shared import documents
from ..shared.settings import ConfigurationError
from .addresses import packed
from .names import ascii_name, printable

_LOG = logging.getLogger(__name__)
_MAX_ASN = 2**32 - 1  # RFC 6793
_FIELDS = 5
_GZIP_MAGIC = b"\x1f\x8b"
# The last byte is the layout's version; what names are made of (names.py) belongs to it.
_CACHE_MAGIC = b"strandline AS table 1\n"

Range = tuple[int, int, int]
"""First address, last address, index of the system."""


class System(NamedTuple):
    """An autonomous system: its number, its name in the feed's ASCII, and its name as the table has it."""

    asn: int
    name: str
    full_name: str


def _without_overlaps(ranges: Sequence[Range]) -> tuple[list[Range], int]:
    """Return disjoint ranges in order, the more specific one where some overlap, and how many overlapped another."""
    flat: list[Range] = []
    overlaps = 0
    at = 0
    while at < len(ranges):
        end = at + 1
        reach = ranges[at][1]
        while end < len(ranges) and ranges[end][0] <= reach:
            reach = max(reach, ranges[end][1])
            end += 1
        if end == at + 1:
            flat.append(ranges[at])
        else:
            flat += _resolved(ranges[at:end])
            overlaps += end - at - 1
        at = end
    return flat, overlaps


def _resolved(cluster: Sequence[Range]) -> Iterator[Range]:
    """Yield disjoint ranges for some that overlap, sorted by their start."""
    bounds = sorted({start for start, _, _ in cluster} | {end + 1 for _, end, _ in cluster})
    open_ranges: list[tuple[int, int, int, int]] = []  # size, then the later start, end, system
    following = iter([*cluster, None])
    coming = next(following)
    for low, high in pairwise(bounds):
        while coming is not None and coming[0] <= low:
            start, end, system = coming
            heapq.heappush(open_ranges, (end - start, -start, end, system))
            coming = next(following)
        while open_ranges and open_ranges[0][2] < low:
            heapq.heappop(open_ranges)
        if open_ranges:
            yield low, high - 1, open_ranges[0][3]


class _Family:
    """The ranges of one address family in three parallel columns, sorted by their start."""

    def __init__(self, length: int) -> None:
        self.length = length
        # An array holds 64 bits: enough for IPv4. The IPv6 part of a table is the smaller one by far.
        self.starts: MutableSequence[int] = array("Q") if length == 4 else []
        self.ends: MutableSequence[int] = array("Q") if length == 4 else []
        self.systems = array("I")

    def add(self, start: bytes, end: bytes, system: int) -> None:
        self.starts.append(int.from_bytes(start))
        self.ends.append(int.from_bytes(end))
        self.systems.append(system)

    def freeze(self) -> int:
        """Sort the columns and resolve overlaps; return how many there were."""
        before = -1
        for start, end in zip(self.starts, self.ends, strict=True):
            if start <= before:
                break
            before = end
        else:
            return 0  # as nearly every table is
        ranges = sorted(zip(self.starts, self.ends, self.systems, strict=True))
        flat, overlaps = _without_overlaps(ranges)
        columns = list(zip(*flat, strict=True))
        self.starts[:], self.ends[:] = (
            (array("Q", column) if self.length == 4 else list(column)) for column in columns[:2]
        )
        self.systems = array("I", columns[2])
        return overlaps

    def find(self, address: bytes) -> int:
        """Return the index of the address's system, or -1."""
        key = int.from_bytes(address)
        at = bisect_right(self.starts, key) - 1
        return self.systems[at] if at >= 0 and key <= self.ends[at] else -1

    def write(self, file: BinaryIO) -> None:
        """Write the columns in the machine's own byte order."""
        for column in (self.starts, self.ends):
            file.write(column.tobytes() if isinstance(column, array) else b"".join(n.to_bytes(16) for n in column))
        file.write(self.systems.tobytes())

    def read(self, file: BinaryIO, count: int) -> None:
        """Read this number of ranges. Raises ValueError."""
        for column in (self.starts, self.ends):
            if isinstance(column, array):
                column.frombytes(_exactly(file, 8 * count))
            else:
                data = _exactly(file, 16 * count)
                column += [int.from_bytes(data[at : at + 16]) for at in range(0, len(data), 16)]
        self.systems.frombytes(_exactly(file, self.systems.itemsize * count))


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError("it ends early")
    return data


class AsTable:
    """Looks an address up. Build it with `load`; without it, it knows nobody."""

    def __init__(self) -> None:
        self._families = {4: _Family(4), 16: _Family(16)}
        self._systems: list[System] = []
        self._known: dict[tuple[int, str], int] = {}
        self.overlaps = 0
        """How many ranges overlapped another."""

    def find(self, address: bytes) -> System | None:
        """Return the system that announces the packed address, or None when the table does not have it."""
        index = self._families[len(address)].find(address)
        return None if index < 0 else self._systems[index]

    def __len__(self) -> int:
        return sum(len(family.starts) for family in self._families.values())

    def _intern(self, asn: int, name: str) -> int:
        key = (asn, name)
        index = self._known.get(key)
        if index is None:
            index = self._known[key] = len(self._systems)
            self._systems.append(System(asn, ascii_name(name), printable(name)))
        return index

    def _add(self, where: str, line: str) -> None:
        fields = line.split("\t")
        if len(fields) != _FIELDS:
            raise ConfigurationError(
                where,
                f"{len(fields)} fields instead of {_FIELDS}",
                "Separate range_start, range_end, number, country and name by one tab each",
            )
        ends = []
        for name, value in zip(("range_start", "range_end"), fields, strict=False):
            try:
                ends.append(packed(value))
            except ValueError as error:
                raise ConfigurationError(f"{where} {name}", str(error), "Write an IPv4 or IPv6 address") from None
        start, end = ends
        if len(start) != len(end):
            raise ConfigurationError(f"{where} range_end", "not of range_start's family", "Write both alike")
        if start > end:
            raise ConfigurationError(f"{where} range_end", "below range_start", "Exchange the two")
        if not (fields[2].isascii() and fields[2].isdigit()) or int(fields[2]) > _MAX_ASN:
            raise ConfigurationError(
                f"{where} number", f"{fields[2]!r} is not an AS number", f"Write 0 (none) to {_MAX_ASN} without AS"
            )
        asn = int(fields[2])
        if asn:
            self._families[len(start)].add(start, end, self._intern(asn, fields[4]))

    @classmethod
    def load(cls, path: Path) -> AsTable:
        """Read the table. Raises ConfigurationError that names file, line and field."""
        table = cls()
        for number, line in enumerate(_lines(path), 1):
            text = line.rstrip("\r\n")
            if text and not text.startswith("#"):
                table._add(f"{path} line {number}", text)
        table._known = {}
        table.overlaps = sum(family.freeze() for family in table._families.values())
        if not len(table):
            raise ConfigurationError(str(path), "holds no announced range", "Put a table in iptoasn's layout there")
        return table

    def _write(self, path: Path, about: dict[str, object]) -> None:
        """Keep what came of the text. Raises OSError."""
        counts = [len(family.starts) for family in self._families.values()]
        heading = {**about, "counts": counts, "overlaps": self.overlaps, "byteorder": sys.byteorder}
        with documents.replacing(path) as file:
            file.write(_CACHE_MAGIC)
            for part in (heading, self._systems):
                file.write(json.dumps(part).encode() + b"\n")
            for family in self._families.values():
                family.write(file)

    @classmethod
    def _read(cls, path: Path) -> tuple[AsTable, dict[str, object]]:
        """Read what was kept. Raises OSError, ValueError."""
        table = cls()
        with path.open("rb") as file:
            if file.readline(100) != _CACHE_MAGIC:
                raise ValueError("another layout")
            heading = json.loads(file.readline())
            if heading["byteorder"] != sys.byteorder:
                raise ValueError("another machine's")
            table._systems = [System(*system) for system in json.loads(file.readline())]
            for family, count in zip(table._families.values(), heading["counts"], strict=True):
                family.read(file, count)
            if file.read(1):
                raise ValueError("too long")
            if any(max(family.systems, default=-1) >= len(table._systems) for family in table._families.values()):
                raise ValueError("a range of no system")
        table.overlaps = heading["overlaps"]
        return table, heading


@dataclass(frozen=True)
class Loaded:
    """A table, since when it is what it is, and what was wrong with the file; a table that can't be had is empty."""

    table: AsTable
    modified: datetime | None
    problem: str = ""


def load_or_last(path: Path, cache: Path) -> Loaded:
    """Return the table of the file; the last good one when that is missing or broken; else an empty one."""
    kept: AsTable | None = None
    heading: dict[str, object] = {}
    modified: datetime | None = None
    try:
        kept, heading = AsTable._read(cache)
        modified = datetime.fromtimestamp(float(str(heading["modified"])), UTC)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        kept = None
        _LOG.info("%s: can't be used (%s); it is written anew", cache, error)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        stamp = path.stat().st_mtime
    except OSError as error:
        return _fallen_back(kept, modified, f"{path}: can't be read ({error.strerror})")
    if kept is not None and heading.get("sha256") == digest:
        return Loaded(kept, modified)
    try:
        table = AsTable.load(path)
    except ConfigurationError as error:
        return _fallen_back(kept, modified, str(error))
    if table.overlaps:
        _LOG.warning("%s: %d ranges overlap another one; the more specific one holds", path, table.overlaps)
    try:
        table._write(cache, {"sha256": digest, "modified": stamp})
    except OSError as error:
        _LOG.warning("%s: can't be written (%s); the table is read from its text again next time", cache, error)
    return Loaded(table, datetime.fromtimestamp(stamp, UTC))


def _fallen_back(kept: AsTable | None, modified: datetime | None, problem: str) -> Loaded:
    if kept is None:
        return Loaded(AsTable(), None, f"{problem} Systems are NA.")
    return Loaded(kept, modified, f"{problem} The last good table is used.")


def _lines(path: Path) -> Iterable[str]:
    try:
        with path.open("rb") as raw:
            packed_file = raw.peek(2)[:2] == _GZIP_MAGIC
            data = gzip.GzipFile(fileobj=raw) if packed_file else raw
            with io.TextIOWrapper(data, encoding="utf-8") as text:
                yield from text
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise ConfigurationError(
            str(path), f"can't be read ({error})", "Put a table in iptoasn's layout there, UTF-8 text or gzip"
        ) from error
