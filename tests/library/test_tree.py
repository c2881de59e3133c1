"""The module that installs a directory of text files, and the filter that reads one."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from filter_plugins.trees import source_tree
from library.strandline_tree import synchronise

FILES = {"a.py": "print(1)\n", "sub/b.py": "ä\n", "run": "#!/bin/sh\n"}


def tree(directory: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(directory)): (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777)
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_files_are_written_once(tmp_path: Path) -> None:
    dest = tmp_path / "new" / "place"
    assert synchronise(dest, FILES, check=False)["changed"]
    assert tree(dest) == {"a.py": ("print(1)\n", 0o644), "sub/b.py": ("ä\n", 0o644), "run": ("#!/bin/sh\n", 0o755)}
    again = synchronise(dest, FILES, check=False)
    assert (again["changed"], again["written"], again["removed"]) == (False, [], [])


def test_only_what_differs_is_written_and_what_is_no_longer_part_goes(tmp_path: Path) -> None:
    synchronise(tmp_path, FILES, check=False)
    (tmp_path / "old.py").write_text("")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.pyc").write_text("")
    (tmp_path / "a.py").chmod(0o600)
    result = synchronise(tmp_path, {**FILES, "sub/b.py": "new\n"}, check=False)
    assert result["written"] == [str(tmp_path / "a.py"), str(tmp_path / "sub/b.py")]
    assert result["removed"] == [str(tmp_path / "old.py")]
    assert "__pycache__/a.pyc" in tree(tmp_path)


def test_check_mode_says_the_same_and_changes_nothing(tmp_path: Path) -> None:
    dest = tmp_path / "place"
    said = synchronise(dest, FILES, check=True)
    assert not dest.exists()
    assert said == synchronise(dest, FILES, check=False)


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.py").symlink_to(tmp_path / "elsewhere")
    synchronise(tmp_path / "tree", {"a.py": "new"}, check=False)
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert not (tmp_path / "tree" / "a.py").is_symlink()


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "", "a/../../b"])
def test_a_path_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no path inside"):
        synchronise(tmp_path, {name: "x"}, check=False)


def test_the_filter_reads_sources_and_leaves_out_what_python_makes(tmp_path: Path) -> None:
    synchronise(tmp_path / "p", FILES, check=False)
    (tmp_path / "p" / "__pycache__").mkdir()
    (tmp_path / "p" / "__pycache__" / "a.cpython-313.pyc").write_bytes(b"\0")
    (tmp_path / "p" / ".hidden").write_text("")
    assert source_tree(str(tmp_path / "p")) == FILES
    assert source_tree(str(tmp_path / "p"), r"\.py$") == {"a.py": "print(1)\n", "sub/b.py": "ä\n"}


def test_the_filter_names_a_directory_without_sources(tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match=f"{tmp_path}/nothing"):
        source_tree(str(tmp_path / "nothing"))


def test_a_subtree_is_taken_and_installed_without_touching_its_neighbours(tmp_path: Path) -> None:
    source, dest = tmp_path / "source", tmp_path / "dest"
    sources = ("__init__.py", "event/__init__.py", "event/line.py", "event/feeds.py", "sensor/a.py", "sensors/b.py")
    synchronise(source, dict.fromkeys(sources, "1"), check=False)
    mine = ["event/line.py", "sensor"]
    files = source_tree(str(source), r"\.py$", mine)
    assert sorted(files) == ["__init__.py", "event/__init__.py", "event/line.py", "sensor/a.py"]
    synchronise(dest, {"collector/c.py": "2", "sensor/old.py": "2", "sensors/b.py": "2"}, check=False)
    result = synchronise(dest, files, check=False, subtrees=mine)
    assert result["removed"] == [str(dest / "sensor" / "old.py")]
    assert set(tree(dest)) == {*files, "collector/c.py", "sensors/b.py"}


def test_a_subtree_that_is_not_there_is_named(tmp_path: Path) -> None:
    synchronise(tmp_path, FILES, check=False)
    with pytest.raises(AnsibleFilterError, match="sensor: no source file"):
        source_tree(str(tmp_path), "", ["sub", "sensor"])
