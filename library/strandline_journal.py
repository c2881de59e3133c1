#!/usr/bin/python
"""Ansible module: providers' journals and scorecards. What it does runs on the controller: action_plugins/."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_journal
short_description: Show the journals and scorecards of an inventory's providers
description:
  - Reads the journals in an inventory's folder C(journal/) and makes each provider's scorecard of them.
  - Turns the watcher's notices into entries that M(strandline_inventory) can write.
  - Changes nothing. Runs on the controller; no host is contacted.
options:
  inventory:
    description: The inventory's folder.
    type: path
    required: true
  providers:
    description: The providers to show, as their files are called; a list, or a text with commas. Without it all.
    type: raw
    default: ""
  news:
    description: The database's answer what the watcher told of sensors, as playbooks/journal.yml asks for it.
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
- name: Read the journals
  strandline_journal:
    inventory: "{{ fleet_dir }}"
    providers: alder
  run_once: true
  register: journals
"""
RETURN = r"""
text:
  description: Scorecards and newest entries, for people.
  type: str
  returned: success
scorecards:
  description: For each provider the five criteria with C(score), C(says) and C(checked), the day of the last note.
  type: dict
  returned: success
notes:
  description: Entries for the O(strandline_inventory#module:notes) of M(strandline_inventory).
  type: list
  elements: dict
  returned: when O(news) is given
"""


def main() -> None:
    """The action plugin of the same name does the work; this is reached only where Ansible does not find it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="strandline_journal runs on the controller. Add the clone's action_plugins to ansible.cfg.")


if __name__ == "__main__":
    main()
