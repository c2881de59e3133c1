"""What canary_round does beside judging: by the real playbook, on a fleet of folders.

In place of what sends and looks into the database stands an outcome of the test's choice.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from local_fleet import LocalFleet
from strandline_fleet import lock

pytestmark = pytest.mark.slow

HERE = "192.0.2.200"
LEFT = "The sightings that the canary caused could not be removed (gone): feeds may name this machine."


def outcome(sensor: str, says: str = "") -> dict[str, Any]:
    """What became of a sensor's one event."""
    probe = {"listener": "ssh", "address": "192.0.2.1", "port": 22, "proto": "tcp", "event": "x", "ok": not says,
             "says": says or "received", "source": None if says else HERE, "seconds": 0.1}  # fmt: skip
    return {"sensor": sensor, "ok": not says, "says": says, "sent": 1, "failed": int(bool(says)), "probes": [probe]}


SEND = [
    {
        "name": "Note the attempt",
        "ansible.builtin.shell": "echo canary {{ canary_sensors | join(',') }} >> {{ record }}",
        "changed_when": False,
        "run_once": True,
    },
    {
        "name": "Send",
        "ansible.builtin.set_fact": {
            "canary_result": "{{ attempts[attempt | default(0) | int] }}",
            "canary_outcome": "{{ attempts[attempt | default(0) | int].sensors }}",
            "attempt": "{{ attempt | default(0) | int + 1 }}",
        },
        "run_once": True,
    },
]


def attempt(lost: Mapping[str, str], left: bool = False, only: bool = False) -> dict[str, Any]:
    """The result of strandline_canary."""
    names = lost if only else ("a1", "a2", "b1")
    return {"sensors": [outcome(name, lost.get(name, "")) for name in names], "lost": list(lost), "ok": not lost,
            "database": True, "table": "", "msg": "All is found.", "warnings": [LEFT] if left else []}  # fmt: skip


@pytest.fixture
def fleet(tmp_path: Path) -> LocalFleet:
    """The fleet, with a folder that is an inventory."""
    made = LocalFleet(tmp_path, {"playbooks/tasks/canary.yml": SEND})
    hosts = tmp_path / "inventory" / "hosts.yml"
    hosts.write_text(
        hosts.read_text().replace("fleet_database: col", f"fleet_database: col\n    fleet_dir: {tmp_path}")
    )
    return made


def play(fleet: LocalFleet, *attempts: Mapping[str, Any], **more: Any) -> tuple[int, str]:
    """A round in which the attempts end so; exit code, and what was said with single spaces."""
    code, said = fleet.play(
        "canary_round", attempts=attempts, canary_round_state=str(fleet.directory / "memory.json"),
        fleet_tell_command=["tee", str(fleet.directory / "told")], **more,
    )  # fmt: skip
    return code, " ".join(said.split())


def test_a_round_that_is_good_ends_well(fleet: LocalFleet) -> None:
    code, said = play(fleet, attempt({}))
    assert (code, "All is found." in said, fleet.steps()) == (0, True, ["canary a1,a2,b1"]), said


@pytest.mark.parametrize("which", [0, 1])
def test_sightings_that_stay_fail_the_run_whichever_attempt_left_them(fleet: LocalFleet, which: int) -> None:
    attempts = [attempt({"b1": "no answer"}, left=which == 0), attempt({}, left=which == 1)]
    code, said = play(fleet, *attempts)
    assert (code, LEFT in said) == (2, True), said


def test_what_is_wrong_is_told_and_remembered_although_sightings_stay(fleet: LocalFleet) -> None:
    lost = {"b1": "no answer"}
    code, said = play(fleet, attempt(lost, left=True), attempt(lost, only=True))
    assert code == 2, said
    assert (fleet.directory / "told").read_text() == "b1: 192.0.2.1 ssh 22/tcp: no answer\n"
    assert list(json.loads((fleet.directory / "memory.json").read_text())) == ["host b1 filtered"]
    code, said = play(fleet, attempt(lost), attempt(lost, only=True))
    assert (code, "1 problem found. See docs/canary_round.md" in said) == (2, True), said


def test_nothing_is_judged_while_another_run_changes_the_fleet(fleet: LocalFleet) -> None:
    lost = {"b1": "connection refused"}
    with (fleet.directory / "inventory" / lock.NAME).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        code, said = play(fleet, attempt(lost), attempt(lost, only=True))
        assert (code, fleet.steps()) == (0, []), said
        assert "while another run changes the fleet" in said
    assert not (fleet.directory / "memory.json").exists()
