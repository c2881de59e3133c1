"""Providers that are bought or renamed: their hosts, former leases and history go on under the new name.

Each function raises Refusal for what can't be, and returns an empty change where an earlier run has made it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from strandline_fleet import journal
from strandline_fleet import text as terminal
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import edit
from strandline_fleet.inventory.change import ASIDE, Change, checked
from strandline_fleet.inventory.edit import FORMER_HEAD, PROVIDER_GROUP, Texts, dumped
from strandline_fleet.inventory.files import FORMER, YAML_FILES, yaml
from strandline_fleet.inventory.model import Fleet, Host, Provider
from strandline_fleet.inventory.trees import Trees


def group_of(name: str) -> str:
    """A provider's group by its short name. Raises Refusal for any other name."""
    group = name if name.startswith("provider_") else f"provider_{name}"
    if not PROVIDER_GROUP.fullmatch(group):
        raise Refusal(f"{name!r} is no provider's short name. Use a-z, 0-9 and _, as its file is called: alder.")
    return group


def _followed(fleet: Fleet, old: str, new: str) -> tuple[Provider | None, Provider | None]:
    """The two providers; the old one is None where an earlier run has done it. Raises Refusal without any."""
    groups = {provider.group: provider for provider in fleet.providers}
    first, second = group_of(old), group_of(new)
    if first == second:
        raise Refusal(f"{old} and {new} are the same provider.")
    if first in groups:
        return groups[first], groups.get(second)
    formerly = (groups[second].details.get("formerly") or []) if second in groups else []
    if not any(each.get("group") == first.removeprefix("provider_") for each in formerly):
        names = ", ".join(sorted(group.removeprefix("provider_") for group in groups))
        raise Refusal(f"There is no provider {old!r} in {fleet.directory}/providers. Known are {names or 'none'}.")
    return None, groups[second]


def renamed(fleet: Fleet, old: str, new: str, name: str, today: dt.date) -> Change:
    """A provider under another short name, and with ``name`` under another full one."""
    first, second = _followed(fleet, old, new)
    if first is None:
        return Change()
    if second is not None:
        raise Refusal(
            f"{new} is a provider already, in {second.file}. If it bought {old}: "
            f"./strandline provider merge {old} {new}"
        )
    group = group_of(new)
    before = first.file.read_text(encoding="utf-8")
    children = yaml().load(before)["sensors"]["children"]
    alone = len(children) == 1 and first.file.stem == first.group.removeprefix("provider_")
    path = first.file.with_stem(group.removeprefix("provider_")) if alone else first.file
    if path != first.file and path.exists():
        raise Refusal(f"{path} is there already. Call it otherwise, or give the provider another name.")
    # In the text, so that every comment stays where it is.
    lines = before.splitlines(keepends=True)
    line, column = children.lc.data[first.group][:2]
    lines[line] = lines[line][:column] + lines[line][column:].replace(first.group, group, 1)
    tree = yaml().load("".join(lines))
    details = tree["sensors"]["children"][group]["vars"]["provider"]
    _note(details, first, today)
    if name:
        details["name"] = edit.word(name)
    texts: Texts = {path: dumped(tree, before)}
    if path != first.file:
        texts[first.file] = None
    texts |= _variables(fleet, first.group, group)
    texts |= _record(fleet, first, group, name or first.name)
    said = f"{first.name} is called {name} now" if name else f"the provider {old} is called {new} now"
    return Change(checked(fleet, _journal(fleet, first, group, said, texts, today)))


def merged(fleet: Fleet, old: str, new: str, today: dt.date) -> Change:
    """All hosts of a provider that another one has bought, in that one's file."""
    first, second = _followed(fleet, old, new)
    if first is None:
        return Change()
    if second is None:
        raise Refusal(
            f"There is no provider {new!r} to merge {old} into. If {old} has only another name now: "
            f"./strandline provider rename {old} {new}"
        )
    if files := list(_variable_files(fleet, first.group)):
        raise Refusal(
            f"{files[0]} holds variables of {old}'s hosts. Move them to the hosts first, then the same again."
        )
    trees = Trees()
    source = trees.group(first.file, first.group)
    target = trees.group(second.file, second.group)
    kept = _kept(first, second, source["vars"], target["vars"])
    if target.get("hosts") is None:
        target["hosts"] = CommentedMap()
    for host in first.hosts:
        _move(source["hosts"], target["hosts"], host, kept)
        if renews_by_itself(first) != renews_by_itself(second):
            target["hosts"][host.name]["lease"].setdefault("auto_renew", renews_by_itself(first))
        days = first.details.get("cancel_days")
        if days is not None and days != second.details.get("cancel_days"):
            target["hosts"][host.name]["lease"].setdefault("cancel_days", days)
    _note(target["vars"]["provider"], first, today)
    children = trees.tree(first.file)["sensors"]["children"]
    children.pop(first.group)
    if not children:
        trees.remove(first.file)
    texts = trees.texts() | _record(fleet, first, second.group, second.name)
    said = f"{second.name} bought {first.name}"
    return Change(checked(fleet, _journal(fleet, first, second.group, said, texts, today)))


