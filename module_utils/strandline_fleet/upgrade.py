"""What came of an upgrade, as it is shown at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from strandline_fleet.text import table

SHOWN = 4
"""Packages named in a cell."""


def named(words: Iterable[str]) -> str:
    """The first few of a list, and how many more."""
    words = list(words)
    more = f" and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more


def row(name: str, own: Mapping[str, Any]) -> tuple[str, ...]:
    """A host's line: name, what was upgraded and restarted, whether it was rebooted, and what to look at."""
    if own.get("rollout_unreachable"):
        return name, "", "", "", "✘ does not answer: left as it was"
    found = own.get("system_upgrade_outcome") or {}
    notes = [f"kept back: {named(found['kept_back'])}"] if found.get("kept_back") else []
    if found.get("failed"):
        notes.append(f"✘ failed since: {named(found['failed'])}")
    elif own.get("rollout_failed"):
        notes.append(f"✘ failed: {own['rollout_failed']}")
    elif not own.get("rollout_done"):
        return name, "", "", "", "not begun"
    needed = found.get("reboot_needed") or ()
    reboot = "done" if found.get("rebooted") else f"needed: {named(needed)}" if needed else ""
    upgraded = (named(found["upgraded"]) or "nothing") if found else ""
    return name, upgraded, named(found.get("restarted") or ()), reboot, "; ".join(notes) or "✔"


def outcome(hosts: Sequence[str], variables: Mapping[str, Mapping[str, Any]], *, check: bool = False) -> str:
    """What came of it, in a line for each host and a sentence for what is left to do.

    ``variables`` are the hosts' (hostvars): system_upgrade_outcome, rollout_done, rollout_failed with the reason,
    rollout_unreachable. With ``check`` nothing was done, and it is what there is to do.
    """
    rows = [row(name, variables[name]) for name in hosts]
    headings = ("host", "to upgrade" if check else "upgraded", "restarted", "reboot", "look at")
    left = [each[0] for each in rows if each[-1] == "not begun"]
    unreachable = [name for name in hosts if variables[name].get("rollout_unreachable")]
    said = [table(rows, headings)]
    if unreachable:
        said.append(f"Did not answer, and were left out: {', '.join(unreachable)}.")
    if left:
        said.append(
            f"Stopped. Not upgraded: {', '.join(left)}. To carry on, give the same command again; see docs/upgrade.md."
        )
    return "\n".join(said)
