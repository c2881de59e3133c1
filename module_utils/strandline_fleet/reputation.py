"""What others say of our own addresses, by DNS: who announces them and by which route, and which blocklists have them.

Whoever is asked learns the addresses, so nobody is asked who is not named.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from strandline_fleet import text
from strandline_fleet.resolver import TXT, A, LookupFailed

WORKERS = 8
"""Questions at a time: few, for those who answer give it away."""
SUGGESTED = ("dnsbl.dronebl.org", "bl.blocklist.de", "psbl.surriel.com")
"""Blocklists that say they may be asked by anybody at a low rate: fleet_reputation: {blocklists: suggested}."""
LISTED = ipaddress.ip_network("127.0.0.0/8")
REFUSES = ipaddress.ip_network("127.255.255.0/24")
"""By these a list says that it does not answer whoever asks, or through which resolver."""
ORIGIN = re.compile(
    r"\s*([0-9]{1,10}(?: [0-9]{1,10}){0,20})\s*\|\s*([0-9A-Fa-f:.]{2,45}/[0-9]{1,3})\s*(?:\|.*)?", re.DOTALL
)

Ask = Callable[[str, int], list[str]]


@dataclass(frozen=True)
class Sources:
    """Who is asked."""

    origin: str = ""
    """The zone that knows who announces an IPv4 address: origin.asn.cymru.com."""
    origin6: str = ""
    blocklists: tuple[str, ...] = ()


@dataclass(frozen=True)
class Seen:
    """What is known of an address."""

    asns: tuple[int, ...] | None = None
    """Who announces it; () nobody, None unknown."""
    route: str = ""
    lists: Mapping[str, str] = field(default_factory=dict)
    """By blocklist what it says, where the address is on it."""


@dataclass(frozen=True)
class Change:
    """Something that is not as it was."""

    host: str
    address: str
    text: str
    state: str


def reverse(address: str) -> str:
    """An address as names in such zones begin (RFC 5782, section 2): 192.0.2.1 is 1.2.0.192."""
    pointer = ipaddress.ip_address(address).reverse_pointer
    return pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")


def origin(address: str, zone: str, ask: Ask) -> tuple[tuple[int, ...], str]:
    """Who announces an address, and the narrowest route; nobody is () and "". Raises LookupFailed."""
    found: dict[str, set[int]] = {}
    for answer in ask(f"{reverse(address)}.{zone}", TXT):
        match = ORIGIN.fullmatch(answer)
        try:
            route = ipaddress.ip_network(match[2]) if match else None
        except ValueError:
            route = None
        if match is None or route is None or ipaddress.ip_address(address) not in route:
            raise LookupFailed(f"{zone} answered {text.shown(answer)[:60]!r}")
        found.setdefault(str(route), set()).update(map(int, match[1].split()))
    if not found:
        return (), ""
    narrowest = max(found, key=lambda route: ipaddress.ip_network(route).prefixlen)
    return tuple(sorted(found[narrowest])), narrowest


def listed(address: str, zone: str, ask: Ask) -> str:
    """What a blocklist says of an address; empty where it is not on it. Raises LookupFailed."""
    answers = ask(f"{reverse(address)}.{zone}", A)
    for answer in answers:
        code = ipaddress.ip_address(answer)
        if code not in LISTED or code in REFUSES:
            raise LookupFailed(f"{zone} does not answer us ({answer})")
    return ", ".join(answers)


def works(zone: str, ask: Ask) -> str:
    """Why a blocklist can't be believed (RFC 5782, section 5): it must have 127.0.0.2 and must not have 127.0.0.1."""
    try:
        if not listed("127.0.0.2", zone, ask):
            return "does not have its test entry 127.0.0.2: it is no blocklist, or dead"
        if listed("127.0.0.1", zone, ask):
            return "has everything, 127.0.0.1 too: it is dead"
    except LookupFailed as failure:
        return str(failure)
    return ""


