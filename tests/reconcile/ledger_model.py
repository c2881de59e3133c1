"""Reconcile sensors that exist only here, in a database of its own, and compare the account with what happened.

Run as root on a collector (molecule/network/tests/test_reconcile.py does it): python3 ledger_model.py --rounds 40.
Events get lost at heads, tails, in the middle and as whole runs, are rejected, leave the spool, never reach it, or turn
up after they were called lost; sensors do not answer or have lines still on their way. After each round what the
database says of every (sensor, day) must be what the model knows. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg2
from strandline.collector import account, gaps
from strandline.shared.ranges import normal

NAME = "strandline_ledger_model"
DSN = f"dbname={NAME} user=postgres host=/var/run/postgresql"
TODAY = datetime.now(UTC).date()


def administer(*statements: str) -> None:
    """Run statements that no transaction may hold."""
    connection = psycopg2.connect("dbname=postgres user=postgres host=/var/run/postgresql")
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connection.close()


@dataclass
class Event:
    """A number and what became of it: new, stored, rejected, missing or the reason why it is lost."""

    n: int
    day: date
    state: str = "new"
    spooled: bool = True
    recovered: bool = False


@dataclass
class Run:
    """A run of a sensor."""

    sensor: str
    name: str
    events: list[Event] = field(default_factory=list)
    known: bool = False
    """The database knows it."""


class World:
    """The sensors, and a database in which their events arrive or not."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.runs: list[Run] = []
        self.sensors = ["ams1", "scl1", "tyo1"]
        self.connection = psycopg2.connect(DSN, options="-c timezone=UTC -c jit=off")
        self.ledger = gaps.Ledger(self.connection)
        self.told: list[account.Loss] = []
        self.clock = TODAY - timedelta(days=3)
        with self.connection, self.connection.cursor() as cursor:
            for back in range(5):
                cursor.execute("SELECT strandline.ensure_day(%s)", (TODAY - timedelta(days=back),))

    def store(self, run: Run, events: list[Event], recovered: bool = False) -> None:
        """What the loader does with lines that arrive; lines of the same number once."""
        if not events:
            return
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("INSERT INTO strandline.sensor (name) VALUES (%s) ON CONFLICT DO NOTHING", (run.sensor,))
            cursor.execute(
                """INSERT INTO strandline.run (sensor_id, run) SELECT id, %s FROM strandline.sensor WHERE name = %s
                   ON CONFLICT DO NOTHING""",
                (run.name, run.sensor),
            )
            cursor.execute(
                "SELECT r.id FROM strandline.run r JOIN strandline.sensor s ON s.id = r.sensor_id"
                " WHERE s.name = %s AND run = %s",
                (run.sensor, run.name),
            )
            (run_id,) = cursor.fetchone() or (0,)
            for event in events:
                if event.state in ("stored", "rejected"):
                    continue
                event.recovered = recovered
                if self.dice.random() < 0.05:
                    event.state = "rejected"
                    cursor.execute(
                        """INSERT INTO strandline.reject (rts, sensor, run, n, reason, raw, raw_length)
                           VALUES (%s, %s, %s, %s, 'model', 'x', 1)""",
                        (event.day, run.sensor, run.name, event.n),
                    )
                    continue
                event.state = "stored"
                cursor.execute(
                    """INSERT INTO strandline.event VALUES (%s, now(), %s, %s, 1024, 22, true, 'ssh.client',
                                                            '192.0.2.1', '192.0.2.2', 'tcp', '{}')""",
                    (event.day, event.n, run_id),
                )
                cursor.execute(
                    """INSERT INTO strandline.tally AS t VALUES (%s, %s, 1, 0, 0)
                       ON CONFLICT (run_id, day) DO UPDATE SET stored = t.stored + 1""",
                    (run_id, event.day),
                )
                cursor.execute(
                    "UPDATE strandline.run SET high_n = greatest(high_n, %s) WHERE id = %s", (event.n, run_id)
                )

    def live(self) -> None:
        """Something happens to each sensor."""
        if self.dice.random() < 0.15 and self.clock < TODAY:
            self.clock += timedelta(days=1)
        for sensor in self.sensors:
            mine = [run for run in self.runs if run.sensor == sensor]
            if not mine or self.dice.random() < 0.3:
                # The digits sort by time; the day in them is only asked for when nothing else tells it.
                stamp = int(datetime.combine(self.clock, datetime.min.time(), UTC).timestamp())
                mine.append(Run(sensor, f"{stamp}{len(self.runs):06d}-{self.dice.randrange(1 << 16):04x}"))
                self.runs.append(mine[-1])
            run = mine[-1]
            fresh = [Event(len(run.events) + 1 + i, self.clock) for i in range(self.dice.randrange(1, 60))]
            run.events += fresh
            for event in fresh:
                event.spooled = self.dice.random() > 0.02
            # What is not in the spool can't arrive; of the rest a head, a tail, a middle, nothing or all is lost.
            low, high = sorted(self.dice.randrange(-20, len(fresh) + 20) for _ in range(2))
            keep = self.dice.choice([fresh, fresh, fresh[:high] if high > 0 else [], fresh[max(low, 0) :], []])
            hole = range(max(low, 0), max(low, 0) + self.dice.randrange(6))
            self.store(run, [e for i, e in enumerate(keep) if e.spooled and i not in hole])

    def prune(self) -> None:
        """The oldest lines leave the spools, up to some number of some run."""
        for sensor in self.sensors:
            mine = [run for run in self.runs if run.sensor == sensor]
            last = self.dice.randrange(len(mine))
            for run in mine[:last]:
                for event in run.events:
                    event.spooled = False
            if self.dice.random() < 0.5:
                for event in mine[last].events[: self.dice.randrange(len(mine[last].events) + 1)]:
                    event.spooled = False

    def index(self, sensor: str) -> dict[str, Any]:
        """What the sensor's program would say."""
        runs = {}
        for run in self.runs:
            held = [e for e in run.events if e.spooled] if run.sensor == sensor else []
            if held:
                days: dict[str, list[int]] = {}
                for event in held:
                    span = days.setdefault(event.day.isoformat(), [event.n, event.n, 0])
                    span[:] = [span[0], event.n, span[2] + 1]
                ranges = normal((e.n, e.n) for e in held)
                runs[run.name] = {"last": held[-1].n, "ranges": [list(one) for one in ranges], "days": days}
        return {"runs": runs}

    def reconcile(self, answering: list[str]) -> int:
        """What the playbook does; returns how many lines were sent again."""
        since = self.ledger.now()
        index = {sensor: self.index(sensor) for sensor in answering}
        self.ledger.state({sensor: gaps.parse_index(sensor, json.loads(json.dumps(index[sensor]))) for sensor in index})
        self.expect(index)
        self.compare("before")
        parsed = {sensor: gaps.parse_index(sensor, index[sensor]) for sensor in index}
        request = self.ledger.plan(parsed, since)
        for run in self.runs:
            if run.sensor in index:
                self.lose(run, index[run.sensor]["runs"].get(run.name))
        asked = 0
        for sensor, runs in request.items():
            for run in self.runs:
                numbers = [n for first, last in runs.get(run.name, []) for n in range(first, last + 1)]
                if run.sensor != sensor or not numbers:
                    continue
                sent = [run.events[n - 1] for n in numbers]
                assert all(e.spooled and e.state == "missing" for e in sent), "asked for exactly what is missing"
                asked += len(sent)
                if self.dice.random() < 0.9:
                    self.store(run, sent, recovered=True)
        self.ledger.conclude()
        self.compare("after")
        return asked

    def expect(self, index: dict[str, Any]) -> None:
        """Which new events the account can know to be missing: those below the highest number that anybody named."""
        for run in self.runs:
            here = [e.n for e in run.events if e.state in ("stored", "rejected", "missing")]
            stated = index.get(run.sensor, {"runs": {}})["runs"].get(run.name, {"last": 0})["last"]
            high = max([*here, stated])
            run.known = run.known or high > 0
            for event in run.events:
                if event.state == "new" and event.n <= high and run.known:
                    event.state = "missing"

    @staticmethod
    def lose(run: Run, stated: dict[str, Any] | None) -> None:
        """Which missing events are lost now that their sensor has answered."""
        for event in run.events:
            if event.state == "missing" and not event.spooled:
                if stated is None or event.n < stated["ranges"][0][0]:
                    event.state = "outlived"
                elif event.n <= stated["last"]:
                    event.state = "unwritten"

    def turn_up(self) -> None:
        """Some of what was called lost arrives after all."""
        for run in self.runs:
            gone = [e for e in run.events if e.state in ("outlived", "unwritten")]
            if gone and self.dice.random() < 0.1:
                some = self.dice.sample(gone, self.dice.randrange(1, len(gone) + 1))
                self.store(run, some, recovered=True)

    def compare(self, when: str) -> None:
        """Everything that the account says against what happened."""
        expected: dict[tuple[str, date], Counter[str]] = {}
        for run in self.runs:
            if not run.known:
                continue
            for event in run.events:
                if event.state != "new":
                    line = expected.setdefault((run.sensor, event.day), Counter())
                    line["sent"] += 1
                    line[event.state] += 1
                    line["recovered"] += event.recovered
        names = ("sent", "stored", "rejected", "missing", "outlived", "unwritten")
        found = account.days(self.connection, TODAY - timedelta(days=30))
        for name in (*names, "recovered"):
            want = {sensor: 0 for sensor in self.sensors}
            have = dict(want)
            for (sensor, _), line in expected.items():
                want[sensor] += line[name]
            for one in found:
                have[one.sensor] += getattr(one, name)
            if name != "recovered" or when == "after":
                assert have == want, f"{when}: {name}: {have}, not {want}"
        for one in found:
            assert one.sent == one.stored + one.rejected + one.missing + one.lost
            assert one.lost == one.outlived + one.unwritten
            # Stored events have their day. A number that no spool ever showed is put with its neighbours.
            assert one.stored == expected.get((one.sensor, one.day), Counter())["stored"], (when, one)

    def finish(self) -> Counter[str]:
        """Every sensor answers until nothing comes any more: then nothing may be missing."""
        for _ in range(40):
            if self.reconcile(self.sensors) == 0:
                break
        total: Counter[str] = Counter(e.state for run in self.runs for e in run.events if run.known)
        assert total["missing"] == 0, total
        self.told += account.new_losses(self.connection)
        assert account.new_losses(self.connection) == [], "each loss is told once"
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM strandline.run_numbers WHERE checked_n < high_n")
            assert cursor.fetchone() == (0,), "all runs were checked to their ends"
            cursor.execute("SELECT count(*) FROM strandline.asked")
            assert cursor.fetchone() == (0,)
        return total


def main() -> int:
    """Command line; an AssertionError says what did not agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--migrations", default="/usr/lib/strandline/database")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    try:
        for seed in range(options.seeds):
            administer(
                f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)",
                f"CREATE DATABASE {NAME} OWNER strandline_owner ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
                " TEMPLATE template0",
                f"ALTER DATABASE {NAME} SET timezone = 'UTC'",
            )
            migrate = [sys.executable, f"{options.migrations}/migrate.py", "--dsn", DSN]
            subprocess.run(migrate, check=True, stdout=subprocess.DEVNULL)
            world = World(seed)
            for _ in range(options.rounds):
                world.live()
                world.turn_up()
                if world.dice.random() < 0.3:
                    world.prune()
                if world.dice.random() < 0.6:
                    total["resent"] += world.reconcile([s for s in world.sensors if world.dice.random() < 0.8])
            total += world.finish()
            world.connection.close()
    finally:
        administer(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
    print(json.dumps(total))
    return 0


if __name__ == "__main__":
    sys.exit(main())
