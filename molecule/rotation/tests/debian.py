"""What Debian publishes next, as the hosts see it: a repository of the tests' own, on each host's disk."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from containers import Machine

PLACE = "/srv/next"
LIST = "/etc/apt/sources.list.d/next.list"
NEWER = "+next1"
"""What the next version of a package has behind the last one's."""
TOY = "strandline-test-toy"

# Each is what the mirror has, with another version in it.
REPACK = r"""
set -eu
umask 022
mkdir -p "$PLACE"
work=$(mktemp -d /var/tmp/next.XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get --quiet=2 --option=APT::Sandbox::User=root download "$@"
for package in *.deb; do
    old=$(dpkg-deb --field "$package" Version)
    dpkg-deb --raw-extract "$package" tree
    sed -i "s/^Version: .*/&$NEWER/; s/(= $old)/(= $old$NEWER)/g" tree/DEBIAN/control
    dpkg-deb --root-owner-group -Znone --build tree "$PLACE" >/dev/null
    rm -rf tree
done
"""
BUILD_TOY = r"""
set -eu
umask 022
work=$(mktemp -d /var/tmp/next.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/DEBIAN"
cat >"$work/DEBIAN/control" <<END
Package: $TOY
Version: $1
Architecture: all
Maintainer: Strandline developers <strandline@example.org>
Description: nothing at all
END
printf '#!/bin/sh\n%s\n' "$2" >"$work/DEBIAN/postinst"
chmod 0755 "$work" "$work/DEBIAN/postinst"
dpkg-deb --root-owner-group --build "$work" "$PLACE" >/dev/null
"""
INDEX = r"""
set -eu
cd "$1"
for package in *.deb; do
    dpkg-deb --field "$package"
    printf 'Filename: ./%s\nSize: %s\n' "$package" "$(stat --format=%s "$package")"
    printf 'SHA256: %s\n\n' "$(sha256sum "$package" | cut -d ' ' -f 1)"
done >Packages
"""


def installed(host: Machine, *sources: str) -> dict[str, str]:
    """Versions of the packages that a host has of some sources, by name."""
    lines = host.check("dpkg-query", "--show", "--showformat=${source:Package} ${Package} ${Version}\n").splitlines()
    return {package: version for source, package, version in map(str.split, lines) if source in sources}


def repack(maker: Machine, packages: Sequence[str]) -> None:
    """Have the next version of packages in the repository of the host that makes it."""
    maker.check("env", f"PLACE={PLACE}", f"NEWER={NEWER}", "sh", "-c", REPACK, "repack", *packages)


def build_toy(maker: Machine, version: int, postinst: str) -> None:
    """Have a version of a package in it that has nothing but a script, which configures it."""
    maker.check("env", f"PLACE={PLACE}", f"TOY={TOY}", "sh", "-c", BUILD_TOY, "build", str(version), postinst)


def publish(maker: Machine, hosts: Sequence[Machine]) -> None:
    """All of them have what the maker has in its repository, beside Debian's."""
    maker.check("sh", "-c", INDEX, "index", PLACE)
    for host in hosts:
        if host != maker:
            host.check("rm", "-rf", PLACE)
            copy = ["podman", "cp", f"{maker.name}:{PLACE}", f"{host.name}:{PLACE}"]
            subprocess.run(copy, check=True, capture_output=True)
        host.check("sh", "-c", f"echo 'deb [trusted=yes] file:{PLACE} ./' >{LIST}")
