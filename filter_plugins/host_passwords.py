"""The filter that gives each host the password that its provider mailed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import passwords
from strandline_fleet.errors import Refusal
from strandline_fleet.targets import Groups

DOCUMENTATION = r"""
name: host_passwords
short_description: The password of each host, from a file of lines
description:
  - One line is the password of all hosts that the target names; otherwise each has a line, in the order in which the
    target names them. Any other number of lines is an error, which shows none of them.
options:
  _input:
    description: The file's text.
    type: str
    required: true
  target:
    description: Names of hosts, providers and groups, as for P(fleet_targets#filter).
    type: raw
    required: true
  groups:
    description: The inventory's groups, each with its hosts (the variable C(groups)).
    type: dict
    required: true
author: Strandline developers
"""
EXAMPLES = r"""
- name: Enter the hosts as the provider handed them over
  hosts: "{{ groups | fleet_targets(target) }}"
  vars:
    passwords: "{{ lookup('ansible.builtin.file', 'passwords', rstrip=false) | host_passwords(target, groups) }}"
    ansible_password: "{{ passwords[inventory_hostname] }}"
"""
RETURN = r"""
_value:
  description: The passwords by the hosts' names.
  type: dict
"""


def host_passwords(text: str, target: str | Iterable[str], groups: Groups) -> dict[str, str]:
    """The password of each host: see :func:`strandline_fleet.passwords.host_passwords`."""
    try:
        return passwords.host_passwords(text, target, groups)
    except Refusal as refusal:
        raise AnsibleFilterError(str(refusal)) from refusal


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"host_passwords": host_passwords}
