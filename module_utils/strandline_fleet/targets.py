"""Which hosts a run acts on: names of hosts, providers and groups, as the operator gives them."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence

from strandline_fleet.errors import Refusal

FUNCTIONS = ("sensors", "collectors", "publishers")
"""The groups whose hosts are leased."""

Groups = Mapping[str, Sequence[str]]


def words(target: str | Iterable[str] | None) -> list[str]:
    """The names in a target: a list, or a text with commas or spaces between them; each once."""
    parts = re.split(r"[\s,]+", target) if isinstance(target, str) else map(str, target or ())
    return list(dict.fromkeys(part for part in parts if part))


def hosts_of(groups: Groups, target: str | Iterable[str] | None, among: Iterable[str] = FUNCTIONS) -> list[str]:
    """The hosts of the groups ``among`` that a target names, in the inventory's order; all of them for an empty target.

    A provider may be named as its file is called (alder) or as its group (provider_alder). Raises Refusal for a name
    that is neither a host nor a group with a host in it.
    """
    among = list(among)
    able = list(dict.fromkeys(host for group in among for host in groups.get(group, ())))
    names = words(target)
    if not names:
        return able
    chosen: set[str] = set()
    for name in names:
        members = [name] if name in able else groups.get(f"provider_{name}", groups.get(name, ()))
        fitting = [host for host in members if host in able]
        if not fitting:
            raise Refusal(_unknown(name, groups, able, among))
        chosen.update(fitting)
    return [host for host in able if host in chosen]


def _unknown(name: str, groups: Groups, able: Sequence[str], among: Sequence[str]) -> str:
    providers = [group.removeprefix("provider_") for group in groups if group.startswith("provider_")]
    elsewhere = any(name in members for members in groups.values())
    what = "is no host of" if elsewhere else "is no host, provider or group with a host in"
    close = difflib.get_close_matches(name, [*able, *providers], n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are: {', '.join(able) or 'none'}."
    return f"{name} {what} {' or '.join(among)} of this inventory. {hint}"


def unmatched(patterns: Iterable[str], groups: Groups) -> list[str]:
    """The patterns of a --limit (already split at commas) that match no host and no group of the inventory.

    Those of a file (@FILE) and regular expressions (~) are Ansible's to judge.
    """
    known = {*groups, *(host for members in groups.values() for host in members), "localhost"}
    wrong = []
    for pattern in patterns:
        name = re.sub(r"\[[^]]*\]$", "", pattern.lstrip("!&"))
        if name and not name.startswith(("@", "~")) and not fnmatch.filter(known, name):
            wrong.append(name)
    return wrong
