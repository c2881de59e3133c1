"""Action: providers' journals and scorecards, read from an inventory. Documented in library/strandline_journal.py."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import journal, targets
from strandline_fleet.errors import Refusal
from strandline_fleet.fleet_action import FleetAction
from strandline_fleet.inventory.model import Fleet


class ActionModule(FleetAction):
    """Runs on the controller, contacts no host and changes nothing."""

    OPTIONS: ClassVar = {
        "providers": {"type": "raw", "default": ""},
        "news": {"type": "raw"},
        "database": {"type": "str", "default": "collectors[0]"},
    }

    def result(self, fleet: Fleet, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Read the journals; see the documentation in library/strandline_journal.py."""
        found = shown(fleet, targets.words(arguments["providers"]))
        if arguments["news"] is not None:
            found["notes"] = notes(fleet, str(arguments["news"]), arguments["database"])
        return found


def shown(fleet: Fleet, named: list[str]) -> dict[str, Any]:
    """The scorecards and entries of the named providers, or of all of them."""
    entries = journal.read(fleet.directory)
    known = journal.providers(fleet)
    leased = {provider.group.removeprefix("provider_"): provider for provider in fleet.providers}
    wanted = [name.removeprefix("provider_") for name in named] or sorted(leased)
    if unknown := [name for name in wanted if name not in known]:
        raise Refusal(f"There is no provider {', '.join(unknown)} in {fleet.directory}. There are: {', '.join(known)}.")
    today = dt.datetime.now(dt.UTC).date()
    parts, cards = [], {}
    for name in wanted:
        own = entries.get(name, [])
        marks = journal.scorecard(leased[name], own, today) if name in leased else []
        cards[name] = [_plain(mark) for mark in marks]
        parts.append(journal.shown(known[name], marks, own))
    return {"text": "\n\n\n".join(parts), "scorecards": cards}


def _plain(mark: journal.Mark) -> Mapping[str, Any]:
    """A mark as Ansible's data."""
    checked = str(mark.checked) if mark.checked else None
    return {"criterion": mark.criterion.value, "score": mark.score, "says": mark.says, "checked": checked}


def notes(fleet: Fleet, news: str, database: str) -> list[dict[str, str]]:
    """The watcher's news, as strandline_inventory takes them."""
    return [
        {
            "provider": entry.provider,
            "host": entry.host,
            "kind": entry.kind.value,
            "text": entry.text,
            "day": str(entry.day),
        }
        for entry in journal.news(fleet, news, database)
    ]
