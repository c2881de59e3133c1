"""The filter that shows what came of an upgrade. Documented in upgrade_outcome.yml beside this file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import upgrade


def upgrade_outcome(hosts: Iterable[str], hostvars: Mapping[str, Any], check: bool = False) -> str:
    """See :func:`strandline_fleet.upgrade.outcome`."""
    return upgrade.outcome(list(hosts), hostvars, check=check)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"upgrade_outcome": upgrade_outcome}
