"""NTP: packets, and what a client makes of an answer."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener_harness import Service, record, silent
from strandline.event.line import Flow
from strandline.protocols.ntp.session import EPOCH, Clock, Handler, event_of
from strandline.sensor.listener.limits import TokenBuckets
from strandline.sensor.listener.notices import Notices
from strandline.sensor.listener.persona import Persona
from strandline.sensor.listener.sockets import Datagram

Serve = Callable[..., Service]
MONLIST = b"\x17\x00\x03\x2a\x00\x00\x00\x00"
READVAR = b"\x16\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00"
NOW = 1_800_000_000_123_456_789


def client(version: int = 4, leap: int = 0, poll: int = 6, more: bytes = b"") -> bytes:
    return bytes([leap << 6 | version << 3 | 3, 0, poll, 0xEC]) + bytes(36) + b"marker01" + more


def handler(seed: bytes = b"a" * 32, rate: int = 8) -> Handler:
    return Handler(Clock(Persona(seed), lambda: NOW), TokenBuckets(rate, rate, 1000, 1000), Notices(lambda _: None))


def datagram(data: bytes, saddr: str = "192.0.2.7") -> Datagram:
    return Datagram(data, Flow(saddr, 51044, "203.0.113.9", 123, "udp"), (saddr, 51044), [], True)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_client_is_told_the_time(version: int) -> None:
    events, answer = handler()(datagram(client(version, leap=3, poll=10)), 0)
    (found,) = [record(event) for event in events]
    assert found.trusted == {
        "verified": "no", "mode": "3", "version": str(version), "opcode": "-", "implementation": "-", "code": "-",
        "size": "48",
    }  # fmt: skip
    assert found.values["transmit"] == '"marker01"'
    assert answer is not None
    first, stratum, poll, precision, delay, dispersion, _, updated, originate, received, sent = struct.unpack(
        "!BBBbIIIQ8sQQ", answer
    )
    assert (first >> 6, first >> 3 & 7, first & 7) == (0, version, 4)
    assert stratum in (2, 3)
    assert poll == 10
    assert -26 <= precision <= -23
    assert 0 < delay / 65536 < 0.1
    assert 0 < dispersion / 65536 < 0.1
    assert originate == b"marker01"
    for stamp in (received, sent):
        assert abs(stamp / 2**32 - EPOCH - NOW / 1e9) < 1e-5
    assert 0 <= (received - updated) / 2**32 <= 1024.1


def test_sensors_differ_and_each_stays_the_same() -> None:
    def face(seed: bytes) -> bytes:
        answer = handler(seed)(datagram(client()), 0)[1]
        assert answer is not None
        return answer[1:2] + answer[3:4] + answer[12:16]

    assert len({face(bytes([n]) * 32) for n in range(50)}) == 50
    assert face(b"a" * 32) == face(b"a" * 32)


@pytest.mark.parametrize(
    ("data", "mode", "opcode", "implementation", "code"),
    [
        (READVAR, "6", "2", "-", "-"),
        (b"\x1e\x0a\x00\x01" + bytes(8), "6", "10", "-", "-"),
        (b"\x16\x02", "6", "2", "-", "-"),
        (MONLIST, "7", "-", "3", "42"),
        (MONLIST[:4], "7", "-", "3", "42"),
        (b"\x17\x00\x02\x14" + bytes(188), "7", "-", "2", "20"),
    ],
)
def test_modes_6_and_7_are_logged_and_never_answered(
    data: bytes, mode: str, opcode: str, implementation: str, code: str
) -> None:
    events, answer = handler()(datagram(data), 0)
    assert answer is None
    (found,) = [record(event) for event in events]
    assert found.name == "ntp.request"
    assert (found.trusted["mode"], found.trusted["opcode"]) == (mode, opcode)
    assert (found.trusted["implementation"], found.trusted["code"]) == (implementation, code)
    assert found.values["transmit"] == '""'
    assert len(found.values["data"]) > 2


@pytest.mark.parametrize(
    ("data", "reason", "mode"),
    [
        (b"", "short", "-"),
        (b"\x23", "short", "3"),
        (client()[:47], "short", "3"),
        (b"\x17\x00\x03", "short", "7"),
        (b"\x16", "short", "6"),
        (b"\x24" + bytes(47), "mode", "4"),
        (b"\x21" + bytes(47), "mode", "1"),
        (b"GET / HTTP/1.0\r\n\r\n", "version", "7"),
        (client(0), "version", "3"),
        (b"\x16\x82" + bytes(10), "response", "6"),
        (b"\x97\x00\x03\x2a" + bytes(4), "response", "7"),
    ],
)
def test_what_asks_for_nothing(data: bytes, reason: str, mode: str) -> None:
    events, answer = handler()(datagram(data), 0)
    (found,) = [record(event) for event in events]
    assert answer is None
    assert found.trusted["mode"] == mode
    assert found.trusted["reason"] == reason


@pytest.mark.parametrize("data", [client(5), client(more=bytes(20)), client(more=bytes(24))])
def test_what_chrony_does_not_answer(data: bytes) -> None:
    events, answer = handler()(datagram(data), 0)
    assert events[0].name == "ntp.request"
    assert answer is None


@given(st.binary(max_size=200))
def test_an_answer_is_never_larger_than_its_request(data: bytes) -> None:
    events, answer = handler()(datagram(data), 0)
    (event,) = events
    record(event)
    assert event.trusted["verified"] == "no"
    assert event.trusted["size"] == str(len(data))
    assert answer is None or len(answer) <= len(data)
    assert event_of(data).name == event.name


def test_answers_to_one_network_are_limited_and_requests_still_logged() -> None:
    limited = handler(rate=8)
    answers = [limited(datagram(client(), f"192.0.2.{n}"), 0.0) for n in range(100)]
    assert sum(answer is not None for _, answer in answers) == 8
    assert all(len(events) == 1 for events, _ in answers)
    assert limited(datagram(client(), "198.51.100.1"), 0.0)[1] is not None
    assert limited(datagram(client(), "192.0.2.1"), 1.0)[1] is not None


def test_over_a_socket(serve: Serve) -> None:
    service = serve("ntp")
    client_socket = service.udp_client()
    client_socket.send(client())
    answer = client_socket.recv(999)
    assert len(answer) == 48
    assert abs(int.from_bytes(answer[40:44], "big") - EPOCH - time.time()) < 2
    client_socket.send(MONLIST)
    client_socket.send(READVAR)
    assert silent(client_socket)
    found = service.sink.wait(3)
    assert [r.trusted["mode"] for r in found] == ["3", "7", "6"]
    assert {(r.saddr, r.sport, r.daddr, r.dport) for r in found} == {(*client_socket.getsockname(), *service.udp)}
