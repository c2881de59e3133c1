"""What the bench ran on: how fast this machine is at the work that is measured, and how much of it others took."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strandline_cli.bench import network
from strandline_cli.progress import Step

PROGRAM = network.FILES / "ingest" / "calibrate.py"
PLACE = "/root/calibrate.py"
DISK = "/var/lib/postgresql"
STEAL, COLUMNS = 7, 8  # of the line `cpu` in /proc/stat, proc_stat(5): user nice system idle iowait irq softirq steal


def calibrate(step: Step) -> dict[str, Any]:
    """Measure in our collector's container. Raises StepFailed."""
    network.put(step, PROGRAM, network.OURS, PLACE)
    argv = ["podman", "exec", network.OURS, "python3", PLACE, DISK]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    step.check(done.returncode == 0, f"calibrate.py ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def times(stat: Path = Path("/proc/stat")) -> list[int]:
    """Clock ticks of all CPUs so far, by kind."""
    first = stat.read_text(encoding="ascii").splitlines()[0].split()
    return [int(ticks) for ticks in first[1 : COLUMNS + 1]]


def steal(before: Sequence[int], after: Sequence[int]) -> float | None:
    """The share of time that the host of this virtual machine gave to others, in per cent; None without any time."""
    gone = [b - a for a, b in zip(before, after, strict=True)]
    return round(100 * gone[STEAL] / sum(gone), 1) if sum(gone) else None
