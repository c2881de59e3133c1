"""Puts a daemon together: sockets, sessions, limits and the writer."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

from .limits import TokenBuckets
from .notices import Notices
from .server import DatagramServer, Loop, StreamLimits, StreamServer
from .writer import EventWriter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...event.line import Flow
    from .server import Session, Writer

PROTOCOLS = ("sip", "vnc")

EVENT_SOCKET = "/run/strandline/events/socket"

PING = 10.0
"""Seconds between two signs of life to systemd's watchdog; the unit's WatchdogSec is a multiple."""

GRACE = 0.5
"""Seconds that open connections have when the daemon stops."""


class SettingError(ValueError):
    """A setting that can't be used; the text says which and what would do."""


def setting(environment: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A whole number from the environment."""
    text = environment.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise SettingError(f"{name} is {text!r}: set it to a whole number from {low} to {high}")
    return int(text)


class Watchdog:
    """Tells systemd that we started and still turn (sd_notify(3)). Without a socket it does nothing."""

    def __init__(self, path: str | None) -> None:
        self._path = "\0" + path[1:] if path and path.startswith("@") else path
        self._next = 0.0

    def tell(self, state: str) -> None:
        """Send the state; systemd's deafness is no reason to fail."""
        if self._path:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
                teller.setblocking(False)
                teller.sendto(state.encode("ascii"), self._path)

    def tick(self, now: float) -> float | None:
        """A sign of life when it is due."""
        if not self._path:
            return None
        if now >= self._next:
            self.tell("WATCHDOG=1")
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
        if writer is None:
            path = environment.get("STRANDLINE_EVENT_SOCKET", EVENT_SOCKET)
            writer = self._own_writer = EventWriter(path, f"strandline-{protocol}", self.notices, hurry=self.loop.hurry)
        limits = StreamLimits(
            total=setting(environment, "STRANDLINE_CONNECTIONS", 512, 1, 8192),
            per_source=setting(environment, "STRANDLINE_CONNECTIONS_PER_SOURCE", 64, 1, 8192),
            idle=setting(environment, "STRANDLINE_IDLE_SECONDS", 60, 1, 3600),
            lifetime=setting(environment, "STRANDLINE_LIFETIME_SECONDS", 600, 1, 86400),
        )
        streams = [sock for sock in sockets if sock.type == socket.SOCK_STREAM]
        make_session = self._sip(sockets, environment, writer) if protocol == "sip" else self._vnc()
        self._streams = StreamServer(self.loop, streams, make_session, writer, self.notices, limits)
        # After the connections: their ends are events, too.
        if self._own_writer is not None:
            self.loop.every_turn(self._own_writer)
        self.loop.every_turn(self.notices)

    def run(self, notify_socket: str | None = None) -> None:
        """Serve until the loop is stopped, then log what is unfinished."""
        watchdog = Watchdog(notify_socket)
        self.loop.every_turn(watchdog)
        watchdog.tell("READY=1")
        self.loop.run()
        watchdog.tell("STOPPING=1")
        # Who is in the middle of something may finish it; new ones wait for the next daemon.
        self._streams.refuse()
        self.loop.run_out(GRACE, lambda: not len(self._streams))
        self._streams.close()
        if self._own_writer is not None:
            self._own_writer.close()
        self.notices.report()
        self.loop.close()

    def _sip(
        self, sockets: Sequence[socket.socket], environment: Mapping[str, str], writer: Writer
    ) -> Callable[[Flow], Session]:
        # Imported where it is needed: the VNC daemon does without.
        from ...protocols.sip.answer import Persona  # noqa: PLC0415
        from ...protocols.sip.nonce import Prover  # noqa: PLC0415
        from ...protocols.sip.session import Answerer, DatagramHandler, StreamSession  # noqa: PLC0415

        persona = Persona(
            environment.get("STRANDLINE_SIP_SERVER", "Asterisk PBX 18.19.0"),
            environment.get("STRANDLINE_SIP_REALM", "asterisk"),
        )
        answerer = Answerer(persona, Prover(), self.loop.clock)
        rate = setting(environment, "STRANDLINE_SIP_REPLIES_PER_SECOND", 50, 1, 100000)
        total = setting(environment, "STRANDLINE_SIP_REPLIES_PER_SECOND_TOTAL", 1000, 1, 1000000)
        handler = DatagramHandler(answerer, TokenBuckets(rate, rate * 5, total, total * 2), self.notices)
        for sock in sockets:
            if sock.type == socket.SOCK_DGRAM:
                DatagramServer(self.loop, sock, handler, writer, self.notices)
        return lambda flow: StreamSession(answerer, flow)

    def _vnc(self) -> Callable[[Flow], Session]:
        from ...protocols.vnc.session import Session as RfbSession  # noqa: PLC0415

        return lambda _flow: RfbSession()
