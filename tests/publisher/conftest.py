"""Settings and rows that the publisher's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
from publisher_fakes import AS_TABLE, END, ROOT, FakeSource, every_feed, row
from strandline.publisher import addresses, config, window


@pytest.fixture
def span() -> window.Window:
    return window.ending_at(END)


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture(scope="session")
def catalogues_feeds(tmp_path_factory: pytest.TempPathFactory) -> tuple[config.Feed, ...]:
    return tuple(config.load_feeds(every_feed(tmp_path_factory.mktemp("feeds"))))


@pytest.fixture
def settings(tmp_path: Path, catalogues_feeds: tuple[config.Feed, ...]) -> config.Config:
    """The catalogue's own feeds, published into a temporary folder, with the benchmark range opened as in the demo."""
    for name in ("www", "state"):
        (tmp_path / name).mkdir()
    table = tmp_path / "asn.tsv"
    table.write_text(AS_TABLE, encoding="utf-8")
    return config.Config(
        network=config.Network(
            name="Test Network",
            tagline="what washes ashore",
            contact="feeds@example.net",
            url="https://feeds.example.net/",
            licence="CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
            removal="Write to feeds@example.net.",
        ),
        feeds=catalogues_feeds,
        webroot=tmp_path / "www",
        state=tmp_path / "state",
        asn_table=table,
        never=addresses.NeverList(
            listed=addresses.load_never_publish(ROOT / "files/strandline/publisher/never-publish.txt"),
            fleet=[addresses.parse_network("198.18.0.200")],
            publish_ranges=[
                addresses.parse_network(text) for text in ("198.18.0.0/15", "192.0.2.0/24", "2001:db8::/32")
            ],
        ),
    )


@pytest.fixture
def everyday(settings: config.Config, source: FakeSource) -> config.Config:
    """Settings with rows of every kind in each category of the source."""
    mixed = [f"198.18.{third}.{last}" for third in range(9) for last in (1, 10, 2, 100)]
    for feed in settings.feeds:
        source.categories[feed.category] = [
            row(address) for address in [*mixed, "192.0.2.7", "192.0.2.200", "2001:db8::1", "2001:db9::1"]
        ]
    return settings
