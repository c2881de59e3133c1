"""What is not believed: clocks, silence, floods of forged sources, growth; each with what the site says of it then."""

from __future__ import annotations

import dataclasses
import json
import os
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import feed_readers as readers
import pytest
from publisher_fakes import END, FakeSource, Row, row
from strandline.publisher import config, guards, publish, window
from strandline.publisher.errors import RefusedError, SourceError
from strandline.publisher.limits import Guard
from strandline.publisher.source import Condition

HOUR = timedelta(hours=1)


def run(settings: config.Config, source: FakeSource, *, hours: int = 0, growth: bool = False) -> publish.Outcome:
    end = END + hours * HOUR
    accept = publish.Accept(growth=growth)
    return publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3), accept=accept)


def addresses(settings: config.Config, name: str = "dnsrd.txt") -> list[str]:
    text = (settings.webroot / "current" / name).read_text(encoding="ascii")
    return [line.split(readers.SEPARATOR)[2].strip() for line in readers.data_lines(text)]


def listed(settings: config.Config) -> dict[str, object]:
    document: dict[str, object] = json.loads((settings.webroot / "current/feeds.json").read_text(encoding="utf-8"))
    return document


def feed(settings: config.Config, category: str = "dnsrd") -> dict[str, Any]:
    feeds = listed(settings)["feeds"]
    assert isinstance(feeds, list)
    [found] = [entry for entry in feeds if entry["category"] == category]
    assert isinstance(found, dict)
    return found


def forged(count: int, *, verified: int = 0) -> list[Row]:
    return [row(f"198.18.{i // 200}.{i % 200}", verified=verified) for i in range(count)]  # .200 is the fleet's


@pytest.fixture
def small(settings: config.Config) -> config.Config:
    """Settings with limits that few rows reach."""
    guard = Guard(
        growth_min_rows=100, first_rows=900, unproven_floor=20, unproven_first=200, unproven_most=400, unproven_factor=3
    )
    return dataclasses.replace(settings, guard=guard)


@pytest.mark.parametrize("days", [8, 1 / 24])
def test_a_clock_ahead_publishes_nothing(settings: config.Config, source: FakeSource, days: float) -> None:
    source.categories["dnsrd"] = forged(5)
    source.condition = Condition(END + timedelta(minutes=3), END)
    run(settings, source)
    before = os.readlink(settings.webroot / "current")
    with pytest.raises(RefusedError, match="one of the two clocks is wrong"):
        run(settings, source, hours=int(days * 24))
    assert os.readlink(settings.webroot / "current") == before
    assert len(addresses(settings)) == 5


def test_the_demos_window_may_reach_to_the_next_full_hour(settings: config.Config, source: FakeSource) -> None:
    source.condition = Condition(END - timedelta(minutes=30), END)
    source.categories["dnsrd"] = forged(5)
    with pytest.raises(RefusedError):
        run(settings, source)
    assert run(dataclasses.replace(settings, through_now=True), source).failed == ()


