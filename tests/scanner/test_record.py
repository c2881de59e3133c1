"""From packets to flows, from flows and a client's words to rows."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest
from strandline_scanner import clients, expect, player, script
from strandline_scanner.capture import ACK, FIN, RST, SYN, Capture, Flow, Stream

US, THEM = "198.19.100.1", "198.19.1.11"
SECOND = 1_000_000_000


class Tap(Capture):
    """A capture that is fed by hand instead of by the kernel."""

    def __init__(self) -> None:
        import threading  # noqa: PLC0415

        self._sources, self._flows, self._lock = frozenset([US]), {THEM: {}}, threading.Lock()


def ip(protocol: int, source: str, destination: str, body: bytes, fragment: int = 0) -> bytes:
    """An IPv4 packet with four bytes of padding behind it, as Ethernet makes it."""
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, fragment, 64, protocol, 0)
    return head + socket.inet_aton(source) + socket.inet_aton(destination) + body + b"pad!"


def tcp(sport: int, dport: int, seq: int, flags: int, data: bytes = b"") -> bytes:
    """A TCP segment with options."""
    return struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, 0, 6 << 4, flags, 1, 0, 0) + b"opti" + data


def udp(sport: int, dport: int, data: bytes) -> bytes:
    """A UDP datagram."""
    return struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data


def connection(tap: Tap, sport: int, dport: int, said: bytes, heard: bytes = b"", start: int = 0xFFFFFFF0) -> None:
    """A whole connection, with a segment sent twice, out of order and over the end of the sequence numbers."""

    def out(seq: int, flags: int, data: bytes = b"", time: int = SECOND) -> None:
        tap.packet(ip(6, US, THEM, tcp(sport, dport, start + seq, flags, data)), time, True)

    out(0, SYN)
    out(0, SYN, time=2 * SECOND)
    tap.packet(ip(6, THEM, US, tcp(dport, sport, 500, SYN | ACK)), 2 * SECOND, False)
    out(1, ACK)
    tap.packet(ip(6, THEM, US, tcp(dport, sport, 501, ACK, heard)), 3 * SECOND, False)
    half = len(said) // 2
    out(1 + half, ACK, said[half:], 4 * SECOND)
    out(1, ACK, said[:half], 5 * SECOND)
    out(1, ACK, said[:half], 5 * SECOND)
    out(1 + len(said), FIN | ACK, time=6 * SECOND)


def deriver() -> expect.Deriver:
    return expect.Deriver("sensor1", dict(player.PORTS))


def test_stream_with_gaps_and_overlaps() -> None:
    stream = Stream(100)
    for seq, data in ((100, b"abc"), (102, b"cde"), (109, b"late"), (99, b"before")):
        stream.add(seq, data)
    assert stream.data() == b"abcde"


def test_tcp_flow() -> None:
    tap = Tap()
    connection(tap, 40000, 22, b"SSH-2.0-Go\r\n", b"SSH-2.0-OpenSSH\r\n")
    (flow,) = tap.take(THEM)
    assert (flow.proto, flow.saddr, flow.sport, flow.daddr, flow.dport) == ("tcp", US, 40000, THEM, 22)
    assert flow.sent.data() == b"SSH-2.0-Go\r\n"
    assert flow.received.data() == b"SSH-2.0-OpenSSH\r\n"
    assert (flow.first, flow.last) == (SECOND, 6 * SECOND)
    assert flow.established
    assert tap.take(THEM) == []


def test_a_scan_without_handshake_is_no_connection() -> None:
    tap = Tap()
    tap.packet(ip(6, US, THEM, tcp(40000, 22, 1, SYN)), 1, True)
    tap.packet(ip(6, THEM, US, tcp(22, 40000, 9, SYN | ACK)), 2, False)
    tap.packet(ip(6, US, THEM, tcp(40000, 22, 2, RST)), 3, True)
    flows = tap.take(THEM)
    assert not flows[0].established
    assert deriver().rows(flows) == []


def test_the_same_port_twice_is_two_flows() -> None:
    tap = Tap()
    connection(tap, 40000, 22, b"SSH-2.0-A\r\n", start=1000)
    connection(tap, 40000, 22, b"SSH-2.0-B\r\n", start=90000)
    assert [flow.sent.data() for flow in tap.take(THEM)] == [b"SSH-2.0-A\r\n", b"SSH-2.0-B\r\n"]


def test_packets_of_others_and_late_ones_are_left_out() -> None:
    tap = Tap()
    tap.packet(ip(6, US, "198.19.9.9", tcp(1, 22, 1, SYN)), 1, True)
    tap.packet(ip(17, "198.19.9.9", THEM, udp(1, 53, b"x")), 1, True)
    tap.packet(ip(6, US, THEM, tcp(40000, 22, 7, ACK, b"tail of an earlier connection")), 1, True)
    tap.packet(ip(17, THEM, US, udp(53, 40000, b"late answer")), 1, False)
    tap.packet(b"\x60" + bytes(60), 1, True)
    tap.packet(b"short", 1, True)
    assert tap.take(THEM) == []


def test_fragments_are_noticed() -> None:
    tap = Tap()
    tap.packet(ip(17, US, THEM, udp(40000, 5060, b"OPTIONS"), fragment=0x2000), 1, True)
    tap.packet(ip(17, US, THEM, b"rest of it", fragment=0x00B9), 2, True)
    (flow,) = tap.take(THEM)
    assert flow.fragmented
    action = script.Action("x", "", lambda _: clients.Outcome("x"))
    assert "fragments" in player.shortfall(action, [flow], [], clients.Outcome("x"), 22, US)


def test_ssh_rows() -> None:
    tap = Tap()
    connection(tap, 40000, 22, b"SSH-2.0-Go\r\nbinary")
    connection(tap, 40001, 22, b"SSH-2.0-libssh2_1\r\n")
    rows = deriver().rows(
        tap.take(THEM),
        [[expect.none(b"root"), expect.password(b"root", b"\xff")]],
        {b"SSH-2.0-libssh2": [expect.none(b"admin")]},
    )
    assert [(row.event, row.sport) for row in rows] == [
        ("ssh.client", 40000),
        ("ssh.method", 40000),
        ("ssh.password", 40000),
        ("ssh.client", 40001),
        ("ssh.method", 40001),
    ]
    assert rows[0].data == {"valid": "yes", "ident": "SSH-2.0-Go"}
    assert rows[2].data == {"method": "password", "user": "root", "password": r"\xff"}
    assert rows[4].data == {"user": "admin", "method": "none"}
    assert (rows[0].not_before, rows[0].not_after) == ("1970-01-01T00:00:01.000000Z", "1970-01-01T00:00:06.000000Z")
    assert all(row.verified and row.sensor == "sensor1" for row in rows)


@pytest.mark.parametrize(
    ("said", "valid", "ident"),
    [
        (b"", "no", ""),
        (b"SSH-2.0-Go", "no", "SSH-2.0-Go"),
        (b"SSH-1.5-x\n", "no", "SSH-1.5-x"),
        (b"SSH-1.99-x\n", "yes", "SSH-1.99-x"),
        (b"GET / HTTP/1.0\r\n\r\n", "no", "GET / HTTP/1.0"),
    ],
)
def test_ssh_identification(said: bytes, valid: str, ident: str) -> None:
    tap = Tap()
    connection(tap, 40000, 22, said)
    (row,) = deriver().rows(tap.take(THEM))
    assert row.data == {"valid": valid, "ident": ident}


QUERY = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 1) + b"\x01a\0" + struct.pack("!HH", 1, 1)


def with_cookie(cookie: bytes, flags: int = 0x0100) -> bytes:
    """A query, or an answer, with a cookie option."""
    rdata = struct.pack("!HH", 10, len(cookie)) + cookie
    return (
        QUERY[:2] + struct.pack("!H", flags) + QUERY[4:] + b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(rdata)) + rdata
    )


def test_a_cookie_that_came_back_proves_the_source() -> None:
    tap, state, cookie = Tap(), deriver(), b"c" * 8 + b"s" * 16
    for time, payload, sent in (
        (1, with_cookie(cookie), True),
        (2, with_cookie(cookie, 0x8100), False),
        (3, with_cookie(cookie), True),
    ):
        packet = ip(17, US, THEM, udp(40000, 53, payload)) if sent else ip(17, THEM, US, udp(53, 40000, payload))
        tap.packet(packet, time * SECOND, sent)
    rows = state.rows(tap.take(THEM))
    assert [(row.event, row.verified, row.not_before[17:19]) for row in rows] == [
        ("dns.query", False, "01"), ("dns.query", True, "03"),
    ]  # fmt: skip


def test_each_datagram_is_a_row() -> None:
    tap = Tap()
    for payload in (b"\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n", b"OPTIONS sip:x SIP/2.0\r\n\r\n", b"\x00"):
        tap.packet(ip(17, US, THEM, udp(40000, 5060, payload)), SECOND, True)
    rows = deriver().rows(tap.take(THEM))
    assert [(row.event, row.data.get("reason", row.data.get("malformed"))) for row in rows] == [
        ("sip.malformed", "garbage"),
        ("sip.malformed", "response"),
        ("sip.request", "via+headers"),
        ("sip.malformed", "garbage"),
    ]


def test_a_nonce_that_came_back_proves_the_source() -> None:
    tap = Tap()
    request = b'REGISTER sip:x SIP/2.0\r\nAuthorization: Digest username="1", nonce="%s"\r\n\r\n'
    tap.packet(ip(17, US, THEM, udp(40000, 5060, request % b"ours")), 1, True)
    tap.packet(
        ip(17, THEM, US, udp(5060, 40000, b'SIP/2.0 401 No\r\nWWW-Authenticate: Digest nonce="theirs"\r\n\r\n')),
        2,
        False,
    )
    tap.packet(ip(17, US, THEM, udp(40000, 5060, request % b"theirs")), 3, True)
    assert [row.verified for row in deriver().rows(tap.take(THEM))] == [False, True]


def test_vnc_rows() -> None:
    tap = Tap()
    connection(tap, 40000, 5900, b"RFB 003.008\n\x02" + b"r" * 16, b"RFB 003.008\n\x02\x02\x01" + b"c" * 16)
    connection(tap, 40001, 5900, b"")
    connection(tap, 40002, 5900, b"nonsense")
    rows = deriver().rows(tap.take(THEM))
    assert [row.event for row in rows] == ["vnc.client", "vnc.security", "vnc.auth", "vnc.malformed", "vnc.malformed"]
    assert rows[2].data == {"version": "3.8", "challenge": "63" * 16, "response": "72" * 16}
    assert [row.data for row in rows[3:]] == [
        {"reason": "closed", "data": ""},
        {"reason": "garbage", "data": "nonsense"},
    ]


OPENSSH_LOG = """
debug1: Local version string SSH-2.0-OpenSSH_10.0p2 Debian-7
debug3: send packet: type 5
debug3: send packet: type 50
debug3: receive packet: type 51
debug1: Next authentication method: publickey
debug1: Offering public key: /home/operator/id_ed25519 ED25519 SHA256:AAAA explicit
debug3: send packet: type 50
debug2: we sent a publickey packet, wait for reply
debug1: Next authentication method: keyboard-interactive
debug3: send packet: type 50
debug3: receive packet: type 60
debug3: send packet: type 61
debug1: Next authentication method: password
debug3: send packet: type 50
debug2: we sent a password packet, wait for reply
"""


def test_openssh_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "fingerprint", lambda _: "SHA256:AAAA")
    attempts = clients.ssh_attempts(OPENSSH_LOG, b"root", [b"one", b"two"], Path("/work"))
    assert [(a.event, a.data.get("method"), a.data.get("password")) for a in attempts] == [
        ("ssh.method", "none", None),
        ("ssh.key", "publickey", None),
        ("ssh.password", "keyboard-interactive", "one"),
        ("ssh.password", "password", "two"),
    ]
    assert attempts[1].data["fingerprint"] == "SHA256:AAAA"


def flow(saddr: str = US, dport: int = 22, established: bool = True) -> Flow:
    return Flow("tcp", saddr, 40000, THEM, dport, 1, 2, bytes=9, established=established)


@pytest.mark.parametrize(
    ("flows", "outcome", "reason"),
    [
        ([], clients.Outcome("ssh"), "no packet left"),
        ([flow("198.19.100.2")], clients.Outcome("ssh"), "198.19.100.2 instead"),
        ([flow()], clients.Outcome("ssh", attempts=[[], []]), "1 SSH connections where the client tells of 2"),
        ([flow()], clients.Outcome("ssh", attempts=[[]]), "no ssh.password with"),
    ],
)
def test_an_action_that_falls_short(flows: list[Flow], outcome: clients.Outcome, reason: str) -> None:
    action = script.Action("x", "", lambda _: outcome, least=(("ssh.password", {"user": "root"}),))
    assert reason in player.shortfall(action, flows, [], outcome, 22, US)


def test_plan() -> None:
    text = '{"sensors": [{"name": "s", "addresses": ["192.0.2.1"]}], "sources": ["192.0.2.9"], "ports": {"ssh": 2222}}'
    plan = player.Plan.read(text)
    assert plan.sensors == {"s": ["192.0.2.1"]}
    assert plan.ports == {**player.PORTS, "ssh": 2222}


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"sensors": [], "sources": ["192.0.2.9"]}',
        '{"sensors": [{"name": "s", "addresses": []}], "sources": ["192.0.2.9"]}',
        '{"sensors": [{"name": "s", "addresses": ["no"]}], "sources": ["192.0.2.9"]}',
        '{"sensors": [{"name": "s", "addresses": ["192.0.2.9"]}], "sources": ["192.0.2.9"]}',
        '{"sensors": [{"name": "s", "addresses": ["2001:db8::1"]}], "sources": ["192.0.2.9"]}',
    ],
)  # fmt: skip
def test_a_plan_that_can_not_be_played(text: str) -> None:
    with pytest.raises(player.PlanError):
        player.Plan.read(text)


def test_positions() -> None:
    assert player.positions("a", ["a", "b", "c"]) == {"each", "first"}
    assert player.positions("b", ["a", "b", "c"]) == {"each"}
    assert player.positions("c", ["a", "b", "c"]) == {"each", "last"}
    assert player.positions("a", ["a"]) == {"each", "first", "last"}


def test_select() -> None:
    assert {action.name for action in player.select(["dig-a*"])} == {"dig-any"}
    assert player.select([]) == script.ACTIONS
    with pytest.raises(player.PlanError, match="--list"):
        player.select(["nothing*"])


def test_action_names_are_unique_and_say_what_they_are_for() -> None:
    names = [action.name for action in script.ACTIONS]
    assert len(set(names)) == len(names)
    assert all(action.help and action.where in ("each", "first", "last") for action in script.ACTIONS)
