"""From a line of the parsed spool to the values of a row: pure functions, no files, no database.

The collector's syslog-ng writes a line for each event that patterndb knows (`YYYYMMDD-HH.log`):

    SENSOR RUN<tab>N<tab>TIME<tab>TIME OF RECEIPT<tab>event=ssh.password saddr=... user="root" password="x\\x22y"<tab>

with times in seconds since 1970 and the message as it came. A line without the tab at its end was cut by a power cut:
it counts for no number, so that its event is missing and sent again. What it does not know is a JSON object a line
(`YYYYMMDD-HH.jsonl`) whose values are strings. So were all events once, and after an upgrade a spool still holds some.

What the other side chose stands in double quotes, with every byte but printable ASCII written as `\\xNN`, and with
`/LENGTH` behind it where it was cut. Whoever connects to a sensor writes these values: nothing here trusts them.

Nearly every line takes the short way in :mod:`strandline.collector.batch`; :func:`decode` reads all of them, says what
is wrong with those that are no event, and is what the short way is compared with.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

import orjson

RAW_KEPT = 8192  # bytes of a rejected line that are kept
MAX_N = 2**63 - 1
EVENT = re.compile(r"[a-z][a-z0-9_.]{0,62}")
FIELD = re.compile(r"[a-z][a-z0-9_]{0,62}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,254}")
MICROSECONDS = 1_000_000
HOUR = 3600 * MICROSECONDS
# PostgreSQL counts time from 2000 on, and so do the rows.
POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
UNIX_TO_POSTGRES = 946_684_800 * MICROSECONDS
_V4_MAPPED = b"\0" * 10 + b"\xff\xff"
_epoch = re.compile(rb"([0-9]{1,11})\.([0-9]{6})").fullmatch
# One field: a bare word, or a value in quotes, with its true length behind it when it was cut. Then a blank or the end.
_field = re.compile(
    rb"([a-z][a-z0-9_]{0,62})="
    rb'(?:([A-Za-z0-9_.:+/=-]+)|"([ !#-~]*)"(?:/([1-9][0-9]{0,14}))?)(?: |\Z)'
)
_quoted = re.compile(r'"([^"]*)"(?:/([0-9]{1,15}))?').fullmatch
_flow = re.compile(
    rb"event=([^ ]*) saddr=([^ ]*) sport=([^ ]*) daddr=([^ ]*) dport=([^ ]*) proto=([^ ]*)(?: (.*))?", re.DOTALL
).fullmatch


class Reject(Exception):
    """A line that cannot become a row; the text is the reason, as the table of rejects shows it."""

    def __init__(self, reason: str, *origin: object) -> None:
        """Keep what is known of the line's origin, unchecked: sensor, run, n, rts, or nothing."""
        super().__init__(reason)
        self.reason = reason
        self.sensor, self.run, self.n, self.rts = origin or (None, None, None, None)
        self.message: str | None = None  # the event's text, where the collector handed it on whole


class Record(NamedTuple):
    """One event, checked. Times are microseconds since 2000, as PostgreSQL keeps them."""

    sensor: str
    run: str
    n: int
    ts: int
    rts: int
    event: str
    saddr: bytes  # packed, IPv4-mapped addresses as IPv4
    sport: int
    daddr: bytes
    dport: int
    proto: str
    verified: bool
    names: tuple[str, ...]  # the event's own fields
    values: tuple[bytes, ...]  # one for each name; behind them NAME, LENGTH for each value that was cut

    @property
    def cut(self) -> bool:
        """Tell whether a value was cut."""
        return len(self.values) > len(self.names)

    @property
    def data(self) -> dict[str, str]:
        """The event's own fields, as the rules of the feeds ask for them."""
        return {name: value.decode("ascii") for name, value in zip(self.names, self.values, strict=False)}


def iso(moment: int) -> str:
    """Return a time as text, like 2026-11-25T02:12:18.123456+00:00."""
    return (POSTGRES_EPOCH + timedelta(microseconds=moment)).isoformat(timespec="microseconds")


