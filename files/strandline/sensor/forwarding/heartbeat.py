"""Say that this sensor lives, and what it lost.

`python3 -m strandline.sensor.forwarding.heartbeat CONFIGURATION [--check]`

Asks every listener whether it answers, reads what kernel, listeners and syslog-ng count, and writes one event for each
listener (`sensor.listener`) and one for the sensor (`sensor.heartbeat`) to the socket that listeners write to: these
events go the way of all others, and prove it. A timer runs it; nothing of it stays in memory.

The configuration is a JSON object: {"socket": PATH, "interval": SECONDS, "spool": DIRECTORY, "pruned": FILE, "state":
FILE, "kept": FILE, "listeners": [{"name": "ssh", "unit": "strandline-ssh.service", "ports": [{"port": 22, "proto":
"tcp"}]}]}. `state` lies where a boot begins anew, as the counters of kernel and processes do; `kept` on the disk.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from ...event.line import token
from ...protocols import client
from ...shared import journal, stats
from ...shared.settings import ConfigurationError, Section, read_json
from ...shared.totals import Totals
from . import asking, sockets

PROGRAM = "strandline-sensor"
TRIES = 3
"""How often a listener is asked before it counts as mute: one that is just restarting is not."""
PAUSE = 2.0
"""Seconds between two tries."""
SEND_TIMEOUT = 5.0
FORWARDER = "syslog-ng.service"

# The flow of an event that nobody sent: from the sensor to itself.
FLOW = "saddr=127.0.0.1 sport=0 daddr=127.0.0.1 dport=0 proto=tcp"
_NAME = re.compile(r"[a-z][a-z0-9]{0,31}")
_UNIT = re.compile(r"[A-Za-z0-9@_.:-]{1,120}\.service")


@dataclass(frozen=True)
class Listener:
    """A listener that this sensor has."""

    name: str
    unit: str
    ports: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Configuration:
    """Where everything is."""

    socket: str
    interval: int
    spool: Path
    pruned: Path
    state: Path
    kept: Path
    listeners: tuple[Listener, ...]


def _listener(section: Section) -> Listener:
    ports = section.sections("ports")
    if not ports:
        raise section.wrong("ports", "are missing", "Write them like {port: 22, proto: tcp}")
    return Listener(
        section.match("name", _NAME, "Write the listener's name in the catalogue"),
        section.match("unit", _UNIT, "Write the name of its service"),
        tuple((one.number("port", None, 0, 65535), one.choice("proto", ("tcp", "udp", "ipv6"))) for one in ports),
    )


def load(path: Path) -> Configuration:
    """Read the configuration. Raises ConfigurationError."""
    top = read_json(path)
    top.only(*(one.name for one in fields(Configuration)))
    return Configuration(
        str(top.path("socket")),
        top.number("interval", None, 1, 86400),
        top.path("spool"),
        top.path("pruned"),
        top.path("state"),
        top.path("kept"),
        tuple(map(_listener, top.sections("listeners"))),
    )


# --- looking ---


def run(*argv: str) -> str:
    """A program's output. Raises OSError, CalledProcessError, TimeoutExpired."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def units(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """What systemd says of services, by name."""
    if not names:
        return {}
    out = run("systemctl", "show", "--property=Id,ActiveState,InvocationID,ActiveEnterTimestampMonotonic", *names)
    blocks = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n")]
    return dict(zip(names, (block for block in blocks if block), strict=False))


@dataclass(frozen=True)
class Found:
    """How a listener was found: alive, inactive (its service does not run) or mute (a port does not answer)."""

    state: str
    answered: tuple[str, ...]
    mute: tuple[str, ...]
    uptime: int


def ask(listener: Listener, tries: int = TRIES, pause: float = PAUSE) -> Found:
    """Ask a listener on all its ports, again when it does not answer."""
    active: dict[str, str] = {}
    answered: list[str] = []
    mute: list[str] = []
    for left in reversed(range(tries)):
        active = units([listener.unit]).get(listener.unit, {})
        answered, mute = [], []
        there = sockets.listening()
        for port, proto in listener.ports:
            address = sockets.reachable(there, proto, port)
            # Where it never answers, that its socket is there is all that can be known.
            silent = client.silent(listener.name, proto)
            ok = address is not None and (silent or asking.answers(listener.name, address, port, proto))
            (answered if ok else mute).append(f"{port}/{proto}")
        if active.get("ActiveState") == "active" and not mute:
            break
        if left:
            time.sleep(pause)
    running = active.get("ActiveState") == "active"
    state = "alive" if running and not mute else "mute" if running else "inactive"
    since = int(active.get("ActiveEnterTimestampMonotonic") or 0) // 1_000_000
    uptime = max(0, int(time.clock_gettime(time.CLOCK_MONOTONIC)) - since) if running else 0
    return Found(state, tuple(answered), tuple(mute), uptime)


