"""Follow the spool of parsed events: files of lines, read in the order of their names, from a known position each.

The position of a file is where the next unread line begins. It only ever moves to the end of a whole line; what stands
behind the last newline is left for later, since the writer may be in the middle of it.
"""

from __future__ import annotations

import logging
import os
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

log = logging.getLogger(__name__)

# Named after the UTC hour in which its lines were received: events (.log), or lines that are not events (.jsonl).
HOURLY = re.compile(r"([0-9]{8}-[0-9]{2})\.(?:log|jsonl)")
MAX_LINES = 8192  # in a chunk: a broken file of newlines must not become a million rejects at once
QUIET_SECONDS = 7200  # a file that nobody has written to for so long is finished


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file has been read."""

    inode: int
    offset: int
    mid_line: bool = False  # inside a line that was too long and has been rejected


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole lines of one file, and the position behind them."""

    file: str
    before: Position | None  # None: the file was never read before
    lines: list[bytes]  # without their newlines
    too_long: bytes | None  # the beginning of a line that does not end within the limit; it follows `lines`
    too_long_length: int  # bytes of it seen so far
    after: Position
    full: bool  # there was more to read than one chunk


class Spool:
    """The directory, and the position of each of its files as this process has read them (not as stored)."""

    def __init__(self, directory: Path, chunk_bytes: int, max_line: int) -> None:
        """Prepare to read chunks of at most `chunk_bytes`, from files with lines of at most `max_line` bytes."""
        if chunk_bytes < 2 * max_line:
            raise ValueError("chunk_bytes must be at least twice max_line")
        self.directory = directory
        self.chunk_bytes = chunk_bytes
        self.max_line = max_line
        self.positions: dict[str, Position] = {}
        self._waiting: dict[str, int] = {}  # file: its size when nothing but an unfinished line was left

    def reset(self, positions: dict[str, Position]) -> None:
        """Go back to the positions that the database knows."""
        self.positions = dict(positions)
        self._waiting.clear()

    def files(self) -> list[tuple[str, os.stat_result]]:
        """Return name and state of each file of the spool, in the order of their names; empty without the directory."""
        found = []
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if entry.name.endswith((".log", ".jsonl")) and entry.is_file(follow_symlinks=False):
                        found.append((entry.name, entry.stat(follow_symlinks=False)))
        except FileNotFoundError:
            return []
        return sorted(found)

    def _start(self, name: str, state: os.stat_result) -> Position:
        """Return where to read on in a file."""
        position = self.positions.get(name)
        if position is None:
            return Position(state.st_ino, 0)
        if position.inode != state.st_ino or position.offset > state.st_size:
            log.warning("%s is not the file that was read before: reading it from its beginning", name)
            return Position(state.st_ino, 0)
        return position

    def next_chunk(self) -> Chunk | None:
        """Return the next lines and move behind them; None when there is no whole line to read."""
        for name, state in self.files():
            start = self._start(name, state)
            if start.offset >= state.st_size or self._waiting.get(name) == state.st_size:
                continue
            try:
                chunk = self._read(name, start)
            except FileNotFoundError:
                continue  # removed since the directory was listed
            if chunk is None:
                self._waiting[name] = state.st_size
                continue
            self._waiting.pop(name, None)
            self.positions[name] = chunk.after
            return chunk
        return None

    def _read(self, name: str, start: Position) -> Chunk | None:
        """Read a chunk of one file; None when it holds an unfinished line only."""
        with (self.directory / name).open("rb", buffering=0) as file:
            file.seek(start.offset)
            data = file.read(self.chunk_bytes) or b""
        full = len(data) == self.chunk_bytes
        before = self.positions.get(name)
        begin = 0
        if start.mid_line:
            newline = data.find(b"\n")
            if newline < 0:
                after = Position(start.inode, start.offset + len(data), mid_line=True)
                return Chunk(name, before, [], None, 0, after, full) if data else None
            begin = newline + 1
        end = data.rfind(b"\n", begin) + 1
        rest = len(data) - max(end, begin)
        lines = data[begin : end - 1].split(b"\n", MAX_LINES) if end > begin else []
        if len(lines) > MAX_LINES:
            end -= 1 + len(lines.pop())  # the rest of the text: next time
            return Chunk(name, before, lines, None, 0, Position(start.inode, start.offset + end), full=True)
        if rest > self.max_line:
            after = Position(start.inode, start.offset + len(data), mid_line=True)
            return Chunk(name, before, lines, data[max(end, begin) :], rest, after, full)
        if not lines and begin == 0:
            return None
        return Chunk(name, before, lines, None, 0, Position(start.inode, start.offset + max(end, begin)), full)

    def lag_bytes(self) -> int:
        """Return how many bytes are still to be read."""
        return sum(max(0, state.st_size - self._start(name, state).offset) for name, state in self.files())

    def unfinished(self, name: str) -> Chunk | None:
        """Return what a finished file still holds: a last line that never got its newline, or None."""
        path = self.directory / name
        start = self._start(name, path.stat())
        with path.open("rb", buffering=0) as file:
            file.seek(start.offset)
            data = file.read(self.max_line + 1) or b""
        if not data:
            return None
        after = Position(start.inode, start.offset + len(data))
        return Chunk(name, self.positions.get(name), [], None if start.mid_line else data, len(data), after, full=False)

    def finished(self, keep: timedelta) -> list[str]:
        """Return the files whose hour is further back than `keep` and that nobody has written to for a while."""
        now = time.time()
        names = []
        for name, state in self.files():
            match = HOURLY.fullmatch(name)
            if match is None:
                continue
            try:
                hour = datetime.strptime(match[1], "%Y%m%d-%H").replace(tzinfo=UTC)
            except ValueError:
                continue
            if hour.timestamp() + 3600 + keep.total_seconds() < now and state.st_mtime + QUIET_SECONDS < now:
                names.append(name)
        return names

    def remove(self, name: str) -> None:
        """Delete a file and forget its position."""
        (self.directory / name).unlink(missing_ok=True)
        self.positions.pop(name, None)
        self._waiting.pop(name, None)
