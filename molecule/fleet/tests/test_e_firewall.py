"""The rules of an onboarded server by what passes: leases are renewed, neighbours found, a flood shuts nobody out."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from containers import poll
from networks import Network, network
from servers import ADMIN_PORT, UFW, Server

SERVER = UFW  # has a DHCP server and client in its image
SIP = 5060
FLOOD = 60_000  # datagrams, each from another source

# As many datagrams as fast as they go, each from another address and port: UDP over IPv4 by a raw socket.
FLOODER = f"""
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
target = socket.inet_aton("198.18.5.2")
payload = b"OPTIONS sip:a SIP/2.0\\r\\n\\r\\n"
for number in range({FLOOD}):
    source = struct.pack("!I", (198 << 24) + (19 << 16) + number % 65000)
    udp = struct.pack("!HHHH", 1024 + number % 60000, {SIP}, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, source, target)
    try:
        raw.sendto(ip + udp, ("198.18.5.2", 0))
    except OSError:
        pass
"""
# Answers every datagram at the listener's port, as a listener does.
ANSWERER = f"""
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
server.bind(("0.0.0.0", {SIP}))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(2048)
    try:
        server.sendto(b"SIP/2.0 401", peer)
    except OSError:
        pass
"""
ASKER = f"""
import socket
asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asker.settimeout(2)
for _ in range(15):
    asker.sendto(b"OPTIONS", ("198.18.5.2", {SIP}))
    try:
        print(asker.recv(100).decode())
        break
    except TimeoutError:
        pass
"""
# What a listener that was taken over would try: to speak to somebody who never asked.
SPEAKER = f"""
import socket
for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
    speaker = socket.socket(socket.AF_INET, kind)
    speaker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    speaker.settimeout(2)
    speaker.bind(("198.18.5.2", {SIP}))
    try:
        speaker.connect(("198.18.5.1", 9999))
        speaker.send(b"hello")
        print("sent" if kind == socket.SOCK_STREAM else "datagram handed over")
    except OSError as error:
        print(type(error).__name__)
"""
LISTENER = """
import socket, select
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.create_server(("198.18.5.1", 9999))]
sockets[0].bind(("198.18.5.1", 9999))
print("ready", flush=True)
ready, _, _ = select.select(sockets, [], [], 6)
print("heard" if ready else "nothing")
"""


@pytest.fixture(scope="module", autouse=True)
def onboarded() -> None:
    """Its rules are there, as ./strandline wrote them."""
    assert SERVER.file("/etc/nftables.conf").exists(), "test_d_troubled.py onboards it"


@pytest.fixture
def lan() -> Iterator[Network]:
    with network(SERVER) as made:
        yield made


def dhcp_server(lan: Network) -> str:
    """Start a DHCP server for both families that also advertises the router; returns the path of its log."""
    log = "/run/dnsmasq-test.log"
    lan.router.check(
        "dnsmasq", "--conf-file=/dev/null", "--interface=eth0", "--bind-interfaces", "--port=0",
        "--pid-file=/run/dnsmasq-test.pid", "--dhcp-leasefile=/run/dnsmasq-test.leases",
        "--dhcp-range=198.18.5.100,198.18.5.200,2m", "--dhcp-range=2001:db8:5::100,2001:db8:5::1ff,64,2m",
        "--enable-ra", "--log-dhcp", f"--log-facility={log}", "--dhcp-authoritative",
    )  # fmt: skip
    return log


def said(server: Server, log: str, word: str) -> int:
    """How often the DHCP server's log has a word."""
    return int(server.inside("sh", "-c", f"grep -c '{word}' {log} || true"))


def renew(lan: Network, log: str, family: str, answer: str) -> None:
    """Have the client renew its lease at once; the server must have heard and answered."""
    before = said(SERVER, log, answer)
    lan.host.check("dhcpcd", family, "--renew", "eth0")
    assert poll(lambda: said(SERVER, log, answer) > before, seconds=20), SERVER.inside("cat", log)


