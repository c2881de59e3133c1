"""UDP sockets."""

from __future__ import annotations

import socket

from .faults import report
from .loop import READABLE
from .sockets import DatagramPort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .loop import Loop
    from .notices import Notices
    from .session import Handler, Writer
    from .sockets import Datagram

DATAGRAMS_PER_TURN = 64
"""How much one socket may do before the others have their turn."""

BYTES_PER_TURN = 262144
"""Bytes that are read in a turn, but for the last datagram: they are kept until all of them are answered."""

KERNEL_DROPS = "datagrams dropped by the kernel because we were too slow"


class DatagramServer:
    """A UDP socket: each datagram goes to `handle`, which gives back the events and the reply (or None)."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        handle: Handler,
        writer: Writer,
        notices: Notices,
    ) -> None:
        self._loop, self._handle, self._writer, self._notices = loop, handle, writer, notices
        self._port = DatagramPort(sock)
        self._kernel_drops = 0
        loop.watch(sock, READABLE, self._readable)

    def _readable(self) -> bool:
        # All are read, then all are logged, then all are answered: no answer goes before its event, the kernel and the
        # processor's caches do one thing at a time, and the events' reader is woken once.
        answers = []
        happened = []
        for datagram in self._receive():
            try:
                events, answer = self._handle(datagram, self._loop.clock())
            except Exception:
                report(self._notices)
                continue
            for event in events:
                happened.append((event, datagram.flow))
            if answer is not None:
                answers.append((datagram, answer))
        for event, flow in happened:
            self._writer.write(event, flow)
        for datagram, answer in answers:
            self._port.reply(datagram, answer)
        new = (self._port.kernel_drops - self._kernel_drops) & 0xFFFFFFFF
        if new:
            self._kernel_drops = self._port.kernel_drops
            self._notices.count(KERNEL_DROPS, new)
        return self._notices.pending()

    def _receive(self) -> list[Datagram]:
        """What waits, at most as much as a turn may take."""
        received: list[Datagram] = []
        room = BYTES_PER_TURN
        while len(received) < DATAGRAMS_PER_TURN and room > 0 and (datagram := self._port.receive()) is not None:
            received.append(datagram)
            room -= len(datagram.data)
        return received
