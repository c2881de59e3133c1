"""Change an inventory's provider files: comments, order and quotes stay as the operator wrote them.

Each function returns the texts that would be written; :func:`apply` writes them, each whole or not at all. So a verb
can show the difference and ask before anything changes.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import difflib
import io
import ipaddress
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarfloat import ScalarFloat
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.load import FORMER, SETTINGS, load, yaml
from strandline_fleet.inventory.model import Fleet, Host, Problem

PROVIDER_GROUP = re.compile(r"provider_[a-z0-9_]+")
FORMER_HEAD = (
    "---\n# Leases that ended. History refers to these names and addresses; ./strandline retire writes here.\n"
)

Texts = dict[Path, str | None]  # None: the file goes


def _flow(values: Mapping[str, Any]) -> CommentedMap:
    """A mapping written on one line, as in the examples."""
    node = CommentedMap(values)
    node.fa.set_flow_style()
    return node


def _amount(price: Decimal) -> float:
    """A price with two decimals: 24.00 stays 24.00."""
    text = f"{price:.2f}"
    amount: float = ScalarFloat(float(price), width=len(text), prec=text.index("."), m_sign=False)
    return amount


def _country(code: str) -> str:
    """YAML 1.1, which Ansible reads, takes a bare NO for the word no."""
    return DoubleQuotedScalarString(code) if code == "NO" else code


def host_entry(addresses: Iterable[str], place: Mapping[str, str], lease: Mapping[str, Any]) -> CommentedMap:
    """A host's entry as it stands in a provider's file."""
    listed = CommentedSeq(addresses)
    listed.fa.set_flow_style()
    return CommentedMap(
        {
            "addresses": listed,
            "place": _flow({**place, "country": _country(place["country"])}),
            "lease": _flow({**lease, "price": _amount(Decimal(str(lease["price"])))}),
        }
    )


def _dump(tree: Any, before: str = "") -> str:
    """A tree as text. What stands above the `---` of the file as it was is not in the tree, and is put back."""
    out = io.StringIO()
    yaml().dump(tree, out)
    text = out.getvalue()
    above = re.match(r"((?:#.*\n)+)---\n", before)
    return (above[1] if above else "") + (text if text.startswith("---") else f"---\n{text}")


def add_host(
    fleet: Fleet, provider: str, name: str, entry: CommentedMap, details: Mapping[str, Any] | None = None
) -> Texts:
    """Add a host to a provider's file; with ``details`` the provider may be a new one.

    Raises Refusal when the host's name is taken, or the provider is unknown and no details are given.
    """
    taken = {host.name: host.file for host in fleet.hosts()}
    if name in taken:
        raise Refusal(f"{name} is already a host in {taken[name]}. Choose another name.")
    group = provider if provider.startswith("provider_") else f"provider_{provider}"
    if not PROVIDER_GROUP.fullmatch(group):
        raise Refusal(f"{provider!r} is no provider's short name. Use a-z, 0-9 and _, as its file is called: alder.")
    known = {each.group: each.file for each in fleet.providers}
    names = ", ".join(sorted(each.removeprefix("provider_") for each in known))
    if group in known:
        path = known[group]
        before = path.read_text(encoding="utf-8")
        tree = yaml().load(before)
        node = tree["sensors"]["children"][group]
        if node.get("hosts") is None:
            node["hosts"] = CommentedMap()
        node["hosts"][name] = entry
        return {path: _dump(tree, before)}
    if details is None:
        raise Refusal(
            f"There is no provider {provider!r} in {fleet.directory}/providers. Known are {names}; "
            "for a new one give its name in full: --provider-name (add_provider_name)."
        )
    path = fleet.directory / "providers" / f"{group.removeprefix('provider_')}.yml"
    body = {"vars": {"provider": dict(details)}, "hosts": CommentedMap({name: entry})}
    tree = CommentedMap({"sensors": CommentedMap({"children": CommentedMap({group: body})})})
    return {
        path: "---\n# One provider, one file: who it is, and the hosts leased from it.\n"
        + _dump(tree).removeprefix("---\n")
    }


def renumber_host(fleet: Fleet, host: Host, old: str, new: str) -> Texts:
    """Put an address in another's place in a host's entry. Raises Refusal when both stand there."""
    if new in host.addresses:
        raise Refusal(
            f"{host.name} has both {old} and {new} in {host.file}. If {old} is gone, remove it there, "
            f"then ./strandline site -i {fleet.directory}."
        )
    before = host.file.read_text(encoding="utf-8")
    tree = yaml().load(before)
    addresses = tree["sensors"]["children"][host.provider]["hosts"][host.name]["addresses"]
    for place, text in enumerate(addresses):
        if str(ipaddress.ip_address(str(text))) == old:
            addresses[place] = type(text)(new)
    return {host.file: _dump(tree, before)}


def retire_hosts(fleet: Fleet, hosts: Iterable[Host], day: dt.date, reason: str) -> Texts:
    """Move hosts from their providers' files to the record of former leases; a provider without one loses its file."""
    texts: Texts = {}
    record_path = fleet.directory / FORMER
    record_text = record_path.read_text(encoding="utf-8") if record_path.exists() else FORMER_HEAD
    record = yaml().load(record_text) or CommentedMap()
    former = record.setdefault("former_leases", CommentedMap())
    by_file: dict[Path, list[Host]] = {}
    for host in hosts:
        by_file.setdefault(host.file, []).append(host)
    for path, leaving in by_file.items():
        before = path.read_text(encoding="utf-8")
        tree = yaml().load(before)
        children = tree["sensors"]["children"]
        for host in leaving:
            node = children[host.provider]
            entry = node["hosts"].pop(host.name)
            details = node.get("vars", {}).get("provider", {})
            # A name may be leased again later; the record keeps every lease.
            key = next(
                k
                for k in itertools.chain([host.name], (f"{host.name} ({n})" for n in itertools.count(2)))
                if k not in former
            )
            former[key] = CommentedMap(
                {
                    "provider": details.get("name", host.provider),
                    "group": host.provider.removeprefix("provider_"),
                    # One object for several hosts would be written as a reference from one to the other.
                    "retired": dt.date(day.year, day.month, day.day),
                    "reason": reason,
                    **entry,
                }
            )
            if not node["hosts"]:
                former[key]["provider_details"] = details
                children.pop(host.provider)
        texts[path] = _dump(tree, before) if children else None
    texts[record_path] = FORMER_HEAD + _dump(record).removeprefix(FORMER_HEAD).removeprefix("---\n")
    return texts


