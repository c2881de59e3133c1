"""An SMTP server that takes no message: bytes in, events and bytes out. No sockets here.

It answers as Postfix 3.10 of Debian 13 does, as tests/protocols/smtp shows. README.md says what differs, and why.
"""

from __future__ import annotations

import os
import re
import time
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64

from ...event.line import Event
from ...sensor.listener.persona import Persona
from ...sensor.listener.session import Service, Step
from .message import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ...sensor.listener.session import Context

    Options = dict[bytes, tuple[re.Pattern[bytes] | None, bytes]]

LINE_MAX = 2048
"""Bytes of a command that are read; what follows is skipped (line_length_limit)."""
RESPONSE_MAX = 12288
"""Bytes of a line in the middle of AUTH (RFC 4954, section 4)."""
DATA_MAX = 512
"""Bytes of what is no SMTP that are kept for its event."""
ADDRESS_MAX = 1024
"""Bytes of a sender or recipient that are kept."""
SIZE_MAX = 10_240_000
"""message_size_limit: bytes of a message. A longer one is read to its end and refused for its size."""
RECIPIENTS_MAX = 1000
OVERSHOOT_MAX = 1000
"""Recipients beyond these that are refused and are no errors yet (smtpd_recipient_overshoot_limit)."""
ERRORS_SOFT, ERRORS_HARD = 10, 20
"""Errors after which each answer takes ERROR_AFTER, and after which the connection ends."""
ERROR_AFTER = 1.0
"""smtpd_error_sleep_time, in seconds."""
JUNK_MAX = 100
"""Commands that send no mail (RSET, NOOP, VRFY, ...) before they count as errors (smtpd_junk_command_limit)."""
HELD_MAX = 8192
"""Bytes of output that wait for an answer that takes its time; more of it ends the wait."""

EXTENSIONS = (
    "PIPELINING",
    f"SIZE {SIZE_MAX}",
    "VRFY",
    "ETRN",
    "AUTH PLAIN LOGIN CRAM-MD5",
    "ENHANCEDSTATUSCODES",
    "8BITMIME",
    "DSN",
    "SMTPUTF8",
    "CHUNKING",
)
COMMANDS = b"AUTH BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY XCLIENT XFORWARD"
_JUNK = frozenset([b"HELO", b"EHLO", b"NOOP", b"RSET", b"VRFY", b"ETRN", b"HELP", b"STARTTLS"])

REFUSED = b"550 5.7.1 message content rejected"
"""What is said of each message at its end: a final no, so that nobody tries again."""

_FOREIGN = re.compile(rb"[A-Z]{3,16} \S+ [A-Z]{3,5}/\d|SSH-\d|RFB \d")
"""How the first line of another protocol begins: HTTP, RTSP and SIP, SSH, VNC."""
_FOREIGN_BYTES = re.compile(rb"\x16\x03[\x00-\x04]|\x03\x00\x00")
"""Those without lines: TLS, RDP."""
_FORBIDDEN = re.compile(rb"(?:CONNECT|GET|POST)(?=\s|$)|[!-9;-~]+:|[^A-Za-z]", re.IGNORECASE)
"""smtpd_forbidden_commands, and what looks like a header."""
_PATH = re.compile(
    rb"[ \t]*(<(?:\\.|\"(?:\\.|[^\"\\])*\"|[^>])*>*\S*|(?:\\.|\"(?:\\.|[^\"\\])*\"|[^\s\"])+)(.*)", re.DOTALL
)
_ADDRESS = re.compile(
    rb"(?:@[^,:<>\s]+(?:,@[^,:<>\s]+)*:)?"
    rb"(?:\"(?:\\.|[^\"\\])*\"|\\.|[^\s<>,;\"\\])+"
)
_NUMBER = re.compile(rb"[0-9]{1,18}")
_HOST = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?")
FAILED = b"535 5.7.8 Error: authentication failed: authentication failure"
BAD_PROTOCOL = b"535 5.7.8 Error: authentication failed: bad protocol / cancel"
ANOTHER_STEP = b"535 5.7.8 Error: authentication failed: another step is needed in authentication"
GENERIC = b"454 4.7.0 Temporary authentication failure: generic failure"
"""What Cyrus SASL's reasons become: wrong, not as the mechanism has it, no base64, no user name."""
_SIGNATURE = re.compile(rb"(.+) ([^ ]*)", re.DOTALL)
"""User and digest (RFC 2195, section 2)."""


