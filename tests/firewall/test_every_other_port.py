"""The rules that lead every other port to one listener: what comes to it, and what never does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guarded_host import (
    ADMIN,
    COLLECTOR4,
    HOST4,
    HOST6,
    POSSIBLE,
    STRANGER4,
    STRANGER6,
    Host,
    fields,
    host,
    inbound,
    rules,
)
from strandline.event.catalogue import MARK, load, python_listeners

pytestmark = [
    pytest.mark.skipif(not POSSIBLE, reason="network namespaces need root, ip and nft"),
    pytest.mark.slow,
]

(ANY,) = python_listeners(load(), ["any"])
FLOW = ("saddr", "daddr", "dport", "proto", "verified", "reason", "size")

# Connects, says something, and prints what comes back: `closed` for an end without a word.
TALK = """
import socket, sys
host, port, said = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
try:
    with socket.create_connection((host, port), timeout=4) as client:
        client.sendall(said)
        print(client.recv(100).decode() or "closed")
except TimeoutError:
    print("nothing")
except OSError as error:
    print(type(error).__name__)
"""
SAY = """
import socket, sys
host, port, said = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(2)
    client.connect((host, port))
    client.send(said)
    try:
        print(client.recv(100).decode())
    except TimeoutError:
        print("nothing")
    except OSError as error:
        print(type(error).__name__)
"""
# A service that greets, as the administrator's sshd does.
GREET = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])), backlog=8)
print("ready", flush=True)
while True:
    client, _ = server.accept()
    client.sendall(b"hello")
    client.close()
"""
# Answers a datagram after some seconds.
ANSWER = """
import socket, sys, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(100)
    time.sleep(float(sys.argv[3]))
    server.sendto(b"answer", peer)
"""


@pytest.fixture
def sensor(tmp_path: Path) -> Iterator[Host]:
    with host(tmp_path, f"a{os.getpid()}") as made:
        yield made


def wanted(*listeners: str, **more: Any) -> str:
    """Rules of a sensor that has these listeners and the one for every other port."""
    return rules(base_inbound=inbound("any", *listeners), base_every_other_port=ANY, **more)


def serve(sensor: Host, where: str, program: str, *arguments: str) -> None:
    """Run it until it says that it is ready."""
    started = sensor.start(where, program, *arguments)
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"


def talk(sensor: Host, port: int, said: str = "hi", to: str = HOST4, program: str = TALK) -> str:
    return sensor.python(sensor.outside, program, to, str(port), said).strip()


@pytest.mark.parametrize(("to", "saddr"), [(HOST4, STRANGER4), (HOST6, STRANGER6)])
def test_what_a_client_says_first_at_any_port_is_logged(sensor: Host, to: str, saddr: str) -> None:
    sensor.load(wanted("sip"))
    sensor.listen("any", MARK)
    for port in (1, 22, 23, 445, 6514, 8080, 65535):
        assert talk(sensor, port, "GET / HTTP/1.0", to) == "closed"
        (line,) = sensor.events(1)
        assert fields(line, *FLOW) == [saddr, to, str(port), "tcp", "yes", "data", "14"]
        assert line.endswith(' data="GET / HTTP/1.0"')
        assert talk(sensor, port, "probe", to, SAY) == "nothing"
        (line,) = sensor.events(1)
        assert fields(line, *FLOW) == [saddr, to, str(port), "udp", "no", "data", "5"]
        assert line.endswith(' data="probe"')
    assert sensor.silence() == []


def test_a_client_without_a_word_leaves_a_trace(sensor: Host) -> None:
    sensor.load(wanted())
    sensor.listen("any", MARK, STRANDLINE_IDLE_SECONDS="1")
    waits = f"import socket\nwith socket.create_connection(('{HOST4}', 4444)) as client: print(client.recv(9))"
    assert sensor.python(sensor.outside, waits) == "b''\n"
    leaves = f"import socket\nsocket.create_connection(('{HOST4}', 4445)).close()"
    sensor.python(sensor.outside, leaves)
    lines = sensor.events(2)
    assert [fields(line, "dport", "reason", "size") for line in lines] == [
        ["4444", "timeout", "0"],
        ["4445", "closed", "0"],
    ]


@pytest.mark.parametrize("admin", [ADMIN, 2222])
def test_the_administrators_port_is_never_led_away(sensor: Host, admin: int) -> None:
    """Neither while sshd is there nor while it restarts; and where it still is, when the port has just changed."""
    sensor.load(wanted(base_admin_port=admin))
    sensor.listen("any", MARK)
    assert talk(sensor, admin) == "ConnectionRefusedError"  # sshd is down, and nobody else takes its port
    serve(sensor, sensor.inside, GREET, HOST4, str(admin))
    assert talk(sensor, admin) == "hello"
    sensor.load(wanted(base_admin_port=40022))
    assert talk(sensor, admin) == "nothing"  # not for strangers any more, and still sshd's
    sensor.load(wanted(base_admin_port=40022, base_admin_extra_ports=[admin]))
    assert talk(sensor, admin) == "hello"
    assert sensor.silence() == []


