"""`./strandline upgrade`: Debian's updates through the fleet, batch by batch, each looked at before the next begins."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from strandline_fleet.inventory.read import fleet_of
from strandline_fleet.rollout import DEFAULT_SIZE, batches

from strandline_cli import paths, verbs
from strandline_cli.errors import StepFailed
from strandline_cli.fleet import listing
from strandline_cli.fleet.canary import TABLE_WIDTH, canary
from strandline_cli.fleet.listing import Entry
from strandline_cli.progress import Progress

UPGRADE = verbs.Verb("upgrade", "Install Debian's updates, batch by batch.")
SHOWN = 4  # packages named in a cell


@dataclass(frozen=True)
class Outcome:
    """What became of one host. Package and unit names are the host's own words."""

    host: str
    answered: bool
    finished: bool = False
    upgraded: tuple[str, ...] = ()
    kept_back: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    rebooted: bool = False
    reboot_needed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the next batch may follow as far as this host is concerned; one that is away holds nobody up."""
        return not self.answered or (self.finished and not self.failed)


@dataclass
class Course:
    """The run so far."""

    outcomes: list[Outcome] = field(default_factory=list)
    stopped: str = ""
    """Why the rest did not follow."""
    left: list[str] = field(default_factory=list)


def plan(chosen: Sequence[Entry], provider_of: Mapping[str, str], size: int) -> list[list[str]]:
    """The batches: sensors first, the first one alone; then collectors and publishers, each by itself.

    A sensor's upgrade loses nothing, its spool waits. A collector goes when the sensors have shown that the updates are
    good.
    """
    sensors = {entry.name: provider_of.get(entry.name, "") for entry in chosen if entry.function == "sensors"}
    others = [entry.name for function in ("collectors", "publishers") for entry in chosen if entry.function == function]
    return [*batches(sensors, size), *([name] for name in others)]


def outcome(host: str, directory: Path) -> Outcome:
    """Read what the playbook left of a host."""
    answered = (directory / f"{host}.answers").exists()
    file = directory / f"{host}.json"
    if not file.exists():
        return Outcome(host, answered)
    said = json.loads(file.read_text(encoding="utf-8"))
    return Outcome(
        host,
        answered=True,
        finished=True,
        rebooted=bool(said["rebooted"]),
        **{
            key: tuple(map(str, said[key])) for key in ("upgraded", "kept_back", "restarted", "reboot_needed", "failed")
        },
    )


def named(words: Iterable[str]) -> str:
    """The first few of a list, and how many more."""
    words = list(words)
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def table(course: Course) -> Table:
    """What became of each host."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("host", "upgraded", "restarted", "reboot", "look at"):
        shown.add_column(heading)
    for each in course.outcomes:
        if not each.answered:
            shown.add_row(each.host, "", "", "", "✘ does not answer: left as it was")
            continue
        if not each.finished:
            shown.add_row(each.host, "", "", "", f"✘ failed: {paths.shown(paths.LOGS)}/upgrade-*.log")
            continue
        notes = [f"kept back: {named(each.kept_back)}"] if each.kept_back else []
        notes += [f"✘ failed since: {named(each.failed)}"] if each.failed else []
        reboot = "done" if each.rebooted else f"needed: {named(each.reboot_needed)}" if each.reboot_needed else ""
        shown.add_row(
            each.host, named(each.upgraded) or "nothing", named(each.restarted), reboot, "; ".join(notes) or "✔"
        )
    return shown


