"""The messages of RFC 4475 and RFC 5118, all of them and byte by byte as their archives have them, each followed by a
valid request: neither may be lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from listener_harness import PERSONA, Record, record, sip
from strandline.event.line import Event, Flow
from strandline.protocols.sip.nonce import Prover
from strandline.protocols.sip.session import Answerer, DatagramHandler, StreamSession
from strandline.sensor.listener.limits import TokenBuckets
from strandline.sensor.listener.notices import Notices
from strandline.sensor.listener.sockets import Datagram

FOLDER = Path(__file__).parent / "torture"
MESSAGES = {path.stem: path.read_bytes() for path in sorted(FOLDER.glob("*/*.sip"))}
WITHOUT_BLANK_LINE = {"baddn", "ipv6-bug-abnf-3-colons", "ipv6-correct-abnf-2-colons"}
RESPONSES = {"bcast", "bigcode", "noreason", "scalarlg", "unreason"}
FLOW = Flow("192.0.2.7", 51044, "203.0.113.9", 5060, "tcp")

MALFORMED = {
    "baddn": "headers",  # the archive's file has no blank line
    "badvers": "version",
    "clerr": "length",
    "insuf": "headers",  # neither Call-ID nor From nor To
    "ipv6-bug-abnf-3-colons": "headers",  # likewise
    "ipv6-correct-abnf-2-colons": "headers",
    "ipv6-in-sdp": "length",  # the archive's lines end with LF, its Content-Length counts CR LF
    "mult-ip-in-sdp": "length",
    "ltgtruri": "line",
    "lwsruri": "line",
    "lwsstart": "line",
    "mcl01": "length",
    "mismatch01": "headers",
    "mismatch02": "headers",
    "ncl": "length",
    "scalar02": "headers",  # a CSeq above 2**31
    "trws": "line",
}
"""What we say of a request that came over UDP; of the others nothing: what is wrong with them stands in a value."""


def test_all_of_them_are_here() -> None:
    assert len(list(FOLDER.glob("rfc4475/*"))) == 49
    assert len(list(FOLDER.glob("rfc5118/*"))) == 12


def answerer() -> Answerer:
    return Answerer(PERSONA, Prover(b"k" * 32), lambda: 0.0)


def method(name: str) -> str:
    return f'"{MESSAGES[name].split(b" ", 1)[0].decode()}"'


@pytest.mark.parametrize("name", MESSAGES)
def test_over_udp(name: str) -> None:
    notices = Notices()
    handle = DatagramHandler(answerer(), TokenBuckets(1e6, 1e6, 1e6, 1e6), notices)
    found = []
    for data in (MESSAGES[name], sip("REGISTER")):
        events, answer = handle(Datagram(data, FLOW, ("192.0.2.7", 51044), [], True), 0.0)
        assert answer is None or len(answer) <= len(data)
        found += [record(event) for event in events]
    first, second = found
    if name in RESPONSES:
        assert (first.name, first.trusted["reason"]) == ("sip.malformed", "response")
    else:
        assert (first.name, first.values["method"]) == ("sip.request", method(name))
        assert first.trusted["malformed"] == MALFORMED.get(name, "-")
    assert (second.values["method"], second.trusted["malformed"]) == ('"REGISTER"', "-")


def over_tcp(data: bytes, size: int) -> list[Record]:
    """The events of one connection, in segments of this size."""
    stream = StreamSession(answerer(), FLOW)
    events: list[Event] = []
    for at in range(0, len(data), size):
        step = stream.feed(data[at : at + size])
        events += step.events
        while step.more:
            step = stream.feed(b"")
            events += step.events
        assert not step.close
    return [record(event) for event in [*events, *stream.end("closed")]]


@pytest.mark.parametrize("size", [1, 97, 100000])
@pytest.mark.parametrize("name", MESSAGES)
def test_over_tcp(name: str, size: int) -> None:
    # Without a blank line a stream has no end of a message.
    data = MESSAGES[name] + (b"\r\n" if name in WITHOUT_BLANK_LINE else b"")
    found = over_tcp(data + sip("REGISTER"), size)
    first, last = found[0], found[-1]
    if name in RESPONSES:
        assert (first.name, first.trusted["reason"]) == ("sip.malformed", "response")
    else:
        assert (first.name, first.values["method"]) == ("sip.request", method(name))
    assert last.values["method"] == '"REGISTER"'
    # What stands behind the body of dblreq is nothing over UDP, and over TCP a request with more body than it says.
    names = [each.name for each in found]
    if name == "dblreq":
        assert names == ["sip.request", "sip.request", "sip.malformed", "sip.request"]
    else:
        assert len(names) == 2
