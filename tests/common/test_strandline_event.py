"""The C listeners' event writer (files/native/common), compiled with the host's cc and called through ctypes."""

from __future__ import annotations

import ctypes
import datetime
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strandline.event import line

COMMON = Path(__file__).parents[2] / "files" / "native" / "common"
CC = shutil.which("cc")
LINE_MAX = 7000
DATAGRAM_MAX = LINE_MAX + 128
CAP = 256

# The grammar of files/strandline/protocols/*/events.yml, written down once more and independently of the writer.
TOKEN = rb"[A-Za-z0-9_.:+/=-]+"
VALUE = rb'"(?:[ !#-\[\]-~]|\\x[0-9a-f]{2})*"(?:/[0-9]+)?'
COMMON_FIELDS = rb"event=TOKEN saddr=TOKEN sport=(?:[0-9]+|-) daddr=TOKEN dport=(?:[0-9]+|-) proto=(?:tcp|udp)"
LINE = re.compile(
    COMMON_FIELDS.replace(b"TOKEN", TOKEN) + rb"(?: [a-z_]+=" + TOKEN + rb")*(?: [a-z_]+=" + VALUE + rb")*"
)

pytestmark = pytest.mark.skipif(CC is None, reason="no C compiler (package gcc)")


class Event(ctypes.Structure):
    """struct strandline_event"""

    _fields_ = (
        ("seconds", ctypes.c_long),
        ("nanoseconds", ctypes.c_long),
        ("used", ctypes.c_size_t),
        ("line", ctypes.c_char * (LINE_MAX + 1)),
    )

    @property
    def text(self) -> bytes:
        """The line, by its length and not up to a NUL byte."""
        return ctypes.string_at(ctypes.addressof(self) + Event.line.offset, self.used)


Report = ctypes.CFUNCTYPE(None, ctypes.c_ulong, ctypes.c_int)


class Writer(ctypes.Structure):
    """struct strandline_writer"""

    _fields_ = (
        ("path", ctypes.c_char_p),
        ("program", ctypes.c_char_p),
        ("timeout_ms", ctypes.c_uint),
        ("report", Report),
        ("fd", ctypes.c_int),
        ("error", ctypes.c_int),
        ("dropped", ctypes.c_ulong),
        ("reported", ctypes.c_ulong),
        ("reported_at", ctypes.c_long),
    )


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The writer as a shared library; warnings are errors."""
    target = tmp_path_factory.mktemp("common") / "strandline_event.so"
    assert CC is not None
    source = COMMON / "strandline_event.c"
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wstrict-prototypes", "-Werror"]
    hardening = ["-fsanitize=undefined", "-fno-sanitize-recover=all", "-D_FORTIFY_SOURCE=2"]
    subprocess.run(
        [CC, "-std=gnu11", "-O2", *warnings, *hardening, "-fPIC", "-shared", "-o", target, source],
        check=True,
    )
    loaded = ctypes.CDLL(str(target), use_errno=True)
    loaded.strandline_event_format.restype = ctypes.c_size_t
    return loaded


def sockaddr(address: str, port: int) -> ctypes.Array[ctypes.c_char]:
    """A struct sockaddr_in or _in6 as the kernel would hand it out."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    head = family.to_bytes(2, sys.byteorder) + port.to_bytes(2, "big")
    packed = socket.inet_pton(family, address)
    # _in6 has a flow label before the address and a scope after it; _in is padded.
    raw = head + (bytes(4) + packed + bytes(4) if ":" in address else packed + bytes(8))
    return ctypes.create_string_buffer(raw, len(raw))


Begin = Callable[..., Event]


@pytest.fixture
def begin(library: ctypes.CDLL) -> Begin:
    """Begins an ssh.client event from 192.0.2.7."""

    def begin_event(name: bytes = b"ssh.client", source: str = "192.0.2.7", destination: str = "203.0.113.9") -> Event:
        event = Event()
        library.strandline_event_begin(
            ctypes.byref(event), name, sockaddr(source, 51044), sockaddr(destination, 22), b"tcp"
        )
        return event

    return begin_event


