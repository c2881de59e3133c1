"""Molecule's scenarios: containers, converge, idempotence, testinfra; the containers are removed in any case."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from strandline_cli import paths, podman
from strandline_cli.progress import Step, Watch, molecule_action
from strandline_cli.testing import junit

MOLECULE = paths.ROOT / "molecule"
REPORTS = paths.BUILD / "test"
LIMIT = 60 * 60.0  # seconds for one scenario: three times what it takes on two quiet cores
LONGEST_FIRST = ("network", "fleet", "rotation", "faults")
BUILDING = "Build our packages"  # the play of playbooks/site.yml


def names(top: Path = MOLECULE) -> list[str]:
    """Return the scenarios: each directory with a molecule.yml."""
    return sorted(file.parent.name for file in top.glob("*/molecule.yml"))


def in_order(chosen: Sequence[str]) -> list[str]:
    """Return scenarios in the order in which two at a time end soonest."""
    return [name for name in LONGEST_FIRST if name in chosen] + [name for name in chosen if name not in LONGEST_FIRST]


def report(name: str) -> Path:
    """Return where a scenario's tests leave their JUnit XML."""
    return REPORTS / f"scenario-{name}.xml"


def telling_when_built(watch: Watch, built: threading.Event) -> Watch:
    """Return the same watch, which notes besides that the play behind the one that builds packages has begun."""
    building = False

    def watching(line: str) -> str | None:
        nonlocal building
        if line.startswith("PLAY ["):
            if building:
                built.set()
            building = BUILDING in line
        return watch(line)

    return watching


def run(step: Step, name: str, tier: str, built: threading.Event | None = None) -> None:
    """Run one scenario and remove its containers. On failure their journals are kept first. Raises StepFailed.

    `built` is set as soon as our packages are in the cache, or the scenario has ended.
    """
    try:
        _run(step, name, tier, built or threading.Event())
    finally:
        if built:
            built.set()


def _run(step: Step, name: str, tier: str, built: threading.Event) -> None:
    report(name).unlink(missing_ok=True)
    options = os.environ.get("PYTEST_ADDOPTS", "")
    env = {
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "PYTEST_ADDOPTS": f"{options} --junitxml={report(name)} -o junit_family=xunit2".strip(),
        "STRANDLINE_TEST_TIER": tier,
        "STRANDLINE_BUILD": str(paths.BUILD / "molecule" / name),
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
        watch = telling_when_built(molecule_action(), built)
        code = step.run(test, check=False, watch=watch, env=env, timeout=LIMIT)
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
