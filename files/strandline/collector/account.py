"""The account of every number that a sensor gave, for each sensor and UTC day, as rows and as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

import psycopg2.extensions

WHY = {
    "outlived": "had left the spool",
    "unwritten": "never reached the spool",
}
"""How people read the reasons of strandline.lost."""

COUNTED = {
    "tcp_overflows": "{} attempts to connect refused by full queues on any port",
    "spool_drops": "{} numbered and dropped before the spool",
    "forward_drops": "{} dropped between spool and collector",
    "pruned_age": "{} left the spool by age",
    "pruned_space": "{} left the spool for want of space",
    "raw_drops": "{} dropped before the raw files",
    "parsed_drops": "{} dropped before the parsed spool",
    "parsed_removed": "{} removed from the parsed spool before or after they were loaded",
}
"""How people read the counters of strandline.counter that have no column of their own."""

COLUMNS = {
    "sent": "sent", "stored": "stored", "recovered": "recovered", "rejected": "rejected", "missing": "missing",
    "lost": "lost", "kernel_drops": "kernel", "queue_drops": "queue", "unnumbered": "unnumbered",
    "full_pauses": "pauses", "full_seconds": "s full",
}  # fmt: skip
"""The table's columns of figures and their titles."""


@dataclass(frozen=True)
class Day:
    """A host's day. sent = stored + rejected + missing + lost; recovered is part of stored or rejected.

    What follows `duplicates` never had a number, or is a part of the others: see docs/reconcile.md. A collector has
    these alone.
    """

    sensor: str
    day: date
    sent: int
    stored: int
    recovered: int
    rejected: int
    missing: int
    lost: int
    outlived: int
    unwritten: int
    duplicates: int
    kernel_drops: int = 0
    queue_drops: int = 0
    unnumbered: int = 0
    full_pauses: int = 0
    full_seconds: int = 0
    counted: dict[str, int] = field(default_factory=dict)

    def why(self) -> str:
        """The reasons of what is lost, then what else was counted."""
        lost = ", ".join(f"{getattr(self, reason)} {text}" for reason, text in WHY.items() if getattr(self, reason))
        counted = ", ".join(COUNTED.get(what, f"{{}} {what}").format(n) for what, n in sorted(self.counted.items()))
        return "; ".join(part for part in (lost, counted) if part)


@dataclass(frozen=True)
class Loss:
    """A range of numbers that nobody will see."""

    sensor: str
    run: str
    first: int
    last: int
    day: date
    reason: str

    def text(self) -> str:
        """A line for people."""
        count = self.last - self.first + 1
        numbers = f"number {self.first}" if count == 1 else f"numbers {self.first} to {self.last}"
        noun = "event is" if count == 1 else "events are"
        return f"{self.sensor} {self.day}: {count} {noun} lost ({numbers} of run {self.run}): {WHY[self.reason]}"


def days(connection: psycopg2.extensions.connection, since: date) -> list[Day]:
    """The account from a day on."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM strandline.account(%s)", (since,))
        numbered = [Day(*row) for row in cursor.fetchall()]
        cursor.execute("SELECT * FROM strandline.account_counters(%s)", (since,))
        return with_counters(numbered, cursor.fetchall())


def with_counters(numbered: Sequence[Day], counters: Iterable[tuple[str, date, str, int]]) -> list[Day]:
    """Put what was counted (host, day, what, how much) where it belongs; a host or day without numbers gets a row."""
    found = {(one.sensor, one.day): one for one in numbered}
    for host, day, what, amount in counters:
        one = found.get((host, day)) or Day(host, day, 0, 0, 0, 0, 0, 0, 0, 0, 0)
        if what in COLUMNS:
            found[host, day] = replace(one, **{what: getattr(one, what) + amount})
        else:
            found[host, day] = replace(one, counted={**one.counted, what: amount})
    return [found[key] for key in sorted(found)]


def new_losses(connection: psycopg2.extensions.connection) -> list[Loss]:
    """Losses that nobody has been told of yet; they count as told from now on."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            """WITH told AS (UPDATE strandline.lost SET reported_at = now() WHERE reported_at IS NULL RETURNING *)
               SELECT s.name, r.run, t.first_n, t.last_n, t.day, t.reason FROM told t
               JOIN strandline.run r ON r.id = t.run_id JOIN strandline.sensor s ON s.id = r.sensor_id
               ORDER BY s.name, t.day, r.run, t.first_n"""
        )
        return [Loss(*row) for row in cursor.fetchall()]


def table(account: Sequence[Day]) -> list[str]:
    """The account as lines of text, with a last line of sums."""
    numbers = tuple(COLUMNS)
    rows = [["sensor", "day", *COLUMNS.values(), "why lost, and what else was counted"]]
    rows += [[d.sensor, d.day.isoformat(), *(str(getattr(d, name)) for name in numbers), d.why()] for d in account]
    rows.append(["all", "", *(str(sum(getattr(d, name) for d in account)) for name in numbers), ""])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if 2 <= column < 2 + len(numbers) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def document(account: Sequence[Day], losses: Sequence[Loss]) -> dict[str, Any]:
    """Account and new losses for programs, and the same as text."""

    def plain(one: Day | Loss) -> dict[str, Any]:
        return {key: value.isoformat() if isinstance(value, date) else value for key, value in asdict(one).items()}

    return {
        "missing": sum(d.missing for d in account),
        "days": [plain(d) for d in account],
        "new_losses": [plain(loss) for loss in losses],
        "text": table(account) + ([""] if losses else []) + [loss.text() for loss in losses],
    }
