"""Filters that put the hosts of a play into batches. Documented in rollout_*.yml beside this file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import rollout
from strandline_fleet.errors import Refusal

Groups = Mapping[str, Sequence[str]]


def rollout_batches(hosts: Iterable[str], groups: Groups, size: Any = rollout.DEFAULT_SIZE) -> list[list[str]]:
    """The batches themselves: see :func:`strandline_fleet.rollout.plan`."""
    try:
        number = int(size)
    except (TypeError, ValueError):
        raise AnsibleFilterError(f"{size!r} is no number of hosts in a batch; give for example 10.") from None
    try:
        return rollout.plan(hosts, groups, number)
    except Refusal as refusal:
        raise AnsibleFilterError(str(refusal)) from refusal


def rollout_order(hosts: Iterable[str], groups: Groups, size: Any = rollout.DEFAULT_SIZE) -> list[str]:
    """The hosts in the order of their batches."""
    return [host for batch in rollout_batches(hosts, groups, size) for host in batch]


def rollout_sizes(hosts: Iterable[str], groups: Groups, size: Any = rollout.DEFAULT_SIZE) -> list[int]:
    """How many hosts each batch has."""
    return [len(batch) for batch in rollout_batches(hosts, groups, size)]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"rollout_batches": rollout_batches, "rollout_order": rollout_order, "rollout_sizes": rollout_sizes}
