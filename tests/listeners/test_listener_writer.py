"""The way to syslog-ng's socket: never hangs, loses nothing in a restart, counts what it drops."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from strandline.event.line import Event, Flow
from strandline.sensor.listener import writer as writer_module
from strandline.sensor.listener.notices import Notices
from strandline.sensor.listener.writer import BACKLOG_MAX, DROPPED, EventWriter

FLOW = Flow("192.0.2.7", 1, "203.0.113.9", 5900, "tcp")


def event(text: bytes) -> Event:
    return Event("vnc.client", {}, {"version": text})


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "socket")


@pytest.fixture
def notices() -> Notices:
    return Notices(lambda _: None)


@pytest.fixture
def writer(path: str, notices: Notices) -> Iterator[EventWriter]:
    made = EventWriter(path, "strandline-vnc", notices, lambda: 1764036738_123456789)
    yield made
    made.close(0)


def reader(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.bind(path)
    made.setblocking(False)
    return made


def read_all(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(65536))
        except BlockingIOError:
            return found


def test_a_message(path: str, writer: EventWriter) -> None:
    with reader(path) as sock:
        writer.write(event(b"RFB 003.008"), FLOW)
        (message,) = read_all(sock)
    pid = os.getpid()
    assert message.startswith(
        f"<134>1 2025-11-25T02:12:18.123456Z - strandline-vnc {pid} - - event=vnc.client ".encode()
    )
    assert message.endswith(b'version="RFB 003.008"')


def test_a_missing_reader_is_waited_for(path: str, writer: EventWriter, notices: Notices) -> None:
    writer.write(event(b"a"), FLOW)
    assert writer.tick(5.0) == 5.0 + writer_module.RETRY
    with reader(path) as sock:
        writer.write(event(b"b"), FLOW)
        assert writer.tick(6.0) is None
        assert [m[-3:] for m in read_all(sock)] == [b'"a"', b'"b"']
    assert notices.total(DROPPED) == 0


def test_a_replaced_reader_is_found(path: str, writer: EventWriter) -> None:
    with reader(path) as sock:
        writer.write(event(b"a"), FLOW)
        assert len(read_all(sock)) == 1
    Path(path).unlink()
    with reader(path) as sock:
        writer.write(event(b"b"), FLOW)
        assert [m[-3:] for m in read_all(sock)] == [b'"b"']


@pytest.mark.slow
def test_a_reader_that_stands_still_costs_no_time_and_bounded_memory(
    path: str, writer: EventWriter, notices: Notices
) -> None:
    with reader(path) as sock:
        began = time.monotonic()
        number = 20000
        for _ in range(number):
            writer.write(event(b"\x00" * 256), FLOW)
        assert time.monotonic() - began < 5
        dropped = notices.total(DROPPED)
        assert dropped > 0
        received = 0
        while more := len(read_all(sock)):
            received += more
            writer.tick(0.0)
        assert received + dropped == number
        assert BACKLOG_MAX < 2 * 1024 * 1024


def test_a_slow_reader_slows_down_the_writer_and_loses_nothing(
    path: str, writer: EventWriter, notices: Notices
) -> None:
    number, received = 12000, 0
    with reader(path) as sock:
        sock.setblocking(True)

        def read() -> None:
            nonlocal received
            while received < number:
                sock.recv(65536)
                received += 1

        slow = threading.Thread(target=read)
        slow.start()
        for turn in range(0, number, 200):
            for _ in range(200):
                writer.write(event(b"\x00" * 256), FLOW)
            writer.tick(float(turn))
        while writer.tick(0.0) is not None:
            pass
        slow.join(10)
    assert (received, notices.total(DROPPED)) == (number, 0)


def test_close_waits_for_the_reader_but_not_for_ever(path: str, notices: Notices) -> None:
    lonely = EventWriter(path, "strandline-vnc", notices)
    lonely.write(event(b"a"), FLOW)
    began = time.monotonic()
    lonely.close(0.3)
    assert 0.2 < time.monotonic() - began < 2
    assert notices.total(DROPPED) == 1
