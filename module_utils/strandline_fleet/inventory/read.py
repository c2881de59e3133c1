"""Reading an inventory for a verb: every mistake is said at once, before anything is done."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Fleet

SHOWN_PROBLEMS = 20


def fleet_of(inventory: str, settings: Mapping[str, Any] | None = None, today: dt.date | None = None) -> Fleet:
    """Read and check an inventory. Raises Refusal with every mistake; what only deserves a look is in its problems.

    ``settings`` and ``today``: see :func:`strandline_fleet.inventory.load.load`.
    """
    directory = Path(inventory)
    if not directory.is_dir():
        raise Refusal(f"There is no inventory {inventory}. Name a directory, or copy inventory/example to {inventory}.")
    fleet = load(directory, today, settings)
    if fleet.errors:
        lines = [str(problem) for problem in fleet.errors]
        more = [f"… and {len(lines) - SHOWN_PROBLEMS} more"] if len(lines) > SHOWN_PROBLEMS else []
        raise Refusal("\n".join([f"{inventory} has mistakes:", *lines[:SHOWN_PROBLEMS], *more]))
    return fleet
