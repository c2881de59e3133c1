#!/usr/bin/env python3
"""Publish 17 feeds from a database of its own, with few and with many hourly rows of the same addresses; print JSON.

With many rows also once with nothing in memory, and once with a million forged sources in one feed. And what a
generation takes on the disk, and what the daily totals cost the loader.

Runs as root where PostgreSQL is and what the publisher needs. Makes its database in a directory and removes it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

FILES = Path(__file__).resolve().parents[2]
BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
# Addresses of each category on one real day.
SIZES = {
    "proto41": 52_600, "telnetlogin": 42_800, "sshclient": 19_000, "dnsrd": 9_500, "smtpgreet": 9_400,
    "sshpwauth": 8_700,
    "dnsversion": 7_600, "sipquery": 5_300, "ntpmode3": 3_500, "vncrfb": 1_700, "dnstcp": 1_100, "dnsrdany": 900,
    "sipinvitation": 800, "sipregistration": 700, "smtpdata": 500, "ntpmode6": 400, "ntpmode7": 300,
}  # fmt: skip
HOURS = 168
# All windows end here, also when an hour ends while we measure.
END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
SETTINGS = (
    "listen_addresses=", "shared_buffers=256MB", "work_mem=8MB", "maintenance_work_mem=128MB", "max_wal_size=2GB",
    "synchronous_commit=off", "jit=off",
)  # fmt: skip


def account(*argv: str | Path) -> list[str | Path]:
    """A command as PostgreSQL's own account."""
    return ["runuser", "-u", "postgres", "--", *argv]


class Database:
    """A server in a directory, reached by a socket there."""

    def __init__(self, top: Path) -> None:
        self.top = top
        shutil.chown(top, "postgres")
        self._run(BIN / "initdb", "--auth=trust", "--username=postgres", "--no-sync", "-D", top / "data")
        self.start()
        for role in ("owner", "loader", "publisher", "archive"):
            self.ask(f"CREATE ROLE strandline_{role} LOGIN", database="postgres")
        self.ask("CREATE DATABASE strandline OWNER strandline_owner", database="postgres")
        dsn = f"host={top} user=postgres dbname=strandline"
        subprocess.run(
            [sys.executable, FILES / "database/migrate.py", "--dsn", dsn], check=True, stdout=subprocess.DEVNULL
        )

    def start(self) -> None:
        """Let it run."""
        options = " ".join(f"-c {setting}" for setting in (*SETTINGS, f"unix_socket_directories={self.top}"))
        self._run(BIN / "pg_ctl", "-D", self.top / "data", "-w", "-l", self.top / "log", "-o", options, "start")

    def _run(self, *argv: str | Path) -> None:
        subprocess.run(account(*argv), check=True, stdout=subprocess.DEVNULL, cwd="/")

    def ask(self, query: str, *, database: str = "strandline", data: Iterator[str] | None = None) -> str:
        """What psql prints for a query."""
        argv = ["psql", "-qtA", "-v", "ON_ERROR_STOP=1", "-h", str(self.top), "-U", "postgres", database, "-c", query]
        text = None if data is None else "".join(data)
        return subprocess.run(argv, input=text, text=True, check=True, stdout=subprocess.PIPE).stdout.strip()

    def stop(self, mode: str = "immediate") -> None:
        """End it."""
        self._run(BIN / "pg_ctl", "-D", self.top / "data", "-w", "-m", mode, "stop")

    def restart_cold(self) -> None:
        """Begin again with none of its files in memory: neither the server's nor the kernel's."""
        self.stop("fast")
        os.sync()
        for path in self.top.rglob("*"):
            if path.is_file():
                descriptor = os.open(path, os.O_RDONLY)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)
        self.start()

    def seconds(self, query: str) -> float:
        """How long a query takes."""
        began = time.monotonic()
        self.ask(query)
        return time.monotonic() - began


def public(rng: random.Random) -> str:
    """An address that may be published."""
    return f"{rng.randint(20, 90)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"


