"""News of the site's state: one entry when something has changed, none while all stays as it is."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from publisher_fakes import END, FakeSource, row
from strandline.publisher import changes, config, publish, window
from strandline.publisher.errors import SourceError

ATOM = "{http://www.w3.org/2005/Atom}"


def run(settings: config.Config, source: FakeSource, hours: int) -> list[tuple[str, str, str]]:
    """Publish; return title, time and text of each entry."""
    end = END + timedelta(hours=hours)
    publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3))
    root = Xml.parse(settings.webroot / "current" / "status.atom").getroot()  # noqa: S314 - ours
    entries = root.findall(f"{ATOM}entry")
    assert root.findtext(f"{ATOM}updated") == entries[0].findtext(f"{ATOM}updated")
    ids = [entry.findtext(f"{ATOM}id") or "" for entry in entries]
    assert len(set(ids)) == len(ids)
    assert all(one.startswith("https://feeds.example.net/2026/") for one in ids)
    names = ("title", "updated", "content")
    return [tuple(entry.findtext(f"{ATOM}{name}") or "" for name in names) for entry in entries]  # type: ignore[misc]


def test_an_entry_comes_with_each_change_and_stays(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1")]
    first = run(settings, source, 0)
    assert first == [("All is well", "2026-11-25T03:03:00Z", "dnsrd: none before, published now.")]
    assert run(settings, source, 1) == first

    source.categories["dnsrd"] = SourceError("canceled after 300 s <&> \x1b")
    kept = run(settings, source, 2)
    assert kept[1:] == first
    title, updated, text = kept[0]
    assert (title, updated) == ("Not renewed: dnsrd", "2026-11-25T05:03:00Z")
    assert text == "dnsrd: published before, kept now.\ndnsrd: canceled after 300 s <&> \ufffd"
    # The same with other figures is nothing new.
    source.categories["dnsrd"] = SourceError("canceled after 301 s <&> \x1b")
    assert run(settings, source, 3) == kept

    source.categories["dnsrd"] = [row("198.18.0.1")]
    again = run(settings, source, 4)
    assert again == [("All is well", "2026-11-25T07:03:00Z", "dnsrd: kept before, published now."), *kept]

    without = dataclasses.replace(settings, feeds=tuple(f for f in settings.feeds if f.category != "dnsrd"))
    assert run(without, source, 5)[0][2] == "dnsrd: not published any more."


def test_old_entries_go(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1")]
    for hours in range(60):
        source.categories["sipquery"] = [row("198.18.0.1")] if hours % 2 else SourceError("too slow")
        entries = run(settings, source, hours)
    assert len(entries) == changes.MOST


@pytest.mark.parametrize(
    "damage", ["", "[]", "{}", json.dumps({"statuses": {}, "problems": [], "entries": [{"updated": "yesterday"}]})]
)
def test_a_damaged_memory_begins_anew(settings: config.Config, source: FakeSource, damage: str, tmp_path: Path) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1")]
    (settings.state / "changes.json").write_text(damage)
    assert len(run(settings, source, 0)) == 1
    assert not list(tmp_path.glob("state/*.new"))
