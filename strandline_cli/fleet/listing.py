"""The inventory as Ansible sees it: the hosts that are not leased from a provider's file, and where each is entered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from strandline_cli import inventory as inventory_
from strandline_cli.demo.network import members
from strandline_cli.errors import Refusal

FUNCTIONS = ("sensors", "collectors", "publishers")
"""Groups whose hosts are leased and onboarded."""
REMEDY = "Mend it, or compare it with inventory/example."


@dataclass(frozen=True)
class Entry:
    """A host, as far as a verb needs to know it before Ansible runs."""

    name: str
    function: str
    """One of FUNCTIONS."""
    addresses: tuple[str, ...]
    admin_port: int
    listeners: tuple[str, ...] | None = None
    """Those that a sensor has; None for all that there are."""


def entries(listing: Mapping[str, Any]) -> dict[str, Entry]:
    """Return the leased hosts of `ansible-inventory --list` by name, in the inventory's order."""
    variables: Mapping[str, Mapping[str, Any]] = listing.get("_meta", {}).get("hostvars", {})
    found: dict[str, Entry] = {}
    for function in FUNCTIONS:
        for name in members(listing, function):
            own = variables.get(name, {})
            port = own.get("fleet_admin_port")
            addresses = tuple(str(address) for address in own.get("addresses", ()))
            some = own.get("fleet_listeners")
            listeners = tuple(map(str, some)) if isinstance(some, list) else None
            admin_port = port if isinstance(port, int) else 20022
            found.setdefault(name, Entry(name, function, addresses, admin_port, listeners))
    return found


def of(inventory: str) -> dict[str, Entry]:
    """Ask Ansible for an inventory's hosts. Raises Refusal when it can't be read."""
    return entries(inventory_.listing([inventory], inventory, REMEDY))


def builders(inventory: str) -> list[str]:
    """Ask Ansible for the hosts that build our packages. Raises Refusal when the inventory can't be read."""
    return members(inventory_.listing([inventory], inventory, REMEDY), "builders")


def chosen(hosts: Mapping[str, Entry], names: Sequence[str], among: Iterable[str] = FUNCTIONS) -> list[Entry]:
    """Return the named hosts, or all; only those of the groups `among`. Raises Refusal for a name that is none."""
    fitting = [entry for entry in hosts.values() if entry.function in set(among)]
    if not names:
        return fitting
    by_name = {entry.name: entry for entry in fitting}
    for name in names:
        if name not in by_name:
            known = ", ".join(by_name) or "none"
            raise Refusal(f"{name} is no host of {' or '.join(among)} in this inventory. There are: {known}.")
    return [by_name[name] for name in dict.fromkeys(names)]


def spread(names: Sequence[str], provider_of: Mapping[str, str]) -> list[str]:
    """Return the names with each provider (as its file is called, or with provider_) replaced by its hosts."""
    spread_out: list[str] = []
    for name in names:
        group = name if name.startswith("provider_") else f"provider_{name}"
        members = [host for host, provider in provider_of.items() if provider == group]
        spread_out += members if members and name not in provider_of else [name]
    return spread_out
