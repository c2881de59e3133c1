"""SIP over UDP and TCP: bytes in, events and answers out. No sockets here."""

from __future__ import annotations

from ...sensor.listener.limits import TokenBuckets
from ...sensor.listener.session import Service, Step
from ...sensor.listener.sockets import source_prefix
from .answer import Persona, compose, status
from .event import malformed_event, request_event
from .message import BLANK_LINE, LEADING, Request, credentials, first_line, is_response, next_start, parse, request_line
from .nonce import Prover

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...event.line import Event, Flow
    from ...sensor.listener.notices import Notices
    from ...sensor.listener.session import Context
    from ...sensor.listener.sockets import Datagram

HEADERS_SIZE_MAX = 8192
"""Bytes of start line and headers that a stream may take; scanners send about 500."""

BODY_SIZE_MAX = 65536
"""Bytes of a body that are skipped on a stream; a body is never kept."""

MESSAGES_PER_TURN = 16
"""Messages that one stream may have before the others have their turn: one segment can hold hundreds."""

WITHHELD_LARGE = "SIP answers withheld over UDP because they would be larger than the request"
WITHHELD_RATE = "SIP answers withheld over UDP because of the rate limit"

ANSWERS_PER_TURN = 8192
"""Bytes of answers that one stream may cause in a turn: they wait in memory until its client takes them."""

_METHODS = frozenset(
    b"ACK BYE CANCEL INFO INVITE MESSAGE NOTIFY OPTIONS PRACK PUBLISH REFER REGISTER SUBSCRIBE UPDATE".split()
)
_PING = b"\r\n\r\n"


def serve(context: Context) -> Service:
    """SIP with the operator's settings."""
    persona = Persona(context.text("server"), context.text("realm"))
    answerer = Answerer(persona, Prover(), context.clock)
    rate = context.number("replies_per_second", 1, 100000)
    total = context.number("replies_per_second_total", 1, 1000000)
    buckets = TokenBuckets(rate, rate * 5, total, total * 2)
    handler = DatagramHandler(answerer, buckets, context.notices)
    return Service(lambda flow: StreamSession(answerer, flow), handler)


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

    def proven(self, sent: dict[bytes, bytes], flow: Flow) -> bool:
        """Whether the credentials hold a nonce that we gave to this source."""
        nonce = sent.get(b"nonce", b"")
        return bool(nonce) and self.prover.proves(nonce, flow.saddr, self.clock())


