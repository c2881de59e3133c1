"""`./strandline run` and `env`: our tools for the operator, without root, images or containers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from strandline_cli import environment, podman
from strandline_cli.errors import Refusal
from strandline_cli.images import base
from strandline_cli.main import cli


@pytest.fixture(autouse=True)
def no_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for an image or for podman fails."""

    def never(*_: object, **__: object) -> None:
        raise AssertionError("asks for containers")

    monkeypatch.setattr(base, "ensure", never)
    monkeypatch.setattr(podman, "ask", never)


def test_a_command_of_ansible_runs_without_images() -> None:
    assert CliRunner().invoke(cli, ["run", "ansible-inventory", "-i", "localhost,", "--list"]).exit_code == 0


def test_the_exit_status_is_the_commands() -> None:
    assert CliRunner().invoke(cli, ["run", "sh", "-c", "exit 7"]).exit_code == 7


def test_molecule_gets_its_images() -> None:
    assert "asks for containers" in str(CliRunner().invoke(cli, ["run", "molecule", "--version"]).exception)


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(Refusal, match="no command nosuch"):
        environment.call(["nosuch"])


def test_a_shell_finds_ansible_from_any_folder_also_when_told_twice(tmp_path: Path) -> None:
    exports = environment.exports()
    script = f"{exports}\n{exports}\necho $PATH\nansible-config dump --only-changed -t base"
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=clean, capture_output=True, text=True, check=True)
    path, *settings = done.stdout.splitlines()
    assert path.split(":")[1:] == ["/usr/bin", "/bin"]
    assert any(line.startswith("DEFAULT_STDOUT_CALLBACK") and line.endswith("= strandline") for line in settings)
