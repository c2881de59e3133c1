"""Deadlines and buckets."""

from __future__ import annotations

import socket

from strandline.event.line import Flow
from strandline.protocols.vnc.session import Session
from strandline.sensor.listener.limits import Deadlines, TokenBuckets
from strandline.sensor.listener.notices import INTERVAL, Notices
from strandline.sensor.listener.streams import Connection


def connection(sock: socket.socket) -> Connection:
    return Connection(sock, Session(), Flow("192.0.2.7", 1, "203.0.113.9", 5900, "tcp"), b"")


def test_deadlines_expire_in_order() -> None:
    with socket.socket() as sock:
        a, b, c = connection(sock), connection(sock), connection(sock)
        deadlines = Deadlines(10)
        assert deadlines.next() is None
        deadlines.set(a, 0)
        deadlines.set(b, 1)
        deadlines.set(c, 2)
        deadlines.set(a, 3)
        assert deadlines.oldest() is b
        assert deadlines.next() == 11
        assert list(deadlines.expired(12)) == [b, c]
        deadlines.forget(a)
        deadlines.forget(a)
        assert len(deadlines) == 0


def test_a_bucket_for_each_and_one_for_all() -> None:
    buckets = TokenBuckets(rate=1, burst=2, total_rate=1, total_burst=5)
    assert [buckets.take(b"a", 0) for _ in range(3)] == [True, True, False]
    assert [buckets.take(bytes([n]), 0) for n in range(5)] == [True, True, True, False, False]
    assert buckets.take(b"a", 1)
    assert not buckets.take(b"a", 1)


def test_buckets_are_bounded() -> None:
    buckets = TokenBuckets(1, 1, 1e6, 1e6, keys_max=100)
    for n in range(10000):
        buckets.take(n.to_bytes(4, "big"), 0)
    assert len(buckets._buckets) <= 100


def test_notices_come_when_they_change_and_once_a_minute() -> None:
    written: list[str] = []
    notices = Notices(written.append)
    assert notices.tick(0.0) is None
    notices.count("lost", 2)
    assert notices.tick(1.0) is None
    assert written == ["<4>lost: 2 more, 2 since the start\n"]
    notices.count("lost")
    assert notices.tick(2.0) == 1.0 + INTERVAL
    assert notices.tick(1.0 + INTERVAL) is None
    assert written[1:] == ["<4>lost: 1 more, 3 since the start\n"]
    assert notices.tick(1000.0) is None
