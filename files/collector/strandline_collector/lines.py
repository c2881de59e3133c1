"""From a line of the parsed spool to a row: pure functions, no files, no database.

A spool line is a JSON object whose values are strings: the fields that syslog-ng's patterndb took out of one event.
What the other side chose stands there in double quotes, with every byte but printable ASCII written as `\\xNN`, and
with `/LENGTH` behind it where it was cut. Whoever connects to a sensor writes these values: nothing here trusts them.

This runs once for each event, up to 100,000 times a second: checks work on whole strings, not on characters.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

import orjson

# Columns of strandline.event in the order in which a row is written; the run's id is put in front when it is known.
COLUMNS = "run_id, n, ts, rts, sport, dport, verified, event, saddr, daddr, proto, data"
RAW_KEPT = 8192  # bytes of a rejected line that are kept
MAX_N = 2**63 - 1
EVENT = re.compile(r"[a-z][a-z0-9_.]{0,62}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,254}")
_CLOCK = r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}\+00:00"
_both_clocks = re.compile(f"(.{{10}}){_CLOCK}(.{{10}}){_CLOCK}").fullmatch  # the usual form, two of it in a row
_quoted = re.compile(r'"([^"]*)"(?:/([0-9]{1,15}))?').fullmatch
_V4_MAPPED = b"\0" * 10 + b"\xff\xff"


class Reject(Exception):
    """A line that cannot become a row; the text is the reason, as the table of rejects shows it."""

    def __init__(self, reason: str, *origin: object) -> None:
        """Keep what is known of the line's origin, unchecked: sensor, run, n, rts, or nothing."""
        super().__init__(reason)
        self.reason = reason
        self.sensor, self.run, self.n, self.rts = origin or (None, None, None, None)
        self.message: str | None = None  # the event's text, where the collector handed it on whole


class Record(NamedTuple):
    """One event, checked. The address is canonical; ts and rts are UTC in the one form that also sorts as text."""

    sensor: str
    run: str
    n: int
    ts: str
    rts: str
    event: str
    saddr: str
    dport: int
    proto: str
    verified: bool
    data: dict[str, str]  # its own fields, the other side's values with or without their quotes
    row: bytes  # all COLUMNS but the first, in COPY's text format


_new = tuple.__new__
_days: set[str] = set()  # days that are known to be in the calendar, bounded
_events: set[str] = set()  # event names that are known to be well-formed, bounded
_own: dict[str, str] = {}  # addresses of our sensors, in their canonical form, bounded


def timestamp(text: str) -> str:
    """Return an ISO 8601 time stamp in the form 2026-11-25T02:12:18.123456+00:00; raise ValueError when it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    text = moment.astimezone(UTC).isoformat(timespec="microseconds")
    if len(_days) > 4096:
        _days.clear()
    _days.add(text[:10])
    return text


def address(text: str) -> str:
    """Return an address in its canonical form, IPv4-mapped ones as IPv4; raise OSError or ValueError if it is none."""
    try:
        inet_pton(AF_INET, text)
    except OSError:
        packed = inet_pton(AF_INET6, text)
        if packed.startswith(_V4_MAPPED):
            return inet_ntop(AF_INET, packed[12:])
        return inet_ntop(AF_INET6, packed)
    return text


def _own_address(text: str) -> str:
    """Return a sensor's address in its canonical form; raise OSError or ValueError if it is none."""
    if len(_own) > 4096:
        _own.clear()
    return _own.setdefault(text, address(text))


def microseconds(ts: str) -> int:
    """Return a time stamp as whole microseconds since 1970."""
    moment = datetime.fromisoformat(ts)
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond


def _event_name(event: str) -> None:
    """Raise Reject unless `event` is a well-formed name."""
    if not EVENT.fullmatch(event):
        raise Reject("event: not a name")
    if len(_events) > 1024:
        _events.clear()
    _events.add(event)


