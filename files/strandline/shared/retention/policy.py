"""Which files go: a pure function of what is there, the bounds, and the time.

The files are those that syslog-ng names by the UTC day: `2026-11-25.log`, `2026-11-25.3.log`, `20261125-02.jsonl`,
and the same with `.zst`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

IN_USE = timedelta(seconds=150)
"""A file written within this time may still be open: syslog-ng closes an idle one after 60 s (its time-reap())."""

_NAME = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[.-][0-9.]*)?\.(?:log|jsonl)(?P<compressed>\.zst)?")


@dataclass(frozen=True)
class Bounds:
    """What a directory may hold; 0 means without bound."""

    keep_days: int = 0
    """Whole UTC days beside today's."""
    max_bytes: int = 0
    """Disk space of all files together."""
    min_free_bytes: int = 0
    """Free space on the file system."""
    compress_days: int = 0
    """Age in days from which on a file is compressed."""


@dataclass(frozen=True)
class File:
    """A file of the spool as it was found."""

    path: Path
    day: date
    size: int
    """Disk space in bytes."""
    written: datetime
    compressed: bool = False


@dataclass(frozen=True)
class Step:
    """What to do with one file, and why: `age`, `size` or `free`."""

    file: File
    reason: str
    in_use: bool = False
    """It may be open for writing."""


def day_of(name: str) -> tuple[date, bool] | None:
    """The day in a file's name and whether it is compressed; None for a name that is not one of syslog-ng's."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3])), match["compressed"] is not None
    except ValueError:
        return None


def oldest_first(files: Iterable[File]) -> list[File]:
    """By the day, then by the last write."""
    return sorted(files, key=lambda file: (file.day, file.written, file.path))


def prune(files: Iterable[File], bounds: Bounds, now: datetime, free_bytes: int) -> Iterator[Step]:
    """What has to go, oldest first.

    The file that was written last, and any written a moment ago, is taken only when nothing else is left to remove
    and the bound is still broken.
    """
    ordered = oldest_first(files)
    newest = max((file.written for file in ordered), default=now)
    kept: list[File] = []
    for file in ordered:
        if bounds.keep_days and file.day < now.astimezone(UTC).date() - timedelta(days=bounds.keep_days):
            free_bytes += file.size
            yield Step(file, "age")
        else:
            kept.append(file)
    total = sum(file.size for file in kept)
    in_use = [file for file in kept if file.written >= min(newest, now - IN_USE)]
    for file in [*(file for file in kept if file not in in_use), *in_use]:
        if bounds.max_bytes and total > bounds.max_bytes:
            reason = "size"
        elif bounds.min_free_bytes and free_bytes < bounds.min_free_bytes:
            reason = "free"
        else:
            return
        total -= file.size
        free_bytes += file.size
        yield Step(file, reason, in_use=file in in_use)


def compress(files: Iterable[File], bounds: Bounds, now: datetime) -> list[File]:
    """The files that are old enough to be compressed, oldest first."""
    if not bounds.compress_days:
        return []
    before = now.astimezone(UTC).date() - timedelta(days=bounds.compress_days)
    return [f for f in oldest_first(files) if not f.compressed and f.day <= before and f.written < now - IN_USE]
