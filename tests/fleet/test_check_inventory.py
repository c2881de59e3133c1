"""The first play of every verb, by plain ansible-playbook on the example's inventory."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CHANGES = """
- ansible.builtin.import_playbook: {root}/playbooks/check_inventory.yml
  vars: {{inventory_verb: retire, inventory_needs: [collectors], inventory_among: [sensors]}}
- name: Do something
  hosts: "{{{{ groups | fleet_targets(target | default('')) }}}}"
  gather_facts: false
  tasks:
    - name: Leave a trace
      ansible.builtin.file: {{path: "{trace}", state: touch, mode: "0644"}}
      delegate_to: localhost
      run_once: true
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the example, which may be changed."""
    return Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))


def play(inventory: Path, *arguments: str) -> tuple[int, str, bool]:
    """Run the check and a task behind it: exit code, what was said, and whether the task was reached."""
    trace = inventory.parent / "trace"
    playbook = inventory.parent / "playbook.yml"
    playbook.write_text(CHANGES.format(root=ROOT, trace=trace))
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={inventory}", str(playbook), *arguments],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DEPRECATION_WARNINGS": "0", "COLUMNS": "1000"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, trace.exists()


def test_a_sound_inventory_lets_the_run_go_on(inventory: Path) -> None:
    code, said, reached = play(inventory, "--extra-vars=target=alder")
    assert (code, reached) == (0, True), said


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--extra-vars=target=amss1"], "amss1 is no host, provider or group"),
        (["--limit=ams1,nosuch,collectors"], "--limit names nosuch"),
        (
            ["--limit=publishers,collectors"],
            "--limit publishers,collectors leaves none of the hosts that retire acts on",
        ),
        (["--limit=ams1"], "--limit leaves out collector1, which must take part in retire"),
        (["--limit=ams1,collectors", "--extra-vars=target=scl1"], "target names scl1, and --limit leaves it out"),
    ],
)
def test_a_name_that_fits_nothing_ends_the_run_before_anything_is_done(
    inventory: Path, arguments: list[str], expected: str
) -> None:
    code, said, reached = play(inventory, *arguments)
    assert (code, reached) == (2, False), said
    assert expected in said


DELEGATES = """
- ansible.builtin.import_playbook: {root}/playbooks/check_inventory.yml
  vars: {{inventory_verb: canary, inventory_among: [sensors]}}
- name: Ask the collector for a sensor
  hosts: ams1
  gather_facts: false
  tasks:
    - name: Look
      ansible.builtin.command: {{argv: [id]}}
      delegate_to: collector1
"""


def test_a_host_that_another_one_delegates_to_is_known_by_its_own_name(inventory: Path, tmp_path: Path) -> None:
    """Also when --limit leaves it out: its host key is looked for under the name that known_hosts has."""
    ssh, told, playbook = tmp_path / "ssh", tmp_path / "told", tmp_path / "playbook.yml"
    ssh.write_text(f'#!/bin/sh\necho "$*" >> {told}\nexit 255\n')
    ssh.chmod(0o755)
    playbook.write_text(DELEGATES.format(root=ROOT))
    subprocess.run(
        [
            *("ansible-playbook", f"--inventory={inventory}", str(playbook), "--limit=ams1"),
            *(f"-eansible_ssh_executable={ssh}", f"-efleet_dir={inventory}"),
        ],
        cwd=ROOT, env={**os.environ, "ANSIBLE_SSH_RETRIES": "0"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = told.read_text()
    assert "-o HostKeyAlias=collector1 " in said
    assert "HostKeyAlias=ams1" not in said


def test_an_inventory_without_hosts_that_the_verb_acts_on_is_an_error(inventory: Path) -> None:
    shutil.rmtree(inventory / "providers")
    code, said, reached = play(inventory)
    assert (code, reached) == (2, False), said
    assert "This inventory has no host of sensors, and retire acts on no others." in said


def test_a_mistake_in_a_providers_file_is_said_with_file_line_host_field_and_remedy(inventory: Path) -> None:
    file = inventory / "providers" / "alder.yml"
    file.write_text(file.read_text().replace("country: NL", "country: XX"))
    line = next(n for n, text in enumerate(file.read_text().splitlines(), 1) if "country: XX" in text)
    code, said, reached = play(inventory)
    assert (code, reached) == (2, False), said
    assert f"providers/alder.yml:{line}: host ams1: place.country: 'XX' is no country" in said


def test_connection_variables_of_all_hosts_are_refused_since_they_would_be_this_machines(inventory: Path) -> None:
    with (inventory / "group_vars" / "all.yml").open("a") as file:
        file.write("ansible_user: admin\n")
    code, said, reached = play(inventory)
    assert (code, reached) == (2, False), said
    assert "ansible_user stands here" in said
    assert "group_vars/leased.yml" in said


def test_settings_in_a_vault_are_read_with_its_password(inventory: Path, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    vault = ["ansible-vault", "encrypt", f"--vault-password-file={password}", str(inventory / "group_vars" / "all.yml")]
    subprocess.run(vault, check=True, capture_output=True)
    code, said, reached = play(inventory, f"--vault-password-file={password}")
    assert (code, reached) == (0, True), said
