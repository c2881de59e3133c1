"""The look-up's files: each address in the file that its name leads to, with what every feed says of it."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from pathlib import Path

import pytest
from publisher_fakes import END, FakeSource, row
from strandline.publisher import addresses, config, lookup, publish, store, window
from strandline.publisher.errors import SourceError

EVERYWHERE = [addresses.parse_network(text) for text in ("0.0.0.0/0", "::/0")]


def run(settings: config.Config, source: FakeSource, *, hours: int = 0) -> publish.Outcome:
    end = END + timedelta(hours=hours)
    return publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3))


def files(settings: config.Config) -> dict[str, list[str]]:
    """Of each file the addresses with their feed."""
    return {
        path.name: [f"{row['address']} {row['category']}" for row in map(json.loads, path.read_text().splitlines())]
        for path in (settings.webroot / "current" / "lookup").glob("*.ndjson")
    }


def test_every_feeds_lines_are_in_the_file_of_the_address(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1"), row("192.0.2.9"), row("2001:db8::7")]
    source.categories["sipquery"] = [row("198.18.0.1", verified=0)]
    assert run(settings, source).problems == ()
    assert files(settings) == {
        "198.ndjson": ["198.18.0.1 dnsrd", "198.18.0.1 sipquery"],
        "192.ndjson": ["192.0.2.9 dnsrd"],
        "v6-20.ndjson": ["2001:db8::7 dnsrd"],
    }
    current = settings.webroot / "current"
    store.check(current)
    line = (current / "lookup" / "192.ndjson").read_text()
    assert line in (current / "dnsrd.ndjson").read_text()
    assert (current / "lookup" / "192.ndjson.gz").is_file()

    # An hour later: what has not changed is the same file, and a feed that can't be read keeps its lines.
    inode = (current / "lookup" / "192.ndjson").stat().st_ino
    source.categories["sipquery"] = SourceError("too slow")
    source.categories["dnsrd"] = [row("198.18.0.2"), row("192.0.2.9"), row("2001:db8::8")]
    run(settings, source, hours=1)
    assert files(settings) == {
        "198.ndjson": ["198.18.0.2 dnsrd", "198.18.0.1 sipquery"],
        "192.ndjson": ["192.0.2.9 dnsrd"],
        "v6-20.ndjson": ["2001:db8::8 dnsrd"],
    }
    assert (current / "lookup" / "192.ndjson").stat().st_ino == inode


def test_a_kept_file_that_is_damaged_costs_the_look_up_and_nothing_else(
    settings: config.Config, source: FakeSource
) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1")]
    source.categories["sipquery"] = [row("198.18.0.1")]
    run(settings, source)
    (settings.webroot / "current" / "sipquery.ndjson").write_text('{"address": "../../etc/passwd"}\n')
    source.categories["sipquery"] = SourceError("too slow")
    outcome = run(settings, source, hours=1)
    assert "dnsrd" in outcome.published
    assert (
        "the look-up of addresses is left out (sipquery.ndjson: '../../etc/passwd' is no address)" in outcome.problems
    )
    assert files(settings) == {}
    assert json.loads((settings.webroot / "current" / "feeds.json").read_text())["lookup"] is None


def test_an_address_that_is_not_published_any_more_is_not_found_either(
    settings: config.Config, source: FakeSource
) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1"), row("198.18.0.2")]
    run(settings, source)
    source.categories["dnsrd"] = SourceError("too slow")
    listed = addresses.parse_network("198.18.0.1")
    never = addresses.NeverList(listed=[listed], publish_ranges=[addresses.parse_network("198.18.0.0/15")])
    run(dataclasses.replace(settings, never=never), source, hours=1)
    assert files(settings) == {"198.ndjson": ["198.18.0.2 dnsrd"]}


def test_an_old_generations_files_are_thinned_as_the_others(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1")]
    for hours in (0, 5):
        run(settings, source, hours=hours)
    store.prune(settings.webroot, END + timedelta(hours=5, minutes=3))
    old = settings.webroot / "generations/2026/11/25/03/lookup"
    assert [path.name for path in old.iterdir()] == ["198.ndjson.gz"]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("1.2.3.4", "1"),
        ("198.18.0.1", "198"),
        ("2001:db8::7", "v6-20"),
        ("2a00::1", "v6-2a"),
        ("::7", "v6-00"),
        ("64:ff9b::1", "v6-00"),
    ],
)
def test_names(address: str, name: str, tmp_path: Path) -> None:
    assert lookup.shard(address) == name
    path = tmp_path / "feed.ndjson"
    path.write_text(json.dumps({"asn": None, "name": 'x "address": y', "address": address}) + "\n")
    assert list(lookup.gather([path], addresses.NeverList(publish_ranges=EVERYWHERE))) == [name]
