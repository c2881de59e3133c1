"""Our plugins as ansible-doc shows them: each is listed, and has examples that are tasks and says what it returns."""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "library").glob("*.py"))
CALLBACKS = sorted(path.stem for path in (ROOT / "callback_plugins").glob("*.py"))
CONNECTIONS = sorted(path.stem for path in (ROOT / "connection_plugins").glob("*.py"))


def filters() -> list[str]:
    """The names under which templates use our filters."""
    found = []
    for path in sorted((ROOT / "filter_plugins").glob("*.py")):
        module = importlib.import_module(f"filter_plugins.{path.stem}")
        found += sorted(module.FilterModule().filters())
    return found


@functools.cache
def ansible_doc(*arguments: str) -> dict[str, Any]:
    """What ansible-doc says, as a program reads it."""
    env = {name: text for name, text in os.environ.items() if not name.startswith("ANSIBLE_")}
    done = subprocess.run(
        ["ansible-doc", "--json", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ERROR" not in done.stderr, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


KINDS = [("module", MODULES), ("filter", filters()), ("callback", CALLBACKS), ("connection", CONNECTIONS)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "names"), KINDS, ids=[kind for kind, _ in KINDS])
def test_ours_are_listed_with_what_they_are_for(kind: str, names: list[str]) -> None:
    listed = ansible_doc("-t", kind, "-l")
    assert {name: bool(listed.get(f"ansible.legacy.{name}")) for name in names} == dict.fromkeys(names, True)


@pytest.mark.parametrize(("kind", "names"), KINDS[:2], ids=["module", "filter"])
def test_each_has_examples_that_use_it_and_says_what_it_returns(kind: str, names: list[str]) -> None:
    for name, said in ansible_doc("-t", kind, *names).items():
        for part in ("examples", "return"):
            assert said.get(part), f"{kind} {name} has no {part.upper()}"
        tasks = yaml.safe_load(said["examples"])
        assert all(task.get("name") for task in tasks), name
        used = [task for task in tasks if name in (task if kind == "module" else json.dumps(task))]
        assert used, f"no example of {name} uses it"
        options = set(said["doc"].get("options", {}))
        for task in used if kind == "module" else ():
            assert set(task[name] or {}) <= options, f"an example of {name} has an option that it does not have"


def test_each_module_says_how_far_it_supports_check_mode_and_differences() -> None:
    for name, said in ansible_doc("-t", "module", *MODULES).items():
        supports = {what: each["support"] for what, each in said["doc"].get("attributes", {}).items()}
        assert supports.keys() >= {"check_mode", "diff_mode"}, name
        assert supports["check_mode"] == "full", name


def test_what_acts_on_the_controller_has_its_documentation_in_library() -> None:
    actions = {path.stem for path in (ROOT / "action_plugins").glob("*.py")}
    assert actions <= set(MODULES)
