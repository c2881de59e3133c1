"""What a protocol's session.py and the daemon say to each other. No sockets here.

`serve(context)` of a protocol's session.py gives a Service: what makes a session for each TCP connection, and what
takes the datagrams, each where the protocol has such ports.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from ...event.line import Event, Flow
    from .notices import Notices
    from .sockets import Datagram

    class Session(Protocol):
        """One TCP connection's protocol."""

        def begin(self) -> Step:
            """The connection stands."""

        def feed(self, data: bytes) -> Step:
            """Bytes came, in whatever pieces."""

        def end(self, reason: str) -> list[Event]:
            """No more will come: `closed` by the peer, `timeout`, or `evicted` for another connection."""

    class Writer(Protocol):
        """Where events go."""

        def write(self, happened: Event, flow: Flow) -> None:
            """Take the event; neither blocks nor raises."""

    Handler = Callable[[Datagram, float], tuple[Sequence[Event], bytes | None]]
    """A datagram and the time (monotonic seconds) to events and the reply, or None."""


class SettingError(ValueError):
    """A setting that can't be used; the text says which and what would do."""


class Step:
    """What a session wants: bytes to send, events to log, whether the client made progress, whether this is the end.

    `more`: what came holds more than one turn's share, go on with `feed(b"")` before reading on. `wake`: call
    `feed(b"")` after this number of seconds, even if data arrives first; a later `wake` replaces an earlier one. Use
    few different values: each has a queue of its own.
    """

    __slots__ = ("close", "events", "more", "progress", "send", "wake")

    def __init__(
        self, send: bytes = b"", events: Sequence[Event] = (), progress: bool = False, close: bool = False
    ) -> None:
        self.send, self.events, self.progress, self.close = send, events, progress, close
        self.more = False
        self.wake: float | None = None


class Context:
    """What a protocol may want: a clock (monotonic seconds), notices for the operator, and its settings.

    A setting NAME comes from the environment as STRANDLINE_NAME, in capitals. There are no defaults here: the unit
    gives every setting, from the protocol's events.yml and the role's listener_python_defaults.
    """

    __slots__ = ("_environment", "clock", "notices")

    def __init__(self, environment: Mapping[str, str], notices: Notices, clock: Callable[[], float]) -> None:
        self._environment, self.notices, self.clock = environment, notices, clock

    def text(self, name: str) -> str:
        """A setting as text. Raises SettingError when it is missing."""
        variable = f"STRANDLINE_{name.upper()}"
        try:
            return self._environment[variable]
        except KeyError:
            raise SettingError(f"{variable} is missing: run ./strandline site, which writes it into the unit") from None

    def number(self, name: str, low: int, high: int) -> int:
        """A setting that is a whole number. Raises SettingError."""
        text = self.text(name)
        if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
            raise SettingError(f"STRANDLINE_{name.upper()} is {text!r}: set it to a whole number from {low} to {high}")
        return int(text)


class Service:
    """A protocol, ready to be served."""

    __slots__ = ("handle", "make_session")

    def __init__(self, make_session: Callable[[Flow], Session] | None = None, handle: Handler | None = None) -> None:
        self.make_session, self.handle = make_session, handle
