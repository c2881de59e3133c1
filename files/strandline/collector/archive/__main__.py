"""python3 -m strandline.collector.archive: write each day that is new or has changed, or check what was written.

`write`, what the timer runs, takes every UTC day that has ended, whose events are in the database and whose account is
not the one that the archive has. `check` compares every file with its sum. Either names what is wrong, one line each,
and carries on with the other days.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from strandline.collector.archive import config as configuration
from strandline.collector.archive.store import Busy, Store
from strandline.shared.settings import ConfigurationError


def write(config: configuration.Config, store: Store) -> list[str]:
    """Write what is new or has changed; return what could not be. Raises OSError, Busy."""
    # Here: whoever only wants files checked need not have them.
    import duckdb  # noqa: PLC0415
    import psycopg2  # noqa: PLC0415

    from strandline.collector.archive.source import Source  # noqa: PLC0415
    from strandline.collector.archive.writer import DoesNotAddUp, write_day  # noqa: PLC0415

    problems = []
    with store.writing():
        try:
            source = Source(config.database)
        except psycopg2.Error as error:
            return [str(error).strip()]
        try:
            for day, account in sorted(source.accounts().items()):
                if store.account(day) == account:
                    continue
                if lacking := store.room(sum(account.values()), config.min_free_mib):
                    problems.append(f"{day}: {lacking}")
                    continue
                try:
                    events = write_day(store, day, source.day(day), config.columns, config.memory_mib)
                    size = sum(path.stat().st_size for path in store.folder(day).glob("*/*.parquet"))
                    print(f"{day}: {events} events, {size} bytes")
                except (DoesNotAddUp, duckdb.Error) as error:
                    was = "what the archive had stays" if store.account(day) is not None else "it is not in the archive"
                    problems.append(f"{day}: {str(error).strip()}; {was}")
                finally:
                    source.end()
        except psycopg2.Error as error:
            problems.append(str(error).strip())
        finally:
            source.close()
    return problems


def check(store: Store) -> list[str]:
    """Say which files are not as they were written."""
    return [problem for day in store.days() for problem in store.problems(day)]


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit status 1 when something is wrong with the archive, 2 when the configuration is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["write", "check", "configuration"], nargs="?", default="write")
    parser.add_argument("--config", type=Path, default=Path("/etc/strandline/archive.yml"))
    parser.add_argument("--directory", type=Path, help="check: a copy of the archive, which needs no configuration")
    options = parser.parse_args(arguments)
    if options.directory and options.what != "check":
        parser.error("--directory goes with check")
    try:
        if options.directory:
            if not options.directory.is_dir():
                parser.error(f"{options.directory} is no directory")
            store = Store(options.directory)
            problems = check(store)
        else:
            config = configuration.load(options.config)
            if options.what == "configuration":
                return 0
            store = Store(config.directory)
            problems = write(config, store) if options.what == "write" else check(store)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    except (OSError, Busy) as error:
        print(str(error).strip(), file=sys.stderr)
        return 1
    for problem in problems:
        print(problem, file=sys.stderr)
    if options.what == "check" and not problems:
        print(f"{len(store.days())} days are as they were written")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