def serve(context: Context) -> Service:
    """SMTP by the operator's name or a drawn one."""
    host = (context.text("hostname") or Persona().hostname()).encode("ascii")
    return Service(lambda _flow: Session(host))


class Session:
    """One client."""

    def __init__(self, host: bytes) -> None:
        self._host = host
        self._events: list[Event] = []
        self._logged = False  # anything at all
        self._foreign = False  # it speaks another protocol, which is logged
        self._first = bytearray()
        self._received = 0
        # The stream: what is not worked off, and who reads it.
        self._buffer = bytearray()
        self._skipping = False
        self._read: Callable[[], bool] = self._read_line
        self._line: Callable[[bytes], None] = self._command
        # The answers: `_held` waits until an error took its time.
        self._out = bytearray()
        self._holding = False
        self._wake: float | None = None
        self._errors = self._junk = 0
        self._closing = self._over = False
        # AUTH.
        self._attempts = 0
        self._mechanism = ""
        self._user = b""
        self._challenge = b""
        # The transaction (RFC 5321, section 4.1.4).
        self._sender: bytes | None = None
        self._recipient = b""
        self._recipients = self._overshoot = 0
        self._message: Message | None = None
        self._chunked = False
        self._broken = False  # a chunk was refused, and with it the others of the message
        self._broken_mail = False  # and that had a sender
        self._chunk = self._size_of_chunk = 0
        self._last = False
        self._refusal = b""
        self._partial = bytearray()  # a chunk's last line, without its end

    def begin(self) -> Step:
        """The server speaks first."""
        return Step(b"220 " + self._host + b" ESMTP Postfix (Debian)\r\n")

    def feed(self, data: bytes) -> Step:
        """Read on; without data, an error took its time."""
        self._wake = None
        if not data:
            self._time_is_up()
        elif not (self._over or self._closing):
            self._first += data[: DATA_MAX - len(self._first)]
            self._received += len(data)
            self._buffer += data
            while not (self._over or self._closing) and self._read():
                pass
        send = b""
        if not self._holding or len(self._out) > HELD_MAX:
            send = bytes(self._out)
            self._out.clear()
        step = Step(send, self._events, bool(send or self._events), close=self._over and not self._out)
        step.wake = self._wake
        self._events = []
        return step

    def end(self, reason: str) -> list[Event]:
        """What was begun and not finished; of a connection of which nothing is logged, whatever came."""
        self._unfinished(reason)
        events, self._events = self._events, []
        return events

    # --- answers ---

    def _say(self, *lines: bytes) -> None:
        self._out += b"".join([line + b"\r\n" for line in lines])

    def _error(self, text: bytes) -> bytes:
        """Refuse something; returns the code."""
        self._say(text)
        self._errors += 1
        self._slow()
        return text[:3]

    def _slow(self) -> None:
        if self._errors > ERRORS_SOFT and not self._holding:
            self._holding, self._wake = True, ERROR_AFTER
        if self._errors >= ERRORS_HARD and not self._over:
            self._unfinished("errors")
            self._closing = True

    def _time_is_up(self) -> None:
        self._holding = False
        if self._closing and not self._over:
            if self._out:  # the last error; then the end, which takes its time too
                self._holding, self._wake = False, ERROR_AFTER
                return
            self._say(b"421 4.7.0 " + self._host + b" Error: too many errors")
            self._over = True

    # --- the stream ---

    def _read_line(self) -> bool:
        """Take a line off the buffer and handle it; return False if no line is complete."""
        limit = LINE_MAX if self._mechanism == "" else RESPONSE_MAX
        if not self._logged and self._first and _FOREIGN_BYTES.match(self._first):
            self._is_foreign()
        end = self._buffer.find(b"\n")
        if self._skipping:
            del self._buffer[limit : end if end >= 0 else len(self._buffer)]
            end = min(end, limit)
        elif (end < 0 and len(self._buffer) > limit) or end > limit:
            self._skipping = True
            return True
        if end < 0:
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._skipping = False
        self._line(line.rstrip(b"\r"))
        return True

    def _command(self, raw: bytes) -> None:
        line = raw.partition(b"\0")[0]  # Postfix's strings end there
        words = line.split()
        verb = words[0].upper() if words else b""
        if verb in _ACTIONS:
            self._foreign = False  # it speaks SMTP after all, whatever came before
        elif not self._logged and _FOREIGN.match(raw):
            self._is_foreign()
        if not _utf8(line):
            self._refuse(raw, verb, b"500 5.5.2 Error: bad UTF-8 syntax")
        elif not words:
            self._refuse(raw, verb, b"500 5.5.2 Error: bad syntax")
        elif verb in _ACTIONS:
            if verb in _JUNK:
                self._junk += 1
                self._errors += self._junk > JUNK_MAX
            _ACTIONS[verb](self, raw, line.strip())
            self._slow()
        elif _FORBIDDEN.match(line.lstrip()):
            self._say(b"221 2.7.0 Error: I can break rules, too. Goodbye.")
            self._log_command(raw, verb, b"221")
            self._unfinished("command")
            self._over = True
        else:
            self._refuse(raw, verb, b"500 5.5.2 Error: command not recognized")

    # --- events ---

    def _log(self, name: str, trusted: dict[str, str], values: dict[str, bytes]) -> None:
        self._logged = True
        if not self._foreign:
            self._events.append(Event(name, trusted, values))

    def _log_command(self, raw: bytes, verb: bytes, code: bytes) -> None:
        known = verb.decode("ascii") if verb in _ACTIONS else "-"
        self._log("smtp.command", {"verb": known, "reply": code.decode("ascii")}, {"line": raw})

    def _refuse(self, raw: bytes, verb: bytes, text: bytes) -> None:
        self._log_command(raw, verb, text[:3])
        self._error(text)

    def _is_foreign(self) -> None:
        self._log("smtp.malformed", {"reason": "foreign"}, {"data": bytes(self._first)})
        self._foreign = True

    def _unfinished(self, reason: str) -> None:
        """Log what nothing more will be added to."""
        if self._mechanism:
            self._auth_over(b"-", self._user, b"", b"")
        in_message = self._read != self._read_line
        self._transaction_over(reason)
        if self._foreign or in_message:
            return
        if not self._logged:
            self._log("smtp.malformed", {"reason": reason}, {"data": bytes(self._first)})
        elif self._buffer and reason not in ("command", "errors"):
            self._log("smtp.malformed", {"reason": reason}, {"data": bytes(self._buffer[:DATA_MAX])})
        self._buffer.clear()

    def _transaction_over(self, reason: str) -> None:
        """One event for a message, or for a sender without one; then all of it is forgotten."""
        trusted = {"recipients": str(self._recipients), "reason": reason}
        values = {"sender": self._sender or b"", "recipient": self._recipient}
        message = self._message
        if message is not None:
            if self._chunked:
                message.rest(self._partial, dots=False)
            elif reason != "end":
                message.rest(self._buffer, dots=True)
            measured = {
                "size": str(message.size),
                "sha256": message.digest(),
                "bare": str(message.bare),
                "lone_dots": str(message.lone_dots),
            }
            get = message.headers.get
            values |= {
                "subject": get(b"subject", b""),
                "from": get(b"from", b""),
                "to": get(b"to", b""),
                "message_id": get(b"message-id", b""),
                "user_agent": get(b"user-agent", b"") or get(b"x-mailer", b""),
            }
            command = {"command": "BDAT" if self._chunked else "DATA"}
            self._log("smtp.data", command | trusted | measured, values)
        elif self._sender is not None:
            self._log("smtp.mail", trusted, values)
        self._sender, self._recipient, self._recipients, self._overshoot = None, b"", 0, 0
        self._message, self._chunked = None, False
        self._broken = self._broken_mail = False
        self._partial.clear()
        self._read = self._read_line

    # --- commands (RFC 5321, section 4.1.1) ---

    def _helo(self, raw: bytes, line: bytes) -> None:
        verb, _, name = _split(line)
        if not name:
            self._refuse(raw, verb, b"501 Syntax: " + verb + b" hostname")
            return
        self._transaction_over("command")
        self._log("smtp.greet", {"verb": verb.decode("ascii")}, {"name": name})
        if verb == b"HELO":
            self._say(b"250 " + self._host)
            return
        offered = [self._host, *[extension.encode("ascii") for extension in EXTENSIONS]]
        self._say(*[b"250-" + each for each in offered[:-1]], b"250 " + offered[-1])

    def _mail(self, raw: bytes, line: bytes) -> None:
        said = _split(line)[2]
        if self._broken and not self._broken_mail:
            self._refuse(raw, b"MAIL", b"503 5.5.1 Error: MAIL after BDAT")
        elif self._sender is not None or self._broken_mail:
            self._refuse(raw, b"MAIL", b"503 5.5.1 Error: nested MAIL command")
        elif said[:5].upper() != b"FROM:" or (path := _PATH.fullmatch(said[5:])) is None:
            self._refuse(raw, b"MAIL", b"501 5.5.4 Syntax: MAIL FROM:<address>")
        elif not _is_address(path[1], empty=True):
            self._refuse(raw, b"MAIL", b"501 5.1.7 Bad sender address syntax")
        elif wrong := _wrong_option(path[2], _MAIL_OPTIONS):
            self._refuse(raw, b"MAIL", wrong)
        else:
            self._sender = said[5:].strip()[:ADDRESS_MAX]
            self._say(b"250 2.1.0 Ok")

    def _rcpt(self, raw: bytes, line: bytes) -> None:
        said = _split(line)[2]
        if self._sender is None and not self._broken_mail:
            self._refuse(raw, b"RCPT", b"503 5.5.1 Error: need MAIL command")
        elif self._chunked or self._broken:
            self._refuse(raw, b"RCPT", b"503 5.5.1 Error: RCPT after BDAT")
        elif said[:3].upper() != b"TO:" or (path := _PATH.fullmatch(said[3:])) is None:
            self._refuse(raw, b"RCPT", b"501 5.5.4 Syntax: RCPT TO:<address>")
        elif not _is_address(path[1], empty=False):
            self._refuse(raw, b"RCPT", b"501 5.1.3 Bad recipient address syntax")
        elif wrong := _wrong_option(path[2], _RCPT_OPTIONS):
            self._refuse(raw, b"RCPT", wrong)
        elif self._recipients >= RECIPIENTS_MAX:
            self._overshoot += 1
            if self._overshoot > OVERSHOOT_MAX:
                self._error(b"452 4.5.3 Error: too many recipients")
            else:
                self._say(b"452 4.5.3 Error: too many recipients")
        else:
            self._recipients += 1
            self._recipient = self._recipient or said[3:].strip()[:ADDRESS_MAX]
            self._say(b"250 2.1.5 Ok")

    def _data(self, raw: bytes, line: bytes) -> None:
        if self._chunked or self._broken:
            self._refuse(raw, b"DATA", b"503 5.5.1 Error: DATA after BDAT")
        elif self._refused_without_recipients(raw, b"DATA"):
            pass
        elif line.upper() != b"DATA":
            self._refuse(raw, b"DATA", b"501 5.5.4 Syntax: DATA")
        else:
            self._say(b"354 End data with <CR><LF>.<CR><LF>")
            self._message = Message()
            self._read = self._read_message

    def _refused_without_recipients(self, raw: bytes, verb: bytes) -> bool:
        if self._sender is None:
            self._refuse(raw, verb, b"503 5.5.1 Error: need RCPT command")
        elif not self._recipients:
            self._refuse(raw, verb, b"554 5.5.1 Error: no valid recipients")
        return not self._recipients

    def _read_message(self) -> bool:
        message = self._message
        if message is None or not message.take(self._buffer, dots=True):
            return False
        self._message_ends(message)
        return True

    def _message_ends(self, message: Message) -> None:
        size = message.size
        self._transaction_over("end")
        self._error(b"552 5.3.4 Error: message file too big" if size > SIZE_MAX else REFUSED)

    # --- BDAT (RFC 3030) ---

    def _bdat(self, raw: bytes, line: bytes) -> None:
        words = line.upper().split()[1:]
        if not words or not _NUMBER.fullmatch(words[0]) or words[1:] not in ([], [b"LAST"]):
            # What follows may be a chunk or a command: it can't be told, and Postfix ends it here too.
            self._log_command(raw, b"BDAT", b"521")
            self._say(b"521 5.5.4 Syntax: BDAT count [LAST]")
            self._unfinished("command")
            self._over = True
            return
        self._chunk = self._size_of_chunk = int(words[0])
        self._last = words[1:] != []
        self._refusal = self._refusal_of_chunk()
        if self._refusal:
            self._log_command(raw, b"BDAT", self._refusal[:3])
        else:
            self._message, self._chunked = self._message or Message(), True
        self._read = self._read_chunk

    def _refusal_of_chunk(self) -> bytes:
        """What is said of a chunk that is no part of a message, when it is read; empty for one that is."""
        if not self._chunk and not self._last:
            return b"551 5.7.1 Null BDAT request"
        if self._broken:
            return b"551 5.0.0 Discarded %d bytes after earlier error" % self._chunk
        if self._sender is None:
            return b"503 5.5.1 Error: need RCPT command"
        if not self._recipients:
            return b"554 5.5.1 Error: no valid recipients"
        return b""

    def _read_chunk(self) -> bool:
        share = min(self._chunk, len(self._buffer))
        if share and not self._refusal and self._message is not None:
            self._partial += self._buffer[:share]
            self._message.take(self._partial, dots=False)
        del self._buffer[:share]
        self._chunk -= share
        if self._chunk:
            return False
        self._read = self._read_line
        size = self._message.size + len(self._partial) if self._message is not None else 0
        refusal = self._refusal
        if not refusal and size > SIZE_MAX:
            refusal = b"552 5.3.4 Chunk exceeds message size limit"
        if refusal:
            mail = self._sender is not None or self._broken_mail
            self._transaction_over("end" if self._last and not self._refusal else "command")
            self._broken = not self._last
            self._broken_mail = self._broken and mail
            self._error(refusal)
        elif self._last:
            self._transaction_over("end")
            self._error(REFUSED)
        else:
            self._say(b"250 2.0.0 Ok: %d bytes" % self._size_of_chunk)
        return True

    # --- AUTH (RFC 4954) ---

    def _auth(self, raw: bytes, line: bytes) -> None:
        words = line.split()[1:]
        if self._sender is not None or self._broken_mail:
            self._refuse(raw, b"AUTH", b"503 5.5.1 Error: MAIL transaction in progress")
        elif len(words) not in (1, 2):
            self._refuse(raw, b"AUTH", b"501 5.5.4 Syntax: AUTH mechanism")
        elif words[0].upper() not in _MECHANISMS:
            self._refuse(raw, b"AUTH", b"535 5.7.8 Error: authentication failed: no mechanism available")
        else:
            self._mechanism = words[0].upper().decode("ascii")
            self._user = b""
            self._attempts += 1
            ask, self._line = _MECHANISMS[words[0].upper()](self)
            if len(words) == 1:
                self._say(b"334 " + ask)
            elif words[1] == b"*":  # as an answer it would give up; here it is no base64
                self._auth_fails(ANOTHER_STEP, b"", b"", words[1])
            elif self._mechanism == "CRAM-MD5":  # the server begins, so there was nothing to sign
                self._challenge = b""
                self._auth_fails(BAD_PROTOCOL if _decode(words[1]) is not None else ANOTHER_STEP, b"", b"", words[1])
            else:
                self._line(words[1])

    def _plain(self) -> tuple[bytes, Callable[[bytes], None]]:
        return b"", self._plain_response

    def _login(self) -> tuple[bytes, Callable[[bytes], None]]:
        return _base64(b"Username:"), self._login_user

    def _cram(self) -> tuple[bytes, Callable[[bytes], None]]:
        random = int.from_bytes(os.urandom(4), "big")
        self._challenge = b"<%d.%d@%s>" % (random, int(time.monotonic()), self._host)
        return _base64(self._challenge), self._cram_response

    def _plain_response(self, line: bytes) -> None:
        said = self._decoded(line)
        if said is None:
            return
        parts = said.split(b"\0")
        if len(parts) < 3:
            self._auth_fails(BAD_PROTOCOL, b"", b"", line)
        else:  # RFC 4616: what the user acts as, the user, the password
            text = BAD_PROTOCOL if len(parts) > 3 else FAILED if parts[1] else GENERIC
            self._auth_fails(text, parts[1], b"\0".join(parts[2:]), b"")

    def _login_user(self, line: bytes) -> None:
        said = self._decoded(line)
        if said is not None:
            self._user, self._line = said, self._login_password
            self._say(b"334 " + _base64(b"Password:"))

    def _login_password(self, line: bytes) -> None:
        said = self._decoded(line)
        if said is not None:
            self._auth_fails(FAILED if self._user else GENERIC, self._user, said, b"")

    def _cram_response(self, line: bytes) -> None:
        said = self._decoded(line)
        if said is None:
            return
        signed = _SIGNATURE.fullmatch(said)
        if signed:
            self._auth_fails(FAILED, signed[1], b"", signed[2])
        else:
            self._auth_fails(BAD_PROTOCOL, b"", b"", line)

    def _decoded(self, line: bytes) -> bytes | None:
        """What a line of AUTH says; None when it says nothing and is answered."""
        if line == b"*":
            self._auth_fails(b"501 5.7.0 Authentication aborted", self._user, b"", b"")
            return None
        said = _decode(line)
        if said is None:
            self._auth_fails(ANOTHER_STEP, self._user, b"", line)
        return said

    def _auth_fails(self, text: bytes, user: bytes, password: bytes, response: bytes) -> None:
        self._auth_over(text[:3], user, password, response)
        self._error(text)

    def _auth_over(self, code: bytes, user: bytes, password: bytes, response: bytes) -> None:
        trusted = {"mechanism": self._mechanism, "attempt": str(self._attempts), "reply": code.decode("ascii")}
        challenge = self._challenge if self._mechanism == "CRAM-MD5" else b""
        values = {"user": user, "password": password, "challenge": challenge, "response": response}
        self._log("smtp.auth", trusted, values)
        self._mechanism, self._user, self._line = "", b"", self._command

    # --- the other commands ---

    def _rset(self, raw: bytes, line: bytes) -> None:
        if line.upper() != b"RSET":
            self._refuse(raw, b"RSET", b"501 5.5.4 Syntax: RSET")
            return
        self._transaction_over("command")
        self._say(b"250 2.0.0 Ok")

    def _noop(self, raw: bytes, line: bytes) -> None:  # noqa: ARG002
        self._say(b"250 2.0.0 Ok")

    def _quit(self, raw: bytes, line: bytes) -> None:  # noqa: ARG002
        # What came behind it was not read.
        del self._first[self._received - len(self._buffer) :]
        self._buffer.clear()
        self._transaction_over("command")
        self._unfinished("closed")
        self._say(b"221 2.0.0 Bye")
        self._over = True

    def _help(self, raw: bytes, line: bytes) -> None:  # noqa: ARG002
        self._log_command(raw, b"HELP", b"214")
        self._say(b"214 2.0.0 Commands: " + COMMANDS)

    def _vrfy(self, raw: bytes, line: bytes) -> None:
        said = _split(line)[2]
        if not said:
            self._refuse(raw, b"VRFY", b"501 5.5.4 Syntax: VRFY address [SMTPUTF8]")
        elif not _is_address(said, empty=False):
            self._refuse(raw, b"VRFY", b"501 5.1.3 Bad recipient address syntax")
        else:
            self._log_command(raw, b"VRFY", b"252")
            self._say(b"252 2.0.0 " + said)

    def _etrn(self, raw: bytes, line: bytes) -> None:
        words = line.split()[1:]
        if len(words) != 1:
            self._refuse(raw, b"ETRN", b"500 Syntax: ETRN domain")
            return
        name = words[0][1:] if words[0][:1] in (b"#", b"@") else words[0]
        if _HOST.fullmatch(name):
            self._refuse(raw, b"ETRN", b"459 <" + name + b">: service unavailable")
        else:
            self._refuse(raw, b"ETRN", b"501 Error: invalid parameter syntax")

    def _starttls(self, raw: bytes, line: bytes) -> None:
        plain = line.upper() == b"STARTTLS"
        text = b"502 5.5.1 Error: command not implemented" if plain else b"501 5.5.4 Syntax: STARTTLS"
        self._refuse(raw, b"STARTTLS", text)

    def _proxy(self, raw: bytes, line: bytes) -> None:
        verb, _, said = _split(line)
        text = b"550 5.7.0 Error: insufficient authorization"
        self._refuse(raw, verb, text if said else b"501 5.5.4 Syntax: " + verb + b" attribute=value...")


