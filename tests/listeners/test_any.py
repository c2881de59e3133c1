"""Every other port: one event for each connection and datagram, and never a word."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener_harness import Service, record, silent
from strandline.event.line import Flow
from strandline.protocols.any.session import Session, handle
from strandline.sensor.listener.sockets import Datagram

Serve = Callable[..., Service]


@given(st.binary(max_size=600))
def test_a_datagram_is_one_event_and_gets_no_answer(data: bytes) -> None:
    flow = Flow("192.0.2.7", 51044, "203.0.113.9", 1900, "udp")
    (event,), answer = handle(Datagram(data, flow, ("192.0.2.7", 51044), [], True), 0)
    assert answer is None
    assert record(event).trusted == {"verified": "no", "reason": "data", "size": str(len(data))}


@given(st.binary(min_size=1, max_size=600))
def test_what_a_client_says_first_ends_its_connection(data: bytes) -> None:
    session = Session()
    assert not session.begin().send
    step = session.feed(data)
    assert (step.close, step.send) == (True, b"")
    (event,) = step.events
    assert record(event).trusted == {"verified": "yes", "reason": "data", "size": str(len(data))}


@pytest.mark.parametrize("reason", ["closed", "timeout", "evicted"])
def test_a_connection_without_a_byte_is_an_event(reason: str) -> None:
    (event,) = Session().end(reason)
    assert record(event).trusted == {"verified": "yes", "reason": reason, "size": "0"}
    assert record(event).values["data"] == '""'


def test_over_real_sockets(serve: Serve) -> None:
    service = serve("any")
    client, neighbour = service.tcp_client(), service.udp_client()
    client.sendall(b"\x16\x03\x01")
    assert client.recv(9) == b""
    neighbour.send(b"M-SEARCH")
    assert silent(neighbour)
    connection = service.sink.find(client.getsockname()[1], "any.contact")
    assert connection.values["data"] == r'"\x16\x03\x01"'
    datagram = service.sink.find(neighbour.getsockname()[1], "any.contact")
    assert (datagram.values["data"], datagram.dport) == ('"M-SEARCH"', service.udp[1])
