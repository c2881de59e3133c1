"""Sorting lines: what is certainly new, what may be there already, what is counted."""

from __future__ import annotations

import gc
import json
import random
import socket
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spool_lines import as_json, as_text, line, quoted, read_row
from strandline.collector.batch import MAX_DOUBTFUL, MAX_REJECTS, Batch, Builder, KindKey, inet
from strandline.collector.lines import HOUR, Record, Reject, decode, timestamp
from strandline.collector.spool import Chunk, Position
from strandline.event import feeds

AT = timestamp("2026-11-25T02:12:00Z")
SOURCE = inet(socket.inet_aton("192.0.2.7"))
RULES = feeds.parse({"feeds": {"pw": {"event": "ssh.password", "title": "T", "description": "D"}}}, "x")


def text(n: int, run: str = "r", sensor: str = "s", day: int = 25, **more: str) -> bytes:
    """One line."""
    ts = f"2026-11-{day:02d}T02:12:{n % 60:02d}.000000+00:00"
    return as_text(
        {"sensor": sensor, "run": run, "n": str(n), "ts": ts, "rts": ts, "event": "ssh.password", "saddr": "192.0.2.7",
         "sport": "1", "daddr": "192.0.2.9", "dport": "22", "proto": "tcp", "user": '"u"', **more}
    )  # fmt: skip


class Stub:
    """Runs and days without a database."""

    def __init__(self, highs: dict[tuple[str, str], int] | None = None) -> None:
        """Know some runs already."""
        self.highs = highs or {}
        self.ids: dict[tuple[str, str], int] = {}
        self.asked: list[Any] = []
        self.kinds: dict[Any, int] = {}

    def find_run(self, sensor: str, run: str) -> tuple[int, int]:
        """Number the runs as they come."""
        self.asked.append((sensor, run))
        return self.ids.setdefault((sensor, run), len(self.ids) + 1), self.highs.get((sensor, run), 0)

    def find_kind(self, kind: KindKey) -> int:
        """Number the kinds as they come."""
        self.asked.append(kind)
        return self.kinds.setdefault(kind, len(self.kinds) + 1)

    def find_day(self, day: str) -> bool:
        """Only November is kept."""
        self.asked.append(day)
        return day.startswith("2026-11-") and day != "2026-11-01"

    def builder(self) -> Builder:
        """A builder that asks this stub."""
        return Builder(RULES, self.find_run, self.find_kind, self.find_day, 8192)


def chunk(*lines: bytes, before: Position | None = None, file: str = "f") -> Chunk:
    """A chunk of these lines."""
    start = before.offset if before else 0
    return Chunk(file, before, list(lines), None, 0, Position(7, start + sum(len(x) + 1 for x in lines)), full=True)


