"""What of a TCP client's bytes is no whole message (files/native/bind/tcp_stream.c), compiled and called through
ctypes."""

from __future__ import annotations

import ctypes
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from dns_wire import EXAMPLE, header, question
from hypothesis import given
from hypothesis import strategies as st

BIND = Path(__file__).parents[2] / "files" / "native" / "bind"
CC = shutil.which("cc")
KEPT = 256

pytestmark = pytest.mark.skipif(CC is None, reason="no C compiler (package gcc)")


class Stream(ctypes.Structure):
    """struct tcp_stream"""

    _fields_ = (
        ("spoke", ctypes.c_bool),
        ("broken", ctypes.c_bool),
        ("unfinished", ctypes.c_size_t),
        ("kept", ctypes.c_uint8 * KEPT),
    )


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The compiled source."""
    built = tmp_path_factory.mktemp("tcp_stream") / "tcp_stream.so"
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", str(built)]
    subprocess.run([CC or "cc", *flags, str(BIND / "tcp_stream.c")], check=True)
    loaded = ctypes.CDLL(str(built))
    loaded.tcp_stream_owes.restype = ctypes.c_bool
    loaded.tcp_stream_take.argtypes = [ctypes.POINTER(Stream), ctypes.c_char_p, ctypes.c_size_t]
    return loaded


def owed(library: ctypes.CDLL, *segments: bytes) -> tuple[bytes, int] | None:
    """What an event would have of the connection, and how long it is; None when it owes none."""
    stream = Stream()
    for segment in segments:
        library.tcp_stream_take(ctypes.byref(stream), segment, len(segment))
    if not library.tcp_stream_owes(ctypes.byref(stream)):
        return None
    return bytes(stream.kept[: min(stream.unfinished, KEPT)]), stream.unfinished


QUERY = header() + question(EXAMPLE)
FRAMED = struct.pack("!H", len(QUERY)) + QUERY
LARGE = struct.pack("!H", 300) + b"x" * 300


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        pytest.param(b"", b"", id="connect only"),
        pytest.param(b"\x00", b"\x00", id="half a length"),
        pytest.param(FRAMED[:20], FRAMED[:20], id="half a message"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(bytes.fromhex("1603010200010001fc0303"), bytes.fromhex("1603010200010001fc0303"), id="TLS"),
        pytest.param(b"\x00\x00" + FRAMED, b"\x00\x00" + FRAMED, id="a message of no length"),
        pytest.param(FRAMED, None, id="a message"),
        pytest.param(FRAMED * 2 + LARGE, None, id="messages"),
        pytest.param(FRAMED + FRAMED[:1], FRAMED[:1], id="a message and a byte"),
        pytest.param(LARGE + LARGE[:-1], (LARGE[:-1])[:KEPT], id="long and unfinished"),
    ],
)
def test_what_a_connection_owes(library: ctypes.CDLL, sent: bytes, expected: bytes | None) -> None:
    for segments in ([sent], [bytes([byte]) for byte in sent], [sent[:3], sent[3:]]):
        found = owed(library, *segments)
        assert (found[0] if found else None) == expected


@given(st.lists(st.binary(max_size=40).map(lambda m: struct.pack("!H", len(m)) + m), max_size=6), st.data())
def test_segments_do_not_matter(library: ctypes.CDLL, messages: list[bytes], data: st.DataObject) -> None:
    sent = b"".join(messages)
    sent = sent[: data.draw(st.integers(min_value=0, max_value=len(sent)))]
    cut = data.draw(st.integers(min_value=0, max_value=len(sent)))
    assert owed(library, sent[:cut], sent[cut:]) == owed(library, sent)


@given(st.lists(st.binary(max_size=700), max_size=5))
def test_what_is_kept_is_the_end_of_what_was_sent(library: ctypes.CDLL, segments: list[bytes]) -> None:
    found = owed(library, *segments)
    if found is not None:
        kept, length = found
        sent = b"".join(segments)
        assert sent[len(sent) - length :][:KEPT] == kept