def timestamp(text: str) -> int:
    """Read an ISO 8601 time stamp; raise ValueError or OverflowError for any other text."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    moment.astimezone(UTC)  # OverflowError for what PostgreSQL could not show either
    return (moment - POSTGRES_EPOCH) // timedelta(microseconds=1)


def _time(text: bytes) -> int:
    """Read seconds since 1970 with six decimals; raise Reject when it is no such time."""
    match = _epoch(text)
    if match is None:
        raise Reject("ts or rts: not a time")
    return int(match[1] + match[2]) - UNIX_TO_POSTGRES


def address(text: str) -> bytes:
    """Return an address packed, IPv4-mapped ones as IPv4; raise OSError or ValueError for any other text."""
    try:
        return inet_pton(AF_INET, text)
    except OSError:
        packed = inet_pton(AF_INET6, text)
        return packed[12:] if packed.startswith(_V4_MAPPED) else packed


def shown(packed: bytes) -> str:
    """Return a packed address as text."""
    return inet_ntop(AF_INET if len(packed) == 4 else AF_INET6, packed)


def _number(text: str, most: int) -> int:
    """Read a number of ASCII digits; raise Reject for any other text, or a number above `most`."""
    if not (text.isascii() and text.isdigit()):
        raise Reject("n, sport or dport: not a number")
    if len(text) > 19 or int(text) > most:
        raise Reject("n: out of range" if most == MAX_N else "sport or dport: above 65535")
    return int(text)


def _check_values(values: list[bytes]) -> None:
    """Raise Reject when a value holds what the listeners' escaping cannot have left there."""
    text = b"".join(values)
    if text.count(b"\\") != text.count(b"\\x"):
        raise Reject("a value holds a backslash that escapes nothing")


def _own_fields(text: bytes) -> tuple[list[str], list[bytes], list[bytes]]:
    """Split an event's own fields into names, values, and NAME, LENGTH for each value that was cut."""
    names: list[str] = []
    values: list[bytes] = []
    lengths: list[bytes] = []
    at = 0
    while at < len(text):
        match = _field.match(text, at)
        if match is None:
            raise Reject(f"not a field: {text[at : at + 64].decode('ascii', 'backslashreplace')}")
        name, word, value, length = match.groups()
        names.append(name.decode())
        values.append(word if value is None else value)
        if length:
            lengths += name, length
        at = match.end()
    if text.endswith(b" "):
        raise Reject("a blank behind the last field")
    return names, values, lengths


def _record(
    origin: tuple[str, str, str], times: tuple[int, int], flow: tuple[str, ...],
    own: tuple[list[str], list[bytes], list[bytes]],
) -> Record:  # fmt: skip
    """Check what a line says and return its Record; raises Reject."""
    sensor, run, number = origin
    event, saddr_text, sport_text, daddr_text, dport_text, proto = flow
    if not number or not run:
        raise Reject("unnumbered: the sensor's number is missing")
    n = _number(number, MAX_N)
    if n < 1:
        raise Reject("n: out of range")
    sport, dport = _number(sport_text, 65535), _number(dport_text, 65535)
    if not EVENT.fullmatch(event):
        raise Reject("event: not a name")
    if proto not in ("tcp", "udp", "ipv6"):
        raise Reject("proto: neither tcp, udp nor ipv6")
    try:
        saddr, daddr = address(saddr_text), address(daddr_text)
    except (OSError, ValueError):
        raise Reject("saddr or daddr: not an address") from None
    names, values, lengths = own
    if len(set(names)) < len(names):
        raise Reject("a field stands there twice")
    _check_values(values)
    claim = None
    if "verified" in names:
        at = names.index("verified")
        names.pop(at)
        claim = values.pop(at)
    verified = proto == "tcp" or claim == b"yes"
    return Record(
        sensor, run, n, *times, event, saddr, sport, daddr, dport, proto, verified, tuple(names), (*values, *lengths)
    )


