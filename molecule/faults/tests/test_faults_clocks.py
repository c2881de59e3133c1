"""Clocks that jump and days that end, under known traffic: every event is in the database, on its own day."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta

from clocks import DAY, Clock, answered_meanwhile, own_clock
from containers import Machine, poll
from outages import PRUNE, RETENTION, bounded, changed, pruned, stopped
from world import (
    COLLECTOR1,
    COLLECTOR2,
    LINE,
    RAW,
    SENSORS,
    SIP,
    SPOOL,
    SYSLOG,
    Traffic,
    conclude,
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
        " (rts AT TIME ZONE 'UTC')::date, tableoid ="
        " ('strandline.event_p' || to_char(ts AT TIME ZONE 'UTC', 'YYYYMMDD'))::regclass)"
        " FROM strandline.event WHERE event = 'sip.request'"
    )
    assert all(placed for *_, placed in rows)
    mine = [row for row in rows if row[0].startswith(f"{traffic.mark}-")]
    return {call: (days, date.fromisoformat(day)) for call, days, day, _ in mine}


def received(traffic: Traffic) -> dict[str, date]:
    """The UTC day on which the collector received each request."""
    return {call: day for call, (_, day) in arrived(traffic).items()}


def settled(traffic: Traffic) -> bool:
    """Whether both sensors send to the first collector."""
    return all(f"{traffic.mark}-{place}" in raw_text(COLLECTOR1, sensor) for place, sensor in enumerate(SENSORS))


def raw_text(collector: Machine, sensor: Machine) -> str:
    """A sensor's raw files that are not compressed, one after the other."""
    return "".join(file.read_text() for file in sorted(collector.file(f"{RAW}/{sensor.name}").glob("*/2*.log")))


def raw_days(collector: Machine, traffic: Traffic) -> list[tuple[str, date]]:
    """The Call-ID of each line of a traffic in a collector's raw files, compressed or not, and its file's day.

    Each line must have been received on that day.
    """
    found = []
    for path in collector.check("find", RAW, "-name", "2*.log*").split():
        day = os.path.basename(path)[:10]
        for line in collector.check("zstdcat", "--force", path).splitlines():
            match = LINE.search(line)
            if match and (match[3] or "").startswith(f"{traffic.mark}-"):
                assert line.startswith(day), (path, line)
                found.append((match[3], date.fromisoformat(day)))
    return found


def test_a_sensors_clock_jumps_a_day_ahead_and_back() -> None:
    sensor = SENSORS[0]
    with own_clock(sensor, SYSLOG, SIP) as clock:
        traffic = Traffic("jump")
        right, wrong = ahead_and_back(traffic, clock)
        tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
        outcome = conclude(traffic)
        spooled = "".join(file.read_text() for file in sensor.file(SPOOL).glob(f"{tomorrow}.*.log"))
    assert outcome.unnumbered == set()
    days = {call: days for call, (days, _) in arrived(traffic).items()}
    jumped = {call for call in wrong if traffic.heard_by(call) == sensor}
    assert len(jumped) > 40
    assert {days[call] for call in jumped} == {1}
    assert {days[call] for call in (right | wrong) - jumped} == {0}
    assert all(f'"{call}"' in spooled for call in jumped)


def test_a_collectors_clock_jumps_a_day_ahead_and_back() -> None:
    """The time stamp is the listener's, and right; the time of receipt is not, and names the raw file."""
    with stopped([COLLECTOR2], SYSLOG), own_clock(COLLECTOR1, SYSLOG) as clock:
        traffic = Traffic("wrong")
        assert poll(lambda: settled(traffic), 30)
        right, wrong = ahead_and_back(traffic, clock)
        outcome = conclude(traffic)
    assert outcome.unnumbered == set()
    days = {call: days for call, (days, _) in arrived(traffic).items()}
    assert {days[call] for call in right} == {0}
    assert {days[call] for call in wrong} == {-1}
    assert dict(raw_days(COLLECTOR1, traffic)) == received(traffic)


def test_midnight_passes_under_load_while_everything_is_kept_within_bounds() -> None:
    """The raw file of the day before is complete, is compressed when it is idle, and loses nothing to a clock set back.

    It is the midnight after next: what has today's date is old enough to go by then, and not before.
    """
    sensor = SENSORS[0]
    today = datetime.now(UTC).date()
    eve, morrow = today + timedelta(days=1), today + timedelta(days=2)
    removed = pruned(sensor, "age")["lines"]
    with ExitStack() as stack:
        enter = stack.enter_context
        enter(stopped([COLLECTOR2], SYSLOG))
        clocks = [
            enter(own_clock(sensor, SYSLOG, SIP, "strandline-prune.service")),
            enter(own_clock(COLLECTOR1, SYSLOG, "strandline-retention.service")),
        ]
        # A minute becomes a second: as soon as that, the collector closes a raw file that is idle.
        enter(changed(COLLECTOR1, "/etc/syslog-ng/syslog-ng.conf", lambda text: text.replace("reap(60)", "reap(1)")))
        COLLECTOR1.unit("restart", SYSLOG)
        enter(bounded(sensor, PRUNE, keep_days=1))
        enter(bounded(COLLECTOR1, RETENTION, compress_days=1))

        def keep() -> set[str]:
            """A round of both keepers; the days that are in the spool now."""
            sensor.unit("start", "strandline-prune.service")
            COLLECTOR1.unit("start", "strandline-retention.service")
            return {file.name[:10] for file in sensor.file(SPOOL).glob("2*.log")}

        def compressed() -> bool:
            """Whether the keeper compresses the raw files of the day before when they have been idle for long."""
            COLLECTOR1.check("sh", "-c", f"touch --date='5 minutes ago' {RAW}/*/*/{eve}.log")
            keep()
            return not list(COLLECTOR1.file(RAW).glob(f"*/*/{eve}.log"))

        traffic = Traffic("midnight", rate=120)
        assert poll(lambda: settled(traffic), 30)
        ahead = (datetime.combine(morrow, datetime.min.time(), UTC) - datetime.now(UTC)).total_seconds() - 6
        begin = time.monotonic()
        for clock in clocks:
            clock.set(ahead)
        assert str(today) in keep()
        while time.monotonic() < begin + 9:
            time.sleep(0.3)
            days = keep()
        assert days >= {str(eve), str(morrow)}
        assert str(today) not in days
        assert pruned(sensor, "age")["lines"] > removed
        assert list(COLLECTOR1.file(RAW).glob(f"*/*/{eve}.log"))
        assert compressed()
        for clock in clocks:
            clock.set(ahead - 60)
        assert poll(lambda: list(COLLECTOR1.file(RAW).glob(f"*/*/{eve}.log")), 10)
        before = raw_lines(COLLECTOR1, traffic.mark)
        assert poll(lambda: raw_lines(COLLECTOR1, traffic.mark) > before + 100, 10)
        for clock in clocks:
            clock.set(ahead)
        time.sleep(3)
        assert compressed()
        outcome = conclude(traffic)
    assert (outcome.missing, outcome.unnumbered) == (set(), set())
    lines = raw_days(COLLECTOR1, traffic)
    assert [call for call, times in Counter(call for call, _ in lines).items() if times > 1] == []
    assert dict(lines) == received(traffic)
    assert set(dict(lines).values()) == {today, eve, morrow}
    assert outcome.answered <= set(dict(lines))
