#!/usr/bin/python
"""Ansible module: what has to be done by a day. What it does runs on the controller: action_plugins/."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_due
short_description: Say what is due in a fleet, and write its days into a calendar
description:
  - Renewals, last days to cancel, leases that have ended, and ends of certificates, computed from an inventory.
  - Writes all days that are known, due or not, as an iCalendar file (RFC 5545), whole or not at all, and only when
    something but the time of writing has changed.
  - Runs on the controller; no host is contacted. In check mode no file is written.
options:
  inventory:
    description: The inventory's folder.
    type: path
    required: true
  days:
    description: How many days before a lease's renewal, last day to cancel or end it is listed.
    type: int
    default: 30
  certificate_days:
    description: How many days before a certificate ends it is listed.
    type: int
    default: 60
  calendar:
    description: The calendar's file. Its folder has to be there.
    type: path
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: Strandline developers
"""
EXAMPLES = r"""
- name: See what is due within two weeks
  strandline_due:
    inventory: "{{ fleet_dir }}"
    days: 14
    calendar: /srv/www/calendars/fleet.ics
  run_once: true
  register: found
"""
RETURN = r"""
ok:
  description: Whether nothing is due.
  type: bool
  returned: success
items:
  description: What is due, the oldest first, as the collector's watcher tells it.
  type: list
  elements: dict
  returned: success
  contains:
    subject: {description: What happens and the host it concerns., type: str}
    state: {description: Always C(due)., type: str}
    text: {description: The day and what to do., type: str}
table:
  description: The same for people.
  type: str
  returned: success
known:
  description: How many days are known in all, which is how many events the calendar has.
  type: int
  returned: success
"""


def main() -> None:
    """The action plugin of the same name does the work; this is reached only where Ansible does not find it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="strandline_due runs on the controller. Add the clone's action_plugins to ansible.cfg.")


if __name__ == "__main__":
    main()