def pairs(scale: float) -> Iterator[str]:
    """Lines of category, address, and whether it was proven."""
    rng = random.Random(1)  # noqa: S311 - the same addresses each time
    for category, size in SIZES.items():
        proven = not category.startswith(("proto41", "dns", "ntp", "sip")) or category == "dnstcp"
        for address in {public(rng) for _ in range(max(1, round(size * scale)))}:
            yield f"{category}\t{address}\t{int(proven)}\n"


def as_table(path: Path, scale: float) -> None:
    """As many ranges as a real table has: 412,000 of IPv4, 103,000 of IPv6."""
    count4, count6 = (max(10, round(count * scale)) for count in (412_000, 103_000))
    step = (224 << 24) // count4
    with path.open("w", encoding="ascii") as file:
        for i in range(count4):
            a, b = (
                ".".join(str(n >> shift & 255) for shift in (24, 16, 8, 0)) for n in (i * step, i * step + step - 1)
            )
            file.write(f"{a}\t{b}\t{1 + i % 80_000}\tZZ\tNET-{i % 80_000} - Network number {i % 80_000}\n")
        for i in range(count6):
            start = f"2a00:{i >> 8 & 0xFFFF:x}:{i & 255:x}00::"
            file.write(f"{start}\t{start[:-2]}:ffff:ffff:ffff:ffff:ffff\t{1 + i % 80_000}\tZZ\tNET-{i % 80_000}\n")


def fill(database: Database, hours: int) -> int:
    """Insert sightings of every pair in this many hours of the week; return the number of rows."""
    database.ask(
        f"SELECT strandline.make_partition(parent, ('{END}' AT TIME ZONE 'UTC')::date - day)"  # noqa: S608 - a time
        " FROM generate_series(0, 8) day, unnest(ARRAY['sighting', 'sighting_day']) parent"
    )
    database.ask("TRUNCATE strandline.sighting, strandline.sighting_day")
    # A step that shares no factor with 168 meets as many different hours as it is asked for.
    database.ask(
        f"""
        DO $$ BEGIN FOR day IN 0..7 LOOP
            INSERT INTO strandline.sighting (hour, first_seen, last_seen, events, verified_events, category, saddr)
            SELECT hour, hour + interval '7 min', hour + interval '31 min', 3, 3 * proven, category, saddr
            FROM (
                SELECT p.*, '{END}'::timestamptz
                       - make_interval(hours => (1 + (p.n * 37 + k * 25) % {HOURS})::integer) AS hour
                FROM pair p CROSS JOIN generate_series(0, {hours} - 1) k
            ) made
            WHERE (hour AT TIME ZONE 'UTC')::date = ('{END}' AT TIME ZONE 'UTC')::date - day
            ORDER BY category, hour, saddr;
        END LOOP; END $$"""  # noqa: S608 - numbers
    )
    database.ask("VACUUM ANALYZE strandline.sighting, strandline.sighting_day")
    return int(database.ask("SELECT count(*) FROM strandline.sighting"))


def configuration(top: Path, database: Database) -> dict[str, Any]:
    """publisher.yml with everything that it names."""
    for name in ("www", "state"):
        (top / name).mkdir()
    feeds = {
        name: {
            "event": f"bench.{name}",
            "title": name,
            "description": f"Addresses of {name}.",
            "columns": "first_seen" if name == "proto41" else "standard",
        }
        for name in SIZES
    }
    (top / "feeds.yml").write_text(json.dumps({"feeds": feeds}), encoding="utf-8")
    subprocess.run(
        ["minisign", "-G", "-W", "-p", top / "key.pub", "-s", top / "key.key"], check=True, stdout=subprocess.DEVNULL
    )
    # Of any feed, so that each address has its confidence.
    model = {
        "coefficients": [-0.9, -0.13, 0.5, -0.1, -0.08, 0.0, 1.5], "problem": "", "trained_on": 1, "checked_on": 1,
        "seen_again": 0.5, "brier": 0.1, "brier_constant": 0.2, "brier_last_seen": 0.2, "calibration": [],
    }  # fmt: skip
    models = {"version": 1, "fitted": datetime.now(UTC).isoformat(), "feeds": dict.fromkeys(SIZES, model), "stays": {}}
    (top / "state/confidence.json").write_text(json.dumps(models), encoding="utf-8")
    (top / "never.txt").write_text("203.0.113.1  # nobody\n", encoding="ascii")
    return {
        "network": {
            "name": "Bench", "tagline": "a bench", "contact": "feeds@example.org", "url": "https://feeds.example.org/",
            "licence": "CC BY 4.0", "removal": "Write.",
        },
        "feeds": str(top / "feeds.yml"), "asn_table": str(top / "asn.tsv"), "webroot": str(top / "www"),
        "state": str(top / "state"), "never_publish": str(top / "never.txt"),
        "guard": {"unproven": "publish"}, "signing_key": str(top / "key.key"),
        "database": {"host": str(database.top), "dbname": "strandline", "user": "strandline_publisher"},
    }  # fmt: skip


