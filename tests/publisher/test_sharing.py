"""The files for MISP and STIX: what they say, when they are renewed, and what their own readers find in them."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import ipaddress
import json
import os
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import client_venv
import jsonschema
import pytest
from publisher_fakes import END, FakeSource, every_feed, row
from strandline.publisher import config, limits, publish, sharing, site, store, window
from strandline.publisher.addresses import NeverList
from strandline.publisher.errors import SourceError, SourceUnavailableError
from strandline.shared.settings import ConfigurationError

MIDNIGHT = 21  # hours after END
SOURCES = [row("198.18.0.1", events=7), row("198.18.0.2", verified=0), row("198.18.0.3"), row("2001:db8::5")]


@pytest.fixture
def settings(settings: config.Config) -> config.Config:
    return dataclasses.replace(settings, sharing=limits.Sharing(limits.SHARING_NAMES))


def run(settings: config.Config, source: FakeSource, *, hours: int = 0) -> dict[str, Any]:
    """Publish, and return the list that came of it."""
    end = END + timedelta(hours=hours)
    publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3))
    current = settings.webroot / "current"
    store.check(current)
    document: dict[str, Any] = json.loads((current / "feeds.json").read_text(encoding="utf-8"))
    jsonschema.validate(document, json.loads((current / "feeds.schema.json").read_text(encoding="utf-8")))
    for one in document["sharing"]:
        for file in one["files"]:
            content = (current / file["name"]).read_bytes()
            assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
            assert (current / f"{file['name']}.gz").exists()
    return document


def files(settings: config.Config) -> Iterator[Path]:
    for name in limits.SHARING_NAMES:
        found = (settings.webroot / "current" / name).glob("*")
        yield from sorted(path for path in found if path.suffix in (".json", ".csv"))


def inodes(settings: config.Config) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in files(settings)}


def bundle(settings: config.Config, category: str) -> list[dict[str, Any]]:
    """The indicators of a feed."""
    document = json.loads((settings.webroot / "current" / "stix" / f"{category}.json").read_text(encoding="utf-8"))
    return [one for one in document["objects"] if one["type"] == "indicator"]


def events(settings: config.Config) -> dict[str, dict[str, Any]]:
    """The events that the manifest names, by the feed in their title."""
    folder = settings.webroot / "current" / "misp"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    found = {}
    for name, about in manifest.items():
        event = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["Event"]
        assert {key: event[key] for key in about} == about
        found[about["info"].partition(", ")[2].partition(":")[0]] = event
    return found


def addresses(settings: config.Config, category: str) -> list[str]:
    """What a feed's two files name, which must be the same."""
    stix = [one["name"] for one in bundle(settings, category)]
    assert [one["value"] for one in events(settings)[category]["Attribute"]] == stix
    return sorted(stix)


def test_proven_sources_are_shared_and_no_other(settings: config.Config, source: FakeSource) -> None:
    source.categories = {"sshclient": [*SOURCES, row("8.8.8.8")], "dnsrd": [row("198.18.0.9", verified=0)]}
    document = run(settings, source)
    assert addresses(settings, "sshclient") == ["198.18.0.1", "198.18.0.3", "2001:db8::5"]
    assert list(events(settings)) == ["sshclient"], "a feed without a proven source waits for the first"
    assert [(one["name"], one["rows"], one["problems"]) for one in document["sharing"]] == [
        ("misp", 3, []), ("stix", 3, []),
    ]  # fmt: skip
    (first, *_) = sorted(bundle(settings, "sshclient"), key=lambda one: str(one["name"]))
    assert first["pattern"] == "[ipv4-addr:value = '198.18.0.1']"
    assert (first["valid_from"], first["valid_until"]) == ("2026-11-25T01:55:00Z", "2026-12-02T02:00:00Z")
    assert "confidence" not in first
    page = (settings.webroot / "current" / "index.html").read_text(encoding="utf-8")
    assert 'href="misp/manifest.json"' in page
    assert 'href="stix/sshclient.json"' in page
    text = (settings.webroot / "current" / "misp" / "hashes.csv").read_text(encoding="ascii")
    event = events(settings)["sshclient"]
    assert list(csv.reader(io.StringIO(text))) == [
        [hashlib.md5(one["value"].encode(), usedforsecurity=False).hexdigest(), event["uuid"]]
        for one in event["Attribute"]
    ]


