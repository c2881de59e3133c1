#!/usr/bin/python
"""Ansible module: which leases to take and to give up. What it does runs on the controller: action_plugins/."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_plan_lease
short_description: Plan which leases to take and which to give up first
description:
  - Says which /8s are uncovered or hang on one host, and which offers a budget pays, the best for its price first.
  - Orders the present leases by what their end would lose for what they cost, jointly, and checks the order with the
    last week.
  - Changes nothing. Runs on the controller; no host is contacted.
options:
  inventory:
    description: The inventory's folder.
    type: path
    required: true
  budget:
    description: What may be spent more in a year, in the inventory's C(fleet_currency).
    type: str
    required: true
  offers:
    description: A CSV file of offers, see docs/plan_lease.md. Without it only the present providers' plans count.
    type: path
  asn_table:
    description: A table in iptoasn's layout for the origin ASNs. Without it the inventory's C(fleet_asn_table) is used.
    type: path
  seen:
    description: The database's answer which sources sensors saw, as playbooks/tasks/seen_alone.yml asks for it.
    type: raw
  database:
    description: Where that answer came from, for messages.
    type: str
    default: collectors[0]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: Strandline developers
"""
EXAMPLES = r"""
- name: Plan what 200 a year would buy
  strandline_plan_lease:
    inventory: "{{ fleet_dir }}"
    budget: 200
    offers: ~/offers.csv
  run_once: true
  register: planned
"""
RETURN = r"""
text:
  description: The plan for people.
  type: str
  returned: success
lease:
  description: The offers to take in this order, with what each costs in a year and gains.
  type: list
  elements: dict
  returned: success
give_up:
  description: The leases in the order in which to give them up, with the day, what is saved and what is lost.
  type: list
  elements: dict
  returned: success
"""


def main() -> None:
    """The action plugin of the same name does the work; this is reached only where Ansible does not find it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="strandline_plan_lease runs on the controller. Add the clone's action_plugins to ansible.cfg.")


if __name__ == "__main__":
    main()
