"""Plain text for the operator's terminal: tables that can be read at 80 columns, and in a log or a mail as well."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 80  # columns
GAP = "  "
NARROWEST = 16  # columns that the last one keeps, however wide the others are


def shown(value: object) -> str:
    """A value as it may be shown: on one line, and nothing in it that would colour, move or link anything."""
    text = " ".join(str("" if value is None else value).split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def table(rows: Iterable[Sequence[object]], headings: Sequence[str] = (), width: int = WIDTH) -> str:
    """Lay out rows in columns as wide as their widest cell; what is too long in the last column goes on below it.

    Text on the left, numbers (int, float, Decimal) on the right. Without rows only the headings are there.
    """
    rows = [list(row) for row in rows]
    cells = [[shown(value) for value in row] for row in rows]
    everything = [list(headings), *cells] if headings else cells
    columns = max((len(row) for row in everything), default=0)
    everything = [row + [""] * (columns - len(row)) for row in everything]
    widths = [max((len(row[column]) for row in everything), default=0) for column in range(columns)]
    right = [
        any(map(_is_number, values)) and all(_is_number(value) or value in (None, "") for value in values)
        for values in ([row[column] if column < len(row) else None for row in rows] for column in range(columns))
    ]
    before = sum(widths[:-1]) + len(GAP) * (columns - 1)
    last = max(NARROWEST, width - before)
    lines = []
    for row in everything:
        firsts = [
            cell.rjust(space) if to_right else cell.ljust(space)
            for cell, space, to_right in zip(row[:-1], widths, right, strict=False)
        ]
        text = row[-1].rjust(widths[-1]) if right[-1:] == [True] else row[-1]
        for number, part in enumerate(wrapped(text, last)):
            start = "".join(first + GAP for first in firsts) if number == 0 else " " * before
            lines.append((start + part).rstrip())
    return "\n".join(lines)


def wrapped(text: str, width: int) -> list[str]:
    """A text's lines of at most ``width`` columns; one line when it is empty."""
    return textwrap.wrap(text, width, break_on_hyphens=False, drop_whitespace=True) or [""]


def _is_number(value: object) -> bool:
    return not isinstance(value, bool | str) and hasattr(value, "__float__")
