"""Writes the formats beside text and NDJSON into a generation. None that fails or is slow holds the others up."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from . import formats, site, store
from .addresses import NeverList, packed
from .config import Network

_LOG = logging.getLogger(__name__)
# A feed of 50,000 addresses takes a writer some tenths of a second.
SECONDS_EACH = 20.0
SECONDS_ALL = 120.0


@dataclass(frozen=True)
class Written:
    """The files of a listing, and sentences on those that had to be left out."""

    files: tuple[site.File, ...]
    problems: tuple[str, ...]


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the block when it takes longer. Only a main thread can be interrupted so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: object) -> None:
        raise TimeoutError(f"its writer took longer than {seconds:.3g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Writer:
    """Writes the formats that are wanted. `former` is the generation published last; all writers share their time."""

    def __init__(self, wanted: Sequence[str], former: Path | None) -> None:
        self._wanted = [formats.FORMATS[name] for name in wanted]
        self._former = former
        self._left = SECONDS_ALL

    def write(self, builder: store.Builder, listing: formats.Listing) -> Written:
        """Write every format of a feed, or of the combined listing. Raises OSError when the disk can't be written."""
        files, problems = [], []
        for format_ in self._wanted:
            if listing.name == formats.COMBINED and not format_.combined:
                continue
            for kind in format_.kinds:
                name = f"{listing.name}{kind.ending}"
                former = self._former / name if self._former is not None else None
                if former is not None and not former.is_file():
                    former = None
                rows = len(listing.entries)
                if format_.blocks:
                    rows = sum(len(listing.proven[family]) for family in kind.families)
                # As with the text files: the first one waits for the first address.
                if not rows and former is None:
                    continue
                try:
                    content = self._content(listing, kind, former)
                except Exception as error:
                    _LOG.exception("%s: left out", name)
                    problems.append(f"{name} is left out ({' '.join(str(error).split()) or type(error).__name__})")
                    continue
                if kind.aggregates:
                    rows = kind.rows(content)
                digest = builder.renew(name, content, self._former)
                files.append(site.File(name, kind.name, rows, len(content), digest))
        return Written(tuple(files), tuple(problems))

    def _content(self, listing: formats.Listing, kind: formats.Kind, former: Path | None) -> bytes:
        """Return a file's content. Raises whatever its writer does, and TimeoutError when that is late."""
        began = time.monotonic()
        try:
            with time_limit(max(0.001, min(SECONDS_EACH, self._left))):
                if kind.needs_former and former is not None:
                    listing = replace(listing, former={kind.name: former.read_bytes()})
                return kind.write(listing)
        finally:
            self._left -= time.monotonic() - began


class Combined:
    """Gathers the proven sources of all feeds, each once."""

    def __init__(self, never: NeverList) -> None:
        self._never = never
        self._by_feed: dict[str, Collection[str]] = {}

    def take(self, category: str, proven: Collection[str]) -> None:
        """Take a feed's sources that were proven to be real."""
        self._by_feed[category] = proven

    def listing(
        self, network: Network, records: dict[str, site.Record], former: Path | None, *, serial: int
    ) -> tuple[formats.Listing, list[str]]:
        """Return what is published in one listing; those of feeds that kept their files come from these.

        Also returns a sentence for each feed whose sources are missing.
        """
        addresses: set[str] = set()
        problems = []
        for category, record in records.items():
            if record.status == "published":
                addresses.update(self._by_feed.get(category, ()))
            elif record.status == "kept" and former is not None:
                try:
                    addresses.update(self._kept(former / f"{category}.ndjson"))
                except (OSError, ValueError, KeyError, TypeError) as error:
                    problems.append(
                        f"{formats.COMBINED} lists lack {category}: its published file is damaged ({error})"
                    )
        proven = formats.by_number(addresses)
        return formats.Listing(formats.COMBINED, network, proven, serial=serial), problems

    def _kept(self, path: Path) -> Iterator[str]:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row["verified"] and packed(row["address"]) not in self._never:
                    yield row["address"]
