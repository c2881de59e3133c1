"""Programs that are killed and hosts that vanish, under known traffic: the database is the client's own record."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest
from containers import Machine, poll
from outages import seeded, shortly_before, stopped
from world import (
    COLLECTOR1,
    COLLECTOR2,
    COLLECTORS,
    DATABASE,
    LOADER,
    SENSORS,
    SIP,
    SPOOL,
    SYSLOG,
    Traffic,
    calls,
    conclude,
    raw_lines,
)

HOSTS = [*SENSORS, *COLLECTORS]


def test_without_an_outage_nothing_is_missing() -> None:
    traffic = Traffic("calm")
    time.sleep(4)
    outcome = conclude(traffic)
    assert len(outcome.answered) > 100
    assert (outcome.missing, outcome.unnumbered) == (set(), set())


def test_collectors_that_are_away_for_long() -> None:
    """Days at a few events a second: the spool grows by file after file, and goes out when somebody listens again."""
    files = len(list(SENSORS[0].file(SPOOL).glob("2*.log")))
    with stopped(COLLECTORS, SYSLOG):
        traffic = Traffic("away", rate=300)
        assert poll(lambda: len(list(SENSORS[0].file(SPOOL).glob("2*.log"))) >= files + 2, 60)
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
    """What syslog-ng had taken from its socket and not yet written is lost with it, and nothing else ever is.

    A listener answers when the event is off its hands. So what may be lost was answered in the moment before.
    """
    traffic = Traffic("kill")
    time.sleep(2)
    may_be_lost: set[str] = set()
    for machine, unit in [
        (SENSORS[0], SYSLOG), (COLLECTOR1, SYSLOG), (COLLECTOR1, LOADER), (SENSORS[1], SYSLOG), (COLLECTOR2, SYSLOG),
        (COLLECTOR1, DATABASE), (COLLECTOR2, LOADER), (SENSORS[1], SIP),
    ]:  # fmt: skip
        if machine in SENSORS and unit == SYSLOG:
            may_be_lost |= shortly_before(traffic, machine, partial(machine.kill, unit))
        else:
            machine.kill(unit)
        time.sleep(1.5)
    assert conclude(traffic).unnumbered <= may_be_lost


def linger(sensor: Machine) -> None:
    """The next time it is to end, the listener answers for a second longer, as one that has much to end would."""
    drop_in = sensor.file(f"/run/systemd/system/{SIP}.d/linger.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("[Service]\nExecStop=/bin/sleep 1\n")
    sensor.unit("daemon-reload")


def test_hosts_lose_power_and_reboot_in_a_random_order() -> None:
    """Each by either, up to three at a time. A reboot stops one program after the other, and costs no event."""
    rng = seeded()
    ends = [(machine, orderly) for machine in HOSTS for orderly in (True, False)]
    rng.shuffle(ends)
    traffic = Traffic("power")
    time.sleep(2)
    down: list[Machine] = []
    may_be_lost: set[str] = set()
    try:
        for machine, orderly in ends:
            if machine in down:
                down.remove(machine)
                machine.power_on()
            print(f"{machine.name} {'reboots' if orderly else 'loses power'}, away: {[other.name for other in down]}")
            if orderly:
                if machine in SENSORS:
                    linger(machine)
                machine.shut_down()
            elif machine in SENSORS:
                may_be_lost |= shortly_before(traffic, machine, machine.power_off)
            else:
                machine.power_off()
            down.append(machine)
            stay = rng.randrange(3)
            while len(down) > stay:
                down.pop(rng.randrange(len(down))).power_on()
    finally:
        for machine in down:
            machine.power_on()
    for machine in SENSORS:
        # One that was just started says that it lives when it has booted: not between the look and the account.
        machine.run("systemctl", "is-system-running", "--wait")
        machine.run("systemctl", "stop", "strandline-heartbeat.timer", "strandline-heartbeat.service")
    assert conclude(traffic).unnumbered <= may_be_lost


@pytest.mark.long
def test_fifty_random_kills() -> None:
    """STRANDLINE_SEED repeats a run, STRANDLINE_KILLS makes it shorter."""
    rng = seeded()
    traffic = Traffic("random", rate=80)
    units = [(machine, SYSLOG) for machine in HOSTS]
    units += [(COLLECTOR1, LOADER), (COLLECTOR2, LOADER), (COLLECTOR1, DATABASE)]
    may_be_lost: set[str] = set()
    for _ in range(int(os.environ.get("STRANDLINE_KILLS", "50"))):
        way = rng.random()
        machine, unit = (rng.choice(HOSTS), "") if way < 0.3 else rng.choice(units)
        if way < 0.1:
            machine.shut_down()
        else:
            end = partial(machine.kill, unit) if unit else machine.power_off
            if machine in SENSORS:
                # As long as a syslog-ng that was just killed takes to be there again, events wait in its socket.
                may_be_lost |= shortly_before(traffic, machine, end, moment=2)
            else:
                end()
        if not unit:
            time.sleep(rng.uniform(0, 3))
            machine.power_on()
        time.sleep(rng.uniform(0.2, 3))
    for machine in SENSORS:
        # One that was just started says that it lives when it has booted: not between the look and the account.
        machine.run("systemctl", "is-system-running", "--wait")
        machine.run("systemctl", "stop", "strandline-heartbeat.timer", "strandline-heartbeat.service")
    assert conclude(traffic).unnumbered <= may_be_lost
