"""TCP connections with their deadlines and caps.

A session (SIP over a stream, RFB) is given bytes and gives back a Step; it knows no socket and no clock. The table
makes sure that a new connection is always served: when it is full the connection that made no progress for the
longest time has to go.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from functools import partial

from ...event.line import Flow
from .faults import report
from .limits import Deadlines
from .loop import READABLE, WRITABLE
from .sockets import plain_address, source_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .loop import Loop
    from .notices import Notices
    from .session import Session, Step, Writer

ACCEPTS_PER_TURN = 64
"""How much one socket may do before the others have their turn."""

RECEIVE_SIZE = 4096
"""Bytes read at once from a connection."""

STREAM_BUFFER = 16384
"""SO_RCVBUF of a connection: the kernel's memory for it counts as ours."""

EVICTED = "connections ended early because the table, or their source's share of it, was full"
STARVED = "accepts that failed for want of descriptors or memory"


class StreamLimits:
    """What TCP connections may cost: numbers of connections, times in seconds, `unsent` in bytes."""

    __slots__ = ("drain", "idle", "lifetime", "per_source", "total", "unsent")

    def __init__(
        self,
        total: int = 512,
        per_source: int = 64,
        idle: float = 60.0,
        lifetime: float = 600.0,
        drain: float = 2.0,
        unsent: int = 32768,
    ) -> None:
        self.total, self.per_source = total, per_source
        self.idle, self.lifetime, self.drain, self.unsent = idle, lifetime, drain, unsent


class Connection:
    """A TCP connection and its session."""

    __slots__ = ("draining", "flow", "mask", "session", "socket", "source", "unsent")

    def __init__(self, sock: socket.socket, session: Session, flow: Flow, source: bytes) -> None:
        self.socket, self.session, self.flow, self.source = sock, session, flow, source
        self.unsent = b""
        self.draining = False
        self.mask = 0


