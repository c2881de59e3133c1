"""What the record reads from packets, against bytes written by hand from the RFCs."""

from __future__ import annotations

import base64
import random
import struct

import pytest
from strandline.event.line import Event
from strandline.protocols.ntp.session import event_of
from strandline.protocols.proto41 import session as proto41
from strandline.protocols.smtp.session import Session as SmtpSession
from strandline.protocols.telnet.session import Session
from strandline_scanner import wire


def question(name: bytes, qtype: int = 1, qclass: int = 1) -> bytes:
    """A name in wire format, type, class."""
    return name + struct.pack("!HH", qtype, qclass)


def header(flags: int = 0x0100, counts: tuple[int, int, int, int] = (1, 0, 0, 0), ident: int = 4660) -> bytes:
    """A DNS header."""
    return struct.pack("!6H", ident, flags, *counts)


def opt(size: int = 1232, ttl: int = 0, rdata: bytes = b"") -> bytes:
    """An OPT record (RFC 6891, section 6.1.2)."""
    return b"\0" + struct.pack("!HHIH", 41, size, ttl, len(rdata)) + rdata


EXAMPLE = b"\x07Example\x03com\0"


def test_escape() -> None:
    assert wire.escape(b'a"b\\c\x00\x7f\xff~ ') == r"a\x22b\x5cc\x00\x7f\xff~ "


def test_value_is_cut_by_raw_bytes() -> None:
    assert wire.value("user", b"\xff" * 256) == {"user": r"\xff" * 256}
    assert wire.value("user", b"\xff" * 300) == {"user": r"\xff" * 256, "user_length": 300}


def test_dns_query() -> None:
    message = wire.dns(header(0x0130) + question(EXAMPLE, 255))
    assert message.reason == "-"
    assert message.qname == b"Example.com."
    assert message.fields == {
        "id": "4660", "opcode": "0", "rd": "1", "cd": "1", "ad": "1", "edns": "-", "udpsize": "-", "do": "0",
        "ecs": "0", "cookie": "0", "qclass": "IN", "qtype": "ANY",
    }  # fmt: skip


def test_dns_edns() -> None:
    options = struct.pack("!HH", 10, 24) + b"c" * 8 + b"s" * 16 + struct.pack("!HH", 8, 4) + b"\0\1\0\0"
    message = wire.dns(header(0, (1, 0, 0, 1)) + question(EXAMPLE, 65300, 77) + opt(4096, 0x00018000, options))
    assert message.cookie == b"c" * 8 + b"s" * 16
    assert message.fields | {"edns": "1", "udpsize": "4096", "do": "1", "ecs": "1", "cookie": "1"} == message.fields
    assert (message.fields["qtype"], message.fields["qclass"]) == ("TYPE65300", "CLASS77")


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "short"),
        (header()[:11], "short"),
        (header(0x8180) + question(EXAMPLE), "response"),
        (header(0x1000, (0, 0, 0, 0)), "opcode"),
        (header(0x0100, (0, 0, 0, 0)), "question"),
        (header(0x0100, (2, 0, 0, 0)) + question(EXAMPLE) * 2, "question"),
        (header() + question(EXAMPLE)[:-1], "malformed"),
        (header() + question(EXAMPLE) + b"x", "malformed"),
        (header() + question(b"\xc0\x0c"), "malformed"),
    ],
)
def test_dns_that_is_no_query(raw: bytes, reason: str) -> None:
    assert wire.dns(raw).reason == reason


def test_dns_name_with_every_special_byte() -> None:
    label = b' a".;@$()\\\x00\xff\n~'
    raw = header() + question(bytes([len(label)]) + label + b"\0")
    assert wire.dns(raw).qname == rb"\032a\"\.\;\@\$\(\)\\\000\255\010~."


def test_dns_root() -> None:
    assert wire.dns(header() + question(b"\0")).qname == b"."


def test_dns_stream() -> None:
    one, two = header() + question(EXAMPLE), header(ident=7) + question(b"\0")
    stream = b"".join(struct.pack("!H", len(m)) + m for m in (one, two))
    assert wire.dns_messages(stream + b"\0\x30half") == [one, two]