def add_value(library: ctypes.CDLL, event: Event, key: bytes, value: bytes, cap: int = CAP) -> None:
    """Appends a value that may hold NUL bytes."""
    library.strandline_event_value(ctypes.byref(event), key, value, ctypes.c_size_t(len(value)), ctypes.c_size_t(cap))


def test_the_fields_every_event_has(begin: Begin) -> None:
    assert begin().text == b"event=ssh.client saddr=192.0.2.7 sport=51044 daddr=203.0.113.9 dport=22 proto=tcp"


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("2001:db8::7", b"2001:db8::7"),
        ("::ffff:192.0.2.7", b"192.0.2.7"),
        ("::1", b"::1"),
        ("fe80::1", b"fe80::1"),
        ("0.0.0.0", b"0.0.0.0"),
    ],
)
def test_addresses(begin: Begin, address: str, written: bytes) -> None:
    assert b" saddr=" + written + b" sport=51044 " in begin(source=address).text


def test_an_unknown_address_is_a_dash(library: ctypes.CDLL) -> None:
    event = Event()
    unix = ctypes.create_string_buffer(socket.AF_UNIX.to_bytes(2, sys.byteorder) + bytes(26), 28)
    library.strandline_event_begin(ctypes.byref(event), b"ssh.client", None, unix, b"tcp")
    assert event.text == b"event=ssh.client saddr=- sport=- daddr=- dport=- proto=tcp"


@pytest.mark.parametrize(
    ("token", "written"),
    [
        (b"yes", b"yes"),
        (None, b"-"),
        (b"", b"-"),
        (b"SHA256:a+b/c=", b"SHA256:a+b/c="),
        (b"sk-ssh-ed25519@openssh.com", b"sk-ssh-ed25519_openssh.com"),
        (b'a b"c\n\xff', b"a_b_c__"),
        ("é".encode(), b"__"),
        (b"x" * 1000, b"x" * 128),
        (b"x" * 127 + "é".encode(), b"x" * 127 + b"_"),
    ],
)
def test_tokens(library: ctypes.CDLL, begin: Begin, token: bytes | None, written: bytes) -> None:
    """One rule, in the C listeners and in Python."""
    event = begin()
    library.strandline_event_token(ctypes.byref(event), b"valid", token)
    assert event.text.endswith(b" valid=" + written)
    text = (token or b"").decode("utf-8", "surrogateescape")
    assert line.token(text) == written.decode()


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_token_is_written_alike(library: ctypes.CDLL, begin: Begin, text: str) -> None:
    """A NUL byte is left out: there a C string ends."""
    event = begin()
    library.strandline_event_token(ctypes.byref(event), b"valid", text.encode())
    written = event.text.rpartition(b" valid=")[2].decode()
    assert line.token(text) == written


def test_numbers(library: ctypes.CDLL, begin: Begin) -> None:
    event = begin()
    library.strandline_event_number(ctypes.byref(event), b"key_bits", ctypes.c_ulong(2**64 - 1))
    assert event.text.endswith(b" key_bits=18446744073709551615")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"", b'""'),
        (b"SSH-2.0-Go", b'"SSH-2.0-Go"'),
        (b" ~!#[]{}|;:=,", b'" ~!#[]{}|;:=,"'),
        (b'x"y', rb'"x\x22y"'),
        (b"\\x22", rb'"\x5cx22"'),
        (b"a\x00b", rb'"a\x00b"'),
        (b"\r\n\t\x1b[31m\x7f", rb'"\x0d\x0a\x09\x1b[31m\x7f"'),
        ("é\u202e".encode(), rb'"\xc3\xa9\xe2\x80\xae"'),
        (b"\xff\xfe", rb'"\xff\xfe"'),
        (b'" saddr=9.9.9.9 user="root', rb'"\x22 saddr=9.9.9.9 user=\x22root"'),
    ],
)
def test_values_are_escaped(library: ctypes.CDLL, begin: Begin, value: bytes, written: bytes) -> None:
    event = begin()
    add_value(library, event, b"ident", value)
    assert event.text.endswith(b" proto=tcp ident=" + written)
    assert LINE.fullmatch(event.text)


