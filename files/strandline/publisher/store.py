"""The site on the disk: generations that never change, and one link that leads to the newest.

    webroot/generations/2026/11/25/03/...   the generation whose window ends at 2026-11-25 03:00 UTC
    webroot/current                         a symbolic link to one of them: the only thing that is ever switched
    webroot/generations/.building           a generation that is not complete

A generation is complete, signed, checked and on the disk before it gets its name, and has its name before the link
leads to it. A run that is killed anywhere leaves the site as it was or as it shall be.
"""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from . import signing

MANIFEST = "SHA256SUMS"
# What stands beside a published file. nginx sends the .gz, with an ETag of its own, to clients that take it.
PACKED = ".gz"
COMPANIONS = (".sha256", ".md5", PACKED)
LINK = "current"
GENERATIONS = "generations"
LOOKUP = "lookup"
HOURLY_FOR = timedelta(days=7)
DAILY_FOR = timedelta(days=366)
# The newest ones are served as they are, older ones from their compressed files alone.
WHOLE_FOR = timedelta(hours=3)
_MODE = 0o644
_BUILDING = ".building"
_NAME = re.compile(r"([0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{2})(?:-([0-9]+))?")


def current(webroot: Path) -> Path | None:
    """Return the directory that the link leads to, or None before the first generation."""
    link = webroot / LINK
    return webroot / os.readlink(link) if link.is_symlink() and link.is_dir() else None


def generation_name(directory: Path) -> str:
    """Return a generation's name, which is its path on the site as well: `2026/11/25/03`."""
    return "/".join(directory.parts[-4:])


def names(webroot: Path) -> list[tuple[datetime, int, str]]:
    """Return the end of the window, the number of the try, and the name of each generation, oldest first."""
    found = []
    for path in (webroot / GENERATIONS).glob("[0-9]*/*/*/*"):
        parts = _NAME.fullmatch(generation_name(path))
        if parts is None:
            continue
        with contextlib.suppress(ValueError):  # the thirtieth of February: not ours
            hour = datetime.strptime(parts[1], "%Y/%m/%d/%H").replace(tzinfo=UTC)
            found.append((hour, int(parts[2] or 1), parts[0]))
    return sorted(found)


def is_of_hour(directory: Path | None, end: datetime) -> bool:
    """Tell whether a generation's window ends then."""
    return directory is not None and generation_name(directory).partition("-")[0] == f"{end:%Y/%m/%d/%H}"


def free_name(webroot: Path, end: datetime) -> str:
    """Return a name for a generation whose window ends then: `2026/11/25/03`, or `…-2` when it is taken."""
    tries = [number for hour, number, _ in names(webroot) if hour == end]
    return f"{end:%Y/%m/%d/%H}" + (f"-{max(tries) + 1}" if tries else "")


