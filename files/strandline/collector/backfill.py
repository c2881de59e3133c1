"""Count a category's sightings anew from the stored events: for a feed that is new, or whose rule has changed.

`python3 -m strandline.collector.backfill CATEGORY [--config FILE]`

Day by day, each in one transaction that keeps the loader from changing sightings meanwhile (it waits for its turn):
the result is exact also while events arrive. Run it after the loader was restarted with the new feeds.yml. Days whose
events are no longer kept stay as they are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import psycopg2

from strandline.collector import config as configuration
from strandline.event import feeds as catalogue
from strandline.event.feeds import Rule
from strandline.shared.settings import ConfigurationError

DAYS = """
    SELECT DISTINCT to_date(right(c.relname, 8), 'YYYYMMDD')::text FROM pg_catalog.pg_inherits i
    JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent IN ('strandline.event_row'::regclass, 'strandline.event_before'::regclass)
      AND c.relname ~ '_p[0-9]{8}$' ORDER BY 1
"""
SPAN = "%(day)s::date::timestamp AT TIME ZONE 'UTC' AND {0} < (%(day)s::date + 1)::timestamp AT TIME ZONE 'UTC'"


def backfill(dsn: str, rule: Rule) -> list[tuple[str, int]]:
    """Recount `rule` for each day that has events stored; return (day, sightings)."""
    connection = psycopg2.connect(dsn, application_name="strandline-backfill", options="-c timezone=UTC")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(DAYS)
            days = [day for (day,) in cursor.fetchall()]
        condition, parameters = rule.sql()
        counted = []
        for day in days:
            values = {**parameters, "day": day, "category": rule.category}
            with connection, connection.cursor() as cursor:
                # Keeps writers out, readers not. Each statement below sees what was committed before it.
                # In the order in which settling takes them.
                cursor.execute("LOCK TABLE strandline.sighting_fresh, strandline.sighting IN EXCLUSIVE MODE")
                cursor.execute("SELECT strandline.settle_sightings()")
                # The hours of an old day are gone, its total is not: both are counted anew.
                cursor.execute("SELECT strandline.forget_day(%(category)s, %(day)s)", values)
                cursor.execute(
                    f"""INSERT INTO strandline.sighting
                            (category, hour, saddr, first_seen, last_seen, events, verified_events)
                        SELECT %(category)s, date_trunc('hour', ts, 'UTC'), saddr, min(ts), max(ts), count(*),
                               count(*) FILTER (WHERE verified)
                        FROM strandline.event WHERE ts >= {SPAN.format("ts")} AND {condition}
                          AND NOT data ? 'canary'  -- the operator's own, marked by ./strandline canary
                        GROUP BY 2, 3""",  # noqa: S608 - from checked names and parameters
                    values,
                )
                counted.append((day, cursor.rowcount))
        return counted
    finally:
        connection.close()


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit status 1 when there is no such category or the database refuses."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("category")
    parser.add_argument("--config", type=Path, default=Path("/etc/strandline/loader.yml"))
    options = parser.parse_args(arguments)
    try:
        config = configuration.load(options.config)
        counted = backfill(config.database, catalogue.load(config.feeds).rule(options.category))
    except (ConfigurationError, catalogue.FeedError, psycopg2.Error) as error:
        print(error, file=sys.stderr)
        return 1
    for day, sightings in counted:
        print(f"{day} {sightings}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
