"""Ansible connection to a podman container on this machine, by nsenter instead of `podman exec`.

A task costs Ansible two to five calls of podman, of 0.2 s each; entering the container's namespaces directly takes
0.03 s. What runs there has the capabilities of the container and no others, as with `podman exec`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase

DOCUMENTATION = r"""
author: Strandline developers
name: strandline_container
short_description: Run tasks in a podman container on this machine, by nsenter
description:
  - Needs root, as the containers with systemd in them do.
options:
  remote_addr:
    description: The container's name.
    default: inventory_hostname
    vars:
      - name: inventory_hostname
      - name: ansible_host
"""

# To ask for a container's first process is a call of podman too: the answer is kept for as long as that process lives.
KNOWN = Path("/run/strandline-containers")
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "container": "podman",
}


def start_time(pid: int) -> str:
    """When a process began, in clock ticks since boot (proc(5), stat, field 22): no two of one number share it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def capabilities(pid: int) -> list[str]:
    """The capabilities that a process and its children can have, as setpriv(1) names them by number."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            mask = int(line.split()[1], 16)
            return [f"+cap_{number}" for number in range(64) if mask >> number & 1]
    raise AnsibleConnectionFailure(f"/proc/{pid}/status has no CapBnd")


def first_process(container: str) -> int:
    """The container's first process. Raises AnsibleConnectionFailure when the container does not run."""
    memo = KNOWN / container
    try:
        pid, began = memo.read_text().split()
        if start_time(int(pid)) == began:
            return int(pid)
    except (OSError, ValueError):
        pass
    asked = subprocess.run(
        ["podman", "inspect", "--format", "{{.State.Pid}}", container], capture_output=True, text=True, check=False
    )
    pid = asked.stdout.strip()
    if asked.returncode != 0 or not pid.isdigit() or pid == "0":
        reason = asked.stderr.strip() or "it is stopped"
        raise AnsibleConnectionFailure(f"the container {container} does not run: {reason}")
    KNOWN.mkdir(exist_ok=True)
    aside = memo.with_name(f".{container}.{os.getpid()}")
    aside.write_text(f"{pid} {start_time(int(pid))}")
    aside.replace(memo)
    return int(pid)


class Connection(ConnectionBase):  # type: ignore[misc]
    """See the top of the file."""

    transport = "strandline_container"
    has_pipelining = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._connected: bool = False
        self._pid = 0
        self._began = ""
        self._capabilities = ""

    def _connect(self) -> Connection:
        if not self._connected:
            self._pid = first_process(self.get_option("remote_addr"))
            self._began = start_time(self._pid)
            self._capabilities = ",".join(["-all", *capabilities(self._pid)])
            self._connected = True
        return self

    def _command(self, *argv: str) -> list[str]:
        """The command that runs ``argv`` inside."""
        setpriv = ["setpriv", f"--bounding-set={self._capabilities}", "--inh-caps=-all", "--"]
        return ["nsenter", "--target", str(self._pid), *NAMESPACES, "--", *setpriv, *argv]

    def _alive(self) -> bool:
        """Whether the container is still the one that was connected to: after a reboot it has another first process."""
        try:
            return start_time(self._pid) == self._began
        except OSError:
            return False

    def _run(self, argv: list[str], data: bytes | None = None) -> tuple[int, bytes, bytes]:
        self._connected = self._connected and self._alive()
        self._connect()
        done = subprocess.run(
            self._command(*argv),
            input=data if data is not None else b"",
            capture_output=True,
            env=ENVIRONMENT,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = False) -> tuple[int, bytes, bytes]:
        """Run a command line of the remote shell; exit status, output, errors."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        return self._run(["/bin/sh", "-c", cmd], in_data)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file into the container."""
        super().put_file(in_path, out_path)
        try:
            data = Path(in_path).read_bytes()
        except OSError as error:
            raise AnsibleFileNotFound(f"{in_path}: {error.strerror}") from error
        code, _, errors = self._run(["/bin/sh", "-c", f"cat > {shlex.quote(out_path)}"], data)
        if code != 0:
            raise AnsibleConnectionFailure(f"{out_path} can't be written: {errors.decode(errors='replace').strip()}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file out of the container."""
        super().fetch_file(in_path, out_path)
        code, data, errors = self._run(["/bin/cat", in_path])
        if code != 0:
            raise AnsibleConnectionFailure(f"{in_path} can't be read: {errors.decode(errors='replace').strip()}")
        Path(out_path).write_bytes(data)

    def reset(self) -> None:
        """The next task opens a connection of its own."""
        self._connected = False

    def close(self) -> None:
        """Nothing stays open."""
        self._connected = False
