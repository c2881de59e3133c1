"""One line per event: the grammar that files/strandline/protocols/*/events.yml describes.

The trusted fields come first and bare, what the other side chose comes last and in double quotes.
"""

from __future__ import annotations

import re
import time

TYPE_CHECKING = False  # as typing's, which would cost 0.5 MB
if TYPE_CHECKING:
    from collections.abc import Mapping

VALUE_CAP = 256
"""Longest value, in raw bytes (defaults.cap of the catalogue)."""

TOKEN_MAX = 128
"""Longest token, in bytes; ours are all far shorter."""

LINE_MAX = 7000
"""Longest line, in bytes: the sensor's syslog-ng cuts there."""

PRIORITY = 134
"""local0.info (RFC 5424, section 6.2.1)."""

_PRINTABLE = bytes(range(0x20, 0x7F))
_HARMLESS = re.compile(rb"[ !#-\[\]-~]*").fullmatch
_TOKEN_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:+/=-")
_ESCAPED = [chr(byte) if 0x20 <= byte <= 0x7E and byte not in b'"\\' else f"\\x{byte:02x}" for byte in range(256)]


class Flow:
    """Who spoke to whom: addresses as text without a scope, IPv4-mapped ones as IPv4; proto is tcp or udp."""

    __slots__ = ("daddr", "dport", "proto", "saddr", "sport")

    def __init__(self, saddr: str, sport: int, daddr: str, dport: int, proto: str) -> None:
        self.saddr, self.sport, self.daddr, self.dport, self.proto = saddr, sport, daddr, dport, proto


class Event:
    """What happened: `trusted` is what we measured, `values` is what the other side chose, both in the catalogue's
    order."""

    __slots__ = ("name", "trusted", "values")

    def __init__(self, name: str, trusted: Mapping[str, str], values: Mapping[str, bytes]) -> None:
        self.name, self.trusted, self.values = name, trusted, values


_sound: dict[str, bytes] = {}
_SOUND_MAX = 1024
"""Tokens that are remembered as such: our own words, the sensor's addresses, and sources that come again and again."""


def token(text: str) -> str:
    """A bare field's value, which can never break the line: `-` for none, `_` for each byte that a token can't have.

    The C listeners' strandline_event_token writes the same, and tests/common holds both to that.
    """
    return (_sound.get(text) or _token(text)).decode("ascii")


def _token(text: str) -> bytes:
    if not text:
        return b"-"
    if len(text) > TOKEN_MAX or not _TOKEN_CHARACTERS.issuperset(text):
        raw = text.encode("utf-8", "surrogateescape")[:TOKEN_MAX].decode("latin-1")
        return "".join([one if one in _TOKEN_CHARACTERS else "_" for one in raw]).encode("ascii")
    if len(_sound) >= _SOUND_MAX:
        _sound.clear()
    _sound[text] = made = text.encode("ascii")
    return made


def quote(value: bytes, cap: int = VALUE_CAP) -> str:
    """The value in quotes, escaped; cut at `cap` raw bytes and then followed by `/` and its true length."""
    if len(value) <= cap and _HARMLESS(value):
        return f'"{value.decode("ascii")}"'
    text = '"' + "".join([_ESCAPED[byte] for byte in value[:cap]]) + '"'
    return text if len(value) <= cap else f"{text}/{len(value)}"


def render(event: Event, flow: Flow) -> str:
    """The event's line, at most LINE_MAX bytes.

    A value may take four bytes for each of its own, so that many hostile values together could exceed the line: then
    the longest is halved until the line fits. Its true length still stands behind it.
    """
    return _line(event, flow).decode("ascii")


def _line(event: Event, flow: Flow) -> bytes:
    values, trusted = event.values, event.trusted
    kind = (event.name, tuple(trusted), tuple(values))
    head, tail = _layouts.get(kind) or _layout(kind)
    known = _sound.get
    saddr, daddr, proto = flow.saddr, flow.daddr, flow.proto
    line = head % (
        known(saddr) or _token(saddr), flow.sport, known(daddr) or _token(daddr), flow.dport,
        known(proto) or _token(proto), *[known(text) or _token(text) for text in trusted.values()],
    )  # fmt: skip
    joined = b"".join(values.values())
    if joined.translate(None, _PRINTABLE) or (len(joined) > VALUE_CAP and max(map(len, values.values())) > VALUE_CAP):
        written = "".join([f" {key}={quote(value)}" for key, value in values.items()]).encode("ascii")
    else:
        # Most are like this: then all of them are escaped at once, and the layout's own quotes after theirs.
        written = tail % tuple(values.values())
        if b"\\" in written:
            written = written.replace(b"\\", b"\\x5c")
        if b'"' in written:
            written = written.replace(b'"', b"\\x22")
        written = written.replace(_QUOTE, b'"')
    if len(line) + len(written) > LINE_MAX:
        written = _shortened(event, LINE_MAX - len(line)).encode("ascii")
    return line + written


_QUOTE = b"\x01"
"""Stands in a layout for a quote of ours: no printable value has it."""

_layouts: dict[tuple[str, tuple[str, ...], tuple[str, ...]], tuple[bytes, bytes]] = {}


def _layout(kind: tuple[str, tuple[str, ...], tuple[str, ...]]) -> tuple[bytes, bytes]:
    """How the trusted fields and the values of an event of this kind are written; there are as many as in all
    events.yml."""
    name, trusted, values = kind
    head = f"event={token(name)} saddr=%b sport=%d daddr=%b dport=%d proto=%b"
    head += "".join([f" {key}=%b" for key in trusted])
    tail = "".join([f" {key}=\x01%b\x01" for key in values])
    made = _layouts[kind] = (head.encode("ascii"), tail.encode("ascii"))
    return made


def _shortened(event: Event, room: int) -> str:
    """The values within a number of bytes: the longest is halved until they fit."""
    caps = dict.fromkeys(event.values, VALUE_CAP)
    quoted = {key: quote(value) for key, value in event.values.items()}
    while True:
        values = "".join([f" {key}={text}" for key, text in quoted.items()])
        if len(values) <= room:
            return values
        longest = max(quoted, key=lambda key: len(quoted[key]))
        caps[longest] = min(caps[longest], len(event.values[longest])) // 2
        quoted[longest] = quote(event.values[longest], caps[longest])


_second = (0, "1970-01-01T00:00:00")


def timestamp(nanoseconds: int) -> str:
    """RFC 5424 TIMESTAMP (section 6.2.3) in UTC with microseconds, from nanoseconds since the epoch."""
    global _second  # noqa: PLW0603 - the text of a second serves all its events
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    known, text = _second
    if seconds != known:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _second = (seconds, text)
    return f"{text}.{rest // 1000:06}Z"


def datagram(event: Event, flow: Flow, nanoseconds: int, program: str, pid: int) -> bytes:
    """The event's line as an RFC 5424 message without host name, message id and structured data: the sensor's syslog-ng
    adds its own."""
    return f"<{PRIORITY}>1 {timestamp(nanoseconds)} - {program} {pid} - - ".encode("ascii") + _line(event, flow)
