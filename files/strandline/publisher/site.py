"""The website around the feeds: index page, list for programs with its schema, robots.txt and security.txt."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jinja2

from . import changes, delta, feedfile, formats, pairs, quality, store
from .astable import Loaded
from .config import Config, Feed
from .source import Condition

_LOG = logging.getLogger(__name__)
_TEMPLATES = Path(__file__).parent / "templates"
LIST = "feeds.json"
SCHEMA = "feeds.schema.json"
SCHEMA_VERSION = 2
# The page is for people who search; the lists of addresses have no place in a search engine.
_ROBOTS = "User-agent: *\nAllow: /$\nAllow: /index.html\nAllow: /.well-known/\nDisallow: /\n"
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class File:
    """A published file: its name, format, data rows, size in bytes, SHA-256, and where its generation has it."""

    name: str
    format: str
    rows: int
    bytes: int
    sha256: str
    url: str = ""


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
    unproven: int = 0
    held_back: Mapping[str, int] = field(default_factory=dict)
    """How many addresses were left out, by reason: never_listed, unproven."""
    problem: str = ""
    format_problems: tuple[str, ...] = ()
    """Sentences on files of other formats that had to be left out."""
    delta: Mapping[str, str | int] | None = None
    """The generation that the delta is counted from, and how many changes it has by kind; None without a delta."""
    files: tuple[File, ...] = ()

    @property
    def end(self) -> datetime:
        """The end of the window."""
        return datetime.fromisoformat(self.window_end)

    def kept(
        self, problem: str, unchanged: File | None = None, counts: Mapping[str, str | int] | None = None
    ) -> Record:
        """Return the record of files that an unsuccessful run left as they are; `unchanged` is their delta."""
        files = (*self.files, unchanged) if unchanged else self.files
        return dataclasses.replace(self, status="kept", problem=problem, delta=counts, files=files)

    def only(self, wanted: Iterable[str]) -> Record:
        """Return the record without its delta, and without files of formats that are not published any more."""
        dropped = {delta.FORMAT, *(formats.kinds().keys() - formats.kinds(wanted).keys())}
        return dataclasses.replace(self, files=tuple(file for file in self.files if file.format not in dropped))


@dataclass(frozen=True)
class Combined:
    """The lists of the proven sources of all feeds."""

    addresses: int = 0
    addresses_ipv6: int = 0
    problems: tuple[str, ...] = ()
    files: tuple[File, ...] = ()


@dataclass(frozen=True)
class Daily:
    """A list that is counted once a day."""

    name: str
    title: str
    description: str
    day: str
    rows: int
    files: tuple[File, ...]


@dataclass(frozen=True)
class Shared:
    """The files that one kind of sharing platforms reads; see sharing.py. Times are ISO 8601 in UTC."""

    name: str
    title: str
    written: str
    """The end of the seven days whose sources they have."""
    next_update: str
    """The window's end with which they are due again."""
    rows: int
    problems: tuple[str, ...]
    files: tuple[File, ...]


def write_pairs(
    builder: store.Builder, found: pairs.Day, contents: Mapping[str, tuple[str, bytes]], former: Path | None
) -> Daily:
    """Write the list of user names and passwords. Raises OSError."""
    files = []
    for name, (kind, content) in contents.items():
        digest = builder.renew(name, content, former)
        files.append(File(name, kind, len(found.pairs), len(content), digest))
    return Daily(pairs.NAME, pairs.TITLE, pairs.DESCRIPTION, f"{found.day}", len(found.pairs), tuple(files))


@dataclass(frozen=True)
class Report:
    """All that a run has to say of itself."""

    generation: str
    now: datetime
    records: Mapping[str, Record]
    condition: Condition | None
    """None when the database can't be reached."""
    table: Loaded
    problems: tuple[str, ...]
    combined: Combined
    way: delta.Way
    worth: Mapping[str, quality.Figures]
    """What is said of each feed's quality."""
    daily: tuple[Daily, ...]
    shared: tuple[Shared, ...]
    news: changes.Changes
    has_lookup: bool


def stamp(moment: datetime | None) -> str | None:
    """Return a time as the list has it."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def next_update(config: Config, now: datetime) -> datetime:
    """Return when the next generation will be there at the latest, if all goes well."""
    hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    due = hour + timedelta(seconds=config.publish_delay)
    return due if due > now else due + _HOUR


def stale_after(config: Config, record: Record) -> datetime:
    """Return when a feed's files are too old to act on: when several runs in a row have failed to renew them."""
    end = record.end - (_HOUR if config.through_now else timedelta(0))
    return end + _HOUR + timedelta(seconds=config.publish_delay) + timedelta(hours=config.stale_hours)


def feed_files(category: str) -> dict[str, str]:
    """Return the names of every file that a feed can have, each with its format."""
    return {
        **{
            feedfile.text_name(category, family, part=part): f"text-ipv{family}"
            for part in feedfile.PARTS
            for family in (4, 6)
        },
        f"{category}.ndjson": "ndjson",
        delta.name(category): delta.FORMAT,
        **{f"{category}{kind.ending}": kind.name for kind in formats.kinds().values()},
    }


