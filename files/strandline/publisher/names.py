"""Names of autonomous systems, made safe for a format that has a separator but no quoting.

The table of names comes from registries, where the holders choose what stands there: pipes occur (AS262907), and so do
letters outside ASCII. Readers split on the separator, grep for dotted quads and read the first word as the handle.
"""

from __future__ import annotations

import re
import unicodedata

# Letters that Unicode's compatibility decomposition leaves as they are.
_LETTERS = str.maketrans({
    "Æ": "AE", "æ": "ae", "Ð": "D", "ð": "d", "Ø": "O", "ø": "o", "Þ": "Th", "þ": "th", "ß": "ss", "ẞ": "SS",
    "Đ": "D", "đ": "d", "Ħ": "H", "ħ": "h", "ı": "i", "ĸ": "k", "Ł": "L", "ł": "l", "Ŋ": "N", "ŋ": "n", "Œ": "OE",  # noqa: RUF001
    "œ": "oe", "Ŧ": "T", "ŧ": "t",
    "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-",  # noqa: RUF001
    "‘": "'", "’": "'", "‚": "'", "“": "'", "”": "'", "„": "'", "«": "'", "»": "'", "×": "x", "•": "-",  # noqa: RUF001
    # A double quote at the start of a field begins a quoted field for many CSV readers.
    '"': "'",
    # The separator itself; the broken bar looks like it.
    "|": "/", "¦": "/",
    # Readers that strip comments cut a line there.
    "#": "-",
})  # fmt: skip
# Nobody's name may hold what looks like an address of the feed: scripts take every run of digits that a dotted quad is
# part of, as 234.5.6.7 of 1234.5.6.7. Cutting a name makes no such run where there was none.
_DOTTED_QUAD = re.compile(r"[0-9]+(?:\.[0-9]+){3,}")


def without_quads(text: str) -> str:
    """Return the text with `-` for the dots of whatever looks like an IPv4 address."""
    return _DOTTED_QUAD.sub(lambda quad: quad[0].replace(".", "-"), text)


def printable(name: str) -> str:
    """Return the name in one line: control, format and unassigned characters gone, runs of white space one space.

    What looks like an IPv4 address does so no more: it would be taken for one of the feed.
    """
    kept = name
    # Most names are plain, and a publication asks for a hundred thousand of them.
    if not (name.isascii() and name.isprintable()):
        kept = "".join(" " if c.isspace() else c for c in name if c.isspace() or unicodedata.category(c)[0] != "C")
    return without_quads(" ".join(kept.split()))


def ascii_name(name: str) -> str:
    """Return the name in printable ASCII without the separator, or `NA` when nothing is left.

    A character that has no counterpart becomes `?`.
    """
    text = printable(name).translate(_LETTERS)
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        # Decomposed letters: the base stays, its combining marks go. NFKD can bring forth characters of the table
        # again.
        text = "".join(c for c in text if not unicodedata.combining(c)).translate(_LETTERS)
        text = "".join(c if " " <= c <= "~" else "?" for c in text)
    return " ".join(without_quads(text).split()) or "NA"
