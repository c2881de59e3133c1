"""Addresses as packed bytes, and the list of those that never appear in a feed.

Packed addresses are 4 or 16 bytes in network order. They become integers for the interval look-ups.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import socket
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from ..shared.settings import ConfigurationError

_LOG = logging.getLogger(__name__)
_MAPPED = bytes(10) + b"\xff\xff"

# Addresses that no packet on the public Internet carries as its source, or that are not one host's own: the IANA
# special-purpose registries (RFC 6890) and the multicast and reserved blocks, each with the document that says so.
SPECIAL: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this network, RFC 791 section 3.2"),
    ("10.0.0.0/8", "private use, RFC 1918"),
    ("100.64.0.0/10", "shared address space of carrier-grade NAT, RFC 6598"),
    ("127.0.0.0/8", "loopback, RFC 1122 section 3.2.1.3"),
    ("169.254.0.0/16", "link-local, RFC 3927"),
    ("172.16.0.0/12", "private use, RFC 1918"),
    ("192.0.0.0/24", "IETF protocol assignments, RFC 6890"),
    ("192.0.2.0/24", "documentation, RFC 5737"),
    ("192.31.196.0/24", "AS112 anycast, RFC 7535"),
    ("192.52.193.0/24", "AMT anycast, RFC 7450"),
    ("192.88.99.0/24", "6to4 relay anycast, RFC 7526"),
    ("192.168.0.0/16", "private use, RFC 1918"),
    ("192.175.48.0/24", "AS112 anycast, RFC 7534"),
    ("198.18.0.0/15", "benchmarks, RFC 2544"),
    ("198.51.100.0/24", "documentation, RFC 5737"),
    ("203.0.113.0/24", "documentation, RFC 5737"),
    ("224.0.0.0/4", "multicast, RFC 5771"),
    ("240.0.0.0/4", "reserved and broadcast, RFC 1112 section 4 and RFC 919"),
    # Only 2000::/3 is global unicast (RFC 4291 section 2.4); the next three are all that lies outside of it.
    ("::/3", "outside global unicast: loopback, mapped, translated, discard"),
    ("4000::/2", "outside global unicast, unassigned"),
    ("8000::/1", "outside global unicast: unique local, link-local, multicast"),
    ("2001::/23", "IETF protocol assignments: Teredo, benchmarks, ORCHID; RFC 2928"),
    ("2001:db8::/32", "documentation, RFC 3849"),
    ("2002::/16", "6to4, RFC 7526"),
    ("2620:4f:8000::/48", "AS112 anycast, RFC 7534"),
    ("3fff::/20", "documentation, RFC 9637"),
)


def packed(text: str) -> bytes:
    """Return the address as 4 or 16 bytes; an IPv4-mapped IPv6 address is the IPv4 address. Raises ValueError."""
    try:
        if ":" not in text:
            return socket.inet_pton(socket.AF_INET, text)
        value = socket.inet_pton(socket.AF_INET6, text)
    except (OSError, ValueError, UnicodeError):
        raise ValueError(f"{text!r} is not an address") from None
    return value[12:] if value.startswith(_MAPPED) else value


def address_text(value: bytes) -> str:
    """Return the canonical text of a packed address (RFC 5952 for IPv6)."""
    return socket.inet_ntop(socket.AF_INET if len(value) == 4 else socket.AF_INET6, value)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_network(text: str) -> Network:
    """Return the address or prefix; one with host bits set is refused. Raises ValueError with the reason."""
    return ipaddress.ip_network(text.strip(), strict=True)


class Intervals:
    """A set of addresses as disjoint sorted ranges of one family: a look-up is one bisection."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        starts: list[int] = []
        ends: list[int] = []
        for first, last in sorted(ranges):
            if starts and first <= ends[-1] + 1:
                ends[-1] = max(ends[-1], last)
            else:
                starts.append(first)
                ends.append(last)
        self._starts = starts
        self._ends = ends

    def __contains__(self, value: int) -> bool:
        at = bisect_right(self._starts, value) - 1
        return at >= 0 and value <= self._ends[at]


class AddressSet:
    """A set of prefixes of both families."""

    def __init__(self, networks: Iterable[Network]) -> None:
        by_version: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for network in networks:
            by_version[network.version].append((int(network.network_address), int(network.broadcast_address)))
        self._by_length = {4: Intervals(by_version[4]), 16: Intervals(by_version[6])}

    def __contains__(self, value: bytes) -> bool:
        return int.from_bytes(value) in self._by_length[len(value)]


class NeverList:
    """Decides whether an address may appear in a feed.

    `publish_ranges` opens special-purpose addresses only (a demo lives in documentation and benchmark ranges). What the
    operator listed and the fleet's own addresses stay out in any case.
    """

    def __init__(
        self,
        *,
        listed: Sequence[Network] = (),
        fleet: Sequence[Network] = (),
        publish_ranges: Sequence[Network] = (),
    ) -> None:
        self._special = AddressSet(parse_network(prefix) for prefix, _ in SPECIAL)
        self._opened = AddressSet(publish_ranges)
        self._listed = AddressSet([*listed, *fleet])
        self.prefixes = [sorted(map(str, some)) for some in ([*listed, *fleet], publish_ranges)]
        """What it was made of, in an order of its own."""

    def __contains__(self, value: bytes) -> bool:
        return value in self._listed or (value in self._special and value not in self._opened)


_ENTRY = re.compile(r"(?P<network>[^\s#]+)(?:\s+until=(?P<until>[^\s#]+))?\s+#\s*(?P<reason>\S.*)")


@dataclass(frozen=True)
class NeverEntry:
    """An entry of the operator's list, and the number of its line. It holds through the day `until` (UTC)."""

    line: int
    network: Network
    reason: str
    until: date | None = None
    """None: for good."""


def read_entries(text: str, where: str) -> list[NeverEntry]:
    """Return the entries of the operator's list, also those that have expired.

    One a line: address or prefix, `until=DATE` for one that holds for a while, and the reason after `#`. Raises
    ConfigurationError that names the line of `where`.
    """
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        place = f"{where} line {number}"
        entry = _ENTRY.fullmatch(stripped)
        if entry is None:
            raise ConfigurationError(
                place,
                f"{stripped!r} is not an entry",
                "Write `address-or-prefix  # reason`, or `address-or-prefix until=2027-05-28  # reason`; the reason is"
                " required",
            )
        try:
            network = parse_network(entry["network"])
        except ValueError as error:
            raise ConfigurationError(place, str(error), "Write an address or a prefix without host bits") from None
        try:
            until = date.fromisoformat(entry["until"]) if entry["until"] else None
        except ValueError:
            raise ConfigurationError(place, f"{entry['until']!r} is no date", "Write it as 2027-05-28") from None
        entries.append(NeverEntry(number, network, entry["reason"], until))
    return entries


def load_never_publish(path: Path, today: date | None = None) -> list[Network]:
    """Return the prefixes of the operator's list that hold on a day, by default today's (UTC).

    Those that have expired are named in the log. Raises ConfigurationError that names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"can't be read ({error})", "Put a readable UTF-8 file there") from error
    today = today or datetime.now(UTC).date()
    networks = []
    for entry in read_entries(text, str(path)):
        if entry.until is not None and entry.until < today:
            _LOG.info(
                "%s line %d: %s was kept out until %s, and is no more", path, entry.line, entry.network, entry.until
            )
        else:
            networks.append(entry.network)
    return networks
