"""The daemon's own log: counters that go to stderr (the journal) when they changed, at most once a minute each."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL = 60.0
"""Seconds between two reports."""


def _stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


class Notices:
    """Counts what must not go unnoticed and must not fill the journal either."""

    def __init__(self, write: Callable[[str], object] = _stderr) -> None:
        self._write = write
        self._totals: dict[str, int] = {}
        self._changed: dict[str, int] = {}
        self._next_report = 0.0

    def count(self, what: str, number: int = 1) -> None:
        """Add to the counter named by the sentence `what`."""
        self._totals[what] = self._totals.get(what, 0) + number
        self._changed[what] = self._changed.get(what, 0) + number

    def total(self, what: str) -> int:
        """How often since the start."""
        return self._totals.get(what, 0)

    def pending(self) -> bool:
        """Whether something waits for its report."""
        return bool(self._changed)

    def tick(self, now: float) -> float | None:
        """Report what changed when a report is due; returns when the next one is (monotonic seconds), None for
        never."""
        if not self._changed:
            return None
        if now >= self._next_report:
            self._next_report = now + INTERVAL
            self.report()
            return None
        return self._next_report

    def report(self) -> None:
        """Write the counters that changed, each as one line of level warning (sd-daemon(3))."""
        for what, number in self._changed.items():
            self._write(f"<4>{what}: {number} more, {self._totals[what]} since the start\n")
        self._changed.clear()
