"""Action: what is due in a fleet, and its days as a calendar. Documented in library/strandline_due.py."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import due, icalendar, report
from strandline_fleet.errors import Refusal
from strandline_fleet.fleet_action import FleetAction
from strandline_fleet.inventory.model import Fleet


class ActionModule(FleetAction):
    """Runs on the controller and contacts no host."""

    _supports_diff = True
    OPTIONS: ClassVar = {
        "days": {"type": "int", "default": due.LEASE_DAYS},
        "certificate_days": {"type": "int", "default": due.CERTIFICATE_DAYS},
        "calendar": {"type": "path"},
    }

    def result(self, fleet: Fleet, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Say what is due; see the documentation in library/strandline_due.py."""
        ends = report.certificate_ends(fleet.directory / "certificates")
        hosts = set(self.variables["groups"]["all"])
        now = dt.datetime.now(dt.UTC)
        today = now.date()
        known = due.items(fleet, {name: end for name, end in ends.items() if name in hosts}, today)
        found = [item for item in known if item.is_due(today, arguments["days"], arguments["certificate_days"])]
        result = {
            "ok": not found,
            "items": due.notices(found, today),
            "table": due.table(found, today),
            "known": len(known),
        }
        if arguments["calendar"]:
            name = str(self._templar.template(self.variables.get("fleet_name", "Strandline")))
            result |= self._written(Path(arguments["calendar"]), name, known, now)
        return result

    def _written(self, path: Path, name: str, known: list[due.Item], now: dt.datetime) -> dict[str, Any]:
        """Write the calendar unless it is there like that already; what Ansible is told of it."""
        try:
            before = path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
            after = icalendar.calendar(name, due.events(known, name), now, before)
            if after != before and not self._task.check_mode:
                aside = path.with_name(f".{path.name}.new")
                aside.write_bytes(after.encode())
                aside.replace(path)
        except OSError as error:
            remedy = "Name a file (due_ics, --ics) in a folder that is there and can be written."
            raise Refusal(f"{path}: {error.strerror or error}. {remedy}") from error
        written: dict[str, Any] = {"changed": after != before}
        if self._task.diff:
            headers = {"before_header": str(path), "after_header": str(path)}
            plain = {"before": before.replace("\r\n", "\n"), "after": after.replace("\r\n", "\n")}
            written["diff"] = [{**headers, **plain}]
        return written
