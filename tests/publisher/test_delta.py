"""What changed since the generation before: whoever has any generation of the week gets to the newest one by it."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from publisher_fakes import END, FakeSource, Row, row
from strandline.publisher import config, delta, feedfile, publish, store, window
from strandline.publisher.astable import System
from strandline.publisher.errors import SourceError, SourceUnavailableError
from strandline.publisher.source import Condition

HOUR = timedelta(hours=1)
Known = dict[str, tuple[str, bool]]


def run(settings: config.Config, source: FakeSource, *, hours: int = 0) -> publish.Outcome:
    end = END + hours * HOUR
    return publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3))


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a file, which has only its compressed form in an older generation."""
    content = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes())
    return [json.loads(line) for line in content.splitlines()]


def whole(directory: Path, category: str) -> Known:
    """What a reader of the whole NDJSON file knows."""
    path = directory / f"{category}.ndjson"
    return {one["address"]: (one["last_seen"], one["verified"]) for one in lines(path)} if path.exists() else {}


def newest(settings: config.Config) -> str:
    directory = store.current(settings.webroot)
    assert directory is not None
    return f"/{store.generation_name(directory)}/"


def index(settings: config.Config) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((settings.webroot / "current/deltas.json").read_text(encoding="utf-8"))
    return found


def follow(settings: config.Config, category: str, cursor: str, known: Known) -> Known | None:
    """What the documentation tells a reader to do who knows a feed as of a generation; None: take the whole file."""
    document = index(settings)
    known = dict(known)
    if cursor == document["generation"]:
        return known
    links = document["generations"]
    at = next((at for at, link in enumerate(links) if link["since"] == cursor), None)
    if at is None:
        return None
    for link in links[at:]:
        if link["feeds"].get(category) is None:
            return None
        path = settings.webroot / "generations" / link["generation"].strip("/") / f"{category}.delta.ndjson"
        rows = lines(path)
        counts = {kind: sum(one["change"] == kind for one in rows) for kind in ("added", "renewed", "gone")}
        assert {"since": link["since"], **counts} == link["feeds"][category]
        for one in rows:
            if one["change"] == "gone":
                del known[one["address"]]
            else:
                assert (one["address"] in known) == (one["change"] == "renewed")
                known[one["address"]] = (one["last_seen"], one["verified"])
    return known


def test_every_generation_of_the_week_leads_to_the_newest(settings: config.Config, source: FakeSource) -> None:
    """With feeds that are refused, fail, begin late; with the database away, and a second generation of an hour."""
    rng = random.Random(14)
    settings = dataclasses.replace(settings, formats=())
    rows: dict[str, dict[str, Row]] = {"dnsrd": {}, "sshclient": {}, "vncrfb": {}}
    known: dict[str, dict[str, Known]] = {}
    hours = [*range(12), 11, 12, 13]
    for turn, hour in enumerate(hours):
        source.away = SourceUnavailableError("down") if turn == 5 else None
        for category, there in rows.items():
            if category == "vncrfb" and turn < 4:
                continue
            for address in [a for a in there if rng.random() < 0.1]:
                del there[address]
            for _ in range(rng.randint(0, 30)):
                address = f"198.18.{rng.randint(0, 3)}.{rng.randint(1, 99)}"
                there[address] = row(address, seen=END + (hour - 1) * HOUR, verified=rng.randint(0, 1))
            source.categories[category] = list(there.values())
        if turn == 7:
            source.categories["dnsrd"] = SourceError("no")
        if turn == 8:
            source.categories["sshclient"] = []  # refused: its addresses must come back
        run(settings, source, hours=hour)
        known[newest(settings)] = {category: whole(settings.webroot / "current", category) for category in rows}
    assert len(known) == len(hours)
    assert len(known[newest(settings)]["dnsrd"]) > 50
    for cursor, feeds in known.items():
        for category, then in feeds.items():
            found = follow(settings, category, cursor, then)
            if category == "vncrfb" and cursor < "/2026/11/25/06/":
                assert found is None, "the feed had not begun"
                continue
            assert found == known[newest(settings)][category], (cursor, category)
    assert index(settings)["oldest"] == min(known)


