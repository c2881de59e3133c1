"""Puts a daemon together: sockets, sessions, limits and the writer."""

from __future__ import annotations

import os
import socket
import time

from ... import protocols as _protocols
from ...shared.service import notify
from .datagrams import DatagramServer
from .loop import Loop
from .notices import Notices
from .session import Context, SettingError
from .streams import StreamLimits, StreamServer
from .writer import EventWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...event.line import Flow
    from .session import Service, Session, Writer

PING = 10.0
"""Seconds between two signs of life to systemd's watchdog; the unit's WatchdogSec is a multiple."""

GRACE = 0.5
"""Seconds that open connections have when the daemon stops."""


def protocols() -> list[str]:
    """The protocols that Python serves: those whose folder has a session.py."""
    folder = os.path.dirname(_protocols.__file__ or "")
    return sorted(name for name in os.listdir(folder) if os.path.isfile(f"{folder}/{name}/session.py"))


class Watchdog:
    """Tells systemd's watchdog that the loop still turns."""

    def __init__(self) -> None:
        self._next = 0.0

    def tick(self, now: float) -> float | None:
        """A sign of life when it is due."""
        if now >= self._next:
            notify("WATCHDOG=1")
            self._next = now + PING
        return self._next


class Daemon:
    """One protocol on the sockets that were handed over. With `writer` None the events go to the socket of the
    settings."""

    def __init__(
        self,
        protocol: str,
        sockets: Sequence[socket.socket],
        environment: Mapping[str, str],
        writer: Writer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sockets = sockets
        self.notices = Notices()
        self.loop = Loop(clock)
        self._own_writer: EventWriter | None = None
        context = Context(environment, self.notices, self.loop.clock)
        if writer is None:
            path = context.text("event_socket")
            writer = self._own_writer = EventWriter(path, f"strandline-{protocol}", self.notices, hurry=self.loop.hurry)
        limits = StreamLimits(
            total=context.number("connections", 1, 8192),
            per_source=context.number("connections_per_source", 1, 8192),
            idle=context.number("idle_seconds", 1, 3600),
            lifetime=context.number("lifetime_seconds", 1, 86400),
        )
        # Imported where it is needed: each daemon does without the others' protocols.
        name = f"{_protocols.__name__}.{protocol}.session"
        service: Service = getattr(__import__(name, fromlist=["serve"]), "serve")(context)  # noqa: B009 - not typed
        streams = [sock for sock in sockets if sock.type == socket.SOCK_STREAM]
        datagrams = [sock for sock in sockets if sock.type in (socket.SOCK_DGRAM, socket.SOCK_RAW)]
        for there, what in ((service.make_session or not streams, "TCP"), (service.handle or not datagrams, "UDP")):
            if not there:
                raise SettingError(f"{protocol} does not speak {what}: see the ports in its events.yml")
        if service.handle is not None:
            for sock in datagrams:
                DatagramServer(self.loop, sock, service.handle, writer, self.notices)
        self._streams = StreamServer(self.loop, streams, service.make_session or _nobody, writer, self.notices, limits)
        # After the connections: their ends are events, too.
        if self._own_writer is not None:
            self.loop.every_turn(self._own_writer)
        self.loop.every_turn(self.notices)

    def run(self) -> None:
        """Serve until the loop is stopped, then log what is unfinished."""
        if "NOTIFY_SOCKET" in os.environ:
            self.loop.every_turn(Watchdog())
        notify("READY=1")
        self.loop.run()
        notify("STOPPING=1")
        # Who is in the middle of something may finish it; new ones wait for the next daemon.
        self._streams.refuse()
        self.loop.run_out(GRACE, lambda: not len(self._streams))
        self._streams.close()
        if self._own_writer is not None:
            self._own_writer.close()
        self.notices.report()
        self.loop.close()


def _nobody(_flow: Flow) -> Session:
    raise AssertionError("there is no TCP socket")
