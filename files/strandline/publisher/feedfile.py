"""The feed's text format, byte for byte that of Dataplane.org's reports, and the NDJSON file beside it.

Who reads the text, and what each of them needs of it:

- IntelMQ splits on two spaces, pipe, two spaces, and wants 5 fields (6 with the first seen time).
- Yeti skips 64 to 68 lines, by category, and the last 5 pieces of a split at line ends; what it sees of the header
  must not hold a pipe.
- Some strip whatever follows a `#`.
- maltrail wants `Dataplane.org` (older ones `DataPlane.org`) in the text and takes the third field of each line.
- Many scripts take every dotted quad in the file for an address of the feed.
"""

from __future__ import annotations

import functools
import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from ..shared.settings import ConfigurationError
from .astable import System
from .config import Feed, Network
from .names import ascii_name
from .window import Window

SEPARATOR = "  |  "
HEADER_LINES = 70
FOOTER_LINES = 4
PARTS = ("", "-unproven")
"""What follows the category in the names of a feed's text files: the second is for the policy `separate`."""
_ASN_WIDTH = 11
_NAME_WIDTH = 30
_ADDRESS_WIDTH = {4: 15, 6: 39}
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
_WINDOW = re.compile(
    r"^# ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:00) - ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:00)$", re.MULTILINE
)
_TEXT_WIDTH = 72
_DOTTED_QUAD = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


def text_name(category: str, family: int, *, part: str = "") -> str:
    """Return the name of a text file for the address family (4 or 6)."""
    return f"{category}{part}.txt" if family == 4 else f"{category}{part}-ipv6.txt"


class Entry(NamedTuple):
    """What a feed says of one address. Times are texts, UTC. They sort by number, then by address."""

    asn: int
    """-1 where it is unknown."""
    address: str
    system: System | None
    first_seen: str
    last_seen: str
    events: int
    verified_events: int
    days: int = 0
    """On which days it was seen, as source.Take has it."""
    confidence: str = ""
    """The probability that it is seen again within 24 hours; empty when there is no telling."""
    valid_until: str = ""


def _data_lines(feed: Feed, entries: Iterable[Entry], family: int) -> Iterator[str]:
    """Yield the entries' lines with their line ends."""
    width = _ADDRESS_WIDTH[family]
    tail = f"{SEPARATOR}{feed.category}\n"
    system: System | None = None
    prefix = _prefix(None)
    for entry in entries:
        if entry.system is not system:  # entries are sorted: most have the system of the one before
            system = entry.system
            prefix = _prefix(system)
        first = f"{SEPARATOR}{entry.first_seen}" if feed.first_seen else ""
        yield f"{prefix}{entry.address:<{width}}{first}{SEPARATOR}{entry.last_seen}{tail}"


def _prefix(system: System | None) -> str:
    asn, name = (str(system.asn), system.name) if system else ("NA", "NA")
    return f"{asn:<{_ASN_WIDTH}}{SEPARATOR}{name[:_NAME_WIDTH]:<{_NAME_WIDTH}}{SEPARATOR}"


# Every file of a publication has the same ones.
@functools.lru_cache(maxsize=256)
def _paragraph(text: str) -> tuple[str, ...]:
    # Header and footer are ASCII without pipes, whatever language the operator's texts are in.
    return (*textwrap.wrap(ascii_name(text), _TEXT_WIDTH), "")


def _fields(feed: Feed) -> list[str]:
    names = ["ASN", "ASname", "ipaddr", *(["firstseen"] if feed.first_seen else []), "lastseen", "category"]
    described = {
        "ASN": "Number of the autonomous system that announces the address, or NA.",
        "ASname": "Name of that system, its handle first, cut at 30 characters, or NA.",
        "ipaddr": "Source address that sensors have seen.",
        "firstseen": "When it was first seen in the window. YYYY-mm-dd HH:MM:SS, UTC.",
        "lastseen": "When it was last seen in the window. YYYY-mm-dd HH:MM:SS, UTC.",
        "category": f"Name of this report: {feed.category}.",
    }
    lines = [SEPARATOR.join(names), "", "Fields are separated by a pipe symbol with two spaces on either side.", ""]
    for name in names:
        lines += textwrap.wrap(described[name], _TEXT_WIDTH, initial_indent=f"{name:<11}", subsequent_indent=" " * 11)
    return [*lines, ""]


