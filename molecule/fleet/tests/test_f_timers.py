"""Timers: installed on a controller with systemd, run by it, changed and removed. The controller is the builder.

What runs there is a program in the place of ./strandline that writes down how it was called: the clone's own needs this
machine's Python. That the units call a verb which exists is for tests/fleet/test_timers.py to see.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import servers
from servers import ROOT, Server

CONTROLLER = Server("fleet-builder", "198.51.100.12")
UNIT = "strandline-network-verify"
RECORDER = """#!/bin/sh
printf '%s\\n' "$PWD" "$(id -un)" "$LANG" "$@" >/run/called
"""


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's inventory; localhost is the container, which has the clone's and the inventory's folder."""
    made = Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path_factory.mktemp("timers") / "network"))
    leased = made / "group_vars" / "leased.yml"
    leased.write_text(f"{leased.read_text()}ansible_ssh_private_key_file: {servers.KEY}\n")
    (made / "host_vars").mkdir()
    localhost = {
        "ansible_connection": "strandline_container",
        "ansible_host": CONTROLLER.name,
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    (made / "host_vars" / "localhost.yml").write_text(json.dumps(localhost))
    CONTROLLER.inside("mkdir", "-p", str(ROOT), str(made))
    write = ["podman", "exec", "-i", CONTROLLER.name, "sh", "-c", 'cat >"$0" && chmod 755 "$0"', f"{ROOT}/strandline"]
    subprocess.run(write, input=RECORDER, text=True, check=True)
    return made


def timers(inventory: Path, *arguments: str) -> tuple[int, str]:
    """Run the verb, telling how many tasks changed something."""
    return servers.strandline("timers", "-i", str(inventory), *arguments, **servers.RECAP)


def units(*states: str) -> set[str]:
    """The timers that are in a state."""
    listed = CONTROLLER.inside(
        "systemctl", "list-units", "--plain", "--no-legend", *states, "strandline-network-*.timer"
    )
    return {line.split()[0] for line in listed.splitlines()}


def test_the_plan_installs_nothing(inventory: Path) -> None:
    code, said = timers(inventory, "--plan")
    assert code == 0, said
    assert "+OnCalendar=" in said
    assert units("--all") == set()


def test_timers_are_installed_once_and_run_after_a_boot_too(inventory: Path) -> None:
    code, said = timers(inventory)
    assert code == 0, said
    active = units("--state=active")
    assert {f"{UNIT}.timer", "strandline-network-due.timer"} <= active, said
    enabled = CONTROLLER.inside("systemctl", "is-enabled", *sorted(active)).split()
    assert enabled == ["enabled"] * len(active)
    code, said = timers(inventory)
    assert (code, sum(servers.changed(said).values())) == (0, 0), said


def test_a_run_is_called_as_it_should_be(inventory: Path) -> None:
    CONTROLLER.inside("systemctl", "start", f"{UNIT}.service")
    called = CONTROLLER.file("/run/called").read_text().splitlines()
    assert called == [str(ROOT), "root", "C.UTF-8", "verify", "-i", str(inventory)]


def test_a_run_says_in_the_journal_what_it_lacks(inventory: Path) -> None:
    CONTROLLER.inside("mv", str(inventory), f"{inventory}.away")
    try:
        CONTROLLER.inside("sh", "-c", f"! systemctl start {UNIT}.service")
        said = CONTROLLER.inside("journalctl", "-u", UNIT, "-o", "cat")
        assert f"{inventory} can not be read by root. Put it back" in said
        assert CONTROLLER.inside("sh", "-c", f"systemctl is-failed {UNIT}.service || true").strip() == "failed"
    finally:
        CONTROLLER.inside("mv", f"{inventory}.away", str(inventory))
        CONTROLLER.inside("systemctl", "reset-failed")


def test_a_changed_time_is_followed_and_a_verb_left_out_is_gone(inventory: Path) -> None:
    all_yml = inventory / "group_vars" / "all.yml"
    before = all_yml.read_text()
    all_yml.write_text(f'{before}fleet_timers: {{verify: "*-*-* 04:44:00", report: false}}\n')
    code, said = timers(inventory)
    assert code == 0, said
    assert "strandline-network-report.timer" not in units("--all")
    assert "04:44:00" in CONTROLLER.inside("systemctl", "show", "-P", "TimersCalendar", f"{UNIT}.timer")
    assert not CONTROLLER.file("/etc/systemd/system/strandline-network-report.service").exists()


def test_they_are_removed(inventory: Path) -> None:
    code, said = timers(inventory, "--remove")
    assert code == 0, said
    assert units("--all") == set()
    assert not list(CONTROLLER.file("/etc/systemd/system").rglob("strandline-network-*"))
    code, said = timers(inventory, "--remove")
    assert (code, sum(servers.changed(said).values())) == (0, 0), said


def test_a_unit_of_somebody_else_is_left_alone(inventory: Path) -> None:
    unit = f"/etc/systemd/system/{UNIT}.timer"
    CONTROLLER.inside("sh", "-c", f"echo '[Unit]' >{unit}")
    try:
        for arguments in ((), ("--remove",)):
            code, said = timers(inventory, *arguments)
            assert (code, f"{unit} belongs to somebody else" in said) == (2, True), said
        assert CONTROLLER.inside("cat", unit) == "[Unit]\n"
    finally:
        CONTROLLER.inside("rm", unit)
