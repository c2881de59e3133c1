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
    """Return the list that was counted last, or None when there is none or it can't be read."""
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


def refresh(source: Counts, state: Path, limits: Limits, *, now: datetime, through_now: bool) -> str:
    """Count the pairs of yesterday unless that was done; with `through_now` those of today, each time.

    Returns a sentence when they can't be counted: the former list stays then.
    """
    if not limits.sources:
        return ""
    day = now.astimezone(UTC).date() - timedelta(days=not through_now)
    known = load(state, limits)
    if known is not None and known.day == day and not through_now:
        return ""
    try:
        pairs = source.password_pairs(day, sources=limits.sources, most=limits.most)
        documents.write(_path(state), {"day": day.isoformat(), "pairs": pairs})
    except SourceError as error:
        return f"{NAME}: {error}"
    except OSError as error:
        return f"{NAME}: {_path(state)} can't be written ({error.strerror})"
    _LOG.info("%s: %d pairs of %s", NAME, len(pairs), day)
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


FILES = {f"{NAME}.csv": ("pairs-csv", render_csv), f"{NAME}.ndjson": ("pairs-ndjson", render_ndjson)}
"""The list's files, each with its format and what writes it."""