def run_batch(progress: Progress, place: str, batch: Sequence[str], number: str, reboot: bool) -> list[Outcome]:
    """Upgrade a batch and say what became of its hosts."""
    with tempfile.TemporaryDirectory(prefix="strandline-") as directory:
        variables: dict[str, Any] = {"upgrade_dir": directory, "upgrade_reboot": reboot}
        extra = [f"--limit={','.join(batch)}", f"--extra-vars={json.dumps(variables)}"]
        outcomes: list[Outcome] = []
        # A failure shows its log here; what it means for the other batches is for the caller.
        with contextlib.suppress(StepFailed), progress.step(f"batch-{number}", f"Upgrade {named(batch)}") as step:
            verbs.play(step, UPGRADE.playbook, [place], extra, check=False)
            outcomes += [outcome(host, Path(directory)) for host in batch]
            bad = [each.host for each in outcomes if not each.good]
            step.check(not bad, f"{named(bad)} failed")
            away = sum(not each.answered for each in outcomes)
            step.say(f"{away} did not answer." if away else "")
        return outcomes


def build(progress: Progress, place: str) -> None:
    """Build the packages of our own against what Debian has today, where the inventory has a builder."""
    if not listing.builders(place):
        return
    with (
        tempfile.TemporaryDirectory(prefix="strandline-") as directory,
        progress.step("packages-ours", "Build the packages of our own against today's Debian") as step,
    ):
        extra = ["--limit=builders", f"--extra-vars={json.dumps({'upgrade_dir': directory})}"]
        verbs.play(step, UPGRADE.playbook, [place], extra)


def go(
    progress: Progress, place: str, order: Sequence[Sequence[str]], hosts: Mapping[str, Entry], reboot: bool
) -> Course:
    """Take the batches one after the other; stop where one fails, or where a sensor's canary does not arrive."""
    course = Course()
    for number, batch in enumerate(order, 1):
        outcomes = run_batch(progress, place, batch, f"{number}/{len(order)}".replace("/", "-of-"), reboot)
        course.outcomes += outcomes
        bad = [each.host for each in outcomes if not each.good]
        sensors = [hosts[each.host] for each in outcomes if each.finished and hosts[each.host].function == "sensors"]
        if bad:
            course.stopped = f"{named(bad)} failed"
        elif sensors and not canary(progress, place, sensors):
            course.stopped = "a canary did not arrive"
        if course.stopped:
            course.left = [host for later in order[number:] for host in later]
            return course
    return course


@click.command("upgrade", short_help=UPGRADE.help)
@click.option("-i", "--inventory", required=True, help="The network: inventory/production.")
@click.option(
    "--batch", "size", type=click.IntRange(1, 100), default=DEFAULT_SIZE, show_default=True, help="Hosts at a time."
)
@click.option("--no-reboot", is_flag=True, help="Reboot no host; say which ones need it.")
@click.option("--plan", "only_plan", is_flag=True, help="Show the batches and contact no host.")
@click.argument("names", nargs=-1, metavar="[HOST|PROVIDER]…")
def upgrade(inventory: str, size: int, no_reboot: bool, only_plan: bool, names: tuple[str, ...]) -> None:
    """Install Debian's updates on the hosts or providers named, or on all, batch by batch.

    One sensor goes first, alone. A batch that fails stops the rest; the same command carries on. Packages of ours that
    depend on a version of Debian's are built anew and installed together with it.
    """
    fleet = fleet_of(inventory)
    place = verbs.inventory_path(inventory)
    progress = Progress(UPGRADE.name)
    verbs.prepare_ansible(progress)
    hosts = listing.of(place)
    provider_of = {host.name: host.provider for host in fleet.hosts()}
    chosen = listing.chosen(hosts, listing.spread(names, provider_of))
    order = plan(chosen, provider_of, size)
    if only_plan:
        for number, batch in enumerate(order, 1):
            click.echo(f"{number:3}  {', '.join(batch)}")
        return
    build(progress, place)
    course = go(progress, place, order, hosts, reboot=not no_reboot)
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    console.print(table(course), markup=False)
    away = [each.host for each in course.outcomes if not each.answered]
    if away:
        console.print(f"Did not answer, and were left out: {', '.join(away)}", markup=False)
    if course.stopped:
        console.print(
            f"Stopped, for {course.stopped}. Not upgraded: {', '.join(course.left) or 'none'}. docs/upgrade.md",
            markup=False,
        )
    if course.stopped or away:
        raise StepFailed
