"""Everything that goes wrong, under known traffic: afterwards the database is the client's own record."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from containers import Machine, poll
from world import (
    COLLECTOR1,
    COLLECTOR2,
    COLLECTORS,
    DATABASE,
    LOADER,
    PARSED,
    RAW,
    SENSORS,
    SPOOL,
    SYSLOG,
    Traffic,
    calls,
    conclude,
    numbered,
    quiet,
    reconcile,
    sql,
    stored,
)


@contextmanager
def stopped(machines: list[Machine], unit: str) -> Iterator[None]:
    """A unit is stopped on some hosts."""
    for machine in machines:
        machine.unit("stop", unit)
    try:
        yield
    finally:
        for machine in machines:
            machine.unit("start", unit)


@contextmanager
def cut(machine: Machine, rule: str) -> Iterator[None]:
    """A host's network is cut by a rule of its own firewall, in front of the others."""
    table = (
        "table inet fault { chain out { type filter hook output priority -300; " + rule + " ; }; "
        "chain in { type filter hook input priority -300; }; }"
    )
    machine.check("nft", table)
    try:
        yield
    finally:
        machine.check("nft", "delete table inet fault")


def raw_lines(collector: Machine, mark: str) -> int:
    """Lines of a mark in a collector's raw files."""
    done = collector.run("sh", "-c", f"cat {RAW}/*/*/*.log | grep -c {mark}-")
    return int(done.stdout or 0)


def test_without_an_outage_nothing_is_missing() -> None:
    traffic = Traffic("calm")
    time.sleep(5)
    outcome = conclude(traffic)
    assert len(outcome.answered) > 100
    assert (outcome.missing, outcome.unnumbered) == (set(), set())


def test_the_second_collector_takes_over_and_the_first_one_gets_its_sensors_back() -> None:
    traffic = Traffic("failover")
    poll(lambda: raw_lines(COLLECTOR1, traffic.mark), 15)
    refuse = f"ip daddr {COLLECTOR1.address} tcp dport 6514 reject with tcp reset"
    with cut(SENSORS[0], refuse), cut(SENSORS[1], refuse):
        assert poll(lambda: raw_lines(COLLECTOR2, traffic.mark), 30) > 0
        time.sleep(3)
    there = raw_lines(COLLECTOR1, traffic.mark)
    assert poll(lambda: raw_lines(COLLECTOR1, traffic.mark) > there, 40)
    assert conclude(traffic).unnumbered == set()
    by_second = sql(
        "SELECT to_json(collector) FROM strandline.spool_position WHERE byte_offset > 0"
        " GROUP BY collector ORDER BY collector"
    )
    assert by_second == [COLLECTOR1.name, COLLECTOR2.name]


def test_a_network_that_swallows_everything_for_a_while_costs_nothing() -> None:
    traffic = Traffic("swallow")
    time.sleep(2)
    with cut(SENSORS[0], "tcp dport 6514 drop"), cut(SENSORS[1], "tcp dport 6514 drop"):
        time.sleep(6)
    # TCP tries again after twice as long each time (RFC 6298, section 5.5): what was held up may take as long again.
    traffic.stop()
    assert poll(lambda: not set(numbered()) - set(stored()), 60, 1)
    assert conclude(traffic).unnumbered == set()


def test_collectors_that_are_away_for_long() -> None:
    """Days at a few events a second: the spool grows by file after file, and goes out when somebody listens again."""
    files = len(list(SENSORS[0].file(SPOOL).glob("2*.log")))
    with stopped(COLLECTORS, SYSLOG):
        traffic = Traffic("away", rate=200)
        assert poll(lambda: len(list(SENSORS[0].file(SPOOL).glob("2*.log"))) >= files + 3, 60)
        assert not [call for call in calls() if call.startswith(traffic.mark)]
    outcome = conclude(traffic)
    assert len(outcome.answered) > 1000
    assert outcome.unnumbered == set()


def test_a_database_that_is_away_stops_no_raw_file() -> None:
    traffic = Traffic("database")
    time.sleep(2)
    with stopped([COLLECTOR1], DATABASE):
        there = raw_lines(COLLECTOR1, traffic.mark)
        assert poll(lambda: raw_lines(COLLECTOR1, traffic.mark) > there + 100, 20)
    outcome = conclude(traffic)
    assert (outcome.missing, outcome.unnumbered) == (set(), set())


def test_every_program_on_the_way_is_killed() -> None:
    traffic = Traffic("kill")
    time.sleep(2)
    for machine, unit in [
        (SENSORS[0], SYSLOG), (COLLECTOR1, SYSLOG), (COLLECTOR1, LOADER), (SENSORS[1], SYSLOG), (COLLECTOR2, SYSLOG),
        (COLLECTOR1, DATABASE), (COLLECTOR2, LOADER), (SENSORS[1], "strandline-sip.service"),
    ]:  # fmt: skip
        machine.kill(unit)
        time.sleep(1.5)
    # Taken from the socket and not yet written when its process ended: a few for each kill of a sensor's syslog-ng.
    assert len(conclude(traffic).unnumbered) <= 20


def test_hosts_lose_power_in_any_order() -> None:
    traffic = Traffic("power")
    time.sleep(2)
    for order in ([SENSORS[0], COLLECTOR1], [COLLECTOR1, COLLECTOR2, SENSORS[1]]):
        for machine in order:
            machine.power_off()
            time.sleep(1)
        for machine in reversed(order):
            machine.power_on()
        time.sleep(2)
    for machine in SENSORS:
        machine.run("systemctl", "stop", "strandline-heartbeat.timer")
    assert len(conclude(traffic).unnumbered) <= 20


