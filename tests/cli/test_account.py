"""The account of a test run: the closing line says what happened and nothing else."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from strandline_cli import paths
from strandline_cli.progress import Progress, Step
from strandline_cli.testing import junit, lint, scenarios
from strandline_cli.testing.junit import Counts
from strandline_cli.testing.run import Account, side_by_side, temporary

Maker = Callable[..., Progress]
WHY = "assert 1 == 2&#10;more"
TRACE = """
    def test_f() -> None:
&gt;       helps()

tests/test_f.py:7:
_ _ _ _ _ _ _ _ _
E       assert 1 == 2
E       more

tests/helper.py:12: AssertionError
"""


def report(path: Path, tests: int, failures: int = 0, errors: int = 0, skipped: int = 0) -> Path:
    """Write a report as pytest does."""
    cases = "".join(
        f'<testcase classname="t" name="f{number}"><failure message="{WHY}">{TRACE}</failure></testcase>'
        for number in range(failures)
    ) + "".join(
        f'<testcase classname="t" name="e{number}"><error message="no host">x</error></testcase>'
        for number in range(errors)
    )
    counts = f'tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"'
    path.write_text(
        f'<?xml version="1.0"?><testsuites><testsuite name="pytest" {counts}>{cases}</testsuite></testsuites>'
    )
    return path


def well(_step: Step) -> None:
    """Do nothing, as a phase that holds."""


def badly(step: Step) -> None:
    """Fail, as a phase does whose command failed."""
    step.check(False, "it didn't hold")


def test_a_report_is_counted(tmp_path: Path) -> None:
    assert junit.read(report(tmp_path / "r.xml", 10, 2, 1, 3)) == Counts(4, 3, 3)
    why = "assert 1 == 2\n  more\n  at tests/test_f.py:7\n  at tests/helper.py:12"
    assert junit.failures(tmp_path / "r.xml") == [f"t::f0: {why}", f"t::f1: {why}", "t::e0: no host"]


def test_a_failure_that_says_very_much_is_cut(tmp_path: Path) -> None:
    path = report(tmp_path / "r.xml", 1, 1)
    path.write_text(path.read_text().replace(WHY, "&#10;".join(["m" * 10_000] * 1000)))
    (failure,) = junit.failures(path)
    assert len(failure.splitlines()) == junit.WHY_LINES + 2
    assert max(map(len, failure.splitlines()[1:])) == junit.WIDTH + 2


@pytest.mark.parametrize("content", [None, "", "<testsuites><testsuite", "not xml"])
def test_half_a_report_does_not_count(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "r.xml"
    if content is not None:
        path.write_text(content)
    assert junit.read(path) is None
    assert junit.failures(path) == []


def test_reports_add_up() -> None:
    assert Counts(1, 2, 3) + Counts(10, 20, 30) == Counts(11, 22, 33)


def test_the_closing_line_is_pytests() -> None:
    assert junit.closing_line(Counts(312, 0), 1234.54) == "===== 312 passed, 0 failed in 1234.5s ====="
    assert junit.closing_line(Counts(1, 2, 3), 1) == "===== 1 passed, 2 failed, 3 skipped in 1.0s ====="


def test_a_lint_phase_that_holds_is_no_test(progress: Maker) -> None:
    account = Account(progress())
    account.phase("ruff", "Check", well)
    assert account.total == Counts()
    assert account.failed == []


def test_a_lint_phase_that_fails_is_a_failure(progress: Maker) -> None:
    account = Account(progress())
    account.phase("ruff", "Check", badly)
    account.phase("mypy", "Check", badly)
    assert account.total == Counts(failed=2)
    assert account.failed == ["ruff", "mypy"]


def test_failed_tests_are_counted_once(progress: Maker, tmp_path: Path) -> None:
    account = Account(progress())
    account.phase("units", "Test", badly, report(tmp_path / "r.xml", 5, 2))
    assert account.total == Counts(3, 2)
    assert account.failed[0].startswith("units: t::f0: assert 1 == 2\n")


def test_a_scenario_that_fails_before_its_tests_is_a_failure(progress: Maker, tmp_path: Path) -> None:
    account = Account(progress())
    account.phase("network", "Run", badly, tmp_path / "never-written.xml")
    assert account.total == Counts(failed=1)


def test_a_scenario_that_fails_after_its_tests_is_a_failure(progress: Maker, tmp_path: Path) -> None:
    account = Account(progress())
    account.phase("network", "Run", badly, report(tmp_path / "r.xml", 5))
    assert account.total == Counts(5, 1)
    assert account.failed == ["network"]


def test_scenarios_are_the_directories_with_a_molecule_file(tmp_path: Path) -> None:
    for name in ("network", "base", "shared"):
        (tmp_path / name).mkdir()
    (tmp_path / "network" / "molecule.yml").touch()
    (tmp_path / "base" / "molecule.yml").touch()
    assert scenarios.names(tmp_path) == ["base", "network"]


class Stage:
    """Scenarios that are made up here, and when each of them began and ended."""

    def __init__(self) -> None:
        """Nothing has begun."""
        self.told: list[str] = []
        self.go_on = threading.Event()

    def run(self, step: Step, name: str, tier: str, built: threading.Event) -> None:
        """Begin, have the packages, wait, end."""
        assert tier == "normal"
        self.told.append(f"{name} begins")
        time.sleep(0.05)
        self.told.append(f"{name} built")
        built.set()
        step.run(["sleep", "60"] if name == "endless" else ["true"])
        if name == "network":
            assert self.go_on.wait(5)
        if name == "faults":  # the last to begin
            self.go_on.set()
        step.check(name != "faults", "it didn't hold")
        self.told.append(f"{name} ends")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    """No scenario of ours runs, and what one left is not read."""
    made = Stage()
    monkeypatch.setattr(scenarios, "run", made.run)
    monkeypatch.setattr(scenarios, "REPORTS", tmp_path)
    return made


def test_two_scenarios_at_a_time_and_the_longest_one_builds_the_packages(progress: Maker, stage: Stage) -> None:
    account = Account(progress())
    side_by_side(account, ["faults", "fleet", "network", "rotation"], "normal", 2)
    assert stage.told[:3] == ["network begins", "network built", "fleet begins"]
    assert stage.told[-1] == "network ends"
    assert account.failed == ["faults"]
    assert account.total == Counts(failed=1)


def test_one_scenario_at_a_time(progress: Maker, stage: Stage) -> None:
    side_by_side(Account(progress()), ["fleet", "rotation"], "normal", 1)
    assert stage.told == [f"{name} {what}" for name in ("fleet", "rotation") for what in ("begins", "built", "ends")]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_needs_no_scenario_runs_last(progress: Maker, stage: Stage, jobs: int) -> None:
    """Its failure is counted, and everything else runs."""
    account = Account(progress())

    def fails(step: Step) -> None:
        stage.told.append("others")
        step.check(False, "it didn't hold")

    def others() -> None:
        account.phase("others", "Fail", fails)

    side_by_side(account, ["fleet", "rotation"], "normal", jobs, others)
    scenes = [f"{name} {what}" for name in ("fleet", "rotation") for what in ("begins", "built", "ends")]
    assert sorted(stage.told) == sorted(["others", *scenes])
    assert (account.failed, account.total) == (["others"], Counts(failed=1))


def test_whoever_interrupts_two_scenarios_ends_both(progress: Maker, stage: Stage) -> None:
    account = Account(progress())
    began = time.monotonic()

    def interrupt() -> None:
        while "fleet ends" not in stage.told:
            time.sleep(0.02)
        account.progress.stopped.set()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side(account, ["endless", "fleet"], "normal", 2)
    assert time.monotonic() - began < 10


def test_the_packages_are_built_when_the_next_play_begins() -> None:
    built = threading.Event()
    watch = scenarios.telling_when_built(lambda line: line, built)
    plays = [play["name"] for play in yaml.safe_load((paths.PLAYBOOKS / "site.yml").read_text())]
    building = plays.index(scenarios.BUILDING)
    for line in (*(f"PLAY [{name}] ***" for name in ["Create the network", *plays[: building + 1]]), "TASK [x]"):
        assert watch(line) == line
        assert not built.is_set()
    watch(f"PLAY [{plays[building + 1]}] ***")
    assert built.is_set()


@pytest.mark.parametrize(
    ("name", "line", "is_python"),
    [
        ("a.py", b"", True),
        ("run", b"#!/usr/bin/env python3\n", True),
        ("run", b"#!/usr/bin/python3 -ISB\n", True),
        ("run", b"#!/bin/sh\n", False),
        ("python.md", b"python\n", False),
    ],
)
def test_python_is_known_by_name_or_first_line(name: str, line: bytes, is_python: bool) -> None:
    assert lint.is_python(name, line) is is_python


def test_files_of_one_name_are_checked_apart() -> None:
    names = ["tests/a/conftest.py", "tests/b/conftest.py", "tests/b/test_x.py"]
    assert lint.without_clashes(names) == [["tests/a/conftest.py", "tests/b/test_x.py"], ["tests/b/conftest.py"]]


def test_modules_have_the_name_they_are_imported_by() -> None:
    assert lint.module_name("strandline_cli/testing/lint.py") == "strandline_cli/testing/lint"
    assert lint.module_name("filter_plugins/fleet.py") == "filter_plugins/fleet"
    assert lint.module_name("files/demo/scanner/compare.py") == "compare"


def test_a_linter_in_the_background_says_its_part_in_its_turn(progress: Maker, tmp_path: Path) -> None:
    slow = lint.Linter("slow", "Check", [["sh", "-c", "echo line 7 is too long; exit 2"]])
    account = Account(progress())
    with lint.early(slow) as background:
        account.phase("quick", "Check", well)
        account.phase("slow", "Check", background.end)
    assert account.failed == ["slow"]
    assert "line 7 is too long" in (tmp_path / "log" / "verb-slow.log").read_text()


def test_a_linter_in_the_background_ends_with_its_block() -> None:
    with lint.early(lint.Linter("slow", "Check", [["sleep", "60"]])) as background:
        pass
    assert background.process.poll() is not None


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with a role, its documentation and a configuration."""
    for name in ("roles/base/tasks/main.yml", ".ansible-lint", "README.md", "tests/test_x.py"):
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "clone" / name).write_text("---\n")
    subprocess.run(["git", "init", "--quiet", tmp_path / "clone"], check=True)
    return tmp_path / "clone"


