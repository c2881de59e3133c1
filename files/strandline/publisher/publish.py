"""From sightings to a generation of files: compiles each feed, judges it, and switches the site once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from . import (
    changes,
    confidence,
    delta,
    feedfile,
    formats,
    formatted,
    guards,
    lookup,
    pairs,
    quality,
    sharing,
    site,
    store,
)
from .addresses import NeverList, address_text, packed
from .astable import AsTable, Loaded, load_or_last
from .config import Config, Feed
from .errors import RefusedError, SourceError, SourceUnavailableError
from .feedfile import Entry
from .source import Condition, Snapshot, Source
from .window import Window

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accept:
    """Which guards the operator overrules for one run."""

    drop: bool = False
    growth: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a run did, by category; `problems` are sentences for the operator, `sizes` numbers of addresses."""

    published: tuple[str, ...]
    failed: tuple[str, ...]
    source_unavailable: bool = False
    problems: tuple[str, ...] = ()
    stale_after: datetime | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    loaded: datetime | None = None
    """Until when every collector has brought its events; None when that is not known."""


class Gathered:
    """The sources of a feed that may be published, bounded: what is beyond a limit is counted and let go."""

    def __init__(
        self, table: AsTable, never: NeverList, judge: confidence.Judge, *, most: int, most_unproven: int
    ) -> None:
        self._table = table
        self._never = never
        self._judge = judge
        self._most = most
        self._most_unproven = most_unproven
        self.proven: dict[str, Entry] = {}
        self.unproven: dict[str, Entry] = {}
        self.proven_count = 0
        self.unproven_count = 0
        self.never_listed = 0

    def take(self, address: str, first: str, last: str, events: int, verified: int, days: int = 0, /) -> None:
        """Take a source; see `source.Take`."""
        value = packed(address)
        if value in self._never:
            self.never_listed += 1
            return
        if ":" in address:
            address = address_text(value)
        # An address comes twice only when it was stored in two forms, as itself and IPv4-mapped.
        if known := self.proven.pop(address, None):
            self.proven_count -= 1
        elif known := self.unproven.pop(address, None):
            self.unproven_count -= 1
        if known:
            first, last = min(first, known.first_seen), max(last, known.last_seen)
            events, verified, days = events + known.events, verified + known.verified_events, days | known.days
        if verified:
            self.proven_count += 1
            chosen, room = self.proven, self._most
        else:
            self.unproven_count += 1
            chosen, room = self.unproven, self._most_unproven
        if len(chosen) >= room:
            return
        system = self._table.find(value)
        chosen[address] = Entry(
            system.asn if system else -1, address, system, first, last, events, verified, days,
            *self._judge(first, last, events, verified, days),
        )  # fmt: skip


@dataclass(frozen=True)
class Compiled:
    """A feed that may replace the published one: the entries of each text file, and of the NDJSON file."""

    texts: dict[str, list[Entry]]
    entries: list[Entry]
    unproven: int
    held_back: dict[str, int]
    problem: str


def _still_there(rows: Iterable[tuple[str, str]], window: Window, never: NeverList) -> int:
    """Count the published addresses (each with its last seen time) that are in the window and still publishable."""
    start, end = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (window.start, window.end))
    return sum(start <= seen < end and packed(address) not in never for address, seen in rows)


def expected_rows(directory: Path, category: str, family: int, window: Window, never: NeverList) -> int:
    """Return how many of a feed's published addresses of a family must come back.

    An address leaves a feed by age only, so this tells a loss of data from a quiet week. It may have moved between the
    file of unproven sources and the other one. 0 when there is no file.
    """
    expected = 0
    for part in feedfile.PARTS:
        path = directory / feedfile.text_name(category, family, part=part)
        try:
            rows = feedfile.published_rows(path.read_text(encoding="ascii"))
            expected += _still_there(rows, window, never)
        except FileNotFoundError:
            continue
        except ValueError as error:  # among them UnicodeDecodeError
            _LOG.warning("%s: not a feed that this program wrote (%s); it is replaced", path, error)
    return expected


