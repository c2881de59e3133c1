"""python3 -m strandline.collector.reconcile begin | settle | plan | conclude | account: for playbooks/reconcile.yml.

`begin` prints the database's time. Then the sensors are asked for their indexes. `plan --since TIME` reads {SENSOR:
INDEX} from its standard input, waits for what is on its way, records what is lost, and prints {"account": the account
before anything is sent again, "request": {SENSOR: {RUN: [[FIRST, LAST], ...]}}}. `conclude` waits again and prints the
account, with each loss that was not told before. `account` prints the account as it is, as a table. `settle` only waits
for this host's own loader: for a collector that has not got the database.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2

from strandline.collector import account, gaps
from strandline.collector import config as configuration
from strandline.shared.settings import ConfigurationError


def _read_index() -> dict[str, dict[str, gaps.Stated]]:
    """The indexes from standard input. Raises BadIndex."""
    try:
        tree = json.load(sys.stdin)
    except ValueError as error:
        raise gaps.BadIndex(f"the indexes are not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise gaps.BadIndex("the indexes must be {SENSOR: INDEX}")
    index = {}
    for sensor, one in tree.items():
        try:
            index[sensor] = gaps.parse_index(sensor, one)
        except gaps.BadIndex as error:
            # One sensor that talks nonsense keeps nobody else from being heard.
            print(error, file=sys.stderr)
    return index


def _work(options: argparse.Namespace, config: configuration.Config) -> Any:
    """Do what was asked for and return what to print."""
    # The time zone: days are UTC days. No JIT: these are short queries over many partitions.
    connection = psycopg2.connect(
        config.database,
        connect_timeout=10,
        application_name="strandline-reconcile",
        options="-c timezone=UTC -c jit=off -c lock_timeout=60s",
    )
    try:
        since = datetime.now(UTC).date() - timedelta(days=options.days - 1)
        if options.what == "account":
            return "\n".join(account.table(account.days(connection, since)))
        ledger = gaps.Ledger(connection)
        if options.what == "begin":
            return ledger.now()
        if options.what == "settle":
            gaps.settle(ledger, config, options.quiet, options.wait)
            return ""
        if options.what == "plan":
            index = _read_index()
            ledger.state(index)
            gaps.settle(ledger, config, options.quiet, options.wait)
            before = account.document(account.days(connection, since), [])
            return {"account": before, "request": {} if options.dry_run else ledger.plan(index, options.since)}
        gaps.settle(ledger, config, options.quiet, options.wait)
        ledger.conclude()
        return account.document(account.days(connection, since), account.new_losses(connection))
    finally:
        connection.close()


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit status 1 when it can't be done now, 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["begin", "settle", "plan", "conclude", "account"])
    parser.add_argument("--config", type=Path, default=Path("/etc/strandline/loader.yml"))
    parser.add_argument("--since", help="what `begin` printed")
    parser.add_argument("--days", type=int, default=8, help="how many days the account shows, today included")
    parser.add_argument("--quiet", type=float, default=5, help="seconds without news after which nothing is on its way")
    parser.add_argument("--wait", type=float, default=300, help="seconds to wait for what is on its way at most")
    parser.add_argument("--dry-run", action="store_true", help="plan: record no loss and ask for nothing")
    options = parser.parse_args(arguments)
    if options.what == "plan" and not options.since:
        parser.error("plan needs --since")
    try:
        answer = _work(options, configuration.load(options.config))
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    except (psycopg2.Error, gaps.Behind, gaps.BadIndex) as error:
        print(str(error).strip(), file=sys.stderr)
        return 1
    print(answer if isinstance(answer, str) else json.dumps(answer, separators=(",", ":")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
