#!/usr/bin/python
"""Ansible module: what others say of our own addresses. What it does runs on the controller: action_plugins/."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_reputation
short_description: Look who announces the fleet's addresses, and which blocklists have them
description:
  - Asks, by DNS from the controller, who announces each address of the leased hosts and by which route, and whether
    blocklists have it; and says what is not as it was when O(known) was made.
  - Whoever is asked learns the addresses. Nobody is asked who is not named in O(settings). Each blocklist first has to
    know its test entries (RFC 5782).
  - Where an answer can't be had, what was known stays. In check mode nobody is asked.
options:
  inventory:
    description: The inventory's folder.
    type: path
    required: true
  settings:
    description:
      - C(origin) and C(origin6), zones that know the origin of IPv4 and IPv6 addresses by TXT records as Team Cymru's.
      - C(blocklists), a list of zones, or V(suggested) for some that may be asked by anybody.
      - C(resolvers), addresses of resolvers, also with a port as 192.0.2.53#5353, in place of this machine's own.
    type: dict
    default: {}
  known:
    description:
      - The text that the last look returned in RV(known), as far as it was told. RV(items) is what has changed since.
    type: str
    default: ""
  entered:
    description:
      - The same, as far as it was entered in the journals; RV(notes) is what has changed since. O(known) where it is
        empty.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: Strandline developers
"""
EXAMPLES = r"""
- name: Look who announces our addresses
  strandline_reputation:
    inventory: "{{ fleet_dir }}"
    settings: {origin: origin.asn.cymru.com, origin6: origin6.asn.cymru.com}
  run_once: true
  register: looked
"""
RETURN = r"""
items:
  description: What has changed, as the collector's watcher tells it.
  type: list
  elements: dict
  returned: success
  contains:
    subject: {description: The host., type: str}
    state: {description: "C(origin), C(listed), or C(ok) where it is on a list no more.", type: str}
    text: {description: What has changed., type: str}
notes:
  description:
    - What has changed since O(entered), for the O(strandline_inventory#module:notes) of M(strandline_inventory). Being
      taken off a list is a note; the rest counts against the provider.
  type: list
  elements: dict
  returned: success
  contains:
    provider: {description: "The provider, as its file is called.", type: str}
    host: {description: The host., type: str}
    kind: {description: Always C(reputation)., type: str}
    text: {description: What has changed., type: str}
known:
  description: What to remember for the next look.
  type: str
  returned: success
trouble:
  description: What could not be learnt, and why.
  type: list
  elements: str
  returned: success
asked:
  description: Whether anybody was asked.
  type: bool
  returned: success
table:
  description: What is known of each address, for people.
  type: str
  returned: success
"""


def main() -> None:
    """The action plugin of the same name does the work; this is reached only where Ansible does not find it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="strandline_reputation runs on the controller. Add the clone's action_plugins to ansible.cfg.")


if __name__ == "__main__":
    main()