def expected_proven(directory: Path, category: str, family: int, window: Window, never: NeverList) -> int:
    """Return how many of the published addresses must come back that were proven to be real, as `expected_rows`."""
    path = directory / f"{category}.ndjson"
    try:
        rows = feedfile.published_proven(path.read_text(encoding="utf-8"))
        return _still_there((row for row in rows if (":" in row[0]) == (family == 6)), window, never)
    except FileNotFoundError:
        return 0
    except (ValueError, KeyError, TypeError) as error:
        _LOG.warning("%s: not a file that this program wrote (%s); it is replaced", path, error)
        return 0


class Run:
    """One run: what is published now, what the database has, and the limits."""

    def __init__(self, config: Config, window: Window, *, now: datetime, accept: Accept) -> None:
        self.config = config
        self.window = window
        self.now = now
        self.accept = accept
        self.former = store.current(config.webroot)
        if self.former is None and (config.webroot / site.LIST).is_file():
            self.former = config.webroot  # as releases before the generations left it
        # What deltas are counted from; nothing that is not a generation stays for those who read them.
        self.since = self.former if self.former != config.webroot else None
        self.previous = site.load_records(self.former, config.feeds)
        self.history = guards.History(config.state / "history.json")
        self.loaded: Loaded = load_or_last(config.asn_table, config.state / "asn.table")
        self.models = confidence.load(config.state)
        self.disk_problems: list[str] = []
        self._formatted = formatted.Writer(config.formats, self.former)
        self._combined = formatted.Combined(config.never)
        self.overlap = quality.Overlap()
        self.latencies: dict[str, quality.Latency | None] = {}
        self.sharing = sharing.Sharing(config, window.end, self.former)
        self._serial = int(window.end.timestamp())

    def compile(self, feed: Feed, snapshot: Snapshot) -> Compiled | None:
        """Return what may be published of a feed, or None while it never had an address.

        Raises RefusedError, SourceError.
        """
        guard = self.config.guard
        kept = self.previous.get(feed.category)
        published = kept.addresses + kept.addresses_ipv6 if kept else None
        most = 10**9 if self.accept.growth else guards.most_rows(published, guard)
        past = self.history.of(feed.category) or ([kept.unproven or published or 0] if kept else [])
        limit = guards.unproven_limit(past, guard)
        direct = guard.unproven in ("plausible", "publish", "separate")

        judge = self.models.judge(feed.category, self.window.end, self.now)

        def gathered(room: int) -> Gathered:
            return Gathered(self.loaded.table, self.config.never, judge, most=most, most_unproven=room)

        sources = gathered(limit + 1 if direct else 0)
        snapshot.rows(feed.category, self.window, sources.take)
        problem = ""
        unproven = sources.unproven
        if len(unproven) > limit or guard.unproven == "several":
            if direct:
                problem = (
                    f"{sources.unproven_count} sources that were never proven to be real, where {limit} are plausible: "
                    f"only those that {guard.unproven_sensors} sensors saw are published"
                )
            unproven = sources.unproven = {}  # their memory is needed for the others
            several = gathered(limit)
            try:
                snapshot.rows_of_several(
                    feed.category, self.window, several.take, sensors=guard.unproven_sensors, most=limit
                )
                unproven = several.unproven
            except SourceUnavailableError:
                raise
            except SourceError as error:
                problem += f"; they can't be told ({error}), so none of them is"
        if sources.proven_count + len(unproven) > most:
            raise RefusedError(
                f"{sources.proven_count + len(unproven)} rows, where at most {most} are plausible"
                f" for a feed of {published or 0}; see --accept-growth if they are real"
            )
        return self._split(feed, sources, unproven, problem)

    def _split(self, feed: Feed, sources: Gathered, unproven: dict[str, Entry], problem: str) -> Compiled | None:
        """Sort the entries into files, and judge each. Raises RefusedError."""
        parts = {"": {**unproven, **sources.proven}}
        if self.config.guard.unproven == "separate":
            parts = dict(zip(feedfile.PARTS, (sources.proven, unproven), strict=True))
        texts: dict[str, list[Entry]] = {}
        entries: list[Entry] = []
        for part, found in parts.items():
            ordered = sorted(found.values())
            entries += ordered
            for family in (4, 6):
                name = feedfile.text_name(feed.category, family, part=part)
                mine = [entry for entry in ordered if (":" in entry.address) == (family == 6)]
                # The first file waits for the first address: an empty list would be worse than none.
                if mine or (self.former is not None and (self.former / name).exists()):
                    texts[name] = mine
        self._judge_drop(feed, entries, held_back=bool(problem))
        if not texts:
            return None
        held = {"never_listed": sources.never_listed, "unproven": sources.unproven_count - len(unproven)}
        return Compiled(texts, sorted(entries) if len(parts) > 1 else entries, len(unproven), held, problem)

    def _judge_drop(self, feed: Feed, entries: list[Entry], *, held_back: bool) -> None:
        """Compare a feed with what is published of it, each family by itself. Raises RefusedError."""
        if self.former is None or self.accept.drop:
            return
        guard = self.config.guard
        # Sources that are held back on purpose have not been lost: only those that were proven must come back then.
        proven_only = held_back or guard.unproven in ("several", "omit")
        if proven_only:
            entries = [entry for entry in entries if entry.verified_events]
        expected = expected_proven if proven_only else expected_rows
        for family in (4, 6):
            rows = sum((":" in entry.address) == (family == 6) for entry in entries)
            there = expected(self.former, feed.category, family, self.window, self.config.never)
            guards.judge_drop(f"IPv{family}", rows, there, guard, all_may_leave=proven_only)

    def write(self, builder: store.Builder, feed: Feed, compiled: Compiled) -> site.Record:
        """Write a feed's files and return its record. Raises OSError."""
        described = []

        def add(name: str, kind: str, rows: int, content: bytes) -> None:
            described.append(site.File(name, kind, rows, len(content), builder.add(name, content)))

        count = {4: 0, 6: 0}
        for name, entries in compiled.texts.items():
            family = 6 if name.endswith("-ipv6.txt") else 4
            count[family] += len(entries)
            content = feedfile.render(self.config.network, feed, self.window, entries, family=family)
            add(name, f"text-ipv{family}", len(entries), content)
        add(f"{feed.category}.ndjson", "ndjson", len(compiled.entries), feedfile.render_ndjson(feed, compiled.entries))
        counts, delta_problems = self._write_delta(builder, feed, compiled.entries, described)
        proven = [entry.address for entry in compiled.entries if entry.verified_events]
        self._combined.take(feed.category, proven)
        self.overlap.take(feed.category, (entry.address for entry in compiled.entries))
        others = self._formatted.write(
            builder,
            formats.Listing(
                feed.category, self.config.network, formats.by_number(proven), compiled.entries, self._serial
            ),
        )
        return site.Record(
            category=feed.category,
            status="published",
            updated=site.stamp(self.now) or "",
            window_start=site.stamp(self.window.start) or "",
            window_end=site.stamp(self.window.end) or "",
            addresses=count[4],
            addresses_ipv6=count[6],
            asns=len({entry.asn for entry in compiled.entries if entry.system}),
            events=sum(entry.events for entry in compiled.entries),
            unproven=compiled.unproven,
            held_back=compiled.held_back,
            problem=compiled.problem,
            format_problems=(*delta_problems, *others.problems),
            delta=counts,
            files=(*described, *others.files),
        )

    def _write_delta(
        self, builder: store.Builder, feed: Feed, entries: list[Entry], described: list[site.File]
    ) -> tuple[dict[str, str | int] | None, tuple[str, ...]]:
        """Write what changed in a feed, and return the counts of it; None when that can't be told, and why.

        Raises OSError when the disk can't be written.
        """
        if self.since is None:
            return None, ()
        name = delta.name(feed.category)
        if feed.category not in self.previous and any(
            (self.since / f).exists() for f in site.feed_files(feed.category)
        ):
            # Its readers know addresses of it: to call all of them new would leave them with those that are gone.
            return None, (f"{name} is left out (the list of the generation before does not tell of the feed's files)",)
        try:
            with formatted.time_limit(formatted.SECONDS_EACH):
                found = delta.Delta(entries, [], [])
                if feed.category in self.previous:
                    found = delta.compare(self.since / f"{feed.category}.ndjson", entries)
                content = feedfile.render_delta(feed, found.added, found.renewed, found.gone)
        except Exception as error:
            _LOG.exception("%s: left out", name)
            return None, (f"{name} is left out ({' '.join(str(error).split()) or type(error).__name__})",)
        described.append(site.File(name, delta.FORMAT, found.rows, len(content), builder.add(name, content)))
        self.latencies[feed.category] = quality.latency(found.added, self.now)
        return found.counts(f"/{store.generation_name(self.since)}/"), ()

    def worth(self, records: Mapping[str, site.Record], way: delta.Way) -> dict[str, quality.Figures]:
        """Return what is said of each feed's quality; nothing when that fails, which no feed has to suffer for."""
        try:
            return self._figures(records, way)
        except Exception:
            _LOG.exception("no figures on the feeds' quality")
            return {}

    def _figures(self, records: Mapping[str, site.Record], way: delta.Way) -> dict[str, quality.Figures]:
        for category, record in records.items():
            if record.status == "kept" and self.former is not None:
                path = self.former / f"{category}.ndjson"
                if path.is_file():
                    self.overlap.take(category, delta.published_addresses(path))
        contributions = self.overlap.contributions(records)
        found = {}
        for category, record in records.items():
            addresses = record.addresses + record.addresses_ipv6
            found[category] = quality.Figures(
                category,
                addresses,
                record.events,
                addresses - record.unproven,
                quality.share(addresses - record.unproven, addresses),
                contributions.get(category, quality.Contribution()),
                quality.turnover(way.hours, way.counts(category)),
                self.models.stays.get(category),
                self.latencies.get(category) if record.status == "published" else None,
                self.models.of(category, self.now),
            )
        return found

    def combine(self, builder: store.Builder, records: dict[str, site.Record]) -> site.Combined:
        """Write the lists of all feeds' proven sources."""
        listing, problems = self._combined.listing(self.config.network, records, self.former, serial=self._serial)
        written = self._formatted.write(builder, listing)
        return site.Combined(
            len(listing.proven[4]), len(listing.proven[6]), (*problems, *written.problems), written.files
        )

    def daily(self, builder: store.Builder) -> tuple[tuple[site.Daily, ...], str]:
        """Write the lists that are counted once a day; also returns what went wrong. Raises OSError."""
        found = pairs.load(self.config.state, self.config.pairs)
        if found is None:
            return (), ""
        try:
            contents = pairs.contents(found)
        except Exception as error:
            _LOG.exception("%s: left out", pairs.NAME)
            return (), f"{pairs.NAME} is left out ({type(error).__name__})"
        return (site.write_pairs(builder, found, contents, self.former),), ""

    def keep(self, builder: store.Builder, category: str, problem: str) -> site.Record | None:
        """Take a feed's files over as they are; None when it has none. Raises OSError."""
        for name in site.feed_files(category):
            builder.discard(name)
        record = self.previous.get(category)
        if record is None or self.former is None:
            return None
        record = record.only(self.config.formats)
        for file in record.files:
            builder.keep(file.name, self.former)
        if self.since is None:
            return record.kept(problem)
        unchanged = delta.Delta([], [], [])
        name = delta.name(category)
        file = site.File(name, delta.FORMAT, 0, 0, builder.add(name, b""))
        return record.kept(problem, file, unchanged.counts(f"/{store.generation_name(self.since)}/"))

    def feed(self, builder: store.Builder, feed: Feed, snapshot: Snapshot) -> site.Record | None:
        """Publish a feed into the new generation, or keep what there is; None while it never had an address.

        Raises SourceUnavailableError when no other feed can be read any more, OSError when none can be written.
        """
        category = feed.category
        try:
            compiled = self.compile(feed, snapshot)
            if compiled is None:
                _LOG.info("%s: nothing seen yet, no file", category)
                return None
            record = self.write(builder, feed, compiled)
        except RefusedError as error:
            problem = str(error)
            _LOG.error("%s: %s; the published files stay", category, problem)
        except SourceUnavailableError:
            raise
        except SourceError as error:
            problem = str(error)
            _LOG.error("%s: %s; the published files stay", category, problem)
        except OSError:
            raise
        except Exception as error:
            # Whatever it is: the other feeds' readers must not suffer for it.
            problem = f"a mistake of this program ({type(error).__name__}); the journal has more"
            _LOG.exception("%s: not published; the published files stay", category)
        else:
            _LOG.info(
                "%s: %d IPv4 and %d IPv6 addresses, %d events",
                category, record.addresses, record.addresses_ipv6, record.events,
            )  # fmt: skip
            if record.problem:
                _LOG.warning("%s: %s", category, record.problem)
            return record
        return self.keep(builder, category, problem) or site.Record(
            category, "failed", "", "", "", 0, 0, 0, 0, problem=problem
        )

    def keep_all(self, builder: store.Builder, problem: str) -> dict[str, site.Record]:
        """Take every feed over as it is."""
        kept = {feed.category: self.keep(builder, feed.category, problem) for feed in self.config.feeds}
        return {category: record for category, record in kept.items() if record is not None}

    def _prune(self, condition: Condition) -> None:
        """Remove old generations: before any file is written, since on a full disk there is room for none otherwise.

        They are old by this machine's clock and by the database's: a wrong one removes nothing.
        """
        try:
            removed = store.prune(self.config.webroot, min(self.now, condition.clock))
        except OSError as error:
            _LOG.error("old generations can't be removed: %s", error)
            self.disk_problems.append(f"old generations can't be removed ({error.strerror})")
        else:
            _LOG.info("%d old generations are removed", removed)

    def compile_all(self, builder: store.Builder, source: Source) -> tuple[dict[str, site.Record], Condition, str]:
        """Publish every feed from one snapshot, or keep all of them; the last value says why then.

        Raises SourceUnavailableError, RefusedError, OSError.
        """
        with source.snapshot() as snapshot:
            condition = snapshot.condition
            published = [record.end for record in self.previous.values()]
            guards.judge_window(self.window, condition, published, through_now=self.config.through_now)
            self._prune(condition)
            addresses = sum(record.addresses + record.addresses_ipv6 for record in self.previous.values())
            problem = guards.silence(condition, 0 if self.accept.drop else addresses, self.config.guard)
            if problem:
                _LOG.error("%s; the published feeds stay", problem)
                return self.keep_all(builder, problem), condition, problem
            found = {feed.category: self.feed(builder, feed, snapshot) for feed in self.config.feeds}
        return {category: record for category, record in found.items() if record is not None}, condition, ""