def _from_text(line: bytes) -> Record:
    """Read a line of tabs and a message."""
    parts = line.removesuffix(b"\t").split(b"\t", 4)
    if len(parts) < 5 or not line.endswith(b"\t"):
        raise Reject("NUL bytes" if b"\0" in line else "not a whole line of the spool")
    who, number, ts, rts, message = parts
    sensor, _, run = who.decode("ascii", "backslashreplace").partition(" ")
    n = number.decode("ascii", "backslashreplace")
    try:
        received: str | None = iso(_time(rts))
    except Reject:
        received = None
    try:
        times = _time(ts), _time(rts)
        match = _flow(message)
        if match is None:
            raise Reject("the message is not that of an event")
        flow = tuple(part.decode("ascii", "backslashreplace") for part in match.groups()[:6])
        return _record((sensor, run, n), times, flow, _own_fields(match[7] or b""))
    except Reject as reject:
        raise Reject(reject.reason, sensor, run, n, received) from None


def _from_fields(record: dict[str, str]) -> Record:
    """Read the fields of a JSON object; raises whatever a bad field provokes (see _from_json)."""
    pop = record.pop
    origin = pop("sensor"), pop("run"), pop("n")
    ts, rts = pop("ts"), pop("rts")
    flow = pop("event"), pop("saddr"), pop("sport"), pop("daddr"), pop("dport"), pop("proto")
    pop("program", None)  # follows from the event
    "".join(origin), "".join(flow), "".join(record.values())  # all of them strings? else TypeError
    try:
        times = timestamp(ts), timestamp(rts)
    except (ValueError, OverflowError):
        raise Reject("ts or rts: not a time stamp with a time zone") from None
    values: list[bytes] = []
    lengths: list[bytes] = []
    for name, text in record.items():
        value = text
        if text.startswith('"'):
            match = _quoted(text)
            if match is None:
                raise Reject(f"{name[:64]}: its quotes do not close")
            value = match[1]
            if match[2]:
                lengths += name.encode(), match[2].encode()
        if not (value.isascii() and value.isprintable() and '"' not in value):
            raise Reject("a value holds an unescaped quote or non-printable character")
        values.append(value.encode())
    for name in record:
        if not FIELD.fullmatch(name):
            raise Reject(f"{name[:64]!a}: not the name of a field")
    return _record(origin, times, flow, (list(record), values, lengths))


def _from_json(line: bytes) -> Record:
    """Read a line of JSON: what the collector rejected, or an event of before events had lines of their own."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Reject("NUL bytes" if b"\0" in line else f"not JSON: {error}"[:200]) from None
    if not isinstance(record, dict):
        raise Reject("not a JSON object")
    if "reject" in record:
        # The collector's syslog-ng knew no pattern for it, and says so.
        reject = Reject(str(record["reject"])[:200] or "unknown", *_origin(record))
        message = record.get("msg")
        reject.message = message if isinstance(message, str) else None
        raise reject
    try:
        return _from_fields(record)
    except Reject as reject:
        reason = reject.reason
    except KeyError as error:
        reason = f"{str(error.args[0])[:64]}: missing"
    except (TypeError, AttributeError) as error:
        reason = f"a field has the wrong type: {error}"[:200]
    # Read it once more: _from_fields has taken the fields out.
    raise Reject(reason, *_origin(orjson.loads(line)))


def _origin(record: dict[str, object]) -> tuple[object, object, object, object]:
    """Return what a line says of its origin, unchecked."""
    return record.get("sensor"), record.get("run"), record.get("n"), record.get("rts")


def decode(line: bytes) -> Record:
    """Parse and check one line without its newline; raise Reject with the reason when it cannot become a row."""
    return _from_json(line) if line[:1] in (b"{", b"[") or b"\t" not in line else _from_text(line)