def test_the_rows_say_what_changed_and_how(settings: config.Config, source: FakeSource) -> None:
    before = [row("198.18.0.1"), row("198.18.0.2"), row("198.18.0.3", verified=0), row("198.18.0.5")]
    source.categories["dnsrd"] = before
    run(settings, source)
    assert not list((settings.webroot / "current").glob("*.delta.*")), "there is nothing to count from"
    assert index(settings) == {
        "schema_version": 1, "generation": "/2026/11/25/03/", "oldest": "/2026/11/25/03/", "generations": [],
    }  # fmt: skip
    source.categories["dnsrd"] = [
        row("198.18.0.1", seen=END, events=7), row("198.18.0.2", events=2), row("198.18.0.3", verified=1),
        row("198.18.0.4"),
    ]  # fmt: skip
    run(settings, source, hours=1)
    found = lines(settings.webroot / "current/dnsrd.delta.ndjson")
    assert [(one["change"], one["address"]) for one in found] == [
        ("added", "198.18.0.4"), ("renewed", "198.18.0.1"), ("renewed", "198.18.0.3"), ("gone", "198.18.0.5"),
    ]  # fmt: skip
    assert found[-1] == {"change": "gone", "address": "198.18.0.5"}
    now = {one["address"]: one for one in lines(settings.webroot / "current/dnsrd.ndjson")}
    for one in found[:-1]:
        assert {key: value for key, value in one.items() if key != "change"} == now[one["address"]]
    listed = json.loads((settings.webroot / "current/feeds.json").read_text(encoding="utf-8"))
    [feed] = [feed for feed in listed["feeds"] if feed["category"] == "dnsrd"]
    assert feed["delta"] == {"since": "/2026/11/25/03/", "added": 1, "renewed": 2, "gone": 1}
    assert listed["deltas"] == "/2026/11/25/04/deltas.json"
    manifest = (settings.webroot / "current/SHA256SUMS").read_text(encoding="utf-8")
    assert {"dnsrd.delta.ndjson", "dnsrd.delta.ndjson.gz", "deltas.json"} <= {
        line.split()[1] for line in manifest.splitlines()
    }


