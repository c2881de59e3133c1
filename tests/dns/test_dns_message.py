"""Reading what anybody sends to port 53 (files/native/bind/dns_message.c), compiled and called through ctypes."""

from __future__ import annotations

import ctypes
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from dns_wire import (
    AD,
    ANY,
    AXFR,
    CD,
    CH,
    COOKIE,
    ECS,
    EXAMPLE,
    IN,
    NS,
    PADDING,
    QR,
    RD,
    SOA,
    TC,
    TXT,
    VERSION,
    A,
    header,
    noise,
    opt,
    option,
    question,
    record,
    wire_name,
)

BIND = Path(__file__).parents[2] / "files" / "native" / "bind"
CC = shutil.which("cc")
KINDS = ["-", "short", "response", "opcode", "question", "malformed"]
"""enum dns_request_kind by the word of dns_request_reason."""

pytestmark = pytest.mark.skipif(CC is None, reason="no C compiler (package gcc)")


class Request(ctypes.Structure):
    """struct dns_request"""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("length", ctypes.c_size_t),
        ("id", ctypes.c_uint16),
        ("opcode", ctypes.c_uint16),
        ("rd", ctypes.c_bool),
        ("cd", ctypes.c_bool),
        ("ad", ctypes.c_bool),
        ("has_question", ctypes.c_bool),
        ("qname", ctypes.c_uint8 * 255),
        ("qname_length", ctypes.c_size_t),
        ("qtype", ctypes.c_uint16),
        ("qclass", ctypes.c_uint16),
        ("has_edns", ctypes.c_bool),
        ("edns_version", ctypes.c_uint8),
        ("udpsize", ctypes.c_uint16),
        ("dnssec_ok", ctypes.c_bool),
        ("ecs", ctypes.c_bool),
        ("cookie", ctypes.c_bool),
    )

    @property
    def reason(self) -> str:
        """Why it is no query."""
        return KINDS[int(self.kind)]

    @property
    def name(self) -> bytes:
        """The first question's name, in wire format."""
        return bytes(self.qname)[: self.qname_length]


class Library:
    """The functions of dns_message.h on bytes."""

    def __init__(self, path: Path) -> None:
        self.c = ctypes.CDLL(str(path))
        self.c.dns_name_text.restype = self.c.dns_reply_cut.restype = ctypes.c_size_t
        self.c.dns_request_reason.restype = ctypes.c_char_p

    def parse(self, message: bytes) -> Request:
        """Read a message."""
        request = Request()
        self.c.dns_request_parse(message, ctypes.c_size_t(len(message)), ctypes.byref(request))
        assert self.c.dns_request_reason(request.kind).decode() == request.reason
        assert request.length == len(message)
        return request

    def text(self, name: bytes) -> bytes:
        """Presentation format of a name in wire format."""
        out = ctypes.create_string_buffer(1024)
        length = self.c.dns_name_text(name, ctypes.c_size_t(len(name)), out)
        return out.raw[:length]

    def cut(self, reply: bytes, limit: int) -> bytes:
        """Shorten a reply."""
        buffer = ctypes.create_string_buffer(reply, len(reply))
        length = self.c.dns_reply_cut(buffer, ctypes.c_size_t(len(reply)), ctypes.c_size_t(limit))
        return buffer.raw[:length]


