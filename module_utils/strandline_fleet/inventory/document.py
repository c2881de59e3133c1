"""A YAML file of an inventory, read as Ansible reads it (YAML 1.1), with the line of every key.

A writer that keeps comments and order reads the file by its own means: see :mod:`strandline_fleet.inventory.edit`.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from strandline_fleet.inventory.model import Problem

VAULT = "$ANSIBLE_VAULT"
MARKER = re.compile(r"\A((?:[ \t]*(?:#[^\n]*)?\n)*)---(?=[ \t]*(?:#|\n|$))")
"""The start of a document, at which ruamel.yaml forgets which version of YAML it is to read."""
Steps = tuple[str | int, ...]
"""The way to a value: keys of mappings, and numbers of items."""


class _Constructor(RoundTripConstructor):
    """Reads a day that no calendar has as the text that it is, so that the mistake has a line and a name."""

    def construct_yaml_timestamp(self, node: Any, values: Any = None) -> Any:
        try:
            return super().construct_yaml_timestamp(node, values)
        except ValueError:
            return str(node.value)

    def construct_yaml_float(self, node: Any) -> Any:
        # As Ansible's reader has it: 1e3 without a point is a word.
        return super().construct_yaml_float(node) if "." in node.value else str(node.value)


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", _Constructor.construct_yaml_timestamp)
_Constructor.add_constructor("tag:yaml.org,2002:float", _Constructor.construct_yaml_float)


def reader() -> YAML:
    """A reader of YAML 1.1, in which `no` is a word and a key may stand once."""
    made = YAML(typ="rt")
    made.Constructor = _Constructor
    made.version = (1, 1)
    return made


@dataclass(frozen=True)
class Document:
    """A file's content: ``tree`` with the positions, ``plain`` as a JSON Schema takes it."""

    shown: str
    """How messages name the file."""
    tree: Any
    plain: Any
    lines: tuple[str, ...]

    def line(self, path: Steps) -> int:
        """The line (from 1) of the key or item at a path; of what it would stand in where it is missing."""
        node, line = self.tree, 0
        for step in path:
            position = self._position(node, step)
            if position is None:
                break
            line = position[0]
            node = self._child(node, step)
        return line + 1

    def written(self, path: Steps) -> str:
        """The scalar at a path as it stands in the file, without what Ansible makes of it; "" where that is unclear."""
        node = self.tree
        for step in path[:-1]:
            node = self._child(node, step)
        key = self._key(node, path[-1])
        data = getattr(getattr(node, "lc", None), "data", None) or {}
        if key not in data:
            return ""
        line, column = data[key][-2:]
        found = re.match(r"""[^\s,\]}#'"]+""", self.lines[line][column:])
        return found.group() if found else ""

    def retyped_keys(self) -> Iterator[tuple[Steps, str]]:
        """Keys that Ansible reads as something else than text, with the text as it is written."""
        yield from self._retyped(self.tree, ())

    def _retyped(self, node: Any, path: Steps) -> Iterator[tuple[Steps, str]]:
        if isinstance(node, CommentedMap):
            for key, value in node.items():
                name = self._name(node, key)
                if not isinstance(key, str):
                    yield (*path, name), name
                yield from self._retyped(value, (*path, name))
        elif isinstance(node, CommentedSeq):
            for number, value in enumerate(node):
                yield from self._retyped(value, (*path, number))

    def _name(self, node: Any, key: Any) -> str:
        if isinstance(key, str):
            return key
        position = (getattr(node.lc, "data", None) or {}).get(key)
        found = re.match(r"[^\s:,]+", self.lines[position[0]][position[1] :]) if position else None
        return found.group() if found else str(key)

    def _key(self, node: Any, step: str | int) -> Any:
        if isinstance(node, CommentedMap) and step not in node:
            return next((key for key in node if not isinstance(key, str) and self._name(node, key) == step), step)
        return step

    def _child(self, node: Any, step: str | int) -> Any:
        try:
            return node[self._key(node, step)]
        except (KeyError, IndexError, TypeError):
            return None

    def _position(self, node: Any, step: str | int) -> tuple[int, int] | None:
        data = getattr(getattr(node, "lc", None), "data", None) or {}
        position = data.get(self._key(node, step))
        return (position[0], position[1]) if position else None

    def simplified(self, node: Any) -> Any:
        """The tree as a JSON Schema takes it: days as text, keys as they are written, no infinity or NaN."""
        if isinstance(node, dict):
            return {self._name(node, key): self.simplified(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [self.simplified(value) for value in node]
        if isinstance(node, dt.date):  # a datetime is one, too
            return node.isoformat()[:10]
        if isinstance(node, TaggedScalar):
            return "{{ a vault's }}"  # as a template: Ansible knows its value
        if isinstance(node, float):
            return float(node) if math.isfinite(node) else str(node)
        return str(node) if isinstance(node, str) else node


# A change reads every file before and after itself, and most of them are the same.
@functools.lru_cache(maxsize=256)
def _tree(text: str) -> Any:
    """A text's tree. Nobody may change it: a file of the same text has the very same one."""
    return reader().load(MARKER.sub(r"\1", text))


def read(path: Path, shown: str) -> tuple[Document | None, list[Problem]]:
    """Read a file. An encrypted one is None without a problem: Ansible will read it."""

    line, message, remedy = 0, "", "correct it"
    text, tree = "", None
    try:
        text = path.read_text(encoding="utf-8")
        if not text.startswith(VAULT):
            tree = _tree(text)
    except UnicodeDecodeError as error:
        message, remedy = f"is not UTF-8 text (byte {error.start})", "save it as UTF-8"
    except OSError as error:
        message, remedy = f"can't be read ({error.strerror})", "check its permissions"
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        message, remedy = f"is no valid YAML: {error.problem}", "correct that line; a key may stand only once"
        if again := re.search(r'found duplicate key "?([^" ]+)"?', str(error.problem)):
            message, remedy = f"{again.group(1)!r} stands twice", "keep one of the two, or give one another name"
    except YAMLError as error:
        message = f"is no valid YAML: {error}"
    if message:
        return None, [Problem(shown, line, "", "", message, remedy)]
    if text.startswith(VAULT):
        return None, []
    document = Document(shown, tree, None, tuple(text.splitlines()))
    return Document(shown, tree, document.simplified(tree), document.lines), []
