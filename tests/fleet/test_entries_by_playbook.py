"""The verbs that change the inventory, by plain ansible-playbook on the example: entries, refusals, check mode."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OSLO = {
    "add_host": "osl1",
    "add_provider": "alder",
    "add_addresses": ["203.0.113.77"],
    "add_city": "Oslo",
    "add_country": "NO",
    "add_plan": "nano",
    "add_price": "24.00",
    "add_currency": "USD",
    "add_period": "year",
    "add_renews": "2027-03-01",
}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the example, which may be changed."""
    return Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))


def play(inventory: Path, verb: str, variables: Mapping[str, object], *arguments: str) -> tuple[int, str]:
    """Run a verb's playbook: exit code, and what was said with single spaces."""
    done = subprocess.run(
        [
            *("ansible-playbook", f"--inventory={inventory}", f"playbooks/{verb}.yml"),
            *(f"--extra-vars={json.dumps(variables)}", *arguments),
        ],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def nobody_answers(inventory: Path) -> Path:
    """Let no time be lost by waiting for hosts that are not there; return the changed file."""
    ssh = inventory.parent / "ssh"
    ssh.write_text("#!/bin/sh\necho 'ssh: connect to host: No route to host' >&2\nexit 255\n")
    ssh.chmod(0o755)
    leased = inventory / "group_vars" / "leased.yml"
    leased.write_text(f"{leased.read_text()}ansible_ssh_executable: {ssh}\n")
    return leased


def files(inventory: Path) -> dict[str, str]:
    """The inventory's files."""
    return {str(path.relative_to(inventory)): path.read_text() for path in inventory.rglob("*.yml")}


def test_add_asks_writes_once_and_in_check_mode_only_shows(inventory: Path) -> None:
    before = files(inventory)
    code, said = play(inventory, "add", OSLO)
    assert code == 2, said
    assert "Nothing was changed." in said
    code, said = play(inventory, "add", OSLO, "--check", "--diff")
    assert code == 0, said
    assert "+ osl1:" in said
    assert files(inventory) == before
    code, said = play(inventory, "add", {**OSLO, "confirm": "yes"})
    assert code == 0, said
    after = files(inventory)
    assert [name for name in after if after[name] != before.get(name)] == ["providers/alder.yml"]
    assert 'country: "NO"' in after["providers/alder.yml"]
    code, said = play(inventory, "add", OSLO)
    assert (code, "is in the inventory already, with this entry" in said) == (0, True), said
    assert files(inventory) == after


@pytest.mark.parametrize(
    ("verb", "variables", "expected"),
    [
        ("add", {"add_host": "osl1", "add_city": "Oslo"}, "is missing: add_provider, add_addresses, add_country"),
        ("renumber", {"target": "ams1", "renumber_from": "198.51.100.11"}, "-e renumber_to="),
        ("retire", {}, "Name the hosts to retire: -e target="),
        ("onboard", {}, "Name the hosts to onboard: -e target="),
        ("onboard", {"target": "ams1", "onboard_password_file": "/nowhere/x"}, "there is no file /nowhere/x"),
    ],
)
def test_what_a_verb_needs_is_said_before_anything_is_changed(
    inventory: Path, verb: str, variables: dict[str, object], expected: str
) -> None:
    before = files(inventory)
    code, said = play(inventory, verb, variables)
    assert code == 2, said
    assert expected in said
    assert files(inventory) == before


def test_passwords_for_another_number_of_hosts_are_refused_and_not_shown(inventory: Path, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("hush1\nhush2\n")
    code, said = play(inventory, "onboard", {"target": "ams1,sin1,scl1", "onboard_password_file": str(passwords)})
    assert code == 2, said
    assert "has 2 lines for 3 hosts" in said
    assert "hush" not in said


def test_a_limit_that_leaves_the_collectors_out_is_refused(inventory: Path) -> None:
    code, said = play(inventory, "retire", {"target": "ams1"}, "--limit=ams1")
    assert code == 2, said
    assert "--limit leaves out collector1" in said


def test_renumber_in_check_mode_shows_the_change_and_where_else_the_address_stands(inventory: Path) -> None:
    central = inventory / "central.yml"
    central.write_text(central.read_text() + "\n# 198.51.100.11\nother: {hosts: {x1: {addresses: [198.51.100.11]}}}\n")
    last = len(central.read_text().splitlines())
    before = files(inventory)
    change = {"target": "ams1", "renumber_from": "198.51.100.11", "renumber_to": "198.51.100.99"}
    code, said = play(inventory, "renumber", change, "--check", "--diff")
    assert code == 0, said
    assert "+ addresses: [198.51.100.99, 198.51.100.12]" in said
    assert f"central.yml:{last}: 198.51.100.11 is here too" in said
    assert files(inventory) == before


def test_onboard_says_why_a_host_could_not_be_entered(inventory: Path) -> None:
    nobody_answers(inventory)
    code, said = play(inventory, "onboard", {"target": "ams1"}, "--check")
    assert code == 2, said
    assert "ams1 (198.51.100.11) could not be entered as root on port 22:" in said
    assert "No route to host" in said
    assert "Give its password (onboard_password_file, --password-file)" in said


def test_what_retire_writes_in_the_inventory_it_writes_with_the_vaults_password_too(
    inventory: Path, tmp_path: Path
) -> None:
    """The plan, in check mode, of hosts that do not answer; group_vars is encrypted."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    vault = ["ansible-vault", "encrypt", f"--vault-password-file={password}", str(inventory / "group_vars" / "all.yml")]
    subprocess.run(vault, check=True, capture_output=True)
    before = files(inventory)
    leased = nobody_answers(inventory)
    arguments = ["--check", "--diff", f"--vault-password-file={password}"]
    code, said = play(inventory, "retire", {"target": "birch", "retire_reason": "vanished"}, *arguments)
    assert code == 0, said
    assert "no: trust ends" in said
    assert "+ reason: vanished" in said
    before["group_vars/leased.yml"] = leased.read_text()
    assert files(inventory) == before


def test_delist_shows_asks_writes_once_and_refuses(inventory: Path) -> None:
    """The publisher does not answer here: what stands in the list is brought to it by the next run."""
    never = inventory.parent / "never.txt"
    never.write_text("8.8.8.8  # a resolver\n")
    before = never.read_text()
    leased = nobody_answers(inventory)
    asked = {"delist_address": "192.0.2.7", "delist_until": "2099-05-28", "delist_reason": "asked by mail"}
    own = ROOT / "files" / "strandline" / "publisher" / "never-publish.txt"
    own_before = own.read_text()
    code, found = play(inventory, "delist", asked, "--check")
    assert code == 4, found  # the publisher
    assert "+ 192.0.2.7 until=2099-05-28 # asked by mail" in found
    assert own.read_text() == own_before
    leased.write_text(f"{leased.read_text()}publisher_never_publish_file: {never}\n")
    for changed, said in (
        ({"delist_address": "host.example.org"}, "Names are not looked up"),
        ({"delist_until": "2020-01-01"}, "2020-01-01 (--until) is past"),
        ({"delist_reason": ""}, "Say what to keep out, until when, and why"),
        ({"delist_address": "8.8.8.8"}, "never.txt line 1 has 8.8.8.8/32 for good (a resolver)"),
    ):
        code, found = play(inventory, "delist", {**asked, **changed})
        assert code == 2, found
        assert said in found
    code, found = play(inventory, "delist", asked)
    assert code == 2, found
    assert "+ 192.0.2.7 until=2099-05-28 # asked by mail" in found
    assert "Nothing was changed." in found
    assert never.read_text() == before
    for _ in range(2):
        code, found = play(inventory, "delist", {**asked, "confirm": "yes"})
        assert code == 4, found
        assert [line.split() for line in never.read_text().splitlines()[1:]] == [
            ["192.0.2.7", "until=2099-05-28", "#", "asked", "by", "mail"]
        ]
