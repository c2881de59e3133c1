"""One line per event: the grammar that files/catalogue/events.yml describes.

The trusted fields come first and bare, what the other side chose comes last and in double quotes.
"""

from __future__ import annotations

import re
import time

TYPE_CHECKING = False  # as typing's, which would cost 0.5 MB
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VALUE_CAP = 256
"""Longest value, in raw bytes (defaults.cap of the catalogue)."""

LINE_MAX = 7000
"""Longest line, in bytes: the sensor's syslog-ng cuts there."""

PRIORITY = 134
"""local0.info (RFC 5424, section 6.2.1)."""

# A head whose tokens are all tokens; whether a blank was in one is told by their number.
_SOUND_HEAD = re.compile(r"[a-z_]+=[A-Za-z0-9_.:+/=-]+(?: [a-z_]+=[A-Za-z0-9_.:+/=-]+)*").fullmatch
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


def token(text: str) -> str:
    """A bare field's value: `-` for anything that is no token, so that no field can ever break the line."""
    return text if text and _TOKEN_CHARACTERS.issuperset(text) else "-"


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
    layout = _layouts.get(event.name) or _layout(event)
    joined = b"\n".join(values.values())
    if layout.printable(joined):
        # Most are: then all of them are escaped at once. None has a line feed, so that this parts them again.
        texts = joined.decode("ascii").replace("\\", "\\x5c").replace('"', "\\x22").split("\n")
        line = head + layout.form % tuple(texts)
    else:
        line = head + "".join([f" {key}={quote(value)}" for key, value in values.items()])
    return line if len(line) <= LINE_MAX else head + _shortened(event, LINE_MAX - len(head))


class _Layout:
    """How the values of one kind of event are written: their form, and the expression that tells that all of them are
    printable and none is too long."""

    __slots__ = ("form", "printable")

    def __init__(self, keys: Iterable[str]) -> None:
        self.form = "".join([f' {key}="%s"' for key in keys])
        each = b"[ -~]{0,%d}" % VALUE_CAP
        self.printable = re.compile(b"\n".join([each for _ in keys])).fullmatch


_layouts: dict[str, _Layout] = {}


def _layout(event: Event) -> _Layout:
    """The layout of events of this name: all of them have the same values (files/catalogue/events.yml)."""
    made = _layouts[event.name] = _Layout(list(event.values))
    return made


def _head(event: Event, flow: Flow) -> str:
    """The trusted fields."""
    trusted = event.trusted
    head = (
        f"event={event.name} saddr={flow.saddr} sport={flow.sport} "
        f"daddr={flow.daddr} dport={flow.dport} proto={flow.proto}"
    )
    for key, text in trusted.items():
        head += f" {key}={text}"
    if _SOUND_HEAD(head) and head.count(" ") == 5 + len(trusted):
        return head
    head = (
        f"event={token(event.name)} saddr={token(flow.saddr)} sport={flow.sport} "
        f"daddr={token(flow.daddr)} dport={flow.dport} proto={token(flow.proto)}"
    )
    for key, text in trusted.items():
        head += f" {key}={token(text)}"
    return head


def _shortened(event: Event, room: int) -> str:
    """The values in so many bytes: the longest is halved until they fit."""
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
