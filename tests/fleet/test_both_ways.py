"""Verbs that need no host, each by ./strandline and by plain ansible-playbook: the same files, words and exit code."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = """\
host,provider,provider_name,site,addresses,city,country,plan,price,currency,period,renews
waw1,cedar,Cedar Hosting,,203.0.113.40,Warsaw,PL,micro,2.50,USD,month,2036-01-25
"""
OSLO = {"provider": "alder", "city": "Oslo", "country": "NO", "plan": "nano", "price": "24.00", "currency": "USD"}
OSLO |= {"period": "year", "renews": "2036-03-01"}
DAY = {"delist_until": "2099-05-28", "delist_reason": "asked by mail"}


@dataclass(frozen=True)
class Call:
    """A verb: the words of the command, and the variables of its playbook that say the same. HERE is a folder."""

    verb: str
    words: Sequence[str] = ()
    variables: Mapping[str, object] = field(default_factory=dict)
    check: bool = False
    """By --plan, or --check --diff."""
    code: int = 0


CALLS = [
    Call("check"),
    Call(
        "add",
        ["--yes", "--address=203.0.113.77", *(f"--{name}={value}" for name, value in OSLO.items()), "osl1"],
        {"add_host": "osl1", "add_addresses": ["203.0.113.77"], "confirm": "yes"}
        | {f"add_{name}": value for name, value in OSLO.items()},
    ),
    Call("import", ["--yes", "HERE/table.csv"], {"import_file": "HERE/table.csv", "confirm": "yes"}),
    Call("export", ["-o", "HERE/fleet.csv"], {"export_output": "HERE/fleet.csv"}),
    Call(
        "renewed",
        ["--yes", "--price=26.00", "alder"],
        {"target": ["alder"], "renewed_price": "26.00", "confirm": "yes"},
    ),
    Call(
        "note",
        ["birch", "answered", "--about=support", "--score=2"],
        {"note_provider": "birch", "note_text": "answered", "note_about": "support", "note_score": 2},
    ),
    Call("journal", ["birch"], {"journal_providers": ["birch"]}),
    Call("report", ["-o", "HERE/report"], {"report_output": "HERE/report"}),
    Call("plan_lease", ["--budget=100"], {"plan_lease_budget": "100"}),
    Call("due", ["--days=3660", "--ics=HERE/f.ics"], {"due_days": 3660, "due_ics": "HERE/f.ics"}, code=2),
    Call("reputation"),
    Call(
        "provider",
        ["--yes", "rename", "birch", "elm", "--name=Elm"],
        {
            "provider_action": "rename",
            "provider_old": "birch",
            "provider_new": "elm",
            "provider_name": "Elm",
            "confirm": "yes",
        },
    ),
    Call(
        "renumber",
        ["ams1", "198.51.100.11", "198.51.100.99"],
        {"target": "ams1", "renumber_from": "198.51.100.11", "renumber_to": "198.51.100.99"},
        check=True,
    ),
    Call(
        "address",
        ["add", "sin1", "203.0.113.75"],
        {"address_action": "add", "target": "sin1", "address_list": ["203.0.113.75"]},
        check=True,
    ),
    # The publisher does not answer.
    Call(
        "delist",
        ["192.0.2.7", "--until=2099-05-28", "--reason=asked by mail"],
        {"delist_address": "192.0.2.7", **DAY},
        check=True,
        code=4,
    ),
    Call("retire", ["birch"], {"target": ["birch"]}, check=True),
    # Nobody answers: the same is said of it.
    Call("reconcile", ["birch"], {"target": ["birch"]}, code=4),
]


@dataclass(frozen=True)
class Outcome:
    """What a run left behind, with HERE for its folder."""

    code: int
    said: list[str]
    files: dict[str, str]


def run(folder: Path, command: Sequence[str | Path]) -> Outcome:
    """Run a command that has an inventory and a table in a folder of its own; nobody answers by SSH."""
    state = {"XDG_STATE_HOME": str(folder / "state"), "STRANDLINE_BUILD": str(folder / "build")}
    quiet = {"ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000", "STRANDLINE_INTERVAL": "3600", "ANSIBLE_SSH_RETRIES": "0"}
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **state, **quiet}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    # Its log has the times of day, and the lock the process.
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock" and folder / "build" not in path.parents
    ]
    files = {str(path.relative_to(folder)): timeless(path.read_text(errors="replace"), folder) for path in paths}
    return Outcome(done.returncode, timeless(done.stdout, folder).splitlines(), files)


def timeless(text: str, folder: Path) -> str:
    """A text without what differs between two runs: the folder, the moment, and how long it took."""
    moments = r"\d{8}T\d{6}Z|\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\+00:00)?( UTC)?|\b\d+:\d\d\b"
    return re.sub(moments, "A TIME", text.replace(str(folder), "HERE"))


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders with the same in them: a copy of the example, and a table of hosts to import."""
    made = [tmp_path / "one", tmp_path / "two"]
    for folder in made:
        shutil.copytree(ROOT / "inventory" / "example", folder / "inventory")
        ssh = folder / "ssh"
        ssh.write_text("#!/bin/sh\necho 'ssh: connect to host: No route to host' >&2\nexit 255\n")
        ssh.chmod(0o755)
        leased = folder / "inventory" / "group_vars" / "leased.yml"
        leased.write_text(f"{leased.read_text()}ansible_ssh_executable: {ssh}\n")
        (folder / "table.csv").write_text(TABLE)
    return made


@pytest.mark.long
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.verb)
def test_the_command_and_the_playbook_do_the_same(folders: list[Path], call: Call) -> None:
    one, two = folders
    words = [word.replace("HERE", str(one)) for word in call.words]
    plan = ["--plan"] if call.check else []
    by_command = run(one, [ROOT / "strandline", call.verb, "-i", str(one / "inventory"), *plan, *words])
    variables = json.dumps(call.variables).replace("HERE", str(two))
    by_playbook = run(
        two,
        [
            *("ansible-playbook", f"--inventory={two / 'inventory'}", f"playbooks/{call.verb}.yml"),
            *(["--check", "--diff"] if call.check else []),
            f"--extra-vars={variables}",
        ],
    )
    assert by_command.code == call.code, "\n".join(by_command.said)
    assert by_playbook == by_command