REQUEST = (
    b"OPTIONS sip:100@192.0.2.1 SIP/2.0\r\nv: SIP/2.0/UDP 192.0.2.9:5060\r\nf: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n"
    b"i: 77\r\nCSeq: 1 OPTIONS\r\nuser-AGENT:  x \xff\r\nl: 0\r\n\r\n"
)


def test_sip_request() -> None:
    message = wire.sip(REQUEST)
    assert message is not None
    assert (message.method, message.uri, message.version) == (b"OPTIONS", b"sip:100@192.0.2.1", b"SIP/2.0")
    assert message.headers[b"from"] == b"<sip:a@b>;tag=1"
    assert message.headers[b"user-agent"] == b"x \xff"
    assert message.malformed(stream=False) == message.malformed(stream=True) == "-"


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        (REQUEST.replace(b"l: 0", b"l: 999"), "length"),
        (REQUEST.replace(b"v: SIP/2.0/UDP 192.0.2.9:5060\r\n", b""), "via"),
        (REQUEST.replace(b" SIP/2.0\r\n", b" SIP/7.0\r\n", 1), "version"),
        (REQUEST.removesuffix(b"\r\n"), "headers"),
        (REQUEST.replace(b"i: 77\r\n", b""), "headers"),
        (REQUEST.replace(b"1 OPTIONS", b"1 INVITE"), "headers"),
        (REQUEST.replace(b"\r\n", b"\n"), "-"),
        (REQUEST.replace(b"l: 0", b"l: 9").replace(b"v: SIP/2.0/UDP 192.0.2.9:5060\r\n", b""), "length+via"),
    ],
)
def test_sip_malformed(raw: bytes, wrong: str) -> None:
    message = wire.sip(raw)
    assert message is not None
    assert message.malformed(stream=False) == wrong


def test_sip_without_length_is_malformed_in_a_stream_alone() -> None:
    message = wire.sip(REQUEST.replace(b"l: 0\r\n", b""))
    assert message is not None
    assert (message.malformed(stream=False), message.malformed(stream=True)) == ("-", "length")


@pytest.mark.parametrize("raw", [b"", b"\r\n", b"SIP/2.0 200 OK\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x00\x01"])
def test_what_is_no_sip_request(raw: bytes) -> None:
    assert wire.sip(raw) is None


def test_sip_digest() -> None:
    head = b'Proxy-Authorization: Digest username="a\\"b", realm="x, y", nonce=abc, URI="sip:1", response="ff"\r\n'
    message = wire.sip(REQUEST.replace(b"l: 0\r\n", head))
    assert message is not None
    assert message.digest() == {
        b"username": b'a\\"b', b"realm": b"x, y", b"nonce": b"abc", b"uri": b"sip:1", b"response": b"ff",
    }  # fmt: skip


def test_sip_stream() -> None:
    body = REQUEST.replace(b"l: 0\r\n\r\n", b"l: 4\r\n\r\nv=0\n")
    assert wire.sip_messages(b"\r\n\r\n" + REQUEST + body + REQUEST) == [REQUEST, body, REQUEST]
    assert wire.sip_messages(b"\r\n\r\n") == []


def test_sip_nonces() -> None:
    challenges = b'WWW-Authenticate: Digest realm="a", nonce="n1"\r\nproxy-authenticate: Digest nonce="n2"\r\n'
    raw = b"SIP/2.0 401 x\r\n" + challenges + b'X: nonce="n3"\r\n\r\n'
    assert wire.nonces(raw) == {b"n1", b"n2"}


SERVER_38 = b"RFB 003.008\n\x02\x02\x01" + bytes(range(16))


@pytest.mark.parametrize(
    ("version", "negotiated"),
    [
        (b"003.003", "3.3"),
        (b"003.005", "3.3"),
        (b"003.007", "3.7"),
        (b"003.008", "3.8"),
        (b"003.889", "3.8"),
        (b"005.000", "3.8"),
    ],
)
def test_rfb_versions(version: bytes, negotiated: str) -> None:
    session = wire.rfb(b"RFB " + version + b"\n", b"RFB 003.008\n")
    assert session is not None
    assert session.negotiated == negotiated
    assert session.security_type is None


