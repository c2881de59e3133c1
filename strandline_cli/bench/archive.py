"""`./strandline bench archive`: what it takes to write a day of events into the archive."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from strandline_cli import duckdb_library, paths
from strandline_cli.bench import network
from strandline_cli.errors import Refusal
from strandline_cli.progress import Progress

RESULT = network.BUILD / "archive.json"
PROGRAM = network.FILES / "archive" / "measure.py"
NEVER = 7200.0  # seconds: whatever takes longer hangs


@click.command("archive", short_help="What it takes to write a day into the archive.")
@click.option("--events", type=click.IntRange(1000, 1_000_000_000), default=1_000_000, show_default=True)
def archive(events: int) -> None:
    """Write a day of made-up events into an archive, and print bytes an event, CPU seconds and memory.

    The events' values are as hard to pack as real ones. Uses a PostgreSQL of its own, of this machine's package, and
    leaves nothing behind. Takes about two minutes.
    """
    progress = Progress("bench")
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        raise Refusal("PostgreSQL is not installed on this machine. Run: apt-get install postgresql")
    network.BUILD.mkdir(parents=True, exist_ok=True)
    with progress.step("archive", f"a day of {events:,} events") as step:
        step.say("fetch DuckDB, once")
        library = duckdb_library.folder()
        step.say("fill a database, and archive its day")
        path = f"PYTHONPATH={paths.ROOT / 'files'}{os.pathsep}{library}"
        found = network.figures(step, ["env", path, sys.executable, str(PROGRAM), "--events", str(events)], NEVER)
    network.write(RESULT, found)
    print(
        f"{found['bytes_per_event']} bytes an event ({found['database_bytes_per_event']} in the database),"
        f" {found['cpu_seconds']} s of CPU and PostgreSQL's {found['postgresql_cpu_seconds']},"
        f" {found['peak_mib']} MiB at most. Everything: {paths.shown(RESULT)}"
    )
