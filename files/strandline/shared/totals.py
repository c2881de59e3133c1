"""Counters that others keep, added up beyond their resets: what restarts with a socket or a process goes on here.

A life of these totals ends with the file they are kept in. In the database only the highest value of a life counts, so
that a total may be told any number of times, late and out of order, and is summed up once.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import documents

MAX_KEYS = 1000
"""Counters of one name that are remembered: sockets and files come and go."""


@dataclass
class Totals:
    """Sums by name. `notes` is kept beside them for whoever reads the counters."""

    path: Path
    life: str = field(default_factory=lambda: secrets.token_hex(8))
    sums: dict[str, int] = field(default_factory=dict)
    raw: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Totals:
        """Take up what was kept; when there is nothing, or nothing legible, a new life begins."""
        try:
            tree = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                path,
                str(tree["life"]),
                {str(name): int(value) for name, value in tree["sums"].items()},
                {name: {str(k): int(v) for k, v in values.items()} for name, values in tree["raw"].items()},
                {str(name): str(value) for name, value in tree["notes"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(path)

    def save(self) -> None:
        """Keep it; whole or not at all. Raises OSError."""
        tree = {"life": self.life, "sums": self.sums, "raw": self.raw, "notes": self.notes}
        documents.write(self.path, tree)

    def add(self, name: str, number: int) -> None:
        """Add to a sum."""
        self.sums[name] = self.sums.get(name, 0) + number

    def observe(self, name: str, counters: Mapping[str, int]) -> None:
        """Add what counters gained since they were last seen, each by a key of its own.

        One that is new, or lower than before, began at 0 since. One that is not there may come back: it is remembered.
        """
        known = self.raw.setdefault(name, {})
        gained = 0
        for key, value in counters.items():
            before = known.pop(key, 0)
            gained += value - before if value >= before else value
            known[key] = value
        for key in list(known)[: max(0, len(known) - MAX_KEYS)]:
            del known[key]
        self.add(name, gained)

    def sum(self, name: str) -> int:
        """A sum; 0 for one that nobody added to."""
        return self.sums.get(name, 0)
