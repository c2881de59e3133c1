"""The feed's text format, byte for byte that of Dataplane.org's reports, and the NDJSON file beside it.

Who reads the text, and what each of them needs of it:

- IntelMQ splits on two spaces, pipe, two spaces, and wants 5 fields (6 with the first seen time).
- Yeti skips 64 to 68 lines, by category, and the last 5 pieces of a split at line ends; what it sees of the header
  must not hold a pipe.
- maltrail wants `Dataplane.org` (older ones `DataPlane.org`) in the text and takes the third field of each line.
- Many scripts take every dotted quad in the file for an address of the feed.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from .astable import System
from .config import Feed, Network
from .errors import ConfigurationError
from .names import ascii_name
from .window import Window

SEPARATOR = "  |  "
HEADER_LINES = 70
FOOTER_LINES = 4
_ASN_WIDTH = 11
_NAME_WIDTH = 30
_ADDRESS_WIDTH = {4: 15, 16: 39}
_TIME = "%Y-%m-%d %H:%M:%S"
_TEXT_WIDTH = 72
# Yeti's plugins begin at these lines of the file; a comment line after the first of them must not look like data.
_NO_PIPE_AFTER = 64
_DOTTED_QUAD = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


@dataclass(frozen=True, slots=True)
class Entry:
    """What a feed says of one address. Times are UTC."""

    value: bytes
    address: str
    system: System | None
    first_seen: datetime
    last_seen: datetime
    events: int
    verified_events: int

    @property
    def sort_key(self) -> tuple[int, str]:
        """Sort by number, then by the address as text; without a number first."""
        return (self.system.asn if self.system else -1, self.address)


def data_line(feed: Feed, entry: Entry) -> str:
    """Return the entry's line without its line end."""
    asn, name = (str(entry.system.asn), entry.system.name) if entry.system else ("NA", "NA")
    fields = [
        f"{asn:<{_ASN_WIDTH}}",
        f"{name[:_NAME_WIDTH]:<{_NAME_WIDTH}}",
        f"{entry.address:<{_ADDRESS_WIDTH[len(entry.value)]}}",
    ]
    if feed.first_seen:
        fields.append(f"{entry.first_seen:{_TIME}}")
    return SEPARATOR.join([*fields, f"{entry.last_seen:{_TIME}}", feed.category])


def _paragraph(text: str) -> list[str]:
    # Header and footer are ASCII without pipes, whatever language the operator's texts are in.
    return [*textwrap.wrap(ascii_name(text), _TEXT_WIDTH), ""]


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
            systems.add(entry.system.asn)
    return f"#\n# Statistics\n#        ASNs: {len(systems)}\n#   Addresses: {addresses}\n"


def render(network: Network, feed: Feed, window: Window, entries: list[Entry], *, family: int) -> bytes:
    """Return the whole file. The entries are sorted already."""
    lines = "".join(f"{data_line(feed, entry)}\n" for entry in entries)
    return (header(network, feed, window, family=family) + lines + footer(entries)).encode("ascii")


def render_ndjson(feed: Feed, entries: list[Entry]) -> bytes:
    """Return the same entries as JSON, one object a line (UTF-8)."""
    return "".join(f"{json.dumps(_as_object(feed, entry), ensure_ascii=False)}\n" for entry in entries).encode()


def _as_object(feed: Feed, entry: Entry) -> Mapping[str, object]:
    return {
        "asn": entry.system.asn if entry.system else None,
        "name": entry.system.full_name if entry.system else None,
        "address": entry.address,
        "first_seen": f"{entry.first_seen:%Y-%m-%dT%H:%M:%SZ}",
        "last_seen": f"{entry.last_seen:%Y-%m-%dT%H:%M:%SZ}",
        "category": feed.category,
        "events": entry.events,
        "verified": entry.verified_events > 0,
        "verified_events": entry.verified_events,
    }


def published_rows(text: str) -> Iterator[tuple[str, datetime]]:
    """Yield address and last seen time of each line of a published file.

    Raises ValueError when the file is not one of ours.
    """
    count = 0
    lines = text.splitlines()
    for line in lines:
        if line.startswith("#"):
            continue
        fields = line.split(SEPARATOR)
        if len(fields) not in (5, 6):
            raise ValueError(f"a line with {len(fields)} fields")
        count += 1
        yield fields[2].strip(), datetime.strptime(fields[-2], _TIME).replace(tzinfo=UTC)
    if not lines or lines[-1] != f"#   Addresses: {count}":
        raise ValueError("no footer with the number of addresses")
