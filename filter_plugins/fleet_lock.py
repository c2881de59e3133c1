"""The filter that says which run changes an inventory now."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import lock

DOCUMENTATION = r"""
name: fleet_lock_holder
short_description: Say which run changes an inventory now
description:
  - Looks whether another run holds the inventory's lock as one that changes it. Takes no lock itself.
options:
  _input:
    description: The inventory's sources, C(ansible_inventory_sources).
    type: list
    elements: str
    required: true
author: Strandline developers
"""
EXAMPLES = r"""
- name: End while another run changes the fleet
  ansible.builtin.meta: end_play
  when: ansible_inventory_sources | fleet_lock_holder | length > 0
"""
RETURN = r"""
_value:
  description: What the run is called, whose it is and since when; empty when no run holds the lock.
  type: str
"""


def fleet_lock_holder(sources: Sequence[Any]) -> str:
    """Say who holds the lock: see :func:`strandline_fleet.lock.holder`."""
    return lock.holder(map(str, sources))


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"fleet_lock_holder": fleet_lock_holder}
