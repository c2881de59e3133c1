"""What is too implausible to publish: functions of what was found, what is published, and the limits.

The measure of each feed is its own past: how many sources that were never proven to be real it has had is remembered
for a week, and whoever wants to move the middle of that has to keep it up for half a week.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from ..shared import documents
from .errors import RefusedError
from .limits import Guard
from .source import Condition
from .window import Window

_LOG = logging.getLogger(__name__)
_REMEMBERED = 7 * 24


def judge_window(window: Window, condition: Condition, published: Iterable[datetime], *, through_now: bool) -> None:
    """Raise RefusedError when the window can't be the next one: a clock is wrong then."""
    ahead = timedelta(hours=1) if through_now else timedelta(0)
    if window.end > condition.clock + ahead:
        raise RefusedError(
            f"the window ends at {window.end:%Y-%m-%d %H:%M} UTC, and the database's clock says "
            f"{condition.clock.astimezone(UTC):%Y-%m-%d %H:%M}: one of the two clocks is wrong; nothing is published"
        )
    newest = max(published, default=window.end)
    if window.end < newest:
        raise RefusedError(
            f"the window ends at {window.end:%Y-%m-%d %H:%M} UTC, before the published one of {newest:%Y-%m-%d %H:%M}: "
            "is this machine's clock behind? Nothing is published"
        )


def silence(condition: Condition, published: int, guard: Guard) -> str:
    """Say what is wrong when no event has come for too long; empty when all is well.

    `published` is how many addresses the feeds have now: a database without any event can't be where they came from.
    """
    newest = condition.newest_event
    if newest is None:
        return "the database has no event at all; see --accept-drop if that is intended" if published else ""
    if condition.clock - newest > timedelta(hours=guard.silent_hours):
        hours = int((condition.clock - newest).total_seconds() // 3600)
        return f"no event has come for {hours} hours, the newest is of {newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return ""


def silent_collectors(condition: Condition, guard: Guard) -> list[str]:
    """Say of each collector whose loader stands still for too long that it does."""
    limit = timedelta(hours=guard.silent_hours)
    return [
        f"collector {name} has brought nothing since {moved.astimezone(UTC):%Y-%m-%d %H:%M} UTC:"
        " what its sensors saw is missing"
        for name, moved in sorted(condition.collectors.items())
        if condition.clock - moved > limit
    ]


def judge_drop(what: str, rows: int, expected: int, guard: Guard, *, all_may_leave: bool) -> None:
    """Raise RefusedError when too few rows have come back. `all_may_leave`: when there were few, none need to."""
    problem = ""
    if expected and not rows and not all_may_leave:
        problem = f"no row, where {expected} published ones are still in the window"
    elif expected > guard.min_rows and rows * 100 < expected * guard.percent:
        problem = f"{rows} rows, fewer than {guard.percent} % of the {expected} published ones still in the window"
    if problem:
        raise RefusedError(f"{what}: {problem}; see --accept-drop if the loss is real")


def most_rows(published: int | None, guard: Guard) -> int:
    """Return how many rows a feed may have at most; `published` is what it has now, None when it has no file."""
    if published is None:
        return guard.first_rows
    return guard.growth_factor * max(published, guard.growth_min_rows)


def unproven_limit(past: Sequence[int], guard: Guard) -> int:
    """Return how many sources that were never proven to be real are plausible for a feed with such a past."""
    if guard.unproven == "publish":
        return guard.unproven_most
    usual = guard.unproven_factor * int(median(past)) if past else guard.unproven_first
    return min(guard.unproven_most, max(guard.unproven_floor, usual))


class History:
    """How many unproven sources each feed had in the runs of the last week."""

    def __init__(self, path: Path) -> None:
        """Read what is remembered; what can't be read is forgotten."""
        self._path = path
        self._hours: dict[str, dict[str, int]] = {}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            self._hours = {
                str(category): {str(hour): int(count) for hour, count in hours.items()}
                for category, hours in document.items()
            }
        except FileNotFoundError:
            pass
        except (OSError, ValueError, AttributeError, TypeError) as error:
            _LOG.warning("%s: can't be used (%s); it begins anew", path, error)

    def of(self, category: str) -> list[int]:
        """Return the counts of a feed's past."""
        return list(self._hours.get(category, {}).values())

    def add(self, window: Window, counts: Mapping[str, int]) -> None:
        """Remember what was published; one number for each hour, however often it is published. Raises OSError."""
        hour = f"{window.end:%Y-%m-%dT%H}"
        for category, count in counts.items():
            hours = {**self._hours.get(category, {}), hour: count}
            self._hours[category] = dict(sorted(hours.items())[-_REMEMBERED:])
        documents.write(self._path, self._hours)
