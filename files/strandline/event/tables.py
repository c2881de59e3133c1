"""docs/events.md, which follows from the catalogue. Runs on the controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .catalogue import port_name, read
from .patterndb import examples

_DOCS_HEAD = """\
# Events

<!-- Made by files/strandline/event/render.py. Change the events.yml of a protocol or of sensor/, not this page. -->

A listener writes one line for each event. The collector's patterndb rules, this page and the tests follow from the file
`events.yml` in each protocol's folder, `files/strandline/protocols/`.

    event=ssh.client saddr=192.0.2.7 sport=51044 daddr=203.0.113.9 dport=22 proto=tcp valid=yes ident="SSH-2.0-Go"

- First what every event has, in this order: `event`, `saddr`, `sport`, `daddr`, `dport`, `proto`: `tcp`, `udp`, or
  `ipv6` for IP protocol 41, IPv6 in IPv4, which has no ports: both are 0. An IPv4-mapped IPv6 address is written as
  IPv4.
- Then what the sensor itself measured, as bare words of `A-Z a-z 0-9 _ . : + / = -`; a single `-` when it is not known.
- Last what the other side chose, in double quotes. Printable ASCII stands as it is, except `"` and `\\`; these and
  every other byte are written `\\xNN`. Nothing that a stranger sends can end its quotes.
- A value is cut at its cap, in bytes as they came. After the quotes of a cut value stand a slash and its true
  length: `user="AAAA"/1500`. Where many long values would make a line longer than 7000 bytes, they are cut further.
- Every field is always there; an empty value is `""`.
- `verified` says whether the source was proven to be real. A UDP source without that may be forged.

In the database the first six fields are columns; the others are in `data`, without the quotes and still escaped, and a
cut value has its length beside it as `NAME_length`.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


def event_tables(catalogue: Mapping[str, Any]) -> str:
    """docs/events.md: the grammar, and a table of fields for each event."""
    parts = [_DOCS_HEAD]
    events = read(catalogue)
    for listener, entry in catalogue["listeners"].items():
        ports = ", ".join(map(port_name, entry["ports"])) or "the sensor's own state"
        parts.append(f"\n## {listener}: {ports}, program `{entry['program']}`\n")
        for event in (event for event in events if event.listener == listener):
            parts.append(f"\n### {event.name}\n\n{event.summary}.\n")
            if not event.trusted and not event.values:
                continue
            parts.append("\n| field | chosen by | meaning |\n|---|---|---|\n")
            parts += [f"| `{name}` | sensor | {_cell(text)} |\n" for name, text in event.trusted.items()]
            parts += [
                f"| `{value.name}` | other side, cut at {value.cap} bytes | {_cell(value.help)} |\n"
                for value in event.values
            ]
            parts.append(f"\n    {next(examples(event))[0]}\n")
    return "".join(parts)
