"""Images on top of the base image, each from a directory with a Containerfile (`ARG BASE`, `FROM ${BASE}`)."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from strandline_cli import paths, podman
from strandline_cli.progress import Step

SCANNER = paths.ROOT / "files" / "demo" / "scanner"
VPS = paths.ROOT / "strandline_cli" / "images" / "vps"
TROUBLED = paths.ROOT / "strandline_cli" / "images" / "troubled"
BROWSER = paths.ROOT / "strandline_cli" / "images" / "browser"
DATABASE = paths.ROOT / "strandline_cli" / "images" / "database"
PDBTOOL = paths.ROOT / "strandline_cli" / "images" / "pdbtool"
IGNORED = paths.ROOT / "strandline_cli" / "images" / "containerignore"
NO_ARGUMENTS: Mapping[str, str] = MappingProxyType({})


def digest(directory: Path, base: str, arguments: Mapping[str, str] = NO_ARGUMENTS) -> str:
    """Return a hash of the base image's name, the build arguments and the files; tools' caches don't count.

    Of each file its name, mode and content.
    """
    state = hashlib.sha256("\0".join([base, *(f"{name}={value}" for name, value in arguments.items())]).encode())
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in name.parts):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            state.update(f"{name}\0{path.stat().st_mode & 0o111:o}\0{content}\n".encode())
    return state.hexdigest()[:12]


def ensure(step: Step, name: str, directory: Path, base: str, arguments: Mapping[str, str] = NO_ARGUMENTS) -> str:
    """Return the full name of the image strandline-<name>, building it when its inputs have changed."""
    repository = f"localhost/strandline-{name}"
    full = f"{repository}:{digest(directory, base, arguments)}"
    with (paths.cache() / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not podman.image_exists(full):
            options: list[str | Path] = [
                "--build-arg",
                f"BASE={base}",
                *(f"--build-arg={argument}={value}" for argument, value in arguments.items()),
                "--pull=never",
                "--ignorefile",
                IGNORED,
                "--tag",
                full,
            ]
            step.run(["podman", "build", *options, directory])
            for other in podman.image_tags(repository):
                if other != full:
                    podman.ask("rmi", other)
    return full


def ensure_scanner(step: Step, base: str) -> str:
    """Return the name of the scanner's image, for create.yml too."""
    full = ensure(step, "scanner", SCANNER, base)
    os.environ["STRANDLINE_SCANNER_IMAGE_TAG"] = full
    return full


def ensure_vps(step: Step, base: str) -> str:
    """Return the name of the image of a freshly leased server, for the inventories that start from it too."""
    full = ensure(step, "vps", VPS, base)
    os.environ["STRANDLINE_VPS_IMAGE_TAG"] = full
    return full


def ensure_troubled(step: Step, vps: str) -> str:
    """Return the name of the image of a server that comes with programs of its own, for inventories too."""
    full = ensure(step, "troubled", TROUBLED, vps)
    os.environ["STRANDLINE_TROUBLED_IMAGE_TAG"] = full
    return full
