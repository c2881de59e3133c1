#!/usr/bin/python
"""Ansible module: an inventory's provider files. What it does runs on the controller: action_plugins/."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_inventory
short_description: Check an inventory, hold off other runs, and change the entries of leased hosts
description:
  - Reads every provider's file and says each mistake with its file, line, host, field and remedy.
  - Checks that C(--limit) and O(target) name what exists, and that hosts which have to take part are not left out.
  - With O(lock) the run holds the inventory's lock until ansible-playbook ends, however it ends.
  - Writes, changes and moves the entries of leased hosts. Comments, order and quotes of the files stay. The whole
    inventory is checked with the change in it before anything is written, and a second run changes nothing.
  - Runs on the controller; no host is contacted.
options:
  state:
    description:
      - V(checked) reads and changes nothing.
      - With V(added) O(host) has the entry O(entry) in its provider's file.
      - With V(renumbered) O(host) has O(new_address) in the place of O(old_address), also in the file of host keys; or
        all addresses of the pairs in O(file) are in the places of the old ones.
      - With V(addressed) O(host) has O(addresses) too, and with V(unaddressed) no more.
      - With V(provider_renamed) the provider O(old_provider) is O(new_provider), and with V(provider_merged) all that
        is leased from it stands in that one's file. Former leases follow, and C(provider.formerly) tells of it.
      - With V(forgotten) host keys and certificates that this machine held of O(hosts) are gone; their entries stay.
      - With V(retired) O(hosts) stand in the record of former leases, and the certificates and host keys that this
        machine held of them are gone, as are those of hosts that an earlier run moved there.
      - With V(renewed) the leases of O(hosts) have the price O(price), with the former one in C(lease.earlier), and the
        day of their next payment where it does not follow from the period.
      - With V(imported) the hosts of the table O(file) stand in their providers' files.
      - With V(noted) the providers' journals have the entries O(notes).
    type: str
    choices:
      - checked
      - added
      - renumbered
      - retired
      - noted
      - renewed
      - imported
      - addressed
      - unaddressed
      - provider_renamed
      - provider_merged
      - forgotten
    default: checked
  target:
    description: Hosts, providers and groups that the run is to act on, as for the filter P(fleet_targets#filter).
    type: raw
    default: ""
  among:
    description: The groups whose hosts O(target) may name.
    type: list
    elements: str
    default: [sensors, collectors, publishers]
  needs:
    description: Groups that have to take part; a C(--limit) that leaves one of their hosts out is refused.
    type: list
    elements: str
    default: []
  lock:
    description:
      - V(exclusive) for a run that changes hosts or the inventory, V(shared) for one that may run beside its like.
      - Not taken in check mode.
    type: str
    choices: [none, shared, exclusive]
    default: none
  verb:
    description: What the run is called in messages.
    type: str
    default: a playbook
  host:
    description: The host that V(added), V(renumbered), V(addressed) and V(unaddressed) are about.
    type: str
  entry:
    description:
      - What V(added) writes of the host. The file of a provider that has none yet is made if O(entry.provider_name)
        is given.
    type: dict
    suboptions:
      provider:
        description: Whom the host is leased from, as its file is called.
        type: str
      addresses:
        description: Public addresses; a list, or a text with commas between.
        type: raw
      city:
        description: Where the host stands.
        type: str
      country:
        description: ISO 3166 code of two letters.
        type: str
      plan:
        description: What the provider calls what is leased.
        type: str
      price:
        description: Of one period, without the currency.
        type: str
      currency:
        description: ISO 4217 code.
        type: str
      period:
        description: What one payment is for, for example V(month) or V(year).
        type: str
      renews:
        description: Day of the next payment, as 2027-03-01.
        type: str
      provider_name:
        description: The provider's name in full, for one that has no file yet.
        type: str
      site:
        description: The website of a provider that has no file yet.
        type: str
  notes:
    description: Entries for V(noted). One that stands in the journal already is not written again.
    type: list
    elements: dict
    default: []
    suboptions:
      provider:
        description: Whose journal it is, as the provider's file is called. Without it O(notes[].host)'s provider's.
        type: str
      host:
        description: The host that it concerns.
        type: str
      text:
        description: What happened, in one line.
        type: str
        required: true
      kind:
        description: V(note) is the operator's; the others are what verbs learn.
        type: str
        choices: [note, outage, back, address, price, reinstall, reputation, name]
        default: note
      about:
        description: The criterion of the scorecard that it says something of.
        type: str
        choices: [historicity, reputation, payment, support, professionalism]
      score:
        description: Of that criterion, 1 (bad) to 5 (good).
        type: int
      day:
        description: The day of it, as 2026-11-28; today (UTC) without it.
        type: str
  old_address:
    description: The address that the host had.
    type: str
  new_address:
    description: The address that it has now.
    type: str
  hosts:
    description:
      - Hosts, providers and groups for V(retired) and V(renewed). V(retired) takes names that are in the record of
        former leases already, too.
    type: raw
    default: ""
  like:
    description:
      - For V(added) a leased host from which O(entry) takes what it does not say, but for the addresses. The next
        payment is a period from today.
    type: str
    default: ""
  file:
    description:
      - For V(imported) a table of hosts with comma-separated values, on the controller.
      - For V(renumbered) a file with C(OLD NEW) on each line, addresses or networks of one size.
    type: path
  addresses:
    description: For V(addressed) and V(unaddressed), a list or a text with commas between.
    type: raw
    default: ""
  old_provider:
    description: The short name of the provider that V(provider_renamed) and V(provider_merged) are about.
    type: str
  new_provider:
    description: The short name that it has now, or of the provider that bought it.
    type: str
  provider_name:
    description: For V(provider_renamed) its new name in full. Without it the name stays.
    type: str
    default: ""
  price:
    description: For V(renewed) the price of one period from the latest payment on. Without it prices stay.
    type: str
    default: ""
  renews:
    description:
      - For V(renewed) the day of the next payment, as 2027-03-01, where it does not follow from the period.
    type: str
    default: ""
  ahead:
    description: For V(renewed), also count payments due within this number of days as made.
    type: int
    default: 0
  reason:
    description: Why the hosts are retired, for the record.
    type: str
    default: retired
  today:
    description:
      - The day (UTC) on which the run counts as done, as 2026-11-28. Entries are dated with it, and it says which
        payments are past. Without it the real day.
    type: str
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: Strandline developers
"""
EXAMPLES = r"""
- name: Check the inventory before anything is changed
  strandline_inventory:
    target: "{{ target | default('') }}"
    needs: [collectors]
    lock: exclusive
    verb: retire
  run_once: true

- name: Write a freshly leased host into its provider's file
  strandline_inventory:
    state: added
    host: ams2
    entry:
      provider: alder
      addresses: [198.51.100.13]
      city: Amsterdam
      country: NL
      plan: nano-256
      price: "24.00"
      currency: EUR
      period: year
      renews: "2027-11-25"
  run_once: true

- name: Follow a host to its new address
  strandline_inventory:
    state: renumbered
    host: ams1
    old_address: 192.0.2.10
    new_address: 192.0.2.99
  run_once: true

- name: Enter in the provider's journal that a host was reinstalled
  strandline_inventory:
    state: noted
    notes:
      - {host: ams1, kind: reinstall, text: "the provider's panel offered no other way"}
  run_once: true

- name: Write that a provider's leases went on, at a new price
  strandline_inventory:
    state: renewed
    hosts: alder
    price: "26.00"
  run_once: true

- name: Look what retiring a provider would change
  strandline_inventory:
    state: retired
    hosts: birch
    reason: vanished
  check_mode: true
  run_once: true
  register: plan
"""
RETURN = r"""
hosts:
  description: How many leased hosts the provider files have.
  type: int
  returned: with state V(checked)
targets:
  description: The hosts that O(target) names, in the inventory's order.
  type: list
  elements: str
  returned: with state V(checked)
difference:
  description: What is changed in the inventory's files, as a unified diff; empty where nothing is.
  type: str
  returned: with the other states
gains:
  description: What the host adds to the fleet, for example C(41/8, AS64500, KE).
  type: str
  returned: with state V(added)
moves:
  description: The hosts' addresses as C(host), C(old) and C(new), those of an earlier run included.
  type: list
  elements: dict
  returned: with state V(renumbered)
mentions:
  description: Where a former address or group still stands, as FILE:LINE, for an address followed by it.
  type: list
  elements: str
  returned: with states V(renumbered), V(addressed), V(unaddressed), V(provider_renamed) and V(provider_merged)
host:
  description: The host whose addresses come or go.
  type: str
  returned: with states V(addressed) and V(unaddressed)
addresses:
  description: The addresses that come or go, whether an earlier run has written them or not.
  type: list
  elements: str
  returned: with states V(addressed) and V(unaddressed)
absent:
  description: Those to go that the host does not have.
  type: list
  elements: str
  returned: with states V(addressed) and V(unaddressed)
files:
  description: The files that held something of the hosts.
  type: list
  elements: str
  returned: with state V(forgotten)
leaving:
  description: Those of the named hosts that stand in a provider's file.
  type: list
  elements: str
  returned: with state V(retired)
moved:
  description: Those that were in the record already.
  type: list
  elements: str
  returned: with state V(retired)
former:
  description: All hosts that are in the record afterwards and whose names are not in service again.
  type: list
  elements: str
  returned: with state V(retired)
losses:
  description:
    - For each leaving host its provider, addresses, the /8s that only it covers, its cost in a year and its renewal.
  type: list
  elements: dict
  returned: with state V(retired)
currency:
  description: The currency of the costs.
  type: str
  returned: with state V(retired)
unknown_here:
  description: Hosts that stay and whose certificates this machine does not have.
  type: list
  elements: str
  returned: with state V(retired)
renewed:
  description: The hosts whose leases are changed.
  type: list
  elements: str
  returned: with state V(renewed)
left:
  description: A line for each host that stays as it is, with the reason.
  type: list
  elements: str
  returned: with state V(renewed)
panels:
  description: Where the leases are cancelled.
  type: list
  elements: str
  returned: with state V(retired)
"""


def main() -> None:
    """The action plugin of the same name does the work; this is reached only where Ansible does not find it."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.fail_json(msg="strandline_inventory runs on the controller. Add the clone's action_plugins to ansible.cfg.")


if __name__ == "__main__":
    main()
