"""A directory of sources on the controller, as the module strandline_tree takes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError


def source_tree(directory: str, pattern: str = "", subtrees: Sequence[str] = ()) -> dict[str, str]:
    """The text files below a directory by relative path: those whose path matches ``pattern`` (a regular expression).

    With ``subtrees`` (folders and files of the directory) only what lies in them, and the ``__init__.py`` above them.

    What Python makes (``__pycache__``) and hidden files are no sources. Raises AnsibleFilterError when none is found.
    """
    root = Path(directory)
    files = {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part == "__pycache__" or part[0] == "." for part in path.relative_to(root).parts)
    }
    found = {name: text for name, text in files.items() if re.search(pattern, name) and _wanted(name, subtrees)}
    for part in subtrees or [""]:
        if not any(part in ("", name) or name.startswith(f"{part}/") for name in found):
            raise AnsibleFilterError(f"{root / part}: no source file is in it; is the clone complete?")
    return found


def _wanted(name: str, subtrees: Sequence[str]) -> bool:
    """Whether a file belongs to one of the subtrees, or makes a package of a folder above one."""
    folder, _, leaf = name.rpartition("/")
    above = f"{folder}/" if folder else ""
    return not subtrees or any(
        name == part or name.startswith(f"{part}/") or (leaf == "__init__.py" and part.startswith(above))
        for part in subtrees
    )


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"source_tree": source_tree}
