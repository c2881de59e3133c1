"""Events to the sensor's syslog-ng: a datagram each, to its unix socket.

A listener must not stand still because its reader does, and must not lose events while the reader restarts. systemd
holds the reader's socket, whose queue (net.unix.max_dgram_qlen) takes most of it; what does not fit waits here, bounded
in bytes, and is tried again by the event loop. While much waits, each turn of the loop gives the reader a little time:
that slows down the other side (TCP's window, the kernel's queue) before anything is lost. Beyond the bound an event is
dropped and counted.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections import deque

from ...event import line as event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .notices import Notices

BACKLOG_MAX = 1024 * 1024
"""Bytes of events that may wait."""

RETRY = 0.02
"""Seconds between two tries while events wait."""

YIELD = 0.2
"""Seconds that a turn of the loop waits for the reader, at most, while more than half of what may wait does."""

DROPPED = "events dropped because syslog-ng did not take them"


class EventWriter:
    """Never raises, and never stands still; `close` waits at most its timeout for the reader."""

    def __init__(
        self,
        path: str,
        program: str,
        notices: Notices,
        wall: Callable[[], int] = time.time_ns,
        hurry: Callable[[], None] = lambda: None,
    ) -> None:
        """`hurry` asks the loop for a tick at once."""
        self._hurry = hurry
        self._path, self._program, self._notices, self._wall = path, program, notices, wall
        self._pid = os.getpid()
        self._socket: socket.socket | None = None
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0

    def write(self, happened: event.Event, flow: event.Flow) -> None:
        """Send the event, stamped with the present time."""
        message = event.datagram(happened, flow, self._wall(), self._program, self._pid)
        if self._waiting:
            self._flush()
        if not self._waiting and self._send(message):
            return
        if self._waiting_bytes + len(message) > BACKLOG_MAX:
            self._notices.count(DROPPED)
            return
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        if len(self._waiting) == 1 or self._waiting_bytes > BACKLOG_MAX // 2:
            self._hurry()

    def tick(self, now: float) -> float | None:
        """Send what waits, in order; returns when to try again (monotonic seconds), None when nothing waits."""
        self._flush()
        end = time.monotonic() + YIELD
        while self._waiting_bytes > BACKLOG_MAX // 2 and self._ready(end - time.monotonic()):
            self._flush()
        return now + RETRY if self._waiting else None

    def close(self, timeout: float = 2.0) -> None:
        """Give the reader `timeout` seconds for what waits; what is left is dropped and counted."""
        until = time.monotonic() + timeout
        while self.tick(time.monotonic()) is not None and time.monotonic() < until:
            time.sleep(RETRY)
        if self._waiting:
            self._notices.count(DROPPED, len(self._waiting))
            self._waiting.clear()
        self._disconnect()

    def _flush(self) -> None:
        while self._waiting and self._send(self._waiting[0]):
            self._waiting_bytes -= len(self._waiting.popleft())

    def _ready(self, seconds: float) -> bool:
        """Whether the reader takes more within this time (seconds)."""
        if self._socket is None or seconds <= 0:
            return False
        poll = select.poll()  # not select(): a descriptor may be above 1023
        poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))

    def _send(self, message: bytes) -> bool:
        """True when the message is off our hands. A dead socket is replaced once."""
        for _ in range(2):
            try:
                (self._socket or self._connected()).send(message)
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno == errno.EMSGSIZE:
                    self._notices.count(DROPPED)
                    return True
                if error.errno in (errno.ENOBUFS, errno.ENOMEM):
                    return False
                self._disconnect()
            else:
                return True
        return False

    def _connected(self) -> socket.socket:
        if self._socket is None:
            fresh = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                fresh.setblocking(False)
                fresh.connect(self._path)
            except OSError:
                fresh.close()
                raise
            self._socket = fresh
        return self._socket

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
