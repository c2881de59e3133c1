"""The host that builds our packages: unless the inventory names a leased one, a container on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from strandline_cli import checks, host, inventory, podman
from strandline_cli.errors import Refusal
from strandline_cli.images import base
from strandline_cli.progress import Progress

CONNECTION = "strandline_container"


def containers(data: Mapping[str, Any]) -> list[str]:
    """Names of the builders that are containers of no network of their own: what the inventory leaves to us."""
    variables = data["_meta"]["hostvars"]
    return [
        name
        for name in data.get("builders", {}).get("hosts", [])
        if variables.get(name, {}).get("ansible_connection") == CONNECTION
        and "container_network" not in variables.get(name, {})
    ]


def wanted(extra: Sequence[str]) -> bool:
    """Say whether the arguments for ansible-playbook leave the builders in."""
    limits = [word for word in extra if word.startswith(("-l", "--limit"))]
    return not limits or any("builders" in word or "all" in word.split("=")[-1].split(",") for word in extra)


def ensure(progress: Progress, places: Sequence[str], extra: Sequence[str]) -> None:
    """Start the builders that are containers. Raises Refusal where this machine or this user can't."""
    if not wanted(extra):
        return
    remedy = "Mend it, or compare it with inventory/example."
    ours = containers(inventory.listing(places, "the inventory", remedy))
    missing = [name for name in ours if not podman.running(name)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise Refusal(
            f"The builder {missing[0]} is a container with systemd, which needs root. Run this as root, or put a"
            " Debian 13 host of yours into the group builders."
        )
    checks.require(checks.before_containers())
    with progress.step("packages", "Install what this machine lacks") as step:
        host.install_packages(step)
    with progress.step("base-image", "Build the Debian 13 image that the builder starts from") as step:
        image = base.ensure(step)
    with progress.step("builder", "Start the builder of our packages") as step:
        for name in missing:
            if podman.ask("container", "exists", name).returncode == 0:
                step.run(["podman", "start", name])
                continue
            options = ["--name", name, "--hostname", name, "--systemd=always", "--pull=never", "--cap-add=SYS_ADMIN"]
            step.run(["podman", "run", "--detach", *options, "--security-opt=apparmor=unconfined", image, "/sbin/init"])
