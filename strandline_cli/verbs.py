"""The operator's verbs that are playbooks: one entry here makes playbooks/<verb>.yml a verb."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from strandline_fleet.inventory.read import fleet_of

from strandline_cli import builder, galaxy, paths, podman
from strandline_cli.errors import Refusal
from strandline_cli.progress import Progress, Step, ansible_task


@dataclass(frozen=True)
class PlaybookVerb:
    """A verb: its name, which is the playbook's too, and its line of help."""

    name: str
    help: str
    builds: bool = False  # packages of ours, on the group builders

    @property
    def playbook(self) -> Path:
        """Where the playbook is."""
        return paths.PLAYBOOKS / f"{self.name}.yml"


PLAYBOOK_VERBS = (
    PlaybookVerb("site", "Provision the hosts of an inventory, or bring them up to date.", builds=True),
    PlaybookVerb("reconcile", "Have the sensors send again what never reached the database, and give account."),
)


def inventory_path(named: str) -> str:
    """Return the inventory's absolute path; it may be a directory, a file, or a list of hosts with a comma in it."""
    if "," in named:
        return named
    path = Path(named)
    if not path.exists():
        raise Refusal(
            f"There is no inventory {named}. Name one that exists, or copy inventory/example to {named} and edit it."
        )
    if path.is_dir() and not any(path.iterdir()):
        raise Refusal(f"The inventory {named} is empty. Copy the files of inventory/example into it and edit them.")
    return str(path.resolve())


def ansible_playbook(playbook: Path, inventories: Sequence[str], extra: Sequence[str] = ()) -> list[str]:
    """Return the command that runs a playbook on inventories."""
    return ["ansible-playbook", *(f"--inventory={inventory}" for inventory in inventories), str(playbook), *extra]


def play(
    step: Step, playbook: Path, inventories: Sequence[str], extra: Sequence[str] = (), *, check: bool = True
) -> int:
    """Run a playbook as a part of a step, whose progress line shows the task reached; return its exit code.

    Raises StepFailed when ``check`` is set and it fails.
    """
    return step.run(
        ansible_playbook(playbook, inventories, extra),
        watch=ansible_task,
        env={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
        check=check,
    )


def prepare_ansible(progress: Progress) -> None:
    """Collections and settings that each use of Ansible needs."""
    podman.prepare_environment()
    if galaxy.unsatisfied(galaxy.wanted()):
        with progress.step("collections", "Unpack Ansible's collections") as step:
            galaxy.ensure(step)


def run_playbook(verb: PlaybookVerb, inventories: Sequence[str], extra: Sequence[str]) -> int:
    """Run a verb's playbook on the operator's terminal: Ansible may ask for a password and shows its own progress."""
    if not verb.playbook.exists():
        raise Refusal(
            f"{paths.shown(verb.playbook)} is missing from this clone. Restore it with: git checkout -- playbooks"
        )
    places = [inventory_path(named) for named in inventories]
    for named in inventories:
        if (Path(named) / "providers").is_dir():
            fleet_of(named)
    progress = Progress(verb.name)
    prepare_ansible(progress)
    if verb.builds:
        builder.ensure(progress, places, extra)
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    log = paths.LOGS / f"{verb.name}-ansible.log"
    env = {**os.environ, "ANSIBLE_LOG_PATH": str(log)}
    code = subprocess.run(
        ansible_playbook(verb.playbook, places, extra), cwd=paths.ROOT, env=env, check=False
    ).returncode
    if code != 0:
        print(f"strandline: {verb.name} ended with {code}. The whole output is in {paths.shown(log)}.", file=sys.stderr)
    return code


def command(verb: PlaybookVerb) -> click.Command:
    """Make the click command of a verb."""

    @click.command(
        verb.name,
        help=f"{verb.help}\n\nWhat follows -- goes to ansible-playbook: ./strandline {verb.name}"
        " -i inventory/production -- --limit ams1 --check --diff",
        short_help=verb.help,
        context_settings={"ignore_unknown_options": True},
    )
    @click.option(
        "-i", "--inventory", "inventories", multiple=True, required=True, help="The network: inventory/production."
    )
    @click.argument("extra", nargs=-1, type=click.UNPROCESSED)
    def run(inventories: tuple[str, ...], extra: tuple[str, ...]) -> None:
        sys.exit(run_playbook(verb, inventories, extra))

    return run
