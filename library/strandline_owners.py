#!/usr/bin/python
"""Ansible module: what else on a host governs its firewall, its sshd, its accounts or its addresses."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.strandline_owners.look import look

DOCUMENTATION = r"""
---
module: strandline_owners
short_description: Find what else governs a host's firewall, sshd, accounts and addresses
description:
  - A second firewall, an agent of the provider's or a boot script can shut out the administrator long after a run ended
    well, at the next reboot for example. This module finds what is known to do so, in the table of
    C(module_utils/strandline_owners/known.py), and rules of
    a firewall that nobody is known to load.
  - Changes nothing, in check mode or without. What can be disabled safely is named under C(disable) for
    C(strandline-guard), which undoes it unless a fresh connection proves the result; what only the operator can decide
    is named under C(refuse), with the remedy.
options:
  package_ports:
    description: TCP ports that the firewall leaves open to package mirrors and proxies.
    type: list
    elements: int
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: Strandline developers
"""
EXAMPLES = r"""
- name: Look for other programs that govern firewall, sshd and addresses
  strandline_owners:
    package_ports: [80, 443]
  register: owners

- name: Refuse what only the operator can decide
  ansible.builtin.assert:
    that: owners.refuse | length == 0
    fail_msg: "{{ owners.refuse | map(attribute='says') | join(' ') }}"
"""
RETURN = r"""
disable:
  description:
    - Owners that can be disabled under guard. Each has C(name), C(owns), C(seen) (what it was recognised by), C(units)
      to stop and mask, and C(files) to write, a dictionary of contents by path.
  type: list
  elements: dict
  returned: always
refuse:
  description:
    - Owners that the operator has to decide on. Each has C(name), C(owns), C(seen) and C(says), the remedy included.
  type: list
  elements: dict
  returned: always
tables:
  description:
    - Tables of nftables, as "inet filter", with leftovers of what is disabled, or of the old C(/etc/nftables.conf).
  type: list
  elements: str
  returned: always
loaded:
  description: Whether the table C(inet strandline) is loaded, and C(nftables.service) enabled to load it at boot.
  type: bool
  returned: always
dhcp_accounts:
  description: Accounts by which DHCP clients run, beside root, as far as they exist.
  type: list
  elements: str
  returned: always
resolving_accounts:
  description: Accounts of local programs that ask name servers for the others, as far as they exist.
  type: list
  elements: str
  returned: always
"""


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "package_ports": {"type": "list", "elements": "int", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        found = look(Path("/"), module.params["package_ports"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        module.fail_json(msg=f"What else governs the host can't be found out: {error!r}")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