def publish(top: Path, settings: dict[str, Any], *, hours: int = 0) -> tuple[float, float, dict[str, Any]]:
    """Publish once, some hours after END; return the seconds, the peak memory in MiB, and feeds.json."""
    config = top / "publisher.yml"
    config.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
    end = END + timedelta(hours=hours)
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "strandline.publisher", "--config", config, "--end", f"{end:%Y-%m-%dT%H:00Z}"],
        env={**os.environ, "PYTHONPATH": str(FILES), "PYTHONDONTWRITEBYTECODE": "1"},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"the publisher ended with {process.returncode}: {said}")
    return seconds, usage.ru_maxrss / 1024, json.loads((top / "www/current/feeds.json").read_text(encoding="utf-8"))


def publish_anew(top: Path, settings: dict[str, Any], wanted: int) -> tuple[float, float]:
    """Publish from nothing; return the seconds and the peak memory in MiB."""
    (top / "www/current").unlink(missing_ok=True)
    shutil.rmtree(top / "www/generations", ignore_errors=True)
    seconds, peak, document = publish(top, settings)
    found = sum(feed["addresses"] for feed in document["feeds"])
    if found != wanted:
        sys.exit(f"the publisher published {found} of {wanted} addresses")
    return seconds, peak


def publish_again(top: Path, settings: dict[str, Any]) -> tuple[float, float, int]:
    """Publish two hours one after the other; return seconds, peak MiB and changed addresses of the second."""
    publish(top, settings, hours=-1)
    seconds, peak, document = publish(top, settings)
    changes = sum(feed["delta"][kind] for feed in document["feeds"] for kind in ("added", "renewed", "gone"))
    if not changes:
        sys.exit("the next hour has no changes")
    return seconds, peak, changes


def format_seconds(top: Path) -> dict[str, float]:
    """Publish from nothing in this process; return the seconds that each format takes to write, compress and store."""
    sys.path.insert(0, str(FILES))
    from strandline.publisher import __main__ as program  # noqa: PLC0415 - only here, and from the path above
    from strandline.publisher import feedfile, formats, formatted, store  # noqa: PLC0415

    # What is there already would only be kept.
    (top / "www/current").unlink(missing_ok=True)
    shutil.rmtree(top / "www/generations", ignore_errors=True)
    spent = {name: 0.0 for name in ("ndjson", *formats.FORMATS)}
    of_kind = {kind.name: name for name, one in formats.FORMATS.items() for kind in one.kinds}
    of_ending = {kind.ending.rpartition(".")[2]: name for name, one in formats.FORMATS.items() for kind in one.kinds}
    of_ending["ndjson"] = "ndjson"
    render, write, add = feedfile.render_ndjson, formatted.Writer._content, store.Builder.add

    def timed_render(*arguments: Any) -> Any:
        began = time.monotonic()
        content = render(*arguments)
        spent["ndjson"] += time.monotonic() - began
        return content

    def timed_write(writer: Any, listing: Any, kind: Any, former: Any) -> Any:
        began = time.monotonic()
        content = write(writer, listing, kind, former)
        spent[of_kind[kind.name]] += time.monotonic() - began
        return content

    def timed_add(builder: Any, name: str, content: bytes, **options: Any) -> Any:
        # A file is compressed beside the next one's making: here each is waited for.
        builder._wait()
        began = time.monotonic()
        digest = add(builder, name, content, **options)
        builder._wait()
        if owner := of_ending.get(name.rpartition(".")[2]):
            spent[owner] += time.monotonic() - began
        return digest

    with (
        patch.object(feedfile, "render_ndjson", timed_render),
        patch.object(formatted.Writer, "_content", timed_write),
        patch.object(store.Builder, "add", timed_add),
    ):
        status = program.main(["--config", str(top / "publisher.yml"), "--end", f"{END:%Y-%m-%dT%H:00Z}"])
    if status != 0 or not all(spent.values()):
        sys.exit(f"the publisher ended with {status}")
    return spent


