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

_HARMLESS = re.compile(rb"[ !#-\[\]-~]*").fullmatch
_TOKEN_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:+/=-")
_ESCAPED = [chr(byte) if 0x20 <= byte <= 0x7E and byte not in b'"\\' else f"\\x{byte:02x}" for byte in range(256)]


class Flow:
    """Who spoke to whom: addresses as text without a scope, IPv4-mapped ones as IPv4; proto is tcp, udp,
    or ipv6 for IP protocol 41, which has no ports: there both are 0."""

    __slots__ = ("daddr", "dport", "proto", "saddr", "sport")

    def __init__(self, saddr: str, sport: int, daddr: str, dport: int, proto: str) -> None:
        self.saddr, self.sport, self.daddr, self.dport, self.proto = saddr, sport, daddr, dport, proto


class Event:
    """What happened: `trusted` is what we measured, `values` is what the other side chose, both in the catalogue's
    order."""

    __slots__ = ("name", "trusted", "values")

    def __init__(self, name: str, trusted: Mapping[str, str], values: Mapping[str, bytes]) -> None:
        self.name, self.trusted, self.values = name, trusted, values


_sound: set[str] = set()
_SOUND_MAX = 1024
"""Tokens that are remembered as such: our own words, the sensor's addresses, and sources that come again and again."""


def token(text: str) -> str:
    """A bare field's value, which can never break the line: `-` for none, `_` for each byte that a token can't have.

    The C listeners' strandline_event_token writes the same, and tests/common holds both to that.
    """
    if text in _sound:
        return text
    if not text:
        return "-"
    if len(text) > TOKEN_MAX or not _TOKEN_CHARACTERS.issuperset(text):
        raw = text.encode("utf-8", "surrogateescape")[:TOKEN_MAX].decode("latin-1")
        return "".join([one if one in _TOKEN_CHARACTERS else "_" for one in raw])
    if len(_sound) >= _SOUND_MAX:
        _sound.clear()
    _sound.add(text)
    return text


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
    head = _head(event, flow)
    values = event.values
    if not values:
        return head
    keys = tuple(values)
    layout = _layouts.get(keys) or _layout(keys)
    joined = b"\n".join(values.values())
    if joined.isascii() and max(map(len, values.values())) <= VALUE_CAP:
        # Most are: then all of them are escaped at once. When none has a line feed, line feeds part them again.
        text = joined.decode("ascii").replace("\\", "\\x5c").replace('"', "\\x22")
        texts = text.split("\n")
        if len(texts) == len(values) and "".join(texts).isprintable():
            return _fitting(head + layout % tuple(texts), head, event)
    return _fitting(head + "".join([f" {key}={quote(value)}" for key, value in values.items()]), head, event)


_layouts: dict[tuple[str, ...], str] = {}


def _layout(keys: tuple[str, ...]) -> str:
    """How values with these names are written; each kind of event in events.yml has its own."""
    made = _layouts[keys] = "".join([f' {key}="%s"' for key in keys])
    return made


def _fitting(line: str, head: str, event: Event) -> str:
    return line if len(line) <= LINE_MAX else head + _shortened(event, LINE_MAX - len(head))


def _head(event: Event, flow: Flow) -> str:
    """The trusted fields."""
    head = (
        f"event={token(event.name)} saddr={token(flow.saddr)} sport={flow.sport} "
        f"daddr={token(flow.daddr)} dport={flow.dport} proto={token(flow.proto)}"
    )
    for key, text in event.trusted.items():
        head += f" {key}={token(text)}"
    return head


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


def datagram(line: str, nanoseconds: int, program: str, pid: int) -> bytes:
    """The line as an RFC 5424 message without host name, message id and structured data: the sensor's syslog-ng adds
    its own."""
    return f"<{PRIORITY}>1 {timestamp(nanoseconds)} - {program} {pid} - - {line}".encode("ascii")
