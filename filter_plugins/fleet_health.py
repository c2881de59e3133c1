"""The filter that judges what verify has measured."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import targets, verdict

DOCUMENTATION = r"""
name: fleet_health
short_description: Judge whether hosts are as they should be
description:
  - Puts together what the role C(verify) measured (C(verify_outcome) of each host), the database's answer about the
    sensors' last events, and what became of the canary. The limits are each host's own variables C(verify_*).
  - A host without C(verify_outcome) was not reached.
options:
  _input:
    description: Names of the hosts to judge.
    type: list
    elements: str
    required: true
  hostvars:
    description: The variable C(hostvars).
    type: dict
    required: true
  groups:
    description: The variable C(groups).
    type: dict
    required: true
  database:
    description: The registered result of the query for each sensor's last event.
    type: dict
    default: {}
  canaries:
    description: RV(strandline_canary#module:sensors).
    type: list
    elements: dict
    default: []
  certificates_dir:
    description: Folder of the certificates by which the network knows its hosts.
    type: path
    required: true
  inventory:
    description: What the inventory is called in RV(ignore:document).
    type: str
    default: ""
author: Strandline developers
"""
EXAMPLES = r"""
- name: Judge
  ansible.builtin.set_fact:
    verify_verdict: >-
      {{ ansible_play_hosts_all | fleet_health(hostvars, groups, database=seen, canaries=canary_outcome,
                                               certificates_dir=fleet_certificates_dir) }}
  run_once: true
"""
RETURN = r"""
_value:
  description:
    - A dictionary. C(ok) tells whether every host is as it should be, C(wrong) lists those that are not, C(table) and
      C(says) are for people, and C(document) holds each host's checks with their figures for programs.
  type: dict
"""


def fleet_health(
    names: Iterable[str],
    hostvars: Mapping[str, Any],
    groups: Mapping[str, Iterable[str]],
    database: Mapping[str, Any] | None = None,
    canaries: Iterable[Mapping[str, Any]] = (),
    certificates_dir: str = "certificates",
    inventory: str = "",
) -> dict[str, Any]:
    """Judge hosts: see :mod:`strandline_fleet.verdict`."""
    names = list(names)
    functions = {
        name: next((function for function in targets.FUNCTIONS if name in groups.get(function, ())), "")
        for name in names
    }
    answers = {name: answer for name in names if (answer := hostvars[name].get("verify_outcome"))}
    events = verdict.last_events(database or {})
    now = time.time()
    rows = verdict.rows_of(functions, answers, events, canaries, Path(certificates_dir), now)
    return {
        "ok": all(row.ok for row in rows),
        "wrong": [row.host for row in rows if not row.ok],
        "table": verdict.table(rows),
        "says": verdict.sentence(rows),
        "document": verdict.document(rows, inventory, now),
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"fleet_health": fleet_health}
