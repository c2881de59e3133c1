"""The command line: one clear sentence for whatever goes wrong, never a traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest

from strandline_cli import main
from strandline_cli.errors import Refusal, StepFailed


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["strandline", *arguments])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[BaseException]:
    """Add a verb `try` that raises what the test puts into the list."""
    raised: list[BaseException] = []

    @click.command("try")
    def try_() -> None:
        raise raised[0]

    monkeypatch.setitem(main.cli.commands, "try", try_)
    monkeypatch.setattr("strandline_cli.paths.LOGS", tmp_path / "log")
    return raised


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (Refusal("Port 8080 is used. Stop it."), 2, "strandline: Port 8080 is used. Stop it."),
        (KeyboardInterrupt(), 130, "give the same command again"),
        (OSError(28, "No space left on device", "/var/x"), 1, "strandline: /var/x: No space left on device."),
        (ValueError("surprise"), 1, "An error in strandline itself: ValueError('surprise')"),
    ],
)
def test_what_goes_wrong_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verb: list[BaseException],
    error: BaseException,
    code: int,
    sentence: str,
) -> None:
    verb.append(error)
    assert run(monkeypatch, "try") == code
    said = capsys.readouterr().err
    assert sentence in said
    assert "Traceback" not in said
    assert said.strip().count("\n") == 0


def test_a_bugs_traceback_is_kept(monkeypatch: pytest.MonkeyPatch, verb: list[BaseException], tmp_path: Path) -> None:
    verb.append(ValueError("surprise"))
    run(monkeypatch, "try")
    assert "ValueError: surprise" in (tmp_path / "log" / "traceback.log").read_text()


def test_a_failed_step_has_said_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: list[BaseException]
) -> None:
    verb.append(StepFailed("shown already"))
    assert run(monkeypatch, "try") == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["demo", "--cache"], "--cache belongs to --down"),
        (["site"], "Missing option '-i'"),
        (["site", "-i", "/no/such/inventory"], "There is no inventory /no/such/inventory"),
        (["test", "-s", "nonsense"], "There is no scenario nonsense"),
    ],
)
def test_a_wrong_command_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert sentence in capsys.readouterr().err


def test_without_a_verb_there_is_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch) == 2
    assert "demo" in capsys.readouterr().out
