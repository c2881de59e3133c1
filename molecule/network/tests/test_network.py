"""The hosts as a whole: up, quiet, small, and closed to everybody but the administrator."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from containers import poll
from machines import ADMIN_KEY, INVENTORY, ROOT, Inventory, Machine

ADMIN_PORT = 20022
PSS_MAX = 80 * 1024
"""KiB of a whole idle sensor."""


def test_systemd_is_running(inventory: Inventory) -> None:
    """No unit failed on any host."""
    for machine in inventory.machines:
        poll(lambda one=machine: one.state() != "starting")  # type: ignore[misc]
        assert machine.state() == "running", machine.journal()


def test_check_mode_shows_no_difference() -> None:
    """`--check --diff` on what was provisioned finds nothing to do."""
    # As the operator runs it: with the repository's own configuration, not with molecule's.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment |= {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    environment["ANSIBLE_STDOUT_CALLBACK"] = "default"  # says it of each task
    done = subprocess.run(
        ["ansible-playbook", "--inventory", str(INVENTORY), "--check", "--diff", "playbooks/site.yml"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    tasks = "\n".join(
        block for block in done.stdout.split("\n\n") if re.search(r"^(changed|fatal|failed):", block, re.MULTILINE)
    )
    assert done.returncode == 0, f"{tasks}\n{done.stderr}"
    recap = dict(re.findall(r"^(\S+)\s+: .*?changed=(\d+)", done.stdout, re.MULTILINE))
    assert set(recap.values()) == {"0"}, tasks


def test_the_images_lacked_no_package_of_debian(inventory: Inventory) -> None:
    """Where a host starts from an image with Debian's packages, the roles had only ours to install; elsewhere, all."""
    for machine in inventory.members("sensors"):
        installed = set(re.findall(r" install (\S+):", machine.check("cat", "/var/log/dpkg.log")))
        assert installed == {"strandline-openssh", "strandline-bind-plugin"}, machine.name
    for machine in inventory.members("collectors"):
        assert not machine.run("cat", "/var/log/dpkg.log").stdout, machine.name
    for machine in inventory.members("publishers"):
        assert {"nginx", "chrony"} <= set(re.findall(r" install (\S+):", machine.check("cat", "/var/log/dpkg.log")))


def test_hosts_share_no_secret(inventory: Inventory) -> None:
    """What packages make at their installation is each host's own, although the hosts start from the same image."""
    for path in ("/etc/ssh/ssh_host_ed25519_key.pub", "/etc/bind/rndc.key", "/etc/machine-id"):
        seen = [text for one in inventory.members("sensors") if (text := one.check("cat", path))]
        assert len(set(seen)) == len(inventory.members("sensors")), path


# --- ports ---


def wanted_ports(machine: Machine, inventory: Inventory, catalogue: dict[str, Any]) -> set[tuple[str, int]]:
    """What may listen for others on a host, by what it is for."""
    ports = {("tcp", ADMIN_PORT)}
    if machine in inventory.members("sensors"):
        every = [port for listener in catalogue["listeners"].values() for port in listener["ports"]]
        ports |= {(port["proto"], port["port"]) for port in every if port["port"]}
    if machine in inventory.members("collectors"):
        ports |= {("tcp", 6514), ("tcp", 5432)}
    if machine in inventory.members("publishers"):
        ports |= {("tcp", 80)}
    return ports


def listening(machine: Machine) -> dict[tuple[str, int], str]:
    """Sockets that take packets from other hosts, with their processes."""
    found = {}
    for line in machine.check("ss", "-Hlntup").splitlines():
        proto, _, _, _, local, *rest = line.split()
        address, port = local.rsplit(":", 1)
        if not address.strip("[]").startswith(("127.", "::1")) and "%lo" not in address:
            found[proto, int(port)] = " ".join(rest[1:])
    return found


def test_nothing_else_listens(anyhost: Machine, inventory: Inventory, catalogue: dict[str, Any]) -> None:
    """Exactly the wanted ports are open inside the host, whatever the firewall hides."""
    found = listening(anyhost)
    assert set(found) == wanted_ports(anyhost, inventory, catalogue), found


def test_every_port_answers_but_that_of_a_program_that_is_none_of_ours(sensor: Machine, scanner: Machine) -> None:
    """Every TCP port of every address, tried from outside: the sensors have the listener for every other port."""
    sensor.check("systemd-run", "--unit=stranger", "--collect", "python3", "-m", "http.server", "8000")
    try:
        assert poll(lambda: ("tcp", 8000) in listening(sensor), seconds=10)
        for address in sensor.addresses:
            out = scanner.check(
                "nmap",
                "-n",
                "-Pn",
                "-sS",
                "-p-",
                "--min-rate",
                "15000",
                "--max-retries",
                "2",
                "-oG",
                "-",
                address,
                seconds=180,
            )
            found = {int(port) for port in re.findall(r"(\d+)/open/tcp", out)}
            assert set(range(1, 65536)) - found == {8000}
    finally:
        sensor.run("systemctl", "stop", "stranger")


# --- memory ---

PSS = r"""
import pathlib
total = 0
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        name = (process / "comm").read_text().strip()
        rollup = (process / "smaps_rollup").read_text().splitlines()
        pss = next(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    except (OSError, StopIteration):
        continue
    if int(process.name) != __import__("os").getpid():
        print(f"{pss:8} KiB  {name}")
        total += pss
print(total)
"""


def test_an_idle_sensor_is_small(sensor: Machine) -> None:
    """PSS of all processes, after the scan, at rest."""
    *processes, total = sensor.check("python3", "-c", PSS).splitlines()
    print(f"\n{sensor.name}: {int(total) / 1024:.1f} MiB PSS in {len(processes)} processes")
    print("\n".join(sorted(processes, reverse=True)[:12]))
    assert int(total) <= PSS_MAX


