"""The collections: exactly the versions of requirements.yml, out of the wheel."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from strandline_cli import galaxy
from strandline_cli.errors import Refusal, StepFailed


def wheel(path: Path, versions: dict[str, str]) -> Path:
    """Make a wheel with these collections and one that nobody wants."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, version in {**versions, "not.wanted": "9.9.9"}.items():
            folder = f"ansible_collections/{name.replace('.', '/')}"
            manifest = {"collection_info": {"version": version}}
            archive.writestr(f"{folder}/MANIFEST.json", json.dumps(manifest))
            archive.writestr(f"{folder}/plugins/x.py", "")
    return path


def test_only_the_wanted_folders_are_unpacked(tmp_path: Path) -> None:
    wanted = {"ansible.posix": "2.2.2"}
    top = tmp_path / "kept" / "ansible_collections"
    galaxy.unpack(wheel(tmp_path / "a.whl", wanted), wanted, top)
    assert (top / "ansible" / "posix" / "plugins" / "x.py").exists()
    assert not (top / "not").exists()
    assert galaxy.unsatisfied(wanted, top) == []


def test_another_version_in_the_wheel_is_named(tmp_path: Path) -> None:
    archive = wheel(tmp_path / "a.whl", {"ansible.posix": "2.1.0"})
    with pytest.raises(StepFailed, match=r"ansible\.posix 2\.2\.2.*brings 2\.1\.0"):
        galaxy.unpack(archive, {"ansible.posix": "2.2.2"}, tmp_path / "kept" / "ansible_collections")


def test_a_collection_that_the_wheel_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="brings none"):
        galaxy.unpack(wheel(tmp_path / "a.whl", {}), {"a.b": "1.0.0"}, tmp_path / "kept" / "ansible_collections")


@pytest.mark.parametrize("content", ["", "{}", "not json", '{"collection_info": {"version": "1.0.0"}}'])
def test_a_damaged_or_older_collection_is_fetched_again(tmp_path: Path, content: str) -> None:
    folder = galaxy.folder(tmp_path, "a.b")
    folder.mkdir(parents=True)
    (folder / "MANIFEST.json").write_text(content)
    assert galaxy.unsatisfied({"a.b": "2.0.0"}, tmp_path) == ["a.b"]


def test_an_entry_without_a_version_is_refused(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.yml"
    requirements.write_text("collections:\n  - name: a.b\n")
    with pytest.raises(Refusal, match="exact version"):
        galaxy.wanted(requirements)


def test_the_real_requirements_are_exact() -> None:
    assert all(version.count(".") == 2 for version in galaxy.wanted().values())