@contextmanager
def small_disk(machine: Machine, place: str, units: list[str], kib: int) -> Iterator[None]:
    """A directory lies on a file system of its own that is soon full; what it held is there again afterwards."""
    owner = machine.check("stat", "--format=%u:%g %a", place).split()
    machine.unit("stop", *units)
    machine.check("mount", "-t", "tmpfs", "-o", f"size={kib}k,mode={owner[1]}", "tmpfs", place)
    machine.check("chown", owner[0], place)
    machine.unit("start", *units)
    try:
        yield
    finally:
        machine.unit("stop", *units)
        machine.check("umount", place)
        machine.unit("start", *units)


def used(machine: Machine, place: str) -> int:
    """How full a file system is, in percent."""
    return int(machine.check("df", "--output=pcent", place).split()[-1].rstrip("%"))


def test_a_collector_without_room_for_raw_files_has_the_sensors_wait() -> None:
    traffic = Traffic("rawfull", rate=120)
    with small_disk(COLLECTOR1, RAW, [SYSLOG], 256):
        assert poll(lambda: used(COLLECTOR1, RAW) >= 99, 60)
        time.sleep(4)
    assert conclude(traffic).unnumbered == set()


def test_a_collector_without_room_for_parsed_events_gets_them_later() -> None:
    traffic = Traffic("parsedfull", rate=120)
    with small_disk(COLLECTOR1, PARSED, [SYSLOG, LOADER], 256):
        assert poll(lambda: used(COLLECTOR1, PARSED) >= 99, 60)
        time.sleep(4)
    outcome = conclude(traffic)
    assert outcome.unnumbered == set()
    assert len(outcome.missing) > 0


def lost(reason: str) -> int:
    """How many events the account knows to be lost for a reason."""
    rows = sql(f"SELECT coalesce(sum(last_n - first_n + 1), 0) FROM strandline.lost WHERE reason = '{reason}'")  # noqa: S608
    return int(rows[0])


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
    before = lost("outlived")
    with stopped(COLLECTORS, SYSLOG):
        traffic = Traffic("pruned", rate=200)
        assert poll(lambda: len(traffic.answered()) > 3000, 60)
        answered = traffic.stop()
        time.sleep(1)
        whole = set(numbered())
        known = set(stored())
        for sensor in SENSORS:
            policy = sensor.file("/etc/strandline/prune.json")
            text = policy.read_text()
            bounds = json.loads(text)
            bounds["directories"][0]["max_bytes"] = 300_000
            policy.write_text(json.dumps(bounds))
            try:
                sensor.unit("start", "strandline-prune.service")
            finally:
                policy.write_text(text)
            sensor.unit("restart", SYSLOG)
        pruned = whole - set(numbered()) - known
        assert len(pruned) > 500
    quiet()
    reconcile()
    gone = answered - set(calls())
    assert lost("outlived") - before == len(gone) == len(pruned)
    print(f"{len(answered)} answered; {len(gone)} were pruned before anybody had them, and the account says so")


def test_time_stamps_of_another_day_find_their_partition() -> None:
    """As from a listener whose clock jumps a day forward and back: the time stamp is the listener's."""
    for day in (-1, 1):
        program = (
            "import datetime, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
            "s.connect('/run/strandline/events/socket');"
            f"t = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days={day});"
            "s.send(f'<134>1 {t:%Y-%m-%dT%H:%M:%S.%f}Z - strandline-vnc 1 - - event=vnc.client saddr=198.19.170.1"
            f' sport={5000 + day} daddr=198.19.161.1 dport=5900 proto=tcp version="RFB 003.008"\'.encode())'
        )
        SENSORS[0].check("python3", "-c", program)
    query = (
        "SELECT json_build_array(sport - 5000, (ts AT TIME ZONE 'UTC')::date - (rts AT TIME ZONE 'UTC')::date)"
        " FROM strandline.event WHERE event = 'vnc.client' AND sport IN (4999, 5001) ORDER BY sport"
    )
    assert poll(lambda: len(sql(query)) == 2, 20)
    assert sql(query) == [[-1, -1], [1, 1]]


@pytest.mark.long
def test_fifty_random_kills() -> None:
    """STRANDLINE_SEED repeats a run, STRANDLINE_KILLS makes it shorter."""
    seed = int(os.environ.get("STRANDLINE_SEED", time.time_ns() % 1_000_000))
    kills = int(os.environ.get("STRANDLINE_KILLS", "50"))
    rng = random.Random(seed)  # noqa: S311 - no secret
    print(f"STRANDLINE_SEED={seed} STRANDLINE_KILLS={kills}")
    traffic = Traffic("random", rate=80)
    units = [(machine, SYSLOG) for machine in [*SENSORS, *COLLECTORS]]
    units += [(COLLECTOR1, LOADER), (COLLECTOR2, LOADER), (COLLECTOR1, DATABASE)]
    for _ in range(kills):
        if rng.random() < 0.2:
            machine = rng.choice([*SENSORS, *COLLECTORS])
            machine.power_off()
            time.sleep(rng.uniform(0, 3))
            machine.power_on()
        else:
            machine, unit = rng.choice(units)
            machine.kill(unit)
        time.sleep(rng.uniform(0.2, 3))
    for machine in SENSORS:
        machine.run("systemctl", "stop", "strandline-heartbeat.timer")
    outcome = conclude(traffic)
    assert len(outcome.unnumbered) <= 10 * kills
