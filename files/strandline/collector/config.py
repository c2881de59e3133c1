"""The loader's configuration file, /etc/strandline/loader.yml."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ..shared.settings import Section, read_yaml


@dataclass(frozen=True)
class Config:
    """What the loader has to know."""

    collector: str  # this collector's name: the positions in its spool are kept under it
    database: str  # libpq connection string
    spool: Path = Path("/var/spool/strandline/parsed")
    feeds: Path = Path("/etc/strandline/feeds.yml")
    status: Path = Path("/run/strandline-loader/status.json")
    keep_hours: int = 72  # a file that has been loaded is deleted this long after its hour
    poll_seconds: float = 0.2  # how often to look for new lines; also the shortest time between two small transactions
    chunk_bytes: int = 1 << 18  # read at once
    max_line_bytes: int = 65536  # a longer line is rejected unread


def parse(top: Section) -> Config:
    """Check what was read. Raises ConfigurationError with the first mistake."""
    top.only(*(one.name for one in fields(Config)))
    config = Config(
        collector=top.text("collector"),
        database=top.text("database"),
        spool=top.path("spool", str(Config.spool)),
        feeds=top.path("feeds", str(Config.feeds)),
        status=top.path("status", str(Config.status)),
        keep_hours=top.number("keep_hours", Config.keep_hours, 3, 24 * 365),
        poll_seconds=top.decimal("poll_seconds", Config.poll_seconds, 0.01, 60),
        chunk_bytes=top.number("chunk_bytes", Config.chunk_bytes, 1 << 16, 1 << 26),
        max_line_bytes=top.number("max_line_bytes", Config.max_line_bytes, 8192, 1 << 24),
    )
    if config.chunk_bytes < 2 * config.max_line_bytes:
        raise top.wrong("chunk_bytes", "is less than twice max_line_bytes", "Raise it, or lower the other")
    return config


def load(path: Path) -> Config:
    """Read and check a file. Raises ConfigurationError when it is missing, no YAML, or wrong."""
    return parse(read_yaml(path))
