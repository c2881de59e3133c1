"""What platforms for sharing threat intelligence read: a MISP feed directory, and a STIX 2.1 bundle for each feed.

They are large and fetched once a day, so they are written in the first generation of every `hours` hours after
midnight UTC; those in between have the very same files. When what may be published, or who publishes it, has changed,
all of them are written anew at once: nobody who asked to be taken out waits for midnight.

Only sources that were proven to be real are in them. They are written from the NDJSON files that the generation has
already, line by line: a feed of any size takes the same memory. Identifiers are UUIDs of version 5 (RFC 9562) in a
namespace made of the network's URL: the same address in the same feed has the same one for ever.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ..shared import documents
from . import site, store
from .addresses import address_text, packed
from .config import Config, Feed
from .formatted import time_limit

_LOG = logging.getLogger(__name__)
SECONDS = 90.0  # for all files together
_VERSION = 1  # raised when the files of the same sources change
_VALID_FOR = timedelta(days=7)  # after it was last seen, for an address without a confidence
_PIECE = 1 << 16  # bytes
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
# An object keeps the time of its creation for ever (STIX 2.1 section 3.2), also one that was gone for years. The only
# time that nobody has to remember is the same for all of them.
_CREATED = "2026-01-01T00:00:00.000Z"


@dataclass(frozen=True)
class Indicator:
    """A proven source of a feed. Times are ISO 8601 in UTC."""

    address: str
    first_seen: str
    last_seen: str
    events: int
    confidence: float | None
    valid_until: str


@dataclass(frozen=True)
class Edition:
    """What all files of one writing have in common."""

    config: Config
    end: datetime
    """The end of the seven days. The files say this time, not the clock's: written twice they are the same."""
    builder: store.Builder
    former: Path | None
    """The generation published last."""

    def says_nothing(self, feed: Feed, name: str) -> bool:
        """Tell whether a feed has no proven source and never had one in this file, which then waits for the first.

        Raises as `indicators`.
        """
        known = self.former is not None and (self.former / name).is_file()
        return not known and next(self.indicators(feed), None) is None

    def identifier(self, *parts: str) -> str:
        """Return what an object is called for as long as the network has its URL."""
        return str(uuid.uuid5(self.namespace, "/".join(parts)))

    @functools.cached_property
    def namespace(self) -> uuid.UUID:
        """The network's own namespace of identifiers."""
        return uuid.uuid5(uuid.NAMESPACE_URL, self.config.network.url)

    @property
    def moment(self) -> int:
        """The end in seconds since 1970."""
        return int(self.end.timestamp())

    def indicators(self, feed: Feed) -> Iterator[Indicator]:
        """Yield the feed's proven sources. Raises ValueError, KeyError or TypeError for a damaged file."""
        with (self.builder.directory / f"{feed.category}.ndjson").open(encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                value = packed(row["address"])
                if row["verified"] and value not in self.config.never:
                    yield _indicator(address_text(value), row)


def _indicator(address: str, row: Mapping[str, object]) -> Indicator:
    """Return what a line says; it may be a former release's. Raises ValueError, KeyError or TypeError."""
    first, last, until = str(row["first_seen"]), str(row["last_seen"]), row.get("valid_until")
    confidence = row.get("confidence")
    if not isinstance(until, str) or until <= first:
        until = f"{datetime.fromisoformat(last) + _VALID_FOR:%Y-%m-%dT%H:%M:%SZ}"
    for text in (first, last, until):
        if not _TIME.fullmatch(text):
            raise ValueError(f"{text[:50]!r} is no time")
    probability = None if confidence is None else min(1.0, max(0.0, float(str(confidence))))
    return Indicator(address, first, last, int(str(row["events"])), probability, until)


def _compact(tree: object) -> str:
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False)


def _pieces(lines: Iterator[str]) -> Iterator[bytes]:
    """Yield text as pieces that are worth a call."""
    piece = bytearray()
    for line in lines:
        piece += line.encode()
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


class _Counted:
    """An iterator that knows how many it has yielded."""

    def __init__(self, items: Iterator[Indicator]) -> None:
        self._items = items
        self.count = 0

    def __iter__(self) -> Iterator[Indicator]:
        for item in self._items:
            self.count += 1
            yield item


