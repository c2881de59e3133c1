"""IPv6 in IPv4 at a sensor with its rules: heard by a raw socket, never unpacked, never answered."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from guarded_host import HOST4, POSSIBLE, STRANGER4, Host, fields, host, inbound, rules

pytestmark = [
    pytest.mark.skipif(not POSSIBLE, reason="network namespaces need root, ip and nft"),
    pytest.mark.slow,
]

SEND = f"""
import socket, sys
sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, 41)
sender.bind(("{STRANGER4}", 0))
for packet in sys.argv[1:]:
    sender.sendto(bytes.fromhex(packet), ("{HOST4}", 0))
"""
# Prints every packet that comes back, its protocol, ICMP type and code, until a second after its input ends.
WATCH = f"""
import socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
print("ready", flush=True)
sys.stdin.read()
tap.settimeout(1)
while True:
    try:
        packet, (_, _, kind, *_) = tap.recvfrom(2048)
    except TimeoutError:
        break
    if kind == socket.PACKET_HOST and packet[12:16] == socket.inet_aton("{HOST4}"):
        print(packet[9], packet[20], packet[21])
"""


@pytest.fixture
def sensor(tmp_path: Path) -> Iterator[Host]:
    with host(tmp_path, f"p{os.getpid()}") as made:
        yield made


def packet(payload: bytes = b"\x80\x00\x00\x00\x00\x01\x00\x01", kind: int = 58) -> bytes:
    addresses = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "2001:db8:7::2")
    return struct.pack("!IHBB", 6 << 28, len(payload), kind, 64) + addresses + payload


def send(sensor: Host, *packets: bytes) -> list[str]:
    """Send them; what the sensor sends back."""
    watcher = sensor.start(sensor.outside, WATCH)
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "ready\n"
    sensor.python(sensor.outside, SEND, *(one.hex() for one in packets))
    return watcher.communicate()[0].splitlines()


def test_packets_are_logged_and_never_answered(sensor: Host) -> None:
    sensor.load(rules(base_inbound=inbound("proto41")))
    sensor.listen("proto41")
    truncated, hostile = packet()[:30], b"\x60" + b"\xff" * 60
    assert send(sensor, packet(), truncated, hostile, b"", packet(b"", 59)) == []
    lines = sensor.events(5)
    for line in lines:
        assert fields(line, "saddr", "sport", "daddr", "dport", "proto", "verified") == [
            STRANGER4, "0", HOST4, "0", "ipv6", "no",
        ]  # fmt: skip
    assert fields(lines[0], "event", "inner_saddr", "inner_daddr", "protocol", "hop_limit", "size") == [
        "proto41.packet", "2001:db8::7", "2001:db8:7::2", "58", "64", "48",
    ]  # fmt: skip
    assert fields(lines[1], "event", "reason", "size") == ["proto41.malformed", "short", "30"]
    assert fields(lines[2], "event", "protocol") == ["proto41.packet", "255"]
    assert fields(lines[3], "event", "reason", "size") == ["proto41.malformed", "short", "0"]
    assert fields(lines[4], "event", "protocol") == ["proto41.packet", "59"]


def test_nothing_tells_that_the_listener_is_down(sensor: Host) -> None:
    """Without a raw socket the kernel says by ICMP that it lacks the protocol; the rules keep that in."""
    assert send(sensor, packet()) == ["1 3 2"]
    sensor.load(rules(base_inbound=inbound("proto41")))
    assert send(sensor, packet()) == []


def test_only_a_sensor_with_the_listener_lets_it_in(sensor: Host) -> None:
    sensor.listen("proto41")
    sensor.load(rules(base_inbound=inbound("sip")))
    assert send(sensor, packet()) == []
    assert sensor.silence() == []


def test_a_flood_from_forged_sources_leaves_no_trace_in_the_kernel(sensor: Host) -> None:
    """No entry of connection tracking, and the daemon's memory stays as it was."""
    sensor.load(rules(base_inbound=inbound("proto41")))
    daemon = sensor.listen("proto41")
    flood = f"""
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
inner = bytes.fromhex("{packet().hex()}")
for number in range(20000):
    source = struct.pack("!I", (198 << 24) + (19 << 16) + number)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(inner), 0, 0, 64, 41, 0, source, socket.inet_aton("{HOST4}"))
    raw.sendto(head + inner, ("{HOST4}", 0))
"""
    send(sensor, packet())
    before = resident(daemon.pid)
    sensor.python(sensor.outside, flood)
    assert len(sensor.silence(1.0)) > 1000
    assert daemon.poll() is None
    assert resident(daemon.pid) - before < 4096
    counted = sensor.python(sensor.inside, "print(open('/proc/sys/net/netfilter/nf_conntrack_count').read())")
    assert int(counted) < 10


def resident(pid: int) -> int:
    """kB of memory that a process has."""
    (line,) = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1])