_ACTIONS: dict[bytes, Callable[[Session, bytes, bytes], None]] = {
    b"AUTH": Session._auth,
    b"BDAT": Session._bdat,
    b"DATA": Session._data,
    b"EHLO": Session._helo,
    b"ETRN": Session._etrn,
    b"HELO": Session._helo,
    b"HELP": Session._help,
    b"MAIL": Session._mail,
    b"NOOP": Session._noop,
    b"QUIT": Session._quit,
    b"RCPT": Session._rcpt,
    b"RSET": Session._rset,
    b"STARTTLS": Session._starttls,
    b"VRFY": Session._vrfy,
    b"XCLIENT": Session._proxy,
    b"XFORWARD": Session._proxy,
}
_MECHANISMS = {b"PLAIN": Session._plain, b"LOGIN": Session._login, b"CRAM-MD5": Session._cram}


def _split(line: bytes) -> tuple[bytes, bytes, bytes]:
    """The command in capitals, and what it is said with."""
    words = line.split(None, 1)
    return words[0].upper(), b" ", words[1].strip() if len(words) > 1 else b""


def _base64(said: bytes) -> bytes:
    return b2a_base64(said, newline=False)


def _decode(line: bytes) -> bytes | None:
    try:
        return a2b_base64(line, strict_mode=True) if line else b""
    except Base64Error:
        return None


