"""Molecule's scenarios: containers, converge, idempotence, testinfra, and away with the containers in any case."""

from __future__ import annotations

import os
from pathlib import Path

from strandline_cli import paths, podman
from strandline_cli.progress import Step, ansible_task
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
    """Run one scenario. On failure the hosts' journals go into the log before they are destroyed. Raises StepFailed."""
    report(name).unlink(missing_ok=True)
    options = os.environ.get("PYTEST_ADDOPTS", "")
    env = {
        "ANSIBLE_NOCOLOR": "1",
        "NO_COLOR": "1",
        "PYTEST_ADDOPTS": f"{options} --junitxml={report(name)} -o junit_family=xunit2".strip(),
        "STRANDLINE_TEST_TIER": tier,
    }
    before = set(containers())
    try:
        code = step.run(
            ["molecule", "test", "-s", name, "--destroy=never"], check=False, watch=ansible_task, env=env, timeout=LIMIT
        )
        if code != 0:
            for container in sorted(set(containers()) - before):
                step.run(
                    [
                        "podman",
                        "exec",
                        container,
                        "journalctl",
                        "--no-pager",
                        "--boot",
                        "--priority=warning",
                        "--lines=60",
                    ],
                    check=False,
                )
    finally:
        step.run(["molecule", "destroy", "-s", name], check=False, env=env)
    failed = junit.failures(report(name))
    step.check(code == 0, f"{len(failed)} tests failed" if failed else f"molecule ended with {code}")


def containers() -> list[str]:
    """Return the names of the running containers."""
    return podman.ask("ps", "--format", "{{.Names}}").stdout.split()