def pruned(path: Path) -> dict[str, dict[str, int]]:
    """The events that the keeper removed from the spool, by reason and directory; nothing when it never had to."""
    found: dict[str, dict[str, int]] = {}
    try:
        for directory, reasons in json.loads(path.read_text(encoding="utf-8")).items():
            for reason, entry in reasons.items():
                found.setdefault(str(reason), {})[str(directory)] = int(entry["lines"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return found


def free_percent(directory: Path) -> int | None:
    """How much of the directory's file system an ordinary account can still use, and of its inodes, the lesser."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return None
    blocks = 100 * status.f_bavail // max(1, status.f_blocks)
    return min(blocks, 100 * status.f_favail // status.f_files) if status.f_files else blocks


# --- counting ---


def count(configuration: Configuration, now: Totals, kept: Totals) -> list[str]:
    """Take over every counter; returns what could not be read, one line each."""
    failures = []
    try:
        there = sockets.listening()
        for listener in configuration.listeners:
            mine = {f"{s.proto}:{s.inode}": s.drops for s in there if (s.port, s.proto) in listener.ports}
            now.observe(f"{listener.name}.kernel", mine)
        netstat = sockets.NETSTAT.read_text(encoding="ascii")
        now.observe("tcp_overflows", {"ListenOverflows": sockets.netstat(netstat, "ListenOverflows")})
    except (OSError, subprocess.SubprocessError) as error:
        failures.append(f"the kernel's counters: {error}")
    try:
        known = units([FORWARDER]).get(FORWARDER, {}).get("InvocationID", "")
        said = run("/usr/sbin/syslog-ng-ctl", "stats")
        for name, destination in (("spool_drops", "d_spool"), ("forward_drops", "d_collector")):
            now.observe(name, {f"{known}:{key}": value for key, value in stats.dropped(said, destination).items()})
    except (OSError, subprocess.SubprocessError) as error:
        failures.append(f"syslog-ng's counters: {error}")
    try:
        asked = {listener.unit: listener.name for listener in configuration.listeners}
        entries, now.notes["cursor"] = journal.read([*asked, FORWARDER], now.notes.get("cursor", ""))
        for entry in entries:
            if entry.unit in asked:
                now.add(f"{asked[entry.unit]}.queue", journal.dropped(entry.message))
        journal.count_pauses(now, "full", [e for e in entries if e.unit == FORWARDER and journal.is_full(e.message)])
    except journal.JournalError as error:
        failures.append(str(error))
    for reason, lines in pruned(configuration.pruned).items():
        kept.observe(f"pruned_{reason}", lines)
    return failures


# --- telling ---


def line(event: str, fields: Mapping[str, object]) -> str:
    """The event's line (files/strandline/sensor/events.yml has its fields)."""
    return f"event={event} {FLOW} " + " ".join(f"{key}={token(str(value))}" for key, value in fields.items())


def lines(configuration: Configuration, found: Mapping[str, Found], now: Totals, kept: Totals) -> list[str]:
    """An event for each listener, then one for the sensor."""
    said = []
    for listener in configuration.listeners:
        one = found[listener.name]
        said.append(
            line(
                "sensor.listener",
                {
                    "listener": listener.name,
                    "state": one.state,
                    "answered": "+".join(one.answered),
                    "mute": "+".join(one.mute),
                    "uptime": one.uptime,
                    "life": now.life,
                    "kernel_drops": now.sum(f"{listener.name}.kernel"),
                    "queue_drops": now.sum(f"{listener.name}.queue"),
                },
            )
        )
    free = free_percent(configuration.spool)
    said.append(
        line(
            "sensor.heartbeat",
            {
                "interval": configuration.interval,
                "uptime": int(time.clock_gettime(time.CLOCK_BOOTTIME)),
                "disk_free": "-" if free is None else free,
                "life": now.life,
                "tcp_overflows": now.sum("tcp_overflows"),
                "spool_drops": now.sum("spool_drops"),
                "forward_drops": now.sum("forward_drops"),
                "full_pauses": now.sum("full_pauses"),
                "full_seconds": now.sum("full_microseconds") // 1_000_000,
                "kept_life": kept.life,
                "pruned_age": kept.sum("pruned_age"),
                "pruned_space": kept.sum("pruned_size") + kept.sum("pruned_free"),
            },
        )
    )
    return said


def send(path: str, said: Sequence[str]) -> None:
    """Write the events as listeners do (RFC 5424). Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as writer:
        writer.settimeout(SEND_TIMEOUT)
        writer.connect(path)
        for text in said:
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            writer.send(f"<134>1 {stamp} - {PROGRAM} {os.getpid()} - - {text}".encode("ascii"))


def main(arguments: list[str] | None = None) -> int:
    """Run once; exit status 1 when something could not be counted or told, 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="strandline.sensor.forwarding.heartbeat", description=__doc__)
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--check", action="store_true", help="read the configuration and do nothing")
    options = parser.parse_args(arguments)
    try:
        configuration = load(options.configuration)
    except ConfigurationError as error:
        print(f"<3>{error}", file=sys.stderr)
        return 2
    if options.check:
        return 0
    now, kept = Totals.load(configuration.state), Totals.load(configuration.kept)
    failures = []
    found = {}
    for listener in configuration.listeners:
        try:
            found[listener.name] = ask(listener)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            failures.append(f"{listener.name}: {error}")
            found[listener.name] = Found("mute", (), (), 0)
    failures += count(configuration, now, kept)
    for totals in (now, kept):
        try:
            totals.save()
        except OSError as error:
            # A full disk: what was counted is counted again the next time, from where it was kept last.
            failures.append(f"{totals.path}: {error.strerror}")
    try:
        send(configuration.socket, lines(configuration, found, now, kept))
    except OSError as error:
        failures.append(f"{configuration.socket}: {error.strerror or error}")
    for failure in failures:
        print(f"<3>{failure}", file=sys.stderr)
    for name, one in found.items():
        if one.state != "alive":
            print(f"<4>{name} is {one.state}: {'+'.join(one.mute) or 'its service does not run'}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