def disk_space(generation: Path) -> tuple[float, float]:
    """MiB that a generation takes, and that it takes once only its compressed files are left."""
    files = [path for path in generation.rglob("*") if path.is_file()]
    sizes = {path: path.stat().st_blocks * 512 for path in files}
    left = sum(size for path, size in sizes.items() if path.with_name(f"{path.name}.gz") not in sizes)
    return sum(sizes.values()) / 2**20, left / 2**20


def settle(database: Database, rounds: int) -> dict[str, float]:
    """What adding fresh sightings takes: two of every pair in this hour, with and without the daily totals."""
    fresh = (
        "INSERT INTO strandline.sighting_fresh SELECT date_trunc('hour', now(), 'UTC'), now(), now(), 1, proven,"
        " category, saddr FROM pair, generate_series(1, 2)"
    )
    database.ask(fresh)
    database.ask("VACUUM ANALYZE strandline.sighting_fresh")
    taken: dict[str, list[float]] = {"settle_seconds": [], "settle_without_days_seconds": []}
    for _ in range(rounds):
        for name, before in zip(taken, ("", "ALTER TABLE strandline.sighting DISABLE TRIGGER USER;"), strict=True):
            query = f"BEGIN; {before} SELECT strandline.settle_sightings(); ROLLBACK"
            taken[name].append(database.seconds(query))
            database.ask("VACUUM strandline.sighting_fresh, strandline.sighting, strandline.sighting_day")
    rows = int(database.ask("SELECT count(*) FROM strandline.sighting_fresh"))
    database.ask("TRUNCATE strandline.sighting_fresh")
    return {"settle_rows": rows, **{name: round(median(found), 2) for name, found in taken.items()}}


def forge(database: Database, sources: int) -> None:
    """Add this many forged sources to dnsrd in the last hour, each seen by one sensor; real ones are seen by two."""
    database.ask(
        f"""
        INSERT INTO strandline.sensor (name) VALUES ('one'), ('two');
        INSERT INTO strandline.run (sensor_id, run) SELECT id, name FROM strandline.sensor;
        CREATE TEMP TABLE forged AS SELECT n, '120.0.0.0'::inet + n AS saddr FROM generate_series(1, {sources}) n;
        INSERT INTO strandline.event_row (ts, rts, n, run_id, sport, dport, kind, saddr, daddr, fields)
        SELECT t.ts, t.ts, row_number() OVER (), r.id, 53, 53,
               strandline.find_kind('dns.query', 'udp', false, false, '{{}}'), s.saddr, '198.51.100.1', ''
        FROM (SELECT '{END}'::timestamptz - interval '20 min' AS ts) t,
             (SELECT saddr, 'one' AS sensor FROM forged
              UNION ALL
              SELECT saddr, unnest(ARRAY['one', 'two']) FROM pair WHERE category = 'dnsrd') s
             JOIN strandline.run r ON r.run = s.sensor;
        INSERT INTO strandline.sighting_fresh
        SELECT '{END}'::timestamptz - interval '1 hour', '{END}'::timestamptz - interval '20 min',
               '{END}'::timestamptz - interval '20 min', 1, 0, 'dnsrd', saddr FROM forged;
        SELECT strandline.settle_sightings()"""  # noqa: S608 - numbers
    )
    database.ask("ANALYZE strandline.event_row, strandline.sighting, strandline.sighting_day")


