"""A row source without a database, and a table of systems with names made to hurt."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import yaml
from strandline.event import feeds
from strandline.publisher import window
from strandline.publisher.source import Condition, Take, TakePast

Row = tuple[str, str, str, int, int]

ROOT = Path(__file__).parents[2]
END = datetime(2026, 11, 25, 3, tzinfo=UTC)

# A table as registries fill it: a pipe with the separator's spaces (case 18), letters outside ASCII, an address, a
# control character, a name of pipes alone, one of nothing.
AS_TABLE = (
    "192.0.2.0\t192.0.2.127\t64496\tZZ\tBRASIL TECPAR  |  AMIGO  |  AVATO\n"
    "198.18.0.0\t198.18.0.255\t174\tZZ\tCOGENT-174 - Cogent Communications\n"
    "198.18.1.0\t198.18.1.255\t209\tZZ\tÉÇO-NÖRD - Łódź Straße Ærø\n"
    "198.18.2.0\t198.18.2.255\t4200000000\tZZ\tQUAD - resolver at 8.8.8.8\n"
    "198.18.3.0\t198.18.3.255\t13\tZZ\tBAD\x1b[31m\u202eNAME\n"
    "198.18.4.0\t198.18.4.255\t14\tZZ\t  |  |  \n"
    "198.18.5.0\t198.18.5.255\t15\tZZ\t\n"
    "198.18.6.0\t198.18.6.255\t16\tZZ\t網路 \u041f\u0415\u0422\u041b\u042f\n"
    "198.18.8.0\t198.18.8.127\t17\tZZ\tNR#17 # NET 1234.5.6.7 1.2.3.4567\n"
    "198.18.7.0\t198.18.7.255\t0\tNone\tNot routed\n"
    "2001:db8::\t2001:db8::ffff\t64511\tZZ\tSIX-AS - Six\n"
)


class FakeSource:
    """Yields what a test put in; a category may hold an exception to raise instead."""

    def __init__(self) -> None:
        self.categories: dict[str, list[Row] | Exception] = {}
        self.several: dict[str, list[Row] | Exception] = {}
        self.condition = Condition(END + timedelta(days=400), END + timedelta(days=400))
        self.away: Exception | None = None
        self.notes: list[tuple[str, datetime | None, list[str]]] = []
        self.pairs: dict[date, list[tuple[str, str, int, int]] | Exception] = {}
        self.pairs_asked: list[tuple[date, int, int]] = []

    @contextlib.contextmanager
    def snapshot(self, *, statement_timeout: int | None = None) -> Iterator[FakeSource]:
        del statement_timeout
        if self.away:
            raise self.away
        yield self

    @staticmethod
    def _hand_over(found: list[Row] | Exception, take: Take) -> None:
        if isinstance(found, Exception):
            raise found
        for entry in found:
            take(*entry)

    def rows(self, category: str, span: window.Window, take: Take) -> None:
        assert span.end - span.start == timedelta(days=7)
        self._hand_over(self.categories.get(category, []), take)

    def rows_of_several(self, category: str, span: window.Window, take: Take, *, sensors: int, most: int) -> None:
        assert sensors >= 2
        assert span.end - span.start == timedelta(days=7)
        found = self.several.get(category, [])
        self._hand_over(found if isinstance(found, Exception) else found[:most], take)

    def password_pairs(self, day: date, *, sources: int, most: int) -> list[tuple[str, str, int, int]]:
        self.pairs_asked.append((day, sources, most))
        found = self.pairs.get(day, [])
        if isinstance(found, Exception):
            raise found
        return found

    def days_with_rows(self, category: str, since: datetime, before: datetime) -> Sequence[datetime]:
        """It has no history: test_confidence.py has a database that does."""
        del category, since, before
        return ()

    def recurrence(self, category: str, day: datetime, sample: int, take: TakePast) -> None:
        raise AssertionError(f"there is no history of {category} to ask for", day, sample, take)

    def stays(self, category: str, day: datetime) -> tuple[int, int]:
        del category, day
        return 0, 0

    def note(self, publisher: str, stale_after: datetime | None, problems: Sequence[str]) -> None:
        self.notes.append((publisher, stale_after, list(problems)))


def row(address: str, *, seen: datetime = END - timedelta(hours=1), events: int = 1, verified: int = 1) -> Row:
    first, last = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (seen - timedelta(minutes=5), seen))
    return (address, first, last, events, verified)


def every_feed(folder: Path) -> Path:
    """A file with the feeds of all protocols, as the role writes it."""
    path = folder / "feeds.yml"
    path.write_text(yaml.safe_dump(feeds.collect(ROOT / "files" / "strandline"), sort_keys=False), encoding="utf-8")
    return path
