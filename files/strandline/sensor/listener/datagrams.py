"""UDP sockets, and raw ones for protocols without ports."""

from __future__ import annotations

import socket

from .faults import report
from .loop import READABLE
from .sockets import DatagramPort, PacketPort

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .loop import Loop
    from .notices import Notices
    from .session import Handler, Writer

DATAGRAMS_PER_TURN = 64
"""How much one socket may do before the others have their turn."""

GROWTH = 8
"""Batches of datagrams that must be whole before larger ones are tried."""

KERNEL_DROPS = "datagrams dropped by the kernel because we were too slow"


class DatagramServer:
    """A UDP or raw socket: each datagram goes to `handle`, which gives back the events and the reply (or None)."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        handle: Handler,
        writer: Writer,
        notices: Notices,
    ) -> None:
        self._loop, self._handle, self._writer, self._notices = loop, handle, writer, notices
        self._port = PacketPort(sock) if sock.type == socket.SOCK_RAW else DatagramPort(sock)
        self._kernel_drops = 0
        self._batch = 1
        self._growth = GROWTH
        loop.watch(sock, READABLE, self._readable)

    def _readable(self) -> None:
        # As many as there were the last time, and now and then twice as many: to ask for one that is not there costs as
        # much as a part of an event.
        for taken in range(self._batch):
            datagram = self._port.receive()
            if datagram is None:
                self._batch = max(1, taken)
                self._growth = GROWTH
                break
            try:
                events, answer = self._handle(datagram, self._loop.clock())
            except Exception:
                report(self._notices)
                continue
            for happened in events:
                self._writer.write(happened, datagram.flow)
            if answer is not None:
                self._port.reply(datagram, answer)
        else:
            self._growth -= 1
            if self._growth <= 0:
                self._batch = min(2 * self._batch, DATAGRAMS_PER_TURN)
        new = (self._port.kernel_drops - self._kernel_drops) & 0xFFFFFFFF
        if new:
            self._kernel_drops = self._port.kernel_drops
            self._notices.count(KERNEL_DROPS, new)
