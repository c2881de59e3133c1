"""python3 -m strandline.collector.watch [--config FILE]: one look at sensors and collector, and tell what has changed.

A timer runs it every minute. What people were told is remembered in the database, in the transaction that makes the
notice: each change is told once. A notice that can't be delivered is tried again, later and later, for three days.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import psycopg2

from ...shared.settings import ConfigurationError
from . import deliver, facts, judge, settings, tell
from .judge import Collector, Told
from .settings import Settings
from .store import Store, connect

log = logging.getLogger("strandline.collector.watch")

GIVE_UP_TRIES = 80
"""With an hour between two tries at the end, three days."""
LONGEST_WAIT = timedelta(hours=1)
NO_WAY = "neither mail nor webhook is configured"
DATABASE_PATIENCE = 180.0
"""Seconds that the database may be away before people are told."""


def wait_after(tries: int) -> timedelta | None:
    """How long to wait after this number of tries; None: give up."""
    if tries >= GIVE_UP_TRIES:
        return None
    return min(timedelta(minutes=2 ** min(tries, 10)) / 2, LONGEST_WAIT)


def ways(config: Settings) -> list[str]:
    """How people are told, as far as it is configured."""
    return [way for way, on in (("mail", config.mail), ("webhook", config.webhook)) if on is not None]


def hand_over(config: Settings, way: str, ids: tuple[int, ...], made: datetime, items: tuple[Told, ...]) -> None:
    """Deliver one way. Raises DeliveryError."""
    if way == "mail" and config.mail is not None:
        deliver.by_mail(config.mail, deliver.mail_message(config.mail, config.collector, ids, made, items))
    elif way == "webhook" and config.webhook is not None:
        deliver.by_webhook(config.webhook, deliver.document(config.collector, ids, made, items))


def look(config: Settings, store: Store) -> None:
    """Find what has changed, and note what has to be told."""
    now = store.now()
    unit = facts.receiver()
    counters, trouble = facts.count(
        config.run, config.state, config.stats, config.removed, unit.get("InvocationID", "")
    )
    if trouble:
        log.warning("counters: %s", trouble)
    store.count(config.collector, counters)
    sensors = store.sensors(facts.sensors_of(config.addresses))
    collector = Collector(
        config.collector,
        facts.up_since(unit, now),
        store.hearing_since(config.collector, now, None),
        facts.loader_trouble(config.loader_status, time.time()),
        facts.disks(config.disks),
    )
    known = store.known()
    found, judged = judge.observe(now, config.limits, sensors, collector, known)
    found.update(judge.publishers(now, store.publishers()))
    store.hearing_since(config.collector, now, judged)
    after, told = judge.step(now, config.limits, known, found, collector=config.collector, judged=judged)
    store.remember(known, after)
    told += _returned(config)
    store.notify(told, ways(config))
    store.commit()
    for one in told:
        log.log(logging.INFO if one.state == judge.OK else logging.WARNING, "%s: %s", one.state, one.text)


def send(config: Settings, store: Store) -> None:
    """Deliver what waits, each way by itself."""
    for way in ways(config):
        due = store.due(way)
        if due is None:
            continue
        try:
            hand_over(config, way, due.ids, due.made, due.items)
        except deliver.DeliveryError as error:
            again = wait_after(due.tries + 1)
            what = "given up" if again is None else f"tried again in {again}"
            log.error("%s not delivered, %s: %s", way, what, error)
            store.failed(way, due, str(error), again)
        else:
            log.info("%s delivered: %s", way, deliver.title(due.items))
            store.done(way, due)
        store.commit()


# --- without the database ---


def _away(config: Settings) -> Path:
    return config.state / "database-away.json"


def database_is_away(config: Settings, error: str, clock: Callable[[], float] = time.time) -> None:
    """Remember it in a file, and tell people once when it lasts."""
    path = _away(config)
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        since, told = float(tree["since"]), list(tree["told"])
    except (OSError, ValueError, KeyError, TypeError):
        since, told = clock(), []
    made = datetime.fromtimestamp(since).astimezone()
    if clock() - since > DATABASE_PATIENCE:
        text = (
            f"{config.collector}: the database can't be reached since {judge.stamp(made)}; nothing is judged: {error}"
        )
        for way in ways(config):
            if way in told:
                continue
            try:
                hand_over(config, way, (int(since),), made, (Told(f"database {config.collector}", "away", text),))
                told.append(way)
            except deliver.DeliveryError as failure:
                log.error("%s not delivered, tried again in a minute: %s", way, failure)
    path.write_text(json.dumps({"since": since, "told": told}) + "\n", encoding="utf-8")


def _returned(config: Settings) -> list[Told]:
    """The database is there again: told to those who were told that it was not."""
    path = _away(config)
    try:
        told = json.loads(path.read_text(encoding="utf-8"))["told"]
    except (OSError, ValueError, KeyError, TypeError):
        told = []
    path.unlink(missing_ok=True)
    text = f"{config.collector}: the database can be reached again"
    return [Told(f"database {config.collector}", judge.OK, text)] if told else []


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit status 1 when it can't look now, 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="strandline.collector.watch", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("/etc/strandline/watch.json"))
    parser.add_argument("--check", action="store_true", help="check the configuration, then end")
    parser.add_argument("--test", action="store_true", help="tell people a word, to see that it arrives")
    parser.add_argument("--tell", action="store_true", help="tell people what stands on standard input, then end")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        config = settings.load(options.config)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2
    if options.check:
        return 0
    if options.tell:
        return tell_others(config, sys.stdin.read())
    return say_a_word(config) if options.test else work(config)


def work(config: Settings) -> int:
    """One round; exit status 1 when it can't look now."""
    try:
        connection = connect(config.database)
    except psycopg2.Error as error:
        text = " ".join(str(error).split())
        log.error("database: %s", text)
        database_is_away(config, text)
        return 1
    try:
        store = Store(connection)
        if not store.lock():
            log.info("another collector's watcher is at work")
            return 0
        look(config, store)
        send(config, store)
    except (psycopg2.Error, OSError) as error:
        log.error("%s", " ".join(str(error).split()))
        return 1
    finally:
        connection.close()
    return 0