def publish_forged(top: Path, settings: dict[str, Any], database: Database, sources: int) -> dict[str, float]:
    """Publish with the guards as they are by default while one feed is flooded; the others must have what they had."""
    guarded = {**settings, "guard": {}}
    _, _, before = publish(top, settings)
    forge(database, sources)
    seconds, peak, after = publish(top, guarded)
    counts = [{feed["category"]: feed["addresses"] for feed in document["feeds"]} for document in (before, after)]
    if counts[0] != counts[1]:
        sys.exit(f"the flood changed what is published: {counts}")
    [held] = [feed["held_back"]["unproven"] for feed in after["feeds"] if feed["category"] == "dnsrd"]
    if held != sources or not after["problems"]:
        sys.exit(f"{held} of {sources} forged sources were held back: {after['problems']}")
    return {
        "forged_sources": sources,
        "forged_published": sum(counts[1].values()) - sum(counts[0].values()),
        "seconds_forged": round(seconds, 2),
        "peak_mib_forged": round(peak, 1),
    }


def naive(database: Database, events: int) -> float:
    """Time, in seconds, the one query over all events that a publisher without sightings would need."""
    database.ask(
        "CREATE UNLOGGED TABLE naive AS SELECT now() - i * (interval '7 days' / "  # noqa: S608 - numbers
        f"{events}) AS ts, p.saddr, p.category FROM generate_series(1, {events}) s (i)"
        " JOIN pair p ON p.n = (i * 7919::bigint) % (SELECT count(*) FROM pair)"
    )
    database.ask("VACUUM ANALYZE naive")
    query = "SELECT category, saddr, min(ts), max(ts), count(*) FROM naive GROUP BY category, saddr"
    began = time.monotonic()
    database.ask(f"SET work_mem = '64MB'; SELECT count(*) FROM ({query} OFFSET 0) feeds")  # noqa: S608 - constants
    return time.monotonic() - began


def main() -> None:
    """Measure all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        top = Path(place)
        top.chmod(0o755)
        (top / "database").mkdir()
        database = Database(top / "database")
        try:
            settings = configuration(top, database)
            as_table(top / "asn.tsv", options.scale)
            database.ask(
                "CREATE TABLE pair (category text, saddr inet, proven integer,"
                " n bigint GENERATED ALWAYS AS IDENTITY (MINVALUE 0 START 0))"
            )
            database.ask("COPY pair (category, saddr, proven) FROM STDIN", data=pairs(options.scale))
            database.ask("VACUUM ANALYZE pair")
            wanted = int(database.ask("SELECT count(*) FROM pair"))
            result: dict[str, float] = {"addresses": wanted, "feeds": len(SIZES)}
            peaks = []
            for name, hours in (("low", 10), ("high", 104)):
                result[f"rows_{name}"] = fill(database, hours)
                # The first one warms up.
                rounds = [publish_anew(top, settings, wanted) for _ in range(options.rounds + 1)][1:]
                result[f"seconds_{name}"] = round(median(seconds for seconds, _ in rounds), 2)
                peaks += [peak for _, peak in rounds]
            result["ratio"] = round(result["seconds_high"] / result["seconds_low"], 2)
            database.restart_cold()
            seconds, peak = publish_anew(top, settings, wanted)
            result["seconds_cold"] = round(seconds, 2)
            shutil.rmtree(top / "www/generations")
            (top / "www/current").unlink()
            seconds, again, changes = publish_again(top, settings)
            result |= {"seconds_again": round(seconds, 2), "changes": changes}
            result["peak_mib"] = round(max(*peaks, peak, again), 1)
            whole, thinned = disk_space((top / "www/current").resolve())
            result |= {f"{name}_seconds": round(spent, 2) for name, spent in format_seconds(top).items()}
            result |= {"generation_mib": round(whole, 1), "generation_thinned_mib": round(thinned, 1)}
            result |= settle(database, options.rounds)
            result |= publish_forged(top, settings, database, round(1_000_000 * options.scale))
            result["naive_events"] = round(20_000_000 * options.scale)
            result["naive_one_pass_seconds"] = round(naive(database, int(result["naive_events"])), 2)
            print(json.dumps(result))
        finally:
            database.stop()


if __name__ == "__main__":
    main()
