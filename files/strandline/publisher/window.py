"""The seven days that a feed covers. All times are UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

LENGTH = timedelta(days=7)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Window:
    """The half-open time [start, end): exactly 7 days from full hour to full hour."""

    start: datetime
    end: datetime

    @property
    def text(self) -> str:
        """As the feed's header has it: `YYYY-mm-dd HH:00 - YYYY-mm-dd HH:00`."""
        return f"{self.start:%Y-%m-%d %H:%M} - {self.end:%Y-%m-%d %H:%M}"


def ending_at(end: datetime) -> Window:
    """Return the window that ends at `end`.

    Raises ValueError when `end` has no time zone or is not a full hour.
    """
    if end.tzinfo is None:
        raise ValueError("the end of the window needs a time zone, as in 2026-11-25T03:00Z")
    end = end.astimezone(UTC)
    if (end.minute, end.second, end.microsecond) != (0, 0, 0):
        raise ValueError("the end of the window must be a full hour, as in 2026-11-25T03:00Z")
    return Window(end - LENGTH, end)


def ending_now(now: datetime, *, through_now: bool = False) -> Window:
    """Return the window that ends at the last full hour, or with `through_now` at the next one.

    The last full hour is the rule: an hour that is still going would change under its readers. The next one lets a
    demo show what was seen a minute ago.
    """
    end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return ending_at(end + _HOUR if through_now else end)


def parse_end(text: str) -> Window:
    """Return the window whose end is written as ISO 8601 with a time zone. Raises ValueError with the remedy."""
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write it as 2026-11-25T03:00Z") from None
    return ending_at(end)