def check_texts(config: Config, window: Window) -> None:
    """Raise ConfigurationError when a header can't be written, before anything is changed."""
    for feed in config.feeds:
        for family in (4, 6):
            feedfile.header(config.network, feed, window, family=family)


def _problems(
    run: Run, records: Iterable[site.Record], combined: site.Combined, condition: Condition | None, general: str
) -> tuple[str, ...]:
    """Return every problem of a run as a sentence."""
    found = [general] if general else []
    for record in records:
        if record.problem and record.problem != general:
            found.append(f"{record.category}: {record.problem}")
        found += record.format_problems
    found += combined.problems
    if condition is not None:
        found += guards.silent_collectors(condition, run.config.guard)
    found += run.disk_problems
    if run.loaded.problem:
        _LOG.error("%s", run.loaded.problem)
        found.append(run.loaded.problem)
    return tuple(found)


def run(config: Config, source: Source, window: Window, *, now: datetime, accept: Accept | None = None) -> Outcome:
    """Compile every feed into a new generation and let the site lead to it. A feed that fails keeps its files and stops
    no other; while the database is away or silent, all keep theirs.

    Raises ConfigurationError before anything is changed, RefusedError when the window can't be right, and OSError when
    the site can't be written: it stays as it was then.
    """
    check_texts(config, window)
    this = Run(config, window, now=now, accept=accept or Accept())
    condition: Condition | None = None
    unavailable = False
    with store.Builder(config.webroot) as builder:
        try:
            records, condition, general = this.compile_all(builder, source)
        except SourceUnavailableError as error:
            unavailable = True
            general = str(error)
            _LOG.error("%s; the published feeds stay", general)
            # What was compiled before the database went away is of no use: all feeds are of one moment.
            builder.clear()
            records = this.keep_all(builder, general)
        combined = this.combine(builder, records)
        daily, no_list = this.daily(builder)
        no_lookup = lookup.write(builder, records, this.former, config.never)
        shared, unshared = this.sharing.write(builder, records)
        problems = _problems(this, records.values(), combined, condition, general)
        problems += (*filter(None, (no_list, no_lookup)), *unshared)
        failed = tuple(r.category for r in records.values() if r.status != "published")
        if unavailable:
            failed = tuple(feed.category for feed in config.feeds)
        there = {category: record for category, record in records.items() if record.status != "failed"}
        problems += _switch(
            this, builder, there, condition, problems, combined, daily, shared, has_lookup=not no_lookup
        )
    published = tuple(r.category for r in records.values() if r.status == "published")
    return Outcome(
        published,
        failed,
        unavailable,
        problems,
        min((site.stale_after(config, record) for record in there.values()), default=None),
        {category: record.addresses + record.addresses_ipv6 for category, record in there.items()},
        min(condition.collectors.values(), default=None) if condition else None,
    )


