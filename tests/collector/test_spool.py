"""Following the spool: whole lines only, in order, once; whatever the file does."""

from __future__ import annotations

import os
import random
import time
from datetime import timedelta
from pathlib import Path

import pytest
from strandline.collector.spool import MAX_LINES, Chunk, Position, Spool

NAME = "20261125-02.jsonl"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """A spool that reads small chunks."""
    return Spool(tmp_path, chunk_bytes=64, max_line=32)


def drain(spool: Spool) -> tuple[list[bytes], list[bytes]]:
    """All lines and the beginnings of all lines that were too long."""
    lines: list[bytes] = []
    long: list[bytes] = []
    while (chunk := spool.next_chunk()) is not None:
        lines += chunk.lines
        if chunk.too_long is not None:
            long.append(chunk.too_long)
    return lines, long


def append(spool: Spool, data: bytes, name: str = NAME) -> None:
    """Write to the end of a file."""
    with (spool.directory / name).open("ab") as file:
        file.write(data)


def test_without_directory_or_lines_there_is_nothing(spool: Spool, tmp_path: Path) -> None:
    assert spool.next_chunk() is None
    append(spool, b"")
    append(spool, b"not one\n", name="other.txt")
    assert spool.next_chunk() is None
    assert Spool(tmp_path / "none", 64, 32).next_chunk() is None
    assert Spool(tmp_path / "none", 64, 32).lag_bytes() == 0


def test_a_line_is_read_when_it_is_whole(spool: Spool) -> None:
    append(spool, b"one\ntw")
    chunk = spool.next_chunk()
    assert chunk is not None
    assert (chunk.lines, chunk.before, chunk.after.offset, chunk.full) == ([b"one"], None, 4, False)
    assert spool.next_chunk() is None
    assert spool.lag_bytes() == 2
    append(spool, b"o\n")
    assert drain(spool) == ([b"two"], [])
    assert spool.lag_bytes() == 0


def test_files_are_read_in_the_order_of_their_names_and_old_ones_again_when_they_grow(spool: Spool) -> None:
    append(spool, b"c\n", "20261125-03.jsonl")
    append(spool, b"a\n")
    assert drain(spool)[0] == [b"a", b"c"]
    append(spool, b"b\n")
    assert drain(spool)[0] == [b"b"]


def test_an_unfinished_line_does_not_hold_up_the_next_file(spool: Spool) -> None:
    append(spool, b"a\nhalf")
    append(spool, b"b\n", "20261125-03.jsonl")
    assert drain(spool)[0] == [b"a", b"b"]


@pytest.mark.parametrize("seed", range(20))
def test_any_cut_of_the_writing_gives_the_same_lines(spool: Spool, seed: int) -> None:
    rng = random.Random(seed)
    lines = [bytes(rng.choices(b"abc\0\xff", k=rng.choice((0, 1, 5, 31)))) for _ in range(200)]
    data = b"".join(line + b"\n" for line in lines)
    got: list[bytes] = []
    while data:
        cut = rng.randrange(1, 100)
        append(spool, data[:cut])
        data = data[cut:]
        new, long = drain(spool)
        got += new
        assert not long
        if rng.random() < 0.3:
            spool.reset(dict(spool.positions))  # as after a restart
    assert got == lines


@pytest.mark.parametrize("length", [33, 64, 65, 128, 1000])
def test_a_line_that_is_too_long_is_said_once_and_skipped(spool: Spool, length: int) -> None:
    append(spool, b"before\n" + b"x" * length)
    lines, long = drain(spool)
    append(spool, b"x" * length)
    more, longer = drain(spool)
    append(spool, b"end\nafter\n")
    rest, longest = drain(spool)
    found = lines + more + rest
    assert found[0] == b"before"
    assert found[-1] == b"after"
    # A line that fits into a chunk comes as a line (and is refused for its length later).
    assert len(long + longer + longest) + len(found) == 3
    assert all(len(text) <= 64 for text in long + longer + longest)


def test_the_place_inside_a_long_line_survives_a_restart(spool: Spool) -> None:
    append(spool, b"y" * 100)
    assert drain(spool) == ([], [b"y" * 64])
    position = spool.positions[NAME]
    assert position.mid_line
    spool.reset({NAME: position})
    append(spool, b"y\nnext\n")
    assert drain(spool) == ([b"next"], [])
    assert spool.positions[NAME] == Position(position.inode, 107)


def test_a_file_of_newlines_comes_in_bounded_parts(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 17, 1 << 16)
    append(spool, b"\n" * 100_000 + b"end\n")
    sizes = []
    total = 0
    while (chunk := spool.next_chunk()) is not None:
        sizes.append(len(chunk.lines))
        total += len(chunk.lines)
        assert chunk.after.offset == total + (3 if chunk.lines[-1] == b"end" else 0)
    assert max(sizes) <= MAX_LINES
    assert total == 100_001


def test_another_file_under_the_same_name_is_read_from_its_start(spool: Spool) -> None:
    append(spool, b"one\ntwo\n")
    drain(spool)
    other = spool.directory / "new"
    other.write_bytes(b"three, longer than before\n")
    other.replace(spool.directory / NAME)
    assert drain(spool)[0] == [b"three, longer than before"]
    os.truncate(spool.directory / NAME, 0)
    append(spool, b"four\n")
    assert drain(spool)[0] == [b"four"]


def test_only_old_quiet_hourly_files_are_finished(spool: Spool) -> None:
    old = time.time() - 10 * 3600
    hour = time.strftime("%Y%m%d-%H", time.gmtime(time.time() - 30 * 3600))
    for name in (f"{hour}.jsonl", "20990101-00.jsonl", "mine.jsonl", "99999999-99.jsonl"):
        append(spool, b"a\n", name)
        os.utime(spool.directory / name, (old, old))
    assert spool.finished(timedelta(hours=28)) == [f"{hour}.jsonl"]
    assert spool.finished(timedelta(hours=30)) == []
    append(spool, b"b\n", f"{hour}.jsonl")
    assert spool.finished(timedelta(hours=28)) == []  # somebody still writes to it


def test_what_a_finished_file_still_holds(spool: Spool) -> None:
    append(spool, b"a\nhalf")
    drain(spool)
    rest = spool.unfinished(NAME)
    assert isinstance(rest, Chunk)
    assert (rest.too_long, rest.after.offset) == (b"half", 6)
    spool.positions[NAME] = rest.after
    assert spool.unfinished(NAME) is None
    spool.remove(NAME)
    assert spool.files() == []


def test_a_chunk_must_hold_two_lines(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="twice"):
        Spool(tmp_path, 63, 32)
