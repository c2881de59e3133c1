"""The daily list of user names and passwords that were tried over SSH.

Its day is counted once, after the first publication of the next day: whatever that takes, no feed waits for it. From
then on each generation has the list, until the next one is there.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from ..shared import documents
from .errors import SourceError

_LOG = logging.getLogger(__name__)
NAME = "sshidpw"
TITLE = "SSH user names and passwords"
_PATIENCE = timedelta(hours=12)
_PAUSE = timedelta(hours=6)
DESCRIPTION = (
    "Pairs of user name and password that were tried over SSH on one day, the ones that most sources tried first."
)


@dataclass(frozen=True)
class Limits:
    """Which pairs are published: those that at least `sources` sources tried (0: no list), at most `most` of them."""

    sources: int = 3
    most: int = 10_000


@dataclass(frozen=True)
class Pair:
    """A user name and a password, escaped as events are, and how many sources tried them how often."""

    username: str
    password: str
    sources: int
    attempts: int


@dataclass(frozen=True)
class Day:
    """The list of a day, UTC."""

    day: date
    pairs: tuple[Pair, ...]


class Counts(Protocol):
    """Something that can count a day's pairs."""

    def password_pairs(self, day: date, *, sources: int, most: int) -> Sequence[tuple[str, str, int, int]]:
        """Return user name, password, sources and attempts of each pair, in the list's order. Raises SourceError."""


def _path(state: Path) -> Path:
    return state / f"{NAME}.json"


def load(state: Path, limits: Limits) -> Day | None:
    """Return the list that was counted last, or None if it is missing or unreadable."""
    if not limits.sources:
        return None
    try:
        found = json.loads(_path(state).read_text(encoding="utf-8"))
        return Day(date.fromisoformat(found["day"]), tuple(_pair(*pair) for pair in found["pairs"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _LOG.warning("%s: can't be used (%s); it is counted anew", _path(state), error)
        return None


def _pair(username: object, password: object, sources: object, attempts: object) -> Pair:
    if not (isinstance(username, str) and isinstance(password, str)):
        raise TypeError("a user name or password is no text")
    return Pair(username, password, int(str(sources)), int(str(attempts)))


def _is_due(known: Day | None, day: date, tried: Path, now: datetime, loaded: datetime | None) -> bool:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if known is not None and known.day == day:
        return False
    if loaded is not None and loaded < midnight and now - midnight < _PATIENCE:
        _LOG.info("%s: a collector has not brought all of %s yet", NAME, day)
        return False
    return not tried.is_file() or abs(now - datetime.fromtimestamp(tried.stat().st_mtime, UTC)) >= _PAUSE


def refresh(
    source: Counts, state: Path, limits: Limits, *, now: datetime, through_now: bool, loaded: datetime | None = None
) -> str:
    """Count the pairs of yesterday unless that was done; with `through_now` those of today, each time.

    `loaded` says until when every collector has brought its events: before noon a day that is not whole is waited for.
    Returns a sentence when they can't be counted: the former list stays then, and hours pass before the next try.
    """
    now = now.astimezone(UTC)
    day = now.date() - timedelta(days=not through_now)
    tried = state / f"{NAME}.tried"
    if not limits.sources or not (through_now or _is_due(load(state, limits), day, tried, now, loaded)):
        return ""
    try:
        tried.touch()
        os.utime(tried, (now.timestamp(), now.timestamp()))
        pairs = source.password_pairs(day, sources=limits.sources, most=limits.most)
        documents.write(_path(state), {"day": day.isoformat(), "pairs": pairs})
    except SourceError as error:
        return f"{NAME}: {error}"
    except OSError as error:
        return f"{NAME}: {_path(state)} can't be written ({error.strerror})"
    _LOG.info("%s: %d pairs of %s", NAME, len(pairs), day)
    tried.unlink(missing_ok=True)
    return ""


def render_csv(found: Day) -> bytes:
    """Return `username,password` lines without a heading, as DataPlane.org's list has them (RFC 4180, LF)."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows((pair.username, pair.password) for pair in found.pairs)
    return text.getvalue().encode()


def render_ndjson(found: Day) -> bytes:
    """Return one object a line, with counts."""
    return "".join(
        json.dumps({"day": f"{found.day}", **dataclasses.asdict(pair)}) + "\n" for pair in found.pairs
    ).encode()


def contents(found: Day) -> dict[str, tuple[str, bytes]]:
    """Return the list's files, each with its format and content."""
    return {
        f"{NAME}.csv": ("pairs-csv", render_csv(found)),
        f"{NAME}.ndjson": ("pairs-ndjson", render_ndjson(found)),
    }
