"""The Ansible collections of requirements.yml, unpacked into collections/.

They come out of the `ansible` wheel on PyPI, which holds them all, under a hash like everything else that the
controller runs. What was unpacked is kept in the cache.

Why not `ansible-galaxy collection install`: requirements.yml can pin a version and not a hash, so Galaxy would be a
second source to reach and to trust. It installs no collection out of a wheel; and for folders that are unpacked already
it would do what copying does, and take seconds where looking at MANIFEST.json takes none. Plain Ansible can install
from requirements.yml all the same: the versions are Galaxy's.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from strandline_cli import paths
from strandline_cli.errors import Refusal, StepFailed
from strandline_cli.progress import Step

REQUIREMENTS = paths.ROOT / "requirements.yml"
WHEEL = paths.ROOT / "requirements" / "collections.txt"
INSTALLED = paths.ROOT / "collections" / "ansible_collections"


def wanted(requirements: Path = REQUIREMENTS) -> dict[str, str]:
    """Return collection names with their exact versions."""
    entries = yaml.safe_load(requirements.read_text())["collections"]
    try:
        return {entry["name"]: str(entry["version"]) for entry in entries}
    except (KeyError, TypeError) as error:
        raise Refusal(f"Each collection in {requirements.name} needs a name and an exact version.") from error


def version_in(collection: Path) -> str | None:
    """Return the version of an unpacked collection, or None where there is none."""
    try:
        return str(json.loads((collection / "MANIFEST.json").read_text())["collection_info"]["version"])
    except (OSError, ValueError, KeyError):
        return None


def folder(top: Path, name: str) -> Path:
    """Return where a collection lives below ansible_collections."""
    return top.joinpath(*name.split("."))


def unsatisfied(collections: Mapping[str, str], top: Path = INSTALLED) -> list[str]:
    """Return the names of collections that aren't there in the wanted version."""
    return [name for name, version in collections.items() if version_in(folder(top, name)) != version]


def unpack(wheel: Path, collections: Mapping[str, str], top: Path) -> None:
    """Unpack the wanted folders of the wheel. Raises StepFailed when it holds other versions."""
    prefixes = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in collections)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(top.parent, [member for member in archive.namelist() if member.startswith(prefixes)])
    for name, version in collections.items():
        found = version_in(folder(top, name))
        if found != version:
            raise StepFailed(
                f"requirements.yml asks for {name} {version}, requirements/collections.txt brings {found or 'none'};"
                " make the two agree"
            )


def ensure(step: Step) -> None:
    """Put the collections into the clone."""
    collections = wanted()
    if not unsatisfied(collections):
        return
    key = hashlib.sha256(WHEEL.read_bytes() + repr(sorted(collections.items())).encode()).hexdigest()[:12]
    kept = paths.cache() / f"collections-{key}"
    with (paths.cache() / "collections.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            download(step, collections, kept)
        step.say("copy them into collections/")
        for name in unsatisfied(collections):
            target = folder(INSTALLED, name)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder(kept / "ansible_collections", name), target)
    step.say(f"{', '.join(collections)}.")


def download(step: Step, collections: Mapping[str, str], kept: Path) -> None:
    """Fetch the wheel and keep the wanted part of it; complete once it has its final name."""
    with tempfile.TemporaryDirectory(prefix="strandline-", dir=paths.cache()) as directory:
        step.say("download the ansible wheel (50 MB) and take the wanted collections out of it")
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            "download",
            "--progress-bar=off",
        ]
        only = ["--no-deps", "--only-binary=:all:", "--python-version=3.13"]
        step.run([*pip, *only, "--require-hashes", "-r", WHEEL, "--dest", directory])
        (wheel,) = Path(directory).glob("*.whl")
        unpack(wheel, collections, Path(directory) / "kept" / "ansible_collections")
        (Path(directory) / "kept").rename(kept)
