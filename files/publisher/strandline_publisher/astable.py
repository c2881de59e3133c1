"""Which autonomous system announces an address: a table of ranges in iptoasn's layout.

A line is `range_start TAB range_end TAB number TAB country TAB name`, both ends included, IPv4 and IPv6 in one file or
either alone; number 0 says that nobody announces the range. The file may be gzip. The table stays in arrays: a real
one has some 500,000 ranges, and a look-up is one bisection.
"""

from __future__ import annotations

import gzip
import io
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, MutableSequence
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from .addresses import address_text, packed
from .errors import ConfigurationError
from .names import ascii_name, printable

_MAX_ASN = 2**32 - 1  # RFC 6793
_FIELDS = 5
_GZIP_MAGIC = b"\x1f\x8b"


class System(NamedTuple):
    """An autonomous system: its number, its name in the feed's ASCII, and its name as the table has it."""

    asn: int
    name: str
    full_name: str


class _Family:
    """The ranges of one address family in three parallel columns, sorted by their start."""

    def __init__(self, length: int) -> None:
        self._length = length
        # An array holds 64 bits: enough for IPv4. The IPv6 part of a table is the smaller one by far.
        self.starts: MutableSequence[int] = array("Q") if length == 4 else []
        self.ends: MutableSequence[int] = array("Q") if length == 4 else []
        self.systems: MutableSequence[int] = array("L")

    def add(self, start: bytes, end: bytes, system: int) -> None:
        self.starts.append(int.from_bytes(start))
        self.ends.append(int.from_bytes(end))
        self.systems.append(system)

    def freeze(self, path: Path) -> None:
        """Sort the columns. Raises ConfigurationError when two ranges overlap."""
        starts, ends, systems = self.starts, self.ends, self.systems
        if any(before > after for before, after in pairwise(starts)):
            order = sorted(range(len(starts)), key=starts.__getitem__)
            for column in (starts, ends, systems):
                for at, value in enumerate([column[i] for i in order]):
                    column[at] = value
        for at, (end, start) in enumerate(zip(ends, islice(starts, 1, None), strict=False)):
            if end >= start:
                first, last, other = (address_text(key.to_bytes(self._length)) for key in (starts[at], end, start))
                raise ConfigurationError(
                    str(path),
                    f"the range {first} - {last} overlaps the one that begins at {other}",
                    "Leave one of the two out",
                )

    def find(self, address: bytes) -> int:
        """Return the index of the address's system, or -1."""
        key = int.from_bytes(address)
        at = bisect_right(self.starts, key) - 1
        return self.systems[at] if at >= 0 and key <= self.ends[at] else -1


class AsTable:
    """Looks an address up. Build it with `load`."""

    def __init__(self) -> None:
        self._families = {4: _Family(4), 16: _Family(16)}
        self._systems: list[System] = []
        self._known: dict[tuple[int, str], int] = {}

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
        for family in table._families.values():
            family.freeze(path)
        if not len(table):
            raise ConfigurationError(str(path), "holds no announced range", "Put a table in iptoasn's layout there")
        return table


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