def tell_others(config: Settings, text: str) -> int:
    """Have the items of a JSON document told; exit status 1 when they can't be, 2 when they are not as they should be.

    They wait in the database, like the watcher's own, until they are delivered. Without the database they are delivered
    at once or not at all.
    """
    try:
        items = tell.read(text)
    except tell.ItemsError as error:
        print(f"standard input: {error}", file=sys.stderr)
        return 2
    if not items:
        return 0
    if not ways(config):
        print(f"{NO_WAY}: set collector_watch_mail_to or collector_watch_webhook_url", file=sys.stderr)
        return 1
    try:
        connection = connect(config.database)
    except psycopg2.Error as error:
        log.warning("database: %s", " ".join(str(error).split()))
        return hand_over_now(config, tuple(items))
    try:
        store = Store(connection)
        store.notify(items, ways(config))
        store.commit()
    except psycopg2.Error as error:
        log.error("%s", " ".join(str(error).split()))
        return 1
    finally:
        connection.close()
    print(f"{len(items)} to tell by {' and '.join(ways(config))}")
    return 0


def say_a_word(config: Settings) -> int:
    """Send a test message by mail and webhook, as configured; return 1 when one fails or none is configured."""
    word = Told(f"test {config.collector}", "test", f"{config.collector}: this is a test; all is well")
    return hand_over_now(config, (word,))


def hand_over_now(config: Settings, items: tuple[Told, ...]) -> int:
    """Send a message by mail and webhook, as configured; return 1 when one fails or none is configured."""
    failed = not ways(config)
    if failed:
        print(NO_WAY, file=sys.stderr)
    now = datetime.now().astimezone()
    for way in ways(config):
        try:
            hand_over(config, way, (int(now.timestamp()),), now, items)
            print(f"{way}: handed over")
        except deliver.DeliveryError as error:
            print(f"{way}: {error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
