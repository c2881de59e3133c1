"""The mistakes found in an inventory: collected, not raised, so that the operator sees all of them at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml as pyyaml

from strandline_fleet.inventory import document, schema
from strandline_fleet.inventory.document import Document, Steps
from strandline_fleet.inventory.model import Problem, Severity
from strandline_fleet.inventory.schema import Finding


class Problems:
    """Collects what is wrong, with file, line, host and field."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, where: Document, base: Steps, host: str, findings: Iterable[Finding]) -> bool:
        """Note what was found in the value at a path; False when an error is among it."""
        good = True
        for finding in findings:
            path = (*base, *finding.path)
            line, field = where.line(path), field_of(path, host)
            said = (finding.message, finding.remedy, finding.severity)
            self.found.append(Problem(where.shown, line, host, field, *said))
            good = good and finding.severity is not Severity.ERROR
        return good

    def add_file(self, path: Path, field: str, message: str, remedy: str) -> None:
        """Note a problem of a whole file or folder."""
        self.found.append(Problem(str(path), 0, "", field, message, remedy))

    def read(self, path: Path) -> Document | None:
        """A file's content, or None with the problem noted; an encrypted one is None, too."""
        read, problems = document.read(path, str(path))
        self.found += problems
        return read

    def check(self, name: str, where: Document) -> bool:
        """Check a document against a schema; True when nothing was found."""
        before = len(self.found)
        seen: set[Steps] = set()
        for finding in sorted(schema.findings(name, where.plain), key=lambda each: [str(step) for step in each.path]):
            better = reworded(where, finding)
            # One mistake is told once, at its innermost place.
            if better.path not in seen:
                seen.add(better.path)
                self.add(where, (), host_of(better.path), [better])
        for path, written in where.retyped_keys():
            self.add(where, path, written, [Finding((), *retyped(written))])
        return len(self.found) == before

    def fields_of(self, host: str) -> set[str]:
        """The fields of a host that something is wrong with, by their first part: lease for lease.price."""
        return {problem.field.partition(".")[0] for problem in self.found if problem.host == host}


def retyped(written: str) -> tuple[str, str]:
    """What is wrong with a word that Ansible (YAML 1.1) reads as something else, and the remedy."""
    meaning = pyyaml.safe_load(written)
    if isinstance(meaning, bool):
        said = f"the word {'yes' if meaning else 'no'}"
    else:
        said = {type(None): "nothing", int: "a number", float: "a number"}.get(type(meaning), "something else")
    return f"{written} without quotes is read as {said} by Ansible", f'write "{written}" in quotes'


def reworded(where: Document, finding: Finding) -> Finding:
    """A schema's finding in the words that fit what the operator most likely did."""
    value = _value(where.plain, finding.path)
    written = where.written(finding.path) if finding.path else ""
    text = isinstance(value, bool) and written and not written.lower().startswith(("true", "false"))
    if text and not finding.message.endswith("known key"):
        return Finding(finding.path, *retyped(written))
    if finding.message.endswith("no known key") and value is None and str(finding.path[-1])[:1].isdigit():
        return Finding(finding.path, "a comma ends a value here", "write a price with a point, for example 24.00")
    return finding


def _value(node: Any, path: Steps) -> Any:
    """What stands at a path; None where nothing does."""
    for step in path:
        try:
            node = node[step]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def host_of(path: Steps) -> str:
    """The host that a path goes through; empty for none."""
    for key, name in itertools.pairwise(path):
        if key == "hosts":
            return str(name)
    return ""


def field_of(path: Steps, host: str) -> str:
    """The field of a host, of a provider, or of the file, as messages name it."""
    steps = [str(step) for step in path if not isinstance(step, int)]
    if host and host in steps:
        steps = steps[len(steps) - 1 - steps[::-1].index(host) + 1 :]
    elif steps[:2] == ["sensors", "children"] and len(steps) > 2:
        steps = steps[3:] or steps[2:]
        steps = steps[1:] if steps[:1] == ["vars"] else steps
    return ".".join(steps)
