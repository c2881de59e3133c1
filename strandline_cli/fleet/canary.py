"""The canary as a step of a verb that is a program still: playbooks/canary.yml does it."""

from __future__ import annotations

from collections.abc import Sequence

from strandline_cli import verbs
from strandline_cli.fleet.listing import Entry
from strandline_cli.progress import Progress

TABLE_WIDTH = 200  # columns where there is no terminal


def canary(_progress: Progress, inventory: str, hosts: Sequence[Entry]) -> bool:
    """Send the marked events, look for them, show a table; say whether every one came through."""
    verb = next(verb for verb in verbs.VERBS if verb.name == "canary")
    return verbs.run_playbook(verb, [inventory], {"target": [host.name for host in hosts]}, []) == 0
