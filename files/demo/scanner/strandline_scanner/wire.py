"""The few lines of each protocol that the record needs, written apart from the listeners' parsers: they must be able
to disagree.

Pure functions from bytes to what a row of the database should hold.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import struct
from dataclasses import dataclass, field

CAP = 256
"""Bytes of a value before it is cut, unless files/strandline/protocols/*/events.yml says otherwise for it."""


def escape(raw: bytes) -> str:
    r"""The value as it stands between the quotes of an event line: `"`, `\` and all but 0x20..0x7e as `\xNN`."""
    return "".join(chr(b) if 0x20 <= b <= 0x7E and b not in b'"\\' else f"\\x{b:02x}" for b in raw)


def value(key: str, raw: bytes, cap: int = CAP) -> dict[str, str | int]:
    """A value as the database's `data` holds it: cut at `cap` bytes, and then with its true length beside it."""
    return {key: escape(raw[:cap])} | ({f"{key}_length": len(raw)} if len(raw) > cap else {})


# --- DNS (RFC 1035, section 4.1; RFC 6891; RFC 7873) ---

TYPES = {
    1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 10: "NULL", 12: "PTR", 13: "HINFO", 15: "MX", 16: "TXT", 28: "AAAA",
    33: "SRV", 35: "NAPTR", 43: "DS", 46: "RRSIG", 47: "NSEC", 48: "DNSKEY", 52: "TLSA", 64: "SVCB", 65: "HTTPS",
    99: "SPF", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA",
}  # fmt: skip
CLASSES = {1: "IN", 3: "CH", 4: "HS", 254: "NONE", 255: "ANY"}
OPT, OPTION_ECS, OPTION_COOKIE = 41, 8, 10


NO_EDNS = {"edns": "-", "udpsize": "-", "do": "0", "ecs": "0", "cookie": "0"}


@dataclass
class DnsMessage:
    """A DNS message, as far as it could be read; every field as the event names it."""

    reason: str = "-"
    """Why it is no query of one question: opcode, response, question, malformed, short."""
    qname: bytes = b""
    fields: dict[str, str] = field(default_factory=lambda: {"id": "-", "opcode": "-", "qclass": "-", "qtype": "-"})
    cookie: bytes = b""


def _name(message: bytes, offset: int) -> tuple[bytes, int]:
    """Presentation format of a name (RFC 4343, section 2.1, with the characters that master files treat specially)."""
    labels, end, hops = [], 0, 0
    while True:
        length = message[offset]
        if length >= 0xC0:
            end = end or offset + 2
            offset, hops = struct.unpack_from("!H", message, offset)[0] & 0x3FFF, hops + 1
            if hops > 127:
                raise ValueError("a loop of compression pointers")
            continue
        offset += 1
        if not length:
            break
        label = message[offset : offset + length]
        labels.append(b"".join(_character(b) for b in label))
        offset += length
    return b".".join(labels) + b".", end or offset


def _character(byte: int) -> bytes:
    if byte in b'"().;\\@$':
        return b"\\" + bytes([byte])
    return bytes([byte]) if 0x21 <= byte <= 0x7E else b"\\%03d" % byte


def _options(rdata: bytes) -> dict[int, bytes]:
    options, offset = {}, 0
    while offset + 4 <= len(rdata):
        code, length = struct.unpack_from("!HH", rdata, offset)
        options[code] = rdata[offset + 4 : offset + 4 + length]
        offset += 4 + length
    return options


def dns(raw: bytes) -> DnsMessage:
    """Read a message: its header, its question and the EDNS of its additional section."""
    message = DnsMessage()
    if len(raw) < 12:
        message.reason = "short"
        return message
    ident, flags, questions, *counts = struct.unpack_from("!6H", raw)
    message.fields |= {
        "id": str(ident),
        "opcode": str(flags >> 11 & 15),
        "rd": str(flags >> 8 & 1),
        "cd": str(flags >> 4 & 1),
        "ad": str(flags >> 5 & 1),
        **NO_EDNS,
    }
    try:
        whole = _sections(raw, message, questions, sum(counts)) == len(raw)
    except (struct.error, IndexError, ValueError):
        whole = False
    message.reason = (
        "response" if flags & 0x8000
        else "opcode" if flags >> 11 & 15
        else "malformed" if not whole
        else "question" if questions != 1
        else "-"
    )  # fmt: skip
    return message


def _sections(raw: bytes, message: DnsMessage, questions: int, records: int) -> int:
    """Read what follows the header; the offset of its end. Raises when the bytes end before that."""
    offset = 12
    for number in range(questions):
        name, offset = _name(raw, offset)
        qtype, qclass = struct.unpack_from("!HH", raw, offset)
        offset += 4
        if not number:
            message.qname = name
            message.fields |= {
                "qclass": CLASSES.get(qclass, f"CLASS{qclass}"),
                "qtype": TYPES.get(qtype, f"TYPE{qtype}"),
            }
    for _ in range(records):
        _, offset = _name(raw, offset)
        rtype, size, ttl, length = struct.unpack_from("!HHIH", raw, offset)
        offset += 10
        if rtype == OPT:
            options = _options(raw[offset : offset + length])
            message.cookie = options.get(OPTION_COOKIE, b"")
            message.fields |= {
                "edns": str(ttl >> 16 & 0xFF),
                "udpsize": str(size),
                "do": str(ttl >> 15 & 1),
                "ecs": str(int(OPTION_ECS in options)),
                "cookie": str(int(OPTION_COOKIE in options)),
            }
        offset += length
    return offset


def dns_messages(stream: bytes) -> list[bytes]:
    """The complete messages of a TCP stream (RFC 1035, section 4.2.2)."""
    messages, offset = [], 0
    while offset + 2 <= len(stream):
        length = struct.unpack_from("!H", stream, offset)[0]
        if offset + 2 + length > len(stream):
            break
        messages.append(stream[offset + 2 : offset + 2 + length])
        offset += 2 + length
    return messages


# --- SIP (RFC 3261) ---

COMPACT = {b"f": b"from", b"t": b"to", b"m": b"contact", b"i": b"call-id", b"l": b"content-length", b"v": b"via"}
REQUEST_LINE = re.compile(rb"([!-~]+) ([^\r\n]*?) (SIP/[0-9.]+)\r?\n")
DIGEST = re.compile(rb'([A-Za-z]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))')


@dataclass
class SipMessage:
    """A SIP message, as far as it was there."""

    method: bytes = b""
    uri: bytes = b""
    version: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    """The first header of each name, by its long name in lower case."""
    body: bytes = b""
    complete: bool = False
    """The blank line was there."""

    def digest(self) -> dict[bytes, bytes]:
        """The parameters of Authorization, else Proxy-Authorization (RFC 3261, section 22.4), names in lower case."""
        text = self.headers.get(b"authorization", self.headers.get(b"proxy-authorization", b""))
        return {key.lower(): quoted or token for key, quoted, token in DIGEST.findall(text)}

    def length(self) -> int | None:
        """Content-Length, None without a usable one."""
        text = self.headers.get(b"content-length", b"")
        return int(text) if re.fullmatch(rb"[0-9]{1,9}", text) else None

    def malformed(self, stream: bool) -> str:
        """What is wrong with it, as the event says it: RFC 3261, sections 7.1, 8.1.1 and, for the length, 18.3."""
        length, cseq = self.length(), self.headers.get(b"cseq", b"").split()
        mandatory = (self.headers.get(name) for name in (b"from", b"to", b"call-id", b"cseq"))
        wrong = {
            "length": (b"content-length" in self.headers and length is None)
            or (length is None and stream)
            or (length is not None and length > len(self.body)),
            "via": not self.headers.get(b"via", b"").startswith(b"SIP/"),
            "version": self.version != b"SIP/2.0",
            "headers": not self.complete or not all(mandatory) or len(cseq) != 2 or cseq[1] != self.method,
        }
        return "+".join(name for name, is_wrong in wrong.items() if is_wrong) or "-"


def sip(raw: bytes) -> SipMessage | None:
    """Read one SIP request; None when the first line is no request line."""
    raw = raw.lstrip(b"\r\n")
    start = REQUEST_LINE.match(raw)
    if not start:
        return None
    head, blank, body = _split(raw)
    message = SipMessage(start[1], start[2], start[3], body=body, complete=blank)
    for line in re.split(rb"\r?\n", head)[1:]:
        name, colon, text = line.partition(b":")
        if colon:
            name = name.strip().lower()
            message.headers.setdefault(COMPACT.get(name, name), text.strip(b" \t"))
    return message


def _split(raw: bytes) -> tuple[bytes, bool, bytes]:
    blank = re.search(rb"\r?\n\r?\n", raw)
    return (raw[: blank.start()], True, raw[blank.end() :]) if blank else (raw.rstrip(b"\r\n"), False, b"")


def sip_messages(stream: bytes) -> list[bytes]:
    """The messages of a TCP stream, by Content-Length (RFC 3261, section 18.3); the rest, if any, as the last one."""
    messages = []
    while stream := stream.lstrip(b"\r\n"):
        _, blank, body = _split(stream)
        message = sip(stream)
        length = (message.length() or 0) if message and blank else len(body)
        end = len(stream) - len(body) + length
        messages.append(stream[:end])
        stream = stream[end:]
    return messages


def nonces(raw: bytes) -> set[bytes]:
    """The nonces that a response challenges with (RFC 3261, section 22.1)."""
    challenges = re.findall(rb"(?im)^(?:WWW|Proxy)-Authenticate\s*:(.*)$", raw)
    return {nonce for line in challenges for nonce in re.findall(rb'nonce="([^"]*)"', line)}


# --- RFB (RFC 6143, section 7.1) ---


@dataclass
class Rfb:
    """What a client said in the RFB handshake, with the challenge that it answered."""

    version: bytes
    negotiated: str
    security_type: int | None = None
    challenge: bytes = b""
    response: bytes = b""


def rfb(sent: bytes, received: bytes) -> Rfb | None:
    """Read both directions of a session; None when the client's first 12 bytes are no ProtocolVersion."""
    match = re.match(rb"RFB (\d{3})\.(\d{3})\n", sent)
    if not match:
        return None
    # Section 7.1.1: versions that no one published are treated as 3.3; what is newer than ours gets ours, 3.8.
    version = (int(match[1]), int(match[2]))
    negotiated = "3.8" if version >= (3, 8) else "3.7" if version == (3, 7) else "3.3"
    session = Rfb(sent[:11], negotiated)
    said, heard = sent[12:], received[12:]
    if negotiated == "3.3":
        if len(heard) >= 4:
            session.security_type, heard = int(struct.unpack_from("!I", heard)[0]), heard[4:]
    elif said and heard:
        session.security_type, said, heard = said[0], said[1:], heard[1 + heard[0] :]
    if session.security_type == 2 and len(said) >= 16:
        session.challenge, session.response = heard[:16], said[:16]
    return session


# --- Telnet (RFC 854, RFC 855) ---

TELNET_COMMAND = re.compile(rb"\xff(?:\xfa(.)(.*?)\xff\xf0|[\xfb-\xfe].|(\xff)|[\xf0-\xf9])", re.DOTALL)
TELNET_LINE_END = rb"\r\n|\r\0|\r|\n"
FOREIGN = re.compile(rb"[A-Z]{3,16} \S+ [A-Z]{3,5}/[0-9]|SSH-[0-9]|EHLO |HELO ")


def telnet(sent: bytes) -> list[tuple[str, dict[str, str | int]]]:
    """Events and their data of a connection that the client closed."""
    events: list[tuple[str, dict[str, str | int]]] = []
    typed, at = b"", 0
    terminals = [(-1, b"")]  # how much was typed when the client named which terminal
    for command in TELNET_COMMAND.finditer(sent):
        typed += sent[at : command.start()] + (command[3] or b"")
        at = command.end()
        if command[1]:
            told = command[2].replace(b"\xff\xff", b"\xff")
            events.append(("telnet.option", {"option": str(command[1][0]), **value("data", told)}))
            if command[1] == b"\x18" and told[:1] == b"\0":
                terminals.append((len(typed), told[1:]))
    typed += sent[at:]
    *lines, rest = re.split(TELNET_LINE_END, typed)
    ends = [end.end() for end in re.finditer(TELNET_LINE_END, typed)]
    if lines and FOREIGN.match(lines[0]):
        return [*events, ("telnet.malformed", {"reason": "foreign", **value("data", sent[:512])})]
    user: bytes | None = None
    attempts = left = 0
    for number, line in enumerate(lines, 1):
        if user is None:
            user = line or None
            continue
        attempts, left = attempts + 1, number
        terminal = [name for offset, name in terminals if offset < ends[number - 1]][-1]
        names = {**value("user", user), **value("password", line), **value("terminal", terminal)}
        events.append(("telnet.login", {"attempt": str(attempts), **names}))
        user = None
    if not attempts:
        events.append(("telnet.malformed", {"reason": "closed", **value("data", sent[:512])}))
    elif user is not None or rest:
        events.append(("telnet.malformed", {"reason": "closed", **value("data", b"\r\n".join([*lines[left:], rest]))}))
    return events


# --- SMTP (RFC 5321; RFC 3030, RFC 4954) ---

Rows = list[tuple[str, dict[str, str | int]]]
SMTP_CODES = {"AUTH": "535", "VRFY": "252", "HELP": "214", "ETRN": "459", "STARTTLS": "502"}
"""What the listener answers to well-formed commands that send no mail, and to AUTH by a mechanism that it lacks."""
SMTP_SILENT = ("NOOP", "RSET", "QUIT")
SMTP_VERBS = {*SMTP_CODES, *SMTP_SILENT, "HELO", "EHLO", "MAIL", "RCPT", "DATA", "BDAT"}
SMTP_FOREIGN = re.compile(rb"[A-Z]{3,16} \S+ [A-Z]{3,5}/[0-9]|SSH-[0-9]|\x16\x03")


@dataclass
class Smtp:
    """A connection's bytes, read command by command."""

    sent: bytes
    challenges: list[bytes]
    rows: Rows = field(default_factory=list)
    sender: bytes | None = None
    recipients: list[bytes] = field(default_factory=list)
    chunks: bytes | None = None
    attempts: int = 0

    def line(self) -> bytes:
        """Take the next line."""
        line, _, self.sent = self.sent.partition(b"\n")
        return line.rstrip(b"\r")

    def command(self, line: bytes) -> None:
        """Read a line, and what belongs to it."""
        verb, _, said = line.decode("latin-1").strip().partition(" ")
        verb, raw = verb.upper(), line.strip().partition(b" ")[2].strip()
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            told = {"verb": verb if verb in SMTP_VERBS else "-", "reply": "500"}
            self.rows.append(("smtp.command", {**told, **value("line", line)}))
            return
        if verb in ("HELO", "EHLO") and said:
            self.transaction("command")
            self.rows.append(("smtp.greet", {"verb": verb, **value("name", raw)}))
        elif verb == "AUTH" and said.split()[:1] and said.split()[0].upper() in ("PLAIN", "LOGIN", "CRAM-MD5"):
            self.auth(*raw.split())
        elif verb == "MAIL":
            self.sender = raw[5:].strip()
        elif verb == "RCPT":
            self.recipients.append(raw[3:].strip())
        elif verb == "DATA":
            body, end, rest = (b"\r\n" + self.sent).partition(b"\r\n.\r\n")
            body = body[2:] + b"\r\n" if end and body else b"" if end else self.sent
            self.sent = rest
            self.message("DATA", re.sub(rb"(?m)^\.", b"", body), body, "end" if end else "closed")
        elif verb == "BDAT":
            size, last = int(said.split()[0]), len(said.split()) > 1
            chunk, self.sent = self.sent[:size], self.sent[size:]
            self.chunks = (self.chunks or b"") + chunk
            if last or len(chunk) < size:
                self.message("BDAT", self.chunks, self.chunks, "end" if last and len(chunk) == size else "closed")
        elif verb in SMTP_SILENT:
            self.transaction("command")
        else:
            known = verb in SMTP_CODES
            told = {"verb": verb if known else "-", "reply": SMTP_CODES.get(verb, "500")}
            self.rows.append(("smtp.command", {**told, **value("line", line)}))

    def auth(self, mechanism: bytes, *initial: bytes) -> None:
        """Read AUTH and its answers."""
        self.attempts += 1
        steps = 2 if mechanism.upper() == b"LOGIN" else 1
        answers = [base64.b64decode(each) for each in [*initial, *(self.line() for _ in range(steps - len(initial)))]]
        user = password = challenge = response = b""
        if mechanism.upper() == b"CRAM-MD5":
            challenge = self.challenges.pop(0)
            user, _, response = answers[0].rpartition(b" ")
        elif steps == 2:
            user, password = answers
        else:
            _, user, password = answers[0].split(b"\0", 2)
        told = {"mechanism": mechanism.decode().upper(), "attempt": str(self.attempts), "reply": "535"}
        values = {"user": user, "password": password, "challenge": challenge, "response": response}
        row: dict[str, str | int] = {**told}
        for name, said in values.items():
            row |= value(name, said)
        self.rows.append(("smtp.auth", row))

    def envelope(self, reason: str) -> dict[str, str | int]:
        """Sender and recipients, which are then forgotten."""
        row: dict[str, str | int] = {"recipients": str(len(self.recipients)), "reason": reason}
        row |= value("sender", self.sender or b"") | value("recipient", (self.recipients or [b""])[0])
        self.sender, self.recipients, self.chunks = None, [], None
        return row

    def transaction(self, reason: str) -> None:
        """End what was begun."""
        if self.chunks is not None:
            self.message("BDAT", self.chunks, self.chunks, reason)
        elif self.sender is not None:
            self.rows.append(("smtp.mail", self.envelope(reason)))

    def message(self, command: str, body: bytes, raw: bytes, reason: str) -> None:
        """The row of a message; `raw` is as sent, `body` without the dots that were added."""
        head = re.split(rb"\r?\n\r?\n", body, maxsplit=1)[0]
        named = [(name.lower(), text) for name, text in re.findall(rb"(?m)^([!-9;-~]+)[ \t]*:[ \t]*(.*)", head)]
        headers = {name: text.strip() for name, text in reversed(named)}
        crlf = raw.count(b"\r\n")
        ambiguous = re.findall(rb"(?:(?<=[\r\n])|\A)\.(?=[\r\n]|\Z)", raw)
        row: dict[str, str | int] = {
            "command": command,
            "size": str(len(body)),
            "sha256": hashlib.sha256(body).hexdigest(),
            "bare": str(raw.count(b"\n") + raw.count(b"\r") - 2 * crlf),
            "lone_dots": str(len(ambiguous)),
            **self.envelope(reason),
        }
        for key, name in (("subject", b"subject"), ("from", b"from"), ("to", b"to"), ("message_id", b"message-id")):
            row |= value(key, headers.get(name, b""))
        row |= value("user_agent", headers.get(b"user-agent", headers.get(b"x-mailer", b"")))
        self.rows.append(("smtp.data", row))


def smtp(sent: bytes, received: bytes) -> Rows:
    """Events and their data of a connection that the client closed, for what the script's clients send."""
    if SMTP_FOREIGN.match(sent):
        return [("smtp.malformed", {"reason": "foreign", **value("data", sent[:512])})]
    asked = re.findall(rb"(?m)^334 (\S+)\r", received)
    session = Smtp(sent, [text for text in map(base64.b64decode, asked) if text.startswith(b"<")])
    while b"\n" in session.sent:
        line = session.line()
        session.command(line)
        if line.upper().startswith(b"QUIT"):
            session.sent = b""
    session.transaction("closed")
    if session.sent or not session.rows:
        left = session.sent if session.rows else sent
        session.rows.append(("smtp.malformed", {"reason": "closed", **value("data", left[:512])}))
    return session.rows


# --- NTP (RFC 5905, section 7.3; RFC 9327; ntpdc's private mode) ---


def ntp(raw: bytes) -> tuple[str, dict[str, str | int]]:
    """The event of a datagram and its data."""
    mode = str(raw[0] & 7) if raw else "-"
    version = str(raw[0] >> 3 & 7) if raw else "-"
    size, data = {"size": str(len(raw))}, value("data", raw)
    short = len(raw) < {"3": 48, "6": 2, "7": 4}.get(mode, 1)
    answers = not short and ((mode == "6" and raw[1] >= 0x80) or (mode == "7" and raw[0] >= 0x80))
    for wrong, reason in (
        (short, "short"),
        (mode not in "367", "mode"),
        (version == "0", "version"),
        (answers, "response"),
    ):
        if wrong:
            return "ntp.malformed", {"reason": reason, "mode": mode, "version": version, **size, **data}
    asked = {
        "opcode": str(raw[1] & 31) if mode == "6" else "-",
        "implementation": str(raw[2]) if mode == "7" else "-",
        "code": str(raw[3]) if mode == "7" else "-",
    }
    transmit = value("transmit", raw[40:48] if mode == "3" else b"")
    return "ntp.request", {"mode": mode, "version": version, **asked, **size, **transmit, **data}


# --- IPv6 in IPv4 (RFC 4213; RFC 8200, section 4) ---


def proto41(raw: bytes) -> tuple[str, dict[str, str | int]]:
    """The event of a packet and its data."""
    size, data = {"size": str(len(raw))}, value("data", raw)
    if len(raw) < 40 or raw[0] & 0xF0 != 0x60:
        return "proto41.malformed", {"reason": "short" if len(raw) < 40 else "version", **size, **data}
    inner = {
        f"inner_{name}": str(ipaddress.IPv6Address(raw[at : at + 16])) for name, at in (("saddr", 8), ("daddr", 24))
    }
    told = {**inner, "protocol": _upper_layer(raw[6], raw[40:]), "hop_limit": str(raw[7])}
    return "proto41.packet", {**told, **size, **data}


def _upper_layer(kind: int, rest: bytes, left: int = 8) -> str:
    """What stands behind the extension headers, of which at most seven are read."""
    if kind not in (0, 43, 44, 51, 60, 135, 139, 140):
        return str(kind) if left else "-"
    if len(rest) < 8 or not left:
        return "-"
    if kind == 44 and struct.unpack_from("!H", rest, 2)[0] >= 8:
        return str(rest[0])
    size = 8 if kind == 44 else rest[1] * 4 + 8 if kind == 51 else rest[1] * 8 + 8
    return _upper_layer(rest[0], rest[size:], left - 1) if size <= len(rest) else "-"


# --- every other port ---


def contact(raw: bytes) -> tuple[str, dict[str, str | int]]:
    """The event of what came first, and its data."""
    return "any.contact", {"reason": "data", "size": str(len(raw)), **value("data", raw)}
