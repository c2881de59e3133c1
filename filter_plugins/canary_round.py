"""The filter that judges a round of canaries by what earlier rounds have told."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import canary_round as rounds
from strandline_fleet import text

DOCUMENTATION = r"""
name: canary_round
short_description: Judge a round of canaries
description:
  - Says what is wrong with ports, hosts, providers or this machine's own network, and what of that is news.
  - What several hosts of a provider show is the provider's; what all sensors of all providers show is this machine's.
options:
  _input:
    description: The outcomes, as C(strandline_canary) returns them in C(sensors).
    type: list
    elements: dict
    required: true
  hostvars:
    description: Ansible's C(hostvars), for the sensors' providers.
    type: dict
    required: true
  sensors:
    description:
      - The names of all sensors of the inventory, of which the round may have tested some. Those tested, by default.
    type: list
    elements: str
    default: []
  again:
    description: The outcomes of those that failed and were tried again; they count in place of the first ones.
    type: list
    elements: dict
    default: []
  known:
    description: The text that the last round returned in C(known).
    type: str
    default: ""
author: Strandline developers
"""
EXAMPLES = r"""
- name: Judge the round
  ansible.builtin.set_fact:
    judged: "{{ canary_result.sensors | canary_round(hostvars, known=lookup('ansible.builtin.file', state_file)) }}"
"""
RETURN = r"""
_value:
  description:
    - C(wrong) and C(items), what is wrong and what of it is to be told, each with C(subject), C(state) and C(text).
    - C(known), a text for the next round; C(table), what is wrong for people.
  type: dict
"""


def canary_round(
    outcomes: Sequence[Mapping[str, Any]],
    hostvars: Mapping[str, Mapping[str, Any]],
    again: Sequence[Mapping[str, Any]] = (),
    known: str = "",
    sensors: Sequence[str] = (),
) -> dict[str, Any]:
    """Judge a round: see :mod:`strandline_fleet.canary_round`."""
    final = rounds.second(outcomes, again)
    names = dict.fromkeys([*sensors, *(outcome["sensor"] for outcome in final)])
    providers = {name: str(hostvars[name].get("provider", {}).get("name", "")) for name in names}
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    found = rounds.step(rounds.read(known), rounds.judged(final, providers), now, final, providers)
    return {
        "wrong": list(found.wrong),
        "items": list(found.items),
        "known": rounds.written(found.known),
        "table": text.table([(each["state"], each["text"]) for each in found.wrong], ("state", "where and what")),
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"canary_round": canary_round}
