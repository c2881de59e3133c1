"""The canary's clients against small servers, and its table."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console
from strandline_fleet.probes import Probe

from strandline_cli.fleet import canary
from strandline_cli.fleet.canary import Sent
from strandline_cli.fleet.listing import Entry

HERE = "127.0.0.1"


@contextmanager
def stream(banner: bytes, answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A TCP server for one client: its port, and what it was told."""
    heard: list[bytes] = []
    with socket.create_server((HERE, 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(banner)
                heard.append(client.recv(4096))
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(5)


@contextmanager
def datagrams(ignored: int) -> Iterator[tuple[int, list[bytes]]]:
    """A UDP server that answers after it has ignored so many datagrams."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HERE, 0))
        server.settimeout(5)

        def serve() -> None:
            for count in range(ignored + 1):
                data, client = server.recvfrom(4096)
                heard.append(data)
                if count == ignored:
                    server.sendto(b"answer", client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(5)


def probe(listener: str, port: int, proto: str = "tcp") -> Probe:
    return Probe("ams1", listener, HERE, port, proto, "123456" if listener == "vnc" else "abcdef012345")


def test_a_stream_is_told_the_mark() -> None:
    for listener, banner in (("ssh", b"SSH-2.0-x\r\n"), ("vnc", b"RFB 003.008\n")):
        with stream(banner, b"more") as (port, heard):
            sent = canary.send(probe(listener, port))
        assert sent.failure == ""
        assert heard == [sent.probe.payload]


def test_a_closed_port_is_a_failure() -> None:
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
    assert canary.send(probe("ssh", port)).failure == "connection refused"


def test_a_server_that_says_nothing_is_a_failure() -> None:
    with stream(b"", b"") as (port, _):
        assert canary.send(probe("sip", port)).failure == "closed without an answer"


def test_a_datagram_is_sent_again_until_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "TIMEOUT", 0.6)
    with datagrams(ignored=1) as (port, heard):
        sent = canary.send(probe("dns", port, "udp"))
    assert sent.failure == ""
    assert len(heard) == 2


def test_silence_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "TIMEOUT", 0.15)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HERE, 0))
        assert canary.send(probe("dns", server.getsockname()[1], "udp")).failure == "no answer"


def test_the_table_says_what_failed() -> None:
    found, lost, unanswered = probe("ssh", 22), probe("vnc", 5900), probe("sip", 5060)
    rows = [
        {"sensor": "ams1", "event": each.event, "daddr": HERE, "proto": "tcp", "data": dict([each.value]),
         "ts": 1000.0, "rts": 1000.25}
        for each in (found, unanswered)
    ]  # fmt: skip
    table, failed = canary.result([Sent(found, 0), Sent(lost, 0), Sent(unanswered, 0, "no answer")], rows)
    assert failed == 2
    shown = io.StringIO()
    Console(file=shown, width=200).print(table)
    text = shown.getvalue()
    assert "✔ received after 0.25 s" in text
    assert "✘ answered, and no event came" in text
    assert "✘ no answer, and its event came all the same" in text


def test_a_sensor_is_asked_for_the_listeners_that_it_has() -> None:
    every = Entry("ams1", "sensors", ("192.0.2.1",), 20022)
    some = Entry("sin1", "sensors", ("192.0.2.2", "192.0.2.3"), 20022, ("sip",))
    wanted = canary.wanted_of([every, some])
    assert {probe.listener for probe in wanted if probe.sensor == "ams1"} == {"ssh", "dns", "sip", "vnc"}
    rest = [(probe.listener, probe.address, probe.proto) for probe in wanted if probe.sensor == "sin1"]
    assert sorted(rest) == [("sip", address, proto) for address in some.addresses for proto in ("tcp", "udp")]
