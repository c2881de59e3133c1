"""The site of a publisher as readers see it: headless Chromium opens the page of a real run, at a phone's width too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "files"), str(ROOT / "tests" / "publisher")]

from publisher_fakes import AS_TABLE, END, FakeSource, every_feed, row  # noqa: E402
from strandline.publisher import addresses, config, publish, source, window  # noqa: E402


@pytest.fixture(scope="module")
def webroot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with feeds that are published, kept and empty, and problems of every length."""
    top = tmp_path_factory.mktemp("site")
    for name in ("www", "state"):
        (top / name).mkdir()
    (top / "asn.tsv").write_text(AS_TABLE, encoding="utf-8")
    settings = config.Config(
        network=config.Network(
            "Test Network", "what washes ashore", "feeds@example.org", "https://feeds.example.org/",
            "Creative Commons Attribution 4.0, https://creativecommons.org/licenses/by/4.0/", "Write to us.",
        ),
        feeds=config.load_feeds(every_feed(top)),
        webroot=top / "www", state=top / "state", asn_table=top / "asn.tsv",
        never=addresses.NeverList(publish_ranges=[addresses.parse_network("198.18.0.0/15")]),
    )  # fmt: skip
    fake = FakeSource()
    fake.condition = source.Condition(END + timedelta(hours=2), END, {"collector1": END - timedelta(days=3)})
    for feed in settings.feeds[1:]:
        fake.categories[feed.category] = [*(row(f"198.18.1.{i}") for i in range(99)), row("2a00::1")]
    publish.run(settings, fake, window.ending_at(END), now=END)
    fake.categories[settings.feeds[2].category] = []
    end = END + timedelta(hours=1)
    publish.run(settings, fake, window.ending_at(end), now=end)
    return top / "www"


