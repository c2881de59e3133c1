"""`./strandline help`: runbooks in short, and their tables of options against the verbs themselves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from strandline_cli import runbook, verbs
from strandline_cli.main import cli
from strandline_cli.verbs import Verb


def table_of(verb: Verb) -> list[tuple[str, str]]:
    """Options and variables of a runbook's table; none where it has no such table."""
    text = (runbook.DOCS / f"{verb.name}.md").read_text()
    found = re.search(r"^## Options\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", found[1], re.MULTILINE) if found else []


WITH_RUNBOOK = [verb for verb in verbs.VERBS if (runbook.DOCS / f"{verb.name}.md").exists()]


@pytest.mark.parametrize("verb", WITH_RUNBOOK, ids=lambda verb: verb.name)
def test_a_runbook_in_short_has_synopsis_and_first_section(verb: Verb) -> None:
    said = CliRunner().invoke(cli, ["help", verb.name]).output
    assert f"./strandline {verb.name} -i inventory/production" in said
    sections = re.findall(r"^## (.*)$", (runbook.DOCS / f"{verb.name}.md").read_text(), re.MULTILINE)
    first = next(section for section in sections if section != runbook.OPTIONS)
    assert runbook.plain(first).upper() in said
    assert "](" not in said
    assert f"More in docs/{verb.name}.md" in said
    assert max(len(line) for line in said.splitlines() if not line.startswith("    ")) <= 80


@pytest.mark.parametrize("verb", [verb for verb in WITH_RUNBOOK if table_of(verb)], ids=lambda verb: verb.name)
def test_a_table_of_options_names_each_option_with_its_variable(verb: Verb) -> None:
    rows = table_of(verb)
    wanted = {argument.metavar: argument.variable for argument in verb.arguments}
    wanted |= {option.flag: option.variable for option in verb.options}
    assert {option.replace("\\|", "|"): variable for option, variable in rows} == wanted


def test_an_unknown_verb_is_refused_and_one_without_a_runbook_has_its_help() -> None:
    result = CliRunner().invoke(cli, ["help", "nosuch"])
    assert result.exit_code != 0
    assert "There is no verb nosuch" in str(result.exception)
    assert "Check this machine" in CliRunner().invoke(cli, ["help", "doctor"]).output
    assert "verify" in CliRunner().invoke(cli, ["help"]).output


def test_marks_of_markdown_are_taken_out(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text(
        "# x: do it\n\n    ./strandline x\n\nIt is **bold**, `code`, a [link](y.md).\n\n## First\n\n"
        "| a | b |\n|---|---|\n| `one` | two \\| three |\n\n- item\n- another\n\n## Second\n\nNot shown.\n"
    )
    said = runbook.of("x", tmp_path) or ""
    assert "It is bold, code, a link." in said
    assert "one  two | three" in said
    assert "- item\n- another" in said
    assert "Not shown" not in said
    assert "Second." in said
