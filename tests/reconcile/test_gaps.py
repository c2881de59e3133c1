"""What is asked for, what is lost, and how people are told: all that needs no database."""

from __future__ import annotations

import copy
import json
import random
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from strandline.collector import account, gaps
from strandline.collector.config import Config
from strandline.collector.gaps import BadIndex, Behind, Decision, Run, Stated, decide, parse_index
from strandline.collector.spool import Spool
from strandline.shared.ranges import common, normal, without

RUN = "1764036738123456-9f3a"


def test_common_and_without_against_sets() -> None:
    dice = random.Random(11)
    for _ in range(500):
        left = {dice.randrange(1, 40) for _ in range(dice.randrange(30))}
        right = {dice.randrange(1, 40) for _ in range(dice.randrange(30))}
        one, two = normal((n, n) for n in left), normal((n, n) for n in right)
        assert normal(common(one, two)) == normal((n, n) for n in left & right)
        assert without(one, two) == normal((n, n) for n in left - right)


def run(high: int = 100, old: bool = True) -> Run:
    """A run as the database knows it."""
    return Run(1, "ams1", RUN, high, old)


@pytest.mark.parametrize(
    ("missing", "stated", "expected"),
    [
        # A middle that the spool holds.
        ([(5, 9)], Stated(100, [(1, 100)]), Decision([(5, 9)], {})),
        # The spool begins at 8: what is before has left it.
        ([(1, 9)], Stated(100, [(8, 100)]), Decision([(8, 9)], {"outlived": [(1, 7)]})),
        # A hole in the spool itself.
        ([(40, 60)], Stated(100, [(1, 44), (50, 100)]), Decision([(40, 44), (50, 60)], {"unwritten": [(45, 49)]})),
        # Behind the last number stated nothing is decided: those lines may be on their way.
        ([(95, 120)], Stated(100, [(1, 100)]), Decision([(95, 100)], {})),
        ([(101, 120)], Stated(100, [(1, 100)]), Decision([], {})),
        ([], Stated(100, [(1, 100)]), Decision([], {})),
    ],
)
def test_what_becomes_of_a_gap(missing: Any, stated: Stated, expected: Decision) -> None:
    assert decide(missing, run(), stated) == expected


def test_a_run_that_the_spool_does_not_know() -> None:
    """It has left the spool, unless it began after the sensor was asked."""
    assert decide([(1, 5)], run(old=True), None) == Decision([], {"outlived": [(1, 5)]})
    assert decide([(1, 5)], run(old=False), None) == Decision([], {})


INDEX: dict[str, Any] = {
    "runs": {RUN: {"last": 9, "ranges": [[1, 4], [6, 9]], "days": {"2026-11-24": [1, 4, 4], "2026-11-25": [6, 9, 4]}}}
}


def test_an_index_is_read() -> None:
    days = {"2026-11-24": (1, 4), "2026-11-25": (6, 9)}
    assert parse_index("ams1", INDEX) == {RUN: Stated(9, [(1, 4), (6, 9)], days)}
    assert parse_index("ams1", {"runs": {}}) == {}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["runs"], []),
        (["runs"], {"a b": INDEX["runs"][RUN]}),
        (["runs"], {f"r{i}": INDEX["runs"][RUN] for i in range(10_001)}),
        (["runs", RUN], None),
        (["runs", RUN, "last"], 8),  # the ranges end with 9
        (["runs", RUN, "last"], 0),
        (["runs", RUN, "last"], 2**70),
        (["runs", RUN, "ranges"], 9),
        (["runs", RUN, "ranges"], [[0, 9]]),
        (["runs", RUN, "ranges"], [[9, 1]]),
        (["runs", RUN, "ranges"], [[1, 9, 9]]),
        (["runs", RUN, "ranges"], [["1", "9"]]),
        (["runs", RUN, "ranges"], [[True, 9]]),
        (["runs", RUN, "days"], {"2026-13-01": [1, 9, 9]}),
        (["runs", RUN, "days"], {"x'; DROP": [1, 9, 9]}),
        (["runs", RUN, "days"], {"2026-11-25": [9, 1, 9]}),
        (["runs", RUN, "days"], {"2026-11-25": 7}),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(path: list[str], value: Any) -> None:
    """A sensor's host may be somebody else's by now: nothing of it is believed unseen."""
    tree = copy.deepcopy(INDEX)
    place = tree
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(BadIndex, match="the index of ams1 can't be used: "):
        parse_index("ams1", tree)