def renews_by_itself(provider: Provider) -> bool:
    """Whether a provider's leases renew by themselves, where a lease does not say otherwise."""
    return bool(provider.details.get("auto_renew", True))


def _kept(first: Provider, second: Provider, source: Mapping[str, Any], target: Mapping[str, Any]) -> dict[str, Any]:
    """Variables that the hosts take with them, since their new provider has them otherwise.

    Raises Refusal for variables that they would get from their new provider.
    """
    for key in target:
        if key != "provider" and key not in source:
            raise Refusal(
                f"{second.file}: vars.{key} would hold for {first.name}'s hosts too. Move it to the hosts that it is "
                "meant for, then the same again."
            )
    return {key: value for key, value in source.items() if key != "provider" and target.get(key) != value}


def _move(source: Any, target: Any, host: Host, kept: Mapping[str, Any]) -> None:
    comments = source.ca.items.pop(host.name, None)
    entry = source.pop(host.name)
    for key, value in kept.items():
        entry.setdefault(key, value)
    target[host.name] = entry
    if comments is not None:
        target.ca.items[host.name] = comments


def _note(details: Any, former: Provider, today: dt.date) -> None:
    """Note in a provider's details what it, or what it bought, was called, and until when."""
    if not details.get("formerly"):
        details["formerly"] = CommentedSeq()
        details["formerly"].fa.set_flow_style()
    listed = details["formerly"]
    known = {each["group"] for each in listed}
    for each in former.details.get("formerly") or ():
        if each["group"] not in known:
            listed.append(edit.flow({**each, "until": dt.date.fromisoformat(str(each["until"]))}))
    said = {"name": edit.word(former.name), "group": former.group.removeprefix("provider_")}
    listed.append(edit.flow({**said, "until": dt.date(today.year, today.month, today.day)}))


def _record(fleet: Fleet, former: Provider, group: str, name: str) -> Texts:
    """The record of former leases, in which those of the former provider are the new one's."""
    path = fleet.directory / FORMER
    if not path.exists():
        return {}
    before = path.read_text(encoding="utf-8")
    record = yaml().load(before) or {}
    for entry in (record.get("former_leases") or {}).values():
        if group_of(str(entry.get("group") or "none")) == former.group or entry.get("provider") == former.name:
            entry["provider"] = edit.word(name)
            entry["group"] = group.removeprefix("provider_")
    text = FORMER_HEAD + dumped(record).removeprefix(FORMER_HEAD).removeprefix("---\n")
    return {path: text} if text != before else {}


def _journal(fleet: Fleet, former: Provider, group: str, said: str, texts: Texts, today: dt.date) -> Texts:
    """The texts of a change, and the former provider's journal in the new one's, with a line of what became of it."""
    short = former.group.removeprefix("provider_")
    entry = journal.Entry(short, today, journal.Kind.NAME, terminal.shown(said)[: journal.LONGEST])
    found = journal.renamed(fleet, short, group.removeprefix("provider_"), journal.entered(fleet, [entry], texts))
    return {path: text for path, text in found.items() if text is not None or path.exists()}


def _variable_files(fleet: Fleet, group: str) -> Iterator[Path]:
    """The files of a group's variables, in a folder or not."""
    folder = fleet.directory / "group_vars"
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.relative_to(folder).parts[0] in {group, *(group + end for end in YAML_FILES)}:
            yield path


def _variables(fleet: Fleet, old: str, new: str) -> Texts:
    """The files of a group's variables under its new name."""
    texts: Texts = {}
    for path in _variable_files(fleet, old):
        parts = path.relative_to(fleet.directory / "group_vars").parts
        there = (fleet.directory / "group_vars" / parts[0].replace(old, new, 1)).joinpath(*parts[1:])
        texts |= {there: path.read_text(encoding="utf-8"), path: None}
    return texts


def mentions(fleet: Fleet, old: str, changed: Texts) -> Iterator[str]:
    """Where else in the inventory the former group stands, as FILE:LINE."""
    group = re.compile(rf"\b{group_of(old)}\b")
    for path in sorted(fleet.directory.rglob("*")):
        aside = path.suffix not in YAML_FILES or path.relative_to(fleet.directory).parts[0] in ASIDE
        if not aside and changed.get(path, "") is not None:
            content = changed.get(path) or path.read_text(encoding="utf-8", errors="replace")
            for number, line in enumerate(content.splitlines(), 1):
                if group.search(line.partition("#")[0]):
                    yield f"{path}:{number}"
