"""The list of addresses that never appear in a feed: an entry for a while, as somebody asks for it who was listed.

`add_entry` changes the list's text; the publisher reads it by addresses.load_never_publish.
"""

from __future__ import annotations

import ipaddress
from datetime import date

from .addresses import Network, read_entries

# A wider prefix is more likely a slip than a wish; it would empty the feeds.
WIDEST = {4: 8, 6: 16}
_REASON = 200  # characters


class DelistError(Exception):
    """What was asked for can't be done. The message says what to ask for instead."""


def network_of(text: str) -> Network:
    """Return the address or prefix. Raises DelistError."""
    text = text.strip()
    try:
        network = ipaddress.ip_network(text, strict=True)
    except ValueError as error:
        if "host bits" in str(error):
            inside = ipaddress.ip_network(text, strict=False)
            raise DelistError(
                f"{text}: the prefix has host bits set. Write {inside}, or one address without a length"
            ) from None
        raise DelistError(
            f"{text!r} is neither an address nor a prefix. Names are not looked up: write 198.51.100.7, "
            "198.51.100.0/24 or 2001:db8::/48"
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and (mapped := network.network_address.ipv4_mapped):
        raise DelistError(f"{text} is an IPv4 address in IPv6's form. Write {mapped}")
    if network.prefixlen < WIDEST[network.version]:
        raise DelistError(
            f"{text} is wider than /{WIDEST[network.version]}. If that is what you want, write the line into the list "
            "by hand"
        )
    return network


def day_of(text: str, today: date) -> date:
    """Return the last day on which an entry holds (UTC). Raises DelistError."""
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        raise DelistError(f"{text!r} is no date (--until). Write it as 2027-05-28") from None
    if day < today:
        raise DelistError(f"{day} (--until) is past: today is {today} (UTC). Name today or a later day")
    return day


def reason_of(text: str) -> str:
    """Return the reason on one line. Raises DelistError."""
    reason = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if not reason:
        raise DelistError("A reason is missing (--reason). Say who asked for it and why, in one line")
    if len(reason) > _REASON:
        raise DelistError(f"The reason (--reason) has {len(reason)} characters. Say it in {_REASON}")
    return reason


def _within(network: Network, other: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return network.subnet_of(other)
    if isinstance(network, ipaddress.IPv6Network) and isinstance(other, ipaddress.IPv6Network):
        return network.subnet_of(other)
    return False


def add_entry(text: str, address: str, until: str, reason: str, *, today: date, where: str = "the list") -> str:
    """Return the list's text with an entry that holds through a day; one for the same prefix is replaced.

    Raises DelistError, and ConfigurationError when the list itself can't be read.
    """
    network, day, why = network_of(address), day_of(until, today), reason_of(reason)
    lines = text.splitlines()
    shown = str(network.network_address if network.num_addresses == 1 else network)
    entry = f"{shown:<23} until={day}  # {why}"
    kept = []
    replaced = False
    there = {known.line: known for known in read_entries(text, where)}
    for number, line in enumerate(lines, 1):
        known = there.get(number)
        if known is not None and known.until is None and _within(network, known.network):
            place = f"{where} line {number}"
            raise DelistError(f"{address} never appears anyway: {place} has {known.network} for good ({known.reason})")
        if known is None or known.network != network:
            kept.append(line)
        elif not replaced:
            kept.append(entry)
            replaced = True
    if not replaced:
        kept.append(entry)
    return "".join(f"{line}\n" for line in kept)
