"""The scenario's servers as the operator sees them: by ./strandline and ssh; inside them by podman."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from containers import OPERATORS_BUILD, PSQL, operators_environment

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = ROOT / "molecule" / "fleet" / "inventory"
BUILD = ROOT / "build" / "molecule" / "fleet"
LOGS = OPERATORS_BUILD / "log"
KEY = BUILD / "admin_key"
PASSWORD_FILE = BUILD / "root_password"
ADMIN_PORT = 20022
COLLECTOR = "fleet-collector"


@dataclass(frozen=True)
class Server:
    """A leased server."""

    name: str
    address: str

    def inside(self, *argv: str) -> str:
        """Run a command in it that must succeed, past SSH, and return what it prints."""
        done = subprocess.run(["podman", "exec", self.name, *argv], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{self.name}: {shlex.join(argv)}: {done.stdout}{done.stderr}"
        return done.stdout

    def file(self, path: str) -> Path:
        """A file of it, seen from here: faster than any command."""
        inspect = ["podman", "inspect", "--format", "{{.State.Pid}}", self.name]
        pid = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()
        return Path(f"/proc/{pid}/root") / path.lstrip("/")

    def ssh(self, port: int, *options: str, password: bool = False) -> subprocess.CompletedProcess[str]:
        """Enter as root by the key, or by the provider's password; the host must be the one that was onboarded."""
        way = ["-o", "PreferredAuthentications=publickey", "-i", str(KEY)]
        env = dict(os.environ)
        if password:
            way = ["-o", "PreferredAuthentications=password,keyboard-interactive", "-o", "NumberOfPasswordPrompts=1"]
            env |= {"SSH_ASKPASS": str(askpass()), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": "none"}
        argv = [
            "ssh", "-F", "none", "-p", str(port), *options, "-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes",
            "-o", "ConnectTimeout=5", "-o", f"UserKnownHostsFile={INVENTORY / 'known_hosts'}",
            "-o", "StrictHostKeyChecking=yes", "-o", f"HostKeyAlias={self.name}", *way,
        ]  # fmt: skip
        return subprocess.run(
            [*argv, f"root@{self.address}", "true"],
            capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def fingerprint(self) -> dict[str, str]:
        """What an operator's change would touch: each file's time, size and mode, by path, and what is installed."""
        places = ["/etc", "/usr", "/root/.ssh", "/home", "/opt", "/var/lib/dpkg/status", "/var/spool/cron"]
        listing = f"find {shlex.join(places)} -xdev ! -type d ! -name '*.pyc' -printf '%p\\t%T@ %s %m\\n'"
        said = self.inside("sh", "-c", f"{listing} 2>&1; true")  # not every host has all of them
        return dict(line.split("\t") for line in said.splitlines() if "\t" in line)


SENSOR1 = Server("fleet-sensor1", "198.51.100.21")
SENSOR2 = Server("fleet-sensor2", "198.51.100.22")
UNLUCKY = Server("fleet-sensor3", "198.51.100.33")
ALL = [SENSOR1, SENSOR2, UNLUCKY]
# They come with something of their own: see ../inventory/providers/cedar.yml.
UFW = Server("fleet-ufw", "198.51.100.41")
FIREWALLD = Server("fleet-firewalld", "198.51.100.42")
CLOUD = Server("fleet-cloud", "198.51.100.43")
DNSMASQ = Server("fleet-dnsmasq", "198.51.100.44")
PROXY = Server("fleet-proxy", "198.51.100.45")


def askpass() -> Path:
    """A program that answers ssh with the provider's password."""
    program = BUILD / "askpass"
    program.write_text(f"#!/bin/sh\ncat {shlex.quote(str(PASSWORD_FILE))}\n")
    program.chmod(0o700)
    return program


def environment() -> dict[str, str]:
    """The operator's environment: the repository's own configuration, not molecule's."""
    # Connections of an earlier run lead to servers that are gone; the path must be short.
    control = Path("/tmp") / f"strandline-{os.getpid()}"  # noqa: S108 - made by ssh for us alone
    control.mkdir(mode=0o700, exist_ok=True)
    return operators_environment() | {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(control)}


def start(*arguments: str, output: Path | None = None, **variables: str) -> subprocess.Popen[str]:
    """Start ./strandline; what it says goes to a pipe, or to a file. ``variables`` are added to its environment."""
    return start_program([str(ROOT / "strandline"), *arguments], output, **variables)


def start_program(argv: Sequence[str], output: Path | None = None, **variables: str) -> subprocess.Popen[str]:
    """Start a program as the leader of a group of processes, so that all of it can be killed at once."""
    with output.open("w") if output else nullcontext(subprocess.PIPE) as where:
        return subprocess.Popen(
            argv,
            cwd=ROOT, env=environment() | variables, stdin=subprocess.DEVNULL, stdout=where, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip


def strandline(*arguments: str, **variables: str) -> tuple[int, str]:
    """Run ./strandline to its end; its exit status and what it said."""
    process = start(*arguments, output=None, **variables)
    said, _ = process.communicate()
    return process.returncode, said


def playbook(name: str, *arguments: str) -> tuple[int, str]:
    """Run a verb by plain ansible-playbook; its exit status and what it said."""
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={INVENTORY}", f"playbooks/{name}.yml", *arguments], cwd=ROOT,
        env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def play(verb: str, inventory: Path, **variables: object) -> tuple[int, str]:
    """Run a verb's playbook without ./strandline; its exit status and what it said."""
    said = json.dumps(variables)
    process = start_program(
        ["ansible-playbook", f"--inventory={inventory}", f"playbooks/{verb}.yml", f"--extra-vars={said}"]
    )
    output, _ = process.communicate()
    return process.returncode, output


PLANS: dict[str, dict[str, str]] = {
    "site": {},
    "onboard": {"onboard_password_file": str(PASSWORD_FILE)},
    "verify": {},
    "canary": {},
    "reconcile": {},
    "rotate_certificates": {},
    "upgrade": {},
    "retire": {},
}
"""The verbs that enter a host, with what their plans need besides its name."""


def plan(verb: str, server: Server) -> tuple[int, str]:
    """Ask a verb for its plan; its exit status and what it said. Neither the host nor the inventory may change."""
    before = server.fingerprint(), inventory_files()
    given = {"target": server.name, **PLANS[verb]}
    code, said = playbook(verb, "--check", "--diff", f"--extra-vars={json.dumps(given)}")
    after = server.fingerprint(), inventory_files()
    for old, new in zip(before, after, strict=True):
        changed_files = {path for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
        assert not changed_files, f"{verb} --check changed {changed_files}\n{said[-2000:]}"
    for mistake in ("Traceback", "is undefined", "has no attribute", "MODULE FAILURE"):
        assert mistake not in said, said[-4000:]
    return code, said


def inventory_files() -> dict[str, str]:
    """What each file of the inventory holds, by path, but for the host keys: ssh remembers whom it has met."""
    files = (path for path in sorted(INVENTORY.rglob("*")) if path.is_file() and path.name != "known_hosts")
    return {str(path): path.read_bytes().hex() for path in files}


def onboard(servers: Sequence[Server], *extra: str) -> list[str]:
    """The arguments of ./strandline for onboarding."""
    names = [server.name for server in servers]
    more = ["--", *extra] if extra else []
    return ["onboard", "-i", str(INVENTORY), f"--password-file={PASSWORD_FILE}", *names, *more]


RECAP = {"ANSIBLE_STDOUT_CALLBACK": "default"}


def kill(process: subprocess.Popen[str]) -> None:
    """End a verb with everything it started, without a chance to tidy up."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def changed(said: str) -> dict[str, int]:
    """Changed tasks by host, from the recap of Ansible's default callback (RECAP)."""
    return {name: int(count) for name, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", said, re.MULTILINE)}


def sql(query: str) -> str:
    """Ask the collector's database."""
    done = subprocess.run(
        ["podman", "exec", COLLECTOR, *PSQL, f"--command={query}"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