def test_rising_numbers_are_new_and_others_doubtful() -> None:
    stub, batch = Stub({("s", "old"): 10}), Batch()
    builder = stub.builder()
    rows = builder.add(batch, chunk(text(1), text(2), text(2), text(5), text(4), text(10, "old"), text(11, "old")))
    assert [(row["run_id"], row["n"]) for row in map(read_row, rows)] == [(1, 1), (1, 2), (1, 5), (2, 11)]
    assert [(d.key[0], d.key[1], d.below) for d in batch.doubtful] == [(1, 2, True), (1, 4, True), (2, 10, True)]
    assert batch.highs == {1: [0, 5], 2: [10, 11]}
    assert batch.copied == 4
    assert batch.sightings["pw", AT // HOUR][SOURCE][2] == 4
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
    assert len(stub.asked) == len(asked) + 3


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
    assert sources == {SOURCE: [AT + 10_000_000, AT + 31_000_000, 3, 2]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (text(1, day=1), "ts: 2026-11-01 is outside the days that are kept"),
        (text(1, sensor="../x"), "sensor: not a name"),
        (text(1, run="a b"), "run: not a name"),
        (text(1, user='"' + "x" * 9000 + '"'), "longer than 8192 bytes"),
        (text(1, sport="65536"), "sport or dport: above 65535"),
        (text(1, saddr="1.2.3.256"), "saddr or daddr: not an address"),
        (text(1, user='"a\\b"'), "a value holds a backslash that escapes nothing"),
        (text(1, user='"a"b"'), 'not a field: user="a"b"'),
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


SAID = {"title": "T", "description": "D"}
SIP = {"feeds": {
    "options": {"event": "sip.request", "where": {"method": "options"}, "where_fold": True, **SAID},
    "proven": {"event": "sip.request", "where": {"verified": "yes"}, **SAID},
    "pw": {"event": "ssh.password", **SAID},
}}  # fmt: skip
MOMENT = datetime(2026, 11, 25, 2, 12, tzinfo=UTC)


@pytest.mark.slow
def test_nothing_of_a_batch_stays_behind() -> None:
    """A sensor that starts again begins a run, and no event of its last one may ever come: its counts must not stay."""
    builder = Stub().builder()
    sources = [f"198.18.{number // 200}.{number % 200}" for number in range(2000)]

    def kept(run: int) -> int:
        lines = [text(n, run=f"r{run}", saddr=source) for n, source in enumerate(sources, 1)]
        batch = Batch()
        builder.add(batch, chunk(*lines))
        assert batch.sighted == len(sources)
        del batch, lines
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        first, *_, last = (kept(run) for run in range(10))
    finally:
        tracemalloc.stop()
    assert last - first < 2 * 300 * len(sources)  # each of nine more batches counted as much


def built(lines: list[bytes], one_by_one: bool = False) -> tuple[list[dict[str, Any]], Batch, Stub]:
    """What becomes of lines; read one by one, none of them finds anything that was learned from another."""
    stub, batch = Stub(), Batch()
    builder = Builder(feeds.parse(SIP, "x"), stub.find_run, stub.find_kind, stub.find_day, 8192)
    if not one_by_one:
        return [read_row(row) for row in builder.add(batch, chunk(*lines))], batch, stub
    rows = []
    for one in lines:
        builder._flows.clear()
        rows += builder.add(batch, chunk(one))
    return [read_row(row) for row in rows], batch, stub


def named(rows: list[dict[str, Any]], stub: Stub) -> list[Any]:
    """Rows in an order of their own, with the names of what is numbered in the order in which it came."""
    runs = {number: key for key, number in stub.ids.items()}
    kinds = {number: key for key, number in stub.kinds.items()}
    shown = [{**row, "run_id": runs[row["run_id"]], "kind": kinds[row["kind"]]} for row in rows]
    return sorted(shown, key=lambda row: (row["run_id"], row["n"]))


def assert_same(lines: list[bytes]) -> None:
    """The fast decoder and the one that parses every line in full give the same."""
    (quick, a, first), (slow, b, second) = built(lines), built(lines, one_by_one=True)
    assert named(quick, first) == named(slow, second)
    assert [reject[1:] for reject in a.rejects] == [reject[1:] for reject in b.rejects]
    shown = [
        {key: sources for key, sources in batch.sightings.items() if sources} for batch in (a, b)
    ]  # fmt: skip
    assert shown[0] == shown[1]
    assert a.last_rts == b.last_rts
    assert sorted(d.key[1:] for d in a.doubtful) == sorted(d.key[1:] for d in b.doubtful)


def test_the_short_way_reads_as_the_long_one() -> None:
    rng = random.Random(3)
    lines = [
        line(f"s{n % 3}", "r-1", n, MOMENT + timedelta(seconds=n), rng, 50, rng.choice(("text", "text", "json")))[:-1]
        for n in range(1, 800)
    ]
    rows, batch, stub = built(lines)
    assert len(rows) == len(lines)
    assert not batch.rejects
    assert_same(lines)
    # And both as the line says.
    by_number = {(row["run_id"], row["n"]): row for row in named(rows, stub)}
    for text_of_one in lines:
        record = decode(text_of_one)
        row = by_number[(record.sensor, record.run), record.n]
        assert row["kind"] == (record.event, record.proto, record.verified, record.cut, record.names)
        assert row["fields"] == b"\t".join(record.values).decode()
        assert (row["ts"], row["rts"], row["sport"], row["dport"]) == (
            record.ts,
            record.rts,
            record.sport,
            record.dport,
        )


def test_a_cut_value_makes_a_kind_of_its_own() -> None:
    rows, _, stub = built([text(1), text(2, user='"' + "A" * 256 + '"/1500'), text(3)])
    assert [row["fields"] for row in rows] == ["u", "A" * 256 + "\tuser\t1500", "u"]
    assert list(stub.kinds) == [("ssh.password", "tcp", True, cut, ("user",)) for cut in (False, True)]


def test_a_flow_whose_fields_change_is_read_all_the_same() -> None:
    rows, batch, _ = built([text(1), text(2, password='"p"'), text(3, user="u"), text(4)])
    assert [row["fields"] for row in rows] == ["u", "u\tp", "u", "u"]
    assert not batch.rejects


def test_what_a_rule_asks_for_decides_each_time() -> None:
    def sip(n: int, method: str, verified: str) -> bytes:
        return text(n, event="sip.request", proto="udp", verified=verified, method=f'"{method}"', uri='"u"')

    # `text` puts the user first; that is no matter.
    _, batch, _ = built([sip(1, "OPTIONS", "no"), sip(2, "INVITE", "no"), sip(3, "options", "yes"), sip(4, "X", "yes")])
    counted = {category: sources[SOURCE][2:] for (category, _), sources in batch.sightings.items()}
    assert counted == {"options": [2, 1], "proven": [2, 2]}


BYTES = st.binary(max_size=8) | st.binary(min_size=250, max_size=300)
TOKENS = st.from_regex(r"[A-Za-z0-9_.:+/=-]{1,12}", fullmatch=True)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, str]:
    """An event as a listener may write it: any bytes in its values, in the order of its rule or in none."""
    event, proto = draw(st.sampled_from([("ssh.password", "tcp"), ("sip.request", "udp"), ("dns.query", "udp")]))
    own = {"verified": draw(st.sampled_from(["yes", "no"]))} if proto == "udp" else {}
    own |= {name: draw(TOKENS) for name in draw(st.lists(st.sampled_from(["method", "id", "x_1"]), unique=True))}
    own |= {name: quoted(draw(BYTES)) for name in draw(st.lists(st.sampled_from(["user", "uri", "to"]), unique=True))}
    at = f"2026-11-25T02:12:18.{draw(st.integers(0, 999_999)):06d}+00:00"
    return {
        "sensor": draw(st.sampled_from(["a", "b"])), "run": "r", "n": str(draw(st.integers(1, 40))), "ts": at,
        "rts": at, "event": event, "saddr": draw(st.sampled_from(["192.0.2.7", "2001:db8::7", "::ffff:192.0.2.7"])),
        "sport": str(draw(st.integers(0, 65535))), "daddr": "192.0.2.9", "dport": "5", "proto": proto, **own,
    }  # fmt: skip


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(st.lists(documents(), min_size=1, max_size=12), st.data())
def test_whatever_listeners_write_is_read_as_it_was_written(written: list[dict[str, str]], data: st.DataObject) -> None:
    lines = [as_text(document) for document in written]
    for text_of_one, document in zip(lines, written, strict=True):
        try:
            assert decode(text_of_one) == decode(as_json(document))
        except Reject:
            # Without any field of its own, none of the forms is more right than the other.
            pytest.fail(f"refused: {text_of_one!r}")
    assert_same(lines)
    # And with something wrong somewhere: refused by both, or read alike.
    victim = data.draw(st.integers(0, len(lines) - 1))
    at = data.draw(st.integers(0, len(lines[victim])))
    junk = data.draw(st.sampled_from([b"", b" ", b'"', b"\\", b"\t", b"/7", b"=", b"\xff", b"9"]))
    lines[victim] = lines[victim][:at] + junk + lines[victim][at + data.draw(st.integers(0, 2)) :]
    assert_same(lines)


def test_nearly_all_lines_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    whole: list[bytes] = []

    def noted(one: bytes) -> Record:
        whole.append(one)
        return decode(one)

    monkeypatch.setattr("strandline.collector.batch.decode", noted)
    rng = random.Random(5)
    rows, _, stub = built([line("s", "r-1", n, MOMENT, rng)[:-1] for n in range(1, 2000)])
    assert len(rows) == 1999
    # One for each flow and kind, and those that no short way reads: a name's characters, or an address of IPv6.
    assert len(whole) <= 2 * len(stub.kinds)
