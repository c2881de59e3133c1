"""Wait until the collector's database holds what the scanner did: each event once, and right."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from strandline_cli import paths
from strandline_cli.demo import scan
from strandline_cli.demo.network import Network
from strandline_cli.errors import StepFailed
from strandline_cli.progress import Step

SCANNER = paths.ROOT / "files" / "demo" / "scanner"
ROWS = scan.KEPT_RECORD.with_name("rows.jsonl")
LIMIT = 120.0  # seconds from the end of the scan until the last event must have arrived
PAUSE = 2.0  # seconds between two looks


def query(record: Path) -> str:
    """Return the SQL for the rows of the time that the record covers."""
    sys.path.insert(0, str(SCANNER))
    try:
        from strandline_scanner import compare  # noqa: PLC0415 - the scanner's own program, found by its path
    finally:
        sys.path.remove(str(SCANNER))
    start, end = compare.window([json.loads(line) for line in record.read_text().splitlines()])
    return str(compare.QUERY.format(start=start, end=end))


def fetch(step: Step, net: Network, sql: str) -> int:
    """Write the database's rows to ROWS and return how many there are."""
    psql = [
        "runuser",
        "-u",
        "postgres",
        "--",
        "psql",
        "--no-psqlrc",
        "--tuples-only",
        "--no-align",
        "--dbname=strandline",
    ]
    ROWS.write_text(step.output(["podman", "exec", net.collector, *psql, f"--command={sql}"], keep=False))
    return len(ROWS.read_text().splitlines())


def wait(step: Step, net: Network) -> None:
    """Compare until the two agree. Raises StepFailed with the differences when they don't in time."""
    sql = query(scan.KEPT_RECORD)
    compare: list[str | Path] = [sys.executable, SCANNER / "compare.py", "--record", scan.KEPT_RECORD, "--rows", ROWS]
    ends = time.monotonic() + LIMIT
    while True:
        count = fetch(step, net, sql)
        step.say(f"{count} events")
        if step.run(compare, check=False, watch=lambda _line: None) == 0:
            step.say(f"{count} events, each one right.")
            return
        if time.monotonic() > ends:
            raise StepFailed("the database and the scanner's record differ")
        time.sleep(PAUSE)
