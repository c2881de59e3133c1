"""The module that makes directories and text files, run as Ansible runs it on a host."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).parents[2] / "library" / "strandline_files.py"
ME = pwd.getpwuid(os.getuid()).pw_name
MINE = {"owner": ME, "group": str(os.getgid())}


def run(*, check: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run the module; what it tells Ansible."""
    told = {"_ansible_check_mode": check, "_ansible_diff": True, "_ansible_remote_tmp": "/tmp", **arguments}  # noqa: S108
    done = subprocess.run(
        [sys.executable, MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": told}),
        capture_output=True,
        text=True,
        check=False,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def wanted(top: Path, text: str = "a = 1\n", **more: Any) -> dict[str, Any]:
    """A directory with a file in it."""
    return {
        "directories": [{"path": str(top / "etc"), "mode": "0750", **MINE}],
        "files": [{"dest": str(top / "etc" / "a.conf"), "content": text, "mode": "0640", **MINE, **more}],
    }


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_what_is_missing_is_made_once(tmp_path: Path) -> None:
    first = run(**wanted(tmp_path))
    file = tmp_path / "etc" / "a.conf"
    assert (first["changed"], first["written"]) == (True, [str(file)])
    assert (file.read_text(), mode(file), mode(file.parent)) == ("a = 1\n", 0o640, 0o750)
    again = run(**wanted(tmp_path))
    assert (again["changed"], again["written"], again["diff"]) == (False, [], [])


def test_what_differs_is_shown_and_in_check_mode_left(tmp_path: Path) -> None:
    run(**wanted(tmp_path))
    shown = run(check=True, **wanted(tmp_path, "a = 2\n"))
    file = tmp_path / "etc" / "a.conf"
    assert shown["changed"]
    assert [(one["before"], one["after"]) for one in shown["diff"]] == [("a = 1\n", "a = 2\n")]
    assert file.read_text() == "a = 1\n"
    assert run(**wanted(tmp_path, "a = 2\n"))["written"] == [str(file)]
    assert file.read_text() == "a = 2\n"


def test_check_mode_on_a_bare_host_makes_nothing(tmp_path: Path) -> None:
    shown = run(check=True, **wanted(tmp_path))
    assert shown["changed"]
    assert list(tmp_path.iterdir()) == []


def test_modes_are_set_right_without_a_word_of_new_text(tmp_path: Path) -> None:
    run(**wanted(tmp_path))
    file = tmp_path / "etc" / "a.conf"
    file.chmod(0o666)
    file.parent.chmod(0o777)
    result = run(**wanted(tmp_path))
    assert (result["changed"], result["written"]) == (True, [])
    assert (mode(file), mode(file.parent)) == (0o640, 0o750)


def test_nothing_is_written_when_one_file_fails_its_check(tmp_path: Path) -> None:
    run(**wanted(tmp_path))
    both = wanted(tmp_path, "a = 2\n")
    both["files"].append(
        {"dest": str(tmp_path / "etc" / "b.conf"), "content": "bad\n", "validate": "grep good %s", **MINE}
    )
    result = run(**both)
    assert result["failed"]
    assert "b.conf was not written, for its check failed: grep good %s" in result["msg"]
    assert (tmp_path / "etc" / "a.conf").read_text() == "a = 1\n"
    both["files"][1]["content"] = "good\n"
    assert run(**both)["written"] == [str(tmp_path / "etc" / "a.conf"), str(tmp_path / "etc" / "b.conf")]


def test_a_check_without_a_place_for_the_file_is_refused(tmp_path: Path) -> None:
    assert "must contain %s" in run(**wanted(tmp_path, validate="true"))["msg"]


@pytest.mark.parametrize("kind", ["link", "directory"])
def test_what_is_no_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    (tmp_path / "etc").mkdir()
    file = tmp_path / "etc" / "a.conf"
    if kind == "link":
        file.symlink_to("/dev/null")
    else:
        file.mkdir()
    result = run(**wanted(tmp_path))
    assert result["failed"]
    assert "a.conf is no regular file" in result["msg"]
    assert file.is_symlink() == (kind == "link")
