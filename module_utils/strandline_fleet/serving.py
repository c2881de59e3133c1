"""How well each sensor served, by the database's daily tallies: silent days, and who is silent now."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass

from strandline_fleet.errors import Refusal

WINDOW_DAYS = 90
SILENT_AFTER = 2  # days: yesterday's last events may still be on their way


@dataclass(frozen=True)
class Serving:
    """The days (UTC) of a sensor's events in the database."""

    first: dt.date
    last: dt.date
    days: int  # within the last WINDOW_DAYS, today not counted, on which at least one event happened

    def silent_days(self, today: dt.date) -> int:
        """Days without any event within the window, since the sensor's first one; today does not count."""
        began = max(self.first, today - dt.timedelta(days=WINDOW_DAYS))
        return max(0, (today - began).days - self.days)

    def silent_now(self, today: dt.date) -> bool:
        """Whether nothing has come since yesterday."""
        return (today - self.last).days >= SILENT_AFTER


def read(text: str, where: str) -> dict[str, Serving]:
    """What the database said. Raises Refusal when it is not what playbooks/report.yml asks for."""
    try:
        return {
            str(row["sensor"]): Serving(
                dt.date.fromisoformat(row["first"]), dt.date.fromisoformat(row["last"]), int(row["days"])
            )
            for row in json.loads(text)
        }
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(
            f"The database on {where} answered something else than the sensors' days ({error!r}). Is it up to date?"
        ) from error
