"""The same on a real directory: look, remove, compress, and keep account of what was removed."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import documents
from . import policy

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Directory:
    """A directory to keep within bounds, subdirectories included."""

    path: Path
    bounds: policy.Bounds
    release: bool = False
    """Empty a file when it is removed, so that a reader who is stuck in it does not hold its space."""
    reopen: tuple[str, ...] = ()
    """A command that makes the writer open its files anew. Without one, a file in use is never removed."""
    count_lines: bool = False
    """Count the lines of what is removed: on a sensor, a line is an event."""
    before_removal: Callable[[Path], None] | None = None
    """Called with each file that is about to be removed. What it can't do (OSError) is said, and keeps no file."""


@dataclass
class Account:
    """What was removed since the account was opened, by directory and reason. Kept in a file across runs."""

    path: Path
    entries: dict[str, Any] = field(default_factory=dict)
    changed: bool = False

    @classmethod
    def load(cls, path: Path) -> Account:
        """Read the account; one that can't be read is put aside and a new one opened, for pruning must go on."""
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(entries, dict):
                raise ValueError("not an object")
        except FileNotFoundError:
            entries = {}
        except ValueError:
            path.replace(path.with_suffix(".broken"))
            entries = {}
        return cls(path, entries)

    def add(self, directory: Path, step: policy.Step, lines: int | None) -> None:
        """Count one file."""
        entry = self.entries.setdefault(str(directory), {}).setdefault(
            step.reason, {"files": 0, "bytes": 0, "lines": 0}
        )
        entry["files"] += 1
        entry["bytes"] += step.file.size
        entry["lines"] += lines or 0
        entry["last"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.changed = True

    def save(self) -> None:
        """Write the account when it changed; whole or not at all."""
        if not self.changed:
            return
        documents.write(self.path, self.entries)


def look(directory: Path) -> list[policy.File]:
    """The regular files below a directory whose names are those of syslog-ng's files. Links are no files of ours."""
    found = []
    for folder, _, names in os.walk(directory):
        for name in names:
            day = policy.day_of(name)
            if day is None:
                continue
            path = Path(folder, name)
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue  # the loader was faster
            if stat.S_ISREG(status.st_mode):
                # Blocks, not st_size: what removing it would free.
                written = datetime.fromtimestamp(status.st_mtime, UTC)
                found.append(policy.File(path, day[0], status.st_blocks * 512, written, compressed=day[1]))
    return found


def lines_of(path: Path) -> int:
    """The number of lines."""
    count = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            count += chunk.count(b"\n")
    return count


def remove(path: Path, directory: Directory, in_use: bool) -> None:
    """Remove a file, never through a link. Raises OSError, and CalledProcessError when its writer did not let go of it.

    Emptying a file in place would be simpler, but syslog-ng's wildcard-file() ceases to follow a file that shrank.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        path.unlink()
        if in_use:
            subprocess.run(directory.reopen, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        if directory.release:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def zstd(path: Path) -> None:
    """Compress a file to PATH.zst; the original goes when the copy is on disk. Raises OSError, CalledProcessError.

    What PATH.zst held stays in front of it: a clock that was set back has a day written to that was compressed before.
    Frames one after the other are one stream (RFC 8878, section 3). A copy that is as old as the original to the
    nanosecond has it already: the power went before the original did.
    """
    packed = path.with_name(path.name + ".zst")
    if packed.exists() and packed.stat().st_mtime_ns == path.stat().st_mtime_ns:
        path.unlink()
        return
    with documents.replacing(packed) as file:
        if packed.exists():
            with packed.open("rb") as earlier:
                shutil.copyfileobj(earlier, file)
        file.flush()
        subprocess.run(
            ["zstd", "--quiet", "--no-progress", "-10", "--stdout", "--", str(path)],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=file,
        )
        # As zstd itself would: who may read it, and how old it is.
        status = path.stat()
        os.fchmod(file.fileno(), stat.S_IMODE(status.st_mode))
        os.utime(file.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    path.unlink()


def free_bytes(directory: Path) -> int:
    """Space on the file system that an ordinary account can use."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def keep(directory: Directory, account: Account, now: datetime) -> list[str]:
    """Bring one directory within its bounds; returns what could not be done, one line each."""
    failures = []
    files = look(directory.path)
    for step in policy.prune(files, directory.bounds, now, free_bytes(directory.path)):
        path = step.file.path
        if step.in_use and not directory.reopen:
            failures.append(
                f"{path}: its directory's {step.reason} is beyond its bound, and only files in use are left"
            )
            break
        try:
            lines = lines_of(path) if directory.count_lines and not step.file.compressed else None
            if directory.before_removal is not None:
                try:
                    directory.before_removal(path)
                except OSError as error:
                    failures.append(f"{error.filename or path}: {error.strerror}: its numbers are not remembered")
            remove(path, directory, step.in_use)
        except FileNotFoundError:
            continue
        except OSError as error:
            failures.append(f"{path}: {error.strerror}")
            continue
        except subprocess.CalledProcessError as error:
            failures.append(f"{path}: removed, but {directory.reopen[0]} ended with {error.returncode}")
        account.add(directory.path, step, lines)
        # Age is what was asked for; the others mean that the disk is too small for what comes in.
        level = 6 if step.reason == "age" else 4
        events = "" if lines is None else f", {lines} lines"
        print(
            f"<{level}>removed {path} because of its directory's {step.reason}: {step.file.size} bytes{events}",
            flush=True,
        )
    for file in policy.compress(look(directory.path), directory.bounds, now):
        try:
            zstd(file.path)
        except subprocess.CalledProcessError as error:
            failures.append(f"{file.path}: zstd ended with {error.returncode}")
        except OSError as error:
            failures.append(f"{file.path}: {error.strerror}")
    for failure in failures:
        print(f"<3>{failure}", file=sys.stderr, flush=True)
    return failures
