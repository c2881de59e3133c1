"""Write an iCalendar file (RFC 5545) of events that last a whole day. Nothing of ours needs more of the format."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PRODUCT = "-//Strandline//due//EN"
LINE_OCTETS = 75
"""RFC 5545, section 3.1: the most octets of a content line, without its CRLF."""
URL = re.compile(r"https?://[!-~]+")


@dataclass(frozen=True)
class Event:
    """Something on one day. ``uid`` stays the same when the file is written again."""

    uid: str
    day: dt.date
    summary: str
    description: str
    url: str = ""
    remind_days: int = 0
    """So many days before it a calendar reminds; 0: it does not."""


def escaped(text: str) -> str:
    """A value of the type TEXT (section 3.3.11); control characters, which it can't hold, are left out."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = "".join(letter for letter in text if letter == "\n" or not _is_control(letter))
    for letter in "\\;,":
        text = text.replace(letter, f"\\{letter}")
    return text.replace("\n", "\\n")


def _is_control(letter: str) -> bool:
    return ord(letter) < 32 or 127 <= ord(letter) < 160


def folded(line: str) -> str:
    """A content line with its end, in pieces of at most 75 octets, none of which cuts a character (section 3.1)."""
    pieces: list[str] = []
    piece, octets = "", 0
    for letter in line:
        size = len(letter.encode())
        if octets + size > LINE_OCTETS:
            pieces.append(piece)
            # The blank in front of a piece that goes on counts as well.
            piece, octets = " ", 1
        piece, octets = piece + letter, octets + size
    return "\r\n".join([*pieces, piece]) + "\r\n"


def _lines(name: str, events: Iterable[Event], stamp: str) -> Iterator[str]:
    yield "BEGIN:VCALENDAR"
    yield "VERSION:2.0"
    yield f"PRODID:{PRODUCT}"
    yield "CALSCALE:GREGORIAN"
    yield f"X-WR-CALNAME:{escaped(name)}"
    for event in events:
        yield "BEGIN:VEVENT"
        yield f"UID:{escaped(event.uid)}"
        yield f"DTSTAMP:{stamp}"
        yield f"DTSTART;VALUE=DATE:{event.day:%Y%m%d}"
        yield f"SUMMARY:{escaped(event.summary)}"
        yield f"DESCRIPTION:{escaped(event.description)}"
        # A URI is not escaped, so only what is one may stand there.
        if URL.fullmatch(event.url):
            yield f"URL:{event.url}"
        yield "TRANSP:TRANSPARENT"
        if event.remind_days:
            yield "BEGIN:VALARM"
            yield "ACTION:DISPLAY"
            yield f"DESCRIPTION:{escaped(event.summary)}"
            yield f"TRIGGER:-P{event.remind_days}D"
            yield "END:VALARM"
        yield "END:VEVENT"
    yield "END:VCALENDAR"


def calendar(name: str, events: Iterable[Event], now: dt.datetime, before: str = "") -> str:
    """The file's text, with CRLF at the ends of lines. ``now`` is aware.

    ``before`` is the text that is there already. When nothing but the time of writing would differ it is returned, so
    that a file is only written when something has changed.
    """
    stamp = now.astimezone(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    text = "".join(folded(line) for line in _lines(name, list(events), stamp))
    return before if _without_stamps(text) == _without_stamps(before) else text


def _without_stamps(text: str) -> str:
    return re.sub(r"^DTSTAMP:.*\r\n", "", text, flags=re.MULTILINE)