def header(network: Network, feed: Feed, window: Window, *, family: int) -> str:
    """Return the header: HEADER_LINES lines that begin with `#`.

    `family` is 4 or 6. Raises ConfigurationError when the operator's texts do not fit or hold what readers would take
    for an address.
    """
    operators = (network.name, network.tagline, network.licence, network.contact, network.removal)
    if quad := _DOTTED_QUAD.search(" ".join([*operators, feed.title, feed.description])):
        raise ConfigurationError(
            f"feed {feed.category}", f"its header would hold {quad[0]}, which readers take for an address", "Reword it"
        )
    # A site that has no name yet (a demo on a loopback address) is left out.
    site = "" if _DOTTED_QUAD.search(network.url) else f" {network.url}"
    top = [
        f"{ascii_name(network.name)} - {ascii_name(network.tagline)}",
        feed.category,
        window.text,
        "",
        *_paragraph(
            f"{feed.title}. {'IPv4' if family == 4 else 'IPv6'} addresses seen in the seven days from the first time "
            "to the second, which are UTC. A new report is compiled every hour."
        ),
        *_paragraph(f"Licence: {network.licence}"),
        *_paragraph(f"Contact: {network.contact}{site}"),
        *_paragraph(f"Removal: {network.removal}"),
        *_paragraph(
            "The layout is that of the reports of Dataplane.org (written DataPlane.org in earlier years), so that "
            "their readers can read this one. This network is neither run nor endorsed by Dataplane.org."
        ),
        *_paragraph(
            "This report comes with no warranty of any kind. An address in it is not proof of ill will. Many hosts may "
            "share it behind a network address translator, it may have changed hands since, the source of a datagram "
            "may be forged, and some who scan do so for research. Weigh your own evidence before you block."
        ),
        *_paragraph(
            "Private, reserved, multicast and documentation addresses, public resolvers, content delivery networks and "
            "our own addresses never appear."
        ),
        *_paragraph(
            f"The file {feed.category}.ndjson beside this one also says how often each address was seen, and whether "
            "its source was proven to be real: by a TCP handshake, or by a cookie or nonce that came back."
        ),
    ]
    bottom = [
        *_paragraph(feed.description),
        *_paragraph(
            "Each address stands in one line. Lines are sorted by autonomous system number, then by address as text."
        ),
        *_fields(feed),
    ]
    room = HEADER_LINES - len(top) - len(bottom)
    if room < 0:
        raise ConfigurationError(
            f"feed {feed.category}",
            f"its header has {-room} lines too many",
            "Shorten the description, the licence, the contact or the removal policy",
        )
    return "".join(f"# {line}\n" if line else "#\n" for line in [*top, *[""] * room, *bottom])


def footer(entries: Iterable[Entry]) -> str:
    """Return the footer: FOOTER_LINES lines that count the systems and the addresses."""
    addresses = 0
    systems = set()
    for entry in entries:
        addresses += 1
        if entry.system:
            systems.add(entry.asn)
    return f"#\n# Statistics\n#        ASNs: {len(systems)}\n#   Addresses: {addresses}\n"


def render(network: Network, feed: Feed, window: Window, entries: list[Entry], *, family: int) -> bytes:
    """Return the whole file. The entries are sorted already."""
    lines = "".join(_data_lines(feed, entries, family))
    return (header(network, feed, window, family=family) + lines + footer(entries)).encode("ascii")


def render_ndjson(feed: Feed, entries: Iterable[Entry]) -> bytes:
    """Return the same entries as JSON, one object a line (UTF-8)."""
    return "".join(_ndjson_lines(feed, entries, "{")).encode()


def render_delta(feed: Feed, added: Iterable[Entry], renewed: Iterable[Entry], gone: Iterable[str]) -> bytes:
    """Return changes of a feed as JSON, one object a line (UTF-8)."""
    lines = [
        *_ndjson_lines(feed, added, '{"change": "added", '),
        *_ndjson_lines(feed, renewed, '{"change": "renewed", '),
        *(f'{{"change": "gone", "address": "{address}"}}\n' for address in gone),
    ]
    return "".join(lines).encode()


def _ndjson_lines(feed: Feed, entries: Iterable[Entry], start: str) -> list[str]:
    """Return the entries' lines with their line ends; each begins with `start`."""
    system: System | None = None
    prefix = start + _json_prefix(None)
    lines = []
    for entry in entries:
        if entry.system is not system:
            system = entry.system
            prefix = start + _json_prefix(system)
        # By hand, at a fifth of the time: none of these values has a character that JSON escapes.
        lines.append(
            f'{prefix}"address": "{entry.address}", "first_seen": "{iso(entry.first_seen)}", '
            f'"last_seen": "{iso(entry.last_seen)}", "category": "{feed.category}", "events": {entry.events}, '
            f'"verified": {"true" if entry.verified_events else "false"}, "verified_events": '
            f'{entry.verified_events}, "confidence": {entry.confidence or "null"}, "valid_until": '
            f"{_quoted(entry.valid_until)}}}\n"
        )
    return lines


def _quoted(text: str) -> str:
    return f'"{text}"' if text else "null"


def _json_prefix(system: System | None) -> str:
    known = {"asn": system.asn, "name": system.full_name} if system else {"asn": None, "name": None}
    return json.dumps(known, ensure_ascii=False)[1:-1] + ", "


def iso(moment: str) -> str:
    """Return a time of the text format as ISO 8601."""
    return f"{moment[:10]}T{moment[11:]}Z"


def published_rows(text: str) -> Iterator[tuple[str, str]]:
    """Yield address and last seen time (as the file has it) of each line of a published file.

    Raises ValueError when the file is not one of ours.
    """
    count = 0
    lines = text.splitlines()
    for line in lines:
        if line.startswith("#"):
            continue
        fields = line.split(SEPARATOR)
        if len(fields) not in (5, 6) or not _TIME.fullmatch(fields[-2]):
            raise ValueError(f"{line[:100]!r} is not a line of a feed")
        count += 1
        yield fields[2].strip(), fields[-2]
    if not lines or lines[-1] != f"#   Addresses: {count}":
        raise ValueError("no footer with the number of addresses")


def published_proven(text: str) -> Iterator[tuple[str, str]]:
    """Yield address and last seen time (as a text file has it) of each proven source of a published NDJSON file.

    Raises ValueError, KeyError or TypeError when the file is not one of ours.
    """
    for line in text.splitlines():
        row = json.loads(line)
        if row["verified"]:
            yield row["address"], f"{row['last_seen'][:10]} {row['last_seen'][11:19]}"


def published_window(text: str) -> Window:
    """Return the window that a published file's header states. Raises ValueError."""
    found = _WINDOW.search(text)
    if not found:
        raise ValueError("no window in its header")
    start, end = (datetime.strptime(part, "%Y-%m-%d %H:%M").replace(tzinfo=UTC) for part in found.groups())
    return Window(start, end)