def _switch(
    this: Run,
    builder: store.Builder,
    records: dict[str, site.Record],
    condition: Condition | None,
    problems: tuple[str, ...],
    combined: site.Combined,
    daily: tuple[site.Daily, ...],
    shared: tuple[site.Shared, ...],
    *,
    has_lookup: bool,
) -> tuple[str, ...]:
    """Finish the generation and let the site lead to it; one that says nothing new is dropped.

    Returns what went wrong after that. Raises OSError when the site stays as it was.
    """
    config, former = this.config, this.former
    published = site.fingerprint(this.previous, site.published_problems(former), site.published_others(former))
    others = [*combined.files, *(file for one in daily for file in one.files)]
    others += [file for one in shared for file in one.files]
    found = site.fingerprint(records, problems, others)
    # Each hour in which the database was asked has a generation, though nothing may have been seen: its list says until
    # when it holds.
    asked_anew = condition is not None and not store.is_of_hour(former, this.window.end)
    if store.current(config.webroot) is not None and found == published and not asked_anew:
        _LOG.info("nothing has changed since the last generation")
        return ()
    name = store.free_name(config.webroot, this.window.end)
    memory = config.state / "changes.json"
    state = changes.State.of({r.category: r.status for r in records.values()}, problems)
    news = changes.load(memory).then(state, problems, name, site.stamp(this.now) or "")
    counts = {category: record.delta for category, record in records.items()}
    way = delta.way(config.webroot, this.since, name, site.stamp(this.now) or "", counts)
    worth = this.worth(records, way)
    report = site.Report(
        name, this.now, records, condition, this.loaded, problems, combined, way, worth, daily, shared, news, has_lookup
    )
    site.write(builder, config, report, former)
    generation = builder.finish(name, key=config.signing_key, comment=f"generation {name}")
    changes.store(memory, news)  # before the switch: an entry too early is better than one that is told twice
    store.switch(config.webroot, generation)
    _LOG.info("generation %s is published", name)
    try:
        this.sharing.remember()
        this.history.add(this.window, {r.category: r.unproven for r in records.values() if r.status == "published"})
        if former == config.webroot:
            store.remove_flat_site(config.webroot)
    except OSError as error:
        _LOG.error("it is published, but not all is tidy: %s", error)
        return (f"after the publication: {error}",)
    return ()
