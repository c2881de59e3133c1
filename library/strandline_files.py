#!/usr/bin/python
"""Ansible module: directories and text files of a host, in one go."""

from __future__ import annotations

import os
import shlex
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.converters import to_text

DOCUMENTATION = r"""
---
module: strandline_files
short_description: Make directories and text files as they should be, in one call
description:
  - Makes the directories, then writes the files that differ, each whole or not at all, and sets owner, group and mode.
    Nothing is written unless every file that has a check passes it.
  - One call where M(ansible.builtin.template) needs two for each file and M(ansible.builtin.file) one for each
    directory, which takes most of the time of a run that changes nothing, on the controller as on the host.
  - Files whose change has the same consequence belong into one task, for C(notify) is the task's.
options:
  directories:
    description: Directories, in this order.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Where it is., type: path, required: true}
      owner: {description: Its owner., type: str, default: root}
      group: {description: Its group., type: str, default: root}
      mode: {description: Its mode in octal digits., type: str, default: "0755"}
  files:
    description: Files, in this order.
    type: list
    elements: dict
    default: []
    suboptions:
      dest: {description: Where it is., type: path, required: true}
      content: {description: All of its text., type: str, required: true}
      owner: {description: Its owner., type: str, default: root}
      group: {description: Its group., type: str, default: root}
      mode: {description: Its mode in octal digits., type: str, default: "0644"}
      validate:
        description: Command that must succeed before the file takes its place; C(%s) is where the text lies meanwhile.
        type: str
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author: Strandline developers
"""
EXAMPLES = r"""
- name: Configure the daemon
  strandline_files:
    directories:
      - {path: /etc/example}
    files:
      - dest: /etc/example/example.conf
        content: "{{ lookup('ansible.builtin.template', 'etc/example/example.conf.j2') }}"
        validate: /usr/sbin/example --check %s
  notify: Reload the daemon
"""
RETURN = r"""
written:
  description: Paths of the files whose text changed.
  type: list
  returned: always
"""

DIRECTORY = {
    "path": {"type": "path", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0755"},
}
FILE = {
    "dest": {"type": "path", "required": True},
    "content": {"type": "str", "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0644"},
    "validate": {"type": "str"},
}


class Refused(Exception):
    """What can't be done, in one sentence."""


def current(path: Path) -> bytes | None:
    """A regular file's bytes, or None when there is none. Raises Refused for anything else of that name."""
    if path.is_symlink() or not path.is_file():
        if path.is_symlink() or path.exists():
            raise Refused(f"{path} is no regular file. Look what it is, and move it away.")
        return None
    return path.read_bytes()


def attributes(module: AnsibleModule, path: Path, wanted: dict[str, Any], diff: dict[str, Any]) -> bool:
    """Set owner, group and mode; whether they were others."""
    arguments = module.load_file_common_arguments({**wanted, "path": str(path)})
    return bool(module.set_fs_attributes_if_different(arguments, False, diff=diff))


def directory(module: AnsibleModule, wanted: dict[str, Any], diffs: list[dict[str, Any]]) -> bool:
    """Make a directory; whether it changed."""
    path = Path(wanted["path"])
    if path.exists() and not path.is_dir():
        raise Refused(f"{path} is no directory. Look what it is, and move it away.")
    header = {"before_header": f"{path} (directory)", "after_header": f"{path} (directory)"}
    if not path.is_dir():
        diffs.append({**header, "before": {"state": "absent"}, "after": {"state": "directory"}})
        if not module.check_mode:
            path.mkdir(parents=True)
            attributes(module, path, wanted, {})
        return True
    diff: dict[str, Any] = {}
    changed = attributes(module, path, wanted, diff)
    if changed:
        diffs.append({**header, **diff})
    return changed


def validate(module: AnsibleModule, command: str, aside: str, path: Path) -> None:
    """Have a file's own program check it. Raises Refused with what it said."""
    if "%s" not in command:
        raise Refused(f"validate of {path} must contain %s, which stands for the file: {command}")
    code, output, errors = module.run_command(shlex.split(command % shlex.quote(aside)))
    if code != 0:
        raise Refused(f"{path} was not written, for its check failed: {command}: {output}{errors}".strip())


def prepared(module: AnsibleModule, wanted: dict[str, Any]) -> str | None:
    """A file's new text, written aside and checked: where it lies. None where the text stays as it is."""
    path, content = Path(wanted["dest"]), str(wanted["content"]).encode()
    if current(path) == content:
        return None
    handle, aside = tempfile.mkstemp(dir=str(module.tmpdir))
    with os.fdopen(handle, "wb") as out:
        out.write(content)
    if wanted["validate"] and not module.check_mode:
        validate(module, wanted["validate"], aside, path)
    return aside


def put(module: AnsibleModule, wanted: dict[str, Any], aside: str | None, diffs: list[dict[str, Any]]) -> bool:
    """Move what was prepared into place, and set owner, group and mode; whether anything changed."""
    path = Path(wanted["dest"])
    header = {"before_header": str(path), "after_header": str(path)}
    if aside is None:
        diff: dict[str, Any] = {}
        changed = attributes(module, path, wanted, diff)
        if changed:
            diffs.append({**header, **diff})
        return changed
    before = to_text(current(path) or b"", errors="replace")
    diffs.append({**header, "before": before, "after": wanted["content"]})
    if not module.check_mode:
        module.atomic_move(aside, str(path))
        attributes(module, path, wanted, {})
    return True


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "directories": {"type": "list", "elements": "dict", "default": [], "options": DIRECTORY},
            "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
        },
        supports_check_mode=True,
    )
    diffs: list[dict[str, Any]] = []
    written = []
    changed = False
    try:
        for wanted in module.params["directories"]:
            changed |= directory(module, wanted, diffs)
        # All of them are checked before the first one is in place: a run that fails here leaves the old ones together.
        asides = [prepared(module, wanted) for wanted in module.params["files"]]
        for wanted, aside in zip(module.params["files"], asides, strict=True):
            written += [wanted["dest"]] if aside else []
            changed |= put(module, wanted, aside, diffs)
    except (OSError, Refused) as error:
        module.fail_json(msg=str(error), written=written, changed=changed)
    module.exit_json(changed=changed, written=written, diff=diffs)


if __name__ == "__main__":
    main()
