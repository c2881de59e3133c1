"""The bootstrap: one environment per lock and Python, complete or made again, and clear words when it can't be made."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load the program `strandline` as a module, with a lock and a log of its own."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("bootstrap", str(ROOT / "strandline"))
    spec = importlib.util.spec_from_loader("bootstrap", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    lock = tmp_path / "controller.txt"
    lock.write_text("click==1\n")
    monkeypatch.setattr(module, "LOCK", lock)
    monkeypatch.setattr(module, "LOG", tmp_path / "log" / "bootstrap.log")
    return module


@pytest.fixture
def commands(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replace the running of commands by writing them down; `venv` makes its python."""
    ran: list[list[str]] = []

    def run(_what: str, command: list[str]) -> None:
        ran.append(command)
        if "venv" in command:
            python = Path(command[-1]) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.touch()

    monkeypatch.setattr(bootstrap, "run", run)
    return ran


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"STRANDLINE_CACHE": "/srv/cache", "XDG_CACHE_HOME": "/x"}, "/srv/cache"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/home/me"}, "/x/strandline"),
        ({"XDG_CACHE_HOME": "", "HOME": "/home/me"}, "/home/me/.cache/strandline"),
        ({"HOME": "/home/me"}, "/home/me/.cache/strandline"),
    ],
)
def test_the_cache_is_where_the_operator_says(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for name in ("STRANDLINE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert bootstrap.cache_directory() == Path(expected)


def test_an_environment_is_made_once(bootstrap: ModuleType, commands: list[list[str]], cache: Path) -> None:
    first = bootstrap.environment(cache)
    assert len(commands) == 2
    assert "--require-hashes" in commands[1]
    assert bootstrap.environment(cache) == first
    assert len(commands) == 2


def test_another_lock_is_another_environment(bootstrap: ModuleType, commands: list[list[str]], cache: Path) -> None:
    first = bootstrap.environment(cache)
    bootstrap.LOCK.write_text("click==2\n")
    assert bootstrap.environment(cache) != first
    assert len(commands) == 4


def test_an_interrupted_install_is_made_again(bootstrap: ModuleType, commands: list[list[str]], cache: Path) -> None:
    venv = bootstrap.environment(cache)
    (venv / "complete").unlink()
    (venv / "half").touch()
    assert bootstrap.environment(cache) == venv
    assert len(commands) == 4
    assert not (venv / "half").exists()


def test_only_environments_long_unused_are_removed(
    bootstrap: ModuleType, commands: list[list[str]], cache: Path
) -> None:
    assert not commands
    for name, age in (("venv-old", 100), ("venv-new", 1)):
        (cache / name).mkdir()
        stamp = cache / name / "complete"
        stamp.touch()
        os.utime(stamp, (time.time() - age * 86400,) * 2)
    bootstrap.environment(cache)
    assert not (cache / "venv-old").exists()
    assert (cache / "venv-new").exists()


def test_a_cache_that_cannot_be_written_is_refused(bootstrap: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match="STRANDLINE_CACHE"):
        bootstrap.environment(tmp_path / "file" / "cache")


def test_an_old_python_is_told(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 2))
    with pytest.raises(SystemExit, match=r"Python 3\.11 or newer is needed"):
        bootstrap.main()


def test_a_failing_command_shows_its_end(bootstrap: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="Once the cause is gone, run the same command again"):
        bootstrap.run("Try it", ["sh", "-c", "echo no such wheel; exit 3"])
    assert "no such wheel" in capsys.readouterr().err


def test_without_the_venv_module_a_user_is_told(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/apt-get")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match="apt-get install python3-venv"):
        bootstrap.require_venv_module()


def test_it_parses_with_old_pythons() -> None:
    """The sentence about the version must come from Python, not from its parser."""
    source = (ROOT / "strandline").read_text()
    compile(source, "strandline", "exec", dont_inherit=True)
    checker = "import ast, sys; ast.parse(sys.stdin.read(), feature_version=(3, 7))"
    assert subprocess.run([sys.executable, "-c", checker], input=source, text=True, check=False).returncode == 0