class Ledger:
    """Says how much is missing, time after time."""

    def __init__(self, missing: list[int], behind: int = 0) -> None:
        self.missing = missing
        self.left = behind
        self.asked = 0

    def behind(self, *_: Any) -> bool:
        self.left -= 1
        return self.left >= 0

    def totals(self) -> int:
        self.asked += 1
        return self.missing.pop(0) if len(self.missing) > 1 else self.missing[0]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock that goes on only when somebody sleeps."""
    now = [0.0]
    monkeypatch.setattr("time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return lambda: now[0]


@pytest.mark.parametrize(
    ("ledger", "asked"),
    [
        (Ledger([0]), 1),
        (Ledger([0], behind=3), 4),
        (Ledger([9, 7, 5, 0]), 4),
        (Ledger([9, 7, 5]), 2 + 1 + 10),  # 5 s without news
        (Ledger([5], behind=4), 4 + 10),
    ],
)
def test_what_is_on_its_way_is_waited_for(tmp_path: Path, clock: Any, ledger: Any, asked: int) -> None:
    gaps.settle(ledger, Config("c1", "dsn", spool=tmp_path), 5, 100, clock)
    assert ledger.asked == asked


def test_nothing_is_decided_before_the_loader_has_read_everything(tmp_path: Path, clock: Any) -> None:
    config = Config("c1", "dsn", spool=tmp_path)
    with pytest.raises(Behind, match="look at strandline-loader"):
        gaps.settle(Ledger([5], behind=10**6), config, 5, 30, clock)  # type: ignore[arg-type]
    # A sensor with a long backlog is another matter.
    slow = Ledger(list(range(10_000, 0, -1)))
    gaps.settle(slow, config, 5, 30, clock)  # type: ignore[arg-type]
    assert slow.asked == 61


def test_an_unfinished_line_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "20261125-02.jsonl"
    path.write_bytes(b"one\ntwo\nthr")
    assert [gaps._has_newline(path, offset, 11) for offset in (0, 4, 7, 8, 11)] == [True, True, True, False, False]
    assert not gaps._has_newline(tmp_path / "gone", 0, 9)
    assert [name for name, _ in Spool(tmp_path, 1 << 19, 65536).files()] == [path.name]


def day(sensor: str, number: int, **values: int) -> account.Day:
    """A line of the account."""
    names = ("sent", "stored", "recovered", "rejected", "missing", "lost", "outlived", "unwritten", "duplicates")
    numbers: dict[str, Any] = {name: values.get(name, 0) for name in names}
    return account.Day(sensor, date(2026, 11, number), **numbers)


def test_the_account_as_people_read_it() -> None:
    found = [
        day("ams1", 24, sent=1000, stored=880, recovered=60, lost=120, outlived=118, unwritten=2),
        day("scl1", 24, sent=7, stored=5, rejected=1, missing=1),
    ]
    losses = [
        account.Loss("ams1", RUN, 1, 118, date(2026, 11, 24), "outlived"),
        account.Loss("ams1", RUN, 300, 300, date(2026, 11, 24), "unwritten"),
    ]
    at = date(2026, 11, 24)
    counters = [
        *[("ams1", at, "kernel_drops", 7), ("ams1", at, "full_pauses", 2), ("ams1", at, "full_seconds", 40)],
        *[("ams1", at, "spool_drops", 2), ("col1", at, "unnumbered", 3)],
    ]
    document = account.document(account.with_counters(found, counters), losses)
    assert len({line.index("2026") for line in document["text"] if line[:6] in ("ams1  ", "scl1  ")}) == 1, "columns"
    assert [" ".join(line.split()) for line in document["text"]] == [
        "sensor day sent stored recovered rejected missing lost kernel queue unnumbered pauses s full"
        " why lost, and what else was counted",
        "ams1 2026-11-24 1000 880 60 0 0 120 7 0 0 2 40"
        " 118 had left the spool, 2 never reached the spool; 2 numbered and dropped before the spool",
        "col1 2026-11-24 0 0 0 0 0 0 0 0 3 0 0",
        "scl1 2026-11-24 7 5 0 1 1 0 0 0 0 0 0",
        "all 1007 885 60 1 1 120 7 0 3 2 40",
        "",
        f"ams1 2026-11-24: 118 events are lost (numbers 1 to 118 of run {RUN}): had left the spool",
        f"ams1 2026-11-24: 1 event is lost (number 300 of run {RUN}): never reached the spool",
    ]
    assert document["missing"] == 1
    assert json.loads(json.dumps(document))["days"][0]["day"] == "2026-11-24"
    assert account.document([], [])["text"][-1].split() == ["all", *"00000000000"]


def test_an_index_of_a_run_that_was_pruned() -> None:
    """The last number may stand above what is left, and nothing at all may be left."""
    entry = {"last": 12, "ranges": [[4, 9]], "days": {}}
    assert parse_index("ams1", {"runs": {RUN: entry}}) == {RUN: Stated(12, [(4, 9)], {})}
    assert parse_index("ams1", {"runs": {RUN: entry | {"ranges": []}}}) == {RUN: Stated(12, [], {})}


def test_what_was_pruned_in_front_and_behind_has_outlived_the_spool() -> None:
    run = Run(1, "ams1", RUN, 12, old=True)
    found = decide([(1, 3), (5, 5), (7, 8), (10, 12)], run, Stated(12, [(4, 4), (6, 9)]))
    assert found == Decision([(7, 8)], {"outlived": [(1, 3), (10, 12)], "unwritten": [(5, 5)]})
    assert decide([(1, 12)], run, Stated(12, [])) == Decision([], {"outlived": [(1, 12)]})
    # What came after the index was made does not count as lost yet.
    assert decide([(10, 15)], run, Stated(12, [(1, 9)])) == Decision([], {"outlived": [(10, 12)]})
