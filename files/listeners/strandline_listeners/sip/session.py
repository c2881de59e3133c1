"""SIP over UDP and TCP: bytes in, events and answers out. No sockets here."""

from __future__ import annotations

from ..event import Event
from ..server import Step
from ..sockets import source_prefix
from .answer import Persona, compose, status
from .message import Request, credentials, first_line, is_response, parse, request_line
from .nonce import Prover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..event import Flow
    from ..limits import TokenBuckets
    from ..notices import Notices
    from ..sockets import Datagram

HEADERS_SIZE_MAX = 8192
"""Bytes of start line and headers that a stream may take; scanners send about 500."""

BODY_SIZE_MAX = 65536
"""Bytes of a body that are skipped on a stream; none is ever kept."""

MESSAGES_PER_TURN = 16
"""Messages that one stream may have before the others have their turn: one segment can hold hundreds."""

WITHHELD_LARGE = "SIP answers withheld over UDP because they would be larger than the request"
WITHHELD_RATE = "SIP answers withheld over UDP because of the rate limit"

_BLANK_LINES = (b"\n\r\n", b"\n\n")
_PING = b"\r\n\r\n"


def request_event(request: Request, verified: bool) -> Event:
    """sip.request of the catalogue."""
    sent = credentials(request)
    return Event(
        "sip.request",
        {"verified": "yes" if verified else "no", "malformed": request.malformed},
        {
            "method": request.method,
            "uri": request.uri,
            "from": request.header(b"from"),
            "to": request.header(b"to"),
            "contact": request.header(b"contact"),
            "call_id": request.header(b"call-id"),
            "cseq": request.header(b"cseq"),
            "user_agent": request.header(b"user-agent"),
            "auth_user": sent.get(b"username", b""),
            "auth_realm": sent.get(b"realm", b""),
            "auth_nonce": sent.get(b"nonce", b""),
            "auth_uri": sent.get(b"uri", b""),
            "auth_response": sent.get(b"response", b""),
        },
    )


def malformed_event(reason: str, data: bytes, verified: bool) -> Event:
    """sip.malformed of the catalogue."""
    return Event("sip.malformed", {"verified": "yes" if verified else "no", "reason": reason}, {"data": data})


class Answerer:
    """What both transports share: who we look like, and the key of our nonces."""

    def __init__(self, persona: Persona, prover: Prover, clock: Callable[[], float]) -> None:
        self.persona, self.prover, self.clock = persona, prover, clock

    def answer(self, request: Request, flow: Flow, limit: int | None, body_too_large: bool = False) -> bytes:
        """The answer, empty for none; ValueError when there is one and it does not fit into `limit` bytes."""
        code = status(request, body_too_large)
        if code is None:
            return b""
        answer = compose(request, code, flow, self.persona, self.prover, self.clock(), limit)
        if answer is None:
            raise ValueError("too large")
        return answer

    def proven(self, request: Request, flow: Flow) -> bool:
        """Whether the credentials hold a nonce that we gave to this source."""
        nonce = credentials(request).get(b"nonce", b"")
        return bool(nonce) and self.prover.proves(nonce, flow.saddr, self.clock())


class DatagramHandler:
    """SIP over UDP: one event for each datagram, whatever it is."""

    def __init__(self, answerer: Answerer, buckets: TokenBuckets, notices: Notices) -> None:
        self._answerer, self._buckets, self._notices = answerer, buckets, notices

    def __call__(self, datagram: Datagram, now: float) -> tuple[Sequence[Event], bytes | None]:
        """Events and the answer."""
        data, flow = datagram.data, datagram.flow
        message = data.lstrip(b"\r\n")
        if is_response(message):
            return [malformed_event("response", data, verified=False)], None
        request = parse(message)
        if request is None:
            return [malformed_event("garbage", data, verified=False)], None
        proven = self._answerer.proven(request, flow)
        events = [request_event(request, proven)]
        try:
            answer = self._answerer.answer(request, flow, len(data))
        except ValueError:
            self._notices.count(WITHHELD_LARGE)
            return events, None
        if answer and not proven and not self._buckets.take(source_prefix(flow.saddr, 24, 56), now):
            self._notices.count(WITHHELD_RATE)
            return events, None
        return events, answer or None


