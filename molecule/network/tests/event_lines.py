"""A line of an event as the catalogue has it, for the tests of the C listeners."""

from __future__ import annotations

import re
from typing import Any

FIELD = re.compile(r'([a-z_]+)=(?:([A-Za-z0-9_.:+/=-]+)|"((?:[^"\\]|\\x[0-9a-f]{2})*)"(/[0-9]+)?)(?: |$)')
COMMON = ["event", "saddr", "sport", "daddr", "dport", "proto"]

Event = dict[str, str]
"""Fields of a line: trusted ones bare, the others with their quotes as they stand there."""


def parse(line: str, catalogue: dict[str, Any]) -> Event:
    """Read a line, and check that it has exactly the fields of the catalogue, in its order and notation."""
    fields, position = [], 0
    while position < len(line):
        match = FIELD.match(line, position)
        assert match, f"no field at {position} of {line!r}"
        fields.append((match[1], match[2] if match[2] is not None else f'"{match[3]}"{match[4] or ""}'))
        position = match.end()
    entry = catalogue["events"][fields[0][1]]
    trusted, values = list(entry.get("trusted", {})), list(entry.get("values", {}))
    assert [name for name, _ in fields] == [*COMMON, *trusted, *values], line
    for name, text in fields:
        assert text.startswith('"') == (name in values and name not in COMMON), line
    return dict(fields)