def test_every_byte(library: ctypes.CDLL, begin: Begin) -> None:
    event = begin()
    add_value(library, event, b"ident", bytes(range(256)))
    expected = b"".join(
        bytes([byte]) if 0x20 <= byte <= 0x7E and byte not in b'"\\' else b"\\x%02x" % byte for byte in range(256)
    )
    assert event.text.endswith(b' ident="' + expected + b'"')


@pytest.mark.parametrize(
    ("length", "kept", "tail"), [(255, 255, b""), (256, 256, b""), (257, 256, b"/257"), (1500, 256, b"/1500")]
)
def test_a_value_is_cut_at_its_cap(library: ctypes.CDLL, begin: Begin, length: int, kept: int, tail: bytes) -> None:
    event = begin()
    add_value(library, event, b"user", b"A" * length)
    assert event.text.endswith(b' user="' + b"A" * kept + b'"' + tail)


def test_the_cap_counts_raw_bytes(library: ctypes.CDLL, begin: Begin) -> None:
    event = begin()
    add_value(library, event, b"user", b"\x00" * 300)
    assert event.text.endswith(b' user="' + rb"\x00" * 256 + b'"/300')


def test_a_line_never_passes_its_bound(library: ctypes.CDLL, begin: Begin) -> None:
    """Many values of the worst bytes: all of them present, none broken inside an escape, the line not too long."""
    event = begin()
    keys = [b"value_" + bytes([letter]) for letter in b"abcdefgh"]
    for key in keys:
        add_value(library, event, key, b"\xff" * 5000, cap=5000)
    assert len(event.text) <= LINE_MAX
    assert LINE.fullmatch(event.text)
    assert re.findall(rb' ([a-z_]+)="', event.text) == keys
    assert event.text.count(b'"/5000') == len(keys)


def test_nothing_is_written_past_the_end(library: ctypes.CDLL, begin: Begin) -> None:
    """Even a program that asks for far too much gets a cut line and no overflow."""
    event = begin()
    for _ in range(2000):
        library.strandline_event_token(ctypes.byref(event), b"key", b"x" * 128)
        add_value(library, event, b"value", b'"' * 64)
    assert len(event.text) == LINE_MAX


@pytest.mark.slow
def test_random_bytes_stay_inside_the_grammar(library: ctypes.CDLL, begin: Begin) -> None:
    generator = random.Random(4253)
    for _ in range(2000):
        event = begin()
        values = [generator.randbytes(generator.randrange(600)) for _ in range(3)]
        for value in values:
            add_value(library, event, b"value", value)
        assert LINE.fullmatch(event.text)
        written = re.findall(rb' value="([^"]*)"(?:/([0-9]+))?', event.text)
        for value, (escaped, length) in zip(values, written, strict=True):
            raw = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), escaped)
            assert raw == value[:CAP]
            assert (int(length) if length else len(value)) == len(value)


def test_the_datagram(library: ctypes.CDLL, begin: Begin) -> None:
    before = datetime.datetime.now(datetime.UTC)
    event = begin()
    out = ctypes.create_string_buffer(DATAGRAM_MAX)
    room = ctypes.c_size_t(len(out))
    length = library.strandline_event_format(ctypes.byref(event), b"strandline-ssh", 123, out, room)
    stamp_pattern = rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"
    match = re.fullmatch(rb"<134>1 " + stamp_pattern + rb" - strandline-ssh 123 - - (.*)", out.raw[:length])
    assert match is not None
    assert match[2] == event.text
    stamp = datetime.datetime.strptime(match[1].decode(), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.UTC)
    assert before - datetime.timedelta(microseconds=1) <= stamp <= datetime.datetime.now(datetime.UTC)