def test_a_clock_behind_publishes_no_older_window(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = forged(5)
    run(settings, source)
    before = os.readlink(settings.webroot / "current")
    with pytest.raises(RefusedError, match="before the published one"):
        run(settings, source, hours=-6 * 24)
    assert os.readlink(settings.webroot / "current") == before


@pytest.mark.parametrize("hours", [30, 7 * 24])
def test_feeds_of_a_silent_database_are_kept_and_marked_and_never_drained(
    settings: config.Config, source: FakeSource, hours: int
) -> None:
    source.categories["dnsrd"] = forged(5)
    source.condition = Condition(END + timedelta(minutes=3), END - timedelta(minutes=1), {"collector1": END})
    run(settings, source)
    assert listed(settings)["problems"] == []
    source.categories["dnsrd"] = forged(1)  # the others have aged
    source.condition = dataclasses.replace(source.condition, clock=END + hours * HOUR + timedelta(minutes=3))
    outcome = run(settings, source, hours=hours)
    assert "dnsrd" in outcome.failed
    assert len(addresses(settings)) == 5
    assert (feed(settings)["status"], feed(settings)["window_end"]) == ("kept", "2026-11-25T03:00:00Z")
    assert any("no event has come for" in problem for problem in outcome.problems)
    assert any("collector collector1 has brought nothing since" in problem for problem in outcome.problems)
    assert listed(settings)["problems"] == list(outcome.problems)
    assert listed(settings)["source"] == {
        "newest_event": "2026-11-25T02:59:00Z",
        "collectors": [{"name": "collector1", "loaded": "2026-11-25T03:00:00Z", "lag_seconds": hours * 3600 + 180}],
    }
    page = (settings.webroot / "current/index.html").read_text(encoding="utf-8")
    assert "out of date" in page
    assert "no event has come for" in page


def test_one_collector_of_two_that_is_silent_is_named(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = forged(5)
    source.condition = Condition(END, END, {"collector1": END, "collector2": END - 30 * HOUR})
    outcome = run(settings, source)
    assert outcome.failed == ()
    assert [problem.split(" has")[0] for problem in outcome.problems] == ["collector collector2"]


def test_a_flood_of_forged_sources_leaves_those_that_two_sensors_saw(small: config.Config, source: FakeSource) -> None:
    proven = [row("192.0.2.1"), row("192.0.2.2")]
    source.categories = {"dnsrd": [*proven, *forged(30)], "sshclient": proven}
    assert run(small, source).problems == ()
    assert len(addresses(small)) == 32
    assert feed(small)["unproven"] == 30
    source.categories["dnsrd"] = [*proven, *forged(2000)]
    source.several["dnsrd"] = forged(3)
    outcome = run(small, source, hours=1)
    assert outcome.failed == ()
    assert set(outcome.published) == {"dnsrd", "sshclient"}
    assert set(addresses(small)) == {"192.0.2.1", "192.0.2.2", "198.18.0.0", "198.18.0.1", "198.18.0.2"}
    assert feed(small)["held_back"] == {"never_listed": 0, "unproven": 1997}
    [problem] = outcome.problems
    assert problem.startswith("dnsrd: 2000 sources that were never proven to be real, where 90 are plausible")
    # When several sensors saw all of them, there is still a bound; and what can't be told is not published.
    source.several["dnsrd"] = forged(2000)
    run(small, source, hours=2)
    assert feed(small)["unproven"] <= 90
    source.several["dnsrd"] = SourceError("statement timeout")
    run(small, source, hours=3)
    assert set(addresses(small)) == {"192.0.2.1", "192.0.2.2"}


def test_a_flood_does_not_become_usual_within_days(small: config.Config, source: FakeSource) -> None:
    """The middle of a week is the measure: what lasts three days has not moved it."""
    history = guards.History(small.state / "history.json")
    for hour in range(168):
        count = 30 if hour < 96 else 10_000
        history.add(window.ending_at(END - (168 - hour) * HOUR), {"dnsrd": count})
    assert guards.unproven_limit(guards.History(small.state / "history.json").of("dnsrd"), small.guard) == 90


def test_a_damaged_history_begins_anew(small: config.Config, source: FakeSource) -> None:
    for content in ("{", "[]", '{"dnsrd": 3}', '{"dnsrd": {"x": "y"}}'):
        (small.state / "history.json").write_text(content, encoding="utf-8")
        source.categories["dnsrd"] = forged(5)
        assert run(small, source).failed == ()


@pytest.mark.parametrize(
    ("policy", "files"),
    [
        ("plausible", {"dnsrd.txt": 7}),
        ("publish", {"dnsrd.txt": 7}),
        ("several", {"dnsrd.txt": 4}),
        ("omit", {"dnsrd.txt": 2}),
        ("separate", {"dnsrd.txt": 2, "dnsrd-unproven.txt": 5}),
    ],
)
def test_the_policies(settings: config.Config, source: FakeSource, policy: str, files: dict[str, int]) -> None:
    settings = dataclasses.replace(settings, guard=Guard(unproven=policy))
    source.categories["dnsrd"] = [row("192.0.2.1"), row("192.0.2.2"), *forged(5)]
    source.several["dnsrd"] = forged(2)
    for hours in (0, 1):
        outcome = run(settings, source, hours=hours)
        assert (outcome.failed, outcome.problems) == ((), ())
        names = {p.name for p in (settings.webroot / "current").glob("dnsrd*.txt")}
        assert {name: len(addresses(settings, name)) for name in names} == files
    ndjson = (settings.webroot / "current/dnsrd.ndjson").read_text(encoding="utf-8").splitlines()
    assert len(ndjson) == sum(files.values())


@pytest.mark.parametrize(("after", "refused"), [(400, False), (401, True)])
def test_implausible_growth_keeps_the_old_files(
    small: config.Config, source: FakeSource, after: int, refused: bool
) -> None:
    source.categories = {"dnsrd": forged(50, verified=1), "sshclient": forged(2, verified=1)}
    run(small, source)
    source.categories = {"dnsrd": forged(after, verified=1), "sshclient": forged(3, verified=1)}
    outcome = run(small, source, hours=1)
    assert outcome.failed == (("dnsrd",) if refused else ())
    assert len(addresses(small)) == (50 if refused else after)
    assert len(addresses(small, "sshclient.txt")) == 3
    if refused:
        assert "at most 400 are plausible" in str(feed(small)["problem"])
        assert run(small, source, hours=1, growth=True).failed == ()
        assert len(addresses(small)) == after


def test_a_feed_that_begins_implausibly_large_is_not_begun(small: config.Config, source: FakeSource) -> None:
    source.categories = {"dnsrd": forged(901, verified=1), "sshclient": forged(900, verified=1)}
    outcome = run(small, source)
    assert outcome.failed == ("dnsrd",)
    assert len(addresses(small, "sshclient.txt")) == 900
    assert not (small.webroot / "current" / "dnsrd.txt").exists()
    assert run(small, source, growth=True).failed == ()
    assert len(addresses(small)) == 901


@pytest.mark.slow
def test_a_flood_does_not_take_the_memory(settings: config.Config, source: FakeSource) -> None:
    """What is beyond the bound is counted and let go: under 30 MB for it, where all of them would take 100."""
    source.categories["dnsrd"] = forged(100)
    run(settings, source)

    class Flood(list[Row]):
        def __iter__(self) -> Iterator[Row]:
            return (row_of(i) for i in range(100_000))

    template = row("0.0.0.0", verified=0)

    def row_of(i: int) -> Row:
        return (f"198.{18 + (i >> 16) % 2}.{(i >> 8) & 255}.{i & 255}", *template[1:])

    source.categories["dnsrd"] = Flood()
    tracemalloc.start()
    try:
        outcome = run(settings, source, hours=1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert outcome.failed == ()
    assert feed(settings)["held_back"] == {"never_listed": 1, "unproven": 99_999}
    assert peak < 30 << 20


@pytest.mark.parametrize("damage", ["", "rubbish\n", None])
def test_a_broken_as_table_leaves_the_last_good_one(
    settings: config.Config, source: FakeSource, damage: str | None
) -> None:
    source.categories["dnsrd"] = [row("198.18.0.7")]
    run(settings, source)
    if damage is None:
        settings.asn_table.unlink()
    else:
        settings.asn_table.write_text(damage, encoding="utf-8")
    outcome = run(settings, source, hours=1)
    assert outcome.failed == ()
    assert "The last good table is used." in outcome.problems[0]
    text = (settings.webroot / "current/dnsrd.txt").read_text(encoding="ascii")
    assert "174          |  COGENT-174" in text
    # And with neither: NA.
    (settings.state / "asn.table").write_bytes(b"rubbish")
    outcome = run(settings, source, hours=2)
    assert outcome.failed == ()
    assert "Systems are NA." in outcome.problems[0]
    assert "NA           |  NA " in (settings.webroot / "current/dnsrd.txt").read_text(encoding="ascii")
    about = listed(settings)["asn_table"]
    assert isinstance(about, dict)
    assert (about["ranges"], about["modified"]) == (0, None)
    assert about["problem"]


def test_a_table_that_was_replaced_is_read(settings: config.Config, source: FakeSource, tmp_path: Path) -> None:
    source.categories["dnsrd"] = [row("198.18.0.7")]
    run(settings, source)
    settings.asn_table.write_text("198.18.0.0\t198.18.0.255\t64500\tZZ\tNEW\n", encoding="utf-8")
    run(settings, source, hours=1)
    assert "64500        |  NEW " in (settings.webroot / "current/dnsrd.txt").read_text(encoding="ascii")


@pytest.mark.parametrize("policy", ["separate", "omit"])
def test_a_source_that_is_proven_later_or_no_more_is_no_drop(
    settings: config.Config, source: FakeSource, policy: str
) -> None:
    """It moves to the other file, or leaves the feed: the only one of a file does as well."""
    settings = dataclasses.replace(settings, guard=Guard(unproven=policy))
    for hours, (first, second) in enumerate([(0, 1), (1, 0), (0, 1)]):
        source.categories["dnsrd"] = [row("192.0.2.1", verified=first), row("192.0.2.2", verified=second)]
        assert run(settings, source, hours=hours).failed == ()
        assert addresses(settings) == [f"192.0.2.{1 if first else 2}"]
    source.categories["dnsrd"] = [row("192.0.2.1", verified=0), row("192.0.2.2", verified=0)]
    assert run(settings, source, hours=3).failed == ()
    assert addresses(settings) == []


def test_another_policy_is_no_drop(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [row("192.0.2.1"), *forged(100)]
    for hours, policy in enumerate(["plausible", "separate", "several", "publish", "omit", "plausible"]):
        found = run(dataclasses.replace(settings, guard=Guard(unproven=policy)), source, hours=hours)
        assert (found.failed, found.problems) == ((), ()), policy


@pytest.mark.parametrize("policy", ["plausible", "several", "omit", "separate"])
def test_proven_sources_that_are_lost_are_missed_under_every_policy(
    small: config.Config, source: FakeSource, policy: str
) -> None:
    """In a flood as well, when unproven sources are held back: that is the hour for it."""
    small = dataclasses.replace(small, guard=dataclasses.replace(small.guard, unproven=policy))
    proven = forged(60, verified=1)
    source.categories["dnsrd"] = [*proven, row("192.0.2.1", verified=0), row("2001:db8::1")]
    assert run(small, source).failed == ()
    source.categories["dnsrd"] = [*proven[:20], *(row(f"198.18.9.{n}", verified=0) for n in range(250))]
    outcome = run(small, source, hours=1)
    assert outcome.failed == ("dnsrd",)
    assert "dnsrd: IPv4: 20 rows, fewer than 50 % of the 60" in outcome.problems[0] or policy == "separate"
    assert set(addresses(small)) >= {entry[0] for entry in proven}


def test_a_database_without_any_event_drains_nothing(settings: config.Config, source: FakeSource) -> None:
    """Made anew, or silent for so long that even the daily totals are gone: no published address is in the window."""
    source.categories["dnsrd"] = forged(5)
    run(settings, source)
    source.categories["dnsrd"] = []
    source.condition = Condition(source.condition.clock, None)
    outcome = run(settings, source, hours=70 * 24)
    assert outcome.failed == ("dnsrd",)
    assert "the database has no event at all" in outcome.problems[0]
    assert len(addresses(settings)) == 5
    accept = publish.Accept(drop=True)
    end = END + 70 * 24 * HOUR
    assert publish.run(settings, source, window.ending_at(end), now=end, accept=accept).failed == ()
    assert addresses(settings) == []


def test_a_database_that_is_still_empty_publishes_a_site_without_feeds(
    settings: config.Config, source: FakeSource
) -> None:
    source.condition = Condition(source.condition.clock, None)
    outcome = run(settings, source)
    assert (outcome.failed, outcome.problems) == ((), ())
    assert feed(settings)["status"] == "none"
