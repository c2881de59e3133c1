#!/usr/bin/python
"""Ansible module: the report of a fleet. What it does runs on the controller: action_plugins/."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_report
short_description: Show a fleet on one page
description:
  - Coverage, cost, renewals, certificates, origin ASNs, and which lease to give up first, computed from an inventory.
  - Writes C(index.html), a page without scripts, and C(report.json) with the same figures, each whole or not at all.
  - Runs on the controller; no host is contacted. In check mode no file is written.
options:
  inventory:
    description: The inventory's folder.
    type: path
    required: true
  output:
    description: The folder for the two files. It is made when it is missing.
    type: path
    required: true
  asn_table:
    description: A table in iptoasn's layout for the origin ASNs. Without it the inventory's C(fleet_asn_table) is used.
    type: path
  served:
    description: The database's answer which sensors served on which days, as playbooks/report.yml asks for it.
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
- name: Make the report
  strandline_report:
    inventory: "{{ fleet_dir }}"
    output: "{{ playbook_dir }}/../build/report"
  run_once: true
  register: made
"""
RETURN = r"""
text:
  description: What matters this week, for people.
  type: str
  returned: success
index:
  description: The page.
  type: str
  returned: success
json:
  description: The figures.
  type: str
  returned: success
"""


def main() -> None:
    """The action plugin of the same name does the work; this is reached only where Ansible does not find it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="strandline_report runs on the controller. Add the clone's action_plugins to ansible.cfg.")


if __name__ == "__main__":
    main()