def _utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_address(path: bytes, empty: bool) -> bool:
    """Whether Postfix takes this for one address, with or without angle brackets."""
    inner = path
    if path.startswith(b"<"):
        if not path.endswith(b">"):
            return False
        inner = path.strip(b"<>").strip()
    if not inner:
        return empty and path.startswith(b"<")
    return bool(_ADDRESS.fullmatch(inner)) and not inner.endswith(b"@")


_MAIL_OPTIONS: Options = {
    b"SIZE": (_NUMBER, b"501 5.5.4 Bad message size syntax"),
    b"BODY": (re.compile(rb"7BIT|8BITMIME", re.IGNORECASE), b""),
    b"RET": (re.compile(rb"FULL|HDRS", re.IGNORECASE), b"501 5.5.4 Bad RET parameter syntax"),
    b"ENVID": (re.compile(rb"[!-~]+"), b"501 5.5.4 Bad ENVID parameter syntax"),
    b"AUTH": (re.compile(rb".*"), b"501 5.5.4 Bad AUTH parameter syntax"),
    b"SMTPUTF8": (None, b""),
}
_RCPT_OPTIONS: Options = {
    b"NOTIFY": (
        re.compile(rb"NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*", re.IGNORECASE),
        b"501 5.5.4 Error: Bad NOTIFY parameter syntax",
    ),
    b"ORCPT": (re.compile(rb"[^;]+;.+"), b"501 5.5.4 Error: Bad ORCPT parameter syntax"),
}
"""Parameters (RFC 1870, 6152, 3461, 4954 and 6531): what they may be, and what is said of another value."""
_ONCE = frozenset([b"RET", b"ENVID"])
"""Those that may stand there once."""


def _wrong_option(text: bytes, known: Options) -> bytes:
    """What is said of the first parameter that is not understood; empty when all are."""
    seen = set()
    for option in text.split():
        name, equals, value = option.partition(b"=")
        pattern, wrong = known.get(name.upper(), (None, b""))
        if name.upper() not in known or (pattern is None) == bool(equals):
            return b"555 5.5.4 Unsupported option: " + option
        once = name.upper() in _ONCE and name.upper() in seen
        seen.add(name.upper())
        if once or (pattern is not None and not pattern.fullmatch(value)):
            return wrong or b"555 5.5.4 Unsupported option: " + option
        if name.upper() == b"SIZE" and int(value) > SIZE_MAX:
            return b"552 5.3.4 Message size exceeds fixed limit"
    return b""
