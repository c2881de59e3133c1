r"""What DataPlane.org's daemons write to syslog, as events of our catalogue. Pure functions.

Which daemon wrote a line is told by the program's name alone: a stranger chooses much of what stands behind it. Of each
line what the daemon wrote is taken from the ends, and what the stranger wrote from between.

OpenSSH writes messages with a backslash before a backslash, and bytes that can't be printed as \ooo, \n, \t, ...
(strnvis(3) with VIS_CSTYLE and VIS_OCTAL); that is undone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

from strandline.collector.adopt.found import Found, Skip, flow
from strandline.event.line import Event
from strandline.protocols.sip.event import malformed_event, request_event
from strandline.protocols.sip.message import is_response, parse

CUT = 100
"""OpenSSH's daemon cuts each value there (bytes), and does not say whether it did."""
_MONTHS = {name: n for n, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
_MONTH = b"|".join(_MONTHS)
_TAG = rb"([^\s:\[]{1,128})(?:\[[0-9]{1,10}\])?:[ ]?(.*)"
# RFC 3164, section 4.1.2, which knows no year and no time zone; and with the time of ISO 8601, as rsyslog and syslog-ng
# write it. Before both there may be the priority.
_OLD = re.compile(
    rb"(?:<[0-9]{1,3}>)?(" + _MONTH + rb") ([ 0-9]?[0-9]) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([^ ]{1,255}) " + _TAG, re.S
).fullmatch
_STAMP = rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:?[0-9]{2})?"
_ISO = re.compile(rb"(?:<[0-9]{1,3}>)?" + _STAMP + rb" ([^ ]{1,255}) " + _TAG, re.S).fullmatch
# RFC 5424, section 6: version, time, host, program, process, message id, structured data.
_NEW = re.compile(
    rb"<[0-9]{1,3}>1 " + _STAMP + rb" ([^ ]{1,255}) ([^ ]{1,48}) [^ ]{1,128} [^ ]{1,32} "
    rb'(?:-|(?:\[(?:[^\]"\\]|"(?:[^"\\]|\\.)*")*\])+)[ ]?(?:\xef\xbb\xbf)?(.*)', re.S,
).fullmatch  # fmt: skip

_ADDRESS = rb"([0-9A-Fa-f:.]{2,45})"
_client = re.compile(
    rb"Client protocol version ([0-9]{1,3}\.[0-9]{1,3}); client software version (.*); saddr "
    + _ADDRESS + rb"; sport ([0-9]{1,5})", re.S,
).fullmatch  # fmt: skip
_password = re.compile(
    rb"Password authentication attempt; saddr " + _ADDRESS + rb"; sport ([0-9]{1,5}); user (.*)", re.S
).fullmatch
_vnc = re.compile(
    rb"saddr: " + _ADDRESS + rb"; sport: ([0-9]{1,5}); daddr: " + _ADDRESS + rb"; dport: ([0-9]{1,5}); (.*)", re.S
).fullmatch
_sip = re.compile(
    rb"saddr: " + _ADDRESS + rb"; sport: :?([0-9]{1,5}); proto: (UDP|TCP)[46]; content: (.*)", re.S
).fullmatch
_word = re.compile(r"[A-Za-z0-9-]{1,32}").fullmatch
_vis = re.compile(rb"\\(?:([0-7]{3})|([\\nrbavtfs0]))")
_PLAIN = {b"\\": b"\\", b"n": b"\n", b"r": b"\r", b"b": b"\b", b"a": b"\a", b"v": b"\v", b"t": b"\t", b"f": b"\f",
          b"s": b" ", b"0": b"\0"}  # fmt: skip
DNS_NUMBERS = ("id", "qr", "opcode", "aa", "tc", "rd", "ra", "z", "ad", "cd", "rcode", "qdcount", "ancount", "nscount",
               "arcount", "edns", "do", "udpsize", "options")  # fmt: skip
OPCODES = {"QUERY": "0", "IQUERY": "1", "STATUS": "2", "NOTIFY": "4", "UPDATE": "5", "DSO": "6"}


