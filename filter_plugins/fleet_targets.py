"""The filter that turns the names an operator gives into the hosts of a play."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import targets
from strandline_fleet.errors import Refusal

DOCUMENTATION = r"""
name: fleet_targets
short_description: The hosts that names of hosts, providers and groups stand for
description:
  - Turns what the operator names into a list of hosts, in the inventory's order, for C(hosts) of a play.
  - A name that is neither a host nor a group with a host in it is an error, never an empty list.
options:
  _input:
    description: The inventory's groups, each with its hosts (the variable C(groups)).
    type: dict
    required: true
  target:
    description:
      - Names of hosts, providers (V(alder) or V(provider_alder)) and groups; a list, or a text with commas between.
      - Empty stands for all hosts of O(among).
    type: raw
  among:
    description: The groups whose hosts may be meant.
    type: list
    elements: str
    default: [sensors, collectors, publishers]
author: Strandline developers
"""
EXAMPLES = r"""
- name: Act on what -e target= names
  hosts: "{{ groups | fleet_targets(target | default(''), among=['sensors']) }}"
  tasks: []
"""
RETURN = r"""
_value:
  description: Names of hosts.
  type: list
  elements: str
"""


def fleet_targets(
    groups: Mapping[str, Sequence[str]],
    target: str | Iterable[str] | None = "",
    among: Iterable[str] = targets.FUNCTIONS,
) -> list[str]:
    """The hosts that a target names: see :func:`strandline_fleet.targets.hosts_of`."""
    try:
        return targets.hosts_of(groups, target, among)
    except Refusal as refusal:
        raise AnsibleFilterError(str(refusal)) from refusal


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"fleet_targets": fleet_targets}
