"""The scenarios' hosts as their tests see them: containers on this machine, entered past every door of their own."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

PSQL = ["runuser", "-u", "postgres", "--", "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname=strandline"]
"""Asks the database, on the host that has it."""
OPERATORS_BUILD = Path(os.environ.get("STRANDLINE_BUILD", Path(__file__).resolve().parents[2] / "build"))
"""Where ./strandline writes what it says, when a test runs it."""
T = TypeVar("T")


@dataclass(frozen=True)
class Machine:
    """A host by its container's name, with its first address."""

    name: str
    address: str

    def run(self, *argv: str, stdin: str = "", seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command as root; the caller looks at its exit status. No shell unless argv asks for one."""
        return subprocess.run(
            ["podman", "exec", "--interactive", self.name, *argv],
            input=stdin,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=seconds,
            check=False,
        )

    def check(self, *argv: str, stdin: str = "", seconds: float = 60) -> str:
        """Run a command that must succeed, and return its standard output."""
        done = self.run(*argv, stdin=stdin, seconds=seconds)
        assert done.returncode == 0, f"{self.name}: {shlex.join(argv)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def pid(self) -> str:
        """The number of its first process on this machine."""
        inspect = ["podman", "inspect", "--format", "{{.State.Pid}}", self.name]
        return subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()

    def file(self, path: str) -> Path:
        """A file of it, seen from here: faster than any command."""
        return Path(f"/proc/{self.pid()}/root") / path.lstrip("/")

    def sysctl(self, name: str, value: int) -> None:
        """Set a parameter of its network until it boots. In itself, /proc/sys can't be written."""
        enter = ["nsenter", f"--target={self.pid()}", "--net", "sysctl", "--quiet", f"{name}={value}"]
        subprocess.run(enter, check=True, capture_output=True)

    def unit(self, verb: str, *units: str) -> None:
        """Have systemd start, stop or restart units."""
        self.check("systemctl", verb, *units)

    def kill(self, unit: str) -> None:
        """SIGKILL to everything of a unit."""
        self.check("systemctl", "kill", "--kill-whom=all", "--signal=SIGKILL", unit)

    def power_off(self) -> None:
        """As when the plug is pulled: nothing in it gets another instruction. What was written stays."""
        subprocess.run(["podman", "kill", "--signal=KILL", self.name], check=True, capture_output=True)
        subprocess.run(["podman", "wait", self.name], check=True, capture_output=True)

    def shut_down(self) -> None:
        """The first half of a reboot, as systemd does it; a container then ends where a host would boot."""
        self.run("systemctl", "reboot")
        subprocess.run(["podman", "wait", self.name], check=True, capture_output=True, timeout=90)

    def power_on(self) -> None:
        """Boot, and wait until every unit has started."""
        subprocess.run(["podman", "start", self.name], check=True, capture_output=True)
        state = ["systemctl", "is-system-running"]
        up = poll(lambda: self.run(*state).stdout.strip() in ("running", "degraded"), 60)
        assert up, f"{self.name} does not come up: {self.run(*state).stdout}"


def operators_environment() -> dict[str, str]:
    """The environment for ./strandline: the repository's own configuration of Ansible, not molecule's."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("ANSIBLE_")}
    return kept | {"ANSIBLE_NOCOLOR": "1", "NO_COLOR": "1"}


def poll(look: Callable[[], T], seconds: float = 30, every: float = 0.5) -> T:
    """Look again and again until what is seen is true, at most so long; return the last look."""
    end = time.monotonic() + seconds
    while not (seen := look()) and time.monotonic() < end:
        time.sleep(every)
    return seen
