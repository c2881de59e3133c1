"""The base image, from Debian's packages by mmdebstrap, or from an image that STRANDLINE_BASE_IMAGE names.

Its tag holds a hash of everything that goes into it and the week: the image is made again for each week's security
updates. The mirror isn't part of the hash, for one machine uses one mirror. No container registry is asked unless the
operator names an image: Debian's mirror is at hand on every Debian machine, a registry is one more thing to trust.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import time
from pathlib import Path

from strandline_cli import paths, podman
from strandline_cli.errors import StepFailed
from strandline_cli.images import mirror
from strandline_cli.progress import Step

REPOSITORY = "localhost/strandline-base"
PULL_TIMEOUT = 300  # seconds
# A leased host has at least these. No openssh-server: its host keys would be the same in each container.
PACKAGES = (
    "adduser",
    "ca-certificates",
    "dbus",
    "iproute2",
    "netbase",
    "passwd",
    "procps",
    "python3",
    "python3-apt",
    "systemd",
    "systemd-sysv",
    "tzdata",
)
LEAVE_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")
# The lists are left out and look old, so that apt's cache_valid_time makes the first task update them.
TIDY = """\
#!/bin/sh -e
: > "$1/etc/machine-id"
rm -rf "$1/etc/hostname" "$1/etc/resolv.conf" "$1/etc/apt/sources.list" "$1"/etc/ssh/ssh_host_* \
  "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/log/*.log "$1"/var/log/apt/*
touch -d @0 "$1/var/lib/apt/lists"
"""
# Where mmdebstrap has chosen the mirror: its list becomes the image's own, with the source packages.
KEEP_SOURCES = """\
#!/bin/sh -e
sed 'p; s/^deb /deb-src /' "$1/etc/apt/sources.list" > "$1/etc/apt/sources.list.d/debian.list"
"""
CHANGES = ('CMD ["/sbin/init"]', "STOPSIGNAL SIGRTMIN+3", "ENV container=podman")
CONTAINERFILE = """\
FROM {image}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install {packages} \\
 && sed -i 's/^Types: deb$/Types: deb deb-src/' /etc/apt/sources.list.d/*.sources \\
 && apt-get clean && rm -rf /var/lib/apt/lists/* && : > /etc/machine-id && touch -d @0 /var/lib/apt/lists
CMD ["/sbin/init"]
STOPSIGNAL SIGRTMIN+3
"""


def week(now: float) -> str:
    """Return the ISO year and week, UTC."""
    return time.strftime("%G%V", time.gmtime(now))


def tag(named: str, now: float) -> str:
    """Return the base image's full name for what goes into it and this week."""
    inputs = [mirror.SUITE, *PACKAGES, *LEAVE_OUT, TIDY, KEEP_SOURCES, *CHANGES, CONTAINERFILE, named]
    digest = hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:12]
    return f"{REPOSITORY}:{mirror.SUITE}-{digest}-{week(now)}"


def ensure(step: Step) -> str:
    """Return the base image's name, building it when it isn't there. One process at a time builds."""
    named = os.environ.get("STRANDLINE_BASE_IMAGE", "")
    name = tag(named, time.time())
    with (paths.cache() / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not podman.image_exists(name):
            if named:
                from_image(step, named, name)
            else:
                from_packages(step, name)
            remove_outdated(name)
    os.environ["STRANDLINE_BASE_IMAGE_TAG"] = name
    return name


def from_packages(step: Step, name: str) -> None:
    """Make the image from Debian's packages."""
    step.say("ask the Debian mirror for its suites")
    source = mirror.find()
    with tempfile.TemporaryDirectory(prefix="strandline-", dir=paths.cache()) as directory:
        archive = Path(directory) / "base.tar"
        sources = Path(directory) / "debian.sources"
        sources.write_text(source.deb822())
        sources.chmod(0o644)
        tidy = Path(directory) / "tidy"
        keep = Path(directory) / "keep-sources"
        for hook, text in ((tidy, TIDY), (keep, KEEP_SOURCES)):
            hook.write_text(text)
            hook.chmod(0o755)
        own_sources = f"copy-in {sources} /etc/apt/sources.list.d" if source.suites else str(keep)
        step.run(
            [
                "mmdebstrap",
                "--variant=apt",
                "--mode=root",
                f"--include={','.join(PACKAGES)}",
                "--aptopt=Acquire::Languages none",
                "--dpkgopt=force-unsafe-io",
                *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEAVE_OUT),
                "--dpkgopt=path-include=/usr/share/doc/*/copyright",
                "--skip=cleanup/apt/lists",
                f"--customize-hook={own_sources}",
                f"--customize-hook={tidy}",
                mirror.SUITE,
                archive,
                *source.one_line(),
            ],
            env={"TMPDIR": "/var/tmp"},  # noqa: S108 - /tmp is a small tmpfs without devices on Debian 13
        )
        step.say("import it into podman")
        step.run(["podman", "import", "--quiet", *(f"--change={change}" for change in CHANGES), archive, name])


def from_image(step: Step, named: str, name: str) -> None:
    """Make the image from one of a registry."""
    if step.run(["podman", "pull", "--quiet", named], check=False, timeout=PULL_TIMEOUT) != 0:
        raise StepFailed(
            f"the image {named} of STRANDLINE_BASE_IMAGE can't be pulled; unset it to build from Debian's packages"
        )
    with tempfile.TemporaryDirectory(prefix="strandline-", dir=paths.cache()) as directory:
        recipe = Path(directory) / "Containerfile"
        recipe.write_text(CONTAINERFILE.format(image=named, packages=" ".join(PACKAGES)))
        step.run(["podman", "build", "--tag", name, directory])


def remove_outdated(name: str) -> None:
    """Remove the base images of earlier weeks. Podman keeps those that a container still uses."""
    this_week = name.rsplit("-", 1)[-1]
    for other in podman.image_tags(REPOSITORY):
        if other.rsplit("-", 1)[-1] < this_week:
            podman.ask("rmi", other)
