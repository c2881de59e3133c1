"""What must hold on this machine, each with its remedy.

All of it makes the table of `doctor`; what installing packages can't correct is asked before a verb changes anything.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from strandline_cli import galaxy, host, paths, podman
from strandline_cli.demo.network import Network
from strandline_cli.errors import Refusal, StepFailed
from strandline_cli.images import mirror

DISK_NEEDED = 6  # GB for images, containers and the cache
MEMORY_NEEDED = 2.0  # GB that are free when the demo begins
# Bits of capabilities(7) that root needs in order to start our containers.
CAPABILITIES = {"CAP_SYS_ADMIN": 21, "CAP_NET_ADMIN": 12, "CAP_SYS_PTRACE": 19, "CAP_MKNOD": 27}


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    name: str
    found: str
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """A check without a remedy is one that holds."""
        return not self.remedy


def system() -> Check:
    """Check the distribution."""
    release = host.os_release()
    return Check("System", release.get("PRETTY_NAME", "unknown"), host.unsupported(release) or "")


def root() -> Check:
    """Check that we run as root."""
    if host.is_root():
        return Check("Rights", "root")
    return Check(
        "Rights", "not root", "Containers with systemd in them need root. Run it with sudo, or in a root shell."
    )


def missing_capabilities(status: str) -> list[str]:
    """Return the names of needed capabilities that /proc/self/status doesn't show as effective."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    mask = int(found.group(1), 16) if found else 0
    return [name for name, bit in CAPABILITIES.items() if not mask >> bit & 1]


def capabilities() -> Check:
    """Check that this root may start containers: one inside an unprivileged container may not."""
    missing = missing_capabilities(Path("/proc/self/status").read_text())
    if not host.is_root() or not missing:
        return Check("Capabilities", "enough" if not missing else "those of a user")
    return Check(
        "Capabilities",
        f"without {', '.join(missing)}",
        "This root is confined. Use a machine or virtual machine, or a privileged container.",
    )


def packages() -> Check:
    """Check the Debian packages."""
    missing = host.missing_packages(host.needed_packages())
    if not missing:
        return Check("Packages", "all installed")
    return Check(
        "Packages",
        f"missing: {' '.join(missing)}",
        f"./strandline demo installs them, or: apt-get install {' '.join(missing)}",
    )


def collections() -> Check:
    """Check Ansible's collections."""
    missing = galaxy.unsatisfied(galaxy.wanted())
    if not missing:
        return Check("Collections", "as requirements.yml says")
    return Check(
        "Collections",
        f"missing: {', '.join(missing)}",
        "The next verb that needs them unpacks them: ./strandline demo or test.",
    )


def existing(path: Path) -> Path:
    """Return the nearest directory above that exists."""
    while not path.exists():
        path = path.parent
    return path


def disk() -> Check:
    """Check the free space where podman keeps its images and where our cache is."""
    places = [existing(Path("/var/lib/containers")), existing(paths.cache())]
    free, place = min((shutil.disk_usage(place).free / 1e9, place) for place in places)
    if free >= DISK_NEEDED:
        return Check("Disk", f"{free:.0f} GB free")
    return Check(
        "Disk",
        f"{free:.1f} GB free at {place}",
        f"Free {DISK_NEEDED} GB there; STRANDLINE_CACHE moves the cache elsewhere.",
    )


def memory() -> Check:
    """Check the memory that programs can still have."""
    found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    available = int(found.group(1)) / 1e6 if found else 0.0
    if available >= MEMORY_NEEDED:
        return Check("Memory", f"{available:.1f} GB available")
    return Check(
        "Memory",
        f"{available:.1f} GB available",
        f"The demo's six hosts need {MEMORY_NEEDED:.0f} GB. End some programs.",
    )


