"""Which hosts get new keys, and what is shown of it."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from strandline_fleet import rotation
from strandline_fleet.errors import Refusal

from filter_plugins.rotation import FilterModule, sensor_connections

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def state(step: str, begins: dt.datetime, ends: dt.datetime) -> dict[str, Any]:
    """As strandline_identity answers."""
    return {"step": step, "begins": int(begins.timestamp()), "ends": int(ends.timestamp())}


OLD = state("settled", NOW - 700 * DAY, NOW + 100 * DAY)
NEW = state("settled", NOW - DAY / 24, NOW + 800 * DAY)


def test_old_certificates_and_those_half_way_are_due() -> None:
    known = {
        "old": OLD,
        "new": NEW,
        "made": {**NEW, "step": "prepared"},
        "on": {**NEW, "step": "switched"},
        "bare": {"step": "absent"},
        "gone": {"unreachable": True},
    }
    assert rotation.due(known, NOW) == ["old", "made", "on"]
    assert rotation.due(known, NOW, made_before=NOW.isoformat()) == ["old", "new", "made", "on"]


@pytest.mark.parametrize(("days", "names"), [(0, []), (30, []), (99, []), (101, ["old"]), (900, ["old", "new"])])
def test_by_their_end(days: int, names: list[str]) -> None:
    assert rotation.due({"old": OLD, "new": NEW}, NOW, days=days) == names


def test_a_point_in_time_without_a_zone_is_utc() -> None:
    assert rotation.moment("2026-11-25T12:00") == NOW
    assert rotation.moment("2026-11-25T13:00+01:00") == NOW
    with pytest.raises(Refusal, match="'yesterday' is no point in time"):
        rotation.moment("yesterday")


def test_a_wrong_variable_is_named() -> None:
    due = FilterModule().filters()["rotation_due"]
    with pytest.raises(AnsibleFilterError, match="rotate_made_before: 'yesterday'"):
        due({"old": OLD}, "yesterday")
    with pytest.raises(AnsibleFilterError, match="rotate_due: 'soon'"):
        due({"old": OLD}, "", "soon")


def test_the_plan_names_everybody_that_was_asked() -> None:
    known = {"a1": OLD, "a2": {**NEW, "step": "switched"}, "bare": {"step": "absent"}, "gone": {"skipped": True}}
    said = rotation.plan(known, [["a1"], ["a2"]]).splitlines()
    assert said[1].split() == ["1", "a1", "2024-12-25", "12:00", "2027-03-05", "12:00"]
    assert said[2].split()[-1] == "switched"
    assert said[3:] == ["Never provisioned, and left out: bare.", "No answer: gone."]
    assert rotation.plan({"a1": NEW}, []) == "No certificate is due."


def test_the_outcome_names_what_is_left_to_do() -> None:
    hosts: dict[str, dict[str, Any]] = {
        "a1": {"rollout_done": True},
        "a2": {"rollout_failed": "no room"},
        "a3": {"rollout_unreachable": True},
        "a4": {},
        "a5": {"rotate_switched": True},
    }
    said = rotation.outcome(hosts, hosts, ["b1", "www"])
    rows = {line.split()[0]: line for line in said.splitlines()[1:6]}
    assert rows["a1"].endswith("new key")
    assert rows["a2"].endswith("failed: no room")
    assert rows["a3"].endswith("no answer, left as it was")
    assert rows["a5"].endswith("switched, and its old certificate is trusted still")
    assert "Stopped. Not begun: a4. To carry on, give the same command again." in said
    assert "--limit b1,www" in said
    assert "Stopped" not in rotation.outcome(["a1"], hosts)


def test_a_sensors_own_connections_are_those_of_its_syslog_ng() -> None:
    said = """\
0 0 198.51.100.7:40112 203.0.113.9:6514 users:(("syslog-ng",pid=411,fd=14))
0 0 198.51.100.7:40998 203.0.113.9:6514 users:(("openssl",pid=9,fd=3))
0 0 198.51.100.7:41000 203.0.113.9:6514
0 0 [2001:DB8::7]:40114 [2001:db8::9]:6514 users:(("syslog-ng",pid=411,fd=15))
0 0 [::ffff:198.51.100.7]:40116 [::ffff:203.0.113.9]:6514 users:(("syslog-ng",pid=411,fd=16))
"""
    assert sensor_connections(said) == ["198.51.100.7:40112", "2001:db8::7:40114", "198.51.100.7:40116"]
    assert sensor_connections("") == []
