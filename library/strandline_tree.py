#!/usr/bin/python
"""Ansible module: a directory of small text files, installed in one go."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_tree
short_description: Make a directory hold exactly the given text files
description:
  - Writes the files that differ, each whole or not at all, and removes the files that are no longer part of the tree.
    What Python compiled (C(__pycache__)) stays.
  - One call where M(ansible.builtin.copy) needs one for each file, which on a slow host or in a container takes most of
    the time of a run.
options:
  dest:
    description: Directory on the host; made when it is missing.
    type: path
    required: true
  files:
    description: What it holds, by relative path. See the filter C(source_tree).
    type: dict
    required: true
  subtrees:
    description:
      - The folders and files in O(dest) that this call answers for. Nothing else there is removed, so that
        several calls can share a directory.
      - All of it without them.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: Strandline developers
"""
EXAMPLES = r"""
- name: Install the program
  strandline_tree:
    dest: /usr/lib/strandline/strandline
    subtrees: [sensor, shared]
    files: "{{ source | source_tree('\\.py$', ['sensor', 'shared']) }}"
"""
RETURN = r"""
written:
  description: Paths of the files that were written.
  type: list
  returned: always
removed:
  description: Paths of the files that were removed.
  type: list
  returned: always
"""

DIRECTORY_MODE = 0o755
FILE_MODE = 0o644
PROGRAM_MODE = 0o755


def checked(name: str) -> str:
    """A relative path that stays below its directory. Raises ValueError for any other."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or ".." in parts:
        raise ValueError(f"{name!r} is no path inside the directory")
    return name


def mode_of(text: str) -> int:
    """A file that begins with #! is a program."""
    return PROGRAM_MODE if text.startswith("#!") else FILE_MODE


def current(path: Path) -> str | None:
    """A regular file's text, or None when there is none."""
    try:
        return path.read_text(encoding="utf-8") if not path.is_symlink() else None
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError):
        return None


def write(path: Path, text: str, mode: int) -> None:
    """Put a file in place: aside, then renamed."""
    missing = [parent for parent in path.parents if not parent.exists()]
    for parent in reversed(missing):
        parent.mkdir()
        parent.chmod(DIRECTORY_MODE)
    handle, aside = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(aside).chmod(mode)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def synchronise(dest: Path, files: dict[str, str], check: bool, subtrees: Sequence[str] = ()) -> dict[str, Any]:
    """Make ``dest``, or its ``subtrees``, hold exactly ``files`` (changes nothing when ``check``).

    Returns the result as Ansible takes it.
    """
    diff = []
    written = []
    for name, text in sorted(files.items()):
        path = dest / checked(name)
        before = current(path)
        if before == text and path.stat().st_mode & 0o7777 == mode_of(text):
            continue
        written.append(str(path))
        diff.append({"before_header": str(path), "after_header": str(path), "before": before or "", "after": text})
        if not check:
            write(path, text, mode_of(text))
    removed = []
    for path in sorted(dest.rglob("*")) if dest.is_dir() else []:
        name = str(path.relative_to(dest))
        if name in files or "__pycache__" in path.parts or (path.is_dir() and not path.is_symlink()):
            continue
        if subtrees and not any(name == part or name.startswith(f"{part}/") for part in subtrees):
            continue
        removed.append(str(path))
        diff.append(
            {"before_header": str(path), "after_header": "/dev/null", "before": current(path) or "", "after": ""}
        )
        if not check:
            path.unlink()
    return {"changed": bool(written or removed), "written": written, "removed": removed, "diff": diff}


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "subtrees": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    try:
        result = synchronise(
            Path(module.params["dest"]), module.params["files"], module.check_mode, module.params["subtrees"]
        )
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{module.params['dest']}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
