"""What this host knows of itself: its syslog-ng, its loader, its disks, and its counters for the account."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from strandline.shared import journal, stats
from strandline.shared.totals import Totals

RECEIVER = "syslog-ng.service"
STALE_SECONDS = 120.0
"""A status of the loader that is older is no status; it writes one every two seconds."""
BEHIND = timedelta(minutes=5)
"""What the loader may be behind before the database is too old to judge by."""


def receiver() -> dict[str, str]:
    """What systemd says of this host's syslog-ng; nothing when it can't be asked."""
    argv = ["systemctl", "show", "--property=ActiveState,InvocationID,ActiveEnterTimestampMonotonic", RECEIVER]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def up_since(unit: Mapping[str, str], now: datetime) -> datetime | None:
    """When the service started, by the clock that `now` is from; None when it does not run."""
    entered = unit.get("ActiveEnterTimestampMonotonic", "")
    if unit.get("ActiveState") not in ("active", "reloading") or not entered.isdigit():
        return None
    seconds = time.clock_gettime(time.CLOCK_MONOTONIC) - int(entered) / 1_000_000
    return now - timedelta(seconds=max(0.0, seconds))


def loader_trouble(status: Path, now: float) -> str:
    """What is wrong with the loader, by its status file (seconds since 1970); empty when all is well."""
    try:
        tree: dict[str, Any] = json.loads(status.read_text(encoding="utf-8"))
        age, database = now - float(tree["time"]), str(tree["database"])
        lag, last = int(tree["lag_bytes"]), tree["last_rts"]
        behind = (
            lag > 0 and last is not None and now - datetime.fromisoformat(last).timestamp() > BEHIND.total_seconds()
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"the loader says nothing ({type(error).__name__} with {status})"
    if age > STALE_SECONDS:
        return f"the loader has said nothing for {int(age // 60)} min"
    if database != "connected":
        return f"the loader can't load: {database[:200]}"
    if behind:
        return f"the loader is behind: {lag} bytes to load, the last event is from {last}"
    return ""


def disks(directories: Iterable[Path]) -> dict[str, int]:
    """Per cent free of each file system, by the first directory on it."""
    found: dict[str, int] = {}
    seen = set()
    for directory in directories:
        try:
            device = directory.stat().st_dev
            status = os.statvfs(directory)
        except OSError:
            continue
        if device not in seen:
            seen.add(device)
            found[str(directory)] = 100 * status.f_bavail // max(1, status.f_blocks)
    return found


def sensors_of(addresses: Path) -> list[str]:
    """The names of the sensors that this collector takes events from (role collector, peers.yml). Raises OSError."""
    lines = addresses.read_text(encoding="utf-8").splitlines()
    return sorted({line.split()[0] for line in lines if line.strip() and not line.startswith("#")})


def count(run: Path, state: Path, said: Path, removed: Path, invocation: str) -> tuple[list[tuple[str, str, int]], str]:
    """The counters of this host as (what, life, value), and what could not be read."""
    now, kept = Totals.load(run / "totals.json"), Totals.load(state / "totals.json")
    trouble = []
    try:
        output = said.read_text(encoding="utf-8", errors="replace")
        for what, destinations in (
            ("raw_drops", ("d_raw", "d_raw_other")),
            ("parsed_drops", ("d_parsed", "d_rejects")),
        ):
            dropped = {key: n for destination in destinations for key, n in stats.dropped(output, destination).items()}
            now.observe(what, {f"{invocation}:{key}": n for key, n in dropped.items()})
    except OSError as error:
        trouble.append(f"syslog-ng's counters: {error.strerror}")
    try:
        entries, now.notes["cursor"] = journal.read([RECEIVER], now.notes.get("cursor", ""))
        journal.count_pauses(now, "full", [entry for entry in entries if journal.is_full(entry.message)])
    except journal.JournalError as error:
        trouble.append(str(error))
    try:
        for directory, reasons in json.loads(removed.read_text(encoding="utf-8")).items():
            lines = sum(int(entry["lines"]) for entry in reasons.values())
            kept.observe("parsed_removed", {directory: lines})
    except FileNotFoundError:
        pass  # nothing had to go yet
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        trouble.append(f"{removed}: {error}")
    for totals in (now, kept):
        try:
            totals.save()
        except OSError as error:
            trouble.append(f"{totals.path}: {error.strerror}")
    found = [(what, now.life, now.sum(what)) for what in ("raw_drops", "parsed_drops", "full_pauses")]
    found.append(("full_seconds", now.life, now.sum("full_microseconds") // 1_000_000))
    found.append(("parsed_removed", kept.life, kept.sum("parsed_removed")))
    return found, "; ".join(trouble)
