"""Clocks that jump and days that end, under known traffic: every event is in the database, on its own day."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from clocks import DAY, Clock, answered_meanwhile, own_clock
from containers import Machine, poll
from outages import PRUNE, RETENTION, bounded, changed, connect_anew, pruned, stopped
from world import (
    COLLECTOR1,
    COLLECTOR2,
    RAW,
    SENSORS,
    SIP,
    SPOOL,
    SYSLOG,
    Traffic,
    conclude,
    raw_days,
    raw_lines,
    sql,
)


def ahead_and_back(traffic: Traffic, clock: Clock) -> tuple[set[str], set[str]]:
    """A day ahead, and back: what was answered while the clock was right, and while it was not."""
    right = answered_meanwhile(traffic, 1.5)
    clock.set(DAY)
    wrong = answered_meanwhile(traffic, 3)
    clock.set(0)
    return right | answered_meanwhile(traffic, 3), wrong


def arrived(traffic: Traffic) -> dict[str, tuple[int, date]]:
    """Of each request in the database: how many days after its receipt it was stamped, and the UTC day of receipt.

    Every one that was ever stored must be in the partition of its time stamp.
    """
    rows = sql(
        "SELECT json_build_array(data->>'call_id', round(extract(epoch FROM ts - rts) / 86400),"
        " (rts AT TIME ZONE 'UTC')::date) FROM strandline.event WHERE event = 'sip.request'"
    )
    misplaced = sql(
        "SELECT count(*) FROM strandline.event_row WHERE tableoid <>"
        " ('strandline.event_row_p' || to_char(ts AT TIME ZONE 'UTC', 'YYYYMMDD'))::regclass"
    )
    assert misplaced == [0]
    mine = [row for row in rows if row[0].startswith(f"{traffic.mark}-")]
    return {call: (days, date.fromisoformat(day)) for call, days, day in mine}


def settled(traffic: Traffic) -> bool:
    """Whether both sensors send to the first collector."""
    return all(f"{traffic.mark}-{place}" in raw_text(COLLECTOR1, sensor) for place, sensor in enumerate(SENSORS))


def raw_text(collector: Machine, sensor: Machine) -> str:
    """A sensor's raw files that are not compressed, one after the other."""
    return "".join(file.read_text() for file in sorted(collector.file(f"{RAW}/{sensor.name}").glob("*/2*.log")))


def raw_files(day: date) -> list[Path]:
    """The first collector's raw files of a day that are not compressed."""
    return list(COLLECTOR1.file(RAW).glob(f"*/*/{day}.log"))


def spooled(sensor: Machine, day: date) -> str:
    """What a sensor's spool has of a day."""
    return "".join(file.read_text() for file in sensor.file(SPOOL).glob(f"{day}.*.log"))


def compress(days: list[date], ahead: float) -> None:
    """A round of the first collector's keeper, for which the raw files of some days were written by such a clock."""
    for day in days:
        for file in raw_files(day):
            # File systems go by the true one.
            os.utime(file, (time.time() + ahead,) * 2)
    COLLECTOR1.unit("start", "strandline-retention.service")


@contextmanager
def keepers_clocks(sensor: Machine) -> Iterator[list[Clock]]:
    """A sensor and the first collector have clocks of their own, and keep no day but today's and the one before."""
    with (
        stopped([COLLECTOR2], SYSLOG),
        own_clock(sensor, SYSLOG, SIP, "strandline-prune.service") as its,
        own_clock(COLLECTOR1, SYSLOG, "strandline-retention.service") as collectors,
        # A minute becomes a second: after it the collector closes a raw file that is idle.
        changed(COLLECTOR1, "/etc/syslog-ng/syslog-ng.conf", lambda text: text.replace("reap(60)", "reap(1)")),
        bounded(sensor, PRUNE, keep_days=1),
        bounded(COLLECTOR1, RETENTION, compress_days=1),
    ):
        COLLECTOR1.unit("restart", SYSLOG)
        connect_anew()
        yield [its, collectors]
    connect_anew()


def test_a_sensors_clock_jumps_a_day_ahead_and_back() -> None:
    sensor = SENSORS[0]
    with own_clock(sensor, SYSLOG, SIP) as clock:
        traffic = Traffic("jump")
        right, wrong = ahead_and_back(traffic, clock)
        outcome = conclude(traffic)
        text = spooled(sensor, datetime.now(UTC).date() + timedelta(days=1))
    assert outcome.unnumbered == set()
    days = {call: days for call, (days, _) in arrived(traffic).items()}
    jumped = {call for call in wrong if traffic.heard_by(call) == sensor}
    assert len(jumped) > 40
    assert {days[call] for call in jumped} == {1}
    assert {days[call] for call in (right | wrong) - jumped} == {0}
    assert all(f'"{call}"' in text for call in jumped)


def test_midnight_passes_under_load_while_everything_is_kept_within_bounds() -> None:
    """The raw file of the day before is complete, is compressed when it is idle, and loses nothing to clocks set back.

    It is the midnight after next: what has today's date is old enough to go by then, and not before. Afterwards the
    collector's clock goes a minute back, and then to the true day.
    """
    sensor = SENSORS[0]
    today = datetime.now(UTC).date()
    eve, morrow = today + timedelta(days=1), today + timedelta(days=2)
    removed = pruned(sensor, "age")["lines"]
    with keepers_clocks(sensor) as clocks:
        traffic = Traffic("midnight", rate=120)
        assert poll(lambda: settled(traffic), 30)
        ahead = (datetime.combine(morrow, datetime.min.time(), UTC) - datetime.now(UTC)).total_seconds() - 12
        midnight = time.monotonic() + 12
        for clock in clocks:
            clock.set(ahead)
        while time.monotonic() < midnight + 6:
            sensor.unit("start", "strandline-prune.service")
            assert spooled(sensor, today) or time.monotonic() >= midnight
            # What is written while the keeper runs has the true time, days ago by its clock. Before midnight the file's
            # day protects it; a round must be over by then, and a busy collector must have written the day's last line.
            if not -3 < midnight - time.monotonic() < 6:
                compress([today, eve], ahead)
        assert not spooled(sensor, today)
        assert spooled(sensor, eve)
        assert spooled(sensor, morrow)
        assert pruned(sensor, "age")["lines"] > removed
        assert raw_files(eve)
        compress([today, eve], ahead - 300)
        assert not raw_files(eve)
        clocks[1].set(ahead - 60)
        assert poll(lambda: raw_files(eve), 10)
        before = raw_lines(COLLECTOR1, traffic.mark)
        assert poll(lambda: raw_lines(COLLECTOR1, traffic.mark) > before + 100, 10)
        clocks[1].set(ahead)
        # Until the collector has closed the file.
        time.sleep(3)
        compress([today, eve], ahead - 300)
        assert not raw_files(eve)
        assert not raw_files(today)
        clocks[1].set(0)
        assert poll(lambda: raw_files(today), 10)
        outcome = conclude(traffic)
    assert (outcome.missing, outcome.unnumbered) == (set(), set())
    lines = raw_days(COLLECTOR1, traffic)
    assert [call for call, times in Counter(call for call, _ in lines).items() if times > 1] == []
    assert dict(lines) == {call: day for call, (_, day) in arrived(traffic).items()}
    assert set(dict(lines).values()) == {today, eve, morrow}
    assert outcome.answered <= set(dict(lines))
