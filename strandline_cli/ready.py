"""What must be there before containers are made: Debian's packages on this machine, and Ansible's collections."""

from __future__ import annotations

from strandline_cli import galaxy, host
from strandline_cli.progress import Progress


def for_containers(progress: Progress) -> None:
    """Install what is missing. Raises StepFailed."""
    with progress.step("packages", "Install what this machine lacks") as step:
        host.install_packages(step)
        host.allow_containers(step)
    with progress.step("collections", "Unpack Ansible's collections") as step:
        galaxy.ensure(step)
