"""IPv6 in IPv4: what is behind the IPv4 header, and what a real raw socket brings."""

from __future__ import annotations

import os
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener_harness import record
from strandline.protocols.proto41.session import HEADERS_MAX, event_of, protocol
from strandline.sensor.listener.sockets import PacketPort

INSIDE, OUTSIDE = "2001:db8::7", "2001:db8:ffff::1"
ECHO = b"\x80\x00\x00\x00\x00\x01\x00\x01"
ICMPV6, UDP, ESP = 58, 17, 50


def ipv6(kind: int = ICMPV6, payload: bytes = ECHO, length: int | None = None, hops: int = 64) -> bytes:
    length = len(payload) if length is None else length
    addresses = socket.inet_pton(socket.AF_INET6, INSIDE) + socket.inet_pton(socket.AF_INET6, OUTSIDE)
    return struct.pack("!IHBB", 6 << 28, length, kind, hops) + addresses + payload


def options(kind: int, units: int = 0) -> bytes:
    """An extension header of 8 bytes and as many more units of 8."""
    return bytes([kind, units]) + bytes(6 + 8 * units)


def test_a_packet_is_told_with_its_inner_addresses() -> None:
    found = record(event_of(ipv6()))
    assert found.name == "proto41.packet"
    assert found.trusted == {
        "verified": "no", "inner_saddr": INSIDE, "inner_daddr": OUTSIDE, "protocol": "58", "hop_limit": "64",
        "size": "48",
    }  # fmt: skip
    assert found.values["data"].startswith(r'"`\x00\x00\x00\x00\x08:@ \x01\x0d\xb8')


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (ipv6(UDP, b""), UDP),
        (ipv6(59, b""), 59),  # no next header
        (ipv6(0, options(60) + options(UDP)), UDP),
        (ipv6(43, options(ICMPV6, 2) + ECHO), ICMPV6),
        (ipv6(51, bytes([UDP, 4]) + bytes(22)), UDP),  # authentication header: (4 + 2) * 4 bytes
        (ipv6(44, struct.pack("!BBHI", ICMPV6, 0, 1, 9) + ECHO), ICMPV6),  # the first fragment
        (ipv6(44, struct.pack("!BBHI", 60, 0, 185 << 3, 9) + b"middle"), 60),  # a later one
        (ipv6(0, options(ESP) + b"\x01\x02"), ESP),
        (ipv6(UDP, b"", length=1400), UDP),  # says more than there is
        (ipv6(0, options(UDP)[:7]), None),
        (ipv6(0, b""), None),
        (ipv6(60, options(UDP, 200)[:100]), None),
        (ipv6(51, bytes([UDP, 255]) + bytes(22)), None),
        (ipv6(60, options(60) * (HEADERS_MAX - 2) + options(UDP)), UDP),
        (ipv6(60, options(60) * 1000 + options(UDP)), None),
    ],
)
def test_the_protocol_stands_behind_the_extension_headers(data: bytes, number: int | None) -> None:
    assert protocol(data) == number
    assert record(event_of(data)).trusted["protocol"] == ("-" if number is None else str(number))


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "short"), (ipv6()[:39], "short"), (b"\x45" + ipv6()[1:], "version"), (b"GET / HTTP/1.0\r\n" * 9, "version")],
)
def test_what_is_no_ipv6_packet_leaves_a_trace(data: bytes, reason: str) -> None:
    found = record(event_of(data))
    assert (found.name, found.trusted) == (
        "proto41.malformed",
        {"verified": "no", "reason": reason, "size": str(len(data))},
    )


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda data: b"\x60" + data)))
def test_any_bytes_give_one_line(data: bytes) -> None:
    assert record(event_of(data)).trusted["size"] == str(len(data))


@pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket needs root")
def test_a_raw_socket_brings_what_is_behind_the_ipv4_header() -> None:
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 41)
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw, sender:
        port = PacketPort(raw)
        addresses = socket.inet_aton("127.0.0.9") + socket.inet_aton("127.0.0.5")
        for more in (b"", b"\x01" * 8):  # without and with IPv4 options
            words = 5 + len(more) // 4
            head = struct.pack("!BBHHHBBH", 0x40 | words, 0, 4 * words + 48, 0, 0, 64, 41, 0) + addresses + more
            sender.sendto(head + ipv6(), ("127.0.0.5", 0))
            packet = port.receive()
            while packet is not None and packet.flow.saddr != "127.0.0.9":
                packet = port.receive()
            assert packet is not None
            assert (packet.data, packet.flow.daddr, packet.flow.proto) == (ipv6(), "127.0.0.5", "ipv6")
            assert (packet.flow.sport, packet.flow.dport, packet.unicast) == (0, 0, False)
            assert not port.reply(packet, b"never")
