"""Whom a retirement is about, and what the fleet loses by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from strandline_fleet.arithmetic import slash8s, yearly_cost
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.former import FormerLease, former_leases
from strandline_fleet.inventory.model import Fleet, Host


def chosen(fleet: Fleet, names: Sequence[str]) -> tuple[list[Host], list[str]]:
    """Return the hosts that the names stand for, and names that are in the record of former leases already.

    A name is a host's or a provider's (alder or provider_alder). The latter come from a run that was stopped after it
    had changed the inventory: what is left of it is done again. Raises Refusal for a name that is neither.
    """
    hosts = {host.name: host for host in fleet.hosts()}
    former = former_leases(fleet.directory)
    found: list[Host] = []
    moved: list[str] = []
    for name in dict.fromkeys(names):
        group = name if name.startswith("provider_") else f"provider_{name}"
        members = [hosts[name]] if name in hosts else [host for host in hosts.values() if host.provider == group]
        # A name that was leased again is in both; then the one in service is meant.
        again = [lease.name for lease in former if name in (lease.name, lease.provider, lease.group)]
        if not members and not again:
            providers = ", ".join(provider.group.removeprefix("provider_") for provider in fleet.providers)
            raise Refusal(
                f"{name} is no leased host and no provider of this inventory. Providers: {providers or 'none'}."
            )
        found += members
        moved += [] if members else again
    return list(dict.fromkeys(found)), [name for name in dict.fromkeys(moved) if name not in hosts]


def out_of_service(fleet: Fleet) -> list[FormerLease]:
    """The leases that have ended and whose names are not in service again."""
    in_service = {host.name for host in fleet.hosts()}
    return [lease for lease in former_leases(fleet.directory) if lease.name not in in_service]


def losses(fleet: Fleet, leaving: Sequence[Host]) -> list[dict[str, Any]]:
    """What the fleet loses, host by host: addresses, the /8s that only it covers, its cost in a year, the renewal."""
    rates: Mapping[str, Any] = fleet.settings.get("fleet_rates") or {}
    names = {host.name for host in leaving}
    kept = Counter(octet for host in fleet.hosts() if host.name not in names for octet in slash8s(host.addresses))
    return [
        {
            "host": host.name,
            "provider": host.provider.removeprefix("provider_"),
            "addresses": list(host.addresses),
            "slash8s": [octet for octet in slash8s(host.addresses) if not kept[octet]],
            "yearly_cost": str(yearly_cost(host.lease.mapping(), rates, currency(fleet))),
            "renews": str(host.lease.renews),
        }
        for host in leaving
    ]


def currency(fleet: Fleet) -> str:
    """The currency in which costs are summed up."""
    return str(fleet.settings.get("fleet_currency", "USD"))


def unknown_here(fleet: Fleet, leaving: Iterable[Host]) -> list[str]:
    """Hosts that stay and whose certificates this machine does not have: collectors will be told to forget them too."""
    names = {host.name for host in leaving}
    held = fleet.directory / "certificates"
    return [host.name for host in fleet.hosts() if host.name not in names and not (held / f"{host.name}.pem").exists()]


def panels(fleet: Fleet, leaving: Iterable[Host]) -> list[str]:
    """Where the leases are cancelled."""
    groups = {host.provider for host in leaving}
    return sorted(
        {str(each.details["panel"]) for each in fleet.providers if each.group in groups and each.details.get("panel")}
    )