class Stix:
    """`stix/FEED.json`: a bundle for each feed. Readers take a bundle whole: one of all feeds would be a burden."""

    title = "STIX 2.1"
    directory = "stix"

    def __init__(self, edition: Edition) -> None:
        self._edition = edition
        self._modified = f"{edition.end:%Y-%m-%dT%H:%M:%S.000Z}"

    def add(self, feed: Feed) -> list[site.File]:
        """Write a feed's bundle. Raises whatever is wrong with its NDJSON file, and OSError."""
        name = f"{self.directory}/{feed.category}.json"
        if self._edition.says_nothing(feed, name):
            return []
        found = _Counted(self._edition.indicators(feed))
        digest, size = self._edition.builder.add_pieces(name, _pieces(self._bundle(feed, found)))
        return [site.File(name, "stix-bundle", found.count, size, digest)]

    def finish(self) -> list[site.File]:
        """Write what is of no single feed: nothing."""
        return []

    def _bundle(self, feed: Feed, found: _Counted) -> Iterator[str]:
        edition, network = self._edition, self._edition.config.network
        identity = {
            "type": "identity",
            "spec_version": "2.1",
            "id": f"identity--{edition.identifier('identity')}",
            "created": _CREATED,
            "modified": self._modified,
            "name": network.name,
            "description": f"{network.tagline}. {network.url} Licence: {network.licence}",
            "identity_class": "organization",
            "contact_information": network.contact,
        }
        bundle = edition.identifier("bundle", feed.category)
        yield f'{{"type":"bundle","id":"bundle--{bundle}","objects":[\n{_compact(identity)}'
        # By hand, at a fifth of the time: none of the values below has a character that JSON or a pattern escapes.
        head = f'"created_by_ref":"{identity["id"]}","created":"{_CREATED}","modified":"{self._modified}"'
        tail = f'"indicator_types":["anomalous-activity"],"pattern_type":"stix","labels":["{feed.category}"]'
        for one in found:
            kind = "ipv6-addr" if ":" in one.address else "ipv4-addr"
            confidence = "" if one.confidence is None else f',"confidence":{round(100 * one.confidence)}'
            yield (
                ',\n{"type":"indicator","spec_version":"2.1",'
                f'"id":"indicator--{edition.identifier("indicator", feed.category, one.address)}",{head},'
                f'"name":"{one.address}","pattern":"[{kind}:value = \'{one.address}\']",{tail},'
                f'"valid_from":"{one.first_seen}","valid_until":"{one.valid_until}"{confidence}}}'
            )
        yield "\n]}\n"


class Misp:
    """`misp/`: an event of each feed, the manifest, and the hashes by which MISP finds an address in the feed.

    As https://www.misp-project.org/feeds/ has them. The event's UUID never changes: MISP brings its copy up to date.
    """

    title = "MISP feed"
    directory = "misp"

    def __init__(self, edition: Edition) -> None:
        self._edition = edition
        self._manifest: dict[str, object] = {}
        self._hashes: list[bytes] = []
        self._count = 0
        network = edition.config.network
        self._publisher = {"name": network.name, "uuid": edition.identifier("identity")}
        self._tags = [{"name": "tlp:clear", "colour": "#ffffff"}]

    def add(self, feed: Feed) -> list[site.File]:
        """Write a feed's event. Raises whatever is wrong with its NDJSON file, and OSError."""
        identifier = self._edition.identifier("event", feed.category)
        name = f"{self.directory}/{identifier}.json"
        if self._edition.says_nothing(feed, name):
            return []
        about = {
            "info": f"{self._publisher['name']}, {feed.category}: {feed.title}",
            "date": f"{self._edition.end:%Y-%m-%d}",
            "timestamp": str(self._edition.moment),
            "analysis": "2",  # complete
            "threat_level_id": "4",  # undefined: an address is no proof of ill will
            "Orgc": self._publisher,
            "Tag": self._tags,
        }
        event = {
            "uuid": identifier,
            **about,
            "published": True,
            "publish_timestamp": str(self._edition.moment),
            "extends_uuid": "",
        }
        found = _Counted(self._edition.indicators(feed))
        hashes = bytearray()
        pieces = _pieces(self._event(feed, event, found, hashes))
        digest, size = self._edition.builder.add_pieces(name, pieces)
        self._manifest[identifier] = about
        self._hashes.append(bytes(hashes))
        self._count += found.count
        return [site.File(name, "misp-event", found.count, size, digest)]

    def finish(self) -> list[site.File]:
        """Write manifest and hashes of the events that are there. Raises OSError."""
        manifest = f"{self.directory}/manifest.json"
        content = f"{json.dumps(self._manifest, indent=1, ensure_ascii=False)}\n".encode()
        digest = self._edition.builder.add(manifest, content)
        files = [site.File(manifest, "misp-manifest", len(self._manifest), len(content), digest)]
        hashes = f"{self.directory}/hashes.csv"
        digest, size = self._edition.builder.add_pieces(hashes, iter(self._hashes))
        return [*files, site.File(hashes, "misp-hashes", self._count, size, digest)]

    def _event(self, feed: Feed, event: object, found: _Counted, hashes: bytearray) -> Iterator[str]:
        edition = self._edition
        identifier = edition.identifier("event", feed.category)
        yield f'{{"Event":{_compact(event)[:-1]},"Attribute":['
        between = "\n"
        for one in found:
            md5 = hashlib.md5(one.address.encode(), usedforsecurity=False).hexdigest()
            hashes += f"{md5},{identifier}\n".encode()
            comment = f"{feed.category}: {one.events} events, valid until {one.valid_until}"
            if one.confidence is not None:
                comment += f", confidence {round(100 * one.confidence)} %"
            yield (
                f'{between}{{"uuid":"{edition.identifier("attribute", feed.category, one.address)}","type":"ip-src",'
                f'"category":"Network activity","value":"{one.address}","to_ids":true,"comment":"{comment}",'
                f'"timestamp":"{edition.moment}","first_seen":"{one.first_seen[:-1]}+00:00",'
                f'"last_seen":"{one.last_seen[:-1]}+00:00"}}'
            )
            between = ",\n"
        yield "\n]}}\n"