class Reader:
    """Reads the lines of one file."""

    def __init__(self, zone: tzinfo, newest: float) -> None:
        """Times without a zone are of `zone`; those without a year are of the last year in which they are not `newest`
        (seconds since 1970) or later."""
        self._zone = zone
        self._newest = datetime.fromtimestamp(newest, UTC) + timedelta(days=1)

    def read(self, line: bytes) -> Found:
        """Return the event of a line; raise Skip."""
        moment, host, tag, text = self._header(line)
        program = tag.rpartition(b"/")[2]
        for prefix, reader in DAEMONS:
            if program.startswith(prefix):
                found = reader(text)
                return found._replace(moment=moment, host=host.decode("ascii", "replace"))
        raise Skip("not one of DataPlane.org's daemons")

    def _header(self, line: bytes) -> tuple[datetime, bytes, bytes, bytes]:
        """Return time, host, program and message."""
        try:
            old = _OLD(line)
            if old is not None:
                month, day, hour, minute, second, host, tag, text = old.groups()
                return self._guess(_MONTHS[month], int(day), int(hour), int(minute), int(second)), host, tag, text
            match = _ISO(line) or _NEW(line)
            if match is None:
                raise Skip("not a line of syslog")
            stamp, fraction, zone, host, tag, text = match.groups()
            written = (stamp + (fraction or b"")[:7] + (zone or b"")).decode("ascii")
            moment = datetime.fromisoformat(written)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=self._zone)
            return moment.astimezone(UTC), host, tag, text
        except (ValueError, OverflowError):
            raise Skip("time: not a date") from None

    def _guess(self, month: int, day: int, hour: int, minute: int, second: int) -> datetime:
        """Give a year to a time; raise ValueError for any other text."""
        last = self._newest.astimezone(self._zone).year
        for year in range(last, last - 9, -1):
            if (month, day) == (2, 29) and (year % 4 or (year % 100 == 0 and year % 400)):
                continue
            # A leap second is written as 60.
            moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=self._zone).astimezone(UTC)
            if moment <= self._newest:
                return moment
        raise ValueError("no such day")


def unvis(text: bytes) -> bytes:
    """Undo OpenSSH's escaping."""
    return _vis.sub(lambda match: bytes([int(match[1], 8) & 255]) if match[1] else _PLAIN[match[2]], text)


def _made(origin: str, where: tuple[str, int, str, int], proto: str, event: Event, *ambiguous: str) -> Found:
    return Found(datetime.min, f"dataplane.{origin}", *where, proto, event, tuple(ambiguous))


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace")


def sshd(text: bytes) -> Found:
    """Client identifications and passwords of the patched OpenSSH."""
    match = _client(text)
    if match is not None:
        version, software, saddr, sport = match.groups()
        software = unvis(software)
        valid = version in (b"2.0", b"1.99")
        event = Event("ssh.client", {"valid": "yes" if valid else "no"}, {"ident": b"SSH-" + version + b"-" + software})
        where = flow(_text(saddr), _text(sport), "", 22)
        return _made("sshd", where, "tcp", event, *(["ident"] if len(software) >= CUT else []))
    match = _password(text)
    if match is None:
        raise Skip("sshd: neither a client's version nor a password")
    saddr, sport, rest = match.groups()
    user, separator, password = rest.partition(b"; password ")
    if not separator:
        if not rest.endswith(b"; password"):
            raise Skip("sshd: an attempt without a password")
        user = rest.removesuffix(b"; password")  # an empty one, and syslog took the blank
    values = {"user": unvis(user), "password": unvis(password)}
    # The separator may also be a part of the user name or of the password.
    ambiguous = [name for name, value in values.items() if b"; password " in password or len(value) >= CUT]
    event = Event("ssh.password", {"method": "password"}, values)
    return _made("sshd", flow(_text(saddr), _text(sport), "", 22), "tcp", event, *ambiguous)


def fdnsd(text: bytes) -> Found:
    """DNS messages; over UDP its answer asks for TCP, so that who comes by TCP is real."""
    if not text.startswith(b"Query: "):
        raise Skip("fdnsd: not a query")
    count = 4 + len(DNS_NUMBERS) + 3
    # The name is last: it may hold commas.
    parts = text[7:].decode("latin-1").split(",", count - 1)
    if len(parts) != count:
        raise Skip(f"fdnsd: not {count} fields")
    saddr, sport, daddr, number = parts[:4]
    proto = {"17": "udp", "6": "tcp"}.get(number)
    if proto is None:
        raise Skip("fdnsd: neither UDP nor TCP")
    given = _dns_numbers(dict(zip(DNS_NUMBERS, parts[4:], strict=False)))
    qclass, qtype, qname = parts[4 + len(DNS_NUMBERS) :]
    for name, value in (("qclass", qclass), ("qtype", qtype)):
        if value and not _word(value):
            raise Skip(f"fdnsd: {name} is no mnemonic")
    where = flow(saddr, sport, daddr, 53)
    verified = "yes" if proto == "tcp" else "no"
    absolute = qname.encode("latin-1")
    # In presentation format a dot within a label has a backslash before it, and so has a backslash.
    if absolute and not re.search(rb"(?<!\\)(?:\\\\)*\.\Z", absolute):
        absolute += b"."
    reason = ""
    if given["qr"] != "0":
        reason = "response"
    elif given["opcode"] != "0":
        reason = "opcode"
    elif given["qdcount"] != "1" or not (qclass and qtype):
        reason = "question"
    if reason:
        trusted = {"verified": verified, "reason": reason, "id": given["id"], "opcode": given["opcode"]}
        trusted |= {"qclass": qclass or "-", "qtype": qtype or "-"}
        # The first bytes of the message are not in the log.
        return _made("fdnsd", where, proto, Event("dns.message", trusted, {"qname": absolute, "data": b""}), "data")
    edns, ambiguous = _edns(given)
    trusted = {
        "verified": verified, "id": given["id"], "opcode": "0", "rd": given["rd"], "cd": given["cd"],
        "ad": given["ad"], **edns, "qclass": qclass, "qtype": qtype,
    }  # fmt: skip
    return _made("fdnsd", where, proto, Event("dns.query", trusted, {"qname": absolute}), *ambiguous)


