"""A run: what is published, what is refused, and that nothing on the site is ever half of something."""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import feed_readers as readers
import pytest
from publisher_fakes import END, FakeSource, row
from strandline_publisher import config, publish, store, window
from strandline_publisher.addresses import NeverList
from strandline_publisher.errors import ConfigurationError, SourceError, SourceUnavailableError
from strandline_publisher.source import Row


def run(settings: config.Config, source: FakeSource, *, hours: int = 0, override: bool = False) -> publish.Outcome:
    end = END + timedelta(hours=hours)
    return publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3), override=override)


def many(count: int, *, seen_days_ago: float = 1) -> list[Row]:
    return [row(f"198.18.{i // 250}.{i % 250}", seen=END - timedelta(days=seen_days_ago)) for i in range(count)]


def addresses(settings: config.Config, name: str = "dnsrd.txt") -> int:
    return len(readers.data_lines((settings.webroot / name).read_text(encoding="ascii")))


def listed(settings: config.Config) -> dict[str, dict[str, object]]:
    feeds = json.loads((settings.webroot / "feeds.json").read_text(encoding="utf-8"))["feeds"]
    return {feed["category"]: feed for feed in feeds}


def test_never_listed_addresses_are_in_no_file(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [
        row(a) for a in ("198.18.0.1", "198.18.0.200", "8.8.8.8", "10.1.2.3", "1.1.1.1", "fe80::1", "::ffff:10.0.0.1")
    ]
    run(settings, source)
    assert addresses(settings) == 1
    assert len((settings.webroot / "dnsrd.ndjson").read_text(encoding="utf-8").splitlines()) == 1
    assert not (settings.webroot / "dnsrd-ipv6.txt").exists()
    assert listed(settings)["dnsrd"]["events"] == 1


def test_a_feed_waits_for_its_first_address(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = []
    outcome = run(settings, source)
    assert (outcome.published, outcome.failed) == ((), ())
    assert not list(settings.webroot.glob("dnsrd*"))
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
    old = {path: path.read_bytes() for path in settings.webroot.glob("dnsrd*")}
    source.categories["dnsrd"] = many(after)
    source.categories["sshclient"] = many(3)
    outcome = run(settings, source, hours=1)
    assert outcome.failed == (("dnsrd",) if refused else ())
    assert "sshclient" in outcome.published
    if refused:
        assert {path: path.read_bytes() for path in settings.webroot.glob("dnsrd*")} == old
        assert "the published files stay" in caplog.text
        assert (listed(settings)["dnsrd"]["status"], listed(settings)["dnsrd"]["addresses"]) == ("kept", before)
        assert "out of date" in (settings.webroot / "index.html").read_text(encoding="utf-8")
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
    text = (settings.webroot / "dnsrd.txt").read_text(encoding="ascii")
    assert text.endswith("#\n# Statistics\n#        ASNs: 0\n#   Addresses: 0\n")


def test_rows_that_became_unpublishable_are_no_drop(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = many(100)
    run(settings, source)
    closed = dataclasses.replace(settings, never=NeverList())
    assert run(closed, source, hours=1).failed == ()
    assert addresses(settings) == 0


def test_a_damaged_published_file_is_replaced(settings: config.Config, source: FakeSource) -> None:
    (settings.webroot / "dnsrd.txt").write_bytes(b"\xff half a file")
    (settings.webroot / "feeds.json").write_text('{"feeds": [{"category": 3}]}', encoding="utf-8")
    source.categories["dnsrd"] = many(3)
    assert run(settings, source).failed == ()
    assert addresses(settings) == 3


@pytest.mark.parametrize("error", [SourceError("no"), RuntimeError("bug"), OSError("disk")])
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


def test_a_database_that_is_down_is_asked_once(settings: config.Config, source: FakeSource) -> None:
    source.categories = {feed.category: many(2) for feed in settings.feeds}
    run(settings, source)
    before = (settings.webroot / "dnsrd.txt").read_bytes()
    source.categories = {settings.feeds[0].category: SourceUnavailableError("down")}
    outcome = run(settings, source, hours=1)
    assert outcome.source_unavailable
    assert len(outcome.failed) == len(settings.feeds)
    assert (settings.webroot / "dnsrd.txt").read_bytes() == before


def test_wrong_settings_change_nothing(settings: config.Config, source: FakeSource) -> None:
    settings.asn_table.write_text("rubbish\n", encoding="utf-8")
    source.categories["dnsrd"] = many(3)
    with pytest.raises(ConfigurationError):
        run(settings, source)
    assert not list(settings.webroot.iterdir())


def test_a_feed_that_is_no_longer_defined_goes(settings: config.Config, source: FakeSource) -> None:
    source.categories = {"dnsrd": [*many(2), row("2001:db8::1")], "sshclient": many(2)}
    run(settings, source)
    (settings.webroot / "operators-own.txt").write_text("stays", encoding="utf-8")
    fewer = dataclasses.replace(settings, feeds=tuple(f for f in settings.feeds if f.category != "dnsrd"))
    run(fewer, source, hours=1)
    assert sorted(path.name for path in settings.webroot.iterdir() if path.suffix == ".txt") == [
        "operators-own.txt", "robots.txt", "sshclient.txt",
    ]  # fmt: skip
    assert not list(settings.webroot.glob("dnsrd*"))


def test_the_same_again_leaves_the_files_alone(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = many(3)
    run(settings, source)
    before = {path: path.stat() for path in settings.webroot.iterdir()}
    run(settings, source)
    assert {path: path.stat().st_ino for path in before} == {path: stat.st_ino for path, stat in before.items()}


def test_a_write_that_fails_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write_files(tmp_path, {"a.txt": b"old", "b.txt": b"old"})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    synced = os.fsync
    calls = iter(range(100))

    def full(descriptor: int) -> None:
        if next(calls) == 5:
            raise OSError(28, "No space left on device")
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write_files(tmp_path, {"a.txt": b"new", "b.txt": b"new"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_files_are_complete_before_they_are_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: events.append("sync"))
    rename = Path.rename

    def renamed(self: Path, target: Path) -> Path:
        events.append("rename")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renamed)
    store.write_files(tmp_path, {"a.txt": b"content"})
    assert events == ["sync"] * 4 + ["rename"] * 4 + ["sync"]
    assert gzip.decompress((tmp_path / "a.txt.gz").read_bytes()) == b"content"
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}


def test_leftovers_of_a_killed_run_go(settings: config.Config, source: FakeSource) -> None:
    (settings.webroot / ".dnsrd.txt.new").write_bytes(b"half")
    run(settings, source)
    assert not list(settings.webroot.glob(".*"))


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
    text = (settings.webroot / "index.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert not {"script", "img", "iframe"} & set(page.tags)
    assert {"html", "main", "caption", "table"} <= set(page.tags)
    for link in page.links:
        assert link.startswith(("mailto:", "https://")) or (settings.webroot / link).exists(), link
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
    ]  # fmt: skip
