"""Playbooks: the command that runs one, and what it needs before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strandline_cli import galaxy, podman
from strandline_cli.errors import Refusal
from strandline_cli.progress import Progress, Step, ansible_task


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
        env={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_STDOUT_CALLBACK": "default"},
        check=check,
    )


def prepare_ansible(progress: Progress) -> None:
    """Collections and settings that each use of Ansible needs."""
    podman.prepare_environment()
    if galaxy.unsatisfied(galaxy.wanted()):
        with progress.step("collections", "Unpack Ansible's collections") as step:
            galaxy.ensure(step)


def as_text(value: Any) -> str:
    """Write values as YAML that Ansible takes as they are.

    Ansible would evaluate a template in them, on this machine: what a provider wrote in a ticket may hold one.
    """
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)}: {as_text(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_text, value))}]"
    # JSON is YAML; a tag is not JSON, so that only what needs one has it.
    template = isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))
    return f"{'!unsafe ' if template else ''}{json.dumps(value)}"
