"""An RFB server that lets nobody in: bytes in, events and bytes out. No sockets here.

ProtocolVersion, security type, VNC authentication with a challenge that nobody can foresee, failure (RFC 6143,
section 7.1). The type None fails as well: with SecurityResult in 3.8, with the end of the connection in 3.7, which
knows none there.
"""

from __future__ import annotations

import os
import re

from ...event.line import Event
from ...sensor.listener.session import Service, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...sensor.listener.session import Context

BANNER = b"RFB 003.008\n"
CHALLENGE_SIZE = 16

NONE = 1
VNC_AUTHENTICATION = 2
"""Security types (section 7.1.2)."""

OFFERED = (VNC_AUTHENTICATION, NONE)
"""Most clients take the first that they know: then there is a response to log. None is what a search for open
screens wants."""

_OK_TO_FAIL = (1).to_bytes(4, "big")  # SecurityResult: failed (section 7.1.3)
_FAILED = b"Authentication failed"
_NOT_OFFERED = b"Unsupported security type"


# ProtocolVersion (section 7.1.1): three digits each, and a line feed. Fewer digits can be read as well, another line
# end or none does not hide them, and what still misses something may get it with the next bytes.
_VERSION = re.compile(rb"RFB (\d{3})\.(\d{3})|RFB (\d{1,3})\.(\d{1,3})(?=[^\d])")
_BEGUN = re.compile(rb"RFB \d{1,3}(?:\.\d{0,2})?")
_SHORT = re.compile(rb"RFB \d{1,2}\.\d{1,3}")
_LINE_END = re.compile(rb"[ \t]*\r?\n|\r")


def protocol_version(data: bytes) -> bytes | None:
    """The client's ProtocolVersion without its line end: empty while more bytes are needed, None for anything else."""
    whole = _VERSION.match(data)
    if whole is not None:
        return whole[0]
    return b"" if b"RFB ".startswith(data) or _BEGUN.fullmatch(data) else None


def negotiated(version: bytes) -> str:
    """`3.3`, `3.7` or `3.8` for a ProtocolVersion.

    Section 7.1.1 takes unknown versions for 3.3. The clients that really send them know better: 3.889 (Apple), 4.x
    and 5.x (RealVNC) go on with the handshake of 3.8, which TigerVNC and libvncserver count on; 3.4 to 3.6 are 3.3.
    """
    major, _, minor = version[4:].partition(b".")
    number = (int(major), int(minor))
    if number < (3, 7):
        return "3.3"
    return "3.7" if number == (3, 7) else "3.8"


def serve(_context: Context) -> Service:
    """RFB has no settings of its own."""
    return Service(lambda _flow: Session())


class Session:
    """One client. `challenge` gives the 16 bytes of a challenge."""

    def __init__(self, challenge: Callable[[], bytes] = lambda: os.urandom(CHALLENGE_SIZE)) -> None:
        self._make_challenge = challenge
        self._challenge = b""
        self._version = ""
        self._buffer = b""
        self._line_end = False  # the version was read, its line end may still come
        self._wanted = 1
        self._next: Callable[[bytes], Step] = self._read_security_type

    def begin(self) -> Step:
        """The server speaks first (section 7.1.1)."""
        return Step(send=BANNER)

    def feed(self, data: bytes) -> Step:
        """Go on as far as the bytes reach."""
        self._buffer += data
        step = Step()
        events: list[Event] = []
        if not self._version:
            version = protocol_version(self._buffer)
            if version is None:
                return self._garbage()
            if not version:
                return step
            self._buffer = self._buffer[len(version) :]
            self._line_end = True
            greeted = self._begin_handshake(version)
            events += greeted.events
            step = Step(greeted.send, events, True)
        self._drop_line_end()
        while not step.close and len(self._buffer) >= self._wanted:
            taken, self._buffer = self._buffer[: self._wanted], self._buffer[self._wanted :]
            reached = self._next(taken)
            events += reached.events
            step = Step(step.send + reached.send, events, True, reached.close)
        return step

    def _drop_line_end(self) -> None:
        """A client's choice is a byte; one that follows the version and looks like a line end is that line's end."""
        if not self._line_end or not self._buffer:
            return
        end = _LINE_END.match(self._buffer)
        if end is not None:
            self._buffer = self._buffer[end.end() :]
        # After a carriage return the line feed may still come.
        self._line_end = end is not None and end[0] == b"\r"

    def end(self, reason: str) -> list[Event]:
        """Who sent no version is logged here; of the others everything is logged already."""
        if self._version:
            return []
        if _SHORT.fullmatch(self._buffer):  # nothing came that would have told that its digits are all
            return [Event("vnc.client", {}, {"version": self._buffer})]
        return [Event("vnc.malformed", {"reason": reason}, {"data": self._buffer})]

    def _garbage(self) -> Step:
        return Step(events=[Event("vnc.malformed", {"reason": "garbage"}, {"data": self._buffer})], close=True)

    def _begin_handshake(self, version: bytes) -> Step:
        self._version = negotiated(version)
        client = Event("vnc.client", {}, {"version": version})
        if self._version == "3.3":  # the server decides (section 7.1.2)
            challenge = self._ask()
            return Step(VNC_AUTHENTICATION.to_bytes(4, "big") + challenge, [client, self._security(VNC_AUTHENTICATION)])
        return Step(bytes([len(OFFERED), *OFFERED]), [client])

    def _read_security_type(self, chosen: bytes) -> Step:
        number = chosen[0]
        events = [self._security(number)]
        if number == VNC_AUTHENTICATION:
            return Step(self._ask(), events)
        if number == NONE:
            return Step(self._failure(_FAILED) if self._version == "3.8" else b"", events, close=True)
        return Step(self._failure(_NOT_OFFERED), events, close=True)

    def _read_response(self, response: bytes) -> Step:
        answered = Event(
            "vnc.auth",
            {"version": self._version, "challenge": self._challenge.hex(), "response": response.hex()},
            {},
        )
        return Step(self._failure(_FAILED), [answered], close=True)

    def _security(self, number: int) -> Event:
        return Event("vnc.security", {"version": self._version, "security_type": str(number)}, {})

    def _ask(self) -> bytes:
        self._challenge = self._make_challenge()
        self._wanted, self._next = CHALLENGE_SIZE, self._read_response
        return self._challenge

    def _failure(self, reason: bytes) -> bytes:
        """SecurityResult, with a reason since 3.8 (section 7.1.3)."""
        if self._version != "3.8":
            return _OK_TO_FAIL
        return _OK_TO_FAIL + len(reason).to_bytes(4, "big") + reason