def build(directory: Path, name: str, *arguments: str) -> Path:
    """Compile dns_message.c with warnings as errors."""
    assert CC is not None
    out = directory / name
    warnings = ["-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    subprocess.run([CC, *warnings, "-g", "-I", str(BIND), "-o", str(out), *arguments], check=True)
    return out


@pytest.fixture(scope="session")
def dns(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """The compiled functions."""
    folder = tmp_path_factory.mktemp("dns")
    return Library(build(folder, "dns_message.so", "-shared", "-fPIC", str(BIND / "dns_message.c")))


def test_a_query(dns: Library) -> None:
    """Every field of a plain query."""
    got = dns.parse(header(flags=RD | CD) + question(EXAMPLE, ANY, CH))
    assert (got.reason, got.id, got.opcode, got.rd, got.cd, got.ad) == ("-", 0x1234, 0, True, True, False)
    assert (got.has_question, got.name, got.qtype, got.qclass) == (True, EXAMPLE, ANY, CH)
    assert not got.has_edns
    assert [got.dnssec_ok, got.ecs, got.cookie] == [False] * 3


def test_edns(dns: Library) -> None:
    """Every field of OPT."""
    options = option(ECS, b"\0\1\x18\0\1\2\3") + option(COOKIE, b"ABCDEFGH") + option(PADDING, b"")
    got = dns.parse(header(extra=1, flags=AD) + question(EXAMPLE) + opt(options, 4096, 1, do=True))
    assert (got.reason, got.rd, got.ad) == ("-", False, True)
    assert (got.has_edns, got.edns_version, got.udpsize, got.dnssec_ok) == (True, 1, 4096, True)
    assert (got.ecs, got.cookie) == (True, True)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        pytest.param(b"", "short", id="empty"),
        pytest.param(b"\0" * 11, "short", id="11 bytes"),
        pytest.param(b"OPTIONS sip:100@192.0.2.1 SIP/2.0\r\n\r\n", "opcode", id="SIP"),
        pytest.param(header(flags=QR) + question(EXAMPLE), "response", id="response"),
        pytest.param(header(flags=4 << 11) + question(EXAMPLE, SOA), "opcode", id="NOTIFY"),
        pytest.param(header(0), "question", id="no question"),
        pytest.param(header(2) + question(EXAMPLE) * 2, "question", id="two questions"),
        pytest.param(header(), "malformed", id="question missing"),
        pytest.param(header() + EXAMPLE + b"\0\1\0", "malformed", id="class cut"),
        pytest.param(header() + question(b"\xc0\x0c"), "malformed", id="pointer to itself"),
        pytest.param(header() + question(b"\xc0\x20"), "malformed", id="pointer forward"),
        pytest.param(header() + question(b"\xc0"), "malformed", id="half a pointer"),
        pytest.param(header() + question(b"\x41" + b"a" * 65 + b"\0"), "malformed", id="label type 01"),
        pytest.param(header() + question(b"\x3f" + b"a" * 5), "malformed", id="label cut"),
        pytest.param(header() + question(wire_name(*[b"a" * 63] * 4)), "malformed", id="name of 257 bytes"),
        pytest.param(header(extra=1) + question(EXAMPLE), "malformed", id="OPT missing"),
        pytest.param(header(extra=2) + question(EXAMPLE) + opt() * 2, "malformed", id="two OPT"),
        pytest.param(header(answers=1) + question(EXAMPLE) + opt(), "malformed", id="OPT as an answer"),
        pytest.param(header(extra=1) + question(EXAMPLE) + opt(b"\0\x0a\0"), "malformed", id="option cut"),
        pytest.param(header(extra=1) + question(EXAMPLE) + opt(b"\0\x0a\0\x09abc"), "malformed", id="option too long"),
        pytest.param(header(extra=1) + question(EXAMPLE) + record(EXAMPLE, 41, b""), "malformed", id="OPT with a name"),
        pytest.param(header(65535) + question(EXAMPLE), "malformed", id="65535 questions"),
        pytest.param(header() + question(EXAMPLE, AXFR), "-", id="AXFR"),
        pytest.param(header() + question(EXAMPLE, A, 4), "-", id="class HS"),
        pytest.param(header() + question(b"\0", NS), "-", id="root"),
        pytest.param(header() + question(EXAMPLE) + b"GARBAGE", "-", id="bytes after it: named answers"),
        pytest.param(header() + question(wire_name(*[b"a" * 63] * 3, b"b" * 61)), "-", id="name of 255 bytes"),
        pytest.param(
            header(authority=1) + question(EXAMPLE) + record(b"\xc0\x0c", SOA, b"\0" * 22), "-", id="IXFR's SOA"
        ),
    ],
)
def test_kinds(dns: Library, message: bytes, reason: str) -> None:
    """A query, or what is wrong with it."""
    assert dns.parse(message).reason == reason


def test_the_question_of_what_is_no_query(dns: Library) -> None:
    """It is told as far as it could be read."""
    got = dns.parse(header(2) + question(EXAMPLE, TXT) + b"\xff")
    assert (got.reason, got.has_question, got.name, got.qtype) == ("malformed", True, EXAMPLE, TXT)
    assert not dns.parse(header() + b"\x07trunc").has_question


def test_pointers_are_bounded(dns: Library) -> None:
    """Thousands of names that each lead through thousands of pointers take no time."""
    chain = b"".join(struct.pack("!H", 0xC000 | max(12, 10 + 2 * i)) for i in range(1, 8000))
    bomb = header(1, answers=4000) + question(b"\0") + record(b"\0", 10, chain[:16000])
    bomb += b"".join(record(struct.pack("!H", 0xC000 | 16000), 10, b"") for _ in range(3900))
    assert dns.parse(bomb).reason == "malformed"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"\0", b"."),
        (EXAMPLE, b"www.Example.com."),
        (wire_name(b"a b"), rb"a\032b."),
        (wire_name(b"a.b", b"c\\d"), rb"a\.b.c\\d."),
        (wire_name(b'x"y;z(@)$'), rb"x\"y\;z\(\@\)\$."),
        (wire_name(b"nl\n\r\0\x7f\xff"), rb"nl\010\013\000\127\255."),
        (wire_name(b"10.9.9.9#5555 (x): query: evil"), rb"10\.9\.9\.9#5555\032\(x\):\032query:\032evil."),
    ],
)
def test_presentation_format(dns: Library, name: bytes, text: bytes) -> None:
    """RFC 1035, section 5.1, and what a zone file treats specially."""
    assert dns.text(name) == text


