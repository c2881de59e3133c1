"""The account of a week of 100 sensors, ten million events, in a database of its own: how long does it take?

Run as root on a collector, as `./strandline bench account` and the scenario network do. A tenth of the runs have
gaps: heads, tails, and one number in a thousand. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import psycopg2
from strandline.collector import account

NAME = "strandline_account_week"
DSN = f"dbname={NAME} user=postgres host=/var/run/postgresql"
SENSORS = 100
DAYS = 7
# One run a sensor and day; the events of a run spread over its day.
FILL = """
    SET synchronous_commit = off;
    SELECT strandline.ensure_day(timezone('UTC', now())::date - d) FROM generate_series(0, {days}) d;
    INSERT INTO strandline.sensor (name) SELECT 'sensor' || g FROM generate_series(1, {sensors}) g;
    INSERT INTO strandline.run (sensor_id, run, high_n)
        SELECT s.id, '1764036738123456-' || lpad(k::text, 4, '0'), 0
        FROM strandline.sensor s, generate_series(1, {days}) k;
    CREATE TEMPORARY TABLE whole AS SELECT id, sensor_id, right(run, 4)::int AS k,
        {each} + CASE WHEN row_number() OVER (ORDER BY id) <= {rest} THEN 1 ELSE 0 END AS last FROM strandline.run;
    INSERT INTO strandline.event_row (ts, rts, n, run_id, sport, dport, kind, saddr, daddr, fields)
        SELECT ts, ts, n, w.id, 1024, 22, (SELECT strandline.find_kind('ssh.client', 'tcp', true, false, '{{}}')),
               '198.51.100.9', '203.0.113.9', ''
        FROM whole w, generate_series(1, w.last) n, LATERAL (
            SELECT date_trunc('day', now(), 'UTC') + make_interval(days => w.k - {days} - 1, secs => n * 6.0) AS ts) t
        WHERE w.id % 10 <> 0 OR (n % 1000 <> 0 AND n > 3 AND n < w.last - 6);
    INSERT INTO strandline.tally
        SELECT run_id, timezone('UTC', ts)::date, count(*), 0, 0 FROM strandline.event_number GROUP BY 1, 2;
    UPDATE strandline.run r SET high_n = (SELECT max(n) FROM strandline.event_number e WHERE e.run_id = r.id);
    INSERT INTO strandline.run_check (run_id, stated_n) SELECT id, last FROM whole;
    INSERT INTO strandline.run_day
        SELECT id, timezone('UTC', now())::date + k - {days} - 1, 1, last FROM whole;
    -- Two counters of each of four listeners grow by 10 on every day.
    INSERT INTO strandline.counter (host, source, what, life, day, high)
        SELECT s.name, l, w, 'life', timezone('UTC', now())::date + k - {days} - 1, k * 10
        FROM strandline.sensor s, generate_series(1, {days}) k, unnest(ARRAY['ssh', 'dns', 'sip', 'vnc']) l,
             unnest(ARRAY['kernel_drops', 'queue_drops']) w;
    SELECT sum(last) - (SELECT count(*) FROM strandline.event_number) FROM whole;
"""


def administer(*statements: str) -> None:
    """Run statements that no transaction may hold."""
    connection = psycopg2.connect("dbname=postgres user=postgres host=/var/run/postgresql")
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--migrations", default="/usr/lib/strandline/database")
    options = parser.parse_args()
    each, rest = divmod(options.rows, SENSORS * DAYS)
    administer(
        f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)",
        f"CREATE DATABASE {NAME} OWNER strandline_owner ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        f"ALTER DATABASE {NAME} SET timezone = 'UTC'",
    )
    try:
        migrate = [sys.executable, f"{options.migrations}/migrate.py", "--dsn", DSN]
        subprocess.run(migrate, check=True, stdout=subprocess.DEVNULL)
        connection = psycopg2.connect(DSN, options="-c timezone=UTC -c jit=off")
        with connection, connection.cursor() as cursor:
            cursor.execute(FILL.format(sensors=SENSORS, days=DAYS, each=each, rest=rest))
            (removed,) = cursor.fetchone() or (0,)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")  # as autovacuum does while the rows come in
        connection.autocommit = False
        begun = time.monotonic()
        found = account.days(connection, datetime.now(UTC).date() - timedelta(days=DAYS))
        seconds = time.monotonic() - begun
        connection.close()
    finally:
        administer(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
    print(
        json.dumps(
            {
                "rows": sum(day.stored for day in found),
                "removed": int(removed),
                "missing": sum(day.missing for day in found),
                "lines": len(found),
                "dropped": sum(day.kernel_drops + day.queue_drops for day in found),
                "seconds": round(seconds, 2),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
