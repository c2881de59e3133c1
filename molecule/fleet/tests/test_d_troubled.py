"""Servers that come with something of their own: onboarded, or left as they are with the remedy named; never locked."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import servers
from containers import poll
from servers import ADMIN_PORT, CLOUD, DNSMASQ, FIREWALLD, INVENTORY, PROXY, UFW, Server

ONBOARDED = [UFW, FIREWALLD, CLOUD]
REFUSED = [DNSMASQ, PROXY]
SEED = "/var/lib/cloud/seed/nocloud/meta-data"


@dataclass(frozen=True)
class Outcome:
    """How the onboarding of all of them ended."""

    code: int
    said: str


@pytest.fixture(scope="module")
def outcome(network: None) -> Outcome:
    """All of them in one run."""
    code, said = servers.strandline(*servers.onboard([*ONBOARDED, *REFUSED]))
    return Outcome(code, said)


@pytest.fixture(scope="module")
def rebooted(outcome: Outcome) -> Outcome:
    """The provider gives the server with cloud-init another identity, and all of them boot anew."""
    CLOUD.inside("sed", "-i", "s/^instance-id: .*/instance-id: second/", SEED)
    names = [server.name for server in (*ONBOARDED, *REFUSED)]
    restarts = [subprocess.Popen(["podman", "restart", "--time=10", name], stdout=subprocess.DEVNULL) for name in names]
    assert [restart.wait() for restart in restarts] == [0] * len(names)
    return outcome


def enters(server: Server, port: int, *, password: bool = False) -> bool:
    """Whether the administrator's or the provider's way in is open, to the host that it was before."""
    return server.ssh(port, password=password).returncode == 0


def test_what_can_be_disabled_is_and_what_can_not_is_named_with_its_remedy(outcome: Outcome) -> None:
    assert outcome.code != 0, outcome.said[-3000:]
    words = " ".join(outcome.said.split())
    assert "fleet-dnsmasq: 53/tcp and 53/udp belongs to dnsmasq (dnsmasq.service, package dnsmasq-base)" in words
    assert "systemctl disable --now dnsmasq.service or apt-get purge dnsmasq-base on the host" in words
    assert "fleet-proxy: apt can't install Python" in words
    assert "remove the line, or repair the proxy: /etc/apt/apt.conf.d/95provider:Acquire::http::Proxy" in words
    for server in ONBOARDED:
        assert f"{server.name}: apt" not in words


@pytest.mark.parametrize("server", ONBOARDED, ids=lambda server: server.name)
@pytest.mark.usefixtures("rebooted")
def test_the_administrator_enters_after_a_reboot(server: Server) -> None:
    assert poll(lambda: enters(server, ADMIN_PORT), seconds=40), server.ssh(ADMIN_PORT).stderr
    assert "Permission denied" in server.ssh(ADMIN_PORT, password=True).stderr


@pytest.mark.parametrize("server", REFUSED, ids=lambda server: server.name)
@pytest.mark.usefixtures("rebooted")
def test_a_refused_server_is_as_its_provider_handed_it_over(server: Server) -> None:
    assert poll(lambda: enters(server, 22, password=True), seconds=40), server.ssh(22, password=True).stderr
    assert not enters(server, ADMIN_PORT)
    for path in ("/etc/strandline", "/etc/nftables.conf", "/root/.ssh/authorized_keys"):
        assert not server.file(path).exists(), path


@pytest.mark.usefixtures("rebooted")
def test_after_a_reboot_all_is_well(tmp_path: Path) -> None:
    """Nothing of what was disabled is back, the listeners serve, and events come from them."""
    names = [server.name for server in ONBOARDED]
    assert poll(lambda: all(enters(server, ADMIN_PORT) for server in ONBOARDED), seconds=40)
    code, said = servers.strandline("verify", "-i", str(INVENTORY), *names)
    assert code == 0, said
    assert "All 3 hosts are as they should be." in said


@pytest.mark.usefixtures("rebooted")
def test_verify_finds_what_came_back(tmp_path: Path) -> None:
    """ufw is enabled again, and another program has a listener's port."""
    findings = tmp_path / "findings.json"
    UFW.inside("systemctl", "unmask", "ufw.service")
    UFW.inside("systemctl", "enable", "ufw.service")
    CLOUD.inside("systemctl", "stop", "strandline-vnc.socket", "strandline-vnc.service")
    CLOUD.inside("systemd-run", "--unit=stray", "python3", "-m", "http.server", "5900")
    try:
        code, said = servers.strandline("verify", "-i", str(INVENTORY), f"--json={findings}", UFW.name, CLOUD.name)
    finally:
        UFW.inside("systemctl", "disable", "ufw.service")
        UFW.inside("systemctl", "mask", "ufw.service")
        CLOUD.inside("systemctl", "stop", "stray.service")
        CLOUD.inside("systemctl", "start", "strandline-vnc.socket")
    assert code != 0, said
    hosts = {host["host"]: host["checks"] for host in json.loads(findings.read_text())["hosts"]}
    assert hosts[UFW.name]["owners"]["others"] == ["ufw"]
    assert "5900/tcp belongs to python3" in hosts[CLOUD.name]["ports"]["says"], hosts[CLOUD.name]["ports"]
    assert hosts[CLOUD.name]["owners"]["ok"]
