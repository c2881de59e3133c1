"""The controller's own machine: its distribution and the Debian packages that it needs."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from strandline_cli.errors import Refusal
from strandline_cli.progress import Step

SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("24.04", "25.04", "25.10", "26.04")}
PACKAGES = (
    "aardvark-dns",
    "ca-certificates",
    "catatonit",
    "dbus",
    "debian-archive-keyring",
    "iptables",
    "mmdebstrap",
    "netavark",
    "nftables",
    "openssh-client",
    "podman",
    "uidmap",
)
APT_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}


INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES = 1024
"""Each systemd takes several, and one more container than fits ends at once (inotify(7)); Debian allows 128."""


def allow_containers(step: Step, setting: Path = INOTIFY) -> None:
    """Raise the kernel's limit on inotify instances until the next reboot, where it is too low for our containers."""
    try:
        if int(setting.read_text()) < INOTIFY_INSTANCES:
            setting.write_text(f"{INOTIFY_INSTANCES}\n")
            step.say(f"fs.inotify.max_user_instances is {INOTIFY_INSTANCES} until the next reboot.")
    except (OSError, ValueError):
        step.say("fs.inotify.max_user_instances can't be raised; many containers at once may not start.")


def os_release(path: Path = Path("/etc/os-release")) -> dict[str, str]:
    """Return the fields of os-release(5); empty where there is none."""
    try:
        text = path.read_text()
    except OSError:
        return {}
    return {key: value.strip("\"'") for key, value in re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE)}


def unsupported(release: dict[str, str]) -> str | None:
    """Return why this distribution can't be the controller, or None."""
    if release.get("VERSION_ID") in SUPPORTED.get(release.get("ID", ""), ()):
        return None
    name = release.get("PRETTY_NAME", "an unknown system")
    return (
        f"This is {name}, and containers run on Debian 12, Debian 13 and Ubuntu 24.04 or newer only. Use one of these."
    )


def cgroup_v2(root: Path = Path("/sys/fs/cgroup")) -> bool:
    """Say whether the unified cgroup hierarchy is in use; on a hybrid one crun can't start systemd, runc can."""
    return (root / "cgroup.controllers").exists()


def needed_packages() -> list[str]:
    """Return the packages that this machine needs."""
    return sorted([*PACKAGES, *(() if cgroup_v2() else ("runc",))])


def missing_packages(wanted: list[str]) -> list[str]:
    """Return those packages that dpkg doesn't have installed."""
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Abbrev}\n", *wanted]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise Refusal("There is no dpkg on this machine. Use Debian 12, Debian 13 or Ubuntu 24.04 or newer.") from error
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.split()[1:2] == ["ii"]}
    return [package for package in wanted if package not in installed]


def install_packages(step: Step) -> None:
    """Install what is missing and say what it is."""
    missing = missing_packages(needed_packages())
    if not missing:
        step.say("all there.")
        return
    step.say(f"{' '.join(missing)}")
    step.run(["apt-get", "-q", "update"], env=APT_ENVIRONMENT)
    step.run(["apt-get", "-qy", "--no-install-recommends", "install", *missing], env=APT_ENVIRONMENT)
    step.say(f"{' '.join(missing)}.")


def is_root() -> bool:
    """Say whether we run as root."""
    return os.geteuid() == 0
