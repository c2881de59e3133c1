"""Watch a database take in the rows of a run, and what its processes cost.

    python3 watch.py article|strandline RUN COUNT PATIENCE

Ends when COUNT rows are committed, or when none came for PATIENCE seconds. Prints, as JSON: rows, distinct numbers, the
time of the last change (seconds since 1970), CPU seconds by process since the start of this program, and the loader's
peak memory (KiB).
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import psycopg2

EVERY = 0.1  # seconds between two looks
TICKS = os.sysconf("SC_CLK_TCK")
SIDES = {
    # A count of all rows costs what the rows cost: look less often while they are many.
    "article": (
        "dbname=syslog user=postgres",
        "SELECT count(*) FROM events WHERE run = %s",
        "SELECT count(*), count(DISTINCT (sensor, n)) FROM events WHERE run = %s",
    ),
    "strandline": (
        "dbname=strandline user=postgres",
        """SELECT coalesce(sum(t.stored), 0)::bigint FROM strandline.tally t JOIN strandline.run r ON r.id = t.run_id
           WHERE r.run = %s""",
        """SELECT count(*), count(DISTINCT (e.run_id, e.n))
           FROM strandline.event e JOIN strandline.run r ON r.id = e.run_id WHERE r.run = %s""",
    ),
}


def kind(command: str, arguments: str) -> str | None:
    """What a process belongs to."""
    if command == "syslog-ng":
        return "syslog-ng"
    if command.startswith("postgres"):
        return "postgres"
    return "loader" if "strandline.collector.loader" in arguments else None


def usage() -> dict[str, float]:
    """CPU seconds so far by kind of process, those included that have ended and were waited for."""
    found = {"syslog-ng": 0.0, "postgres": 0.0, "loader": 0.0}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            head, _, fields = (entry / "stat").read_text().rpartition(")")
            arguments = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        which = kind(head.partition("(")[2], arguments)
        if which:
            times = fields.split()[11:15]  # utime, stime, cutime, cstime: proc(5)
            found[which] += sum(map(int, times)) / TICKS
    return found


def peak() -> int:
    """The loader's peak memory in KiB; 0 without one."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and b"strandline.collector.loader" in (entry / "cmdline").read_bytes():
                for line in (entry / "status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        return int(line.split()[1])
        except OSError:
            continue
    return 0


def main() -> None:
    """Look again and again."""
    side, run, wanted, patience = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    dsn, progress, verdict = SIDES[side]
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    before = usage()
    print("ready", flush=True)
    with connection.cursor() as cursor:
        rows, changed = 0, time.time()
        while rows < wanted and time.time() - changed < patience:
            looked = time.time()
            cursor.execute(progress, (run,))
            (now,) = cursor.fetchone() or (rows,)
            if now != rows:
                rows, changed = now, time.time()
            time.sleep(max(EVERY, 5 * (time.time() - looked)))
        after = usage()
        cursor.execute(verdict, (run,))
        stored, distinct = cursor.fetchone() or (0, 0)
    cpu = {name: round(after[name] - before[name], 2) for name in after}
    found = {"rows": stored, "distinct": distinct, "last": changed, "cpu": cpu, "loader_peak_kib": peak()}
    print(json.dumps(found), flush=True)


main()
