#!/usr/bin/env python3
"""Ask the queries of plan_lease and journal of a real database, in which is known what the answer must be.

Runs on a collector, as root, in a database of its own: `python3 seen_alone.py --help`. Prints one JSON object with the
answers' seconds; the exit status is 0 when all of it is right. With --rows it also fills a day with so many events, to
measure what the query costs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "strandline_seen_alone"
PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
SENSORS = """
INSERT INTO strandline.sensor (name) SELECT 's' || i FROM generate_series(1, 4) i;
INSERT INTO strandline.run (sensor_id, run) SELECT id, '1764036738123456-0001' FROM strandline.sensor ORDER BY id;
SELECT strandline.ensure_day((now() AT TIME ZONE 'UTC')::date - back) FROM generate_series(0, 3) back;
"""
# On a day so far back a sensor sees some sources, verified or not: those that are not must not count.
EVENT = """
INSERT INTO strandline.event (ts, rts, n, run_id, sport, dport, verified, event, saddr, daddr, proto, data)
SELECT at, at, {n} + i, r.id, 1024, 22, {verified}, 'ssh.password', (inet '198.51.100.0' + {first} + i)::inet,
       '192.0.2.1', 'tcp', '{{}}'
FROM generate_series(1, {count}) i, strandline.run r JOIN strandline.sensor s ON s.id = r.sensor_id,
     LATERAL (SELECT (date_trunc('day', now(), 'UTC') - interval '{back} days' + interval '{hour} hours') AS at) t
WHERE s.name = '{sensor}';
"""
NOTICES = """
INSERT INTO strandline.notice (made_at, items) VALUES
  ('2026-11-24 14:02+00', '[{"subject": "sensor s1", "state": "silent", "text": "s1 has not been heard"},
                            {"subject": "disk s1", "state": "full", "text": "s1: full"}]'),
  ('2026-11-24 15:02+00', '[{"subject": "sensor s1", "state": "ok", "text": "s1 is heard again"}]');
"""
# One day's events as they come: many sources, most of them seen by one sensor, some by all.
FLOOD = """
INSERT INTO strandline.event_row (ts, rts, n, run_id, sport, dport, kind, saddr, daddr, fields)
SELECT at, at, 1000000 + i, (SELECT min(id) FROM strandline.run) + i % 4, 1024, 22,
       (SELECT id FROM strandline.event_kind WHERE verified LIMIT 1),
       '45.0.0.0'::inet + (i * 7919::bigint % {sources})::bigint, '192.0.2.1', repeat('x', 40)
FROM generate_series(1, {rows}) i,
     LATERAL (SELECT date_trunc('day', now(), 'UTC') - interval '1 day'
                     + make_interval(secs => i * 86000.0 / {rows}) AS at) t;
INSERT INTO strandline.sighting_day (hour, first_seen, last_seen, events, verified_events, category, saddr)
SELECT date_trunc('day', now(), 'UTC') - interval '1 day', now(), now(), 1, 1, 'ssh', '45.0.0.0'::inet + i
FROM generate_series(0, {sources} - 1) i;
ANALYZE strandline.sighting_day;
"""


class World:
    """The database."""

    def __init__(self, server: Sequence[str], migrations: Path) -> None:
        """Make it, with today's schema."""
        self.server = list(server)
        self.psql(
            "postgres",
            f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)",
            f"CREATE DATABASE {NAME} OWNER strandline_owner ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'"
            " TEMPLATE template0",
        )
        program = [sys.executable, str(migrations / "migrate.py"), "--dsn", f"dbname={NAME}", str(migrations)]
        subprocess.run([*self.server, *program], check=True, stdout=subprocess.DEVNULL)

    def psql(self, database: str, *statements: str) -> None:
        """Run statements, each by itself."""
        for statement in statements:
            self.ask(statement, database)

    def ask(self, sql: str, database: str = NAME) -> str:
        """Run it as the playbooks do; what psql printed."""
        command = [*self.server, *PSQL, f"--dbname={database}"]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, check=False, cwd="/")
        if done.returncode != 0:
            raise SystemExit(f"{done.stderr}\n{sql[:500]}")
        return done.stdout

    def code(self, sql: str, database: str) -> int:
        """How psql ends."""
        command = [*self.server, *PSQL, f"--dbname={database}"]
        return subprocess.run(command, input=sql, capture_output=True, text=True, check=False, cwd="/").returncode


