"""The demo's network as inventory/demo describes it: hosts by their part, addresses, published ports."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from strandline_cli import inventory, paths
from strandline_cli.errors import Refusal

RESTORE = "Restore it with: git checkout -- inventory/demo"


@dataclass(frozen=True)
class Network:
    """What the demo's steps need to know."""

    network: str
    subnet: str
    hosts: tuple[str, ...]
    sensors: Mapping[str, tuple[str, ...]]
    collector: str
    publisher: str
    scanner: str
    sources: tuple[str, ...]
    published: tuple[tuple[str, str, int], ...]
    """Host, address and TCP port of this machine for each published port."""

    def plan(self) -> str:
        """Return the scanner's plan.json: whom to scan, and from which addresses."""
        sensors = [{"name": name, "addresses": list(addresses)} for name, addresses in self.sensors.items()]
        return json.dumps({"sensors": sensors, "sources": list(self.sources)})

    @property
    def site(self) -> str:
        """Where the website is to be seen on this machine."""
        address, port = next(
            ((address, port) for host, address, port in self.published if host == self.publisher), ("127.0.0.1", 80)
        )
        return f"http://{address}:{port}/"


def published_port(text: str) -> tuple[str, int]:
    """Return the address and port of this machine in podman's `[address:]port:container_port`."""
    found = re.fullmatch(r"(?:([0-9.]+):)?(\d+):\d+(?:/tcp)?", text)
    if not found:
        raise Refusal(
            f"container_publish: {text!r} isn't ADDRESS:PORT:CONTAINER_PORT. Write for example 127.0.0.1:8080:80."
        )
    return found.group(1) or "0.0.0.0", int(found.group(2))  # noqa: S104 - podman's meaning of no address


def members(listing: Mapping[str, Any], group: str) -> list[str]:
    """Return a group's hosts, those of its child groups included, in the inventory's order."""
    entry = listing.get(group, {})
    found = list(entry.get("hosts", []))
    for child in entry.get("children", []):
        found += [host for host in members(listing, child) if host not in found]
    return found


def parse(listing: Mapping[str, Any]) -> Network:
    """Return the network of `ansible-inventory --list`. Raises Refusal when a part is missing."""
    variables: Mapping[str, Mapping[str, Any]] = listing.get("_meta", {}).get("hostvars", {})

    def only(group: str) -> str:
        found = members(listing, group)
        if not found:
            raise Refusal(f"inventory/demo has no host in the group {group}. {RESTORE}")
        return found[0]

    def addresses(host: str) -> tuple[str, ...]:
        return tuple(variables.get(host, {}).get("addresses", ()))

    scanner = only("scanners")
    only("sensors")
    hosts = tuple(variables)
    published = tuple(
        (host, *published_port(text)) for host in hosts for text in variables[host].get("container_publish", ())
    )
    first = variables[scanner]
    if "container_network" not in first or "container_subnet" not in first:
        raise Refusal(f"inventory/demo names no container_network and container_subnet. {RESTORE}")
    return Network(
        network=str(first["container_network"]),
        subnet=str(first["container_subnet"]),
        hosts=hosts,
        sensors={host: addresses(host) for host in members(listing, "sensors")},
        collector=only("collectors"),
        publisher=only("publishers"),
        scanner=scanner,
        sources=addresses(scanner),
        published=published,
    )


def load() -> Network:
    """Ask Ansible for the demo's inventory. Raises Refusal when it can't be read."""
    directory = paths.DEMO_INVENTORY
    if not directory.is_dir():
        raise Refusal(f"{paths.shown(directory)} is missing from this clone. {RESTORE}")
    remedy = "Mend it, or: git checkout -- inventory/demo"
    return parse(inventory.listing([str(directory)], paths.shown(directory), remedy))
