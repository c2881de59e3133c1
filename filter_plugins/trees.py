"""A directory of sources on the controller, as the module strandline_tree takes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError


def source_tree(directory: str, pattern: str = "") -> dict[str, str]:
    """The text files below a directory by relative path: those whose path matches ``pattern`` (a regular expression).

    What Python makes (``__pycache__``) and hidden files are no sources. Raises AnsibleFilterError when none is found.
    """
    root = Path(directory)
    files = {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part == "__pycache__" or part[0] == "." for part in path.relative_to(root).parts)
    }
    found = {name: text for name, text in files.items() if re.search(pattern, name)}
    if not found:
        raise AnsibleFilterError(f"{directory}: no source file is in it; is the clone complete?")
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"source_tree": source_tree}
