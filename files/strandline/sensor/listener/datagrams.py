"""UDP sockets."""

from __future__ import annotations

import socket
import time

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

GATHER = 0.0005
"""Seconds that a turn waits for more before it reads, if the one before it found several: scanners send in bursts, and
to be woken costs more than all the work for one datagram. No PBX answers faster."""

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
        self._gather = False
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
        if self._gather:
            time.sleep(GATHER)
        received: list[Datagram] = []
        room = BYTES_PER_TURN
        while len(received) < DATAGRAMS_PER_TURN and room > 0:
            datagram = self._port.receive()
            if datagram is None:
                # To ask for one that is not there costs as much as a part of an event.
                self._gather = len(received) > 1
                return received
            received.append(datagram)
            room -= len(datagram.data)
        self._gather = False
        return received
