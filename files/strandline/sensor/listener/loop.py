"""The event loop."""

from __future__ import annotations

import os
import select
import socket
import time
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Ticker(Protocol):
        """What has something to do from time to time."""

        def tick(self, now: float) -> float | None:
            """Do what is due; returns when to come again (monotonic seconds), None for no wish."""


READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT
NEVER = float("inf")

TICK = 0.01
"""Seconds that what is due may have to wait while much is going on."""


class Loop:
    """epoll, and what is due in between. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._epoll = select.epoll()
        self._calls: dict[int, Callable[[], bool | None]] = {}
        self._tickers: list[Ticker] = []
        self._due = 0.0
        self._stopping = False
        # Wakes the loop: epoll is resumed after a signal (PEP 475), a byte in a pipe is seen.
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(self._wake_read, READABLE)
        self._calls[self._wake_read] = self._woken

    def watch(self, sock: socket.socket, mask: int, call: Callable[[], bool | None]) -> None:
        """Call `call` whenever the socket is ready for `mask`; replaces an earlier wish.

        It returns false when nothing that ticks has anything new to do.
        """
        descriptor = sock.fileno()
        if descriptor in self._calls:
            self._epoll.modify(descriptor, mask)
        else:
            self._epoll.register(descriptor, mask)
        self._calls[descriptor] = call

    def forget(self, sock: socket.socket) -> None:
        """Watch the socket no longer; before it is closed."""
        del self._calls[sock.fileno()]
        self._epoll.unregister(sock.fileno())

    def hurry(self) -> None:
        """Let everything tick in the next turn."""
        self._due = 0.0

    def every_turn(self, ticker: Ticker) -> None:
        """Let it tick when it wishes to, and soon after anything happened."""
        self._tickers.append(ticker)

    def stop(self, *_: object) -> None:
        """End `run` after the present turn; fit for a signal handler and for another thread."""
        self._stopping = True
        with suppress(OSError):
            os.write(self._wake_write, b"\0")

    def run(self) -> None:
        """Serve until `stop`."""
        while not self._stopping:
            self._turn(None)

    def run_out(self, seconds: float, done: Callable[[], bool]) -> None:
        """Serve on until `done`, at most so long."""
        end = self.clock() + seconds
        while self.clock() < end and not done():
            self._turn(end)

    def _turn(self, end: float | None) -> None:
        now = self.clock()
        if now >= self._due:
            wishes = [at for at in [ticker.tick(now) for ticker in self._tickers] if at is not None]
            self._due = min(wishes, default=NEVER)
        until = self._due if end is None else min(self._due, end)
        ready = self._epoll.poll(None if until == NEVER else max(0.0, until - now))
        for descriptor, _ in ready:
            call = self._calls.get(descriptor)  # none: closed earlier in this very turn
            if call is not None and call() is not False:
                self._due = min(self._due, now + TICK)

    def close(self) -> None:
        """Give back the loop's own descriptors; not those it watched."""
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _woken(self) -> None:
        with suppress(OSError):
            os.read(self._wake_read, 64)
