"""The tiers of `./strandline test`, phase by phase; a phase that fails doesn't stop the next."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from strandline_cli import checks, paths, podman, ready
from strandline_cli.errors import StepFailed
from strandline_cli.images import base, derived, packages
from strandline_cli.progress import Progress, Step
from strandline_cli.testing import browser, junit, lint, patterndb, scenarios
from strandline_cli.testing.junit import Counts
from strandline_cli.testing.lint import Linter

UNITS = scenarios.REPORTS / "units.xml"
PASSED = scenarios.REPORTS / "ansible-lint.passed"
SLOW = scenarios.REPORTS / "slow.xml"
FAST, NORMAL, LONG = "fast", "normal", "long"
MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a directory of its own there, with mode 0700
ROOM = 1 << 30  # bytes; the tests leave a tenth of that
JOBS = 2 if (os.cpu_count() or 1) > 1 else 1  # scenarios at a time: each waits half of its time


class Account:
    """What passed and failed so far. A lint phase is no test: passed it adds nothing, failed it adds one failure."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.total = Counts()
        self.failed: list[str] = []
        self._adding = threading.Lock()

    def phase(self, name: str, what: str, body: Callable[[Step], None], report: Path | None = None) -> None:
        """Run a phase; count its tests, and the phase itself as one failure if it failed without a failed test."""
        ended_well = True
        try:
            with self.progress.step(name, what) as step:
                body(step)
        except StepFailed:
            ended_well = False
        counts = (junit.read(report) if report else Counts()) or Counts()
        with self._adding:
            self.total += counts
            if report:
                self.failed += [f"{name}: {failure}" for failure in junit.failures(report)]
            if not ended_well and not counts.failed:
                self.total += Counts(failed=1)
                self.failed.append(name)


def check(step: Step, linter: Linter) -> None:
    """Run a linter's commands, all of them even when one finds something."""
    codes = [step.run(command, env={**linter.environment, "NO_COLOR": "1"}, check=False) for command in linter.commands]
    step.check(not any(codes), "found something to correct")


def temporary(memory: Path = MEMORY) -> dict[str, str]:
    """Have pytest's temporary directories in memory where there is room for them.

    What we test syncs each file that it writes, as a host needs it. On a slow disk that is most of the tests' time.
    """
    try:
        roomy = shutil.disk_usage(memory).free >= ROOM and os.access(memory, os.W_OK)
    except OSError:
        roomy = False
    return {"PYTEST_DEBUG_TEMPROOT": str(memory)} if roomy and "PYTEST_DEBUG_TEMPROOT" not in os.environ else {}


def units(step: Step, report: Path, marked: str) -> None:
    """Run the tests of tests/ that carry these marks, those that need images aside."""
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    step.run(
        [
            *(sys.executable, "-m", "pytest", "tests", "-q", "-m", marked),
            *(f"--ignore={tests}" for tests in browser.TESTS),
            # Files of tests side by side: many of them wait for what they have started.
            *(f"--numprocesses={os.cpu_count() or 1}", "--dist=loadfile"),
            *(f"--junitxml={report}", "-o", "junit_family=xunit2"),
        ],
        env=temporary(),
    )
    counts = junit.read(report)
    step.say(f"{counts.passed} passed." if counts else "")


def prepare(progress: Progress, *, scanner: bool) -> None:
    """Make what the phases need. Raises StepFailed: without it there is nothing to test with."""
    ready.for_containers(progress)
    with progress.step("images", "Build the images that the hosts start from") as step:
        base_image = base.ensure(step)
        if scanner:
            derived.ensure_scanner(step, base_image)
            derived.ensure_troubled(step, derived.ensure_vps(step, base_image))
            packages.ensure(step, base_image)


def code(account: Account, tier: str) -> None:
    """Check the code without its hosts: lint, unit tests, rules.

    The slowest linter runs beside the others, and in the fast tier not again over files that it found nothing in.
    """
    passed = lint.Passed(PASSED)

    def end(step: Step) -> None:
        if ansible is None:
            step.say("nothing that it reads has changed since it passed.")
            return
        ansible.end(step)
        passed.note()

    again = tier != FAST or not passed.before()
    with lint.early(lint.ansible()) if again else nullcontext() as ansible:
        for linter in lint.linters():
            account.phase(linter.name, linter.what, partial(check, linter=linter))
        body = partial(units, report=UNITS, marked="not slow and not long")
        account.phase("units", "Run the unit tests", body, UNITS)
        account.phase("patterndb", "Test the patterndb rules with pdbtool", patterndb.run)
        account.phase(lint.ansible().name, lint.ansible().what, end)


def others(account: Account, tier: str) -> None:
    """Run what takes its time and needs no scenario: playbooks on this machine, the pages, the publisher's site."""
    body = partial(units, report=SLOW, marked="slow or long" if tier == LONG else "slow and not long")
    account.phase("slow", "Run the slower unit tests, playbooks among them", body, SLOW)
    account.phase("browser", "Look at the pages in Chromium and at the site", browser.run, browser.REPORT)


def side_by_side(
    account: Account, chosen: Sequence[str], tier: str, jobs: int, last: Callable[[], None] | None = None
) -> None:
    """Run scenarios and what is to come `last`, some at a time.

    The first scenario begins alone: what it builds, the others find in the cache.
    """
    built = threading.Event()

    def one(name: str) -> None:
        what = f"Run the scenario {name} in containers"
        body = partial(scenarios.run, name=name, tier=tier, built=built)
        account.phase(name, what, body, scenarios.report(name))

    bodies: list[Callable[[], None]] = [partial(one, name) for name in scenarios.in_order(chosen)]
    first, *later = [*bodies, last] if last else bodies
    if not later or jobs == 1:
        for run_one in (first, *later):
            run_one()
        return
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="scenario") as pool:
        running = [pool.submit(first)]
        try:
            while not built.wait(0.2):
                pass
            running += [pool.submit(run_one) for run_one in later]
            for each in running:
                each.result()
        except BaseException:
            account.progress.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise


def run(tier: str, only: tuple[str, ...], jobs: int = JOBS) -> int:
    """Run a tier, or only some of its scenarios, `jobs` at a time; print the account and return the exit code."""
    began = time.monotonic()
    progress = Progress("test")
    checks.require(checks.before_containers())
    podman.prepare_environment()
    account = Account(progress)
    chosen = only or (() if tier == FAST else tuple(scenarios.names()))
    prepare(progress, scanner=bool(chosen))
    if not only:
        code(account, tier)
    if chosen:
        side_by_side(account, chosen, tier, jobs, None if only else partial(others, account, tier))
    for failure in account.failed:
        print(f"FAILED {failure}")
    if account.failed:
        print(f"The whole output is in {paths.shown(paths.LOGS)}/test-*.log")
    sys.stderr.flush()
    print(junit.closing_line(account.total, time.monotonic() - began), flush=True)
    return 1 if account.failed or not account.total.passed else 0