def test_the_datagram_needs_its_room(library: ctypes.CDLL, begin: Begin) -> None:
    event = begin()
    add_value(library, event, b"ident", b"\xff" * 5000, cap=5000)
    out = ctypes.create_string_buffer(DATAGRAM_MAX)
    assert library.strandline_event_format(ctypes.byref(event), b"p", 1, out, ctypes.c_size_t(len(event.text))) == 0
    assert library.strandline_event_format(ctypes.byref(event), b"p" * 100, 2**22, out, ctypes.c_size_t(len(out))) > 0


class Sensor:
    """A writer, the socket it writes to, and what it reported as dropped."""

    def __init__(self, library: ctypes.CDLL, path: Path, timeout_ms: int) -> None:
        self.library = library
        self.path = path
        self.reports: list[tuple[int, int]] = []
        self._report = Report(lambda dropped, error: self.reports.append((dropped, error)))
        # The writer keeps the pointers.
        self._names = (str(path).encode(), b"strandline-ssh")
        self.writer = Writer()
        library.strandline_writer_init(ctypes.byref(self.writer), *self._names, ctypes.c_uint(timeout_ms), self._report)

    def listen(self) -> socket.socket:
        """syslog-ng's end."""
        self.path.unlink(missing_ok=True)
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.bind(str(self.path))
        receiver.settimeout(5)
        return receiver

    def send(self, event: Event) -> int:
        """Returns what strandline_writer_send returned."""
        return int(self.library.strandline_writer_send(ctypes.byref(self.writer), ctypes.byref(event)))


@pytest.fixture
def sensor(library: ctypes.CDLL, tmp_path: Path) -> Iterator[Sensor]:
    made = Sensor(library, tmp_path / "socket", timeout_ms=200)
    yield made
    library.strandline_writer_close(ctypes.byref(made.writer))


def test_an_event_arrives(sensor: Sensor, begin: Begin) -> None:
    with sensor.listen() as receiver:
        event = begin()
        assert sensor.send(event) == 0
        assert receiver.recv(65536).endswith(event.text)
    assert sensor.reports == []


def test_the_longest_line_arrives(library: ctypes.CDLL, sensor: Sensor, begin: Begin) -> None:
    with sensor.listen() as receiver:
        event = begin()
        for _ in range(100):
            library.strandline_event_token(ctypes.byref(event), b"key", b"x" * 128)
        assert sensor.send(event) == 0
        assert receiver.recv(65536).endswith(b" " + event.text)


def test_a_restarted_receiver_is_found_again(sensor: Sensor, begin: Begin) -> None:
    with sensor.listen() as receiver:
        sensor.send(begin())
        receiver.recv(65536)
    with sensor.listen() as receiver:
        assert sensor.send(begin()) == 0
        assert receiver.recv(65536)
    assert sensor.reports == []


def test_no_receiver_is_reported_and_not_waited_for(sensor: Sensor, begin: Begin) -> None:
    start = time.monotonic()
    assert [sensor.send(begin()) for _ in range(3)] == [-1, -1, -1]
    assert time.monotonic() - start < 1
    # At once for the first; the others within the minute are told at the end.
    assert [dropped for dropped, _ in sensor.reports] == [1]
    sensor.library.strandline_writer_close(ctypes.byref(sensor.writer))
    assert [dropped for dropped, _ in sensor.reports] == [1, 2]
    assert os.strerror(sensor.reports[0][1]) == "No such file or directory"


def test_a_receiver_that_hangs_is_not_waited_for_for_ever(sensor: Sensor, begin: Begin) -> None:
    with sensor.listen() as receiver:
        start = time.monotonic()
        sent = 0
        while sensor.send(begin()) == 0:
            sent += 1
        assert 0.1 < time.monotonic() - start < 3
        assert len(sensor.reports) == 1
        for _ in range(sent):
            receiver.recv(65536)
        assert sensor.send(begin()) == 0


def test_the_socket_is_closed_on_exec(sensor: Sensor, begin: Begin) -> None:
    with sensor.listen():
        sensor.send(begin())
        assert not os.get_inheritable(sensor.writer.fd)
