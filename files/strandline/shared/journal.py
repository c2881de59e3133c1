"""What the journal says since it was last read: events that a listener had to drop, and times when a disk was full.

The listeners count what they drop and report it there (at most once a minute for each process). syslog-ng reports each
write that fails, and tries again after time-reopen() seconds.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .totals import Totals

JOURNALCTL = ("journalctl", "--quiet", "--no-pager", "--boot", "--output=json")
FIELDS = "MESSAGE,_SYSTEMD_UNIT"

# Whole lines of our own programs. A stranger's text stands in none of them, and can't begin a line of the others so.
DROPPED = (
    re.compile(r"events dropped because syslog-ng did not take them: ([0-9]{1,15}) more, [0-9]{1,15} since the start"),
    re.compile(r"sensor: ([0-9]{1,15}) events dropped: /[ -~]{1,200}"),
    re.compile(r"strandline: ([0-9]{1,15}) events dropped: [ -~]{1,200}"),
)
# What syslog-ng says of a write that failed, and of a file that could not be made; a name in it stands in quotes.
FULL = re.compile(
    r"\[[0-9T:.+-]{10,40}\] (?:I/O error occurred while writing; fd='[0-9]{1,9}'|Error opening file[ -~]{1,300}),"
    r" error='(?:No space left on device|Disk quota exceeded) \((?:28|122)\)'"
)
PAUSE_GAP = 10_000_000
"""Microseconds between two failed writes of one pause, at most."""
REOPEN = 2_000_000
"""Microseconds after which syslog-ng tries again."""


@dataclass(frozen=True)
class Entry:
    """A line of the journal. `time` is in microseconds since the boot: no clock that is set moves it."""

    unit: str
    message: str
    time: int


class JournalError(Exception):
    """The journal could not be read; the text says why."""


def parse(line: bytes) -> tuple[Entry, str] | None:
    """An entry and its cursor; None for a line that is not an entry."""
    try:
        tree: dict[str, Any] = json.loads(line)
        message = tree.get("MESSAGE")
        if isinstance(message, list):  # bytes that are no UTF-8
            message = bytes(message).decode("latin-1")
        entry = Entry(str(tree.get("_SYSTEMD_UNIT", "")), str(message or ""), int(tree["__MONOTONIC_TIMESTAMP"]))
        return entry, str(tree["__CURSOR"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def read(units: Sequence[str], cursor: str, command: Sequence[str] = JOURNALCTL) -> tuple[list[Entry], str]:
    """What these units said behind the cursor (since the boot without one), and the new cursor. Raises JournalError."""
    argv = [*command, f"--output-fields={FIELDS}", *(f"--unit={unit}" for unit in units)]
    if cursor:
        argv.append(f"--after-cursor={cursor}")
    entries = []
    try:
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None  # noqa: S101 - asked for above
            for line in process.stdout:
                found = parse(line)
                if found is not None:
                    cursor = found[1]
                    # Most lines are of no interest: a flood of them must not take the memory.
                    if dropped(found[0].message) or is_full(found[0].message):
                        entries.append(found[0])
        if process.returncode:
            raise JournalError(f"journalctl ended with {process.returncode}")
    except OSError as error:
        raise JournalError(f"journalctl: {error.strerror}") from error
    return entries, cursor


def dropped(message: str) -> int:
    """How many events a listener says it dropped since it last said so; 0 for any other line."""
    for pattern in DROPPED:
        match = pattern.fullmatch(message.strip())
        if match:
            return int(match[1])
    return 0


def is_full(message: str) -> bool:
    """Whether syslog-ng says that it could not write for want of space."""
    return FULL.fullmatch(message.strip()) is not None


def count_pauses(totals: Totals, name: str, entries: Iterable[Entry]) -> None:
    """Add the pauses that failed writes make: `NAME_pauses` of them, `NAME_microseconds` long together.

    A pause lasts from the first failed write to the try after the last one. One that goes on when the journal is read
    is continued the next time.
    """
    last = int(totals.notes.get(f"{name}_last", "-1"))
    for entry in entries:
        gap = entry.time - last
        if last < 0 or not 0 <= gap <= PAUSE_GAP:
            totals.add(f"{name}_pauses", 1)
            totals.add(f"{name}_microseconds", REOPEN)
        else:
            totals.add(f"{name}_microseconds", gap)
        last = entry.time
    if last >= 0:
        totals.notes[f"{name}_last"] = str(last)
