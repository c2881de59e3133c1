"""The account: counts from the JUnit XML of every pytest run, and the closing line."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

# Of a failed test, for an account that is read where the logs may be out of reach.
WHY_LINES = 12
WIDTH = 300
PLACE = re.compile(r"^([\w./-]+\.py:\d+):", re.MULTILINE)


@dataclass(frozen=True)
class Counts:
    """How many tests passed, failed (errors included) and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


def read(path: Path) -> Counts | None:
    """Return the counts of a pytest run, or None when it wrote no whole report."""
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - our own pytest wrote it
    except (OSError, ET.ParseError):
        return None
    total = Counts()
    for suite in root.iter("testsuite"):
        tests, failures, errors, skipped = (
            int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")
        )
        total += Counts(tests - failures - errors - skipped, failures + errors, skipped)
    return total


def failures(path: Path) -> list[str]:
    """Return the failed tests' names, with the first lines of why and the places that the failure went through."""
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - our own pytest wrote it
    except (OSError, ET.ParseError):
        return []
    found = []
    for case in root.iter("testcase"):
        for kind in ("failure", "error"):
            for problem in case.findall(kind):
                why = (problem.get("message") or kind).strip().splitlines()[:WHY_LINES]
                places = PLACE.findall(problem.text or "")
                lines = [f"{case.get('classname', '')}::{case.get('name', '')}: {why[0][:WIDTH]}"]
                lines += [f"  {line[:WIDTH]}" for line in [*why[1:], *(f"at {place}" for place in places)]]
                found.append("\n".join(lines))
    return found


def closing_line(total: Counts, seconds: float) -> str:
    """Return the last line, in pytest's own form."""
    skipped = f", {total.skipped} skipped" if total.skipped else ""
    return f"===== {total.passed} passed, {total.failed} failed{skipped} in {seconds:.1f}s ====="