def test_files_that_passed_are_known_until_one_of_them_changes(clone: Path, tmp_path: Path) -> None:
    stamp = tmp_path / "test" / "passed"
    assert not lint.Passed(stamp, clone).before()
    lint.Passed(stamp, clone).note()
    assert lint.Passed(stamp, clone).before()
    for name in ("README.md", "tests/test_x.py"):
        (clone / name).write_text("another\n")
    assert lint.Passed(stamp, clone).before()
    for name in (".ansible-lint", "roles/base/tasks/main.yml", "roles/base/tasks/more.yml"):
        lint.Passed(stamp, clone).note()
        (clone / name).write_text("- another\n")
        assert not lint.Passed(stamp, clone).before(), name


def test_files_that_changed_while_they_were_looked_at_did_not_pass(clone: Path, tmp_path: Path) -> None:
    passed = lint.Passed(tmp_path / "passed", clone)
    (clone / "roles/base/tasks/main.yml").write_text("- another\n")
    passed.note()
    assert not passed.before()
    assert not lint.Passed(tmp_path / "passed", clone).before()


def test_temporary_directories_are_in_memory_where_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_DEBUG_TEMPROOT", raising=False)
    assert temporary(tmp_path / "missing") == {}
    monkeypatch.setattr("strandline_cli.testing.run.ROOM", 1)
    assert temporary(tmp_path) == {"PYTEST_DEBUG_TEMPROOT": str(tmp_path)}
    monkeypatch.setattr("strandline_cli.testing.run.ROOM", 1 << 60)
    assert temporary(tmp_path) == {}
    monkeypatch.setattr("strandline_cli.testing.run.ROOM", 1)
    monkeypatch.setenv("PYTEST_DEBUG_TEMPROOT", "/chosen")
    assert temporary(tmp_path) == {}
