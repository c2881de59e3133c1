"""The website around the feeds: index page, machine-readable list, robots.txt."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2

from . import store
from .config import Config, Feed
from .window import Window

_LOG = logging.getLogger(__name__)
_TEMPLATES = Path(__file__).parent / "templates"
_LIST = "feeds.json"
# The page is for people who search; the lists of addresses have no place in a search engine.
_ROBOTS = "User-agent: *\nAllow: /$\nAllow: /index.html\nDisallow: /\n"


@dataclass(frozen=True)
class File:
    """A published file: its name, format, data rows, size in bytes and SHA-256."""

    name: str
    format: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Record:
    """What is published of a feed. Times are ISO 8601 in UTC."""

    category: str
    status: str
    updated: str
    window_start: str
    window_end: str
    addresses: int
    addresses_ipv6: int
    asns: int
    events: int
    files: tuple[File, ...]

    def kept(self) -> Record:
        """Return the record of files that an unsuccessful run left in place."""
        return dataclasses.replace(self, status="kept")


def feed_files(category: str) -> list[str]:
    """Return the names of every file that a feed can have."""
    return [f"{category}.txt", f"{category}-ipv6.txt", f"{category}.ndjson"]


def load_records(webroot: Path) -> dict[str, Record]:
    """Return the records of the last run, or none when its list is missing or damaged."""
    try:
        feeds = json.loads((webroot / _LIST).read_text(encoding="utf-8"))["feeds"]
        records = {}
        for feed in feeds:
            if feed["status"] != "none":
                values = {f.name: feed[f.name] for f in dataclasses.fields(Record) if f.name != "files"}
                records[str(feed["category"])] = Record(**values, files=tuple(File(**file) for file in feed["files"]))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        _LOG.warning("%s: can't be used (%s); it is written anew", webroot / _LIST, error)
        return {}
    return records


def _list(config: Config, window: Window, records: Mapping[str, Record], now: datetime) -> str:
    def entry(feed: Feed) -> dict[str, object]:
        about: dict[str, object] = {
            "category": feed.category,
            "title": feed.title,
            "description": feed.description,
            "first_seen_column": feed.first_seen,
        }
        record = records.get(feed.category)
        return {**about, **(dataclasses.asdict(record) if record else {"status": "none", "files": []})}

    return json.dumps(
        {
            "network": dataclasses.asdict(config.network),
            "generated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "window_start": f"{window.start:%Y-%m-%dT%H:%M:%SZ}",
            "window_end": f"{window.end:%Y-%m-%dT%H:%M:%SZ}",
            "feeds": [entry(feed) for feed in config.feeds],
        },
        indent=1,
        ensure_ascii=False,
    )


def _index(config: Config, window: Window, records: Mapping[str, Record], now: datetime) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("index.html.j2").render(
        network=config.network, feeds=config.feeds, window=window, records=records, now=now
    )


def write(config: Config, window: Window, records: Mapping[str, Record], *, now: datetime) -> None:
    """Write the site's own files. Raises OSError."""
    pages = {
        _LIST: f"{_list(config, window, records, now)}\n".encode(),
        "index.html": _index(config, window, records, now).encode(),
        "robots.txt": _ROBOTS.encode(),
        "style.css": (_TEMPLATES / "style.css").read_bytes(),
    }
    store.write_files(config.webroot, pages, companions=False)
