#!/usr/bin/python
"""Ansible module: an inventory's provider files. What it does runs on the controller: action_plugins/."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_inventory
short_description: Check an inventory, and hold off other runs that would change it
description:
  - Reads every provider's file and says each mistake with its file, line, host, field and remedy.
  - Checks that C(--limit) and O(target) name what exists, and that hosts which have to take part are not left out.
  - With O(lock) the run holds the inventory's lock until ansible-playbook ends, however it ends.
  - Runs on the controller; no host is contacted.
options:
  state:
    description: V(checked) reads and changes nothing.
    type: str
    choices: [checked]
    default: checked
  target:
    description: Hosts, providers and groups that the run is to act on, as for the filter P(fleet_targets#filter).
    type: raw
    default: ""
  among:
    description: The groups whose hosts O(target) may name.
    type: list
    elements: str
    default: [sensors, collectors, publishers]
  needs:
    description: Groups that have to take part; a C(--limit) that leaves one of their hosts out is refused.
    type: list
    elements: str
    default: []
  lock:
    description:
      - V(exclusive) for a run that changes hosts or the inventory, V(shared) for one that may run beside its like.
      - Not taken in check mode.
    type: str
    choices: [none, shared, exclusive]
    default: none
  verb:
    description: What the run is called in messages.
    type: str
    default: a playbook
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: Strandline developers
"""
EXAMPLES = r"""
- name: Check the inventory before anything is changed
  strandline_inventory:
    target: "{{ target | default('') }}"
    needs: [collectors]
    lock: exclusive
    verb: retire
  run_once: true
"""
RETURN = r"""
hosts:
  description: How many leased hosts the provider files have.
  type: int
  returned: success
targets:
  description: The hosts that O(target) names, in the inventory's order.
  type: list
  elements: str
  returned: success
"""


def main() -> None:
    """The action plugin of the same name does the work; this is reached only where Ansible does not find it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="strandline_inventory runs on the controller. Add the clone's action_plugins to ansible.cfg.")


if __name__ == "__main__":
    main()
