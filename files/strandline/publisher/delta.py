"""What changed in a feed since the generation before (FEED.delta.ndjson), and the way through a week of that.

Whoever has all of generation G follows the links in INDEX: each generation names the one that its changes are counted
from, and the first one after G is the one that names G.
"""

from __future__ import annotations

import json
import logging
import mmap
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from . import store
from .feedfile import Entry, iso

_LOG = logging.getLogger(__name__)
FORMAT = "delta"
INDEX = "deltas.json"
INDEX_VERSION = 1
_RUN = timedelta(hours=2)  # from one list to the next
_PATH = re.compile(r"/([0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{2})(-[0-9]+)?/")
# In the order in which feedfile writes them. A name can't pretend to be a field: in JSON its quotes have backslashes.
_ROW = re.compile(
    rb'"address": "([0-9a-f:.]+)", "first_seen": "[^"]+", "last_seen": "([^"]+)", "category": "[^"]+", '
    rb'"events": [0-9]+, "verified": (true|false)'
)


def name(category: str) -> str:
    """Return the name of a feed's file."""
    return f"{category}.delta.ndjson"


@dataclass(frozen=True)
class Delta:
    """How the addresses of a feed differ from those of the generation before."""

    added: list[Entry]
    renewed: list[Entry]
    """Seen since, or proven, or no longer proven."""
    gone: list[str]

    @property
    def rows(self) -> int:
        """How many changes there are."""
        return len(self.added) + len(self.renewed) + len(self.gone)

    def counts(self, since: str) -> dict[str, str | int]:
        """Return what the lists say of it; `since` is the path of the generation before."""
        return {
            "since": since, "added": len(self.added), "renewed": len(self.renewed), "gone": len(self.gone),
        }  # fmt: skip


def compare(former: Path, entries: Iterable[Entry]) -> Delta:
    """Compare a feed with its published NDJSON file. Raises OSError, and ValueError when that is not one of ours."""
    new = {entry.address: entry for entry in entries}
    renewed: list[Entry] = []
    gone: list[str] = []
    for address, seen, verified in _published(former):
        entry = new.pop(address, None)
        if entry is None:
            gone.append(address)
        elif iso(entry.last_seen) > seen or (entry.verified_events > 0) != verified:
            renewed.append(entry)
    return Delta(list(new.values()), renewed, gone)


def published_addresses(path: Path) -> Iterator[str]:
    """Yield the addresses of a published NDJSON file. Raises as `compare`."""
    return (address for address, _, _ in _published(path))


def _published(path: Path) -> Iterator[tuple[str, str, bool]]:
    """Yield address, last seen time and whether it is proven, for each row of a published file."""
    if not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        count = 0
        for found in _ROW.finditer(content):
            count += 1
            yield found[1].decode("ascii"), found[2].decode("ascii"), found[3] == b"true"
        content.seek(0)
        lines = sum(1 for _ in iter(content.readline, b""))
    if count != lines:
        raise ValueError(f"{path}: {count} of its {lines} lines are rows of a feed")


@dataclass(frozen=True)
class Way:
    """The links of INDEX, oldest first, and the oldest generation that they lead from. Paths are as in feeds.json."""

    generation: str
    oldest: str
    links: list[Mapping[str, object]]

    @property
    def hours(self) -> int:
        """How many hours it covers."""
        first, last = _hour(self.oldest), _hour(self.generation)
        return int((last - first).total_seconds() // 3600) if first and last else 0

    def counts(self, category: str) -> Iterator[Mapping[str, object] | None]:
        """Yield the counts of a feed's deltas."""
        for link in self.links:
            feeds = link["feeds"]
            if isinstance(feeds, Mapping) and category in feeds:
                yield feeds[category]

    def render(self) -> bytes:
        """Return the text of INDEX."""
        document = {
            "schema_version": INDEX_VERSION,
            "generation": self.generation,
            "oldest": self.oldest,
            "generations": self.links,
        }
        return f"{json.dumps(document, separators=(',', ':'))}\n".encode()


def way(webroot: Path, former: Path | None, generation: str, now: str, feeds: Mapping[str, object]) -> Way:
    """Return the way to a new generation.

    `feeds` has the counts of each feed, None where it has files and no delta. The links end where a generation is not
    on the disk any more, or has had its time.
    """
    path = f"/{generation}/"
    links: list[Mapping[str, object]] = []
    oldest = path
    if former is not None:
        oldest = since = f"/{store.generation_name(former)}/"
        links.append({"generation": path, "since": since, "generated": now, "feeds": feeds})
        for link in reversed(_links(former / INDEX)):
            if link["generation"] != oldest or not _is_there(webroot, str(link["generation"]), newest=path):
                break
            links.append(link)
            oldest = str(link["since"])
    return Way(path, oldest, links[::-1])


def _hour(path: str) -> datetime | None:
    found = _PATH.fullmatch(path)
    try:
        return datetime.strptime(found[1], "%Y/%m/%d/%H").replace(tzinfo=UTC) if found else None
    except ValueError:
        return None


def _is_there(webroot: Path, path: str, *, newest: str) -> bool:
    """Tell whether a generation will still be on the disk when the newest one is read.

    The next run removes old ones before it has a new list, and takes its time: this list must hold until then.
    """
    hour, last = _hour(path), _hour(newest)
    return (
        hour is not None
        and last is not None
        and last - hour < store.HOURLY_FOR - _RUN
        and (webroot / store.GENERATIONS / path.strip("/")).is_dir()
    )


def _links(path: Path) -> list[dict[str, object]]:
    """Return the links of a published INDEX, or no links if it is missing or unusable."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        links = [dict(link) for link in document["generations"]]
        if document["schema_version"] != INDEX_VERSION or not all(
            _hour(str(link["generation"])) and _hour(str(link["since"])) and isinstance(link["feeds"], dict)
            for link in links
        ):
            raise ValueError("not what this program writes")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        _LOG.warning("%s: can't be used (%s); the deltas begin anew", path, error)
        return []
    return links
