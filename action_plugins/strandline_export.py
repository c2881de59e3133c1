"""Action: the leased hosts of an inventory as a table. Documented in library/strandline_export.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet.errors import Refusal
from strandline_fleet.fleet_action import FleetAction
from strandline_fleet.inventory import edit, table
from strandline_fleet.inventory.model import Fleet


class ActionModule(FleetAction):
    """Runs on the controller and contacts no host."""

    OPTIONS: ClassVar = {"path": {"type": "path", "required": True}}
    _supports_diff = True

    def result(self, fleet: Fleet, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Write the table; see the documentation in library/strandline_export.py."""
        path = Path(arguments["path"]).resolve()
        if path.is_relative_to(fleet.directory.resolve()):
            raise Refusal(
                f"export_output (--output): {path} is in the inventory's folder, and Ansible would take it for a part "
                "of the inventory. Name a file elsewhere: build/fleet.csv."
            )
        if path.is_dir():
            raise Refusal(f"export_output (--output): {path} is a folder. Name a file in it: {path / 'fleet.csv'}.")
        before = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        after = table.exported(fleet)
        result: dict[str, Any] = {"changed": before != after, "path": str(path), "hosts": sum(1 for _ in fleet.hosts())}
        if self._task.diff:
            header = {"before_header": str(path), "after_header": str(path)}
            result["diff"] = [{**header, "before": before, "after": after}]
        if before != after and not self._task.check_mode:
            path.parent.mkdir(parents=True, exist_ok=True)
            edit.apply({path: after})
        return result
