"""`./strandline bench account`: how long the account of a week takes, on ten million events of a hundred sensors."""

from __future__ import annotations

import sys
from typing import Any

import click

from strandline_cli import paths
from strandline_cli.bench import network
from strandline_cli.progress import Progress, Step

RESULT = network.BUILD / "account.json"
PROGRAM = network.FILES / "account" / "measure.py"
PLACE = "/root/account.py"
NEVER = 1800.0  # seconds: whatever takes longer hangs


def measure(step: Step, rows: int) -> dict[str, Any]:
    """Fill a database of its own on our collector, and ask it for the account. Raises StepFailed."""
    network.put(step, PROGRAM, network.OURS, PLACE)
    settings = ["-e", "PYTHONPATH=/usr/lib/strandline", "-e", "PYTHONDONTWRITEBYTECODE=1"]
    program = ["podman", "exec", *settings, network.OURS, "python3", PLACE]
    found = network.figures(step, [*program, "--rows", str(rows)], NEVER)
    rows_known, missing, removed = found["rows"], found["missing"], found["removed"]
    # What the program left out is what the account must name, and nothing else.
    step.check(missing == removed, f"{removed} events were left out, the account says {missing}")
    step.check(rows_known + removed == rows, f"of {rows - removed} events the account knows {rows_known}")
    return found


@click.command("account", short_help="How long the account of a week takes.")
@click.option("--rows", type=click.IntRange(10_000, 1_000_000_000), default=10_000_000, show_default=True)
@click.option("--keep", is_flag=True, help="Leave the container for another run.")
def account(rows: int, keep: bool) -> None:
    """Compute the account of a week of 100 sensors, some of whose events are missing, and print the seconds.

    The account must name exactly the events that were left out, or the verb fails. Takes about five minutes, nearly all
    of it for making the collector and its ten million events.
    """
    progress = Progress("bench")
    network.check()
    network.BUILD.mkdir(parents=True, exist_ok=True)
    try:
        network.up_ours(progress)
        with progress.step("account", f"{rows:,} events of 100 sensors in a week") as step:
            found = measure(step, rows)
        network.write(RESULT, found)
    finally:
        if not keep:
            network.down(progress)
    print(
        f"{found['rows']:,} events, {found['missing']:,} missing: the account of {found['lines']} sensor days took"
        f" {found['seconds']} s. Everything: {paths.shown(RESULT)}",
        file=sys.stdout,
    )