def counted(answer: str) -> list[dict[str, Any]]:
    """The days of an answer with their sets in a fixed order."""
    rows = [json.loads(line) for line in answer.splitlines() if line.strip()]
    return [{**row, "sets": sorted(row["sets"])} for row in rows]


def main() -> int:
    """Read the command line and go through it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--migrations", type=Path, default=Path("/usr/lib/strandline/database"))
    parser.add_argument(
        "--seen", type=Path, required=True, help="the query of playbooks/tasks/seen_alone.yml, of 3 days"
    )
    parser.add_argument("--news", type=Path, required=True, help="the query of playbooks/journal.yml")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--sources", type=int, default=200_000)
    parser.add_argument("--as", dest="account", default="postgres", help="the account to work as; empty: this one")
    given = parser.parse_args()
    world = World(["runuser", "-u", given.account, "--"] if given.account else [], given.migrations)
    world.ask(SENSORS)
    for n, (back, sensor, first, count, verified, hour) in enumerate(
        [
            (0, "s1", 0, 5, "true", 0),  # today is not over
            (1, "s1", 0, 3, "true", 0), (1, "s2", 2, 2, "true", 23), (1, "s1", 0, 3, "true", 5),
            (1, "s3", 50, 9, "false", 2),  # may be forged
            (3, "s1", 0, 1, "true", 1), (3, "s2", 0, 1, "true", 1), (3, "s4", 0, 1, "true", 1),
        ]
    ):  # fmt: skip
        values = {"n": n * 100, "back": back, "sensor": sensor, "first": first, "count": count, "verified": verified}
        world.ask(EVENT.format(**values, hour=hour))
    world.ask(NOTICES)
    answer = counted(world.ask(given.seen.read_text()))
    wanted = [[[["s1"], 2], [["s1", "s2"], 1], [["s2"], 1]], [], [[["s1", "s2", "s4"], 1]]]
    wrong = {"sets": [row["sets"] for row in answer] != wanted, "one_in": any(row["one_in"] != 1 for row in answer)}
    # An older schema, or an error within a day, must not look like days without sources.
    seen = given.seen.read_text()
    wrong["no schema"] = world.code(seen, "postgres") != 3
    wrong["error"] = world.code(seen.replace("hashinet(e.saddr)", "1/0"), NAME) != 3
    slow = seen.replace("'30s'", "'200ms'").replace("1 + count(*)", "1 + count(*) + length(pg_sleep(1)::text)")
    wrong["slow"] = world.code(slow, NAME) != 0
    news = json.loads(world.ask(given.news.read_text()))
    wrong["news"] = [(row["at"], row["sensor"], row["state"]) for row in news] != [
        ("2026-11-24T14:02:00", "s1", "silent"),
        ("2026-11-24T15:02:00", "s1", "ok"),
    ]
    result: dict[str, Any] = {"answer": answer if any(wrong.values()) else len(answer)}
    if given.rows:
        world.ask(FLOOD.format(rows=given.rows, sources=given.sources))
        began = time.monotonic()
        answer = counted(world.ask(given.seen.read_text()))
        result |= {"rows": given.rows, "sources": given.sources, "seconds": round(time.monotonic() - began, 2)}
        result |= {"one_in": answer[0]["one_in"], "sampled": sum(number for _, number in answer[0]["sets"])}
        wrong["sample"] = not 0.9 < result["sampled"] * result["one_in"] / given.sources < 1.1
    world.psql("postgres", f"DROP DATABASE {NAME} WITH (FORCE)")
    print(json.dumps({**result, "wrong": [name for name, is_wrong in wrong.items() if is_wrong]}))
    return int(any(wrong.values()))


if __name__ == "__main__":
    sys.exit(main())