def _tidy(data: dict[str, str]) -> bytes:
    """Return the event's own fields as JSON, values without their quotes; a cut value adds KEY_length, in bytes.

    Raises Reject when a value holds what the listeners' escaping cannot have left there.
    """
    "".join(data.values())  # all of them strings? else TypeError
    blob = orjson.dumps(data)
    # A value `"root"` stands in the JSON as "\"root\"". Take \" away behind an opening and before a closing quote. Then
    # the only backslash that belongs here is that of \\xNN: a quote inside a value, a control character or \u0000
    # (which jsonb refuses) shows as a wrong count. Whole escaped quotes are taken out, so text never becomes structure.
    opened = blob.replace(b'"\\"', b'"')
    plain = opened.replace(b'\\""', b'"')
    # As many openings as closings: each takes two bytes away.
    if len(blob) - len(opened) == len(opened) - len(plain) and _clean(plain):
        return plain
    # Seldom: a value was cut, or something is wrong.
    lengths: dict[str, str | int] = {}
    for key, value in data.items():
        if value.startswith('"'):
            match = _quoted(value)
            if match is None:
                raise Reject(f"{key[:64]}: its quotes do not close")
            data[key] = match[1]
            if match[2]:
                lengths[f"{key}_length"] = int(match[2])
    blob = orjson.dumps(data | lengths)
    if not _clean(blob):
        raise Reject("a value holds an unescaped quote, backslash or non-printable character")
    return blob


def _clean(blob: bytes) -> bool:
    """Tell whether JSON is printable ASCII whose only backslashes are those of \\xNN."""
    backslashes = blob.count(b"\\")
    return (backslashes == 0 or backslashes == 2 * blob.count(b"\\\\x")) and b"\x7f" not in blob and blob.isascii()


def _fields(record: dict[str, str]) -> Record:
    """Check the fields of one line and return its Record; raises whatever a bad field provokes (see decode)."""
    pop = record.pop
    sensor, run, number = pop("sensor"), pop("run"), pop("n")
    ts, rts, event = pop("ts"), pop("rts"), pop("event")
    saddr, sport, daddr, dport, proto = pop("saddr"), pop("sport"), pop("daddr"), pop("dport"), pop("proto")
    pop("program", None)  # follows from the event
    claim = pop("verified", None)
    if not number or not run:
        raise Reject("unnumbered: the sensor's number is missing")
    if sensor.__class__ is not str or run.__class__ is not str:
        raise Reject("sensor or run: not a string")
    digits = number + sport + dport
    if not (digits.isascii() and digits.isdigit()):
        raise Reject("n, sport or dport: not a number")
    n, source_port, destination_port = int(number, 10), int(sport, 10), int(dport, 10)
    if not 1 <= n <= MAX_N:
        raise Reject("n: out of range")
    if source_port > 65535 or destination_port > 65535:
        raise Reject("sport or dport: above 65535")
    if event not in _events:
        _event_name(event)
    if proto not in ("tcp", "udp"):
        raise Reject("proto: neither tcp nor udp")
    try:
        saddr, daddr = address(saddr), _own.get(daddr) or _own_address(daddr)
    except (OSError, ValueError):
        raise Reject("saddr or daddr: not an address") from None
    both = _both_clocks(ts + rts)
    if both is None or len(ts) != 32 or both[1] not in _days or both[2] not in _days:
        try:
            ts, rts = timestamp(ts), timestamp(rts)
        except (ValueError, OverflowError):
            raise Reject("ts or rts: not a time stamp with a time zone") from None
    verified = proto == "tcp" or claim == "yes"
    # COPY's text format (https://www.postgresql.org/docs/17/sql-copy.html): only the JSON can hold a backslash, and
    # nothing can hold a tab or a newline, so one replacement does the escaping.
    row = (
        f"\t{n}\t{ts}\t{rts}\t{source_port}\t{destination_port}\t{'t' if verified else 'f'}\t{event}"
        f"\t{saddr}\t{daddr}\t{proto}\t"
    ).encode() + _tidy(record).replace(b"\\", b"\\\\")
    # What Record(...) does, in half the time.
    return _new(Record, (sensor, run, n, ts, rts, event, saddr, destination_port, proto, verified, record, row))


def decode(line: bytes) -> Record:
    """Parse and check one line without its newline; raise Reject with the reason when it cannot become a row."""
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
        return _fields(record)
    except Reject as reject:
        reason = reject.reason
    except KeyError as error:
        reason = f"{str(error.args[0])[:64]}: missing"
    except (TypeError, AttributeError, ValueError) as error:
        # A number, list or object where a string belongs; ValueError: more digits than Python reads.
        reason = f"a field has the wrong type: {error}"[:200]
    # Read it once more: _fields has taken the fields out.
    raise Reject(reason, *_origin(orjson.loads(line)))


def _origin(record: dict[str, object]) -> tuple[object, object, object, object]:
    """Return what a line says of its origin, unchecked."""
    return record.get("sensor"), record.get("run"), record.get("n"), record.get("rts")
