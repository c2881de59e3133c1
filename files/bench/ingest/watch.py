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
from collections.abc import Iterator
from pathlib import Path

import psycopg2

EVERY = 0.05  # seconds between two looks
TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")
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


# A process counts for its unit, which keeps its name when the program moves from one package to another.
UNITS = {"syslog-ng.service": "syslog-ng", "postgresql": "postgres", "strandline-loader.service": "loader"}
KINDS = {"article": ("syslog-ng", "postgres"), "strandline": ("syslog-ng", "postgres", "loader")}


def processes(proc: Path) -> Iterator[tuple[str, Path]]:
    """Every process of a unit that is measured: what it counts as, and its directory below /proc."""
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            groups = (entry / "cgroup").read_text().splitlines()
        except OSError:
            continue  # it ended meanwhile
        for group in groups:
            _, controllers, path = group.split(":", 2)
            # With version 1 systemd has a hierarchy of its own; with version 2 there is only one.
            unit = path.rpartition("/")[2].partition("@")[0]  # of a template, such as PostgreSQL's: its name alone
            if controllers in ("", "name=systemd") and (which := UNITS.get(unit)) is not None:
                yield which, entry
                break


def usage(proc: Path = PROC) -> dict[str, float]:
    """CPU seconds so far by kind of process, those included that have ended and were waited for."""
    found = dict.fromkeys(UNITS.values(), 0.0)
    for which, entry in processes(proc):
        try:
            _, _, fields = (entry / "stat").read_text().rpartition(")")
        except OSError:
            continue
        times = fields.split()[11:15]  # utime, stime, cutime, cstime: proc(5)
        found[which] += sum(map(int, times)) / TICKS
    return found


def peak(proc: Path = PROC) -> int:
    """The loader's peak memory in KiB; 0 without one."""
    most = 0
    for which, entry in processes(proc):
        try:
            status = (entry / "status").read_text()
        except OSError:
            continue
        if which == "loader":
            sizes = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
            most = max(most, *sizes, 0)
    return most


def absent(side: str, proc: Path = PROC) -> list[str]:
    """The kinds of process that a side should have and has not: their CPU would count as nothing."""
    running = {which for which, _ in processes(proc)}
    return [which for which in KINDS[side] if which not in running]


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
    if lacking := absent(side):
        sys.exit(f"no process of {', '.join(lacking)} is running here: what it cost is not known")
    cpu = {name: round(after[name] - before[name], 2) for name in after}
    found = {"rows": stored, "distinct": distinct, "last": changed, "cpu": cpu, "loader_peak_kib": peak()}
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