def test_rfb_authentication() -> None:
    session = wire.rfb(b"RFB 003.008\n\x02" + b"r" * 16, SERVER_38)
    assert session is not None
    assert (session.security_type, session.challenge, session.response) == (2, bytes(range(16)), b"r" * 16)
    old = wire.rfb(b"RFB 003.003\n" + b"r" * 16, b"RFB 003.008\n\0\0\0\2" + bytes(range(16)))
    assert old is not None
    assert (old.security_type, old.challenge, old.response) == (2, bytes(range(16)), b"r" * 16)


def test_rfb_none_and_half_a_response() -> None:
    none, half = wire.rfb(b"RFB 003.008\n\x01", SERVER_38), wire.rfb(b"RFB 003.008\n\x02rrr", SERVER_38)
    assert none is not None
    assert half is not None
    assert (none.security_type, none.response, half.security_type, half.response) == (1, b"", 2, b"")


def test_what_is_no_rfb() -> None:
    assert wire.rfb(b"GET / HTTP/1.0\r\n", SERVER_38) is None
    assert wire.rfb(b"RFB 003.008", SERVER_38) is None


def test_any_bytes_are_read_without_an_error() -> None:
    chance = random.Random(1)
    seeds = [REQUEST, header(0, (1, 0, 0, 1)) + question(EXAMPLE) + opt(), b"RFB 003.008\n\x02" + b"r" * 16]
    for _ in range(3000):
        raw = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 8)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        data = bytes(raw[: chance.randrange(len(raw) + 1)])
        wire.dns(data)
        wire.dns_messages(data)
        for message in wire.sip_messages(data):
            if request := wire.sip(message):
                request.malformed(stream=True)
                request.digest()
        wire.rfb(data, SERVER_38)


def as_row(event: Event) -> tuple[str, dict[str, str | int]]:
    """A listener's event as the database has it."""
    row: dict[str, str | int] = {name: text for name, text in event.trusted.items() if name != "verified"}
    for name, raw in event.values.items():
        row |= wire.value(name, raw)
    return event.name, row


TELNET = [
    b"",
    b"root\r\nadmin\r\n",
    b"\xff\xfb\x18\xff\xfa\x18\x00vt\xff\xff\xff\xf0ro\xff\xf1ot\r\0\r\0a\nb\rc\r\n",
    b"\xff\xfa\x27\x00\x00USER\x01-f root\xff\xf0\xff\xfd\x03",
    b"x\r\ny\r\n\xff\xfa\x18\x00late\xff\xf0x\r\ny\r\n",
    b"x\r\ny\r\nlast",
    b"x\r\ny\r\nlast\r\nhal",
    b"u" * 300 + b"\n\xff\xff\x80\n",
    b"GET / HTTP/1.0\r\n\r\n",
]


@pytest.mark.parametrize("sent", TELNET)
def test_telnet_is_read_as_the_listener_reads_it(sent: bytes) -> None:
    listener = Session("vm", "6.1", "192.0.2.7", 3.0)
    listener.begin()
    step = listener.feed(sent) if sent else None
    events = [*step.events] if step else []
    events += [] if step and step.close else listener.end("closed")
    assert sorted(wire.telnet(sent), key=str) == sorted(map(as_row, events), key=str)


