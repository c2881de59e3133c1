"""The archive's folders. A day is written aside and takes its place whole; its manifest has the sums of its files.

ARCHIVE/day=2026-11-28/manifest.json
ARCHIVE/day=2026-11-28/listener=ssh/part.parquet
ARCHIVE/.new/           what is being written
ARCHIVE/.old/           the day that is being replaced
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...shared import documents

MANIFEST = "manifest.json"
AT_WORK = 200
"""Bytes of the disk that an event takes while its day is written: rows put aside, rows being sorted, and the files."""
Account = dict[tuple[str, str], int]
"""How many events of each run a day has, by sensor and run."""


class Busy(Exception):
    """Another process writes to the archive."""


def _sync(path: Path) -> None:
    """Have a file or a folder's entries on the disk, whatever happens then."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """One archive."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._new = directory / ".new"
        self._old = directory / ".old"

    def folder(self, day: str) -> Path:
        """Where a day is, or would be."""
        return self.directory / f"day={day}"

    def days(self) -> list[str]:
        """The days that are there, in order."""
        return sorted(path.name.removeprefix("day=") for path in self.directory.glob("day=*") if path.is_dir())

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one who writes, and first finish or take back what another was killed at.

        Raises Busy, or OSError when the directory can't be used.
        """
        with (self.directory / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Busy(f"{self.directory}: another process is writing to the archive") from error
            self._recover()
            yield

    def _recover(self) -> None:
        if self._old.is_dir():
            for folder in self._old.iterdir():
                # The new one had not taken its place yet.
                if not (self.directory / folder.name).exists():
                    folder.rename(self.directory / folder.name)
        for path in (self._old, self._new):
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def aside(self) -> Iterator[Path]:
        """An empty folder on the archive's own disk, which is removed in the end."""
        shutil.rmtree(self._new, ignore_errors=True)
        self._new.mkdir()
        try:
            yield self._new
        finally:
            shutil.rmtree(self._new, ignore_errors=True)

    def room(self, events: int, min_free_mib: int) -> str:
        """Say how much room is missing for this many events, with the reserve kept free; empty when there is enough."""
        needed = (events * AT_WORK >> 20) + min_free_mib
        free = shutil.disk_usage(self.directory).free >> 20
        return "" if free >= needed else f"{self.directory} has {free} MiB free, and writing it needs {needed}"

    def put(self, day: str, folder: Path, account: Account, rows: dict[str, int]) -> None:
        """Write the manifest of what is in `folder`, and put it in the day's place. `rows` has the events of each file.

        A reader sees the old day or the new one, and between two renames, for some microseconds, none. Raises OSError.
        """
        files = {}
        for path in sorted(folder.glob("*/*.parquet")):
            _sync(path)
            _sync(path.parent)
            name = str(path.relative_to(folder))
            files[name] = {"sha256": _sum(path), "bytes": path.stat().st_size, "rows": rows[name]}
        tree = {
            "version": 1,
            "day": day,
            "account": [[*run, count] for run, count in sorted(account.items())],
            "files": files,
        }
        documents.write(folder / MANIFEST, tree)
        _sync(folder)
        place = self.folder(day)
        if place.exists():
            self._old.mkdir(exist_ok=True)
            place.rename(self._old / place.name)
        folder.rename(place)
        _sync(self.directory)
        shutil.rmtree(self._old, ignore_errors=True)

    def manifest(self, day: str) -> dict[str, Any] | None:
        """A day's manifest; None when it has none, or none that can be used."""
        try:
            tree = json.loads((self.folder(day) / MANIFEST).read_text(encoding="utf-8"))
            {(sensor, run): int(rows) for sensor, run, rows in tree["account"]}
            dict(tree["files"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return dict(tree)

    def account(self, day: str) -> Account | None:
        """How many events of each run a day has; None when it is not there."""
        tree = self.manifest(day)
        return None if tree is None else {(sensor, run): rows for sensor, run, rows in tree["account"]}

    def problems(self, day: str) -> list[str]:
        """What is not as it was written, a sentence for each file."""
        folder = self.folder(day)
        tree = self.manifest(day)
        if tree is None:
            return [f"{folder / MANIFEST}: is missing or damaged"]
        found = []
        for name, file in tree["files"].items():
            path = folder / name
            if not path.is_file():
                found.append(f"{path}: is missing")
            elif _sum(path) != file["sha256"]:
                found.append(f"{path}: has been changed since it was written")
        known = {MANIFEST, *tree["files"]}
        for path in sorted(folder.rglob("*")):
            if not path.is_dir() and str(path.relative_to(folder)) not in known:
                found.append(f"{path}: does not belong there")
        return found