def look(
    addresses: Iterable[str], sources: Sources, known: Mapping[str, Seen], ask: Ask
) -> tuple[dict[str, Seen], list[str]]:
    """What is known of each address now, and what could not be learnt: there the answers of before stay."""
    addresses = list(addresses)
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        faults = dict(zip(sources.blocklists, pool.map(lambda zone: works(zone, ask), sources.blocklists), strict=True))
        good = [zone for zone, fault in faults.items() if not fault]
        trouble = [f"{zone} {fault}" for zone, fault in faults.items() if fault]
        results = pool.map(lambda address: _of(address, sources, good, known.get(address, Seen()), ask), addresses)
        found = {}
        for address, (seen, failed) in zip(addresses, results, strict=True):
            found[address] = seen
            trouble += failed
    return found, trouble


def _of(address: str, sources: Sources, zones: Sequence[str], before: Seen, ask: Ask) -> tuple[Seen, list[str]]:
    asns, route = before.asns, before.route
    # Drop lists that are no longer asked. Keep the last answer of lists that can't be asked now.
    lists = {zone: said for zone, said in before.lists.items() if zone in sources.blocklists}
    failed = []
    zone = sources.origin6 if ":" in address else sources.origin
    try:
        if zone:
            asns, route = origin(address, zone, ask)
    except LookupFailed as failure:
        failed.append(f"{address}: {failure}")
    for each in zones:
        try:
            if said := listed(address, each, ask):
                lists[each] = said
            else:
                lists.pop(each, None)
        except LookupFailed as failure:
            failed.append(f"{address}: {failure}")
    return Seen(asns, route, lists), failed


def _announced(seen: Seen) -> str:
    if not seen.asns:
        return "announced by nobody"
    return f"announced by {' and '.join(f'AS{number}' for number in seen.asns)} as {seen.route}"


def changes(hosts: Mapping[str, Sequence[str]], known: Mapping[str, Seen], now: Mapping[str, Seen]) -> list[Change]:
    """What is not as it was. Of an address that is new only that it is on a list is said."""
    found = []
    for host, addresses in hosts.items():
        for address in addresses:
            before, after = known.get(address, Seen()), now[address]
            if before.asns is not None and after.asns is not None and _announced(before) != _announced(after):
                says = f"{host} {address} is {_announced(after)}; it was {_announced(before)}"
                found.append(Change(host, address, says, "origin"))
            for zone in sorted({*before.lists, *after.lists}):
                if zone not in before.lists:
                    says = f"{host} {address} is on the blocklist {zone} ({after.lists[zone]})"
                    found.append(Change(host, address, says, "listed"))
                elif zone not in after.lists:
                    found.append(Change(host, address, f"{host} {address} is no longer on {zone}", "ok"))
    return found


def table(hosts: Mapping[str, Sequence[str]], now: Mapping[str, Seen]) -> str:
    """What is known of each address, for the terminal."""
    rows = []
    for host, addresses in hosts.items():
        for address in addresses:
            seen = now[address]
            origins = "unknown" if seen.asns is None else " ".join(f"AS{number}" for number in seen.asns) or "nobody"
            rows.append((host, address, origins, seen.route, ", ".join(sorted(seen.lists)) or "on no list"))
    return text.table(rows, ("host", "address", "origin", "route", "blocklists"))


def read(written_: str) -> dict[str, Seen]:
    """What an earlier look remembered; nothing where the file was cut."""
    try:
        return {
            address: Seen(None if one["asns"] is None else tuple(one["asns"]), one["route"], one["lists"])
            for address, one in json.loads(written_ or "{}").items()
        }
    except (ValueError, TypeError, AttributeError, KeyError):
        return {}


def written(now: Mapping[str, Seen]) -> str:
    """What is remembered, as a file."""
    return json.dumps({address: asdict(one) for address, one in now.items()}, indent=1, sort_keys=True) + "\n"


def sources_of(settings: Mapping[str, Any]) -> Sources:
    """Who is asked, by the inventory's fleet_reputation."""
    lists = settings.get("blocklists") or ()
    zones = SUGGESTED if lists == "suggested" else tuple(str(zone).strip(".").lower() for zone in lists)
    return Sources(str(settings.get("origin") or "").strip("."), str(settings.get("origin6") or "").strip("."), zones)