def test_without_rules_nothing_is_led_anywhere(sensor: Host) -> None:
    """As when nftables fails to load: the administrator's sshd answers, and so do other programs."""
    sensor.load(wanted())
    sensor.listen("any", MARK)
    serve(sensor, sensor.inside, GREET, HOST4, str(ADMIN))
    sensor.load("flush ruleset\n")
    assert talk(sensor, ADMIN) == "hello"
    assert talk(sensor, 4444) == "ConnectionRefusedError"
    assert sensor.silence() == []


def test_the_ports_of_other_listeners_are_theirs(sensor: Host) -> None:
    """Whether they run or not, and so are ports of a program that nobody told us of."""
    sensor.load(wanted("sip", "ntp"))
    sensor.listen("any", MARK)
    for program in (TALK, SAY):
        assert talk(sensor, 5060, program=program) in ("nothing", "ConnectionRefusedError")
    serve(sensor, sensor.inside, GREET, "0.0.0.0", "8080")
    assert talk(sensor, 8080) == "nothing"  # the firewall does not let it in, and it is not led away
    assert sensor.silence() == []
    sensor.listen("sip")
    options = "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK1\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
    # A daemon that has just been started may take longer on a busy machine than this client waits.
    assert any(talk(sensor, 5060, options, program=SAY).startswith("SIP/2.0 ") for _ in range(5))
    line, *_ = sensor.events(1)
    assert fields(line, "event", "dport") == ["sip.request", "5060"]


def test_answers_to_the_host_itself_arrive(sensor: Host) -> None:
    """Of name servers, collectors and mirrors; what comes too late is no stranger's contact."""
    sensor.load(wanted())
    sensor.listen("any", MARK)
    serve(sensor, sensor.outside, ANSWER, STRANGER4, "53", "0.1")
    serve(sensor, sensor.outside, GREET, COLLECTOR4, "6514")
    serve(sensor, sensor.outside, GREET, STRANGER4, "80")
    assert sensor.python(sensor.inside, SAY, STRANGER4, "53", "question") == "answer\n"
    assert sensor.python(sensor.inside, TALK, COLLECTOR4, "6514", "events") == "hello\n"
    assert sensor.python(sensor.inside, TALK, STRANGER4, "80", "packages") == "hello\n"
    leaves = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.sendto(b"question", ("{STRANGER4}", 53))
"""
    sensor.python(sensor.inside, leaves)
    assert sensor.silence() == []
    # Another one who writes from port 53 is heard.
    forged = f"""
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.bind(("{COLLECTOR4}", 53))
    client.sendto(b"from a collector", ("{HOST4}", 5353))
    client.close()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.bind(("{STRANGER4}", 5300))
    client.sendto(b"from a stranger", ("{HOST4}", 5353))
"""
    sensor.python(sensor.outside, forged)
    (line,) = sensor.events(1)
    assert line.endswith('data="from a stranger"')
    assert sensor.silence() == []


def test_nothing_tells_that_the_listener_is_down(sensor: Host) -> None:
    """No reset, and no ICMP."""
    sensor.load(wanted())
    assert talk(sensor, 4444) == "nothing"
    assert talk(sensor, 4444, program=SAY) == "nothing"


def test_a_datagram_to_everybody_is_not_for_it(sensor: Host) -> None:
    sensor.load(wanted())
    sensor.listen("any", MARK)
    shout = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    client.bind(("198.18.7.1", 0))
    for address in ("198.18.7.255", "224.0.0.251"):
        client.sendto(b"x", (address, 5353))
"""
    sensor.python(sensor.outside, shout)
    assert sensor.silence() == []


def test_a_flood_from_forged_sources_is_bounded(sensor: Host) -> None:
    """Of SYNs and datagrams to all ports: nothing in connection tracking, little memory, and others are heard."""
    sensor.load(wanted())
    daemon = sensor.listen("any", MARK)
    assert talk(sensor, 4444) == "closed"
    sensor.events(1)
    before = resident(daemon.pid)
    flood = f"""
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
target = socket.inet_aton("{HOST4}")
def checksum(data):
    total = sum(struct.unpack(f"!{{len(data) // 2}}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return 0xffff ^ total
for number in range(30000):
    source = struct.pack("!I", (198 << 24) + (19 << 16) + number)
    if number % 2:
        body, proto = struct.pack("!HHHH", 1024 + number, 2000 + number, 13, 0) + b"flood", 17
    else:
        tcp = lambda check: struct.pack("!HHIIBBHHH", 1024 + number, 2000 + number, number, 0, 0x50, 2, 1024, check, 0)
        body, proto = tcp(checksum(source + target + struct.pack("!BBH", 0, 6, 20) + tcp(0))), 6
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0, 64, proto, 0, source, target)
    raw.sendto(head + body, ("{HOST4}", 0))
"""
    sensor.python(sensor.outside, flood)
    assert len(sensor.silence(1.0)) > 1000
    assert daemon.poll() is None
    assert resident(daemon.pid) - before < 4096
    counted = sensor.python(sensor.inside, "print(open('/proc/sys/net/netfilter/nf_conntrack_count').read())")
    assert int(counted) < 10
    # The queue of half-open connections is full, and the kernel answers with cookies.
    assert talk(sensor, 4444) == "closed"
    assert fields(sensor.events(1)[0], "saddr") == [STRANGER4]


def resident(pid: int) -> int:
    """kB of memory that a process has."""
    (line,) = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1])
