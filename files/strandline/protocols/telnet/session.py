"""A Telnet server whose login always fails: bytes in, events and bytes out. No sockets here.

What it sends is what inetutils-telnetd and login(1) of Debian 12 send, byte for byte, to a client that answers the
server's options. Options are negotiated by RFC 1143: there is an answer only to what changes something.
"""

from __future__ import annotations

import os
import re

from ...event.line import Event
from ...sensor.listener.persona import Persona
from ...sensor.listener.session import Service, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...sensor.listener.session import Context

IAC, DONT, DO, WONT, WILL, SB = 255, 254, 253, 252, 251, 250
SE, ARE_YOU_THERE = 240, 246
"""Commands (RFC 854)."""

BINARY, ECHO, SUPPRESS_GO_AHEAD, STATUS, TIMING_MARK = 0, 1, 3, 5, 6
TERMINAL_TYPE, WINDOW_SIZE, TERMINAL_SPEED, FLOW_CONTROL, LINEMODE = 24, 31, 32, 33, 34
X_DISPLAY, OLD_ENVIRON, AUTHENTICATION, ENCRYPTION, NEW_ENVIRON = 35, 36, 37, 38, 39

_FIRST = b"\xff\xfb%\xff\xfb&\xff\xfd\x18\xff\xfd \xff\xfd#\xff\xfd'\xff\xfd$"
"""What the server begins with: it would authenticate and encrypt, and asks for what _ASKED has."""
_SECOND = b'\xff\xfb\x03\xff\xfd\x01\xff\xfd"\xff\xfd\x1f\xff\xfb\x05\xff\xfd!\xff\xfb\x01\xff\xfd\x06\xff\xfd\x00'
"""What it goes on with when that is answered, see `_greet`."""
_ASKED = frozenset([TERMINAL_TYPE, TERMINAL_SPEED, X_DISPLAY, NEW_ENVIRON, OLD_ENVIRON])
"""Options of the client's whose value the server asks for (SEND)."""
_WELCOME = _ASKED | {WINDOW_SIZE, SUPPRESS_GO_AHEAD, BINARY}
"""Options that a client may begin with."""
_OURS = frozenset([SUPPRESS_GO_AHEAD, ECHO, STATUS, BINARY])

LINE_MAX = 4095
"""Bytes of a line that are kept, as by a terminal (termios(3), MAX_CANON)."""
SUBNEGOTIATION_MAX = 512
SUBNEGOTIATIONS_MAX = 16
"""Subnegotiations of a connection that are logged."""
NEGOTIATIONS_MAX = 512
"""Requests of a connection that are answered; clients send about 20."""
DATA_MAX = 512
"""Bytes of what is no login that are kept for its event."""
LOGGED_MAX = 64
"""Pairs of a connection that are logged: those that came before it could be closed."""
HELD_MAX = 8192
"""Bytes of output that wait for a failure's time to be over."""
TRIES = 5
"""LOGIN_RETRIES of Debian's /etc/login.defs."""
BLANK_MAX = 10
"""Empty user names, which login(1) only asks for again."""

GREETING_AFTER = 0.5
"""Seconds for the answers to the server's options."""
FAILURES_AFTER = tuple(2.3 + 0.2 * step for step in range(8))
"""Seconds that a failure takes, one of these: 3, up to a quarter more or less, as by pam_fail_delay(3)."""

KERNELS = tuple(
    f"6.1.0-{build}-amd64" for build in (13, 17, 18, 21, 22, 23, 25, 26, 28, 29, 30, 31, 32, 33, 34, 35, 37, 38)
)
"""Kernels that Debian 12 had."""

_SPECIAL = re.compile(rb"[\xff\r\n]")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_FOREIGN = re.compile(rb"[A-Z]{3,16} \S+ [A-Z]{3,5}/\d|SSH-\d|\x16\x03[\x00-\x04]|\x03\x00\x00|RFB \d|EHLO |HELO ")
"""How other protocols begin: HTTP, RTSP and SIP, SSH, TLS, RDP, VNC, SMTP."""
_BEGINNING = 64
"""Bytes by which another protocol is known."""


def serve(context: Context) -> Service:
    """Telnet with the operator's names or drawn ones."""
    persona = Persona()
    host = context.text("hostname") or persona.hostname()
    kernel = context.text("kernel") or persona.choose("kernel", KERNELS)
    return Service(lambda flow: Session(host, kernel, flow.saddr))


