"""What is said of the feeds' worth, against feeds whose truth is known."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from local_postgres import needs_postgresql
from publisher_database import Sighting, database
from publisher_fakes import END, FakeSource, Row, row
from strandline.publisher import confidence, config, publish, quality, window
from strandline.publisher.errors import SourceError
from test_confidence import TODAY, Truth

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def run(settings: config.Config, source: FakeSource, *, hours: int = 0) -> publish.Outcome:
    end = END + hours * HOUR
    return publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3))


def figures(settings: config.Config) -> dict[str, dict[str, Any]]:
    document = json.loads((settings.webroot / "current/quality.json").read_text(encoding="utf-8"))
    return {feed["category"]: feed for feed in document["feeds"]}


def shares(feeds: dict[str, set[str]]) -> dict[str, dict[str, Any]]:
    """The contributions, by sets."""
    found = {}
    for category, mine in feeds.items():
        others = set().union(*(there for other, there in feeds.items() if other != category))
        found[category] = {
            "exclusive": len(mine - others),
            "exclusive_share": round(len(mine - others) / len(mine), 4) if mine else 0.0,
            "differential": {
                other: round(len(mine - there) / len(mine), 4)
                for other, there in feeds.items()
                if other != category and mine
            },
        }
    return found


def test_the_figures_are_those_of_the_planted_feeds(settings: config.Config, source: FakeSource) -> None:
    """To the row, over ten hours in which addresses come and go; one feed fails in the last and keeps its files."""
    rng = random.Random(7)
    settings = dataclasses.replace(settings, formats=())
    there: dict[str, dict[str, Row]] = {"dnsrd": {}, "sshclient": {}, "vncrfb": {}, "sipquery": {}}
    added = {category: 0 for category in there}
    gone = {category: 0 for category in there}
    ages: dict[str, list[int]] = {}
    for hour in range(11):
        for category, rows in there.items():
            if category == "sipquery" and hour == 10:
                source.categories[category] = SourceError("no")
                continue
            before = set(rows)
            for address in [one for one in rows if rng.random() < 0.05]:
                del rows[address]
            for _ in range(40):
                address = rng.choice(
                    [f"198.18.{rng.randint(0, 1)}.{rng.randint(1, 120)}", f"2001:db8::{rng.randint(1, 99):x}"]
                )
                if address in rows:
                    continue
                seen = END + hour * HOUR - timedelta(seconds=rng.randrange(1, 30_000))
                rows[address] = row(address, seen=seen, events=rng.randint(1, 9), verified=rng.randint(0, 1))
            now = (END + hour * HOUR + timedelta(minutes=3)).replace(tzinfo=None)
            new = set(rows) - before
            ages[category] = [int((now - datetime.fromisoformat(rows[one][1])).total_seconds()) for one in new]
            if hour:
                added[category] += len(set(rows) - before)
                gone[category] += len(before - set(rows))
            source.categories[category] = list(rows.values())
        run(settings, source, hours=hour)
    found = figures(settings)
    assert set(found) == set(there)
    wanted = shares({category: set(rows) for category, rows in there.items()})
    for category, rows in there.items():
        one = found[category]
        proven = sum(entry[4] > 0 for entry in rows.values())
        assert (one["addresses"], one["proven"]) == (len(rows), proven)
        assert one["events"] == sum(entry[3] for entry in rows.values())
        assert one["proven_share"] == round(proven / len(rows), 4)
        assert one["contribution"] == wanted[category], category
        assert one["turnover"] == {
            "hours": 10,
            "added_per_hour": round(added[category] / 10, 2),
            "gone_per_hour": round(gone[category] / 10, 2),
        }
        assert one["stay"] is None
        assert one["confidence"]["problem"]
        if category == "sipquery":
            assert one["latency"] is None, "nothing of it is new"
            continue
        ordered = sorted(ages[category])
        assert one["latency"] == {
            "added": len(ordered),
            "p50_seconds": ordered[math.ceil(0.5 * len(ordered)) - 1],
            "p99_seconds": ordered[math.ceil(0.99 * len(ordered)) - 1],
        }
    page = (settings.webroot / "current/quality.html").read_text(encoding="utf-8")
    for category in there:
        assert f"{100 * found[category]['contribution']['exclusive_share']:.1f} %" in page
    manifest = (settings.webroot / "current/SHA256SUMS").read_text(encoding="utf-8")
    assert {"quality.json", "quality.html"} <= {line.split()[1] for line in manifest.splitlines()}


def test_nothing_is_said_of_single_sensors(settings: config.Config, source: FakeSource) -> None:
    """Exactly these fields are public, of an address and of a feed."""
    source.categories["dnsrd"] = [row("198.18.0.1")]
    run(settings, source)
    address = json.loads((settings.webroot / "current/dnsrd.ndjson").read_text(encoding="utf-8"))
    assert set(address) == {
        "asn", "name", "address", "first_seen", "last_seen", "category", "events", "verified", "verified_events",
        "confidence", "valid_until",
    }  # fmt: skip
    head = (settings.webroot / "current/dnsrd.csv").read_text(encoding="utf-8").splitlines()[0]
    assert head == "address,asn,as_name,category,first_seen,last_seen,events,verified,confidence,valid_until"
    assert set(figures(settings)["dnsrd"]) == {
        "category", "addresses", "events", "proven", "proven_share", "contribution", "turnover", "stay", "latency",
        "confidence",
    }  # fmt: skip


def test_figures_that_fail_hold_no_feed_back(
    settings: config.Config, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(quality.Overlap, "contributions", fails)
    source.categories["dnsrd"] = [row("198.18.0.1")]
    assert run(settings, source).published == ("dnsrd",)
    assert figures(settings) == {}


@needs_postgresql
def test_how_long_addresses_stay_is_the_median_of_those_that_left(tmp_path: Path) -> None:
    """To the row: also of those that came back after a pause, and of those that never left."""
    rng = random.Random(11)
    days = [TODAY - back * DAY for back in range(41, 0, -1)]
    sightings: list[Sighting] = []
    stays = []
    for number in range(400):
        begins = rng.randrange(41)
        seen = {begins}
        while rng.random() < 0.8:
            seen.add(max(seen) + rng.choice((1, 1, 2, 7, 8, 15)))
        seen = {day for day in seen if day < 41}
        address = f"198.18.{number // 250}.{number % 250}"
        sightings += [("dnsrd", days[day] + rng.random() * DAY, address, 1, 1) for day in seen]
        last = max(seen)
        if not 27 <= last < 34:  # of 41: it left in the seven days before TODAY
            continue
        first = last
        while earlier := [day for day in seen if first - 7 <= day < first]:
            first = max(earlier)
        stays.append(last - first + 7)
    assert len(stays) > 50
    with database() as server:
        server.see(sightings)
        with server.source().snapshot() as snapshot:
            found = snapshot.stays("dnsrd", TODAY)
            assert snapshot.stays("sshclient", TODAY) == (0, 0)
        confidence.renew(tmp_path, server.source(), {"dnsrd": 400}, TODAY + HOUR)
    assert found == (len(stays), sorted(stays)[math.ceil(len(stays) / 2) - 1])
    assert confidence.load(tmp_path).stays == {"dnsrd": confidence.Stay(*found)}


def test_the_page_says_how_the_confidence_does(settings: config.Config, source: FakeSource) -> None:
    truth = Truth(3)
    days = [truth.today - back * DAY for back in range(21, 0, -1)]
    model = confidence.judged(truth.rows(days[:14]), truth.rows(days[14:]))
    stored = {
        "version": 2, "fitted": {"dnsrd": END.isoformat()}, "tried": {}, "feeds": {"dnsrd": dataclasses.asdict(model)},
        "stays": {"dnsrd": {"left": 12, "median_days": 9}},
    }  # fmt: skip
    (settings.state / confidence.FILE).write_text(json.dumps(stored), encoding="utf-8")
    source.categories["dnsrd"] = [row("198.18.0.1")]
    run(settings, source)
    one = figures(settings)["dnsrd"]
    assert one["stay"] == {"left": 12, "median_days": 9}
    assert one["confidence"] == json.loads(json.dumps(dataclasses.asdict(model)))
    page = (settings.webroot / "current/quality.html").read_text(encoding="utf-8")
    assert f"{model.brier:.4f}" in page
    assert "9 days" in page