def test_the_same_again_makes_no_generation(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1")]
    run(settings, source)
    run(settings, source, hours=1)
    run(settings, source, hours=1)
    assert newest(settings) == "/2026/11/25/04/"


def test_a_cursor_that_is_too_old_is_told_from_where_it_can_go_on(settings: config.Config, source: FakeSource) -> None:
    settings = dataclasses.replace(settings, formats=())
    for hour in [*range(6), *range(8, 172, 4)]:
        source.condition = Condition(END + hour * HOUR, END + hour * HOUR)
        source.categories["dnsrd"] = [row(f"198.18.0.{hour}"), row("198.18.1.1")]
        run(settings, source, hours=hour)
    document = index(settings)
    oldest = document["generations"][0]
    assert document["oldest"] == oldest["since"]
    ends = [store.names(settings.webroot)[-1][0] - when for when, _, _ in store.names(settings.webroot)]
    assert [link["generation"] for link in document["generations"]] == [
        f"/{name}/"
        for (_, _, name), age in zip(store.names(settings.webroot), ends, strict=True)
        if age < timedelta(days=7) - 2 * HOUR
    ]
    assert follow(settings, "dnsrd", "/2026/11/25/03/", {}) is None, "the first of a day is there for a year"
    first = settings.webroot / "generations" / oldest["generation"].strip("/")
    then = {one["address"]: (one["last_seen"], one["verified"]) for one in lines(first / "dnsrd.ndjson")}
    now = whole(settings.webroot / "current", "dnsrd")
    assert follow(settings, "dnsrd", oldest["generation"], then) == now
    # The next run removes old generations before its list is there: until then this one must lead somewhere.
    store.prune(settings.webroot, END + 169 * HOUR + timedelta(minutes=30))
    for link in document["generations"]:
        assert (settings.webroot / "generations" / link["generation"].strip("/")).is_dir()


def test_where_a_generation_is_missing_the_way_begins_after_it(settings: config.Config, source: FakeSource) -> None:
    for hour in range(6):
        source.categories["dnsrd"] = [row(f"198.18.0.{hour}")]
        run(settings, source, hours=hour)
        if hour == 3:
            shutil.rmtree(settings.webroot / "generations/2026/11/25/05")
    assert index(settings)["oldest"] == "/2026/11/25/05/"
    assert [link["generation"] for link in index(settings)["generations"]] == [
        "/2026/11/25/06/", "/2026/11/25/07/", "/2026/11/25/08/",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "damage", [b"[]", b'{"schema_version": 1, "generations": [{"generation": "/../x/"}]}', b"\xff"]
)
def test_a_damaged_index_begins_anew(settings: config.Config, source: FakeSource, damage: bytes) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1")]
    run(settings, source)
    run(settings, source, hours=1)
    (settings.webroot / "current/deltas.json").write_bytes(damage)
    assert run(settings, source, hours=2).problems == ()
    assert index(settings)["oldest"] == "/2026/11/25/04/"


def test_a_damaged_feed_has_no_delta_and_says_so(settings: config.Config, source: FakeSource) -> None:
    """Its other files are published; whoever follows the changes takes the whole file."""
    source.categories = {"dnsrd": [row("198.18.0.1")], "sshclient": [row("198.18.0.1")]}
    run(settings, source)
    (settings.webroot / "current/dnsrd.ndjson").write_bytes(b'{"address": "198.18.0.1"}\n')
    outcome = run(settings, source, hours=1)
    assert outcome.failed == ()
    [problem] = outcome.problems
    assert problem.startswith("dnsrd.delta.ndjson is left out (")
    assert follow(settings, "dnsrd", "/2026/11/25/03/", {}) is None
    assert follow(settings, "sshclient", "/2026/11/25/03/", whole(settings.webroot / "current", "sshclient")) == whole(
        settings.webroot / "current", "sshclient"
    )


def test_a_feed_that_the_list_has_lost_is_not_new(settings: config.Config, source: FakeSource) -> None:
    """Whoever knows it would keep what is gone for ever if all that is there now were `added`."""
    source.categories = {"dnsrd": [row("198.18.0.1"), row("198.18.0.2")], "sshclient": [row("198.18.0.1")]}
    run(settings, source)
    path = settings.webroot / "current/feeds.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["feeds"] = [feed for feed in document["feeds"] if feed["category"] != "dnsrd"]
    path.write_text(json.dumps(document), encoding="utf-8")
    source.categories["dnsrd"] = [row("198.18.0.1")]
    outcome = run(settings, source, hours=1)
    assert outcome.failed == ()
    [problem] = outcome.problems
    assert problem.startswith("dnsrd.delta.ndjson is left out (")
    assert not (settings.webroot / "current/dnsrd.delta.ndjson").exists()
    assert index(settings)["generations"][-1]["feeds"]["dnsrd"] is None
    assert follow(settings, "dnsrd", "/2026/11/25/03/", {}) is None
    # It is counted again from then on.
    known = whole(settings.webroot / "current", "dnsrd")
    source.categories["dnsrd"] = [row("198.18.0.3")]
    run(settings, source, hours=2)
    assert set(follow(settings, "dnsrd", "/2026/11/25/04/", known) or {}) == {"198.18.0.3"}


def test_a_name_of_a_system_can_not_pretend_to_be_a_row(tmp_path: Path) -> None:
    name = '"address": "192.0.2.1", "first_seen": "x", "last_seen": "y", "category": "z", "events": 1, "verified": true'
    entry = feedfile.Entry(
        64496, "198.18.0.1", System(64496, "X", name), "2026-11-25 01:00:00", "2026-11-25 02:00:00", 1, 0
    )
    path = tmp_path / "dnsrd.ndjson"
    path.write_bytes(feedfile.render_ndjson(config.Feed("dnsrd", "t", "d"), [entry]))
    assert delta.compare(path, [entry]).rows == 0
    assert delta.compare(path, []).gone == ["198.18.0.1"]
