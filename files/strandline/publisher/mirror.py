"""Other web hosts that get every generation, by rsync over SSH: first the files, then the link to them.

rsync makes each file aside and renames it, and replaces a symbolic link in one step, so a mirror is switched as the
site itself is. The other side needs no program of ours, and can confine the key to one directory (rrsync).
"""

from __future__ import annotations

import logging
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..shared import documents
from . import store

_LOG = logging.getLogger(__name__)
_SILENT_SECONDS = 60


@dataclass(frozen=True)
class Mirror:
    """A web host. `host_key` is the public key of its SSH server, as in known_hosts but without a name."""

    name: str
    address: str
    port: int
    user: str
    directory: str
    host_key: str


def _ssh(mirror: Mirror, key: Path, known_hosts: Path) -> str:
    options = {
        "BatchMode": "yes", "IdentitiesOnly": "yes", "StrictHostKeyChecking": "yes", "HostKeyAlias": mirror.name,
        "UserKnownHostsFile": str(known_hosts), "GlobalKnownHostsFile": "/dev/null", "ConnectTimeout": "10",
        "ServerAliveInterval": "15", "ServerAliveCountMax": "3",
    }  # fmt: skip
    argv = ["/usr/bin/ssh", "-F", "none", "-p", str(mirror.port), "-i", str(key)]
    return shlex.join([*argv, *(f"-o{name}={value}" for name, value in options.items())])


def push(mirror: Mirror, webroot: Path, *, key: Path, state: Path, until: float) -> str:
    """Send all generations, let the mirror's link lead to the newest, and remove there what is gone here.

    It is given up at `until`, a time of time.monotonic(). Returns what went wrong as a sentence for the operator, or
    nothing. Either way the mirror serves one complete generation, the old or the new.
    """
    known_hosts = state / f"mirror-{mirror.name}.known_hosts"
    with documents.replacing(known_hosts) as file:
        file.write(f"{mirror.name} {mirror.host_key}\n".encode("ascii"))
    shell = _ssh(mirror, key, known_hosts)
    host = f"[{mirror.address}]" if ":" in mirror.address else mirror.address
    target = f"{mirror.user}@{host}:{mirror.directory.rstrip('/')}/"
    # -H: a feed that is kept is one file in many generations. Times stay, and with them nginx's ETag.
    files = ["-rptH", "--exclude=/.building", f"{webroot / store.GENERATIONS}/", f"{target}{store.GENERATIONS}/"]
    for what, arguments in (
        ("its generation could not be sent", files),
        ("it could not be switched to the new generation", ["-l", f"{webroot / store.LINK}", target]),
        ("its old generations could not be removed", ["--delete", *files]),
    ):
        if problem := _rsync([f"--rsh={shell}", *arguments], until):
            return f"mirror {mirror.name}: {what} ({problem})"
    _LOG.info("mirror %s has what is published here", mirror.name)
    return ""


def _rsync(arguments: Sequence[str], until: float) -> str:
    """Run rsync; return what went wrong, or nothing."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        return "no time was left for it in this hour"
    try:
        done = subprocess.run(
            ["/usr/bin/rsync", f"--timeout={_SILENT_SECONDS}", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False, timeout=seconds,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:.0f} seconds"
    except OSError as error:
        return f"rsync can't be run: {error}"
    if done.returncode == 0:
        return ""
    # The other side writes this, and it goes to the journal, the database and a mail.
    said = "".join(char if char.isascii() and char.isprintable() else " " for char in done.stderr)
    # The end: ssh says what it refuses behind a banner, rsync what it missed behind the files.
    return " ".join(said.split())[-300:] or f"rsync ended with {done.returncode}"
