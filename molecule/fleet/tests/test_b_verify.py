"""Verify: a fleet in which all is well, and one in which much is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import servers
from clock import Clock
from containers import poll
from servers import ALL, COLLECTOR, INVENTORY, SENSOR1, SENSOR2, UNLUCKY, Server

AHEAD = 3.0  # seconds by which one sensor's time servers are ahead of its clock


def by_command(findings: Path, names: list[str]) -> tuple[int, str]:
    """The verb by ./strandline."""
    return servers.strandline("verify", "-i", str(INVENTORY), f"--json={findings}", *names)


def by_ansible(findings: Path, names: list[str]) -> tuple[int, str]:
    """The verb by plain ansible-playbook."""
    variables = json.dumps({"verify_json": str(findings), "target": names})
    return servers.playbook("verify", f"--extra-vars={variables}")


def verify(
    findings: Path, *sensors: Server, by: Callable[[Path, list[str]], tuple[int, str]] = by_command
) -> tuple[int, str, dict[str, Any]]:
    """Exit status, what was said, and the findings by host."""
    code, said = by(findings, [sensor.name for sensor in sensors])
    hosts = json.loads(findings.read_text())["hosts"] if findings.exists() else []
    return code, said, {host["host"]: host for host in hosts}


def offset(sensor: Server) -> float | None:
    """The offset of a sensor's clock from the time server that chrony follows; None when it follows none."""
    sources = [line.split(",") for line in sensor.inside("chronyc", "-c", "sources").splitlines()]
    return next((float(fields[7]) for fields in sources if fields[1] == "*"), None)


@pytest.mark.parametrize("by", [by_command, by_ansible])
def test_all_is_well(tmp_path: Path, by: Callable[[Path, list[str]], tuple[int, str]]) -> None:
    """Every host, the collector too; each clock is at most 50 ms from this machine's, which it is."""
    assert poll(lambda: all(offset(sensor) is not None for sensor in ALL), seconds=70, every=2), "no time server"
    code, said, hosts = verify(tmp_path / "findings.json", Server(COLLECTOR, ""), *ALL, by=by)
    assert code == 0, said
    assert set(hosts) == {COLLECTOR, *(sensor.name for sensor in ALL)}
    assert "All 4 hosts are as they should be." in said
    for host in hosts.values():
        assert abs(host["checks"]["clock"]["offset_seconds"]) < 0.05, host


# Onboarding plans the whole of site once more.
@pytest.mark.parametrize(
    "verb", [pytest.param(verb, marks=pytest.mark.long if verb == "onboard" else ()) for verb in servers.PLANS]
)
def test_a_plan_for_a_sensor_changes_nothing(verb: str) -> None:
    code, said = servers.plan(verb, SENSOR1)
    assert code == 0, said[-4000:]


def test_what_is_wrong_is_found_and_an_unreachable_host_is_a_row(tmp_path: Path, clock: Clock) -> None:
    clock.ahead[UNLUCKY.address] = AHEAD
    UNLUCKY.inside("systemctl", "restart", "chrony")
    UNLUCKY.inside("systemctl", "stop", "strandline-vnc.socket", "strandline-vnc.service")
    UNLUCKY.inside("systemd-run", "--unit=stray", "/usr/bin/python3", "-m", "http.server", "8081")
    # What is open already would outlive the daemon.
    SENSOR2.inside("systemctl", "kill", "--kill-whom=all", "--signal=KILL", "ssh.service")
    SENSOR2.inside("systemctl", "stop", "ssh.service")
    try:
        assert poll(lambda: abs(offset(UNLUCKY) or 0) > 1, seconds=30), "chrony did not notice"
        code, said, hosts = verify(tmp_path / "findings.json", SENSOR1, SENSOR2, UNLUCKY)
        again, _, by_playbook = verify(tmp_path / "again.json", SENSOR1, SENSOR2, UNLUCKY, by=by_ansible)
        silent, lost = servers.playbook("canary", f"--limit={UNLUCKY.name}")
    finally:
        clock.ahead.clear()
        SENSOR2.inside("systemctl", "start", "ssh.service")
        UNLUCKY.inside("systemctl", "stop", "stray.service")
        UNLUCKY.inside("systemctl", "start", "strandline-vnc.socket")
        UNLUCKY.inside("systemctl", "restart", "chrony")
    assert code == 2, said
    assert "2 of 3 hosts need attention: fleet-sensor2, fleet-sensor3." in said
    assert hosts[SENSOR1.name]["ok"]
    # Nobody can enter it, and its listeners serve all the same.
    away = hosts[SENSOR2.name]
    assert "refused" in away["unreachable"], away
    assert away["checks"]["canary"]["ok"], away
    wrong = hosts[UNLUCKY.name]["checks"]
    assert {check for check, finding in wrong.items() if not finding["ok"]} == {"clock", "ports", "canary"}, wrong
    assert -AHEAD - 0.1 < wrong["clock"]["offset_seconds"] < -AHEAD + 0.1
    assert wrong["ports"]["missing"] == ["5900/tcp"]
    assert [extra.split(" ")[0] for extra in wrong["ports"]["extra"]] == ["8081/tcp"]
    assert wrong["canary"]["failed"] == 1
    # The same by plain ansible-playbook.
    assert again == code
    assert {name: host["ok"] for name, host in by_playbook.items()} == {
        name: host["ok"] for name, host in hosts.items()
    }
    assert silent == 2
    assert f"1 of 6 marked events did not arrive, of {UNLUCKY.name}" in lost
    assert "vnc 5900/tcp: connection refused" in " ".join(lost.split())