class StreamServer:
    """Listening TCP sockets and the table of their connections."""

    def __init__(
        self,
        loop: Loop,
        listeners: Sequence[socket.socket],
        make_session: Callable[[Flow], Session],
        writer: Writer,
        notices: Notices,
        limits: StreamLimits,
    ) -> None:
        self._loop, self._make_session, self._writer, self._notices = loop, make_session, writer, notices
        self._limits = limits
        self._listeners = listeners
        self._idle: Deadlines = Deadlines(limits.idle)
        self._life: Deadlines = Deadlines(limits.lifetime)
        self._drain: Deadlines = Deadlines(limits.drain)
        self._wakes: dict[float, Deadlines] = {}  # by how long the session wished to wait
        self._of_source: dict[bytes, Deadlines] = {}
        self._behind: dict[Connection, None] = {}  # what they sent is not all worked off
        for listener in listeners:
            listener.setblocking(False)
            # Connections inherit both.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STREAM_BUFFER)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            loop.watch(listener, READABLE, partial(self._accept, listener))
        loop.every_turn(self)

    def __len__(self) -> int:
        return len(self._life)

    def tick(self, now: float) -> float | None:
        """Work off what was left, end what is over; returns when the next deadline is."""
        for connection in list(self._behind):
            if not connection.unsent:  # its client takes what we have for it, before there is more
                self._feed(connection, b"")
        for wakes in list(self._wakes.values()):
            for connection in wakes.expired(now):
                self._feed(connection, b"")
        for connection in self._drain.expired(now):
            self._close(connection)
        for deadlines in (self._idle, self._life):
            for connection in deadlines.expired(now):
                self._end(connection, "timeout")
        if any(not connection.unsent for connection in self._behind):
            return now
        deadlines_of_all = (self._idle, self._life, self._drain, *self._wakes.values())
        return min((at for at in [deadlines.next() for deadlines in deadlines_of_all] if at is not None), default=None)

    def refuse(self) -> None:
        """Accept no more: what comes waits in the listening sockets for the next daemon."""
        for listener in self._listeners:
            self._loop.forget(listener)

    def close(self) -> None:
        """End every connection, as when its peer had closed it."""
        while (connection := self._life.oldest()) is not None:
            self._end(connection, "closed")

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, peer = listener.accept()
                local = sock.getsockname()
            except BlockingIOError:
                return
            except ConnectionError:  # gone before we came
                continue
            except OSError:
                # No descriptor or no memory left: make room and come again. Waiting for luck would spin.
                self._notices.count(STARVED)
                self._evict(self._dispensable())
                return
            flow = Flow(plain_address(peer[0]), peer[1], plain_address(local[0]), local[1], "tcp")
            self._admit(sock, flow)

    def _admit(self, sock: socket.socket, flow: Flow) -> None:
        source = source_prefix(flow.saddr, 32, 64)
        of_source = self._of_source.get(source)
        if of_source is not None and len(of_source) >= self._limits.per_source:
            self._evict(of_source.oldest())
        if len(self._life) >= self._limits.total:
            self._evict(self._dispensable())
        connection = Connection(sock, self._make_session(flow), flow, source)
        now = self._loop.clock()
        self._life.set(connection, now)
        self._progress(connection, now)
        sock.setblocking(False)
        self._watch(connection)
        self._apply(connection, connection.session.begin())

    def _progress(self, connection: Connection, now: float) -> None:
        self._idle.set(connection, now)
        self._of_source.setdefault(connection.source, Deadlines(self._limits.idle)).set(connection, now)

    def _watch(self, connection: Connection) -> None:
        # Who does not read our answers is not listened to: so that what is unsent stays bounded.
        mask = WRITABLE if connection.unsent else READABLE
        if mask != connection.mask:
            connection.mask = mask
            call = self._writable if connection.unsent else self._readable
            self._loop.watch(connection.socket, mask, partial(call, connection))

    def _readable(self, connection: Connection) -> None:
        if connection.socket.fileno() < 0 or connection in self._behind:  # closed earlier in this very turn, or busy
            return
        try:
            data = connection.socket.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(connection, "closed")
        elif not connection.draining:
            self._feed(connection, data)

    def _feed(self, connection: Connection, data: bytes) -> None:
        self._behind.pop(connection, None)
        try:
            step = connection.session.feed(data)
        except Exception:
            report(self._notices)
            self._close(connection)
            return
        if step.more:
            self._behind[connection] = None
            self._loop.hurry()
        self._apply(connection, step)

    def _writable(self, connection: Connection) -> None:
        if connection.socket.fileno() < 0:
            return
        self._send(connection, b"")
        if connection in self._behind and not connection.unsent:
            self._loop.hurry()

    def _apply(self, connection: Connection, step: Step) -> None:
        for happened in step.events:
            self._writer.write(happened, connection.flow)
        if step.progress:
            self._progress(connection, self._loop.clock())
        if step.wake is not None:
            self._forget_wake(connection)
            self._wakes.setdefault(step.wake, Deadlines(step.wake)).set(connection, self._loop.clock())
        if step.close:
            self._forget_wake(connection)
            # Not close(): with something unread it would send a reset, and the answer might never be seen
            # (RFC 2525, section 2.17).
            connection.draining = True
            self._idle.forget(connection)
            self._drain.set(connection, self._loop.clock())
        self._send(connection, step.send)

    def _send(self, connection: Connection, data: bytes) -> None:
        """Send what is unsent, and then this."""
        data = connection.unsent + data
        sent = 0
        if data:
            try:
                sent = connection.socket.send(data)
            except BlockingIOError:
                pass
            except OSError:
                self._end(connection, "closed")
                return
        connection.unsent = data[sent:]
        if len(connection.unsent) > self._limits.unsent:
            self._end(connection, "closed")
            return
        if connection.draining and not connection.unsent:
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_WR)
        self._watch(connection)

    def _dispensable(self) -> Connection | None:
        """Whose end costs least: who was already answered, else who made no progress for the longest time."""
        return self._drain.oldest() or self._idle.oldest()

    def _evict(self, connection: Connection | None) -> None:
        if connection is not None:
            self._notices.count(EVICTED)
            self._end(connection, "evicted")

    def _end(self, connection: Connection, reason: str) -> None:
        """Log what the session still has to say, and close."""
        if not connection.draining:
            try:
                events = connection.session.end(reason)
            except Exception:
                report(self._notices)
                events = []
            for happened in events:
                self._writer.write(happened, connection.flow)
        self._close(connection)

    def _forget_wake(self, connection: Connection) -> None:
        for wakes in self._wakes.values():
            wakes.forget(connection)

    def _close(self, connection: Connection) -> None:
        for deadlines in (self._idle, self._life, self._drain):
            deadlines.forget(connection)
        self._forget_wake(connection)
        self._behind.pop(connection, None)
        of_source = self._of_source.get(connection.source)
        if of_source is not None:
            of_source.forget(connection)
            if not len(of_source):
                del self._of_source[connection.source]
        self._loop.forget(connection.socket)
        connection.socket.close()
