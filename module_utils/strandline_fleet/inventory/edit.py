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

import yaml as pyyaml
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarfloat import ScalarFloat
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.files import FORMER, yaml
from strandline_fleet.inventory.load import SETTINGS, load
from strandline_fleet.inventory.model import Fleet, Host, Problem

PROVIDER_GROUP = re.compile(r"provider_[a-z0-9_]+")
FORMER_HEAD = (
    "---\n# Leases that ended. History refers to these names and addresses; ./strandline retire writes here.\n"
)

Texts = dict[Path, str | None]  # None: the file goes


def flow(values: Mapping[str, Any]) -> CommentedMap:
    """A mapping written on one line, as in the examples."""
    node = CommentedMap(values)
    node.fa.set_flow_style()
    return node


def amount(price: Decimal) -> float:
    """A price with two decimals: 24.00 stays 24.00."""
    text = f"{price:.2f}"
    written: float = ScalarFloat(float(price), width=len(text), prec=text.index("."), m_sign=False)
    return written


def word(text: str) -> str:
    """A text, in quotes where YAML 1.1, which Ansible reads, takes it for something else: NO, on, 1e3."""
    quoted: str = DoubleQuotedScalarString(text)
    try:
        return text if pyyaml.safe_load(text) == text else quoted
    except pyyaml.YAMLError:
        return quoted


def host_entry(addresses: Iterable[str], place: Mapping[str, str], lease: Mapping[str, Any]) -> CommentedMap:
    """A host's entry as it stands in a provider's file."""
    return entry_of(addresses, place, {**lease, "price": Decimal(str(lease["price"]))})


def entry_of(addresses: Iterable[str], place: Mapping[str, Any], lease: Mapping[str, Any]) -> CommentedMap:
    """A host's entry of values that may be wrong; what is text stays text."""
    listed = CommentedSeq(addresses)
    listed.fa.set_flow_style()
    return CommentedMap({"addresses": listed, "place": flow(_values(place)), "lease": flow(_values(lease))})


def _values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as YAML has them: amounts with two decimals, and words that stay words."""
    return {key: _value(value) for key, value in values.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return amount(value)
    return word(value) if isinstance(value, str) else value


def dumped(tree: Any, before: str = "") -> str:
    """A tree as text. What stands above the `---` of the file as it was is not in the tree, and is put back."""
    out = io.StringIO()
    yaml().dump(tree, out)
    text = out.getvalue()
    above = re.match(r"((?:#.*\n)+)---\n", before)
    return (above[1] if above else "") + (text if text.startswith("---") else f"---\n{text}")


def renumber_host(fleet: Fleet, host: Host, old: str, new: str) -> Texts:
    """Put an address in another's place in a host's entry. Raises Refusal when both stand there."""
    if new in host.addresses:
        raise Refusal(
            f"{host.name} has both {old} and {new} in {host.file}. If {old} is gone: "
            f"./strandline address -i {fleet.directory} remove {host.name} {old}"
        )
    before = host.file.read_text(encoding="utf-8")
    tree = yaml().load(before)
    addresses = tree["sensors"]["children"][host.provider]["hosts"][host.name]["addresses"]
    for place, text in enumerate(addresses):
        if str(ipaddress.ip_address(str(text))) == old:
            addresses[place] = type(text)(new)
    return {host.file: dumped(tree, before)}


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
        texts[path] = dumped(tree, before) if children else None
    texts[record_path] = FORMER_HEAD + dumped(record).removeprefix(FORMER_HEAD).removeprefix("---\n")
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
            for problem in load(copy, fleet.today, settings).errors
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
    """Write every text, or none of them where the disk is full or a folder can't be written.

    All are written aside first. Then additions and changes take their places, and removals come last, so that nothing
    is lost if it stops in between.
    """
    asides: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            if text is not None:
                path.parent.mkdir(exist_ok=True)  # the journals' folder, by the first entry
                asides[path] = path.with_name(f".{path.name}.new")
                asides[path].write_text(text, encoding="utf-8")
                if path.exists():
                    shutil.copymode(path, asides[path])
    except BaseException:
        for aside in asides.values():
            aside.unlink(missing_ok=True)
        raise
    for path, aside in asides.items():
        aside.replace(path)
    for path, text in texts.items():
        if text is None:
            path.unlink(missing_ok=True)
