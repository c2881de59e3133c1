"""The environment that our tools run in, for a command or for the operator's own shell."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from strandline_cli import paths
from strandline_cli.errors import Refusal


def call(arguments: Sequence[str]) -> int:
    """Run a command with the tools of our environment; return its exit code."""
    if shutil.which(arguments[0]) is None:
        raise Refusal(f"There is no command {arguments[0]}. ./strandline run ansible-playbook … runs Ansible's.")
    return subprocess.run(arguments, check=False).returncode


def exports() -> str:
    """Commands for a POSIX shell that put our tools on its PATH and have Ansible find its settings from any folder."""
    binaries = f"{sys.prefix}/bin"
    config = paths.ROOT / "ansible.cfg"
    lines = [
        # Once, however often this is evaluated.
        f'case ":$PATH:" in *:{shlex.quote(binaries)}:*) ;; *) export PATH={shlex.quote(binaries)}:"$PATH" ;; esac',
        f"export ANSIBLE_CONFIG={shlex.quote(str(config))}",
    ]
    for name in ("STRANDLINE_CACHE", "CONTAINERS_CONF"):
        if value := os.environ.get(name):
            lines.append(f"export {name}={shlex.quote(value)}")
    return "\n".join(lines)
