"""How the feeds' readers take a file apart, each as its own code does."""

from __future__ import annotations

import re

SEPARATOR = "  |  "


def data_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def without_comments(text: str) -> list[str]:
    """Addresses as scripts take them that strip whatever follows a `#`, and then the third field."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    return [line.split("|")[2].strip() for line in lines if line.count("|") >= 4]


def maltrail(text: str) -> list[str]:
    """trails/feeds/dataplane.py: the check word in either spelling, the third field of lines with a dot and a pipe."""
    if "Dataplane.org" not in text or "DataPlane.org" not in text:
        return []
    lines = [line.strip() for line in text.split("\n")]
    return [x.split("|")[2].strip() for x in lines if x and not x.startswith("#") and "." in x and "|" in x]


def yeti(text: str, *, skip: int = 64, columns: int = 5) -> list[list[str]]:
    """plugins/feeds/public/dataplane_*.py: a slice of the lines into a pandas frame, whose rows may be short, not long.

    Short rows (what is left of the header) lose themselves when their time stamp is compared.
    """
    rows = [line.split("|") for line in text.split("\n")[skip:-5]]
    assert max(len(fields) for fields in rows) == columns, "pandas wants as many columns as the longest row has"
    return [[field.strip() for field in fields] for fields in rows if len(fields) == columns]


def dotted_quads(text: str) -> list[str]:
    return re.findall(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}", text)