def test_the_longest_name_fits(dns: Library) -> None:
    """No name is cut: it takes at most 1005 bytes of the 1024 that the catalogue allows."""
    text = dns.text(wire_name(*[b"\xff" * 63] * 3, b"\xff" * 61))
    assert len(text) == 250 * 4 + 4


ANSWER = record(b"\xc0\x0c", TXT, b"\x079.18.28", CH)
AUTHORITY = record(b"\xc0\x0c", NS, b"\xc0\x0c", CH)


def test_a_reply_that_fits_is_left_alone(dns: Library) -> None:
    """Not a byte of it changes."""
    reply = header(1, 1, 0, 1, QR) + question(VERSION, TXT, CH) + ANSWER + opt(option(COOKIE, b"A" * 24))
    assert dns.cut(reply, len(reply)) == reply


def test_the_options_go_first(dns: Library) -> None:
    """REFUSED: OPT stays, with the upper bits of the RCODE, when the query had one."""
    query = header(extra=1) + question(EXAMPLE) + opt()
    reply = header(1, 0, 0, 1, QR | 5) + question(EXAMPLE) + opt(option(15, b"\0\x12" + b"x" * 18), upper=1)
    assert dns.cut(reply, len(query)) == header(1, 0, 0, 1, QR | 5) + question(EXAMPLE) + opt(upper=1)


def test_then_what_accompanies_the_answer(dns: Library) -> None:
    """A dig of 53 bytes gets the version in 50, without authority and OPT."""
    asked = question(VERSION, TXT, CH)
    reply = header(1, 1, 1, 1, QR) + asked + ANSWER + AUTHORITY + opt(option(COOKIE, b"A" * 24))
    cut = dns.cut(reply, len(header() + asked + opt(option(COOKIE, b"A" * 8))))
    assert cut == header(1, 1, 0, 0, QR) + asked + ANSWER
    assert len(cut) == 50


def test_then_the_answer_with_tc(dns: Library) -> None:
    """A query of 30 bytes is sent to TCP, in 30 bytes."""
    asked = question(VERSION, TXT, CH)
    reply = header(1, 1, 0, 0, QR) + asked + ANSWER
    assert dns.cut(reply, 30) == header(1, 0, 0, 0, QR | TC) + asked


def test_a_missing_authority_section_is_no_reason_for_tc(dns: Library) -> None:
    """RFC 2181, section 9: only what is required counts."""
    asked = question(EXAMPLE)
    reply = header(1, 0, 1, 0, QR | 3) + asked + AUTHORITY
    assert dns.cut(reply, len(header() + asked)) == header(1, 0, 0, 0, QR | 3) + asked


def test_the_question_goes_when_it_alone_is_too_long(dns: Library) -> None:
    """As when the query's name was a pointer into its header."""
    assert dns.cut(header(flags=QR) + question(EXAMPLE), 18) == header(0, flags=QR)


def test_noise(dns: Library) -> None:
    """Whatever comes: it ends, it is told, and no cut is longer than allowed or no DNS message."""
    chance = random.Random(53)
    seen = set()
    for _ in range(3000):
        message = noise(chance)
        got = dns.parse(message)
        seen.add(got.reason)
        assert len(dns.text(got.name)) <= 1024
        limit = chance.randrange(12, 80)
        cut = dns.cut(message, limit)
        assert len(cut) <= max(limit, min(len(message), 12))
    assert seen >= {"-", "short", "response", "opcode", "malformed"}


def test_noise_under_sanitizers(tmp_path: Path) -> None:
    """No read or write outside of a message, no undefined behaviour: each message lies in memory of just its size."""
    try:
        sources = [str(Path(__file__).parent / "dns_message_driver.c"), str(BIND / "dns_message.c")]
        driver = build(tmp_path, "driver", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", *sources)
    except subprocess.CalledProcessError:
        pytest.skip("this compiler has no sanitizers")
    chance = random.Random(1035)
    messages = [noise(chance) for _ in range(5000)] + [chance.randbytes(chance.randrange(100)) for _ in range(1000)]
    packed = b"".join(struct.pack("!H", len(message)) + message for message in messages)
    done = subprocess.run([str(driver)], input=packed, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert done.stdout.decode().split() == [str(len(messages))]


def test_every_class_of_question_is_read(dns: Library) -> None:
    """The number, not only those that have a name."""
    for qclass in (0, IN, CH, 4, 254, 255, 65535):
        got = dns.parse(header() + question(EXAMPLE, 65399, qclass))
        assert (got.reason, got.qclass, got.qtype) == ("-", qclass, 65399)
