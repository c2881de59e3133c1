"""The playbooks' verbs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from strandline_cli import main, playbook, verbs
from strandline_cli.errors import Refusal

SITE = next(verb for verb in verbs.VERBS if verb.name == "site")
GROW = verbs.Verb(
    "site",
    "An invented one, with a bit of everything.",
    arguments=(verbs.Argument("HOST", "grow_host"), verbs.Argument("[MORE]…", "target", many=True, required=False)),
    options=(
        verbs.Option("--batch-size", "grow_batch", "How many.", type=int),
        verbs.Option("--address", "grow_addresses", "Where.", multiple=True),
        verbs.Option("--give-up", "grow_give_up", "Give up.", type=bool),
    ),
    asks=True,
    plans=True,
)


def test_each_verb_has_its_playbook() -> None:
    assert verbs.VERBS
    for verb in verbs.VERBS:
        assert verb.playbook.is_file(), verb.name
        assert verb.name in main.cli.commands


def test_a_missing_inventory_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="copy inventory/example"):
        playbook.inventory_path(str(tmp_path / "none"))


def test_an_empty_inventory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="is empty"):
        playbook.inventory_path(str(tmp_path))


def test_an_inventory_is_found_from_where_the_operator_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "hosts.yml").touch()
    monkeypatch.chdir(tmp_path)
    assert playbook.inventory_path("mine") == str(tmp_path / "mine")
    assert playbook.inventory_path("host1,") == "host1,"


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
    monkeypatch.setattr(playbook, "prepare_ansible", lambda _progress: None)
    monkeypatch.setattr("strandline_cli.paths.LOGS", tmp_path / "log")
    return said


@pytest.mark.parametrize("extra", [["--", "--limit", "ams1", "--check"], ["--limit", "ams1", "--check"]])
def test_the_rest_of_the_line_goes_to_ansible(ansible: Path, tmp_path: Path, extra: list[str]) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.touch()
    verb = SITE
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
    result = CliRunner().invoke(verbs.command(SITE), [])
    assert result.exit_code == click.UsageError.exit_code
    assert not ansible.exists()


def test_a_playbook_that_is_gone_is_refused(tmp_path: Path) -> None:
    verb = verbs.Verb("gone", "Is not there.")
    with pytest.raises(Refusal, match=r"playbooks/gone\.yml is missing.*git checkout"):
        verbs.run_playbook(verb, [str(tmp_path)], {}, [])


def given(arguments: list[str], ansible: Path, tmp_path: Path) -> tuple[dict[str, object], list[str]]:
    """The variables and the other arguments that reach ansible-playbook."""
    inventory = tmp_path / "hosts.yml"
    inventory.touch()
    result = CliRunner().invoke(verbs.command(GROW), ["-i", str(inventory), *arguments])
    assert result.exit_code == 4, result.output
    said = json.loads(ansible.read_text())[2:]
    variables = [word.removeprefix("--extra-vars=") for word in said if word.startswith("--extra-vars=")]
    return json.loads(variables[0]) if variables else {}, [w for w in said if not w.startswith("--extra-vars=")]


@pytest.mark.parametrize(
    ("arguments", "variables", "rest"),
    [
        (["ams1"], {"grow_host": "ams1"}, []),
        (["ams1", "sin1", "alder"], {"grow_host": "ams1", "target": ["sin1", "alder"]}, []),
        (["--batch-size", "3", "ams1"], {"grow_host": "ams1", "grow_batch": 3}, []),
        (
            ["ams1", "--address=192.0.2.1", "--address", "192.0.2.2", "--give-up", "--yes"],
            {"grow_host": "ams1", "grow_addresses": ["192.0.2.1", "192.0.2.2"], "grow_give_up": True, "confirm": "yes"},
            [],
        ),
        (["--plan", "ams1"], {"grow_host": "ams1"}, ["--check", "--diff"]),
        (["ams1", "--", "--ask-vault-pass", "-v"], {"grow_host": "ams1"}, ["--ask-vault-pass", "-v"]),
        (["ams1", "--vault-password-file=x"], {"grow_host": "ams1"}, ["--vault-password-file=x"]),
    ],
)
def test_options_become_variables_and_the_rest_goes_to_ansible(
    ansible: Path, tmp_path: Path, arguments: list[str], variables: dict[str, object], rest: list[str]
) -> None:
    assert given(arguments, ansible, tmp_path) == (variables, rest)


def test_a_choice_is_made_by_the_word_that_the_playbook_takes(ansible: Path, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.touch()
    choices = 0
    for verb in verbs.VERBS:
        for option in verb.options:
            for word in option.type.choices if isinstance(option.type, click.Choice) else ():
                needed = [f"{other.flag}=1" for other in verb.options if other.required]
                words = ["x"] * sum(argument.required for argument in verb.arguments)
                arguments = ["-i", str(inventory), *words, *needed, f"{option.flag}={word}"]
                result = CliRunner().invoke(verbs.command(verb), arguments)
                assert result.exit_code == 4, (verb.name, result.output)
                said = next(w for w in json.loads(ansible.read_text()) if w.startswith("--extra-vars="))
                assert json.loads(said.removeprefix("--extra-vars="))[option.variable] == word
                assert word == word.lower()
                choices += 1
    assert choices > 8


@pytest.mark.parametrize("word", ["- no answer", "-no answer for a week", "-- they say", "--no answer"])
def test_a_text_that_begins_with_a_dash_is_no_option(word: str) -> None:
    assert verbs.divided(["alder", word, "--check", "-e", "a=b c"], ()) == (["alder", word], ["--check", "-e", "a=b c"])


HOSTILE = "{{ lookup('pipe', 'id -un') }} {% if %} {# \u00e4 \"quoted\" \n"


@pytest.mark.slow
def test_what_the_operator_types_is_never_a_template(tmp_path: Path) -> None:
    """What a provider wrote may be copied into a note; by Ansible a template in it would run here."""
    play = tmp_path / "play.yml"
    play.write_text(
        "- hosts: localhost\n  gather_facts: false\n  connection: local\n  tasks:\n"
        "    - ansible.builtin.copy: {content: '{{ given | to_json }}', dest: '{{ to }}', mode: '0600'}\n"
        "      vars: {ansible_python_interpreter: '{{ ansible_playbook_python }}'}\n"
    )
    given = {"text": HOSTILE, "list": ["a", HOSTILE], "number": 3, "flag": True, "plain": "a: b"}
    variables = playbook.as_text({"given": given, "to": str(tmp_path / "said")})
    subprocess.run(["ansible-playbook", str(play), f"--extra-vars={variables}"], check=True, capture_output=True)
    assert json.loads((tmp_path / "said").read_text()) == given


@pytest.mark.parametrize(
    ("verb", "arguments", "said"),
    [(GROW, [], "HOST is missing"), (SITE, ["ams1"], "ams1 is more than site takes")],
)
def test_too_few_and_too_many_words_are_refused(
    ansible: Path, tmp_path: Path, verb: verbs.Verb, arguments: list[str], said: str
) -> None:
    result = CliRunner().invoke(verbs.command(verb), ["-i", str(tmp_path), *arguments])
    assert result.exit_code == click.UsageError.exit_code
    assert said in result.output
    assert not ansible.exists()


def test_a_path_is_where_the_operator_stands(ansible: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hosts.yml").touch()
    monkeypatch.chdir(tmp_path)
    verb = next(verb for verb in verbs.VERBS if verb.name == "verify")
    CliRunner().invoke(verbs.command(verb), ["-i", "hosts.yml", "--json", "findings.json", "ams1"])
    said = json.loads(ansible.read_text())
    variables = json.loads(said[-1].removeprefix("--extra-vars="))
    assert variables == {"target": ["ams1"], "verify_json": str(tmp_path / "findings.json")}


def test_a_file_that_follows_the_verb_is_where_the_operator_stands(
    ansible: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hosts.yml").touch()
    monkeypatch.chdir(tmp_path)
    verb = next(verb for verb in verbs.VERBS if verb.name == "import")
    CliRunner().invoke(verbs.command(verb), ["-i", "hosts.yml", "hosts.csv"])
    assert json.loads(json.loads(ansible.read_text())[-1].removeprefix("--extra-vars=")) == {
        "import_file": str(tmp_path / "hosts.csv")
    }


def test_an_option_has_its_letter_too(ansible: Path, tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").touch()
    verb = next(verb for verb in verbs.VERBS if verb.name == "report")
    CliRunner().invoke(verbs.command(verb), ["-i", str(tmp_path / "hosts.yml"), "-o", str(tmp_path), "--live"])
    assert f'{{"report_output": "{tmp_path}", "report_live": true}}' in ansible.read_text().replace("\\", "")


def test_logs_are_found_from_where_the_operator_stands(
    ansible: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hosts").touch()
    monkeypatch.chdir(tmp_path)
    adopt = verbs.command(next(verb for verb in verbs.VERBS if verb.name == "adopt"))
    CliRunner().invoke(adopt, ["-i", "hosts", "a.log", "/b/c.log.gz", "--sensor", "ams1"])
    (extra,) = [word for word in json.loads(ansible.read_text()) if word.startswith("--extra-vars=")]
    assert json.loads(extra.partition("=")[2]) == {
        "adopt_files": [str(tmp_path / "a.log"), "/b/c.log.gz"],
        "adopt_sensor": "ams1",
    }
