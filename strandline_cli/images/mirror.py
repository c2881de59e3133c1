"""Which Debian mirror the images are made from: the one that this machine uses itself."""

from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass

from strandline_cli.errors import StepFailed

SUITE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
TIMEOUT = 10  # seconds for one small file of the mirror
FORMAT = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"


@dataclass(frozen=True)
class Mirror:
    """A mirror and which of our suites it has, as (address, suite); none: mmdebstrap's own choice."""

    suites: tuple[tuple[str, str], ...]

    def one_line(self) -> list[str]:
        """Return sources.list lines for mmdebstrap."""
        return [f"deb [signed-by={KEYRING}] {address} {suite} main" for address, suite in self.suites]

    def deb822(self) -> str:
        """Return the image's own debian.sources, with the source packages that the package builders need."""
        return "\n".join(
            f"Types: deb deb-src\nURIs: {address}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n"
            for address, suite in self.suites
        )


def parse_targets(text: str) -> tuple[str, str] | None:
    """Return the addresses of Debian's archive and its security archive from `apt-get indextargets`.

    The second is empty where the machine has none. None on Ubuntu, and where apt has no lists yet.
    """
    found = {"Debian": "", "Debian-Security": ""}
    for line in reversed(text.splitlines()):
        origin, label, address = (*line.split("|"), "", "")[:3]
        if origin == "Debian" and label in found and address.startswith(("http://", "https://")):
            found[label] = address.rstrip("/")
    return (found["Debian"], found["Debian-Security"]) if found["Debian"] else None


def has_suite(address: str, suite: str) -> bool:
    """Ask a mirror whether it has a suite."""
    request = urllib.request.Request(f"{address}/dists/{suite}/InRelease", method="HEAD")  # noqa: S310 - http(s) only
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310
            return True
    except (urllib.error.URLError, OSError, ValueError):
        return False


def find() -> Mirror:
    """Return the mirror with those of its suites that exist. Raises StepFailed when it hasn't got Debian 13."""
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", FORMAT, "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    addresses = parse_targets(targets)
    if addresses is None:
        return Mirror(())
    archive, security = addresses
    wanted = ((archive, SUITE), (archive, f"{SUITE}-updates"), (security, f"{SUITE}-security"))
    suites = tuple((address, suite) for address, suite in wanted if address and has_suite(address, suite))
    if not suites or suites[0] != wanted[0]:
        raise StepFailed(
            f"the Debian mirror {archive} can't be reached or lacks {SUITE};"
            " name one that has it in this machine's apt sources"
        )
    return Mirror(suites)
