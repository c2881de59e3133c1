"""A fleet of hosts that are folders on this machine, for the course of a playbook: who comes when, and what stops it.

The playbook is the real one, with its plays, batches and filters. In place of what acts on a server's services stand
tasks that write down that they were run, and that fail for the hosts that a test has chosen.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "files" / "tls" / "strandline-identity"
GROUPS: Mapping[str, Sequence[str]] = {
    "provider_alder": ["a1", "a2"],
    "provider_birch": ["b1"],
    "collectors": ["col"],
    "publishers": ["www"],
}
UNREACHABLE = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_timeout": 2}


def noted(word: str) -> dict[str, Any]:
    """A task that writes a line `WORD HOST` into the record."""
    return {
        "name": f"Note {word}",
        "ansible.builtin.shell": f"echo {word} {{{{ inventory_hostname }}}} >> {{{{ record }}}}",
        "changed_when": False,
    }


def failing(word: str) -> dict[str, Any]:
    """A task that fails for the hosts of the variable with this name."""
    return {
        "name": f"Fail {word}",
        "ansible.builtin.fail": {"msg": f"{{{{ inventory_hostname }}}} is {word}"},
        "when": f"inventory_hostname in {word}",
    }


CANARY = [
    {
        "name": "Note canary",
        "ansible.builtin.shell": "echo canary {{ canary_sensors | join(',') }} >> {{ record }}",
        "changed_when": False,
        "run_once": True,
    },
    {
        "name": "Play the canary",
        "ansible.builtin.set_fact": {
            "canary_result": {"ok": "{{ lost | length == 0 }}", "msg": "", "table": ""},
            "canary_outcome": "{{ dict(canary_sensors | zip(canary_sensors | map('regex_search', heard)))"
            " | dict2items('sensor', 'ok') }}",
        },
        "vars": {
            "lost": "{{ canary_sensors | intersect(silent) }}",
            "heard": "^(?!({{ silent | join('|') or '-' }})$).+",
        },
        "run_once": True,
    },
]
"""In place of tasks/canary.yml, with its results. The sensors of the variable `silent` are not heard."""


class LocalFleet:
    """A copy of the playbooks with an inventory of folders."""

    def __init__(
        self, directory: Path, replaced: Mapping[str, list[dict[str, Any]]], unreachable: Sequence[str] = ()
    ) -> None:
        """Write it all. ``replaced`` are files of tasks below the folder (playbooks/tasks/x.yml, roles/x/tasks/…)."""
        self.directory = directory
        self.record = directory / "record"
        shutil.copytree(ROOT / "playbooks", directory / "playbooks", ignore=shutil.ignore_patterns("group_vars"))
        for name, tasks in replaced.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(yaml.safe_dump(tasks))
        (directory / "bin").mkdir()
        for tool in ("chgrp", "systemctl"):
            (directory / "bin" / tool).write_text("#!/bin/sh\n")
            (directory / "bin" / tool).chmod(0o755)
        (directory / "inventory" / "certificates").mkdir(parents=True)
        hosts = {host: UNREACHABLE if host in unreachable else {} for group in GROUPS.values() for host in group}
        children = {
            group: {"hosts": {host: hosts[host] for host in members}}
            for group, members in GROUPS.items()
            if not group.startswith("provider_")
        }
        children["sensors"] = {
            "children": {
                group: {"hosts": {host: hosts[host] for host in members}}
                for group, members in GROUPS.items()
                if group.startswith("provider_")
            }
        }
        variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "record": str(self.record),
            "addresses": ["192.0.2.1"],
            "fleet_certificates_dir": str(directory / "inventory" / "certificates"),
            "fleet_database": "col",
            "event_forwarding_collectors": [],
        }
        (directory / "inventory" / "hosts.yml").write_text(
            yaml.safe_dump({"all": {"vars": variables, "children": children}})
        )

    def defaults(self, name: str, **values: str) -> None:
        """Give a module defaults in every play of a playbook."""
        playbook = self.directory / "playbooks" / f"{name}.yml"
        plays = yaml.safe_load(playbook.read_text())
        for play in plays:
            if "hosts" in play:
                play["module_defaults"] = {"strandline_identity": values}
        playbook.write_text(yaml.safe_dump(plays, sort_keys=False))

    def play(self, name: str, *options: str, **variables: Any) -> tuple[int, str]:
        """Run a playbook; its exit code and what it said."""
        given = {"bad": [], "silent": [], "deaf": [], **variables}
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
            "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_ROLES_PATH": str(self.directory / "roles"),
            "ANSIBLE_STDOUT_CALLBACK": "default",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
        }
        done = subprocess.run(
            [
                *("ansible-playbook", "-i", str(self.directory / "inventory"), f"--extra-vars={json.dumps(given)}"),
                *options,
                str(self.directory / "playbooks" / f"{name}.yml"),
            ],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def steps(self) -> list[str]:
        """The lines of the record since the last call."""
        if not self.record.exists():
            return []
        lines = self.record.read_text().splitlines()
        self.record.unlink()
        return lines
