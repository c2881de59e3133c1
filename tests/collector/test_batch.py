"""Sorting lines: what is certainly new, what may be there already, what is counted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from strandline_collector import feeds
from strandline_collector.batch import MAX_DOUBTFUL, MAX_REJECTS, Batch, Builder
from strandline_collector.spool import Chunk, Position

RULES = feeds.parse({"feeds": {"pw": {"event": "ssh.password", "title": "T", "description": "D"}}}, "x")


def text(n: int, run: str = "r", sensor: str = "s", day: int = 25, **more: str) -> bytes:
    """One line."""
    ts = f"2026-11-{day:02d}T02:12:{n % 60:02d}.000000+00:00"
    return json.dumps(
        {"sensor": sensor, "run": run, "n": str(n), "ts": ts, "rts": ts, "event": "ssh.password", "saddr": "192.0.2.7",
         "sport": "1", "daddr": "192.0.2.9", "dport": "22", "proto": "tcp", "user": '"u"', **more}
    ).encode()  # fmt: skip


class Stub:
    """Runs and days without a database."""

    def __init__(self, highs: dict[tuple[str, str], int] | None = None) -> None:
        """Know some runs already."""
        self.highs = highs or {}
        self.ids: dict[tuple[str, str], int] = {}
        self.asked: list[Any] = []

    def find_run(self, sensor: str, run: str) -> tuple[int, int]:
        """Number the runs as they come."""
        self.asked.append((sensor, run))
        return self.ids.setdefault((sensor, run), len(self.ids) + 1), self.highs.get((sensor, run), 0)

    def find_day(self, day: str) -> bool:
        """Only November is kept."""
        self.asked.append(day)
        return day.startswith("2026-11-") and day != "2026-11-01"

    def builder(self) -> Builder:
        """A builder that asks this stub."""
        return Builder(RULES, self.find_run, self.find_day, 8192)


def chunk(*lines: bytes, before: Position | None = None, file: str = "f") -> Chunk:
    """A chunk of these lines."""
    start = before.offset if before else 0
    return Chunk(file, before, list(lines), None, 0, Position(7, start + sum(len(x) + 1 for x in lines)), full=True)


def test_rising_numbers_are_new_and_others_doubtful() -> None:
    stub, batch = Stub({("s", "old"): 10}), Batch()
    builder = stub.builder()
    rows = builder.add(batch, chunk(text(1), text(2), text(2), text(5), text(4), text(10, "old"), text(11, "old")))
    assert [row.split(b"\t")[:2] for row in rows] == [[b"1", b"1"], [b"1", b"2"], [b"1", b"5"], [b"2", b"11"]]
    assert [(d.key[0], d.key[1], d.below) for d in batch.doubtful] == [(1, 2, True), (1, 4, True), (2, 10, True)]
    assert batch.highs == {1: [0, 5], 2: [10, 11]}
    assert batch.copied == 4
    assert batch.sightings["pw", "2026-11-25T02"]["192.0.2.7"].events == 4
    assert batch.sighted == 1
    assert {key: tally.stored for key, tally in batch.tallies.items()} == {(1, "2026-11-25"): 3, (2, "2026-11-25"): 1}
    # The next batch goes on from there, and asks nothing again.
    asked = list(stub.asked)
    following = Batch()
    builder.add(following, chunk(text(6)))
    assert following.highs == {1: [5, 6]}
    assert stub.asked == asked
    builder.reset()
    builder.add(Batch(), chunk(text(7)))
    assert len(stub.asked) == len(asked) + 2


def test_careful_doubts_everything_but_raises_the_numbers() -> None:
    batch = Batch(careful=True)
    assert Stub().builder().add(batch, chunk(text(1), text(3))) == []
    assert [d.below for d in batch.doubtful] == [False, False]
    assert batch.highs == {1: [0, 3]}
    assert batch.sightings == {}
    assert batch.tallies == {}


def test_first_and_last_seen_do_not_depend_on_the_order() -> None:
    batch = Batch()
    Stub().builder().add(batch, chunk(text(30), text(31, "q"), text(10, "p", proto="udp")))
    (sources,) = batch.sightings.values()
    (seen,) = sources.values()
    assert (seen.first_seen[17:19], seen.last_seen[17:19], seen.events, seen.verified_events) == ("10", "31", 3, 2)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (text(1, day=1), "ts: 2026-11-01 is outside the days that are kept"),
        (text(1, sensor="../x"), "sensor: not a name"),
        (text(1, run="a b"), "run: not a name"),
        (text(1, user='"' + "x" * 9000 + '"'), "longer than 8192 bytes"),
        (b"\0", "NUL bytes"),
    ],
)
def test_a_reject_says_why_and_blocks_nothing(line: bytes, reason: str) -> None:
    batch = Batch()
    rows = Stub().builder().add(batch, chunk(text(1), line, text(2)))
    assert len(rows) == 2
    (reject,) = batch.rejects
    assert reject.reason == reason
    assert reject.raw == line[:8192]
    assert reject.raw_length == len(line)


def test_a_reject_keeps_only_what_fits_its_columns() -> None:
    batch = Batch()
    lines = [
        {"sensor": "a\0b" * 200, "run": ["x"], "n": "1" * 30, "rts": "soon"},
        {"sensor": "s", "run": "r", "n": "12", "rts": "2026-11-25T02:12:18Z", "reject": "un\0known", "msg": "e\0"},
    ]
    Stub().builder().add(batch, chunk(*(json.dumps(x).encode() for x in lines)))
    first, second = batch.rejects
    assert (first.sensor, first.run, first.n, first.rts) == ("ab" * 85, None, None, None)
    assert second[:6] == ("2026-11-25T02:12:18.000000+00:00", "s", "r", 12, "unknown", b"e\0")


def test_a_line_that_never_ended_is_a_reject() -> None:
    batch = Batch()
    unfinished = Chunk("f", None, [], b"half", 4, Position(7, 4), full=False)
    Stub().builder().add(batch, unfinished)
    too_long = Chunk("f", Position(7, 4), [], b"x" * 9000, 9000, Position(7, 9004, mid_line=True), full=False)
    Stub().builder().add(batch, too_long)
    assert [(r.reason, len(r.raw), r.raw_length) for r in batch.rejects] == [
        ("the last line never ended", 4, 4),
        ("longer than 8192 bytes", 8192, 9000),
    ]
    assert batch.moves == {"f": (None, Position(7, 9004, mid_line=True))}


def test_positions_span_the_chunks_of_a_batch() -> None:
    batch, builder = Batch(), Stub().builder()
    builder.add(batch, chunk(text(1)))
    middle = batch.moves["f"][1]
    builder.add(batch, chunk(text(2), before=middle))
    builder.add(batch, chunk(text(3), file="g"))
    assert batch.moves["f"] == (None, Position(7, 2 * middle.offset))
    assert batch.moves["g"][0] is None


def test_a_batch_is_bounded() -> None:
    batch, builder = Batch(), Stub().builder()
    assert not batch.is_large()
    builder.add(batch, chunk(*[b"x"] * (MAX_REJECTS + 1)))
    assert batch.is_large()
    batch = Batch()
    builder.add(batch, chunk(text(9), *[text(1)] * (MAX_DOUBTFUL + 1)))
    assert batch.is_large()
    assert Batch(begun=0.0).is_large()
