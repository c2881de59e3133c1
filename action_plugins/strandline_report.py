"""Action: the report of a fleet, made from its inventory. Documented in library/strandline_report.py."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import journal, origins, report, serving
from strandline_fleet.fleet_action import FleetAction
from strandline_fleet.inventory import former
from strandline_fleet.inventory.model import Fleet


class ActionModule(FleetAction):
    """Runs on the controller and contacts no host."""

    OPTIONS: ClassVar = {
        "output": {"type": "path", "required": True},
        "asn_table": {"type": "path"},
        "served": {"type": "raw"},
        "database": {"type": "str", "default": "collectors[0]"},
    }

    def result(self, fleet: Fleet, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Make the report; see the documentation in library/strandline_report.py."""
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
        return {"text": report.short(summary), **files}
