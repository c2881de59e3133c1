"""Upgrade: Debian has a newer library that syslog-ng runs with, and a package that fails at first."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import debian
import pytest
from containers import Machine, poll
from hosts import BUILDER, COLLECTORS, INVENTORY, PUBLISHER, SENSORS, finish, kill, start, start_playbook

SOURCES = ("ivykis",)  # loaded by syslog-ng
SLOW = "touch /run/toy; sleep 6"
"""What the mended toy does when it is configured: long enough to be killed in the midst of it."""


@contextmanager
def provider_boots(hosts: list[Machine]) -> Iterator[list[str]]:
    """A host that ends is booted, as its hardware would; yields the names of those that were."""
    booted: list[str] = []
    over = threading.Event()
    names = {host.name for host in hosts}
    ended = ["podman", "ps", "--all", "--filter=status=exited", "--format={{.Names}}"]

    def watch() -> None:
        while not over.wait(0.5):
            there = subprocess.run(ended, capture_output=True, text=True, check=False).stdout.split()
            for name in sorted(names.intersection(there)):
                subprocess.run(["podman", "start", name], capture_output=True, check=False)
                booted.append(name)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield booted
    finally:
        over.set()
        thread.join()


@dataclass
class Debian:
    """What the hosts had before Debian published something new."""

    sensors: list[Machine]
    """In the order of their batches, without retired hosts."""
    before: dict[str, dict[str, str]]

    @property
    def hosts(self) -> list[Machine]:
        """All that are upgraded."""
        return [*self.sensors, *COLLECTORS, PUBLISHER]


@pytest.fixture(scope="module")
def next_debian() -> Iterator[Debian]:
    """The toy's version 1 is installed at the sensors, version 2 fails."""
    leased = "".join(file.read_text() for file in (INVENTORY / "providers").glob("*.yml"))
    sensors = [sensor for sensor in SENSORS if f"{sensor.name}:" in leased]
    found = Debian(sensors, {})
    found.before.update({host.name: debian.installed(host, *SOURCES) for host in found.hosts})
    BUILDER.check("mkdir", "-p", debian.PLACE)
    debian.build_toy(BUILDER, 1, "exit 0")
    debian.publish(BUILDER, sensors)
    for sensor in sensors:
        only = ["-o", f"Dir::Etc::SourceList={debian.LIST}", "-o", "Dir::Etc::SourceParts=-"]
        sensor.check("apt-get", *only, "--yes", "--quiet=2", "install", f"{debian.PLACE}/{debian.TOY}_1_all.deb")
    debian.build_toy(BUILDER, 2, "echo This version is broken >&2; exit 1")
    BUILDER.check("apt-get", "--quiet=2", "update", seconds=120)
    debian.repack(BUILDER, sorted({package for packages in found.before.values() for package in packages}))
    debian.publish(BUILDER, found.hosts)
    yield found
    for host in [*found.hosts, BUILDER]:
        host.check("rm", "-rf", debian.PLACE, debian.LIST)


def row(said: str, host: Machine) -> str:
    """What the table says of a host."""
    return next(line for line in reversed(said.splitlines()) if line.split()[:1] == [host.name])


def toy(host: Machine) -> str:
    """The state of the toy on a host."""
    return host.check("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", debian.TOY)


def test_check_mode_shows_what_there_is_to_do_and_changes_nothing(next_debian: Debian) -> None:
    code, said = finish(start("upgrade", "-i", str(INVENTORY), "--plan", next_debian.sensors[0].name))
    assert code == 0, said[-4000:]
    assert debian.TOY in row(said, next_debian.sensors[0])
    assert toy(next_debian.sensors[0]) == "installed 1"
    assert debian.installed(next_debian.sensors[0], *SOURCES) == next_debian.before[next_debian.sensors[0].name]


def test_a_package_that_fails_at_the_first_sensor_stops_the_rest(next_debian: Debian) -> None:
    code, said = finish(start_playbook("upgrade"))
    assert code != 0, said[-4000:]
    failed = [sensor for sensor in next_debian.sensors if "failed" in row(said, sensor)]
    assert len(failed) == 1, said[-4000:]
    others = [host for host in next_debian.hosts if host not in failed]
    for host in others:
        assert f"{host.name}" in " ".join(said.split()).rpartition("Not upgraded:")[2]
        assert debian.installed(host, *SOURCES) == next_debian.before[host.name]


def test_the_same_command_carries_on_also_when_it_was_killed(next_debian: Debian) -> None:
    """Debian has mended the package. What runs replaced code is restarted, and one host boots."""
    debian.build_toy(BUILDER, 3, SLOW)
    debian.publish(BUILDER, next_debian.hosts)
    process = start_playbook("upgrade")
    marks = [sensor.file("/run/toy") for sensor in next_debian.sensors]
    # Of the second batch.
    assert poll(lambda: len([mark for mark in marks if mark.exists()]) > 1, 300, 0.1), kill(process)
    kill(process)
    time.sleep(1)
    # As a new kernel's package does.
    rebooted = next_debian.sensors[-1]
    rebooted.check("touch", "/run/reboot-required")
    with provider_boots(next_debian.hosts) as booted:
        code, said = finish(start("upgrade", "-i", str(INVENTORY)))
    print(said[-4000:])
    assert code == 0, said[-6000:]
    assert booted == [rebooted.name]
    assert "done" in row(said, rebooted)
    for host in next_debian.hosts:
        assert row(said, host).rstrip().endswith("✔")
        now = debian.installed(host, *SOURCES)
        assert now == {package: version + debian.NEWER for package, version in next_debian.before[host.name].items()}
    for sensor in next_debian.sensors:
        assert toy(sensor) == "installed 3"