def check(fleet: Fleet, texts: Texts) -> tuple[Problem, ...]:
    """The mistakes that the inventory would have after applying, tried on a copy."""
    settings = {name: fleet.settings[name] for name in SETTINGS if name in fleet.settings}
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / fleet.directory.name
        shutil.copytree(fleet.directory, copy, ignore=shutil.ignore_patterns("certificates"))
        apply({copy / path.relative_to(fleet.directory): text for path, text in texts.items()})
        return tuple(
            dataclasses.replace(problem, file=problem.file.replace(str(copy), str(fleet.directory)))
            for problem in load(copy, settings=settings).errors
        )


def difference(texts: Texts) -> str:
    """What applying would change, as a unified diff."""
    parts: list[str] = []
    for path, text in texts.items():
        old = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        new = text.splitlines(keepends=True) if text is not None else []
        parts += difflib.unified_diff(
            old, new, str(path) if old else "/dev/null", str(path) if new else "/dev/null", n=2
        )
    return "".join(parts)


def apply(texts: Texts) -> None:
    """Write every text; additions and changes first, removals last, so that nothing is lost if it stops in between."""
    for path, text in texts.items():
        if text is not None:
            path.parent.mkdir(exist_ok=True)  # the journals' folder, by the first entry
            aside = path.with_name(f".{path.name}.new")
            aside.write_text(text, encoding="utf-8")
            if path.exists():
                shutil.copymode(path, aside)
            aside.replace(path)
    for path, text in texts.items():
        if text is None:
            path.unlink(missing_ok=True)
