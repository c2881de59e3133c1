"""Progress: what the operator sees, with and without a terminal, and what a failing step leaves behind."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from strandline_cli.errors import StepFailed
from strandline_cli.progress import Progress, ansible_task, molecule_action, plain, spent, telling

Maker = Callable[..., Progress]


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (9.9, "0:09"), (61, "1:01"), (3600, "60:00")])
def test_times_are_minutes_and_seconds(seconds: float, text: str) -> None:
    assert spent(seconds) == text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("TASK [base : Install packages] ******", "base : Install packages"),
        ("PLAY [Set up the sensors] ***", "Set up the sensors"),
        ("RUNNING HANDLER [base : Reload sshd] ***", "base : Reload sshd"),
        ("ok: [demo-sensor1]", None),
    ],
)
def test_only_tasks_show_from_ansible(line: str, text: str | None) -> None:
    assert ansible_task(line) == text


def test_molecules_action_stands_before_the_task() -> None:
    watch = molecule_action()
    assert watch("INFO     [network > converge] Executing") == "converge"
    assert watch("TASK [base : Install packages] ****") == "converge: base : Install packages"
    assert watch("INFO     [network > verify] Executing") == "verify"
    assert watch("tests/test_a.py::test_b PASSED        [ 10%]") == "verify: tests/test_a.py::test_b"
    assert watch("INFO     [network > verify] Executed: Successful") is None


def test_colours_and_control_characters_do_not_reach_the_terminal() -> None:
    assert plain("\x1b[31mred\x1b[0m\x07 \x9bx") == "red x"


def test_without_a_terminal_the_lines_are_plain(progress: Maker, shown: io.StringIO) -> None:
    with progress().step("images", "Build the image"):
        pass
    lines = shown.getvalue().splitlines()
    assert lines[0].split() == ["images", "Build", "the", "image"]
    assert lines[1].startswith("✔ images")
    assert "\x1b" not in shown.getvalue()


def test_a_long_step_says_that_it_lives(progress: Maker, shown: io.StringIO) -> None:
    with progress(interval=0.05).step("images", "Build the image") as step:
        step.say("unpacking systemd")
        ends = time.monotonic() + 5
        while "so far" not in shown.getvalue() and time.monotonic() < ends:
            time.sleep(0.01)
    assert "0:00 so far: unpacking systemd" in shown.getvalue()


def test_on_a_terminal_one_line_moves(progress: Maker, shown: io.StringIO) -> None:
    with progress(terminal=True).step("images", "Build the image") as step:
        step.say("unpacking systemd")
        ends = time.monotonic() + 5
        while "unpacking" not in shown.getvalue() and time.monotonic() < ends:
            time.sleep(0.01)
    assert "unpacking systemd" in shown.getvalue()
    assert "✔" in shown.getvalue()


def test_the_whole_output_is_kept(progress: Maker, tmp_path: Path) -> None:
    with progress().step("site", "Provision") as step:
        assert step.run(["sh", "-c", "echo out; echo err >&2"]) == 0
    log = (tmp_path / "log" / "verb-site.log").read_text()
    assert "$ sh -c echo out; echo err >&2\n" in log
    assert "out\nerr\n" in log


def test_a_failing_step_shows_the_end_of_its_log(progress: Maker, shown: io.StringIO) -> None:
    with pytest.raises(StepFailed), progress().step("site", "Provision") as step:
        step.run(["sh", "-c", "echo the cause; exit 4"])
    assert "✘ site" in shown.getvalue()
    assert "sh ended with 4" in shown.getvalue()
    assert "the cause" in shown.getvalue()
    assert "verb-site.log" in shown.getvalue()


def test_a_missing_program_is_a_failure_and_no_traceback(progress: Maker, shown: io.StringIO) -> None:
    with pytest.raises(StepFailed), progress().step("site", "Provision") as step:
        step.run(["/no/such/program"])
    assert "/no/such/program can't be run: No such file or directory" in shown.getvalue()


def test_a_command_that_never_ends_is_ended(progress: Maker) -> None:
    began = time.monotonic()
    with progress().step("site", "Provision") as step:
        assert step.run(["sleep", "60"], check=False, timeout=0.3) == 124
    assert time.monotonic() - began < 10


def test_an_interruption_ends_the_command(progress: Maker, shown: io.StringIO, tmp_path: Path) -> None:
    def interrupt(_line: str) -> str | None:
        raise KeyboardInterrupt

    pid_file = tmp_path / "pid"
    program = f"echo $$ > {pid_file}; echo up; exec sleep 60"
    with pytest.raises(KeyboardInterrupt), progress().step("site", "Provision") as step:
        step.run(["sh", "-c", program], watch=interrupt)
    assert "✘ site" in shown.getvalue()
    assert not Path(f"/proc/{pid_file.read_text().strip()}").exists()


def test_a_program_left_running_does_not_hold_the_step(progress: Maker) -> None:
    began = time.monotonic()
    with progress().step("hosts", "Start") as step:
        step.run(["sh", "-c", "sleep 20 & echo started"])
    assert time.monotonic() - began < 10


def test_ansibles_error_shows_rather_than_the_recap() -> None:
    recap = [f"host{number} : ok=1" for number in range(40)]
    log = "\n".join(
        ["TASK [a] ***", "ok: [x]", "TASK [b] ***", "fatal: [x]: FAILED! =>", "  msg: no space left", *recap]
    )
    assert telling(log)[:3] == ["TASK [b] ***", "fatal: [x]: FAILED! =>", "  msg: no space left"]


def test_otherwise_the_last_lines_show() -> None:
    assert telling("\n".join(str(number) for number in range(100)))[-1] == "99"
    assert telling("") == []
