"""The filter that shows what a fleet loses when hosts are retired."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import text

DOCUMENTATION = r"""
name: retirement_table
short_description: A table of what the fleet loses by a retirement
description:
  - One line for each host, with the /8s that only it covers, what it costs in a year, and what will happen to it.
options:
  _input:
    description: The losses that C(strandline_inventory) returns with O(strandline_inventory#module:state=retired).
    type: list
    elements: dict
    required: true
  currency:
    description: The currency of the costs.
    type: str
    required: true
  answering:
    description: Names of the hosts that answer.
    type: list
    elements: str
    required: true
author: Strandline developers
"""
EXAMPLES = r"""
- name: Show what the fleet loses
  ansible.builtin.debug:
    msg: "{{ plan.losses | retirement_table(plan.currency, ['ams1']) }}"
"""
RETURN = r"""
_value:
  description: Lines of text.
  type: str
"""


def retirement_table(losses: Iterable[Mapping[str, Any]], currency: str, answering: Collection[str]) -> str:
    """What the fleet loses, host by host."""
    rows = [
        (
            loss["host"],
            loss["provider"],
            ", ".join(map(str, loss["slash8s"])) or "none",
            loss["yearly_cost"],
            loss["renews"],
            "yes: is wiped" if loss["host"] in answering else "no: trust ends",
            ", ".join(loss["addresses"]),
        )
        for loss in losses
    ]
    return text.table(rows, ("host", "provider", "/8s lost", f"{currency} a year", "renews", "answers", "addresses"))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"retirement_table": retirement_table}
