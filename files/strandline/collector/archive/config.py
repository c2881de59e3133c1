"""The archive's configuration file, /etc/strandline/archive.yml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from ...shared.settings import Section, read_yaml

NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Config:
    """What the archive has to know."""

    database: str
    """libpq connection string."""
    directory: Path
    columns: Mapping[str, tuple[str, ...]]
    """For each listener the fields of its events, each of which gets a column."""
    memory_mib: int = 256
    """What DuckDB may take. What does not fit is put aside on the archive's disk; Python takes some 60 MiB besides."""
    min_free_mib: int = 2048
    """What stays free on the archive's disk, which may be the database's."""


def parse(top: Section) -> Config:
    """Check what was read. Raises ConfigurationError with the first mistake."""
    top.only(*(one.name for one in fields(Config)))
    section = top.section("columns")
    columns = {listener: section.texts(listener) for listener in section}
    for listener, names in columns.items():
        for name in (listener, *names):
            if not NAME.fullmatch(name):
                raise section.wrong(listener, f"{name!r} is no name", "Write small letters, digits and underscores")
    return Config(
        database=top.text("database"),
        directory=top.path("directory"),
        columns=columns,
        memory_mib=top.number("memory_mib", Config.memory_mib, 128, 1 << 20),
        min_free_mib=top.number("min_free_mib", Config.min_free_mib, 0, 1 << 30),
    )


def load(path: Path) -> Config:
    """Read and check a file. Raises ConfigurationError when it is missing, no YAML, or wrong."""
    return parse(read_yaml(path))
