"""A run: what is published, what is refused, and that nothing on the site is ever half of something."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import feed_readers as readers
import pytest
from publisher_fakes import END, FakeSource, Row, row
from strandline.publisher import config, publish, store, window
from strandline.publisher.addresses import NeverList
from strandline.publisher.errors import SourceError, SourceUnavailableError
from strandline.shared.settings import ConfigurationError


def run(settings: config.Config, source: FakeSource, *, hours: int = 0, override: bool = False) -> publish.Outcome:
    end = END + timedelta(hours=hours)
    accept = publish.Accept(drop=override)
    return publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3), accept=accept)


def site(settings: config.Config) -> Path:
    """What nginx serves."""
    return settings.webroot / "current"


def many(count: int, *, seen_days_ago: float = 1) -> list[Row]:
    return [row(f"198.18.{i // 250}.{i % 250}", seen=END - timedelta(days=seen_days_ago)) for i in range(count)]


def addresses(settings: config.Config, name: str = "dnsrd.txt") -> int:
    return len(readers.data_lines((site(settings) / name).read_text(encoding="ascii")))


def listed(settings: config.Config) -> dict[str, dict[str, Any]]:
    feeds = json.loads((site(settings) / "feeds.json").read_text(encoding="utf-8"))["feeds"]
    return {feed["category"]: feed for feed in feeds}


def test_never_listed_addresses_are_in_no_file(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [
        row(a) for a in ("198.18.0.1", "198.18.0.200", "8.8.8.8", "10.1.2.3", "1.1.1.1", "fe80::1", "::ffff:10.0.0.1")
    ]
    run(settings, source)
    assert addresses(settings) == 1
    assert len((site(settings) / "dnsrd.ndjson").read_text(encoding="utf-8").splitlines()) == 1
    assert not (site(settings) / "dnsrd-ipv6.txt").exists()
    assert listed(settings)["dnsrd"]["events"] == 1


def test_a_feed_waits_for_its_first_address(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = []
    outcome = run(settings, source)
    assert (outcome.published, outcome.failed) == ((), ())
    assert not list(site(settings).glob("dnsrd*"))
    assert listed(settings)["dnsrd"]["status"] == "none"


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        (100, 50, False),
        (100, 49, True),
        (100, 0, True),
        (20, 1, False),  # few rows may go for small reasons
        (21, 1, True),
        (1, 0, True),  # but all of them never
    ],
)
def test_an_implausible_drop_keeps_the_old_files(
    settings: config.Config,
    source: FakeSource,
    before: int,
    after: int,
    refused: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source.categories["dnsrd"] = many(before)
    run(settings, source)
    old = {path: path.read_bytes() for path in site(settings).glob("dnsrd*")}
    source.categories["dnsrd"] = many(after)
    source.categories["sshclient"] = many(3)
    outcome = run(settings, source, hours=1)
    assert outcome.failed == (("dnsrd",) if refused else ())
    assert "sshclient" in outcome.published
    if refused:
        kept = {path: path.read_bytes() for path in site(settings).glob("dnsrd*")}
        assert {path: content for path, content in kept.items() if ".delta." not in path.name} == old
        assert "the published files stay" in caplog.text
        assert (listed(settings)["dnsrd"]["status"], listed(settings)["dnsrd"]["addresses"]) == ("kept", before)
        assert "out of date" in (site(settings) / "index.html").read_text(encoding="utf-8")
        assert run(settings, source, hours=1, override=True).failed == ()
    assert addresses(settings) == after
    assert listed(settings)["dnsrd"]["status"] == "published"


def test_rows_that_leave_by_age_are_no_drop(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [*many(100, seen_days_ago=6.99), row("192.0.2.1", seen=END - timedelta(hours=2))]
    run(settings, source)
    assert addresses(settings) == 101
    source.categories["dnsrd"] = [row("192.0.2.1", seen=END - timedelta(hours=2))]
    assert run(settings, source, hours=2).failed == ()
    assert addresses(settings) == 1
    # And when the last one has left: a whole file that says so, and no stale one.
    source.categories["dnsrd"] = []
    assert run(settings, source, hours=8 * 24).failed == ()
    text = (site(settings) / "dnsrd.txt").read_text(encoding="ascii")
    assert text.endswith("#\n# Statistics\n#        ASNs: 0\n#   Addresses: 0\n")


def test_rows_that_became_unpublishable_are_no_drop(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = many(100)
    run(settings, source)
    closed = dataclasses.replace(settings, never=NeverList())
    assert run(closed, source, hours=1).failed == ()
    assert addresses(settings) == 0


def test_a_damaged_published_file_is_replaced(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = many(30)
    run(settings, source)
    (site(settings) / "dnsrd.txt").write_bytes(b"\xff half a file")
    source.categories["dnsrd"] = many(3)
    assert run(settings, source, hours=1).failed == ()
    assert addresses(settings) == 3


def test_a_damaged_list_is_made_anew_from_the_files(settings: config.Config, source: FakeSource) -> None:
    """Also while the database is away: the site never says that nothing was seen when there are files."""
    source.categories = {feed.category: [*many(5), row("2001:db8::1", verified=0)] for feed in settings.feeds}
    run(settings, source)
    before = listed(settings)
    for damage in ("", '{"feeds": [{"category": 3}]}', "[]", '{"feeds": 7'):
        (site(settings) / "feeds.json").write_text(damage, encoding="utf-8")
        source.away = SourceUnavailableError("down")
        assert run(settings, source, hours=1).source_unavailable
        for category, feed in listed(settings).items():
            assert feed["status"] == "kept"
            for key in ("addresses", "addresses_ipv6", "events", "asns", "unproven", "window_start", "window_end"):
                assert feed[key] == before[category][key], (category, key)
            assert {(f["name"], f["sha256"], f["rows"]) for f in feed["files"] if f["format"] != "delta"} == {
                (f["name"], f["sha256"], f["rows"]) for f in before[category]["files"]
            }


@pytest.mark.parametrize("error", [SourceError("no"), RuntimeError("bug")])
def test_a_category_that_fails_stops_no_other(settings: config.Config, source: FakeSource, error: Exception) -> None:
    source.categories = {feed.category: many(2) for feed in settings.feeds}
    run(settings, source)
    source.categories["sipquery"] = error
    source.categories["sshpwauth"] = [row("not an address")]
    outcome = run(settings, source, hours=1)
    assert set(outcome.failed) == {"sipquery", "sshpwauth"}
    assert set(outcome.published) == {feed.category for feed in settings.feeds} - {"sipquery", "sshpwauth"}
    assert not outcome.source_unavailable
    assert addresses(settings, "sipquery.txt") == 2


def test_while_the_database_is_away_each_feed_keeps_its_own_window(settings: config.Config, source: FakeSource) -> None:
    source.categories = {feed.category: many(2) for feed in settings.feeds}
    run(settings, source)
    before = listed(settings)
    content = (site(settings) / "dnsrd.txt").read_bytes()
    source.away = SourceUnavailableError("down")
    outcome = run(settings, source, hours=1)
    assert outcome.source_unavailable
    assert len(outcome.failed) == len(settings.feeds)
    assert (site(settings) / "dnsrd.txt").read_bytes() == content
    for category, feed in listed(settings).items():
        assert feed["status"] == "kept"
        assert (feed["window_end"], feed["updated"]) == (before[category]["window_end"], before[category]["updated"])
    # A try half a minute later has nothing new to say.
    kept = os.readlink(site(settings))
    run(settings, source, hours=1)
    assert os.readlink(site(settings)) == kept


def test_a_database_that_goes_away_in_the_middle_gives_no_feed(settings: config.Config, source: FakeSource) -> None:
    """All feeds are of one moment: three new ones beside fourteen old ones are not."""
    source.categories = {feed.category: many(2) for feed in settings.feeds}
    run(settings, source)
    before = {feed["window_end"] for feed in listed(settings).values()}
    source.categories[settings.feeds[3].category] = SourceUnavailableError("server closed the connection")
    outcome = run(settings, source, hours=1)
    assert (outcome.published, outcome.source_unavailable) == ((), True)
    assert {feed["window_end"] for feed in listed(settings).values()} == before


def test_wrong_settings_change_nothing(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = many(3)
    settings = dataclasses.replace(settings, network=dataclasses.replace(settings.network, licence="ask 192.0.2.1"))
    with pytest.raises(ConfigurationError):
        run(settings, source)
    assert not list(settings.webroot.iterdir())


def test_a_feed_that_is_no_longer_defined_goes(settings: config.Config, source: FakeSource) -> None:
    source.categories = {"dnsrd": [*many(2), row("2001:db8::1")], "sshclient": many(2)}
    run(settings, source)
    fewer = dataclasses.replace(settings, feeds=tuple(f for f in settings.feeds if f.category != "dnsrd"))
    run(fewer, source, hours=1)
    assert sorted(path.name for path in site(settings).iterdir() if path.suffix == ".txt") == [
        "robots.txt", "sshclient.txt",
    ]  # fmt: skip
    assert not list(site(settings).glob("dnsrd*"))


def test_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        store.lock(tmp_path / "lock", timeout=0),
        pytest.raises(TimeoutError, match="another run"),
        store.lock(tmp_path / "lock", timeout=0.3),
    ):
        pass


class Page(HTMLParser):
    """Collects what a browser would fetch or follow, and the elements' names."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]


