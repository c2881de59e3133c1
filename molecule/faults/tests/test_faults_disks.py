"""Full disks and spools that give something up, under known traffic: the account is the client's own record."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

from clocks import DAY, own_clock
from containers import poll
from outages import outlived, prune, pruned, small_disk, stopped, used
from world import (
    COLLECTOR1,
    COLLECTOR2,
    COLLECTORS,
    LOADER,
    PARSED,
    RAW,
    SENSORS,
    SIP,
    SPOOL,
    SYSLOG,
    Traffic,
    calls,
    conclude,
    numbered,
    quiet,
    reconcile,
    stored,
)


def test_a_collector_without_room_for_raw_files_has_the_sensors_wait() -> None:
    traffic = Traffic("rawfull", rate=200)
    with small_disk(COLLECTOR1, RAW, [SYSLOG], 256):
        assert poll(lambda: used(COLLECTOR1, RAW) >= 99, 60)
        time.sleep(3)
    assert conclude(traffic).unnumbered == set()


def test_a_collector_without_room_for_parsed_events_gets_them_later() -> None:
    """The second one, whose database is on another host: its account has how long there was no room all the same."""
    traffic = Traffic("parsedfull", rate=200)
    with stopped([COLLECTOR1], SYSLOG), small_disk(COLLECTOR2, PARSED, [SYSLOG, LOADER], 256):
        assert poll(lambda: used(COLLECTOR2, PARSED) >= 99, 60)
        time.sleep(3)
    COLLECTOR2.unit("start", "strandline-watch.service")
    outcome = conclude(traffic)
    assert outcome.unnumbered == set()
    assert len(outcome.missing) > 0
    own = [day for day in outcome.account["after"]["days"] if day["sensor"] == COLLECTOR2.name]
    assert sum(day["full_pauses"] for day in own) > 0


def test_a_sensor_without_room_for_its_spool_keeps_what_comes_until_there_is_room() -> None:
    """syslog-ng holds 20,000 events in memory meanwhile; beyond that they would be lost, and their numbers missing."""
    sensor = SENSORS[0]
    # Without traffic, for an event would have its socket start syslog-ng in between.
    with small_disk(sensor, SPOOL, [SYSLOG], 128):
        traffic = Traffic("sensorfull", rate=120)
        assert poll(lambda: used(sensor, SPOOL) >= 99, 60)
        full = len(traffic.answered())
        assert poll(lambda: len(traffic.answered()) > full + 300, 30)
        # Somebody makes room.
        sensor.check("mount", "-o", "remount,size=64m", SPOOL)
        time.sleep(3)
        outcome = conclude(traffic)
    assert outcome.unnumbered == set()


def test_what_the_spool_had_to_give_up_is_known_to_be_lost_to_the_last_event() -> None:
    """The oldest goes first. What syslog-ng had read before would still go out: only a restart makes it a loss."""
    before = sum(outlived().values())
    with stopped(COLLECTORS, SYSLOG):
        traffic = Traffic("pruned", rate=300)
        assert poll(lambda: len(traffic.answered()) > 2000, 60)
        answered = traffic.stop()
        time.sleep(1)
        whole = set(numbered())
        known = set(stored())
        for sensor in SENSORS:
            prune(sensor, max_bytes=300_000)
            sensor.unit("restart", SYSLOG)
        given_up = whole - set(numbered()) - known
        assert len(given_up) > 500
    quiet()
    reconcile()
    gone = answered - set(calls())
    assert sum(outlived().values()) - before == len(gone) == len(given_up)
    print(f"{len(answered)} answered; {len(gone)} were pruned before anybody had them, and the account says so")


def test_what_outlived_the_spools_days_is_known_to_be_lost_to_the_last_event() -> None:
    """Everything of three days ago goes, of that day in the account, and nothing of today's."""
    day = f"{datetime.now(UTC) - timedelta(days=3):%Y-%m-%d}"
    before = outlived()
    counted = [pruned(sensor, "age") for sensor in SENSORS]
    with stopped(COLLECTORS, SYSLOG):
        with ExitStack() as stack:
            clocks = [stack.enter_context(own_clock(sensor, SYSLOG, SIP)) for sensor in SENSORS]
            for clock in clocks:
                clock.set(-3 * DAY)
            traffic = Traffic("aged", rate=300)
            assert poll(lambda: len(traffic.answered()) > 1500, 60)
            old = traffic.stop()
            time.sleep(1)
            for clock in clocks:
                clock.set(0)
            traffic = Traffic("young")
            assert poll(lambda: len(traffic.answered()) > 150, 30)
            young = traffic.stop()
            time.sleep(1)
            whole, known = set(numbered()), set(stored())
            aged = [list(sensor.file(SPOOL).glob(f"{day}.*.log")) for sensor in SENSORS]
            lines = [sum(len(file.read_text().splitlines()) for file in files) for files in aged]
            for sensor in SENSORS:
                prune(sensor, keep_days=1)
        assert not [file for files in aged for file in files if file.exists()]
        given_up = whole - set(numbered())
        assert not given_up & known
    quiet()
    reconcile()
    gone = (old | young) - set(calls())
    assert gone == old
    assert len(gone) == len(given_up) == sum(lines)
    assert outlived() == before | {day: before.get(day, 0) + len(gone)}
    for sensor, earlier, files, events in zip(SENSORS, counted, aged, lines, strict=True):
        now = pruned(sensor, "age")
        assert (now["files"] - earlier["files"], now["lines"] - earlier["lines"]) == (len(files), events)
        assert events > 500
    print(f"{len(old) + len(young)} answered; {len(gone)} outlived the spools' days, and the account says so")
