"""An inventory as Ansible reads it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any

from strandline_cli import paths
from strandline_cli.errors import Refusal


def listing(inventories: Sequence[str], shown: str, remedy: str) -> dict[str, Any]:
    """Return what `ansible-inventory --list` says of the inventories, which are called ``shown`` in messages.

    Raises Refusal, with Ansible's own words and ``remedy``, when they can't be read.
    """
    done = subprocess.run(
        ["ansible-inventory", *(f"--inventory={inventory}" for inventory in inventories), "--list"],
        capture_output=True,
        text=True,
        check=False,
        cwd=paths.ROOT,
        env={**os.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"},
    )
    if done.returncode != 0:
        said = next((line for line in done.stderr.splitlines() if "ERROR" in line), done.stderr.strip())
        raise Refusal(f"{shown} can't be read: {said}. {remedy}")
    data: dict[str, Any] = json.loads(done.stdout)
    return data