class Session:
    """One client."""

    def __init__(self, host: str, kernel: str, saddr: str, failure_after: float | None = None) -> None:
        self._prompt = f"{host} login: ".encode("ascii")
        self._banner = f"\r\nLinux {kernel} ({saddr}) (pts/0)\r\n\r\n".encode("ascii")
        self._failure_after = (
            FAILURES_AFTER[os.urandom(1)[0] % len(FAILURES_AFTER)] if failure_after is None else failure_after
        )
        self._ready, self._out = b"", bytearray()  # to be sent at once; and then, or when a failure took its time
        self._events: list[Event] = []
        # Options: what we said we do, and what we asked the client to do; True once that is agreed upon.
        self._we = {AUTHENTICATION: False, ENCRYPTION: False}
        self._client = dict.fromkeys(_ASKED, False)
        self._awaited = {(WILL, option) for option in _ASKED} | {(DO, AUTHENTICATION), (DO, ENCRYPTION)}
        self._negotiations = self._subnegotiations = 0
        self._terminal = b""
        # The parser's place in the stream.
        self._state = self._read_data
        self._verb = 0
        self._sub = bytearray()
        self._after_cr = False
        # The login.
        self._greeted = False
        self._line = bytearray()
        self._user: bytes | None = None
        self._attempts = self._blank = 0
        self._failing = False
        self._over = False
        self._data = bytearray()  # what came since the last login

    def begin(self) -> Step:
        """The server speaks first."""
        step = Step(_FIRST)
        step.wake = GREETING_AFTER
        return step

    def feed(self, data: bytes) -> Step:
        """Read on; without data, time is up."""
        progress = self._attempts
        wake = None
        if not data:
            self._time_is_up()
        elif not self._over:
            failing = self._failing
            self._read(data)
            wake = self._failure_after if self._failing and not failing else None
        send, self._ready = self._ready, b""
        if self._failing:  # what is said while a failure takes its time waits with it
            del self._out[HELD_MAX:]
        else:
            send += bytes(self._out)
            self._out.clear()
        step = Step(send, self._events, self._attempts > progress, close=self._over and not self._failing)
        step.wake = wake
        self._events = []
        return step

    def end(self, reason: str) -> list[Event]:
        """What was begun and not finished; of a connection without a login, whatever came."""
        if self._attempts and self._user is None and not self._line.strip(b"\0"):
            return []
        return [self._malformed(reason)]

    # --- the stream (RFC 854) ---

    def _read(self, data: bytes) -> None:
        self._data += data[: DATA_MAX - len(self._data)]
        at = 0
        while at < len(data) and not self._over:
            at = self._state(data, at)
        if not self._greeted and not self._awaited:
            self._greet()
        self._refuse_foreign(False)

    def _read_data(self, data: bytes, at: int) -> int:
        if self._after_cr and data[at] != IAC:
            self._after_cr = False
            if data[at] in b"\n\0":
                return at + 1
        special = _SPECIAL.search(data, at)
        end = special.start() if special else len(data)
        if end > at:
            self._typed(data[at:end])
        elif data[at] == IAC:
            self._state = self._read_command
            return at + 1
        else:
            self._after_cr = data[at] == 0x0D
            self._enter(data, at + 1)
            return at + 1
        return end

    def _read_command(self, data: bytes, at: int) -> int:
        command = data[at]
        self._state = self._read_data
        if command < SE:  # none: a byte 255 that the client did not double
            self._typed(b"\xff")
            return at
        if command == IAC:
            self._typed(b"\xff")
        elif command == SB:
            self._sub.clear()
            self._state = self._read_subnegotiation
        elif command >= WILL:
            self._verb = command
            self._state = self._read_option
        elif command == ARE_YOU_THERE:
            self._out += b"\r\n[Yes]\r\n"
        return at + 1

    def _read_option(self, data: bytes, at: int) -> int:
        self._state = self._read_data
        self._negotiate(self._verb, data[at])
        return at + 1

    def _read_subnegotiation(self, data: bytes, at: int) -> int:
        end = data.find(b"\xff", at)
        end = len(data) if end < 0 else end
        room = SUBNEGOTIATION_MAX - len(self._sub)
        self._sub += data[at : min(end, at + room)]
        if end - at > room:  # it has no end: go on behind what it may hold
            self._subnegotiated()
            self._state = self._read_data
            return at + room
        if end < len(data):
            self._state = self._read_subnegotiation_end
            return end + 1
        return end

    def _read_subnegotiation_end(self, data: bytes, at: int) -> int:
        if data[at] == IAC:
            self._sub.append(IAC)
            self._state = self._read_subnegotiation
            return at + 1
        self._subnegotiated()
        if data[at] == SE:
            self._state = self._read_data
            return at + 1
        self._state = self._read_command  # its end is missing, and this is another command
        return at

    # --- options (RFC 855 and 1143) ---

    def _negotiate(self, verb: int, option: int) -> None:
        self._negotiations += 1
        self._answered(verb, option)
        if self._negotiations > NEGOTIATIONS_MAX:
            return
        asks, table, wanted = verb in (DO, WILL), self._we, _OURS
        yes, no = WILL, WONT
        if verb in (WILL, WONT):
            table, wanted, yes, no = self._client, _WELCOME, DO, DONT
        known = table.get(option)
        if asks and known is None:
            if option in wanted:
                table[option] = True
            self._out += bytes([IAC, yes if option in wanted else no, option])
        elif asks:
            table[option] = True
        elif known is not None:
            del table[option]
            if known:
                self._out += bytes([IAC, no, option])
        if verb == WILL and option in _ASKED and known is not True:
            self._out += bytes([IAC, SB, option, 1, IAC, SE])  # SEND

    def _answered(self, verb: int, option: int) -> None:
        """Take an answer off what the greeting waits for; a client that will tell something is waited for again."""
        self._awaited.discard((DO if verb in (DO, DONT) else WILL, option))
        if verb == WILL and option in _ASKED and not self._greeted and self._client.get(option) is False:
            self._awaited.add((SB, option))

    def _subnegotiated(self) -> None:
        option, value = (self._sub[0], bytes(self._sub[1:])) if self._sub else (None, b"")
        if option is not None:
            self._awaited.discard((SB, option))
        if option == TERMINAL_TYPE and value[:1] == b"\0":  # IS
            self._terminal = value[1:]
        self._subnegotiations += 1
        if self._subnegotiations <= SUBNEGOTIATIONS_MAX:
            self._events.append(
                Event("telnet.option", {"option": "-" if option is None else str(option)}, {"data": value})
            )

    # --- the login ---

    def _greet(self) -> None:
        self._greeted = True
        for option in (SUPPRESS_GO_AHEAD, STATUS, ECHO):
            self._we.setdefault(option, False)
        for option in (ECHO, LINEMODE, WINDOW_SIZE, FLOW_CONTROL, TIMING_MARK, BINARY):
            self._client.setdefault(option, False)
        self._out += _SECOND + self._banner + self._prompt

    def _typed(self, text: bytes) -> None:
        """What the client typed: echoed as a terminal does, but for a password."""
        if not self._greeted:
            self._greet()
        room = LINE_MAX - len(self._line)
        self._line += text[:room]
        if self._user is None:
            shown = _CONTROL.sub(lambda one: bytes([0x5E, one[0][0] ^ 0x40]), text[:room])
            self._out += shown.replace(b"\xff", b"\xff\xff")

    def _enter(self, data: bytes, after: int) -> None:
        """A line is whole."""
        if not self._greeted:
            self._greet()
        if self._refuse_foreign(True):
            return
        line = bytes(self._line)
        self._line.clear()
        self._out += b"\r\n"
        if self._user is None:
            if line:
                self._user = line
                self._out += b"Password: "
                return
            self._blank += 1
            self._over = self._over or self._blank >= BLANK_MAX
            self._out += self._prompt
            return
        self._attempts += 1
        values = {"user": self._user, "password": line, "terminal": self._terminal}
        self._user = None
        self._events.append(Event("telnet.login", {"attempt": str(self._attempts)}, values))
        self._data.clear()
        self._data += data[after : after + DATA_MAX]
        if not self._failing:
            self._failing, self._ready = True, bytes(self._out)
            self._out.clear()
        if self._attempts <= TRIES:
            self._out += b"\r\nLogin incorrect\r\n"
            self._out += self._prompt if self._attempts < TRIES else b"Maximum number of tries exceeded (5)\r\n"
        self._over = self._attempts >= LOGGED_MAX

    def _time_is_up(self) -> None:
        """The answers to our options did not come, or a failure took as long as it should."""
        if self._failing:
            self._failing = False
            self._over = self._over or self._attempts >= TRIES
        elif not self._greeted:
            self._greet()

    def _refuse_foreign(self, whole: bool) -> bool:
        """End what is no Telnet: known by its first line, or, of one without lines, by its first bytes."""
        if self._attempts or self._user is not None or self._over or not self._line:
            return False
        start = bytes(self._line[:_BEGINNING])
        if not _FOREIGN.match(start) or not (whole or start[0] < 0x20):
            return False
        self._events.append(self._malformed("foreign"))
        self._over = True
        return True

    def _malformed(self, reason: str) -> Event:
        # Behind a login the second half of its line's end may stand first.
        data = self._data.lstrip(b"\n\0") if self._attempts else self._data
        return Event("telnet.malformed", {"reason": reason}, {"data": bytes(data)})
