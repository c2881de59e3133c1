"""RFB, without a socket."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener_harness import Record, record
from strandline.protocols.vnc.session import BANNER, Session, negotiated, protocol_version

CHALLENGE = bytes(range(16))
RESPONSE = bytes(range(16, 32))
FAILED = b"\x00\x00\x00\x01"
REASON = b"\x00\x00\x00\x15Authentication failed"


def run(*segments: bytes, end: str = "closed") -> tuple[list[Record], bytes, bool]:
    """Events, what was sent, and whether we closed."""
    session = Session(lambda: CHALLENGE)
    sent, records = session.begin().send, []
    for segment in segments:
        step = session.feed(segment)
        records += [record(event) for event in step.events]
        sent += step.send
        if step.close:
            return records, sent, True
    return records + [record(event) for event in session.end(end)], sent, False


@pytest.mark.parametrize(
    ("version", "spoken"),
    [
        (b"RFB 003.003\n", "3.3"),
        (b"RFB 003.005\n", "3.3"),
        (b"RFB 003.006\n", "3.3"),
        (b"RFB 003.007\n", "3.7"),
        (b"RFB 003.008\n", "3.8"),
        (b"RFB 003.889\n", "3.8"),
        (b"RFB 004.001\n", "3.8"),
        (b"RFB 005.000\n", "3.8"),
        (b"RFB 000.000\n", "3.3"),
        (b"RFB 003.008\r", "3.8"),
        (b"RFB 003.008", "3.8"),
        (b"RFB 3.8\n", "3.8"),
        (b"RFB 3.3\r\n", "3.3"),
    ],
)
def test_versions(version: bytes, spoken: str) -> None:
    read = protocol_version(version)
    assert read == version.rstrip(b"\r\n")
    assert negotiated(read) == spoken


@pytest.mark.parametrize(
    "version", [b"RFB 00a.008\n", b"RFB 003_008\n", "RFB 00٣.8\n".encode(), b"RFC", b"RFB \n", b"x"]
)
def test_what_is_no_version(version: bytes) -> None:
    assert protocol_version(version) is None


@pytest.mark.parametrize(
    "version", [b"", b"R", b"RFB", b"RFB ", b"RFB 0", b"RFB 003", b"RFB 003.", b"RFB 003.00", b"RFB 3.8"]
)
def test_what_may_become_a_version(version: bytes) -> None:
    assert protocol_version(version) == b""


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r", b""])
@pytest.mark.parametrize("split", [0, 5, 11, 12])
def test_whatever_ends_the_version_the_handshake_goes_on(line_end: bytes, split: int) -> None:
    sent = b"RFB 003.008" + line_end
    records, answers, closed = run(sent[:split], sent[split:], b"\x02", RESPONSE)
    assert [r.name for r in records] == ["vnc.client", "vnc.security", "vnc.auth"]
    assert records[0].values == {"version": '"RFB 003.008"'}
    assert records[1].trusted["security_type"] == "2"
    assert answers == BANNER + b"\x02\x02\x01" + CHALLENGE + FAILED + REASON
    assert closed


def test_a_short_version_is_one_also_when_nothing_follows() -> None:
    records, _, _ = run(b"RFB 3.8")
    assert [(r.name, r.values["version"]) for r in records] == [("vnc.client", '"RFB 3.8"')]


@pytest.mark.parametrize(
    "version", [b"RFB 003.007\n", b"RFB 003.008\n", b"RFB 003.889\n", b"RFB 004.001\n", b"RFB 005.000\n"]
)
def test_vnc_authentication(version: bytes) -> None:
    records, sent, closed = run(version, b"\x02", RESPONSE)
    spoken = "3.7" if version == b"RFB 003.007\n" else "3.8"
    assert [r.name for r in records] == ["vnc.client", "vnc.security", "vnc.auth"]
    assert records[0].values == {"version": f'"{version[:11].decode()}"'}
    assert records[1].trusted == {"version": spoken, "security_type": "2"}
    assert records[2].trusted == {"version": spoken, "challenge": CHALLENGE.hex(), "response": RESPONSE.hex()}
    assert sent == BANNER + b"\x02\x02\x01" + CHALLENGE + FAILED + (REASON if spoken == "3.8" else b"")
    assert closed


@pytest.mark.parametrize("version", [b"RFB 003.003\n", b"RFB 003.005\n"])
def test_version_3_3_is_given_its_type(version: bytes) -> None:
    records, sent, closed = run(version, RESPONSE)
    assert [r.name for r in records] == ["vnc.client", "vnc.security", "vnc.auth"]
    assert records[1].trusted == {"version": "3.3", "security_type": "2"}
    assert sent == BANNER + b"\x00\x00\x00\x02" + CHALLENGE + FAILED
    assert closed


@pytest.mark.parametrize(("version", "answer"), [(b"RFB 003.008\n", FAILED + REASON), (b"RFB 003.007\n", b"")])
def test_none_fails_too(version: bytes, answer: bytes) -> None:
    # Even for a client that goes on with ClientInit at once.
    records, sent, closed = run(version + b"\x01\x01")
    assert [r.name for r in records] == ["vnc.client", "vnc.security"]
    assert records[1].trusted["security_type"] == "1"
    assert sent == BANNER + b"\x02\x02\x01" + answer
    assert closed


@pytest.mark.parametrize("chosen", [0, 5, 16, 19, 30, 255])
def test_a_type_that_was_not_offered_is_logged(chosen: int) -> None:
    records, sent, closed = run(b"RFB 003.008\n", bytes([chosen]))
    assert records[1].trusted["security_type"] == str(chosen)
    assert FAILED in sent
    assert closed


@given(st.lists(st.integers(min_value=0, max_value=29), max_size=10))
def test_segments_do_not_matter(cuts: list[int]) -> None:
    data = b"RFB 003.008\n\x02" + RESPONSE
    edges = sorted({0, len(data), *cuts})
    records, sent, _ = run(*[data[a:b] for a, b in pairwise(edges)])
    assert [r.name for r in records] == ["vnc.client", "vnc.security", "vnc.auth"]
    assert sent == BANNER + b"\x02\x02\x01" + CHALLENGE + FAILED + REASON


@pytest.mark.parametrize("data", [b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01", b"RFB three\n", b"RFC", b"\x00"])
def test_garbage(data: bytes) -> None:
    records, sent, closed = run(data)
    assert [(r.name, r.trusted["reason"]) for r in records] == [("vnc.malformed", "garbage")]
    assert len(records[0].values["data"]) > 2
    assert sent == BANNER
    assert closed


def test_who_says_nothing_is_logged_when_it_ends() -> None:
    for reason in ("closed", "timeout", "evicted"):
        records, _, _ = run(b"", end=reason)
        assert [(r.name, r.trusted["reason"], r.values["data"]) for r in records] == [("vnc.malformed", reason, '""')]
    records, _, _ = run(b"RFB 003", end="timeout")
    assert records[0].values["data"] == '"RFB 003"'
    records, _, _ = run(b"RFB 003.008\n\x02", b"half", end="timeout")
    assert [r.name for r in records] == ["vnc.client", "vnc.security"]


def test_challenges_cannot_be_foreseen() -> None:
    challenges = {Session().feed(b"RFB 003.003\n").send[4:] for _ in range(50)}
    assert len(challenges) == 50
    assert {len(challenge) for challenge in challenges} == {16}


@given(
    st.lists(
        st.one_of(st.binary(max_size=40), st.sampled_from([b"RFB 003.008\n", b"RFB ", b"\x02", RESPONSE])), max_size=8
    )
)
def test_any_bytes_never_raise(segments: list[bytes]) -> None:
    run(*segments)
