#!/usr/bin/python
"""Ansible module: units that run verbs by the clock. What it does runs on the controller: action_plugins/."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_timers
short_description: Work out the units of systemd that run verbs by the clock on the controller
description:
  - Says which units an inventory's verbs need, which of those that are there have to go, and whether a run without
    anybody could decrypt the inventory and enter its hosts. Writes nothing.
  - Delegate it to localhost, whose units it looks at. They run as the account that runs this.
  - Each has been looked at by C(systemd-analyze verify).
options:
  times:
    description:
      - When each verb runs, as OnCalendar= has it, in place of the default; V(false) leaves it out.
    type: dict
    default: {}
  remove:
    description: Whether no unit is wanted.
    type: bool
    default: false
  vault_password_file:
    description: Where a run finds the vault's password. By default the one that this run was given.
    type: path
  ssh_agent:
    description: The socket of an ssh agent for the runs. Without it the keys must be without a passphrase.
    type: path
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
seealso:
  - name: Timers
    description: What a run without anybody needs.
    link: docs/timers.md
author: Strandline developers
"""
EXAMPLES = r"""
- name: Work out the units
  strandline_timers:
    times: {verify: "*-*-* 04:00", report: false}
  delegate_to: localhost
  run_once: true
  register: found

- name: Write them
  strandline_files:
    files: "{{ found.files }}"
  delegate_to: localhost
  become: true
  run_once: true
"""
RETURN = r"""
files:
  description: The units, each with C(dest) and C(content), as M(strandline_files) takes them.
  type: list
  elements: dict
  returned: success
timers:
  description: Names of the timers among them.
  type: list
  elements: str
  returned: success
obsolete:
  description: Names of this inventory's units that are there and not wanted.
  type: list
  elements: str
  returned: success
directory:
  description: Where units are.
  type: str
  returned: success
user:
  description: The account that the units run as.
  type: str
  returned: success
table:
  description: What runs when, for people.
  type: str
  returned: success
"""


def main() -> None:
    """The action plugin of the same name does the work; this is reached only where Ansible does not find it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="strandline_timers runs on the controller. Add the clone's action_plugins to ansible.cfg.")


if __name__ == "__main__":
    main()
