"""Every other port: what a client says first in, an event out. Nothing is ever said."""

from __future__ import annotations

from ...event.line import Event
from ...sensor.listener.session import Service, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...sensor.listener.session import Context
    from ...sensor.listener.sockets import Datagram


def serve(_context: Context) -> Service:
    """It has no settings of its own."""
    return Service(lambda _flow: Session(), handle)


def handle(datagram: Datagram, _now: float) -> tuple[list[Event], None]:
    """One event for each datagram, and no answer."""
    return [_contact("no", "data", datagram.data)], None


class Session:
    """One TCP connection: its first bytes, and its end."""

    def begin(self) -> Step:
        """The client speaks first, or nobody does."""
        return Step()

    def feed(self, data: bytes) -> Step:
        """Write down what came, and close."""
        return Step(events=[_contact("yes", "data", data)], progress=True, close=True)

    def end(self, reason: str) -> list[Event]:
        """Not a byte came."""
        return [_contact("yes", reason, b"")]


def _contact(verified: str, reason: str, data: bytes) -> Event:
    return Event("any.contact", {"verified": verified, "reason": reason, "size": str(len(data))}, {"data": data})
