"""What the pruner took out of a sensor's spool, by run: the numbers that nobody can find there any more.

Without it a run whose last numbers were removed before anybody had asked for an index would look shorter than it was,
and its loss like no loss.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...shared import documents
from . import spool

MAX_RUNS = 1000
"""The newest are kept: a run begins whenever syslog-ng starts, and its name with the time."""


@dataclass
class Removed:
    """What is remembered of one run."""

    last: int = 0
    days: dict[str, list[int]] = field(default_factory=dict)
    """As :attr:`spool.Held.days`."""


def load(path: Path) -> dict[str, Removed]:
    """Read what is remembered; nothing when there is nothing legible, for pruning must go on."""
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {run: Removed(int(entry["last"]), dict(entry["days"])) for run, entry in tree.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def note(path: Path, file: Path) -> None:
    """Remember what a file of the spool holds, before it is removed. Raises OSError."""
    known = spool.Known(inode=0)
    spool.read(file, known)
    runs = load(path)
    for run, held in known.runs.items():
        removed = runs.setdefault(run, Removed())
        removed.last = max(removed.last, held.ranges[-1][1])
        together = spool.Held(days=removed.days)
        together.add(held)
    newest = sorted(runs)[-MAX_RUNS:]
    tree = {run: {"last": runs[run].last, "days": runs[run].days} for run in newest}
    documents.write(path, tree)