MAIL = b"EHLO x\r\nMAIL FROM:<a@b> SIZE=9\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n"
SMTP = [
    b"",
    b"QUIT\r\n",
    b"EHLO a b\r\nNOOP\r\nHELO c\r\nQUIT\r\n",
    b"HELO \xff\r\nVRFY root\r\nEXPN x\r\nHELP\r\nSTARTTLS\r\nETRN x\r\nfoo",
    b"AUTH PLAIN AHUAcA==\r\nAUTH PLAIN\r\nAHUAcA==\r\nAUTH LOGIN\r\ndQ==\r\ncA==\r\nAUTH LOGIN dQ==\r\ncA==\r\n",
    MAIL,
    MAIL + b"RSET\r\nMAIL FROM:<>\r\nQUIT\r\n",
    MAIL + b"DATA\r\n.\r\nQUIT\r\n",
    MAIL + b"DATA\r\nSubject: x\r\nTO:  y\r\nX-Mailer: z\r\nSubject: w\r\n\r\nFrom: no\r\n..\r\n..x\r\n.\r\nQUIT\r\n",
    MAIL + b"DATA\r\nSubject: x\n\na\n.\nb\r\n.\nc\n.\r\nd\r.\re\r.\r\nf\r\n.\r\r\n\r\n.\r\nNOOP\r\n",
    MAIL + b"DATA\r\nSubject: " + b"x" * 700 + b"\r\n\r\nhalf",
    MAIL + b"BDAT 9\r\nSubject: BDAT 7 LAST\r\nx\r\n\r\n.\nQUIT\r\n",
    MAIL + b"BDAT 3\r\nx\r\nRSET\r\n",
    MAIL + b"BDAT 9 LAST\r\nx",
    b"GET / HTTP/1.0\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\x01",
]


@pytest.mark.parametrize("sent", SMTP)
def test_smtp_is_read_as_the_listener_reads_it(sent: bytes) -> None:
    listener = SmtpSession(b"vm")
    received = listener.begin().send
    step = listener.feed(sent) if sent else None
    events = [*step.events] if step else []
    received += step.send if step else b""
    events += [] if step and step.close else listener.end("closed")
    assert wire.smtp(sent, received) == [*map(as_row, events)]


def test_the_challenge_of_smtp_is_the_servers() -> None:
    listener = SmtpSession(b"vm")
    received = listener.begin().send
    received += listener.feed(b"AUTH CRAM-MD5\r\n").send
    sent = base64.b64encode(b"u " + b"0f" * 16) + b"\r\n"
    (event,) = listener.feed(sent).events
    assert wire.smtp(b"AUTH CRAM-MD5\r\n" + sent, received) == [as_row(event)]


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x23", bytes([0x23]) + bytes(47), b"\xe3\x00\x04\xfa" + bytes(64), b"\x17\x00\x03\x2a",
     b"\x16\x02" + bytes(10), b"\x16", b"\x16\x82", b"\x97\x00\x03\x2a", b"\x24" + bytes(47),
     b"\r\n\r\n", b"GET / HTTP/1.0\r\n", bytes(300)],
)  # fmt: skip
def test_ntp_is_read_as_the_listener_reads_it(raw: bytes) -> None:
    assert wire.ntp(raw) == as_row(event_of(raw))


def ipv6(kind: int, payload: bytes) -> bytes:
    return bytes([0x60, 0, 0, 0, 0, len(payload), kind, 64]) + bytes(range(32)) + payload


@pytest.mark.parametrize(
    "raw",
    [b"", ipv6(58, b"")[:39], b"\x45" + bytes(60), ipv6(17, b"x" * 200),
     ipv6(0, b"\x3c" + bytes(7) + b"\x11" + bytes(7)), ipv6(44, b"\x3a\x00\x00\x01" + bytes(12)),
     ipv6(44, b"\x3c\x00\x00\x08" + bytes(12)), ipv6(51, b"\x06\x04" + bytes(22)), ipv6(0, bytes(5)),
     ipv6(60, b"\x3a\xff" + bytes(100)), ipv6(60, (b"\x3c" + bytes(7)) * 30),
     ipv6(60, (b"\x3c" + bytes(7)) * 6 + b"\x3a" + bytes(7)), ipv6(60, (b"\x3c" + bytes(7)) * 7 + b"\x3a" + bytes(7))],
)  # fmt: skip
def test_ipv6_in_ipv4_is_read_as_the_listener_reads_it(raw: bytes) -> None:
    assert wire.proto41(raw) == as_row(proto41.event_of(raw))
