"""`./strandline bench ingest`: what it refuses, and that it leaves nothing behind whatever happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from strandline_cli.bench import ingest, network
from strandline_cli.errors import Refusal, StepFailed


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What was called, with no containers anywhere."""
    called: list[str] = []

    def measure(*_: object) -> dict[str, Any]:
        called.append("measure")
        return {"ratio": 1.0}

    monkeypatch.setattr(network, "BUILD", tmp_path)
    monkeypatch.setattr(ingest, "RESULT", tmp_path / "ingest.json")
    monkeypatch.setattr(network, "check", lambda: None)
    monkeypatch.setattr(network, "up", lambda *_: called.append("up"))
    monkeypatch.setattr(network, "down", lambda _: called.append("down"))
    monkeypatch.setattr(ingest, "measure", measure)
    monkeypatch.setattr(ingest, "show", lambda _: called.append("show"))
    return called


def bench(*arguments: str) -> Any:
    """Run the verb."""
    return CliRunner().invoke(ingest.bench, ["ingest", *arguments])


@pytest.mark.parametrize(
    "wrong", [("--messages", "10"), ("--rounds", "0"), ("--sources", "0"), ("--messages", "5000", "--large", "4000")]
)
def test_numbers_that_measure_nothing_are_refused(calls: list[str], wrong: tuple[str, ...]) -> None:
    assert bench(*wrong).exit_code != 0
    assert calls == []


def test_the_result_is_written_whole(calls: list[str], tmp_path: Path) -> None:
    assert bench().exit_code == 0
    assert calls == ["up", "measure", "down", "show"]
    assert json.loads((tmp_path / "ingest.json").read_text()) == {"ratio": 1.0}
    assert [path.name for path in tmp_path.iterdir()] == ["ingest.json"]


def test_containers_stay_when_asked(calls: list[str]) -> None:
    assert bench("--keep").exit_code == 0
    assert "down" not in calls


@pytest.mark.parametrize("trouble", [StepFailed("no"), Refusal("no"), KeyboardInterrupt()])
def test_containers_go_whatever_happens(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trouble: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(ingest, "measure", fail)
    bench()
    assert calls == ["up", "down"]
    assert not (tmp_path / "ingest.json").exists()


def test_a_refusal_comes_before_anything_is_changed(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise Refusal("no podman here")

    monkeypatch.setattr(network, "check", refuse)
    assert bench().exit_code != 0
    assert calls == []


def test_a_run_is_named_as_a_sensor_names_it() -> None:
    name = ingest.run_name(0x1F)
    assert len(name) == len("1700000000000000-beef")
    assert name.endswith("-001f")
    assert ingest.run_name(1) != ingest.run_name(2)
