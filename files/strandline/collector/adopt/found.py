"""An event as it was found in a log, and its line in the form that our own sensors' lines have in the parsed spool."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from strandline.collector.lines import address, shown
from strandline.event.line import Event, quote, token

CAPS = {"qname": 1024}
"""Of the values whose cap in the catalogue is not the usual one."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST = 1_451_606_400
"""2016: before that none of these daemons wrote such a line."""
AHEAD = 3600
"""Seconds that a sensor's clock may be ahead."""


class Skip(Exception):
    """A line that is left out; the text is the reason by which such lines are counted."""


class Found(NamedTuple):
    """An event of our catalogue."""

    moment: datetime
    origin: str
    """The format and the program that wrote it: dataplane.sshd."""
    saddr: str
    sport: int
    daddr: str
    """Empty when the log does not say it: then the sensor's own."""
    dport: int
    proto: str
    event: Event
    ambiguous: tuple[str, ...] = ()
    """The fields that the log leaves open."""
    host: str = ""
    """Which host the log says that the line is from."""


def flow(saddr: str, sport: str | int, daddr: str, dport: str | int) -> tuple[str, int, str, int]:
    """Check where an event came from and went to; raises Skip. An unknown destination is empty."""
    try:
        source = shown(address(saddr))
        destination = shown(address(daddr)) if daddr else ""
    except (OSError, ValueError):
        raise Skip("saddr or daddr: not an address") from None
    ports = []
    for port in (sport, dport):
        text = str(port)
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
            raise Skip("sport or dport: not a port")
        ports.append(int(text))
    if ports[1] == 0:
        raise Skip("dport: 0 is no port of a listener")  # the events of the sensor itself have it
    return source, ports[0], destination, ports[1]


def microseconds(moment: datetime, now: float) -> int:
    """Return the time since 1970 of an event; raise Skip when it can't have happened then."""
    since = moment - EPOCH
    count = (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds
    if count < EARLIEST * 1_000_000:
        raise Skip("time: before 2016")
    if count > (now + AHEAD) * 1_000_000:
        raise Skip("time: in the future")
    return count


def epoch(count: int) -> str:
    """Return microseconds since 1970 as the spool writes times."""
    return f"{count // 1_000_000}.{count % 1_000_000:06d}"


def message(found: Found, daddr: str, ambiguous: Iterable[str]) -> str:
    """Return the message of an event: what its listener would have written, and where it comes from."""
    event = found.event
    trusted: Mapping[str, str] = {
        **event.trusted,
        "origin": found.origin,
        "ambiguous": "+".join(dict.fromkeys(ambiguous)) or "-",
    }
    parts = [
        f"event={event.name} saddr={found.saddr} sport={found.sport}",
        f"daddr={daddr} dport={found.dport} proto={found.proto}",
        *(f"{name}={token(text)}" for name, text in trusted.items()),
        *(f"{name}={quote(value, CAPS.get(name, 256))}" for name, value in event.values.items()),
    ]
    return " ".join(parts)
