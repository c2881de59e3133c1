"""What is done to the hosts, and undone afterwards."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import disks
from containers import Machine
from world import SENSORS, SPOOL, SYSLOG, Traffic, sql

PRUNE = "/etc/strandline/prune.json"
RETENTION = "/etc/strandline/collector/retention.json"
EXT4_COMMIT_SECONDS = 5


def connect_anew() -> None:
    """The sensors know at once that the collector was restarted. Else the next event would have to find out."""
    for sensor in SENSORS:
        sensor.unit("restart", SYSLOG)


@contextmanager
def stopped(machines: list[Machine], unit: str) -> Iterator[None]:
    """A unit is stopped on some hosts."""
    for machine in machines:
        machine.unit("stop", unit)
    try:
        yield
    finally:
        for machine in machines:
            machine.unit("start", unit)


@contextmanager
def cut(machine: Machine, *others: Machine) -> Iterator[None]:
    """Nothing gets through between a host and others: in no direction, and nobody is told."""
    addresses = "{ " + ", ".join(other.address for other in others) + " }"
    # In front of the host's own firewall.
    machine.check(
        "nft",
        f"table inet fault {{ chain out {{ type filter hook output priority -300; ip daddr {addresses} drop; }}; "
        f"chain into {{ type filter hook input priority -300; ip saddr {addresses} drop; }}; }}",
    )
    try:
        yield
    finally:
        machine.check("nft", "delete table inet fault")


@contextmanager
def impatient(machine: Machine) -> Iterator[None]:
    """A host's kernel gives a connection up, made or not, after 3 s: what a sensor's role sets takes minutes."""
    machine.sysctl("net.ipv4.tcp_retries2", 3)
    machine.sysctl("net.ipv4.tcp_syn_retries", 1)
    try:
        yield
    finally:
        machine.sysctl("net.ipv4.tcp_retries2", 15)
        machine.sysctl("net.ipv4.tcp_syn_retries", 6)


@contextmanager
def small_disk(machine: Machine, place: str, units: list[str], kib: int) -> Iterator[None]:
    """A directory lies on a file system of its own that is soon full; what it held is there again afterwards."""
    owner = machine.check("stat", "--format=%u:%g %a", place).split()
    machine.unit("stop", *units)
    machine.check("mount", "-t", "tmpfs", "-o", f"size={kib}k,mode={owner[1]}", "tmpfs", place)
    machine.check("chown", owner[0], place)
    machine.unit("start", *units)
    try:
        yield
    finally:
        machine.unit("stop", *units)
        machine.check("umount", place)
        machine.unit("start", *units)


def used(machine: Machine, place: str) -> int:
    """How full a file system is, in percent."""
    return int(machine.check("df", "--output=pcent", place).split()[-1].rstrip("%"))


def lose_power(machine: Machine) -> None:
    """As :meth:`Machine.power_off`, and what was not on its disk yet is gone."""
    machine.power_off()
    disks.cut(machine.name)


@contextmanager
def writing_back_as(machine: Machine) -> Iterator[float]:
    """This machine's kernel writes back as often as a role has a host's kernel do, which a container can't tell it.

    Gives the seconds after which what was written is on the disk: expired, found, and in ext4's next commit. They are
    more where this machine can't be told either.
    """
    settings = machine.check("cat", "/etc/sysctl.d/60-strandline.conf").splitlines()
    wanted = {key.strip(): text.strip() for key, _, text in (line.partition("=") for line in settings)}
    files = [Path("/proc/sys/vm") / name for name in ("dirty_expire_centisecs", "dirty_writeback_centisecs")]
    kept = [file.read_text() for file in files]
    try:
        with suppress(OSError):
            for file in files:
                file.write_text(wanted[f"vm.{file.name}"])
        yield sum(int(file.read_text()) for file in files) / 100 + EXT4_COMMIT_SECONDS
    finally:
        with suppress(OSError):
            for file, text in zip(files, kept, strict=True):
                file.write_text(text)


@contextmanager
def changed(machine: Machine, path: str, change: Callable[[str], str]) -> Iterator[None]:
    """A file of a host is another."""
    file = machine.file(path)
    text = file.read_text()
    other = change(text)
    assert other != text
    file.write_text(other)
    try:
        yield
    finally:
        file.write_text(text)


@contextmanager
def bounded(machine: Machine, path: str, **bounds: int) -> Iterator[None]:
    """The first directory of a keeper's configuration has other bounds."""

    def change(text: str) -> str:
        tree = json.loads(text)
        tree["directories"][0].update(bounds)
        return json.dumps(tree)

    with changed(machine, path, change):
        yield


def prune(sensor: Machine, **bounds: int) -> None:
    """A round of the pruner of a sensor's spool, with other bounds."""
    with bounded(sensor, PRUNE, **bounds):
        sensor.unit("start", "strandline-prune.service")


def pruned(sensor: Machine, reason: str) -> dict[str, Any]:
    """What the pruner counts as removed from the spool for a reason."""
    file = sensor.file("/var/lib/strandline/pruned.json")
    counted = json.loads(file.read_text()).get(SPOOL, {}) if file.exists() else {}
    return {"files": 0, "lines": 0, **counted.get(reason, {})}


def outlived() -> dict[str, int]:
    """By UTC day, how many events the account knows to have been removed from a spool before anybody had them."""
    rows = sql(
        "SELECT json_build_array(day, sum(last_n - first_n + 1)) FROM strandline.lost WHERE reason = 'outlived'"
        " GROUP BY day"
    )
    return dict(rows)


def shortly_before(traffic: Traffic, sensor: Machine, deed: Callable[[], None], moment: float = 0.5) -> set[str]:
    """Do something to a sensor. Returns what it answered in the moment before, which is all that may be lost by it."""
    before = traffic.answered()
    time.sleep(moment)
    deed()
    return {call for call in traffic.answered() - before if traffic.heard_by(call) == sensor}


def seeded() -> random.Random:
    """Chance that can be had again: STRANDLINE_SEED repeats a run."""
    seed = int(os.environ.get("STRANDLINE_SEED", time.time_ns() % 1_000_000))
    print(f"STRANDLINE_SEED={seed}")
    return random.Random(seed)  # noqa: S311 - no secret
