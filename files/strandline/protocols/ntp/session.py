"""An NTP server: datagrams in, events and answers out. No sockets here.

It answers as chronyd does: mode 3 with a header of 48 bytes, and nothing else, in particular no mode 6 and 7. An answer
is never larger than its request.
"""

from __future__ import annotations

import os
import time

from ...event.line import Event
from ...sensor.listener.limits import TokenBuckets
from ...sensor.listener.persona import Persona
from ...sensor.listener.session import Service
from ...sensor.listener.sockets import source_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...sensor.listener.notices import Notices
    from ...sensor.listener.session import Context
    from ...sensor.listener.sockets import Datagram

CLIENT, SERVER, CONTROL, PRIVATE = 3, 4, 6, 7
"""Modes (RFC 5905, section 7.3)."""
SIZE = 48
"""Bytes of a packet without extensions."""
LEAST = {CLIENT: SIZE, CONTROL: 2, PRIVATE: 4}
"""Bytes of a mode's packet that say what it asks for."""
WITH_MAC = range(SIZE + 4, SIZE + 25)
"""Sizes of packets with a key's digest. We have no key, and chronyd without one does not answer these either."""
VERSIONS = range(1, 5)
"""Versions that chronyd answers."""
EPOCH = 2_208_988_800
"""Seconds from NTP's beginning, 1900, to 1970."""
UPDATES = ("64", "128", "256", "512", "1024")
"""Seconds between two updates of a clock, by its poll interval."""

WITHHELD_RATE = "NTP answers withheld because of the rate limit"


def serve(context: Context) -> Service:
    """NTP with the operator's limits."""
    rate = context.number("replies_per_second", 1, 100000)
    total = context.number("replies_per_second_total", 1, 1000000)
    buckets = TokenBuckets(rate, rate * 5, total, total * 2)
    return Service(handle=Handler(Clock(Persona()), buckets, context.notices))


class Clock:
    """What a server says of its clock. `wall` gives nanoseconds since 1970."""

    def __init__(self, persona: Persona, wall: Callable[[], int] = time.time_ns) -> None:
        self._wall = wall
        self._stratum = 2 + persona.number("ntp stratum", 2)
        self._precision = 256 - 23 - persona.number("ntp precision", 4)  # 2^-23 to 2^-26 seconds
        # Of a server that is asked over IPv6 it is a digest (RFC 5905, section 7.3), so that any number may be one.
        self._reference = (1 + persona.number("ntp reference", 2**32 - 1)).to_bytes(4, "big")
        self._interval = int(persona.choose("ntp update", UPDATES))
        self._phase = persona.number("ntp phase", self._interval)
        self._delay = 30 + persona.number("ntp delay", 2000)  # in units of 2^-16 s: 0.5 to 31 ms
        self._dispersion = 20 + persona.number("ntp dispersion", 300)

    def answer(self, request: bytes) -> bytes:
        """The answer to a packet of mode 3."""
        received = self._wall()
        age = (received // 1_000_000_000 + self._phase) % self._interval
        noise = os.urandom(8)  # below the clock's precision, as a real clock has it
        updated = received - age * 1_000_000_000 - int.from_bytes(noise[4:7], "big") % 1_000_000
        head = bytes([request[0] & 0x38 | SERVER, self._stratum, max(request[2], 6), self._precision])
        return b"".join(
            [
                head,
                (self._delay + noise[7] % 16).to_bytes(4, "big"),
                (self._dispersion + age // 8).to_bytes(4, "big"),
                self._reference,
                _timestamp(updated, noise[0]),
                request[40:48],  # what the client sent comes back as its originate timestamp
                _timestamp(received, noise[1]),
                _timestamp(self._wall(), noise[2]),
            ]
        )


def _timestamp(nanoseconds: int, noise: int) -> bytes:
    """64 bits: seconds since 1900 and their fraction (RFC 5905, section 6); the era's number is not in it."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    fraction = (rest << 32) // 1_000_000_000 & 0xFFFFFF00 | noise
    return ((seconds + EPOCH) % 2**32 << 32 | fraction).to_bytes(8, "big")


class Handler:
    """One event for each datagram, whatever it is."""

    def __init__(self, clock: Clock, buckets: TokenBuckets, notices: Notices) -> None:
        self._clock, self._buckets, self._notices = clock, buckets, notices

    def __call__(self, datagram: Datagram, now: float) -> tuple[list[Event], bytes | None]:
        """The event and the answer."""
        data = datagram.data
        event = event_of(data)
        if event.name != "ntp.request" or event.trusted["mode"] != "3":
            return [event], None
        if data[0] >> 3 & 7 not in VERSIONS or len(data) in WITH_MAC:
            return [event], None
        if not self._buckets.take(source_prefix(datagram.flow.saddr, 24, 56), now):
            self._notices.count(WITHHELD_RATE)
            return [event], None
        return [event], self._clock.answer(data)


def event_of(data: bytes) -> Event:
    """What the packet is, of the catalogue."""
    mode, version = (data[0] & 7, data[0] >> 3 & 7) if data else (None, None)
    reason = ""
    if mode is None or len(data) < LEAST.get(mode, 1):
        reason = "short"
    elif mode not in LEAST:
        reason = "mode"
    elif not version:  # not NTP: text, for example
        reason = "version"
    elif (mode == CONTROL and data[1] & 0x80) or (mode == PRIVATE and data[0] & 0x80):
        reason = "response"
    size, told = str(len(data)), {"mode": _number(mode), "version": _number(version)}
    if reason:
        return Event("ntp.malformed", {"verified": "no", "reason": reason, **told, "size": size}, {"data": data})
    asked = {
        "opcode": str(data[1] & 0x1F) if mode == CONTROL else "-",
        "implementation": str(data[2]) if mode == PRIVATE else "-",
        "code": str(data[3]) if mode == PRIVATE else "-",
    }
    transmit = data[40:48] if mode == CLIENT else b""
    return Event("ntp.request", {"verified": "no", **told, **asked, "size": size}, {"transmit": transmit, "data": data})


def _number(of: int | None) -> str:
    return "-" if of is None else str(of)