class DatagramHandler:
    """SIP over UDP: one event for each datagram, whatever it is."""

    def __init__(self, answerer: Answerer, buckets: TokenBuckets, notices: Notices) -> None:
        self._answerer, self._buckets, self._notices = answerer, buckets, notices

    def __call__(self, datagram: Datagram, now: float) -> tuple[Sequence[Event], bytes | None]:
        """Events and the answer."""
        data, flow = datagram.data, datagram.flow
        request = parse(data)
        if request is None:
            reason = "response" if is_response(data.lstrip()) else "garbage"
            return [malformed_event(reason, data, verified=False)], None
        sent = credentials(request)
        proven = self._answerer.proven(sent, flow)
        events = [request_event(request, proven, sent)]
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
    section 4.4.1).

    Where a message's length is not known, or was not true, the next one begins at the next line that can begin one:
    nothing that can be read is swallowed. Only who begins with something else is sent away.
    """

    def __init__(self, answerer: Answerer, flow: Flow) -> None:
        self._answerer, self._flow = answerer, flow
        self._buffer = b""
        self._body: Request | None = None  # a request whose body is still to come
        self._skip = 0  # bytes of body still to come
        self._held = b""  # the beginning of that body: if it never ends, it was not a body
        self._tail = b""  # the end of the last body that may have been the next message's beginning
        self._silent = True  # nothing was logged yet
        self._heard = False  # a message was read
        self._endless = False  # the last message did not say how long its body is
        self._junk = False  # what is being passed over is logged already

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
            if len(step.send) > ANSWERS_PER_TURN:
                step.more = True
                break
        else:
            step.more = not step.close
        step.events = events
        self._silent = self._silent and not events
        return step

    def end(self, reason: str) -> list[Event]:
        """Log what was left, and what is unfinished: as a request when it can be read as one."""
        step = Step()
        events: list[Event] = []
        self._read_on(step, events)
        while self._skip and not step.close:
            if self._body is not None:
                self._body.wrong.add("length")
                events.append(request_event(self._body, verified=True))
            self._body, self._skip, self._endless = None, 0, True
            self._buffer, self._held = self._held, b""
            self._read_on(step, events)
        if self._tail:
            self._settle_tail()
            self._tail = b""
            self._read_on(step, events)
        rest = b"" if step.close else self._buffer.lstrip(b"\r\n")
        request = parse(rest, stream=True)
        if request is not None:
            events.append(request_event(request, verified=True))
        elif (rest.strip() and not self._endless) or (self._silent and not events):
            events.append(malformed_event(reason, rest, verified=True))
        return events

    def _read_on(self, step: Step, events: list[Event]) -> None:
        while not step.close and self._advance(step, events):
            pass

    def _advance(self, step: Step, events: list[Event]) -> bool:
        """Take one thing off the buffer; false when that needs more bytes, or when this is the end."""
        if self._skip:
            return self._skip_body(step, events)
        if self._tail and not self._settle_tail():
            return False
        if self._buffer.startswith(_PING):
            self._buffer = self._buffer[len(_PING) :]
            step.send += b"\r\n"
            return True
        if _PING.startswith(self._buffer) or not self._drop_leading():
            return False
        if self._hopeless():
            return self._pass_over(step, events)
        return self._read_message(step, events)

    def _read_message(self, step: Step, events: list[Event]) -> bool:
        """Read the headers when they are all there."""
        blank = BLANK_LINE.search(self._buffer)
        if (blank.end() if blank else len(self._buffer)) > HEADERS_SIZE_MAX:
            self._oversize(step, events)
        elif blank:
            self._read(blank.end(), step, events)
            return True
        return False

    def _drop_leading(self) -> bool:
        """Take line ends off the buffer, and of blanks all but one, which the message is marked for; false when
        nothing else is there."""
        leading = LEADING.match(self._buffer)
        size = leading.end() if leading else 0
        message = self._buffer[size:]
        if size:
            self._buffer = (b" " if self._buffer[:size].strip(b"\r\n") else b"") + message
        return bool(message)

    def _skip_body(self, step: Step, events: list[Event]) -> bool:
        taken = min(self._skip, len(self._buffer))
        self._held += self._buffer[: min(taken, max(0, HEADERS_SIZE_MAX - len(self._held)))]
        self._buffer, self._skip = self._buffer[taken:], self._skip - taken
        if self._skip:
            return False
        start = next_start(self._held)
        while start >= 0 and BLANK_LINE.search(self._held, start):
            following = next_start(self._held[start + 1 :])
            start = -1 if following < 0 else start + 1 + following
        self._tail = self._held[start:] if start >= 0 else self._held[self._held.rfind(b"\n") + 1 :]
        self._held = b""
        if self._body is not None:
            self._answer(self._body, step, events)
            self._body = None
        return True

    def _settle_tail(self) -> bool:
        """Give the next message back what a Content-Length took of it that was too large; false when that can't be
        told yet.

        When a message follows the body, the length was right, unless that message begins with a method that lacks
        its first letters. When anything else follows, the body's end was the beginning of a message, and this its rest.
        """
        if b"\n" not in self._buffer and len(self._buffer) <= HEADERS_SIZE_MAX:
            return False
        tail, self._tail = self._tail, b""
        whole = tail + self._buffer
        if next_start(self._buffer.partition(b"\n")[0]) == 0:
            word = self._buffer.partition(b" ")[0]
            if word not in _METHODS and tail + word in _METHODS:
                self._buffer = whole
        elif next_start(first_line(whole)) == 0:
            self._buffer = whole
        return True

    def _read(self, end: int, step: Step, events: list[Event]) -> None:
        head, self._buffer = self._buffer[:end], self._buffer[end:]
        self._heard, self._junk = True, False
        start = head.lstrip()
        if is_response(start):
            events.append(malformed_event("response", start, verified=True))
            stated = parse(b"X sip:x SIP/2.0\r\n" + start.partition(b"\n")[2], stream=True)
            length = stated.content_length if stated is not None else None
            self._endless = length is None or length > BODY_SIZE_MAX
            self._skip = 0 if self._endless else length or 0
            return
        request = parse(head, stream=True)
        if request is not None:
            self._accept(request, step, events)

    def _accept(self, request: Request, step: Step, events: list[Event]) -> None:
        length = request.content_length
        self._endless = length is None or length > BODY_SIZE_MAX
        if length and not self._endless:
            self._body, self._skip = request, length
        else:
            self._answer(request, step, events, body_too_large=bool(length))

    def _answer(self, request: Request, step: Step, events: list[Event], body_too_large: bool = False) -> None:
        events.append(request_event(request, verified=True))
        step.send += self._answerer.answer(request, self._flow, None, body_too_large)

    def _hopeless(self) -> bool:
        """Whether no SIP message can begin here: a binary byte first, or a whole first line that does not begin one."""
        start = self._buffer.lstrip()
        if not 0x20 < start[0] < 0x7F:
            return True
        return b"\n" in start and not is_response(start) and request_line(first_line(start)) is None

    def _pass_over(self, step: Step, events: list[Event]) -> bool:
        """Go on at the next line that can begin a message; true when there is one."""
        start = next_start(self._buffer)
        if not (self._endless or self._junk):
            junk = self._buffer if start < 0 else self._buffer[:start]
            events.append(malformed_event("garbage", junk, verified=True))
            self._junk = True
            if start < 0 and not self._heard:
                step.close = True
                return False
        if start >= 0:
            self._buffer = self._buffer[start:]
            return True
        # The last line may not be whole.
        self._buffer = self._buffer[self._buffer.rfind(b"\n") + 1 :]
        if len(self._buffer) > HEADERS_SIZE_MAX:
            self._buffer = b""
        return False

    def _oversize(self, step: Step, events: list[Event]) -> None:
        request = parse(self._buffer[:HEADERS_SIZE_MAX], stream=True)
        if request is None:
            events.append(malformed_event("oversize", self._buffer, verified=True))
        else:
            request.wrong.add("headers")
            events.append(request_event(request, verified=True))
        step.close = True
