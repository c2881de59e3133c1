"""The loader's configuration file, /etc/strandline/loader.yml."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import yaml


class ConfigError(Exception):
    """The configuration is wrong; the text names file and field, and says what belongs there."""


@dataclass(frozen=True, slots=True)
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


LIMITS: dict[str, tuple[float, float]] = {
    "keep_hours": (3, 24 * 365),
    "poll_seconds": (0.01, 60),
    "chunk_bytes": (1 << 16, 1 << 26),
    "max_line_bytes": (8192, 1 << 24),
}


def parse(document: Any, source: str) -> Config:
    """Check what was read from YAML; raise ConfigError with the first mistake."""
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: must be fields with values, like `collector: collector1`")
    known = {field.name: field for field in fields(Config)}
    for name in document:
        if name not in known:
            raise ConfigError(f"{source}: unknown field {name!r}; known are {', '.join(known)}")
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name not in document:
            if field.default is MISSING:
                raise ConfigError(f"{source}: field {name} is missing")
            continue
        value = document[name]
        if name in LIMITS:
            low, high = LIMITS[name]
            number = isinstance(value, int) or (name == "poll_seconds" and isinstance(value, float))
            if isinstance(value, bool) or not number or not low <= value <= high:
                raise ConfigError(f"{source}: {name} must be a number from {low:g} to {high:g}, not {value!r}")
            values[name] = value
        elif not isinstance(value, str) or not value:
            raise ConfigError(f"{source}: {name} must be text, not {value!r}")
        else:
            values[name] = Path(value) if field.type == "Path" else value
    config = Config(**values)
    if config.chunk_bytes < 2 * config.max_line_bytes:
        raise ConfigError(f"{source}: chunk_bytes must be at least twice max_line_bytes")
    return config


def load(path: Path) -> Config:
    """Read and check a file; raise ConfigError when it is missing, no YAML, or wrong."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    return parse(document, str(path))
