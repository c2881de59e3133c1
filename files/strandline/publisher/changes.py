"""News of the site's own state as an Atom feed (RFC 4287): which feeds are renewed, which are kept, what is wrong."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as Xml

from ..shared import documents
from .config import Network

_LOG = logging.getLogger(__name__)
NAME = "status.atom"
MOST = 50
_ATOM = "http://www.w3.org/2005/Atom"
# XML 1.0 has no way to write these.
_UNWRITABLE = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")


@dataclass(frozen=True)
class Entry:
    """What was new in a generation; the time is ISO 8601, UTC."""

    generation: str
    updated: str
    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """What is told when it changes: each feed's status, and what is wrong, but for the figures in it."""

    statuses: Mapping[str, str]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, statuses: Mapping[str, str], problems: Iterable[str]) -> State:
        """Return the state of a run."""
        return cls(dict(statuses), tuple(sorted({re.sub(r"[0-9]+", "N", problem) for problem in problems})))


@dataclass(frozen=True)
class Changes:
    """The state that was told last, and the entries, newest first."""

    state: State
    entries: tuple[Entry, ...] = ()

    def then(self, state: State, problems: Iterable[str], generation: str, updated: str) -> Changes:
        """Return what there is to tell after another run."""
        if state == self.state:
            return self
        sentences = [
            f"{category}: {self.state.statuses.get(category, 'none')} before, {status} now."
            for category, status in state.statuses.items()
            if self.state.statuses.get(category) != status
        ]
        sentences += [
            f"{category}: not published any more." for category in self.state.statuses.keys() - state.statuses
        ]
        sentences += problems
        kept = sorted(category for category, status in state.statuses.items() if status == "kept")
        title = "All is well"
        if kept:
            title = f"Not renewed: {', '.join(kept)}"
        elif state.problems:
            title = "Renewed, but not all is as it should be"
        entry = Entry(generation, updated, title, tuple(sentences))
        return Changes(state, (entry, *self.entries)[:MOST])


def nothing() -> Changes:
    """Return what there is before the first run."""
    return Changes(State({}, ()))


def load(path: Path) -> Changes:
    """Return what was told before; nothing when it can't be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        state = State({str(k): str(v) for k, v in found["statuses"].items()}, tuple(map(str, found["problems"])))
        entries = tuple(
            Entry(
                str(one["generation"]), datetime.fromisoformat(one["updated"]).strftime("%Y-%m-%dT%H:%M:%SZ"),
                str(one["title"]), tuple(map(str, one["sentences"])),
            )
            for one in found["entries"]
        )  # fmt: skip
    except FileNotFoundError:
        return nothing()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _LOG.warning("%s: can't be used (%s); the news begin anew", path, error)
        return nothing()
    return Changes(state, entries[:MOST])


def store(path: Path, changes: Changes) -> None:
    """Remember what was told. Raises OSError."""
    entries = [asdict(entry) for entry in changes.entries]
    documents.write(
        path, {"statuses": dict(changes.state.statuses), "problems": list(changes.state.problems), "entries": entries}
    )


def render(network: Network, changes: Changes, updated: str) -> bytes:
    """Return the Atom document. Its ids are the addresses of the generations, which never change."""
    url = network.url.rstrip("/")
    root = Xml.Element("feed", xmlns=_ATOM)

    def add(parent: Xml.Element, name: str, text: str = "", **attributes: str) -> Xml.Element:
        element = Xml.SubElement(parent, name, attributes)
        element.text = _UNWRITABLE.sub("\ufffd", text) or None
        return element

    add(root, "title", f"{network.name}: state of the feeds")
    add(root, "id", f"{url}/{NAME}")
    add(root, "link", rel="self", href=f"{url}/{NAME}")
    add(root, "link", rel="alternate", type="text/html", href=f"{url}/")
    # Of the newest entry: a reader takes the document for unchanged otherwise, or for changed every hour.
    add(root, "updated", changes.entries[0].updated if changes.entries else updated)
    add(add(root, "author"), "name", network.name)
    for entry in changes.entries:
        element = add(root, "entry")
        add(element, "title", entry.title)
        add(element, "id", f"{url}/{entry.generation}/")
        add(element, "link", rel="alternate", type="text/html", href=f"{url}/{entry.generation}/")
        add(element, "updated", entry.updated)
        add(element, "content", "\n".join(entry.sentences) or entry.title, type="text")
    text: str = Xml.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode()