def test_the_index_page(settings: config.Config, source: FakeSource) -> None:
    evil = dataclasses.replace(
        settings,
        network=dataclasses.replace(settings.network, name="<script>alert(1)</script>", url="javascript:alert(1)"),
        feeds=(dataclasses.replace(settings.feeds[0], title='"><img src=x>'), *settings.feeds[1:]),
    )
    source.categories = {"dnsrd": [*many(1234), row("2001:db8::1")], "sshclient": many(2)}
    run(evil, source)
    text = (site(settings) / "index.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert not {"script", "img", "iframe"} & set(page.tags)
    assert {"html", "main", "caption", "table"} <= set(page.tags)
    for link in page.links:
        local = settings.webroot / "generations" / link[1:] if link.startswith("/") else site(settings) / link
        assert link.startswith(("mailto:", "https://")) or local.exists(), link
    assert "dnsrd-ipv6.txt.sha256" in page.links
    assert "1,234" in text
    assert "nothing seen yet" in text


def test_the_list_for_programs(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [*many(3), row("2001:db8::1", events=7)]
    run(settings, source)
    feed = listed(settings)["dnsrd"]
    assert (feed["addresses"], feed["addresses_ipv6"], feed["events"], feed["asns"]) == (3, 1, 10, 2)
    assert (feed["window_start"], feed["window_end"]) == ("2026-11-18T03:00:00Z", "2026-11-25T03:00:00Z")
    assert isinstance(feed["files"], list)
    assert [(file["name"], file["format"], file["rows"]) for file in feed["files"]] == [
        ("dnsrd.txt", "text-ipv4", 3), ("dnsrd-ipv6.txt", "text-ipv6", 1), ("dnsrd.ndjson", "ndjson", 4),
        ("dnsrd.csv", "csv", 4), ("dnsrd.list", "list-ipv4", 3), ("dnsrd-ipv6.list", "list-ipv6", 1),
        ("dnsrd.cidr", "cidr-ipv4", 2), ("dnsrd-ipv6.cidr", "cidr-ipv6", 1),
        ("dnsrd.nft", "nftables", 4), ("dnsrd.ipset", "ipset", 4), ("dnsrd.rpz", "rpz", 4),
        ("dnsrd.ip4set", "dnsbl-ip4set", 3), ("dnsrd.ip6trie", "dnsbl-ip6trie", 1),
    ]  # fmt: skip