WRITERS: Mapping[str, type[Stix] | type[Misp]] = {"misp": Misp, "stix": Stix}
"""What writes each entry of `publisher_sharing`."""


def _shared(document: Mapping[str, Any]) -> site.Shared:
    """Return what `Sharing.remember` noted. Raises KeyError or TypeError when it did not."""
    files = tuple(site.File(**file) for file in document["files"])
    return site.Shared(**{**document, "problems": tuple(document["problems"]), "files": files})


class Sharing:
    """Writes the files when they are due, and keeps them until then."""

    def __init__(self, config: Config, end: datetime, former: Path | None) -> None:
        self._config = config
        self._end = end
        self._former = former
        self._memory = config.state / "sharing.json"
        self._found: tuple[site.Shared, ...] = ()

    def write(
        self, builder: store.Builder, records: Mapping[str, site.Record]
    ) -> tuple[tuple[site.Shared, ...], list[str]]:
        """Let the generation have the files. Returns what it has, and a sentence for each file that it lacks.

        Nothing that goes wrong is raised: the feeds are published all the same.
        """
        feeds = [feed for feed in self._config.feeds if (builder.directory / f"{feed.category}.ndjson").is_file()]
        fresh = any(record.status == "published" for record in records.values())
        known = self._load()
        found = []
        for name in self._config.sharing.wanted:
            one = known.get(name)
            # While nothing can be compiled, what is there is as new as can be. A young network's first sources don't
            # wait for midnight.
            due = one is None or (fresh and one.next_update != self._next) or one.problems or not one.rows
            kept = self._keep(builder, one) if one is not None and not due else None
            found.append(kept or self._write(builder, name, feeds))
        self._found = tuple(found)
        return self._found, [problem for one in found for problem in one.problems]

    def remember(self) -> None:
        """Note what was published. Raises OSError."""
        if self._config.sharing.wanted or self._memory.exists():
            shared = [dataclasses.asdict(one) for one in self._found]
            documents.write(self._memory, {"key": self._key, "shared": shared})

    @property
    def _next(self) -> str:
        """When the files are due again, as the list has it."""
        seconds = self._config.sharing.hours * 3600
        due = (int(self._end.timestamp()) // seconds + 1) * seconds
        return site.stamp(datetime.fromtimestamp(due, UTC)) or ""

    @property
    def _key(self) -> str:
        """A hash of all that the files depend on beside the sources. It is not published: fleet addresses are in it."""
        about = [_VERSION, dataclasses.asdict(self._config.network), self._config.sharing.hours]
        feeds = [(feed.category, feed.title) for feed in self._config.feeds]
        return hashlib.sha256(_compact([*about, feeds, self._config.never.prefixes]).encode()).hexdigest()

    def _load(self) -> dict[str, site.Shared]:
        """Return what was published last, unless all is to be written anew."""
        try:
            document = json.loads(self._memory.read_text(encoding="utf-8"))
            if document["key"] != self._key:
                return {}
            known = [_shared(one) for one in document["shared"]]
            return {one.name: one for one in known}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            _LOG.warning("%s: can't be used (%s); what it is about is written anew", self._memory, error)
            return {}

    def _keep(self, builder: store.Builder, one: site.Shared) -> site.Shared | None:
        """Take the files over; None when they are not what was written."""
        if self._former is None:
            return None
        try:
            if all(builder.keep(file.name, self._former) == file.sha256 for file in one.files):
                return one
            problem = "a file is not what was written"
        except OSError as error:
            problem = str(error)
        _LOG.warning("%s: written anew: %s", one.title, problem)
        for file in one.files:
            builder.discard(file.name)
        return None

    def _write(self, builder: store.Builder, name: str, feeds: list[Feed]) -> site.Shared:
        edition = Edition(self._config, self._end, builder, self._former)
        writer = WRITERS[name](edition)
        began = time.monotonic()
        until = began + SECONDS / len(self._config.sharing.wanted)
        files: list[site.File] = []
        problems: list[str] = []
        rows = 0

        def attempt(what: str, write: Callable[[], list[site.File]]) -> list[site.File]:
            try:
                with time_limit(max(0.001, until - time.monotonic())):
                    return write()
            except Exception as error:
                _LOG.exception("%s of %s: left out", writer.title, what)
                reason = " ".join(str(error).split()) or type(error).__name__
                problems.append(f"{writer.title} of {what} is left out ({reason})")
                return []

        for feed in feeds:
            written = attempt(feed.category, functools.partial(writer.add, feed))
            rows += sum(file.rows for file in written)
            files += written
        whole = attempt("all feeds", writer.finish)
        _LOG.info("%s: %d sources written in %.1f s", writer.title, rows, time.monotonic() - began)
        return site.Shared(
            name, writer.title, site.stamp(self._end) or "", self._next, rows, tuple(problems), (*whole, *files)
        )