def containers() -> Check:
    """Check that podman works with our settings."""
    if not shutil.which("podman"):
        return Check("Podman", "not installed", "./strandline demo installs it, or: apt-get install podman")
    done = podman.ask("info", "--format", "{{.Version.Version}}, {{.Host.NetworkBackend}}, {{.Host.OCIRuntime.Name}}")
    if done.returncode == 0:
        return Check("Podman", done.stdout.strip())
    said = done.stderr.strip().splitlines()[-1:] or ["no message"]
    return Check("Podman", said[0], "Make `podman info` work as root; TROUBLESHOOTING.md lists what podman says.")


def debian_mirror() -> Check:
    """Check that Debian 13's packages can be had."""
    try:
        found = mirror.find()
    except StepFailed as failure:
        return Check("Mirror", "no Debian 13", f"{str(failure)[:1].upper()}{str(failure)[1:]}.")
    except FileNotFoundError:
        return Check("Mirror", "no apt-get", "Use Debian 12, Debian 13 or Ubuntu 24.04 or newer.")
    if not found.suites:
        return Check("Mirror", "none of Debian's in apt's sources: mmdebstrap chooses one")
    return Check("Mirror", f"{found.suites[0][0]} ({', '.join(suite for _, suite in found.suites)})")


def listener(port: int) -> str:
    """Return who listens on a TCP port, as far as ss(8) can tell."""
    try:
        done = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "another program"
    found = re.search(r'users:\(\("([^"]+)",pid=(\d+)', done.stdout)
    return f"{found.group(1)} (process {found.group(2)})" if found else "another program"


def free_port(host_name: str, address: str, port: int) -> Check:
    """Check that a port of this machine is free, or is the demo's already."""
    name = f"Port {port}"
    if podman.published_by(port) == host_name:
        return Check(name, f"the demo's own ({host_name})")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((address, port))
        except OSError as error:
            who = podman.published_by(port) or listener(port)
            remedy = f"Stop {who}, or choose another port under container_publish in inventory/demo/central.yml."
            return Check(name, f"{address}:{port}: {error.strerror}", f"{name} on {address} is used by {who}. {remedy}")
    return Check(name, f"free on {address}")


def overlapping_route(subnet: str, routes: Iterable[dict[str, str]]) -> str | None:
    """Return a route of this machine that a container network would overlap, as `network dev interface`."""
    ours = ipaddress.ip_network(subnet)
    for route in routes:
        destination = route.get("dst", "default")
        if destination == "default" or ":" in destination:
            continue
        if ipaddress.ip_network(destination, strict=False).overlaps(ours):
            return f"{destination} dev {route.get('dev', '?')}"
    return None


def subnet(network: Network) -> Check:
    """Check that nothing else uses the demo's addresses."""
    name = "Subnet"
    if podman.ask("network", "exists", network.network).returncode == 0:
        return Check(name, f"{network.subnet}, the demo's own network is there")
    try:
        done = subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return Check(name, "unknown", "The ip command is missing. Install it: apt-get install iproute2")
    clash = overlapping_route(network.subnet, json.loads(done.stdout or "[]"))
    if clash:
        return Check(
            name,
            f"{network.subnet} overlaps {clash}",
            f"Remove the network {clash}, or end what uses it: the demo needs {network.subnet}.",
        )
    return Check(name, f"{network.subnet} is free")


def before_containers() -> list[Check]:
    """Return the checks before anything on this machine is changed: what installing packages can't correct."""
    return [system(), root(), capabilities(), disk(), memory()]


def of_demo(network: Network) -> list[Check]:
    """Return the checks that the demo needs besides."""
    return [*(free_port(*published) for published in network.published), subnet(network)]


def all_checks(network: Callable[[], Network]) -> list[Check]:
    """Return every check, for doctor."""
    checks = [*before_containers(), packages(), collections(), containers(), debian_mirror()]
    try:
        checks += of_demo(network())
    except (Refusal, StepFailed) as error:
        checks.append(Check("Demo", "inventory/demo can't be read", str(error)))
    return checks


def require(checks: Iterable[Check]) -> None:
    """Refuse to go on when a check fails, naming all that fail."""
    failing = [check for check in checks if not check.ok]
    if failing:
        raise Refusal("\n            ".join(check.remedy for check in failing))