def _dns_numbers(given: dict[str, str]) -> dict[str, str]:
    """Check the 19 numbers, and return the opcode as one; raise Skip."""
    for name, value in given.items():
        if name in ("edns", "do", "udpsize", "options") and value in ("", "-"):
            given[name] = "0"
        elif name not in ("opcode", "rcode") and not re.fullmatch("[0-9]{1,5}", value):
            raise Skip(f"fdnsd: {name} is no number")
    given["opcode"] = OPCODES.get(given["opcode"].upper(), given["opcode"])
    if not re.fullmatch("[0-9]{1,2}", given["opcode"]):
        raise Skip("fdnsd: its opcode is no number")
    return given


def _edns(given: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return our fields on EDNS, and which of them the log leaves open."""
    version, do, size, options = (given[name] for name in ("edns", "do", "udpsize", "options"))
    empty = version == do == options == "0" and size in ("0", "512")
    without = empty and given["arcount"] == "0"
    # EDNS of these values, or another record and no EDNS; and which options there were.
    ambiguous = (["edns", "udpsize"] if empty and not without else []) + (["ecs", "cookie"] if options != "0" else [])
    option = "0" if options == "0" else "-"
    return {
        "edns": "-" if without else version, "udpsize": "-" if without else size, "do": do,
        "ecs": option, "cookie": option,
    }, ambiguous  # fmt: skip


def fvncd(text: bytes) -> Found:
    """VNC clients; of the lines of a connection those that an event of ours corresponds to."""
    match = _vnc(text)
    if match is None:
        raise Skip("fvncd: not a line of a connection")
    saddr, sport, daddr, dport, what = match.groups()
    where = flow(_text(saddr), _text(sport), _text(daddr), _text(dport))
    version = re.fullmatch(rb"ProtocolVersion ([0-9]{3}\.[0-9]{3})", what)
    if version is not None:
        return _made("fvncd", where, "tcp", Event("vnc.client", {}, {"version": b"RFB " + version[1]}))
    sectype = re.fullmatch(rb"client sectype ([0-9]{1,3})", what)
    if sectype is not None:
        trusted = {"version": "-", "security_type": _text(sectype[1])}
        return _made("fvncd", where, "tcp", Event("vnc.security", trusted, {}), "version")
    if what == b"vnc_version invalid":
        return _made("fvncd", where, "tcp", Event("vnc.malformed", {"reason": "garbage"}, {"data": b""}), "data")
    raise Skip("fvncd: a step of a connection that no event of ours corresponds to")


def fsipd(text: bytes) -> Found:
    """SIP messages, whose line ends are written as a vertical bar."""
    match = _sip(text)
    if match is None:
        raise Skip("fsipd: not a message")
    saddr, sport, proto, content = match.groups()
    where = flow(_text(saddr), _text(sport), "", 5060)
    transport = proto.decode().lower()
    verified = transport == "tcp"
    data = _with_line_ends(content)
    request = None if is_response(data.lstrip(b"\r\n")) else parse(data)
    if request is None:
        reason = "response" if is_response(data.lstrip(b"\r\n")) else "garbage"
        return _made("fsipd", where, transport, malformed_event(reason, data, verified), "data")
    # A bar may have been a bar: then a piece of a value looks like a line of its own.
    ambiguous = ["headers"] if request.repeated or "headers" in request.wrong else []
    return _made("fsipd", where, transport, request_event(request, verified), *ambiguous)


def _with_line_ends(content: bytes) -> bytes:
    """Give a message its line ends back: whether CR LF was one bar or two shows before the first header."""
    if b"||" in content and re.match(rb"\|*[^|]*\|\|[A-Za-z-]+[ \t]*:", content):
        return content.replace(b"||", b"\r\n")
    return content.replace(b"|", b"\r\n")


def _no_event(name: str) -> Callable[[bytes], Found]:
    def read(_: bytes) -> Found:
        raise Skip(f"{name}: no event of ours corresponds to its lines")

    return read


DAEMONS: tuple[tuple[bytes, Callable[[bytes], Found]], ...] = (
    (b"sshd", sshd),
    (b"fdnsd", fdnsd),
    (b"fvncd", fvncd),
    (b"fsipd", fsipd),
    (b"smtp-sink", _no_event("smtp-sink")),
    (b"nginx", _no_event("nginx")),
)
"""By the beginning of the program's name: sshd-session and fdnsd.pl are known by it."""
