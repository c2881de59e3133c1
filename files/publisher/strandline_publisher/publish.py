"""From sightings to files: compiles each feed, judges it, and puts it in place."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import feedfile, site, store
from .addresses import NeverList, address_text, packed
from .astable import AsTable
from .config import Config, Feed, Guard
from .errors import RefusedError, SourceError, SourceUnavailableError
from .feedfile import Entry
from .source import Row, Source
from .window import Window

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What a run did, by category."""

    published: tuple[str, ...]
    failed: tuple[str, ...]
    source_unavailable: bool = False


@dataclass(frozen=True)
class Compiled:
    """A feed that may replace the published one."""

    files: dict[str, bytes]
    record: site.Record


def text_name(feed: Feed, family: int) -> str:
    """Return the name of the feed's text file for the address family (4 or 6)."""
    return f"{feed.category}.txt" if family == 4 else f"{feed.category}-ipv6.txt"


def collect(rows: Iterable[Row], table: AsTable, never: NeverList) -> dict[int, list[Entry]]:
    """Return the sorted entries by address family, one for each address that may be published."""
    entries: dict[bytes, Entry] = {}
    for row in rows:
        value = packed(row.address)
        if value in never:
            continue
        first, last = row.first_seen.astimezone(UTC), row.last_seen.astimezone(UTC)
        events, verified = row.events, row.verified_events
        # An address comes twice only when it was stored in two forms, as itself and IPv4-mapped.
        if known := entries.get(value):
            first, last = min(first, known.first_seen), max(last, known.last_seen)
            events, verified = events + known.events, verified + known.verified_events
        entries[value] = Entry(value, address_text(value), table.find(value), first, last, events, verified)
    ordered = sorted(entries.values(), key=lambda entry: entry.sort_key)
    return {family: [e for e in ordered if len(e.value) == length] for family, length in ((4, 4), (6, 16))}


def expected_rows(path: Path, window: Window, never: NeverList) -> int:
    """Return how many rows of the published file must come back: last seen in the window, and still publishable.

    A row leaves a feed by age only, so this tells a loss of data from a quiet week. 0 when there is no such file.
    """
    try:
        rows = list(feedfile.published_rows(path.read_text(encoding="ascii")))
        return sum(window.start <= seen < window.end and packed(address) not in never for address, seen in rows)
    except FileNotFoundError:
        return 0
    except ValueError as error:  # among them UnicodeDecodeError
        _LOG.warning("%s: not a feed that this program wrote (%s); it is replaced", path, error)
        return 0


def judge(name: str, rows: int, expected: int, guard: Guard) -> None:
    """Raise RefusedError when too few rows have come back."""
    if expected and not rows:
        raise RefusedError(f"{name}: no row, where {expected} published ones are still in the window")
    if expected > guard.min_rows and rows * 100 < expected * guard.percent:
        raise RefusedError(
            f"{name}: {rows} rows, fewer than {guard.percent} % of the {expected} published ones still in the window"
        )


def compile_feed(
    config: Config, feed: Feed, rows: Iterable[Row], window: Window, table: AsTable, *, now: datetime, override: bool
) -> Compiled | None:
    """Return the feed's files, or None while it never had an address. Raises RefusedError, SourceError."""
    families = collect(rows, table, config.never)
    files: dict[str, bytes] = {}
    described: list[site.File] = []
    for family, entries in families.items():
        name = text_name(feed, family)
        path = config.webroot / name
        # The first file waits for the first address: an empty list would be worse than none.
        if not entries and not path.exists():
            continue
        if not override:
            judge(name, len(entries), expected_rows(path, window, config.never), config.guard)
        files[name] = feedfile.render(config.network, feed, window, entries, family=family)
        described.append(_describe(name, f"text-ipv{family}", len(entries), files[name]))
    if not files:
        return None
    both = [*families[4], *families[6]]
    name = f"{feed.category}.ndjson"
    files[name] = feedfile.render_ndjson(feed, both)
    described.append(_describe(name, "ndjson", len(both), files[name]))
    record = site.Record(
        category=feed.category,
        status="published",
        updated=f"{now:%Y-%m-%dT%H:%M:%SZ}",
        window_start=f"{window.start:%Y-%m-%dT%H:%M:%SZ}",
        window_end=f"{window.end:%Y-%m-%dT%H:%M:%SZ}",
        addresses=len(families[4]),
        addresses_ipv6=len(families[6]),
        asns=len({entry.system.asn for entry in both if entry.system}),
        events=sum(entry.events for entry in both),
        files=tuple(described),
    )
    return Compiled(files, record)


def _describe(name: str, kind: str, rows: int, content: bytes) -> site.File:
    return site.File(name, kind, rows, len(content), hashlib.sha256(content).hexdigest())


def check_texts(config: Config, window: Window) -> None:
    """Raise ConfigurationError when a header can't be written, before anything is changed."""
    for feed in config.feeds:
        for family in (4, 6):
            feedfile.header(config.network, feed, window, family=family)


def run(config: Config, source: Source, window: Window, *, now: datetime, override: bool = False) -> Outcome:
    """Compile and publish every feed, then the index page. A feed that fails keeps its files and stops no other.

    Raises ConfigurationError before anything is changed, and OSError when the website's own pages can't be written.
    """
    check_texts(config, window)
    table = AsTable.load(config.asn_table)
    store.clean(config.webroot)
    previous = site.load_records(config.webroot)
    records: dict[str, site.Record] = {}
    published: list[str] = []
    failed: list[str] = []
    unavailable = False
    for feed in config.feeds:
        category = feed.category
        kept = previous.get(category)
        try:
            if unavailable:
                raise SourceUnavailableError("not tried, since the database can't be reached")
            rows = source.rows(category, window)
            compiled = compile_feed(config, feed, rows, window, table, now=now, override=override)
            if compiled is None:
                _LOG.info("%s: nothing seen yet, no file", category)
                continue
            store.write_files(config.webroot, compiled.files)
            records[category] = compiled.record
            published.append(category)
            _LOG.info(
                "%s: %d IPv4 and %d IPv6 addresses, %d events",
                category, compiled.record.addresses, compiled.record.addresses_ipv6, compiled.record.events,
            )  # fmt: skip
            continue
        except RefusedError as error:
            _LOG.error("%s; the published files stay. See --accept-drop if the loss is real", error)
        except SourceUnavailableError as error:
            unavailable = True
            _LOG.error("%s: %s; the published files stay", category, error)
        except SourceError as error:
            _LOG.error("%s: %s; the published files stay", category, error)
        except Exception:
            # Whatever it is: the other feeds' readers must not suffer for it.
            _LOG.exception("%s: not published; the published files stay", category)
        failed.append(category)
        if kept:
            records[category] = kept.kept()
    defined = {feed.category for feed in config.feeds}
    for category in sorted(previous.keys() - defined):
        store.remove_files(config.webroot, site.feed_files(category))
        _LOG.info("%s: no longer defined, its files are removed", category)
    site.write(config, window, records, now=now)
    return Outcome(tuple(published), tuple(failed), unavailable)