def inspected(webroot: Path, paths: list[str]) -> list[dict[str, Any]]:
    """What a reader sees of each page, at the site's root as nginx serves it."""
    image = os.environ["STRANDLINE_BROWSER_IMAGE"]
    # As nginx does: the newest generation at the root, the others by their path.
    serve = (
        "cp -rL /site/current /srv/www && cp -r /site/generations/* /srv/www/ && cd /srv/www"
        " && (python3 -m http.server 8000 >/dev/null 2>&1 &) && sleep 2"
        ' && for path in "$@"; do inspect_page "http://127.0.0.1:8000/$path" /tmp/page.png && echo || exit; done'
    )
    done = subprocess.run(
        [
            *("podman", "run", "--rm", "--network=none", f"--volume={webroot}:/site:ro", image),
            *("sh", "-c", serve, "inspect", *paths),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def pages(webroot: Path) -> list[dict[str, Any]]:
    return inspected(webroot, ["", "quality.html"])


@pytest.fixture(scope="module")
def seen(pages: list[dict[str, Any]]) -> dict[str, Any]:
    return pages[0]


@pytest.fixture(scope="module")
def quality(pages: list[dict[str, Any]]) -> dict[str, Any]:
    return pages[1]


@pytest.fixture(scope="module")
def looked_up(webroot: Path) -> dict[str, dict[str, Any]]:
    """What the look-up shows, by the address that was asked for."""
    asked = [
        "198.18.1.7", "2A00:0:0::1", "::ffff:198.18.1.8", "198.18.1.200", "10.1.2.3", "2a00::/32", "198.18.1.256",
        "scanner.example.org", "2a00::1::2", "<img src=x onerror=alert(1)>", '198.18.1.7"', "",
    ]  # fmt: skip
    pages = inspected(webroot, [f"lookup.html#{urlencode({'address': each})}" for each in asked])
    return dict(zip(asked, pages, strict=True))


@pytest.mark.parametrize("view", ["desktop", "phone", "small"])
def test_nothing_scrolls_sideways(seen: dict[str, Any], view: str) -> None:
    """At 1280, 390 and 320 pixels; and each download link is within the window."""
    assert seen[view]["overflow"] == 0
    links = [link for link in seen[view]["links"] if link["href"].endswith(".txt")]
    assert len(links) > 10
    width = {"desktop": 1280, "phone": 390, "small": 320}[view]
    for link in links:
        left, _, length, _ = link["box"]
        assert left >= 0, link
        assert left + length <= width, link


def test_the_console_is_clean(seen: dict[str, Any]) -> None:
    assert [error for error in seen["errors"] if "favicon" not in error] == []
    assert {urlsplit(resource).path for resource in seen["desktop"]["resources"]} <= {"/style.css", "/favicon.ico"}


def test_links_lead_somewhere(seen: dict[str, Any], webroot: Path) -> None:
    """Each one of the site's own to a file of the newest generation, or to a generation."""
    own = [urlsplit(link["href"]) for link in seen["desktop"]["links"]]
    paths = {link.path for link in own if link.hostname == "127.0.0.1"}
    assert len(paths) > 30
    for path in paths:
        assert (webroot / "current" / path[1:]).exists() or (webroot / "generations" / path[1:]).exists(), path


def test_the_page_says_what_is_wrong(seen: dict[str, Any]) -> None:
    text = seen["phone"]["text"]
    assert "collector collector1 has brought nothing since" in text
    assert "out of date: the last run could not renew it" in text
    assert "nothing seen yet" in text


@pytest.mark.parametrize(
    ("asked", "heading"),
    [("198.18.1.7", "198.18.1.7"), ("2A00:0:0::1", "2a00::1"), ("::ffff:198.18.1.8", "198.18.1.8")],
)
def test_a_listed_address_is_found_in_any_spelling(
    looked_up: dict[str, dict[str, Any]], asked: str, heading: str
) -> None:
    page = looked_up[asked]
    assert heading in page["desktop"]["headings"]
    text = page["desktop"]["text"]
    assert "Addresses seen to try a password over SSH. Feed sshpwauth." in text
    assert "from 2026-11-25 01:55:00 UTC to 2026-11-25 02:00:00 UTC" in text
    assert "with the source proven to be real" in text
    assert [error for error in page["errors"] if "favicon" not in error] == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("198.18.1.200", "It is in none of the feeds"),
        ("10.1.2.3", "It is in none of the feeds"),
        ("2a00::/32", "That is a network."),
        ("198.18.1.256", "That is no IPv4 address"),
        ("scanner.example.org", "Names are not looked up"),
        ("2a00::1::2", "That is no IPv6 address."),
        ("<img src=x onerror=alert(1)>", "That is no address."),
        ('198.18.1.7"', "That is no address."),
    ],
)
def test_what_is_not_found_is_told_apart(looked_up: dict[str, dict[str, Any]], asked: str, said: str) -> None:
    page = looked_up[asked]
    assert said in page["desktop"]["text"]
    # A file that is not there is an answer, though the browser's log has it.
    assert [error for error in page["errors"] if "lookup/10.ndjson" not in error and "favicon" not in error] == []


def test_the_look_up_fits_a_phone_and_shows_nothing_unasked(looked_up: dict[str, dict[str, Any]]) -> None:
    for page in looked_up.values():
        assert [page[view]["overflow"] for view in ("desktop", "phone", "small")] == [0, 0, 0]
    assert looked_up[""]["desktop"]["headings"] == [
        "Look up an address", "Why is my address listed, and how does it get off?", "Without the script",
    ]  # fmt: skip
    assert looked_up[""]["dark"]["ink"] != looked_up[""]["desktop"]["ink"]


def test_the_figures_of_each_feed_fit_a_phone(quality: dict[str, Any], webroot: Path) -> None:
    """And the console is clean, and links lead somewhere."""
    for view in ("desktop", "phone", "small"):
        assert quality[view]["overflow"] == 0, view
    assert [error for error in quality["errors"] if "favicon" not in error] == []
    own = {urlsplit(link["href"]).path for link in quality["desktop"]["links"]}
    assert own == {"/index.html", "/quality.json", "/deltas.json"}
    assert all((webroot / "current" / path[1:]).exists() for path in own)
    text = quality["desktop"]["text"]
    assert "Added an hour" in text
    assert "none has been fitted yet" in text
