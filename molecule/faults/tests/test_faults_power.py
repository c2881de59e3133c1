"""Hosts that lose their power together with what was not on their disks yet, under known traffic."""

from __future__ import annotations

import time
from functools import partial

import disks
import pytest
from containers import Machine
from outages import lose_power, shortly_before, stopped, writing_back_as
from world import COLLECTOR1, COLLECTORS, SENSORS, SPOOL, SYSLOG, Traffic, conclude, raw_days, sql, stored

pytestmark = pytest.mark.skipif(
    not disks.exists(SENSORS[0].name), reason="this machine has no loop devices, or no mkfs.ext4"
)


def whole_lines() -> None:
    """No line in a sensor's spool is two: what the power cut off stays apart from what came after it."""
    for sensor in SENSORS:
        for file in sensor.file(SPOOL).glob("2*.log"):
            assert not [line for line in file.read_text().splitlines() if line.count(" [ev@32473 ") > 1]


def runs(sensor: Machine) -> set[str]:
    """The runs of a sensor that the database knows."""
    return {run for name, run, _ in stored() if name == sensor.name}


def test_a_collector_with_the_database_loses_its_power() -> None:
    """Nothing that it had is lost; of raw files, which nobody sends again, the last seconds are."""
    with writing_back_as(COLLECTOR1) as seconds:
        traffic = Traffic("collector")
        time.sleep(seconds + 4)
        at = time.time()
        lose_power(COLLECTOR1)
        COLLECTOR1.power_on()
        outcome = conclude(traffic)
    assert outcome.unnumbered == set()
    rows = sql(
        "SELECT json_build_array(data->>'call_id', extract(epoch FROM rts)) FROM strandline.event"
        " WHERE event = 'sip.request'"
    )
    received = {call: when for call, when in rows if call.startswith(f"{traffic.mark}-")}
    kept = {call for collector in COLLECTORS for call, _ in raw_days(collector, traffic)}
    lost = set(received) - kept
    print(f"{len(lost)} are in no raw file")
    assert all(at - seconds < received[call] < at + 1 for call in lost)


def test_a_sensor_loses_its_power() -> None:
    """It had sent what was not on its disk."""
    sensor = SENSORS[0]
    traffic = Traffic("sensor")
    time.sleep(3)
    may_be_lost = shortly_before(traffic, sensor, partial(lose_power, sensor))
    sensor.power_on()
    assert conclude(traffic, torn=1).unnumbered <= may_be_lost
    whole_lines()


def test_a_sensor_that_nobody_hears_loses_its_power() -> None:
    """The newest events are lost, which no other host has, and nobody can tell how many: only those of some seconds."""
    sensor = SENSORS[0]
    earlier = runs(sensor)
    with writing_back_as(sensor) as seconds:
        with stopped(COLLECTORS, SYSLOG):
            traffic = Traffic("unheard")
            time.sleep(3)
            may_be_lost = shortly_before(traffic, sensor, partial(lose_power, sensor), moment=seconds)
            sensor.power_on()
        outcome = conclude(traffic, torn=1)
    print(f"{len(outcome.unnumbered)} of {len(may_be_lost)} answered in the last {seconds:g} s are lost")
    assert outcome.unnumbered <= may_be_lost
    whole_lines()
    assert {run for name, run, n in stored() if name == sensor.name and n == 1} >= runs(sensor) - earlier