def load_records(directory: Path | None, feeds: Iterable[Feed]) -> dict[str, Record]:
    """Return the records of what is published; from the files themselves when the list is missing or damaged."""
    if directory is None:
        return {}
    try:
        entries = json.loads((directory / LIST).read_text(encoding="utf-8"))["feeds"]
        records = {}
        known = {f.name for f in dataclasses.fields(Record)} - {"files"}
        for entry in entries:
            if entry["status"] != "none":
                # A list of an earlier release lacks some.
                values = {name: entry[name] for name in known if name in entry}
                files = tuple(
                    File(**{f.name: file[f.name] for f in dataclasses.fields(File) if f.name in file})
                    for file in entry["files"]
                )
                values["format_problems"] = tuple(values.get("format_problems", ()))
                record = Record(**{"problem": "", **values, "files": files})
                if record.end.tzinfo is None or not all((directory / file.name).is_file() for file in files):
                    raise ValueError(f"{record.category}: not what is there")
                records[record.category] = record
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _LOG.warning("%s: can't be used (%s); it is made anew from the files", directory / LIST, error)
        rebuilt = (_rebuilt(directory, feed.category) for feed in feeds)
        return {record.category: record for record in rebuilt if record is not None}
    return records


def _rebuilt(directory: Path, category: str) -> Record | None:
    """Return a feed's record as its files tell it, or None when it has none that is whole."""
    files = []
    counts = {"text-ipv4": 0, "text-ipv6": 0}
    window = None
    events = unproven = 0
    systems = set()
    try:
        for name, kind in feed_files(category).items():
            path = directory / name
            if kind == delta.FORMAT or not path.is_file():
                continue
            content = path.read_bytes()
            if kind in formats.kinds():
                count = formats.kinds()[kind].rows(content)
            elif kind == "ndjson":
                rows = [json.loads(line) for line in content.splitlines()]
                events = sum(int(row["events"]) for row in rows)
                unproven = sum(not row["verified"] for row in rows)
                systems = {row["asn"] for row in rows if row["asn"] is not None}
                count = len(rows)
            else:
                count = sum(1 for _ in feedfile.published_rows(content.decode("ascii")))
                window = feedfile.published_window(content.decode("ascii"))
                counts[kind] += count
            files.append(File(name, kind, count, len(content), hashlib.sha256(content).hexdigest()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        _LOG.warning("%s in %s: not whole (%s)", category, directory, error)
        return None
    if window is None:
        return None
    return Record(
        category=category,
        status="kept",
        updated=stamp(datetime.fromtimestamp((directory / files[0].name).stat().st_mtime, UTC)) or "",
        window_start=stamp(window.start) or "",
        window_end=stamp(window.end) or "",
        addresses=counts["text-ipv4"],
        addresses_ipv6=counts["text-ipv6"],
        asns=len(systems),
        events=events,
        unproven=unproven,
        files=tuple(files),
    )


def fingerprint(records: Mapping[str, Record], problems: Iterable[str], others: Iterable[File]) -> object:
    """Return what two runs must have in common for the second one to publish nothing new."""

    def content(record: Record) -> list[tuple[str, str]]:
        # A delta is of two generations: it differs though nothing else does.
        return [(file.name, file.sha256) for file in record.files if file.format != delta.FORMAT]

    return (
        [(record.category, record.status, record.problem, content(record)) for record in records.values()],
        list(problems),
        [(file.name, file.sha256) for file in others],
    )


def published_others(directory: Path | None) -> tuple[File, ...]:
    """Return the files of no feed that the published list names; none when it can't be read."""
    try:
        document = json.loads(((directory or Path("/nonexistent")) / LIST).read_text(encoding="utf-8"))
        names = [f.name for f in dataclasses.fields(File)]
        lists = [document["combined"], *document.get("daily", ()), *document.get("sharing", ())]
        return tuple(File(**{name: file[name] for name in names}) for one in lists for file in one["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def published_problems(directory: Path | None) -> list[str]:
    """Return the problems that the published list names; none when it can't be read."""
    try:
        document = json.loads(((directory or Path("/nonexistent")) / LIST).read_text(encoding="utf-8"))
        return [str(problem) for problem in document.get("problems", [])]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


def _list(config: Config, report: Report) -> str:
    def entry(feed: Feed) -> dict[str, object]:
        about: dict[str, object] = {
            "category": feed.category,
            "title": feed.title,
            "description": feed.description,
            "first_seen_column": feed.first_seen,
        }
        record = report.records.get(feed.category)
        if record is None:
            return {**about, "status": "none", "files": []}
        return {
            **about,
            **dataclasses.asdict(record),
            "stale_after": stamp(stale_after(config, record)),
            "files": located(record.files),
        }

    def located(files: Iterable[File]) -> list[dict[str, object]]:
        return [{**dataclasses.asdict(file), "url": f"/{report.generation}/{file.name}"} for file in files]

    condition, table = report.condition, report.table
    newest = max(report.records.values(), key=lambda record: record.end, default=None)
    return json.dumps(
        {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "network": dataclasses.asdict(config.network),
            "generation": f"/{report.generation}/",
            "generated": stamp(report.now),
            "next_update": stamp(next_update(config, report.now)),
            "stale_after": stamp(next_update(config, report.now) + timedelta(hours=config.stale_hours)),
            "window_start": newest and newest.window_start,
            "window_end": newest and newest.window_end,
            "manifest": f"/{report.generation}/{store.MANIFEST}",
            "signature": f"/{report.generation}/{store.MANIFEST}.minisig" if config.signing_key else None,
            "deltas": f"/{report.generation}/{delta.INDEX}",
            "quality": f"/{report.generation}/{quality.FILE}",
            "problems": list(report.problems),
            "source": None
            if condition is None
            else {
                "newest_event": stamp(condition.newest_event),
                "collectors": [
                    {
                        "name": name,
                        "loaded": stamp(moved),
                        "lag_seconds": max(0, int((condition.clock - moved).total_seconds())),
                    }
                    for name, moved in sorted(condition.collectors.items())
                ],
            },
            "asn_table": {
                "modified": stamp(table.modified),
                "age_seconds": max(0, int((report.now - table.modified).total_seconds())) if table.modified else None,
                "ranges": len(table.table),
                "overlaps": table.table.overlaps,
                "problem": table.problem,
            },
            "combined": {**dataclasses.asdict(report.combined), "files": located(report.combined.files)},
            "lookup": f"/{report.generation}/{store.LOOKUP}/" if report.has_lookup else None,
            "daily": [{**dataclasses.asdict(one), "files": located(one.files)} for one in report.daily],
            "sharing": [{**dataclasses.asdict(one), "files": located(one.files)} for one in report.shared],
            "feeds": [entry(feed) for feed in config.feeds],
        },
        indent=1,
        ensure_ascii=False,
    )


def _quality(config: Config, report: Report) -> bytes:
    document = {
        "schema_version": quality.VERSION,
        "generation": f"/{report.generation}/",
        "generated": stamp(report.now),
        "feeds": [dataclasses.asdict(report.worth[f.category]) for f in config.feeds if f.category in report.worth],
    }
    return f"{json.dumps(document, indent=1, ensure_ascii=False)}\n".encode()


@functools.cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)


def _page(template: str, config: Config, report: Report) -> bytes:
    text = _template(template).render(
        network=config.network,
        feeds=config.feeds,
        report=report,
        records=report.records,
        next_update=stamp(next_update(config, report.now)),
        signed=config.signing_key is not None,
        other_formats=formats.kinds(),
    )
    return text.encode()


def _security_txt(config: Config, now: datetime) -> str:
    """RFC 9116. It has to end within a year; each generation brings a new one."""
    contact, url = config.network.contact, config.network.url
    if not contact.startswith(("https://", "mailto:")):
        contact = f"mailto:{contact}" if "@" in contact and " " not in contact else url
    lines = [f"Contact: {contact}", f"Expires: {stamp(now + timedelta(days=90))}", "Preferred-Languages: en"]
    if url.startswith("https://"):
        lines.append(f"Canonical: {url.rstrip('/')}/.well-known/security.txt")
    return "".join(f"{line}\n" for line in lines)


def write(builder: store.Builder, config: Config, report: Report, former: Path | None) -> None:
    """Write the site's own files. Raises OSError."""
    pages = {
        LIST: f"{_list(config, report)}\n".encode(),
        SCHEMA: (_TEMPLATES / SCHEMA).read_bytes(),
        "index.html": _page("index.html.j2", config, report),
        "lookup.html": _page("lookup.html.j2", config, report),
        "lookup.js": (_TEMPLATES / "lookup.js").read_bytes(),
        "robots.txt": _ROBOTS.encode(),
        "style.css": (_TEMPLATES / "style.css").read_bytes(),
        ".well-known/security.txt": _security_txt(config, report.now).encode(),
    }
    if config.signing_key is not None:
        pages["minisign.pub"] = config.signing_key.with_suffix(".pub").read_bytes()
    # What is told besides must not keep the feeds from being published.
    optional: dict[str, Callable[[], bytes]] = {
        changes.NAME: lambda: changes.render(config.network, report.news, stamp(report.now) or ""),
        quality.FILE: lambda: _quality(config, report),
        quality.PAGE: lambda: _page("quality.html.j2", config, report),
    }
    for name, render in optional.items():
        try:
            pages[name] = render()
        except Exception:
            _LOG.exception("%s: left out", name)
    for name, content in pages.items():
        builder.renew(name, content, former, companions=())
    # Compressed, since everyone who polls reads it.
    builder.add(delta.INDEX, report.way.render())