class Builder:
    """A generation in the making. Everything raises OSError where the disk does."""

    def __init__(self, webroot: Path) -> None:
        self._webroot = webroot
        self.directory = webroot / GENERATIONS / _BUILDING
        self.directory.parent.mkdir(mode=0o755, exist_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)  # of a run that was killed
        self.directory.mkdir(mode=0o755)
        self._sums: dict[str, str] = {}
        # zlib works without Python's lock: the next feed is read and rendered meanwhile.
        self._pool = ThreadPoolExecutor(1)
        self._packing: Future[None] | None = None

    def __enter__(self) -> Builder:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def clear(self) -> None:
        """Begin anew."""
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            self._wait()
        shutil.rmtree(self.directory)
        self.directory.mkdir(mode=0o755)
        self._sums.clear()

    def add(self, name: str, content: bytes, *, companions: Collection[str] = COMPANIONS) -> str:
        """Write a file, with its companions, and return its SHA-256."""
        digest = self._write(name, content)
        if ".sha256" in companions:
            self._write(f"{name}.sha256", f"{digest}  {name}\n".encode())
        if ".md5" in companions:
            md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
            self._write(f"{name}.md5", f"{md5}  {name}\n".encode())
        if PACKED in companions:
            self._wait()  # one file's content at a time waits in memory
            self._packing = self._pool.submit(self._pack, name, content)
        return digest

    def add_pieces(self, name: str, pieces: Iterable[bytes]) -> tuple[str, int]:
        """Write a file that need not fit into memory, with its companions; return its SHA-256 and size.

        Whatever is raised, also by what yields the pieces, leaves nothing of it.
        """
        path, packed = self.directory / name, self.directory / f"{name}{PACKED}"
        path.parent.mkdir(mode=0o755, exist_ok=True)
        sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
        try:
            with path.open("wb") as file, packed.open("wb") as small:
                with gzip.GzipFile("", "wb", 4, small, mtime=0) as zipped:
                    for piece in pieces:
                        file.write(piece)
                        zipped.write(piece)
                        sha256.update(piece)
                        md5.update(piece)
                        size += len(piece)
                for one in (file, small):
                    os.fchmod(one.fileno(), _MODE)
                    one.flush()
                    os.fsync(one.fileno())
            with packed.open("rb") as small:
                self._sums[f"{name}{PACKED}"] = hashlib.file_digest(small, "sha256").hexdigest()
            self._write(f"{name}.sha256", f"{sha256.hexdigest()}  {path.name}\n".encode())
            self._write(f"{name}.md5", f"{md5.hexdigest()}  {path.name}\n".encode())
        except BaseException:
            self.discard(name)
            raise
        self._sums[name] = sha256.hexdigest()
        return self._sums[name], size

    def _pack(self, name: str, content: bytes) -> None:
        # Without name and time in it, so that the same content gives the same bytes.
        self._write(f"{name}{PACKED}", gzip.compress(content, compresslevel=4, mtime=0))

    def _wait(self) -> None:
        if self._packing is not None:
            self._packing.result()
            self._packing = None

    def discard(self, name: str) -> None:
        """Take back a file that may have been added."""
        self._wait()
        for key in (name, *(name + companion for companion in COMPANIONS)):
            (self.directory / key).unlink(missing_ok=True)
            self._sums.pop(key, None)

    def keep(self, name: str, former: Path) -> str:
        """Take a file with its companions over from a former generation: the very same file, with its ETag.

        Returns its SHA-256.
        """
        for key in (name, *(name + companion for companion in COMPANIONS)):
            target = self.directory / key
            target.parent.mkdir(mode=0o755, exist_ok=True)
            try:
                os.link(former / key, target)
            except FileNotFoundError:
                if key == name:
                    raise
                continue
            with target.open("rb") as file:
                self._sums[key] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._sums[name]

    def renew(self, name: str, content: bytes, former: Path | None, *, companions: Collection[str] = COMPANIONS) -> str:
        """Add a file; one that has not changed is taken over, with its ETag: nobody has to fetch it again."""
        if former is not None and _is(former / name, content):
            return self.keep(name, former)
        return self.add(name, content, companions=companions)

    def _write(self, name: str, content: bytes) -> str:
        path = self.directory / name
        path.parent.mkdir(mode=0o755, exist_ok=True)
        with path.open("wb") as file:
            os.fchmod(file.fileno(), _MODE)  # whatever the umask is: nginx reads it as another user
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._sums[name] = hashlib.sha256(content).hexdigest()
        return self._sums[name]

    def finish(self, name: str, *, key: Path | None, comment: str) -> Path:
        """Write and sign the manifest, check every file against it, and give the generation its name.

        Raises ConfigurationError when it can't be signed, ValueError when what is on the disk is not what was written.
        """
        self._wait()
        manifest = self.directory / MANIFEST
        lines = "".join(f"{digest}  {file}\n" for file, digest in sorted(self._sums.items()))
        self._write(MANIFEST, lines.encode())
        if key is not None:
            signing.sign(key, self.directory / "minisign.pub", manifest, comment)
            (self.directory / f"{MANIFEST}.minisig").chmod(_MODE)
            _sync(self.directory / f"{MANIFEST}.minisig")
        check(self.directory)
        for directory in (path for path in (self.directory, *self.directory.rglob("*")) if path.is_dir()):
            _sync(directory)
        target = self._webroot / GENERATIONS / name
        parents = [target.parent, *list(target.parent.parents)[:3]]
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        os.rename(self.directory, target)
        for directory in parents:
            _sync(directory)
        return target


def check(directory: Path) -> None:
    """Raise ValueError when a file of a generation is not what its manifest says (one that is thinned fails)."""
    for line in (directory / MANIFEST).read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        with (directory / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise ValueError(f"{directory / name} is not what was written")


def switch(webroot: Path, generation: Path) -> None:
    """Let the link lead to the generation: the one moment in which the site changes. Raises OSError."""
    aside = webroot / f".{LINK}.new"
    aside.unlink(missing_ok=True)
    os.symlink(generation.relative_to(webroot), aside)
    os.rename(aside, webroot / LINK)
    _sync(webroot)


def prune(webroot: Path, now: datetime) -> int:
    """Remove generations that have had their time, and thin older ones. Returns how many were removed.

    Every generation stays for HOURLY_FOR, the first of each day for DAILY_FOR. One that can't be removed does not keep
    the others; OSError is raised for it in the end.
    """
    serving = current(webroot)
    removed = 0
    failed: OSError | None = None
    first_of_day: dict[str, str] = {}
    for hour, _, name in names(webroot):
        directory = webroot / GENERATIONS / name
        daily = first_of_day.setdefault(f"{hour:%Y-%m-%d}", name) == name
        if directory == serving:
            continue
        try:
            if now - hour > (DAILY_FOR if daily else HOURLY_FOR):
                shutil.rmtree(directory)
                removed += 1
            elif now - hour > WHOLE_FOR:
                _thin(directory)
        except OSError as error:
            failed = error
    for parent in sorted((webroot / GENERATIONS).glob("[0-9]*/**/"), reverse=True):
        with contextlib.suppress(OSError):  # not empty
            parent.rmdir()
    if failed is not None:
        raise failed
    return removed


def _thin(directory: Path) -> None:
    """Remove what a compressed file stands beside: nginx sends it unpacked to who wants that."""
    for packed in directory.rglob(f"*{PACKED}"):
        packed.with_suffix("").unlink(missing_ok=True)


def remove_flat_site(webroot: Path) -> None:
    """Remove what releases before the generations wrote into the root itself; nginx serves none of it any more."""
    try:
        flat = (webroot / "feeds.json").is_file() and (webroot / "style.css").is_file()
    except OSError:
        return
    if flat:
        for path in webroot.iterdir():
            if path.is_file() and not path.is_symlink() and path.name.endswith(
                (".txt", ".ndjson", ".json", ".html", ".css", *COMPANIONS, ".new")
            ):  # fmt: skip
                path.unlink()


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


def _is(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
