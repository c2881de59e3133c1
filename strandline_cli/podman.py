"""Podman: how it must be set so that systemd runs in its containers, and the few questions we ask it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from strandline_cli import paths
from strandline_cli.host import cgroup_v2

SETTINGS = """\
# Written by strandline; used through CONTAINERS_CONF.
[engine]
{runtime}
[containers]
# Without CAP_SYS_RESOURCE podman can't raise limits, and its own defaults lie above what such a root has.
default_ulimits = ["nofile=16384:16384", "nproc=4096:4096"]
pids_limit = -1

[network]
network_backend = "netavark"
"""


def settings(*, unified: bool) -> str:
    """Return our containers.conf(5) for this machine's kind of cgroups."""
    runtime = "" if unified else '# A hybrid cgroup hierarchy: crun can\'t start systemd there.\nruntime = "runc"\n'
    return SETTINGS.format(runtime=runtime)


def prepare_environment() -> None:
    """Let everything that we start find our settings. A CONTAINERS_CONF that the operator set is respected."""
    os.environ.setdefault("PODMAN_IGNORE_CGROUPSV1_WARNING", "1")
    if "CONTAINERS_CONF" in os.environ:
        return
    path = paths.cache() / "containers.conf"
    text = settings(unified=cgroup_v2())
    if not path.exists() or path.read_text() != text:
        aside = path.with_suffix(f".{os.getpid()}")
        aside.write_text(text)
        aside.replace(path)
    os.environ["CONTAINERS_CONF"] = str(path)


def ask(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run podman and return what it says, whatever its exit code; 127 when there is no podman."""
    command = ["podman", *map(str, arguments)]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", "podman is not installed")


def image_exists(tag: str) -> bool:
    """Say whether an image of this name is here."""
    return ask("image", "exists", tag).returncode == 0


def image_tags(repository: str) -> list[str]:
    """Return the full names of a repository's images."""
    done = ask("images", "--noheading", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={repository}")
    return done.stdout.split()


def running(name: str) -> bool:
    """Say whether a container of this name runs."""
    done = ask("inspect", "--type", "container", "--format", "{{.State.Running}}", name)
    return done.returncode == 0 and done.stdout.strip() == "true"


def published_by(port: int) -> str | None:
    """Return the name of the running container that publishes a TCP port of this machine."""
    done = ask("ps", "--format", "json")
    if done.returncode != 0:
        return None
    for container in json.loads(done.stdout or "[]"):
        if any(mapping.get("host_port") == port for mapping in container.get("Ports") or []):
            return str(container["Names"][0])
    return None
