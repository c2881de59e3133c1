#!/usr/bin/python
"""Ansible module: leased hosts as a table. What it does runs on the controller: action_plugins/."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_export
short_description: Write the leased hosts of an inventory as a table
description:
  - A line for each host, with its provider, addresses, place and lease, as comma-separated values in UTF-8.
  - The table is one that M(strandline_inventory) imports; from it nothing would change.
  - Runs on the controller; no host is contacted.
options:
  inventory:
    description: The inventory's folder.
    type: path
    required: true
  path:
    description: The file to write, outside of the inventory's folder. Its folder is made when it is missing.
    type: path
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: Strandline developers
"""
EXAMPLES = r"""
- name: Write the fleet for a spreadsheet
  strandline_export:
    inventory: "{{ fleet_dir }}"
    path: "{{ playbook_dir }}/../build/fleet.csv"
  run_once: true
"""
RETURN = r"""
path:
  description: The file.
  type: str
  returned: success
hosts:
  description: How many hosts stand in it.
  type: int
  returned: success
"""


def main() -> None:
    """The action plugin of the same name does the work; this is reached only where Ansible does not find it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="strandline_export runs on the controller. Add the clone's action_plugins to ansible.cfg.")


if __name__ == "__main__":
    main()
