"""The host that builds our packages: unless the inventory names a leased one, a container on this machine."""

from __future__ import annotations

import os

from strandline_cli import checks, host, podman
from strandline_cli.errors import Refusal
from strandline_cli.images import base
from strandline_cli.progress import Progress


def start(progress: Progress, name: str) -> bool:
    """Start the container; say whether it had to be. Raises Refusal where this machine or this user can't.

    playbooks/packages.yml calls this as `./strandline builder NAME`.
    """
    if podman.running(name):
        return False
    if os.geteuid() != 0:
        raise Refusal(
            f"The builder {name} is a container with systemd, which needs root. Run this as root, or put a Debian 13"
            " host of yours into the group builders."
        )
    checks.require(checks.before_containers())
    podman.prepare_environment()
    with progress.step("packages", "Install what this machine lacks") as step:
        host.install_packages(step)
    with progress.step("base-image", "Build the Debian 13 image that the builder starts from") as step:
        image = base.ensure(step)
    with progress.step("builder", "Start the builder of our packages") as step:
        if podman.ask("container", "exists", name).returncode == 0:
            step.run(["podman", "start", name])
        else:
            options = ["--name", name, "--hostname", name, "--systemd=always", "--pull=never", "--cap-add=SYS_ADMIN"]
            step.run(["podman", "run", "--detach", *options, "--security-opt=apparmor=unconfined", image, "/sbin/init"])
    return True
