"""`./strandline doctor`: what holds on this machine, and the remedy for what doesn't."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from strandline_cli import checks, podman
from strandline_cli.checks import Check
from strandline_cli.demo import network


def show(found: Sequence[Check], console: Console) -> None:
    """Print the table."""
    table = Table(show_lines=False)
    table.add_column("")
    table.add_column("Check")
    table.add_column("Found", overflow="fold")
    table.add_column("Remedy", overflow="fold")
    for check in found:
        table.add_row("[green]✔[/]" if check.ok else "[red]✘[/]", check.name, check.found, check.remedy)
    console.print(table)


def run() -> int:
    """Check everything, print it, return the exit code."""
    podman.prepare_environment()
    found = checks.all_checks(network.load)
    show(found, Console(highlight=False))
    return 0 if all(check.ok for check in found) else 1
