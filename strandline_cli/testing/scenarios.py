"""Molecule's scenarios: containers, converge, idempotence, testinfra, and away with the containers in any case."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from strandline_cli import paths, podman
from strandline_cli.progress import Step, molecule_action
from strandline_cli.testing import junit

MOLECULE = paths.ROOT / "molecule"
REPORTS = paths.BUILD / "test"
LIMIT = 40 * 60.0  # seconds for one scenario


def names(top: Path = MOLECULE) -> list[str]:
    """Return the scenarios: each directory with a molecule.yml."""
    return sorted(file.parent.name for file in top.glob("*/molecule.yml"))


def report(name: str) -> Path:
    """Return where a scenario's tests leave their JUnit XML."""
    return REPORTS / f"scenario-{name}.xml"


def run(step: Step, name: str, tier: str) -> None:
    """Run one scenario and remove its containers. On failure their journals are kept first. Raises StepFailed."""
    report(name).unlink(missing_ok=True)
    options = os.environ.get("PYTEST_ADDOPTS", "")
    env = {
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "PYTEST_ADDOPTS": f"{options} --junitxml={report(name)} -o junit_family=xunit2".strip(),
        "STRANDLINE_TEST_TIER": tier,
    }
    # What the end says goes elsewhere: the end of this step's log is to be about what went wrong.
    end = Step(name, step.what, step.log.with_stem(f"{step.log.stem}-end"))
    end.log.write_bytes(b"")
    destroy = ["molecule", "destroy", "-s", name]
    step.say("remove what an interrupted run may have left")
    end.run(destroy, check=False, env=env)
    before = set(containers())
    test = ["molecule", "test", "-s", name, "--destroy=never"]
    try:
        code = step.run(test, check=False, watch=molecule_action(), env=env, timeout=LIMIT)
        if code != 0:
            keep_journals(end, sorted(set(containers()) - before))
    finally:
        step.say("remove the containers")
        end.run(destroy, check=False, env=env)
    failed = junit.failures(report(name))
    step.check(code == 0, f"failed tests: {len(failed)}" if failed else f"molecule ended with {code}")


def keep_journals(end: Step, names: Sequence[str]) -> None:
    """Write the journals of a failed scenario's hosts into the log of its end."""
    for container in names:
        journal = ["journalctl", "--no-pager", "--boot", "--lines=200"]
        end.run(["podman", "exec", container, *journal], check=False, timeout=30)


def containers() -> list[str]:
    """Return the names of the running containers."""
    return podman.ask("ps", "--format", "{{.Names}}").stdout.split()
