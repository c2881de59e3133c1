"""Upgrade: Debian has a newer named, a newer library that syslog-ng runs with, and a package that fails."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import debian
import pytest
import servers
from servers import ALL, COLLECTOR, INVENTORY, SENSOR1, SENSOR2, UNLUCKY, Server, sql

BUILDER = Server("fleet-builder", "")
HOSTS = [*ALL, Server(COLLECTOR, "")]
SOURCES = ("bind9", "ivykis")  # the latter is loaded by syslog-ng


@contextmanager
def provider_boots() -> Iterator[list[str]]:
    """A server that ends is booted, as its hardware would; yields the names of those that were."""
    booted: list[str] = []
    over = threading.Event()
    names = {host.name for host in HOSTS}
    ended = ["podman", "ps", "--filter=status=exited", "--format={{.Names}}"]

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


@pytest.fixture(scope="module")
def next_debian(network: None) -> Iterator[dict[str, dict[str, str]]]:
    """Versions before, by server. The toy's version 1 is installed at the sensors, version 2 fails."""
    before = {host.name: debian.installed(host, *SOURCES) for host in [*HOSTS, BUILDER]}
    BUILDER.inside("mkdir", "-p", debian.PLACE)
    debian.build_toy(BUILDER, 1, "exit 0")
    debian.publish(BUILDER, ALL)
    for sensor in ALL:
        only = ["-o", f"Dir::Etc::SourceList={debian.LIST}", "-o", "Dir::Etc::SourceParts=-"]
        sensor.inside("apt-get", *only, "--yes", "--quiet=2", "install", f"{debian.PLACE}/{debian.TOY}_1_all.deb")
    debian.build_toy(BUILDER, 2, "echo This version is broken >&2; exit 1")
    debian.repack(BUILDER, sorted({"bind9-dev", *(package for packages in before.values() for package in packages)}))
    debian.publish(BUILDER, [*HOSTS, BUILDER])
    yield before
    for host in [*HOSTS, BUILDER]:
        host.inside("rm", "-rf", debian.PLACE, debian.LIST)


def heard() -> dict[str, int]:
    """How many DNS queries the database has of each sensor."""
    rows = sql(
        "SELECT s.name, count(*) FROM strandline.event e JOIN strandline.run r ON r.id = e.run_id"
        " JOIN strandline.sensor s ON s.id = r.sensor_id WHERE e.event = 'dns.query' GROUP BY 1"
    )
    return {name: int(count) for name, count in (row.split("|") for row in rows.splitlines())}


def upgrade(*extra: str) -> tuple[int, str]:
    """Run it on the whole fleet."""
    return servers.strandline("upgrade", "-i", str(INVENTORY), *extra)


def row(said: str, host: Server) -> str:
    """What the table says of a host."""
    return next(line for line in reversed(said.splitlines()) if line.split()[:1] == [host.name])


def test_a_package_that_fails_at_the_first_sensor_stops_the_rest(next_debian: dict[str, dict[str, str]]) -> None:
    code, said = upgrade()
    assert code == 1, said[-4000:]
    assert "✘ failed" in row(said, SENSOR1)
    assert f"Not upgraded: {SENSOR2.name}, {UNLUCKY.name}, {COLLECTOR}" in " ".join(said.split())
    for host in HOSTS[1:]:
        assert debian.installed(host, *SOURCES) == next_debian[host.name]


def test_the_same_command_carries_on_when_debian_has_mended_it(next_debian: dict[str, dict[str, str]]) -> None:
    """named and the plugin built for it change together, what runs replaced code is restarted, one server boots."""
    debian.build_toy(BUILDER, 3, "exit 0")
    debian.publish(BUILDER, [*HOSTS, BUILDER])
    # As a new kernel's package does.
    SENSOR2.inside("touch", "/run/reboot-required")
    before = heard()
    with provider_boots() as booted:
        code, said = upgrade()
    assert code == 0, said[-6000:]
    assert booted == [SENSOR2.name]
    assert "done" in row(said, SENSOR2)
    for host in HOSTS:
        assert row(said, host).rstrip().endswith("✔")
        now = debian.installed(host, *SOURCES)
        assert now == {package: version + debian.NEWER for package, version in next_debian[host.name].items()}
    for sensor in ALL:
        toy, plugin = (
            sensor.inside("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", package)
            for package in (debian.TOY, "strandline-bind-plugin")
        )
        assert toy == "installed 3"
        assert plugin.startswith(f"installed {debian.installed(sensor, 'bind9')['bind9']}+strandline.")
        # A canary has asked, and the plugin has told.
        assert heard()[sensor.name] > before[sensor.name]
