"""Action: the report of a fleet, made from its inventory. Documented in library/strandline_report.py."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import journal, origins, report, serving
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import former
from strandline_fleet.inventory.load import SETTINGS
from strandline_fleet.inventory.read import fleet_of


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """Runs on the controller and contacts no host."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make the report; see the documentation in library/strandline_report.py."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "inventory": {"type": "path", "required": True},
                "output": {"type": "path", "required": True},
                "asn_table": {"type": "path"},
                "served": {"type": "raw"},
                "database": {"type": "str", "default": "collectors[0]"},
            }
        )
        try:
            return self._made(arguments, variables)
        except Refusal as refusal:
            raise AnsibleActionFail(str(refusal)) from refusal
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename or arguments['output']}: {error.strerror or error}.") from error

    def _made(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        settings = {name: self._templar.template(variables[name]) for name in SETTINGS if name in variables}
        fleet = fleet_of(arguments["inventory"], settings)
        named = arguments["asn_table"]
        table, missing = origins.table_of(fleet, Path(named) if named else None)
        served = arguments["served"]
        known = report.Known(
            certificates=report.certificate_ends(fleet.directory / "certificates"),
            origins=origins.origins(fleet.hosts(), table) if table else None,
            origins_missing=missing,
            serving=None if served is None else serving.read(str(served), arguments["database"]),
            former=former.former_leases(fleet.directory),
            asns=origins.of_addresses([address for host in fleet.hosts() for address in host.addresses], table),
            journals=journal.read(fleet.directory),
        )
        summary = report.summarise(fleet, dt.datetime.now(dt.UTC), known)
        output = Path(arguments["output"])
        files = {"index": str(output / "index.html"), "json": str(output / "report.json")}
        if not self._play_context.check_mode:
            report.write(summary, output)
        # Never a change of the fleet's: a report is as new as the clock that stands in it.
        return {"changed": False, "text": report.short(summary), **files}
