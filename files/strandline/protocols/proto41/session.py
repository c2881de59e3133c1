"""IPv6 in IPv4 (RFC 4213, section 3): what is behind the IPv4 header in, an event out. Nothing is ever answered."""

from __future__ import annotations

import socket

from ...event.line import Event
from ...sensor.listener.session import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...sensor.listener.session import Context
    from ...sensor.listener.sockets import Datagram

HEADER = 40
"""Bytes of an IPv6 header (RFC 8200, section 3)."""
HEADERS_MAX = 8
"""Headers that are looked at. RFC 8200, section 4.1, recommends each extension header once; a packet could hold
thousands."""
LONG = frozenset({0, 43, 60, 135, 139, 140})
"""Extension headers whose length stands in units of 8 bytes, without the first 8: hop-by-hop options, routing,
destination options, mobility, HIP, Shim6 (IANA, IPv6 extension header types)."""
FRAGMENT, AUTHENTICATION = 44, 51


def serve(_context: Context) -> Service:
    """It has no settings of its own."""
    return Service(handle=handle)


def handle(packet: Datagram, _now: float) -> tuple[list[Event], None]:
    """One event for each packet, whatever it is."""
    return [event_of(packet.data)], None


def event_of(data: bytes) -> Event:
    """What the packet is, of the catalogue."""
    reason = "short" if len(data) < HEADER else "version" if data[0] >> 4 != 6 else ""
    size = str(len(data))
    if reason:
        return Event("proto41.malformed", {"verified": "no", "reason": reason, "size": size}, {"data": data})
    number = protocol(data)
    told = {
        "verified": "no",
        "inner_saddr": socket.inet_ntop(socket.AF_INET6, data[8:24]),
        "inner_daddr": socket.inet_ntop(socket.AF_INET6, data[24:40]),
        "protocol": "-" if number is None else str(number),
        "hop_limit": str(data[7]),
        "size": size,
    }
    return Event("proto41.packet", told, {"data": data})


def protocol(data: bytes) -> int | None:
    """The protocol behind the extension headers (RFC 8200, section 4); None when they end too early or are too many.

    Of a fragment that is not the first, it is what the fragment's header says.
    """
    kind, at = data[6], HEADER
    for _ in range(HEADERS_MAX):
        if kind not in LONG and kind not in (FRAGMENT, AUTHENTICATION):
            return kind
        head = data[at : at + 8]
        if len(head) < 8:
            return None
        if kind == FRAGMENT:
            if int.from_bytes(head[2:4], "big") >> 3:  # what follows is the middle of something (section 4.5)
                return head[0]
            at += 8
        elif kind == AUTHENTICATION:
            at += (head[1] + 2) * 4  # RFC 4302, section 2.2
        else:
            at += (head[1] + 1) * 8
        kind = head[0]
        if at > len(data):
            return None
    return None
