"""The daily list of user names and passwords: when it is counted, what is published, and what keeps the former one."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from publisher_fakes import END, FakeSource, row
from strandline.publisher import config, pairs, publish, store, window
from strandline.publisher.errors import SourceError

NOW = datetime(2026, 11, 25, 0, 4, tzinfo=UTC)
YESTERDAY = date(2026, 11, 24)
TRIED = [
    ("root", "123456", 40, 90),
    ("admin", 'x\\x22y,\\x0a', 5, 5),
    ("", "", 3, 4),
    ("=1+1", "p w", 3, 3),
]  # fmt: skip


def refresh(
    settings: config.Config,
    source: FakeSource,
    *,
    now: datetime = NOW,
    through_now: bool = False,
    loaded: datetime | None = None,
) -> str:
    return pairs.refresh(source, settings.state, settings.pairs, now=now, through_now=through_now, loaded=loaded)


def published(settings: config.Config, source: FakeSource, *, hours: int = 0) -> dict[str, Any]:
    end = END + timedelta(hours=hours)
    publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3))
    current = store.current(settings.webroot)
    assert current is not None
    store.check(current)
    document: dict[str, Any] = json.loads((current / "feeds.json").read_text())
    jsonschema.validate(document, json.loads((current / "feeds.schema.json").read_text()))
    return document


def read(settings: config.Config, name: str) -> str:
    return (settings.webroot / "current" / name).read_text(encoding="utf-8")


def test_the_day_before_is_counted_once_and_published_from_then_on(settings: config.Config, source: FakeSource) -> None:
    source.pairs[YESTERDAY] = TRIED
    source.categories["sshclient"] = [row("198.18.0.1")]
    assert published(settings, source)["daily"] == []
    assert refresh(settings, source) == ""
    assert refresh(settings, source, now=NOW + timedelta(hours=1)) == ""
    assert source.pairs_asked == [(YESTERDAY, 3, 10_000)]

    (listed,) = published(settings, source, hours=1)["daily"]
    assert (listed["name"], listed["day"], listed["rows"]) == ("sshidpw", "2026-11-24", 4)
    assert [(file["name"], file["rows"], file["url"]) for file in listed["files"]] == [
        (name, 4, f"/2026/11/25/04/{name}") for name in ("sshidpw.csv", "sshidpw.ndjson")
    ]
    assert list(csv.reader(io.StringIO(read(settings, "sshidpw.csv")))) == [[user, pw] for user, pw, *_ in TRIED]
    assert [tuple(json.loads(line).values()) for line in read(settings, "sshidpw.ndjson").splitlines()] == [
        ("2026-11-24", *pair) for pair in TRIED
    ]
    assert "sshidpw.csv" in read(settings, "index.html")

    # The next hour has the very same file, for readers who ask for changes only.
    inode = (settings.webroot / "current" / "sshidpw.csv").stat().st_ino
    published(settings, source, hours=2)
    assert (settings.webroot / "current" / "sshidpw.csv").stat().st_ino == inode

    tomorrow = NOW + timedelta(days=1)
    source.pairs[tomorrow.date() - timedelta(days=1)] = [("a", "b", 3, 3)]
    assert refresh(settings, source, now=tomorrow) == ""
    assert published(settings, source, hours=24)["daily"][0]["day"] == "2026-11-25"
    assert read(settings, "sshidpw.csv") == "a,b\n"


def test_a_demo_counts_the_day_that_is_not_over(settings: config.Config, source: FakeSource) -> None:
    source.categories["sshclient"] = [row("198.18.0.1")]
    for count in (1, 2):
        source.pairs[NOW.date()] = [("u", f"p{number}", 1, 1) for number in range(count)]
        assert refresh(settings, source, through_now=True) == ""
        # In the same hour, too: a new list is reason enough for a new generation.
        assert published(settings, source)["daily"][0]["rows"] == count


def test_what_can_not_be_counted_leaves_the_former_list(settings: config.Config, source: FakeSource) -> None:
    source.categories["sshclient"] = [row("198.18.0.1")]
    source.pairs[YESTERDAY] = TRIED
    refresh(settings, source)
    tomorrow = NOW + timedelta(days=1)
    source.pairs[NOW.date()] = SourceError("the pairs can't be counted: canceling statement due to statement timeout")
    assert "statement timeout" in refresh(settings, source, now=tomorrow)
    assert published(settings, source)["daily"][0]["day"] == "2026-11-24"
    source.pairs[NOW.date()] = [("late", "but there", 3, 3)]
    # What may read all of a day's events is not tried each hour.
    assert refresh(settings, source, now=tomorrow + timedelta(hours=1)) == ""
    assert [day for day, *_ in source.pairs_asked] == [YESTERDAY, NOW.date()]
    assert refresh(settings, source, now=tomorrow + timedelta(hours=6)) == ""
    assert published(settings, source, hours=1)["daily"][0]["day"] == "2026-11-25"


def test_a_collector_that_lags_is_waited_for_until_noon(settings: config.Config, source: FakeSource) -> None:
    source.pairs[YESTERDAY] = TRIED
    late = datetime(2026, 11, 24, 23, 50, tzinfo=UTC)
    assert refresh(settings, source, loaded=late) == ""
    assert refresh(settings, source, now=NOW.replace(hour=11), loaded=late) == ""
    assert source.pairs_asked == []
    assert refresh(settings, source, now=NOW.replace(hour=12), loaded=late) == ""
    assert len(source.pairs_asked) == 1


def test_a_list_that_can_not_be_written_costs_no_feed(settings: config.Config, source: FakeSource) -> None:
    source.categories["sshclient"] = [row("198.18.0.1")]
    (settings.state / "sshidpw.json").write_text(json.dumps({"day": "2026-11-24", "pairs": [["\ud800", "x", 3, 3]]}))
    outcome = publish.run(settings, source, window.ending_at(END), now=END + timedelta(minutes=3))
    assert outcome.published == ("sshclient",)
    assert outcome.problems == ("sshidpw is left out (UnicodeEncodeError)",)


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        '{"day": "2026-11-24"}',
        '{"day": 1, "pairs": []}',
        '{"day": "2026-11-24", "pairs": [["a"]]}',
        '{"day": "2026-11-24", "pairs": [[{}, "b", 1, 1]]}',
    ],
)
def test_a_damaged_list_is_counted_anew(settings: config.Config, source: FakeSource, damage: str) -> None:
    source.pairs[YESTERDAY] = TRIED
    source.categories["sshclient"] = [row("198.18.0.1")]
    (settings.state / "sshidpw.json").write_text(damage)
    assert published(settings, source)["daily"] == []
    assert refresh(settings, source) == ""
    assert published(settings, source, hours=1)["daily"][0]["rows"] == len(TRIED)


def test_it_can_be_switched_off(settings: config.Config, source: FakeSource) -> None:
    source.pairs[YESTERDAY] = TRIED
    source.categories["sshclient"] = [row("198.18.0.1")]
    refresh(settings, source)
    without = dataclasses.replace(settings, pairs=pairs.Limits(sources=0))
    assert refresh(without, source, now=NOW + timedelta(days=1)) == ""
    assert len(source.pairs_asked) == 1
    assert published(without, source)["daily"] == []
    assert not (settings.webroot / "current" / "sshidpw.csv").exists()


def test_a_disk_without_room_is_reported(
    settings: config.Config, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "can't be written (No space left on device)" in refresh(settings, source)
    assert list(Path(settings.state).glob("sshidpw.json*")) == []
