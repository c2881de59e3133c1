"""All playbooks, as Ansible reads them: which are verbs, and that each of these checks its inventory first."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from strandline_cli import verbs

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = {path.stem: path for path in sorted((ROOT / "playbooks").glob("*.yml"))}
PARTS = {"check_inventory", "learn", "packages"}
"""Imported by verbs, and none themselves."""
CHECK = "Check the inventory, and lock it against other runs"


def ansible_playbook(*arguments: str | Path) -> tuple[int, str]:
    """Run ansible-playbook on the example's inventory: exit code, and what was said."""
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={ROOT / 'inventory' / 'example'}", *arguments],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_each_playbook_is_a_verb_of_the_command_or_a_part_of_one() -> None:
    assert PLAYBOOKS.keys() - PARTS == {verb.name for verb in verbs.VERBS}


@pytest.mark.slow
def test_the_first_task_of_each_verb_checks_the_inventory() -> None:
    """Whatever tags a run is given."""
    playbooks = [path for name, path in PLAYBOOKS.items() if name not in PARTS]
    code, said = ansible_playbook("--list-tasks", "--tags=nosuch", *playbooks)
    assert code == 0, said
    first = {}
    for listed in re.split(r"^playbook: ", said, flags=re.MULTILINE)[1:]:
        name, _, tasks = listed.partition("\n")
        first[Path(name).stem] = next(iter(re.findall(r"^      (.*?)\s+TAGS:", tasks, re.MULTILINE)), "")
    assert first == dict.fromkeys(sorted(PLAYBOOKS.keys() - PARTS), CHECK)


@pytest.mark.long
@pytest.mark.parametrize("verb", [verb.name for verb in verbs.VERBS])
def test_a_misspelt_limit_is_an_error_of_each_verb(verb: str) -> None:
    code, said = ansible_playbook(PLAYBOOKS[verb], "--limit=ams1,colector1")
    assert (code, "--limit names colector1, which is neither a host nor a group" in said) == (2, True), said
