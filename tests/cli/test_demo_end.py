"""The end of the demo: the table of feeds, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from strandline_cli.demo import down, summary
from strandline_cli.demo.summary import Feed
from strandline_cli.errors import StepFailed


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Define two feeds."""
    for event, category in (("dns.query", "dnsrd"), ("ssh.client", "sshclient")):
        folder = tmp_path / "protocols" / event.partition(".")[0]
        folder.mkdir(parents=True)
        entry = {"event": event, "title": "T", "description": "D"}
        (folder / "feeds.yml").write_text(yaml.safe_dump({"feeds": {category: entry}}))
    return tmp_path


def publish(www: Path, *entries: dict[str, object]) -> Path:
    """Write the website's list."""
    www.mkdir(exist_ok=True)
    (www / "feeds.json").write_text(json.dumps({"feeds": entries}))
    return www


def test_each_feed_of_the_catalogue_has_its_line(tmp_path: Path, catalogue: Path) -> None:
    www = publish(
        tmp_path / "www",
        {"category": "sshclient", "addresses": 3, "addresses_ipv6": 1, "events": 40},
        {"category": "dnsrd", "status": "none"},
    )
    assert summary.feeds(www, catalogue) == [Feed("dnsrd", 0, 0), Feed("sshclient", 4, 40)]


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"feeds": 1}'])
def test_a_website_without_its_list_is_a_failure(tmp_path: Path, catalogue: Path, content: str | None) -> None:
    www = tmp_path / "www"
    www.mkdir()
    if content is not None:
        (www / "feeds.json").write_text(content)
    with pytest.raises(StepFailed, match="can't be read"):
        summary.feeds(www, catalogue)


def test_a_feed_without_an_address_is_a_failure(tmp_path: Path) -> None:
    www = publish(tmp_path / "www", {"category": "sshclient", "addresses": 3, "addresses_ipv6": 0, "events": 40})
    (www / "sshclient.txt").touch()
    with pytest.raises(StepFailed, match="dnsrd"):
        summary.require_all_feeds(www)


def test_traces_are_removed_whatever_they_are(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    target.mkdir()
    (tmp_path / "directory" / "below").mkdir(parents=True)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(target)
    for name in ("directory", "file", "link", "never-there"):
        down.remove(tmp_path / name)
    assert sorted(tmp_path.glob("*")) == [target]
