"""`python3 -m strandline.publisher`: publish once.

Exit status: 0 all feeds are published, 1 some (or none) are and the others keep their files, 75 the database
can't be reached or another run goes on (try again later), 78 a configuration file can't be used (nothing was changed),
2 wrong arguments. 75 and 78: sysexits.h.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..shared.settings import ConfigurationError
from . import addresses, confidence, config, mirror, pairs, publish, store, window
from .astable import AsTable
from .errors import RefusedError, SourceError
from .source import PostgresSource, Source

_LOG = logging.getLogger("strandline.publisher")
_READERS: Mapping[str, Callable[[Path], object]] = {
    "asn-table": AsTable.load,
    "feeds": config.load_feeds,
    "never-publish": addresses.load_never_publish,
}
_EX_TEMPFAIL = 75
_EX_CONFIG = 78
_MIRRORS_SECONDS = 2400.0  # for all of them together: they must not hold up the next hour's run
_LOCK_TIMEOUT = 300.0  # seconds; a run of 200,000 addresses takes some ten


class _JournalFormatter(logging.Formatter):
    """Puts sd-daemon(3)'s priority before the message where stderr is the journal."""

    _PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        priority = next((number for level, number in self._PRIORITIES if record.levelno >= level), 7)
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())


def _start_logging() -> None:
    handler = logging.StreamHandler()
    journal = "JOURNAL_STREAM" in os.environ and not sys.stderr.isatty()
    handler.setFormatter((_JournalFormatter if journal else logging.Formatter)("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="strandline.publisher", description="Publish the feeds once.")
    parser.add_argument("--config", type=Path, default=Path("/etc/strandline/publisher.yml"), metavar="FILE")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--end", metavar="TIME", help="end of the window, a full hour: 2026-11-25T03:00Z")
    end.add_argument("--through-now", action="store_true", help="end the window at the next full hour, not the last")
    parser.add_argument(
        "--accept-drop", action="store_true", help="publish even when a feed has lost too many rows to be believed"
    )
    parser.add_argument("--accept-growth", action="store_true", help="publish even when a feed has grown implausibly")
    parser.add_argument("--check", action="store_true", help="check the configuration and stop")
    parser.add_argument(
        "--check-file",
        nargs=2,
        metavar=("KIND", "FILE"),
        help=f"check a file before it is put in place, and stop; KIND: {', '.join(_READERS)}",
    )
    options = parser.parse_args(arguments)
    if options.check_file and options.check_file[0] not in _READERS:
        parser.error(f"--check-file: KIND is one of {', '.join(_READERS)}")
    try:
        options.end = options.end and window.parse_end(options.end)
    except ValueError as error:
        parser.error(f"--end: {error}")
    return options


def _run(options: argparse.Namespace) -> int:
    if options.check_file:
        kind, name = options.check_file
        _READERS[kind](Path(name))
        return 0
    now = datetime.now(UTC)
    settings = config.load(options.config)
    span = options.end or window.ending_now(now, through_now=options.through_now or settings.through_now)
    if options.check:
        publish.check_texts(settings, span)
        AsTable.load(settings.asn_table)
        return 0
    source = PostgresSource(settings.database, statement_timeout=settings.statement_timeout)
    accept = publish.Accept(drop=options.accept_drop, growth=options.accept_growth)
    with store.lock(settings.state / "lock", timeout=_LOCK_TIMEOUT):
        try:
            outcome = publish.run(settings, source, span, now=now, accept=accept)
        except Exception as error:
            _note(settings, source, None, [str(error)])
            raise
        # Whatever happened: a mirror that missed something gets it now.
        missed = _push(settings)
        late = "" if outcome.source_unavailable or options.end else _count_pairs(settings, source, outcome.loaded, now)
        _note(settings, source, outcome.stale_after, [*outcome.problems, *missed, *([late] if late else [])])
        if not outcome.source_unavailable:
            _renew_confidence(settings, source, outcome.sizes, now)
    if outcome.source_unavailable:
        return _EX_TEMPFAIL
    return 1 if outcome.failed or missed else 0


def _push(settings: config.Config) -> list[str]:
    """Bring the mirrors up to date; return what went wrong. One that fails stops no other."""
    missed = []
    until = time.monotonic() + _MIRRORS_SECONDS
    if settings.mirror_key is not None and store.current(settings.webroot) is not None:
        for one in settings.mirrors:
            try:
                problem = mirror.push(one, settings.webroot, key=settings.mirror_key, state=settings.state, until=until)
            except OSError as error:
                problem = f"mirror {one.name}: {error}"
            if problem:
                _LOG.error("%s", problem)
                missed.append(problem)
    return missed


def _count_pairs(settings: config.Config, source: Source, loaded: datetime | None, now: datetime) -> str:
    """Count the list of user names and passwords if it is time. It has a day's time: this run has done its work."""
    try:
        problem = pairs.refresh(
            source, settings.state, settings.pairs, now=now, through_now=settings.through_now, loaded=loaded
        )
    except Exception as error:
        _LOG.exception("%s: not counted", pairs.NAME)
        return f"{pairs.NAME}: not counted ({type(error).__name__})"
    if problem:
        _LOG.error("%s", problem)
    return problem


def _renew_confidence(settings: config.Config, source: Source, sizes: Mapping[str, int], now: datetime) -> None:
    """Fit the models of the next runs. Nothing that is published waits for it, or depends on it."""
    try:
        confidence.renew(settings.state, source, sizes, now)
    except (OSError, SourceError) as error:
        _LOG.warning("the confidence can't be fitted again: %s", error)
    except Exception:  # a mistake of this program; what is published is published
        _LOG.exception("the confidence can't be fitted again")


def _note(settings: config.Config, source: Source, stale_after: datetime | None, problems: Sequence[str]) -> None:
    """Tell the watcher; when the database is away, what it last heard gets too old."""
    try:
        source.note(settings.publisher, stale_after, problems)
    except SourceError as error:
        _LOG.warning("%s", error)


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit status."""
    _start_logging()
    options = _arguments(arguments)
    try:
        return _run(options)
    except ConfigurationError as error:
        _LOG.error("%s", error)
        return _EX_CONFIG
    except RefusedError as error:
        _LOG.error("%s", error)
        return 1
    except TimeoutError as error:
        _LOG.error("%s", error)
        return _EX_TEMPFAIL
    except (OSError, ValueError) as error:
        _LOG.error("the website can't be written: %s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