def test_confidence_and_its_end_are_taken_over(settings: config.Config, tmp_path: Path) -> None:
    """As a line of the NDJSON file has them; an end before the beginning, which STIX forbids, is not."""
    with store.Builder(settings.webroot) as builder:
        line = {
            "address": "198.18.0.1", "verified": True, "events": 4, "first_seen": "2026-11-20T00:00:00Z",
            "last_seen": "2026-11-24T00:00:00Z", "confidence": 0.876, "valid_until": "2026-11-26T00:00:00Z",
        }  # fmt: skip
        lines = [line, {**line, "address": "198.18.0.2", "confidence": None, "valid_until": "2026-11-20T00:00:00Z"}]
        (builder.directory / "sshclient.ndjson").write_text("".join(f"{json.dumps(one)}\n" for one in lines))
        edition = sharing.Edition(settings, END, builder, None)
        [feed] = [feed for feed in settings.feeds if feed.category == "sshclient"]
        found = list(edition.indicators(feed))
        assert [(one.confidence, one.valid_until) for one in found] == [
            (0.876, "2026-11-26T00:00:00Z"), (None, "2026-12-01T00:00:00Z"),
        ]  # fmt: skip
        [file] = sharing.Stix(edition).add(feed)
        objects = json.loads((builder.directory / file.name).read_bytes())["objects"]
        assert [one.get("confidence") for one in objects] == [None, 88, None]


def test_they_are_renewed_after_midnight_and_the_same_file_until_then(
    settings: config.Config, source: FakeSource
) -> None:
    source.categories["sshclient"] = SOURCES
    document = run(settings, source)
    assert {one["next_update"] for one in document["sharing"]} == {"2026-11-26T00:00:00Z"}
    before = inodes(settings)
    seen = {one["name"]: (one["id"], one["created"]) for one in bundle(settings, "sshclient")}
    attributes = {one["value"]: one["uuid"] for one in events(settings)["sshclient"]["Attribute"]}
    event = events(settings)["sshclient"]["uuid"]
    source.categories["sshclient"] = [*SOURCES, row("198.18.0.4", seen=END + timedelta(minutes=1))]
    assert run(settings, source, hours=1)["sharing"][0]["written"] == "2026-11-25T03:00:00Z"
    assert run(settings, source, hours=MIDNIGHT - 1)["generation"] == "/2026/11/25/23/"
    assert inodes(settings) == before

    document = run(settings, source, hours=MIDNIGHT)
    assert {one["written"] for one in document["sharing"]} == {"2026-11-26T00:00:00Z"}
    assert "198.18.0.4" in addresses(settings, "sshclient")
    again = {one["name"]: (one["id"], one["created"]) for one in bundle(settings, "sshclient")}
    assert {address: again[address] for address in seen} == seen
    assert events(settings)["sshclient"]["uuid"] == event
    found = {one["value"]: one["uuid"] for one in events(settings)["sshclient"]["Attribute"]}
    assert {address: found[address] for address in attributes} == attributes
    assert all(one["modified"] == "2026-11-26T00:00:00.000Z" for one in bundle(settings, "sshclient"))
    assert events(settings)["sshclient"]["timestamp"] == str(int((END + timedelta(hours=MIDNIGHT)).timestamp()))


