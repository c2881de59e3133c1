"""What is shown of an upgrade."""

from __future__ import annotations

from typing import Any

from strandline_fleet import upgrade

FINE = {"upgraded": ["libc6"], "kept_back": [], "restarted": [], "rebooted": False, "reboot_needed": [], "failed": []}


def test_the_table_says_what_to_look_at() -> None:
    hosts: dict[str, dict[str, Any]] = {
        "a1": {
            "rollout_done": True,
            "system_upgrade_outcome": {**FINE, "upgraded": [f"lib{n}" for n in range(9)], "rebooted": True},
        },
        "a2": {
            "rollout_done": True,
            "system_upgrade_outcome": {**FINE, "kept_back": ["bind9"], "reboot_needed": ["kernel 6.12.90"]},
        },
        "b1": {"rollout_failed": "x", "system_upgrade_outcome": {**FINE, "failed": ["named.service"]}},
        "b2": {"rollout_failed": "no room"},
        "b3": {"rollout_done": True, "system_upgrade_outcome": FINE, "rollout_failed": "marked events"},
        "c1": {"rollout_unreachable": True},
        "c2": {},
        "d1": {"rollout_done": True, "system_upgrade_outcome": {**FINE, "upgraded": []}},
    }
    said = upgrade.outcome(list(hosts), hosts)
    lines = said.splitlines()
    words = {
        name: " ".join(" ".join(lines[at : at + 2]).split())
        for name in hosts
        for at in [next(n for n, line in enumerate(lines) if line.split()[:1] == [name])]
    }
    assert "lib3 and 5 more" in words["a1"]
    assert "done" in words["a1"]
    assert "kept back: bind9" in words["a2"]
    assert "needed: kernel 6.12.90" in words["a2"]
    assert "failed since: named.service" in words["b1"]
    assert "failed: no room" in words["b2"]
    assert "failed: marked events" in words["b3"]
    assert "does not answer" in words["c1"]
    assert words["d1"].startswith("d1 nothing")
    assert "Did not answer, and were left out: c1." in said
    assert "Stopped. Not upgraded: c2." in said


def test_in_check_mode_it_is_what_there_is_to_do() -> None:
    hosts = {"a1": {"rollout_done": True, "system_upgrade_outcome": FINE}}
    assert "to upgrade" in upgrade.outcome(["a1"], hosts, check=True).splitlines()[0]
