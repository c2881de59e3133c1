"""IPv6 in IPv4 at a sensor with its rules: heard by a raw socket, never unpacked, never answered."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from guarded_host import HOST4, POSSIBLE, STRANGER4, Host, fields, host, inbound, rules
from strandline.event.catalogue import SILENT_MARK

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


# Opens the socket as open_raw.py does, gives up every capability, and sends a datagram in another's name to where time
# servers are.
FORGE = f"""
import os, socket, struct, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 41)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(sys.argv[1]))
os.setgroups([]), os.setgid(65534), os.setuid(65534)
raw.setsockopt(socket.IPPROTO_IP, 3, 1)  # IP_HDRINCL
source, target = socket.inet_aton("198.51.100.77"), socket.inet_aton("{STRANGER4}")
datagram = struct.pack("!HHHH", 123, 123, 12, 0) + b"from"
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0, source, target)
try:
    raw.sendto(head + datagram, ("{STRANGER4}", 0))
except PermissionError:
    pass
try:
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0)
    print("unmarked")
except PermissionError:
    print("marked")
"""
HEAR = """
import socket, sys
tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
print("ready", flush=True)
sys.stdin.read()
tap.settimeout(0.5)
try:
    while True:
        packet = tap.recvfrom(2048)[0]
        if packet[9] == 17:
            print(socket.inet_ntoa(packet[12:16]))
except TimeoutError:
    pass
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


@pytest.mark.parametrize(("mark", "heard"), [(0, ["198.51.100.77"]), (SILENT_MARK, [])])
def test_who_takes_the_socket_over_can_send_nothing(sensor: Host, mark: int, heard: list[str]) -> None:
    """A raw socket could send anything in anybody's name; the firewall drops what this one sends, by its mark."""
    sensor.load(rules(base_inbound=inbound("proto41"), base_silent_marks=[SILENT_MARK]))
    watcher = sensor.start(sensor.outside, HEAR)
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "ready\n"
    assert sensor.python(sensor.inside, FORGE, str(mark)) == "marked\n"
    assert watcher.communicate()[0].split() == heard


def test_packets_from_elsewhere_are_left_out_where_sources_are_named(sensor: Host) -> None:
    only = [{"port": 0, "proto": "ipv6", "sources": ["203.0.113.0/24"]}]
    sensor.load(rules(base_inbound=only))
    sensor.listen("proto41")
    assert send(sensor, packet()) == []
    assert sensor.silence() == []
    sensor.load(rules(base_inbound=[{**only[0], "sources": [f"{STRANGER4}/32"]}]))
    send(sensor, packet())
    assert len(sensor.events(1)) == 1


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