def test_a_young_network_does_not_wait_for_midnight(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [row("198.18.0.9", verified=0)]
    assert [one["rows"] for one in run(settings, source)["sharing"]] == [0, 0]
    assert events(settings) == {}
    source.categories["sshclient"] = SOURCES
    assert [one["rows"] for one in run(settings, source, hours=1)["sharing"]] == [3, 3]
    assert len(addresses(settings, "sshclient")) == 3


def test_every_hour_is_possible(settings: config.Config, source: FakeSource) -> None:
    hourly = dataclasses.replace(settings, sharing=limits.Sharing(("stix",), 1))
    source.categories["sshclient"] = SOURCES
    for hours in (0, 1):
        [one] = run(hourly, source, hours=hours)["sharing"]
        assert (one["name"], one["written"]) == ("stix", f"2026-11-25T0{3 + hours}:00:00Z")


def test_identifiers_differ_by_feed_address_and_network(settings: config.Config, source: FakeSource) -> None:
    source.categories = {"sshclient": SOURCES, "sshpwauth": SOURCES}
    run(settings, source)
    found = [one["id"].partition("--")[2] for feed in ("sshclient", "sshpwauth") for one in bundle(settings, feed)]
    for event in events(settings).values():
        found += [event["uuid"], *(one["uuid"] for one in event["Attribute"])]
    assert len(set(found)) == len(found) == 14
    assert all(uuid.UUID(one).version == 5 for one in found)
    other = dataclasses.replace(settings, network=dataclasses.replace(settings.network, url="https://other.example/"))
    run(other, source, hours=1)
    assert not {one["id"].partition("--")[2] for one in bundle(other, "sshclient")} & set(found)


def test_who_asked_to_be_taken_out_is_out_with_the_next_publication(
    settings: config.Config, source: FakeSource
) -> None:
    source.categories["sshclient"] = SOURCES
    run(settings, source)
    opened = [ipaddress.ip_network(text) for text in ("198.18.0.0/15", "2001:db8::/32")]
    never = NeverList(listed=[ipaddress.ip_network("198.18.0.1")], publish_ranges=opened)
    delisted = dataclasses.replace(settings, never=never)
    document = run(delisted, source, hours=1)
    assert {one["written"] for one in document["sharing"]} == {"2026-11-25T04:00:00Z"}
    assert addresses(settings, "sshclient") == ["198.18.0.3", "2001:db8::5"]
    assert not [path for path in files(settings) if "198.18.0.1" in path.read_text(encoding="utf-8")]
    # Also while the feed, or all of them, can only be kept as it is.
    never = NeverList(listed=[ipaddress.ip_network("198.18.0.3")], publish_ranges=opened)
    source.away = SourceUnavailableError("down")
    run(dataclasses.replace(settings, never=never), source, hours=2)
    assert addresses(settings, "sshclient") == ["2001:db8::5"]


def test_a_feed_that_fails_at_midnight_is_shared_as_it_was(settings: config.Config, source: FakeSource) -> None:
    source.categories = {"sshclient": SOURCES, "sshpwauth": SOURCES}
    run(settings, source)
    source.categories["sshpwauth"] = SourceError("canceling statement due to statement timeout")
    run(settings, source, hours=MIDNIGHT)
    assert addresses(settings, "sshpwauth") == ["198.18.0.1", "198.18.0.3", "2001:db8::5"]


def test_while_the_database_is_away_they_stay(settings: config.Config, source: FakeSource) -> None:
    source.categories["sshclient"] = SOURCES
    run(settings, source)
    before = inodes(settings)
    source.away = SourceUnavailableError("down")
    run(settings, source, hours=MIDNIGHT)
    assert inodes(settings) == before
    source.away = None
    assert run(settings, source, hours=MIDNIGHT + 1)["sharing"][0]["written"] == "2026-11-26T01:00:00Z"


def test_the_last_proven_source_leaves_files_that_say_so(settings: config.Config, source: FakeSource) -> None:
    source.categories["sshclient"] = [row("198.18.0.1"), row("198.18.0.2", verified=0)]
    run(settings, source)
    late = END + timedelta(days=7)
    source.categories["sshclient"] = [row("198.18.0.2", seen=late, verified=0)]
    run(settings, source, hours=24 * 7 + 1)
    assert addresses(settings, "sshclient") == []


def test_a_writer_that_hangs_holds_nothing_up(
    settings: config.Config, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hangs(*_: object) -> Iterator[str]:
        yield "some of it" * 10_000
        while True:
            time.sleep(0.01)

    source.categories["sshclient"] = SOURCES
    monkeypatch.setattr(sharing, "SECONDS", 6.0)
    monkeypatch.setattr(sharing.Stix, "_bundle", hangs)
    document = run(settings, source)
    assert [feed["status"] for feed in document["feeds"] if feed["category"] == "sshclient"] == ["published"]
    assert [problem for problem in document["problems"] if "STIX 2.1 of sshclient is left out" in problem]
    assert not list((settings.webroot / "current" / "stix").glob("sshclient*"))
    assert list(events(settings)) == ["sshclient"]
    monkeypatch.undo()
    document = run(settings, source, hours=1)
    assert document["problems"] == [], "the next run tries again"
    assert addresses(settings, "sshclient") == ["198.18.0.1", "198.18.0.3", "2001:db8::5"]


def test_a_full_disk_keeps_no_feed_back(
    settings: config.Config, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is large is tried last, and what there is of it goes."""

    def full(*_: object) -> Iterator[str]:
        yield "some of it" * 10_000
        raise OSError(28, "No space left on device")

    source.categories["sshclient"] = SOURCES
    monkeypatch.setattr(sharing.Misp, "_event", full)
    document = run(settings, source)
    assert "No space left on device" in document["problems"][0]
    assert events(settings) == {}
    assert len(bundle(settings, "sshclient")) == 3
    assert not [path for path in files(settings) if "some of it" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"key": 1}', '{"key": "KEY", "shared": [{"name": 3}]}'])
def test_a_damaged_memory_is_no_harm(settings: config.Config, source: FakeSource, damage: str) -> None:
    source.categories["sshclient"] = SOURCES
    run(settings, source)
    memory = settings.state / "sharing.json"
    memory.write_text(damage.replace("KEY", json.loads(memory.read_text())["key"]))
    assert run(settings, source, hours=1)["sharing"][0]["written"] == "2026-11-25T04:00:00Z"
    assert len(addresses(settings, "sshclient")) == 3


def test_a_damaged_file_is_written_anew(settings: config.Config, source: FakeSource) -> None:
    source.categories["sshclient"] = SOURCES
    run(settings, source)
    for path in files(settings):
        path.write_bytes(b"?")
    run(settings, source, hours=1)
    assert len(addresses(settings, "sshclient")) == 3


def test_what_is_not_wanted_any_more_goes(settings: config.Config, source: FakeSource) -> None:
    source.categories["sshclient"] = SOURCES
    run(settings, source)
    assert run(dataclasses.replace(settings, sharing=limits.Sharing()), source, hours=1)["sharing"] == []
    assert not list(files(settings))
    before = os.readlink(settings.webroot / "current")
    run(dataclasses.replace(settings, sharing=limits.Sharing()), source, hours=1)
    assert os.readlink(settings.webroot / "current") == before


@pytest.mark.parametrize(
    "wanted", [{"formats": ["taxii"]}, {"formats": "misp"}, {"formats": ["misp"], "hours": 5}, {"hours": 0}, []]
)
def test_unknown_wishes_are_refused(settings: config.Config, tmp_path: Path, wanted: object) -> None:
    never = tmp_path / "never.txt"
    never.touch()
    path = tmp_path / "publisher.yml"
    document = {
        "network": dataclasses.asdict(settings.network), "feeds": str(every_feed(tmp_path)),
        "webroot": str(settings.webroot), "state": str(settings.state), "asn_table": str(settings.asn_table),
        "never_publish": str(never), "guard": {}, "database": {},
    }  # fmt: skip
    path.write_text(json.dumps({**document, "sharing": wanted}), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"sharing|hours|formats"):
        config.load(path)
    path.write_text(json.dumps({**document, "sharing": {"formats": ["stix", "stix"], "hours": 6}}), encoding="utf-8")
    assert config.load(path).sharing == limits.Sharing(("stix",), 6)


def test_the_settings_know_the_writers_that_there_are() -> None:
    assert tuple(sharing.WRITERS) == limits.SHARING_NAMES
    assert {field.name for field in dataclasses.fields(site.Shared)} >= {"written", "next_update"}


@pytest.mark.slow
def test_stix2_and_pymisp_read_what_was_written(everyday: config.Config, source: FakeSource) -> None:
    """Twice, on two days: the same identifiers, valid patterns, and as many sources as the list says."""
    everyday = dataclasses.replace(
        everyday,
        sharing=limits.Sharing(limits.SHARING_NAMES),
        network=dataclasses.replace(everyday.network, name='Näme "quoted" \\ <b>', tagline="línea\t'x'"),
    )
    found = []
    for hours in (0, MIDNIGHT):
        document = run(everyday, source, hours=hours)
        result = client_venv.run("sharing", "sharing_check.py", everyday.webroot / "current")
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
        found.append(json.loads(result.stdout))
        rows = {one["name"]: one["rows"] for one in document["sharing"]}
        assert {name: sum(map(len, found[-1][name].values())) for name in rows} == rows
    assert found[0] == found[1]
    assert found[0]["misp"].keys() == found[0]["stix"].keys() == {feed.category for feed in everyday.feeds}
    for category, identifiers in found[0]["stix"].items():
        assert sorted(identifiers) == sorted(found[0]["misp"][category])