# --- the two sshds ---


def ssh(target: str, port: int, *options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `true` over SSH from this machine, without anything of the user's own."""
    argv = [
        "ssh",
        "-F",
        "none",
        "-p",
        str(port),
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
    ]
    argv += [
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "IdentityAgent=none",
        "-o",
        "ConnectTimeout=10",
        *options,
        target,
        "true",
    ]
    return subprocess.run(
        argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}
    )


@pytest.fixture
def password(sensor: Machine) -> Iterator[str]:
    """A password that root really has on the sensor, for the time of a test."""
    shadow = sensor.check("getent", "shadow", "root").split(":")[1]
    secret = secrets.token_hex(12)
    sensor.check("chpasswd", stdin=f"root:{secret}\n")
    yield secret
    sensor.check("usermod", "--password", shadow, "root")


@pytest.fixture
def askpass(tmp_path: Path, password: str) -> dict[str, str]:
    """An environment in which ssh's prompts are answered with the password."""
    program = tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\necho {shlex.quote(password)}\n")
    program.chmod(0o700)
    return {"SSH_ASKPASS": str(program), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none"}


def test_the_right_key_opens_the_admin_port_alone(sensor: Machine) -> None:
    """The same account, the same key: accepted on the admin port, refused on port 22."""
    for address in sensor.addresses:
        key = ("-i", str(ADMIN_KEY), "-o", "PreferredAuthentications=publickey")
        admin = ssh(f"root@{address}", ADMIN_PORT, *key)
        assert admin.returncode == 0, admin.stderr
        listener = ssh(f"root@{address}", 22, *key)
        assert listener.returncode == 255
        assert "Permission denied" in listener.stderr


STOCK = """
Port 20222
ListenAddress 127.0.0.1
PermitRootLogin yes
PasswordAuthentication yes
UsePAM yes
"""


def test_the_right_password_opens_nothing(sensor: Machine, password: str, askpass: dict[str, str]) -> None:
    """A password that Debian's own sshd takes on the same host is refused on port 22, by both methods."""
    sensor.check("sh", "-c", "cat > /run/stock_sshd_config", stdin=STOCK)
    sensor.check("sh", "-c", "cat > /run/askpass && chmod 700 /run/askpass", stdin=f"#!/bin/sh\necho {password}\n")
    sensor.check(
        "systemd-run", "--unit=stock-sshd", "--collect", "/usr/sbin/sshd", "-D", "-f", "/run/stock_sshd_config"
    )
    try:
        argv = [
            "env", "SSH_ASKPASS=/run/askpass", "SSH_ASKPASS_REQUIRE=force", "ssh", "-F", "none", "-p", "20222",
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "PreferredAuthentications=password", "root@127.0.0.1", "true",
        ]  # fmt: skip
        done = poll(lambda: ((d := sensor.run(*argv)).returncode == 0 and d) or None, seconds=10)
        assert done, f"the password is not root's: {sensor.run(*argv).stderr}"
    finally:
        sensor.run("systemctl", "stop", "stock-sshd")
        sensor.run("rm", "-f", "/run/stock_sshd_config", "/run/askpass")
    for method in ("password", "keyboard-interactive"):
        listener = ssh(
            f"root@{sensor.addresses[0]}", 22, "-o", f"PreferredAuthentications={method}",
            "-o", "NumberOfPasswordPrompts=1", "-o", "PubkeyAuthentication=no", env=askpass,
        )  # fmt: skip
        assert listener.returncode == 255
        assert "Permission denied" in listener.stderr


# --- no way out ---

CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
except OSError as error:
    print("closed", error)
else:
    print("open")
"""


def listener_users(sensor: Machine) -> set[str]:
    """Accounts under which a sensor's listeners run: of every process that holds one of their ports, but root's."""
    pids = set(re.findall(r"pid=(\d+)", " ".join(listening(sensor).values())))
    users = {sensor.check("stat", "-c", "%u", f"/proc/{pid}").strip() for pid in pids}
    return users - {"0"}


def test_a_listener_can_connect_to_nobody(sensor: Machine, scanner: Machine, collector: Machine) -> None:
    """What takes over a listener finds no way out, not even to the collector's ports."""
    users = listener_users(sensor)
    assert len(users) >= 3, users
    scanner.check("systemd-run", "--unit=exit", "--collect", "python3", "-m", "http.server", "8000")
    try:
        here = ["python3", "-c", CONNECT, scanner.addresses[0], "8000"]
        assert poll(
            lambda: subprocess.run(here, capture_output=True, text=True, check=True).stdout == "open\n", seconds=10
        )
        for user in sorted(users):
            for address, port in (
                (scanner.addresses[0], 8000),
                (collector.addresses[0], 6514),
                (collector.addresses[0], 5432),
            ):
                argv = ["setpriv", f"--reuid={user}", "--clear-groups", "python3", "-c", CONNECT, address, str(port)]
                assert sensor.check(*argv).startswith("closed"), f"user {user} reached {address}:{port}"
        # Root as well reaches only what the sensor is for.
        assert sensor.check("python3", "-c", CONNECT, scanner.addresses[0], "8000").startswith("closed")
        assert sensor.check("python3", "-c", CONNECT, collector.addresses[0], "6514") == "open\n"
    finally:
        scanner.run("systemctl", "stop", "exit")


def test_the_clock_is_utc(anyhost: Machine) -> None:
    """Local time is UTC, and a time daemon runs."""
    assert anyhost.check("date", "+%z").strip() == "+0000"
    assert anyhost.host.service("chrony").is_running