def test_leases_are_renewed_over_both_families(lan: Network) -> None:
    """A renewal goes from the client to the server that gave the lease, and its answer comes back."""
    SERVER.inside("rm", "-f", "/run/dnsmasq-test.log")
    log = dhcp_server(lan)
    own = "/run/dhcpcd-test.log"
    # It sets parameters of its card, which a container may not unless /proc/sys is opened for it.
    ask = f"umount /proc/sys; exec dhcpcd --nobackground --noarp --nohook resolv.conf --ia_na eth0 >{own} 2>&1"
    client = lan.host.start("sh", "-c", ask)
    try:
        assert poll(lambda: lan.host.addresses("4"), seconds=60), SERVER.inside("cat", log, own)
        leased = poll(lambda: any(":5::1" in each for each in lan.host.addresses("6")), seconds=60)
        assert leased, SERVER.inside("cat", log, own)
        renew(lan, log, "-4", "DHCPACK")
        renew(lan, log, "-6", "DHCPREPLY")
        # Both are the client's to keep: it heard the answers.
        time.sleep(1)
        lifetimes = lan.host.check("ip", "-o", "address", "show", "dev", "eth0", "scope", "global")
        for line in lifetimes.splitlines():
            assert int(line.split("valid_lft ")[1].split("sec")[0]) > 100, lifetimes
    finally:
        client.kill()
        client.communicate()


def test_a_switch_that_asks_who_listens_goes_on_delivering(lan: Network) -> None:
    """IPv6 finds a neighbour by multicast, which a snooping switch sends to those alone who reported."""
    lan.host.check("ip", "address", "add", "2001:db8:5::2/64", "dev", "eth0")
    assert poll(lambda: lan.host.addresses("6"), seconds=10)
    # A first one may be flooded, for the switch has just begun to ask.
    time.sleep(4)
    lan.router.run("ip", "neigh", "flush", "dev", "eth0")
    answered = lan.router.run("ping", "-6", "-c", "4", "-i", "0.3", "-W", "2", "2001:db8:5::2")
    assert " 0% packet loss" in answered.stdout, answered.stdout
    groups = SERVER.inside("ip", "netns", "exec", "switch", "bridge", "mdb", "show")
    assert "ff02::1:ff00:2" in groups, groups


def test_a_flood_of_sources_fills_no_table_and_the_administrator_enters(lan: Network) -> None:
    lan.host.check("ip", "address", "add", "198.18.5.2/24", "dev", "eth0")
    lan.host.check("ip", "route", "add", "default", "via", "198.18.5.1")
    listener = lan.host.start("python3", "-c", ANSWERER)
    admin = lan.host.start("python3", "-m", "http.server", str(ADMIN_PORT))
    try:
        assert listener.stdout
        assert "ready" in listener.stdout.readline()
        assert "SIP/2.0 401" in lan.router.check("python3", "-c", ASKER)
        lan.router.check("python3", "-c", FLOODER, seconds=120)
        tracked = int(lan.host.check("cat", "/proc/sys/net/netfilter/nf_conntrack_count"))
        assert tracked < 50, tracked
        reached = int(
            lan.host.check(
                "sh",
                "-c",
                "nft list chain inet strandline input"
                " | sed -n 's/.*udp dport 5060 counter packets \\([0-9]*\\).*/\\1/p'",
            )
        )
        assert reached > FLOOD // 2, "the flood did not come"
        enter = f"import urllib.request as u; print(u.urlopen('http://198.18.5.2:{ADMIN_PORT}/', timeout=5).status)"
        assert "200" in lan.router.check("python3", "-c", enter)
        # As soon as the set of those to answer has room again.
        assert "SIP/2.0 401" in lan.router.check("python3", "-c", ASKER)
    finally:
        for process in (listener, admin):
            process.kill()
            process.communicate()


def test_a_listener_that_was_taken_over_finds_no_way_out(lan: Network) -> None:
    """From its own port, over UDP and TCP, to somebody who never asked: nothing arrives."""
    lan.host.check("ip", "address", "add", "198.18.5.2/24", "dev", "eth0")
    other = lan.router.start("python3", "-c", LISTENER)
    assert other.stdout
    assert "ready" in other.stdout.readline()
    lan.host.check("python3", "-c", SPEAKER)
    heard, _ = other.communicate(timeout=20)
    assert heard.strip() == "nothing"
