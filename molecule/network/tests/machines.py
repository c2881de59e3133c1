"""The network's hosts as the tests see them: by their part in the inventory, reached by `podman exec`."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import containers
import testinfra
from containers import PSQL
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = Path(os.environ.get("STRANDLINE_INVENTORY", ROOT / "molecule" / "network" / "inventory"))
"""The inventory under test (molecule sets it), by default this scenario's own."""
ADMIN_KEY = ROOT / "build" / "molecule" / "network" / "admin_key"
"""The administrator's private key, whose public half is authorised for root on each host: see ../prepare.yml."""


@dataclass(frozen=True)
class Machine(containers.Machine):
    """A host of the network, with what the inventory says of it."""

    variables: dict[str, Any] = field(repr=False, compare=False)

    @functools.cached_property
    def host(self) -> Host:
        """testinfra's view of it."""
        return testinfra.get_host(f"podman://{self.name}")

    @property
    def addresses(self) -> list[str]:
        """Its addresses, as the inventory gives them."""
        return list(self.variables["addresses"])

    def state(self) -> str:
        """What systemd says of the whole host: running, starting, degraded."""
        return self.run("systemctl", "is-system-running").stdout.strip()

    def journal(self, lines: int = 60) -> str:
        """The last lines of its journal, and the units that failed."""
        failed = self.run("systemctl", "--no-pager", "--plain", "--no-legend", "list-units", "--state=failed").stdout
        said = self.run(
            "journalctl", "--boot", "--no-pager", "--quiet", "--output=short-iso", f"--lines={lines}"
        ).stdout
        return f"failed units: {failed.strip() or 'none'}\n{said}"

    def sql(self, query: str) -> list[Any]:
        """The rows of a query that gives one JSON value for each, from the collector's database."""
        out = self.check(*PSQL, "--set=ON_ERROR_STOP=1", f"--command={query}")
        return [json.loads(line) for line in out.splitlines() if line]


@dataclass
class Inventory:
    """`ansible-inventory --list`, with groups resolved to hosts."""

    listing: dict[str, Any]

    def members(self, group: str) -> list[Machine]:
        """The hosts of a group and of the groups below it, in the inventory's order."""
        entry = self.listing.get(group, {})
        names = list(entry.get("hosts", []))
        for child in entry.get("children", []):
            names += [machine.name for machine in self.members(child) if machine.name not in names]
        return [machine(name) for name in names]

    @property
    def machines(self) -> list[Machine]:
        """Every host."""
        return [machine(name) for name in self.listing["_meta"]["hostvars"]]


@functools.cache
def load_inventory() -> Inventory:
    """Ask Ansible once."""
    done = subprocess.run(
        ["ansible-inventory", "--inventory", str(INVENTORY), "--list"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return Inventory(json.loads(done.stdout))


@functools.cache
def machine(name: str) -> Machine:
    """One object for each host, so that its connection is made once."""
    variables = load_inventory().listing["_meta"]["hostvars"][name]
    return Machine(name, variables["addresses"][0], variables)


def play(verb: str, *options: str, **variables: Any) -> str:
    """Run a verb's playbook as the operator would; return what it said."""
    done = subprocess.run(
        [
            "ansible-playbook",
            f"--inventory={INVENTORY}",
            str(ROOT / "playbooks" / f"{verb}.yml"),
            f"--extra-vars={json.dumps(variables)}",
            *options,
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def reconcile(folder: Path) -> dict[str, Any]:
    """Run the playbook reconcile; return the account, which it keeps in a folder."""
    play("reconcile", reconcile_report_dir=str(folder))
    account: dict[str, Any] = json.loads((folder / "account.json").read_text())
    return account
