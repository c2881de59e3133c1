"""A time server for the scenario's hosts, which can tell each of them another time."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

ADDRESS = ("198.51.100.1", 123)  # this machine, as the hosts see it
EPOCH = 2_208_988_800  # seconds from 1900 to 1970
PACKET = struct.Struct("!BBbb11I")  # RFC 5905, section 7.3
SERVER = 0o44  # no leap second, version 4, mode 4
STRATUM, PRECISION = 1, -20  # 2^-20 s


def stamp(seconds: float) -> tuple[int, int]:
    """A time since 1970 as NTP writes it: seconds since 1900 and their fraction."""
    whole = int(seconds)
    return whole + EPOCH, int((seconds - whole) * 2**32)


class Clock:
    """Answers who asks for the time."""

    def __init__(self) -> None:
        self.ahead: dict[str, float] = {}
        """By how many seconds each asker's time is to be ahead of the true one."""
        self._ended = threading.Event()
        self._endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._endpoint.bind(ADDRESS)
        self._endpoint.settimeout(0.5)

    def answer(self, request: bytes, address: str) -> bytes:
        """The answer to a client's packet: its transmit time comes back as the origin (RFC 5905, section 8)."""
        now = stamp(time.time() + self.ahead.get(address, 0.0))
        asked = struct.unpack("!2I", request[40:48])
        return PACKET.pack(SERVER, STRATUM, 6, PRECISION, 0, 0, 0, *now, *asked, *now, *now)

    def serve(self) -> None:
        """Answer until the end."""
        with self._endpoint:
            while not self._ended.is_set():
                try:
                    request, peer = self._endpoint.recvfrom(512)
                except TimeoutError:
                    continue
                if len(request) >= PACKET.size:
                    self._endpoint.sendto(self.answer(request, peer[0]), peer)

    def end(self) -> None:
        """Answer no more."""
        self._ended.set()


@contextmanager
def ticking() -> Iterator[Clock]:
    """A time server, for as long as the body takes."""
    clock = Clock()
    thread = threading.Thread(target=clock.serve, daemon=True)
    thread.start()
    try:
        yield clock
    finally:
        clock.end()
        thread.join()
