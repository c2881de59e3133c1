"""`./strandline demo --down`: remove every trace of the demo, with --cache its cache too."""

from __future__ import annotations

import shutil
from pathlib import Path

from strandline_cli import paths, playbook, podman
from strandline_cli.demo import network
from strandline_cli.progress import Progress

TRACES = (
    paths.DEMO_BUILD,
    paths.DEMO_INVENTORY / "certificates",
    paths.DEMO_INVENTORY / "known_hosts",
)
IMAGES = (
    "localhost/strandline-scanner",
    "localhost/strandline-vps",
    "localhost/strandline-pdbtool",
    "localhost/strandline-base",
)


def down(progress: Progress, *, cache: bool) -> None:
    """Remove the containers, their network and the demo's files."""
    podman.prepare_environment()
    net = network.load()
    if podman.ask("--version").returncode == 0:
        playbook.prepare_ansible(progress)
        with progress.step("hosts", f"Remove {len(net.hosts)} hosts and their network") as step:
            playbook.play(step, paths.SHARED / "destroy.yml", [str(paths.DEMO_INVENTORY)])
    with progress.step("files", "Remove the demo's files"):
        for trace in TRACES:
            remove(trace)
    for log in paths.LOGS.glob("demo-*.log"):
        log.unlink()
    if cache:
        remove_cache()
    else:
        print(
            f"Left for the next time: {paths.cache()} and podman's images localhost/strandline-*.\n"
            "To remove them too: ./strandline demo --down --cache"
        )


def remove(path: Path) -> None:
    """Remove a file or a directory if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_cache() -> None:
    """Remove the images, the collections and the cache, with the Python environment that this very process runs in."""
    for repository in IMAGES:
        for tag in podman.image_tags(repository):
            podman.ask("rmi", tag)
    remove(paths.ROOT / "collections")
    shutil.rmtree(paths.cache())
    print("Nothing is left but this clone and the Debian packages that were installed.")
