"""`./strandline bench account`: an account that does not add up is a failure, however fast it was."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from strandline_cli.bench import account, network
from strandline_cli.errors import StepFailed
from strandline_cli.progress import Step

GOOD = {"rows": 990, "removed": 10, "missing": 10, "lines": 7, "seconds": 0.5}


def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: dict[str, Any], code: int = 0) -> dict[str, Any]:
    """What the verb makes of a program's output."""
    monkeypatch.setattr(network, "put", lambda *_: None)
    done = subprocess.CompletedProcess([], code, json.dumps(said), "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    return account.measure(Step("account", "", tmp_path / "log"), 1000)


def test_an_account_that_adds_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert measured(monkeypatch, tmp_path, GOOD) == GOOD


@pytest.mark.parametrize("wrong", [{"missing": 9}, {"rows": 989}, {"missing": 11, "removed": 11}])
def test_an_account_that_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(StepFailed):
        measured(monkeypatch, tmp_path, GOOD | wrong)


def test_a_program_that_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(StepFailed):
        measured(monkeypatch, tmp_path, GOOD, code=1)


def test_the_program_is_there() -> None:
    assert account.PROGRAM.is_file()
