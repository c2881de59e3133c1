"""The playbooks' verbs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from strandline_cli import main, verbs
from strandline_cli.errors import Refusal


def test_each_verb_has_its_playbook() -> None:
    assert verbs.PLAYBOOK_VERBS
    for verb in verbs.PLAYBOOK_VERBS:
        assert verb.playbook.is_file(), verb.name
        assert verb.name in main.cli.commands


def test_a_missing_inventory_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="copy inventory/example"):
        verbs.inventory_path(str(tmp_path / "none"))


def test_an_empty_inventory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="is empty"):
        verbs.inventory_path(str(tmp_path))


def test_an_inventory_is_found_from_where_the_operator_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "hosts.yml").touch()
    monkeypatch.chdir(tmp_path)
    assert verbs.inventory_path("mine") == str(tmp_path / "mine")
    assert verbs.inventory_path("host1,") == "host1,"


@pytest.fixture
def ansible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an ansible-playbook on PATH that writes down its arguments and ends with 4."""
    said = tmp_path / "said.json"
    program = tmp_path / "bin" / "ansible-playbook"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(said)!r}, 'w'))\nsys.exit(4)\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(verbs, "prepare_ansible", lambda _progress: None)
    monkeypatch.setattr("strandline_cli.paths.LOGS", tmp_path / "log")
    return said


@pytest.mark.parametrize("extra", [["--", "--limit", "ams1", "--check"], ["--limit", "ams1", "--check"]])
def test_the_rest_of_the_line_goes_to_ansible(ansible: Path, tmp_path: Path, extra: list[str]) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.touch()
    verb = verbs.PLAYBOOK_VERBS[0]
    result = CliRunner().invoke(verbs.command(verb), ["-i", str(inventory), *extra])
    assert result.exit_code == 4
    assert json.loads(ansible.read_text()) == [
        f"--inventory={inventory}",
        str(verb.playbook),
        "--limit",
        "ams1",
        "--check",
    ]


def test_without_an_inventory_nothing_runs(ansible: Path) -> None:
    result = CliRunner().invoke(verbs.command(verbs.PLAYBOOK_VERBS[0]), [])
    assert result.exit_code == click.UsageError.exit_code
    assert not ansible.exists()


def test_a_playbook_that_is_gone_is_refused(tmp_path: Path) -> None:
    verb = verbs.PlaybookVerb("gone", "Is not there.")
    with pytest.raises(Refusal, match=r"playbooks/gone\.yml is missing.*git checkout"):
        verbs.run_playbook(verb, [str(tmp_path)], [])