class StreamSession:
    """SIP over TCP (section 18.3): messages in whatever pieces, several in one, keep-alives in between (RFC 5626,
    section 4.4.1)."""

    def __init__(self, answerer: Answerer, flow: Flow) -> None:
        self._answerer, self._flow = answerer, flow
        self._buffer = b""
        self._searched = 0  # how far the buffer is known to hold no blank line
        self._body: Request | None = None  # a request whose body is still to come
        self._skip = 0  # bytes of body still to come
        self._silent = True  # nothing was logged yet

    def begin(self) -> Step:
        """The client speaks first."""
        return Step()

    def feed(self, data: bytes) -> Step:
        """Read on."""
        self._buffer += data
        step = Step()
        events: list[Event] = []
        for _ in range(MESSAGES_PER_TURN):
            if step.close or not self._advance(step, events):
                break
            step.progress = True
        else:
            step.more = not step.close
        step.events = events
        self._silent = self._silent and not events
        return step

    def end(self, reason: str) -> list[Event]:
        """Log what was left, and what is unfinished: as a request when it can be read as one."""
        step = Step()
        events: list[Event] = []
        while not step.close and self._advance(step, events):
            pass
        rest = b"" if step.close else self._buffer.lstrip(b"\r\n")
        request = parse(rest, stream=True)
        if self._body is not None:
            self._body.wrong.add("length")
            events.append(request_event(self._body, verified=True))
        elif request is not None:
            events.append(request_event(request, verified=True))
        elif rest or (self._silent and not events and not self._skip):
            events.append(malformed_event(reason, rest, verified=True))
        return events

    def _advance(self, step: Step, events: list[Event]) -> bool:
        """Take one thing off the buffer; false when that needs more bytes, or when this is the end."""
        if self._skip:
            return self._skip_body(step, events)
        if self._buffer.startswith(_PING):
            self._buffer = self._buffer[len(_PING) :]
            step.send += b"\r\n"
            return True
        if _PING.startswith(self._buffer):
            return False
        self._drop_line_ends()
        if not self._buffer:
            return False
        end = self._end_of_headers()
        if self._hopeless():
            events.append(malformed_event("garbage", self._buffer, verified=True))
            step.close = True
        elif max(end, len(self._buffer) if end < 0 else 0) > HEADERS_SIZE_MAX:
            self._oversize(step, events)
        elif end >= 0:
            self._read(end, step, events)
            return True
        return False

    def _skip_body(self, step: Step, events: list[Event]) -> bool:
        taken = min(self._skip, len(self._buffer))
        self._buffer, self._skip = self._buffer[taken:], self._skip - taken
        if self._skip:
            return False
        if self._body is not None:
            self._answer(self._body, step, events)
            self._body = None
        return True

    def _read(self, end: int, step: Step, events: list[Event]) -> None:
        head, self._buffer, self._searched = self._buffer[:end], self._buffer[end:], 0
        if is_response(head):
            events.append(malformed_event("response", head, verified=True))
            stated = parse(b"X sip: SIP/2.0\r\n" + head.partition(b"\n")[2], stream=True)
            self._skip = min(stated.content_length or 0, BODY_SIZE_MAX) if stated is not None else 0
            return
        request = parse(head, stream=True)
        if request is not None:
            self._accept(request, step, events)

    def _accept(self, request: Request, step: Step, events: list[Event]) -> None:
        length = request.content_length or 0
        if length > BODY_SIZE_MAX or ("length" in request.wrong and request.header(b"content-length")):
            # Where the next message would begin is not known.
            self._answer(request, step, events, body_too_large=length > BODY_SIZE_MAX)
            step.close = True
        elif length:
            self._body, self._skip = request, length
        else:
            self._answer(request, step, events)

    def _answer(self, request: Request, step: Step, events: list[Event], body_too_large: bool = False) -> None:
        events.append(request_event(request, verified=True))
        step.send += self._answerer.answer(request, self._flow, None, body_too_large)

    def _drop_line_ends(self) -> None:
        stripped = self._buffer.lstrip(b"\r\n")
        if len(stripped) != len(self._buffer):
            self._buffer, self._searched = stripped, 0

    def _hopeless(self) -> bool:
        """Whether no SIP message can come of this start: a binary byte first, or a whole first line that is none."""
        if not 0x20 < self._buffer[0] < 0x7F:
            return True
        return (
            b"\n" in self._buffer and not is_response(self._buffer) and request_line(first_line(self._buffer)) is None
        )

    def _end_of_headers(self) -> int:
        """Where the headers end, behind the blank line; -1 when it is not there yet."""
        ends = [
            at + len(blank)
            for blank in _BLANK_LINES
            if (at := self._buffer.find(blank, max(0, self._searched - 3))) >= 0
        ]
        self._searched = len(self._buffer)
        return min(ends, default=-1)

    def _oversize(self, step: Step, events: list[Event]) -> None:
        request = parse(self._buffer[:HEADERS_SIZE_MAX], stream=True)
        if request is None:
            events.append(malformed_event("oversize", self._buffer, verified=True))
        else:
            request.wrong.add("headers")
            events.append(request_event(request, verified=True))
        step.close = True
