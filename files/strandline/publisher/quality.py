"""What each feed is worth, in figures that anybody may check: quality.json, and the page beside it.

Figures of single sensors are not among them: they would tell where the sensors are.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from .addresses import packed
from .confidence import Model, Stay
from .feedfile import Entry

FILE = "quality.json"
PAGE = "quality.html"
VERSION = 1


@dataclass(frozen=True)
class Latency:
    """Of the addresses that came with a generation: seconds from the first event to the run that published it."""

    added: int
    p50_seconds: int
    p99_seconds: int


@dataclass(frozen=True)
class Turnover:
    """How fast a feed's addresses change, over the hours that deltas.json covers."""

    hours: int
    added_per_hour: float
    gone_per_hour: float


@dataclass(frozen=True)
class Contribution:
    """What a feed adds to the others."""

    exclusive: int = 0
    """Addresses that no other feed has."""
    exclusive_share: float = 0.0
    differential: Mapping[str, float] | None = None
    """For each other feed: the share of this one's addresses that are not in that one."""


@dataclass(frozen=True)
class Figures:
    """All that is said of a feed. Shares are from 0 to 1."""

    category: str
    addresses: int
    events: int
    proven: int
    proven_share: float
    contribution: Contribution
    turnover: Turnover | None
    stay: Stay | None
    latency: Latency | None
    confidence: Model


def share(part: int, whole: int) -> float:
    """Return a share from 0 to 1; 0 of nothing."""
    return round(part / whole, 4) if whole else 0.0


def latency(added: Sequence[Entry], now: datetime) -> Latency | None:
    """Return how old the first events of new addresses are; None when there are no new ones."""
    if not added:
        return None
    now = now.astimezone(UTC).replace(tzinfo=None)
    ages = sorted(max(0, int((now - datetime.fromisoformat(one.first_seen)).total_seconds())) for one in added)

    def percentile(part: float) -> int:  # by the nearest rank
        return ages[max(0, math.ceil(part * len(ages)) - 1)]

    return Latency(len(ages), percentile(0.5), percentile(0.99))


def turnover(hours: int, counts: Iterable[Mapping[str, object] | None]) -> Turnover | None:
    """Return a feed's changes an hour from the counts of its deltas; None where one is missing, or for no hours."""
    added = gone = 0
    for one in counts:
        if one is None:
            return None
        added += int(str(one["added"]))
        gone += int(str(one["gone"]))
    return Turnover(hours, round(added / hours, 2), round(gone / hours, 2)) if hours else None


class Overlap:
    """Which addresses are in which feeds. Until they are counted, each takes a few bytes only."""

    def __init__(self) -> None:
        self._four: dict[str, array[int]] = {}
        self._six: dict[str, bytearray] = {}

    def take(self, category: str, addresses: Iterable[str]) -> None:
        """Take all addresses of a feed, each once."""
        four, six = array("I"), bytearray()
        for address in addresses:
            value = packed(address)
            if len(value) == 4:
                four.append(int.from_bytes(value, "big"))
            else:
                six += value
        self._four[category], self._six[category] = four, six

    def contributions(self, published: Iterable[str]) -> dict[str, Contribution]:
        """Return what each of the feeds that are published adds to the others."""
        names = [category for category in published if category in self._four]
        sets: Counter[int] = Counter()
        feeds: dict[int | bytes, int] = {}
        for number, category in enumerate(names):
            for value in self._four[category]:
                feeds[value] = feeds.get(value, 0) | 1 << number
            six = self._six[category]
            for at in range(0, len(six), 16):
                key = bytes(six[at : at + 16])
                feeds[key] = feeds.get(key, 0) | 1 << number
        sets.update(feeds.values())
        found = {}
        for number, category in enumerate(names):
            mine = {mask: count for mask, count in sets.items() if mask >> number & 1}
            whole = sum(mine.values())
            exclusive = mine.get(1 << number, 0)
            differential = {
                other: share(sum(count for mask, count in mine.items() if not mask >> place & 1), whole)
                for place, other in enumerate(names)
                if place != number and whole
            }
            found[category] = Contribution(exclusive, share(exclusive, whole), differential)
        return found
