"""Files on the website: complete or not there at all."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

# What stands beside a published file. nginx sends the .gz, with an ETag of its own, to clients that take it.
COMPANIONS = (".sha256", ".md5", ".gz")
_MODE = 0o644
_ASIDE = ".new"


def _companions(name: str, content: bytes) -> dict[str, bytes]:
    return {
        f"{name}.sha256": f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode(),
        f"{name}.md5": f"{hashlib.md5(content, usedforsecurity=False).hexdigest()}  {name}\n".encode(),
        # Without name and time in it, so that the same content gives the same bytes.
        f"{name}.gz": gzip.compress(content, compresslevel=6, mtime=0),
    }


def write_files(directory: Path, files: Mapping[str, bytes], *, companions: bool = True) -> None:
    """Replace the named files, each with its companions, by renaming complete files over them.

    Everything is on the disk before the first rename. A file whose content stays the same is left alone, so that its
    ETag and Last-Modified hold. Raises OSError; then no file is partial, and nothing is left aside.
    """
    wanted: dict[str, bytes] = {}
    for name, content in files.items():
        new = {name: content, **(_companions(name, content) if companions else {})}
        wanted.update((key, value) for key, value in new.items() if _read(directory / key) != value)
    aside: dict[Path, Path] = {}
    try:
        for name, content in wanted.items():
            temporary = directory / f".{name}{_ASIDE}"
            aside[temporary] = directory / name
            _write(temporary, content)
        for temporary, target in aside.items():
            temporary.rename(target)
    except OSError:
        for temporary in aside:
            temporary.unlink(missing_ok=True)
        raise
    if wanted:
        _sync_directory(directory)


def remove_files(directory: Path, names: list[str]) -> None:
    """Remove the named files and their companions where they exist."""
    for name in names:
        for key in (name, *(name + companion for companion in COMPANIONS)):
            (directory / key).unlink(missing_ok=True)


def clean(directory: Path) -> None:
    """Remove what a run that was killed left aside. Call it with the lock held."""
    for leftover in directory.glob(f".*{_ASIDE}"):
        leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def lock(path: Path, *, timeout: float) -> Iterator[None]:
    """Hold the lock file: one run at a time. Raises TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"another run has held {path} for {timeout:.0f} s") from None
                time.sleep(0.2)
        yield


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        os.fchmod(file.fileno(), _MODE)  # whatever the umask is: nginx reads it as another user
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
