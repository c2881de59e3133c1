"""Networks that swallow everything, under known traffic: the database is the client's own record."""

from __future__ import annotations

import time
from contextlib import ExitStack

from containers import poll
from outages import cut, impatient
from world import COLLECTOR1, COLLECTOR2, SENSORS, Traffic, calls, conclude, nowhere, raw_lines, sql


def stored_of(traffic: Traffic) -> int:
    """How many of its requests are in the database."""
    return sum(call.startswith(f"{traffic.mark}-") for call in calls())


def test_the_second_collector_takes_over_and_the_first_one_gets_its_sensors_back() -> None:
    """The first vanishes without a word. The second loses its way to the database as well, and its power meanwhile."""
    traffic = Traffic("failover")
    poll(lambda: raw_lines(COLLECTOR1, traffic.mark), 15)
    with ExitStack() as stack:
        for sensor in SENSORS:
            stack.enter_context(impatient(sensor))
            stack.enter_context(cut(sensor, COLLECTOR1))
        assert poll(lambda: raw_lines(COLLECTOR2, traffic.mark), 30) > 0
        with cut(COLLECTOR1, COLLECTOR2):
            time.sleep(2)
            known, received = stored_of(traffic), raw_lines(COLLECTOR2, traffic.mark)
            assert known > 0
            assert poll(lambda: raw_lines(COLLECTOR2, traffic.mark) > received + 100, 20)
            COLLECTOR2.power_off()
            COLLECTOR2.power_on()
            assert stored_of(traffic) == known
        # The database was not told that the loader is gone: its session must end before the next one may go on.
        assert poll(lambda: stored_of(traffic) >= received + 100, 60)
    there = raw_lines(COLLECTOR1, traffic.mark)
    assert poll(lambda: raw_lines(COLLECTOR1, traffic.mark) > there, 40)
    assert conclude(traffic).unnumbered == set()
    by_second = sql(
        "SELECT to_json(collector) FROM strandline.spool_position WHERE byte_offset > 0"
        " GROUP BY collector ORDER BY collector"
    )
    assert by_second == [COLLECTOR1.name, COLLECTOR2.name]


def test_a_network_that_swallows_everything_for_a_while_costs_nothing() -> None:
    """In both directions, between the sensors and either collector."""
    traffic = Traffic("swallow")
    assert poll(lambda: stored_of(traffic), 15)
    with cut(SENSORS[0], COLLECTOR1, COLLECTOR2), cut(SENSORS[1], COLLECTOR1, COLLECTOR2):
        time.sleep(1)
        known, answered = stored_of(traffic), len(traffic.answered())
        time.sleep(5)
        assert stored_of(traffic) == known
        assert len(traffic.answered()) > answered + 100
    # TCP tries again after twice as long each time (RFC 6298, section 5.5): what was held up may take as long again.
    traffic.stop()
    assert poll(lambda: not nowhere(), 60, 1)
    assert conclude(traffic).unnumbered == set()
