#!/usr/bin/python
"""Ansible module: marked events through sensors' listeners. What it does runs on the controller: action_plugins/."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_canary
short_description: Send marked events through every listener of sensors, and find them in the database
description:
  - Plays one client of each listener, from the controller, against each port on each address of the sensors. What it
    says holds a mark that nobody else knows.
  - Looks for the marks in the database of the task's host until all are there or O(seconds) have passed.
  - Then takes the sightings that this caused out of the database, also when some events are missing, so that no feed
    ever names the controller's address.
  - In check mode nothing is sent; the answer says what would be.
options:
  sensors:
    description:
      - The sensors, by their names in the inventory. Their C(addresses) and C(fleet_listeners) say where to send.
    type: list
    elements: str
    required: true
  psql:
    description: The command that runs statements from its standard input on the database's host and prints bare rows.
    type: list
    elements: str
    required: true
  seconds:
    description: How long to wait for the events.
    type: float
    default: 30
  required:
    description: Whether the task fails when an event is missing or its sighting stays. Without it, RV(ignore:ok) tells.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
notes:
  - Delegate it to the host that has the database. With O(required=false) not even one that can't be reached makes the
    task fail.
seealso:
  - name: The canary
    description: What to do when an event does not arrive.
    link: docs/canary.md
author: Strandline developers
"""
EXAMPLES = r"""
- name: Prove that the events of two sensors reach the database
  strandline_canary:
    sensors: [ams1, sin1]
    psql: "{{ hostvars[fleet_database].fleet_psql }}"
  delegate_to: "{{ fleet_database }}"
  run_once: true

- name: Send what shows how the batch does, and judge it elsewhere
  strandline_canary:
    sensors: "{{ ansible_play_hosts }}"
    psql: "{{ hostvars[fleet_database].fleet_psql }}"
    seconds: 60
    required: false
  delegate_to: "{{ fleet_database }}"
  run_once: true
  register: canary_result
"""
RETURN = r"""
ok:
  description: Whether every event was found.
  type: bool
  returned: always
database:
  description: Whether the database could be asked.
  type: bool
  returned: always
lost:
  description: The sensors of which an event is missing.
  type: list
  elements: str
  returned: always
sensors:
  description: What became of each sensor's events.
  type: list
  elements: dict
  returned: always
  contains:
    sensor:
      description: Its name.
      type: str
    ok:
      description: Whether all of its events were found.
      type: bool
    says:
      description: Why not, with the listeners concerned.
      type: str
    sent:
      description: How many events were sent.
      type: int
    failed:
      description: How many of them failed.
      type: int
    probes:
      description: Each event.
      type: list
      elements: dict
      contains:
        listener: {description: The listener's name., type: str}
        address: {description: Where it was sent., type: str}
        port: {description: The port., type: int}
        proto: {description: C(tcp) or C(udp)., type: str}
        event: {description: The event that the listener writes., type: str}
        ok: {description: Whether it was answered and found., type: bool}
        says: {description: Why not., type: str}
        source: {description: The source address that the sensor saw., type: str}
        seconds:
          description: From the sensor's time stamp to the collector's receipt; it holds the offset of the two clocks.
          type: float
table:
  description: The same for people, a line for each sensor; in check mode what would be sent.
  type: str
  returned: always
forgotten:
  description: How many sightings were taken out of the database.
  type: int
  returned: always
"""


def main() -> None:
    """The action plugin of the same name does the work; this is reached only where Ansible does not find it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="strandline_canary runs on the controller. Add the clone's action_plugins to ansible.cfg.")


if __name__ == "__main__":
    main()
