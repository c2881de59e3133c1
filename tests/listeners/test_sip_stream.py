"""SIP over TCP, without a socket."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener_harness import PERSONA, Record, record, sip
from strandline.event.line import Flow
from strandline.protocols.sip.nonce import Prover
from strandline.protocols.sip.session import BODY_SIZE_MAX, HEADERS_SIZE_MAX, MESSAGES_PER_TURN, Answerer, StreamSession

LARGE = str(BODY_SIZE_MAX + 1)
FLOW = Flow("192.0.2.7", 51044, "203.0.113.9", 5060, "tcp")


def session() -> StreamSession:
    return StreamSession(Answerer(PERSONA, Prover(b"k"), lambda: 0.0), FLOW)


def run(*segments: bytes, end: str = "closed") -> tuple[list[Record], bytes, bool]:
    """Events, what was sent, and whether we closed."""
    stream, records, sent = session(), [], b""
    for segment in segments:
        step = stream.feed(segment)
        while True:
            records += [record(event) for event in step.events]
            sent += step.send
            if step.close:
                return records, sent, True
            if not step.more:
                break
            step = stream.feed(b"")
    return records + [record(event) for event in stream.end(end)], sent, False


def methods(records: list[Record]) -> list[str]:
    return [r.values["method"] for r in records]


@given(st.lists(st.integers(min_value=0, max_value=1200), max_size=8))
def test_segments_do_not_matter(cuts: list[int]) -> None:
    data = (
        sip(transport="TCP")
        + b"\r\n\r\n"
        + sip("INVITE", "Content-Length: 5")
        + b"v=0\r\n"
        + sip("REGISTER", line_end="\n")
    )
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    records, sent, closed = run(*[data[a:b] for a, b in pairwise(edges)])
    assert methods(records) == ['"OPTIONS"', '"INVITE"', '"REGISTER"']
    assert [r.trusted["malformed"] for r in records] == ["-", "-", "-"]
    assert sent.count(b"SIP/2.0 200 OK\r\n") == 1
    assert sent.count(b"SIP/2.0 401 Unauthorized\r\n") == 2
    assert not closed


def test_a_keep_alive_is_answered_and_no_event() -> None:
    records, sent, _ = run(b"\r\n\r\n", sip(), b"\r\n", b"\r\n", b"\r\n\r\n")
    assert len(records) == 1
    assert sent.startswith(b"\r\nSIP/2.0 200 OK")
    assert sent.endswith(b"\r\n\r\n\r\n\r\n")


def test_without_content_length_the_next_request_follows() -> None:
    data = sip().replace(b"Content-Length: 0\r\n", b"")
    records, sent, _ = run(data + data)
    assert [r.trusted["malformed"] for r in records] == ["length", "length"]
    assert sent.count(b"200 OK") == 2


@pytest.mark.parametrize("length", ["-5", "x", "1, 2", LARGE])
def test_where_the_next_message_begins_is_found(length: str) -> None:
    data = sip("INVITE", f"Content-Length: {length}") + b"v=0\r\ns=OPTIONS\r\n" + sip("REGISTER")
    for segments in ([data], [data[:-400], data[-400:]], [bytes([byte]) for byte in data]):
        records, sent, closed = run(*segments)
        assert methods(records) == ['"INVITE"', '"REGISTER"']
        assert [r.trusted["malformed"] for r in records] == ["length", "-"] if length != LARGE else ["-", "-"]
        assert sent.startswith((b"SIP/2.0 400 ", b"SIP/2.0 413 "))
        assert sent.count(b"SIP/2.0 401 ") == 1
        assert not closed


def test_a_body_is_skipped_in_pieces() -> None:
    body = b"OPTIONS sip:x SIP/2.0\r\n\r\n" * 100
    records, _, _ = run(sip("INVITE", f"Content-Length: {len(body)}"), body[:10], body[10:2000], body[2000:] + sip())
    assert methods(records) == ['"INVITE"', '"OPTIONS"']


def test_a_body_that_never_comes() -> None:
    records, sent, _ = run(sip("INVITE", "Content-Length: 50"), b"v=0")
    assert [r.trusted["malformed"] for r in records] == ["length"]
    assert sent == b""


def test_a_response_is_logged_and_the_next_request_is_read() -> None:
    records, sent, closed = run(b"SIP/2.0 200 OK\r\nContent-Length: 4\r\n\r\nbody" + sip())
    assert [r.name for r in records] == ["sip.malformed", "sip.request"]
    assert records[0].trusted["reason"] == "response"
    assert sent.count(b"SIP/2.0 200 OK") == 1
    assert not closed


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x00\xa5", b"\x00", b"\x80\x0b\x01", b"HELO x\n"]
)
def test_garbage_ends_the_connection(data: bytes) -> None:
    records, sent, closed = run(data)
    assert [(r.name, r.trusted["reason"]) for r in records] == [("sip.malformed", "garbage")]
    assert sent == b""
    assert closed


@pytest.mark.parametrize("line_end", ["\r\r\n", "\n", "\r\n", "\r\r\r\n"])
def test_one_definition_of_a_lines_end(line_end: str) -> None:
    records, sent, _ = run(sip(line_end=line_end) + sip("REGISTER"))
    assert methods(records) == ['"OPTIONS"', '"REGISTER"']
    assert [r.trusted["malformed"] for r in records] == ["-", "-"]
    assert [sent.count(code) for code in (b"SIP/2.0 200 ", b"SIP/2.0 401 ")] == [1, 1]


BODY = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\n\r\n\x00\xff not SIP at all\r\n"


def test_a_body_without_content_length_is_passed_over() -> None:
    invite = sip("INVITE").replace(b"Content-Length: 0\r\n", b"")
    data = invite + BODY + sip("REGISTER") + invite + BODY + b"SIP/2.0 200 OK\r\n\r\n" + sip()
    for size in (1, 7, 100, len(data)):
        records, sent, closed = run(*[data[at : at + size] for at in range(0, len(data), size)])
        assert [r.values.get("method", r.trusted.get("reason")) for r in records] == [
            '"INVITE"', '"REGISTER"', '"INVITE"', "response", '"OPTIONS"',
        ]  # fmt: skip
        assert [sent.count(code) for code in (b"SIP/2.0 200 ", b"SIP/2.0 401 ")] == [1, 3]
        assert not closed
    records, _, _ = run(invite + BODY)
    assert methods(records) == ['"INVITE"']


def test_more_body_than_stated_is_logged_once_and_passed_over() -> None:
    data = sip("INVITE", "Content-Length: 3") + BODY + b"more\r\n" + sip("REGISTER")
    records, _, closed = run(*[data[at : at + 50] for at in range(0, len(data), 50)])
    assert [r.name for r in records] == ["sip.request", "sip.malformed", "sip.request"]
    assert records[1].trusted["reason"] == "garbage"
    assert not closed


def test_a_request_in_a_body_that_never_ends_is_not_lost() -> None:
    records, _, _ = run(sip("INVITE", "Content-Length: 9999") + BODY + sip("REGISTER") + sip()[:300], end="timeout")
    assert methods(records) == ['"INVITE"', '"REGISTER"', '"OPTIONS"']
    assert records[0].trusted["malformed"] == "length"


def test_a_request_behind_garbage_is_read() -> None:
    records, _, closed = run(b"HELO x\r\n" + sip())
    assert [(r.name, r.trusted.get("reason")) for r in records] == [("sip.malformed", "garbage"), ("sip.request", None)]
    assert records[0].values["data"] == r'"HELO x\x0d\x0a"'
    assert not closed


@pytest.mark.parametrize("before", [b" ", b"\t", b"  \r\n", b"\r\n \r\n\t"])
def test_blanks_before_a_request_do_not_hide_it(before: bytes) -> None:
    data = before + sip() + before + sip("REGISTER")
    for segments in ([data], [data[:1], data[1:]], [bytes([byte]) for byte in data]):
        records, sent, closed = run(*segments)
        assert methods(records) == ['"OPTIONS"', '"REGISTER"']
        assert [r.trusted["malformed"] for r in records] == ["line", "line"]
        assert sent.count(b"SIP/2.0 200 ") == 1
        assert not closed


def test_oversize() -> None:
    records, _, closed = run(b"A" * 5000, b"A" * 5000)
    assert [(r.name, r.trusted["reason"]) for r in records] == [("sip.malformed", "oversize")]
    assert closed
    records, _, closed = run(sip()[:-2], *[b"X-A: " + b"b" * 1000 + b"\r\n"] * 9)
    assert [(r.name, r.trusted["malformed"]) for r in records] == [("sip.request", "headers")]
    assert closed
    assert HEADERS_SIZE_MAX < 10000


@pytest.mark.parametrize("reason", ["closed", "timeout", "evicted"])
def test_what_is_unfinished_is_logged_once(reason: str) -> None:
    for data, expected in ((b"", '""'), (b"OPT", '"OPT"'), (b"\r\n", '""')):
        records, _, _ = run(data, end=reason)
        assert [(r.name, r.trusted["reason"], r.values["data"]) for r in records] == [
            ("sip.malformed", reason, expected)
        ]
    records, _, _ = run(sip()[:200], end=reason)
    assert methods(records) == ['"OPTIONS"']
    assert records[0].trusted["malformed"] == "length+headers"
    records, _, _ = run(sip(), end=reason)
    assert len(records) == 1


def test_one_stream_does_not_keep_the_others_waiting() -> None:
    stream = session()
    step = stream.feed(b"A sip:x\n\n" * 400)
    assert step.more
    assert len(step.events) == MESSAGES_PER_TURN
    assert len(stream.end("evicted")) == 400 - MESSAGES_PER_TURN  # and nothing of it is lost


@given(
    st.lists(
        st.one_of(st.binary(max_size=300), st.sampled_from([sip(), b"\r\n", b"Content-Length: 7\r\n", sip()[:-2]])),
        max_size=12,
    )
)
def test_any_bytes_never_raise(segments: list[bytes]) -> None:
    run(*segments)


REQUEST = b"OPTIONS sip:x SIP/2.0\r\n\r\n"


@pytest.mark.parametrize("byte", range(256))
@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (sip(), b"\r\n" + REQUEST),
        (sip(), REQUEST),
        (b"", REQUEST),
        (sip()[:-2] + b"Content-Length: 90\r\n\r\n", REQUEST),
    ],
    ids=["line", "request", "first", "body"],
)
def test_any_byte_may_stand_before_a_request(byte: int, before: bytes, behind: bytes) -> None:
    """If one place takes a vertical tab for a blank and another does not, the daemon never stops reading it."""
    stream = session()
    step = stream.feed(before + bytes([byte]) + behind)
    records = [record(event) for event in step.events]
    for _ in range(10):
        if not step.more:
            break
        step = stream.feed(b"")
        records += [record(event) for event in step.events]
    assert not step.more
    if not step.close:
        records += [record(event) for event in stream.end("closed")]
    assert len(records) <= 3
    if before and byte in b" \t\r\n\v\f":
        assert records[-1].name == "sip.request"
