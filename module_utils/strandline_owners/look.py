"""Looks at a host: asks its programs, reads its files, and says what can be disabled and what the operator decides."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import evidence
from .known import CLOUD_INIT_FILES

DHCP_ACCOUNTS = ("systemd-network", "dhcpcd", "_dhcpcd")
RESOLVING_ACCOUNTS = ("systemd-resolve",)
COMMAND_TIMEOUT = 60  # seconds
CONNECT_TIMEOUT = 5.0  # seconds
SHOWN = 160  # characters of a line that is quoted


def connect(host: str, port: int) -> str:
    """Try to reach a TCP port; why not, or nothing."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


def keeps_addresses(root: Path) -> bool:
    """Whether a file below /etc configures addresses, or, of a container, somebody outside of it does."""
    if (root / "run/systemd/container").exists() or (root / "etc/udev/rules.d/75-cloud-ifupdown.rules").exists():
        return True
    for glob in ("etc/netplan/*.yaml", "etc/systemd/network/*.network", "etc/NetworkManager/system-connections/*"):
        if any(root.glob(glob)):
            return True
    texts = [read(root / "etc/network/interfaces"), *map(read, root.glob("etc/network/interfaces.d/*"))]
    return re.search(r"(?m)^\s*iface\s+(?!lo\b)\S+\s+inet", "\n".join(texts)) is not None


def run(*argv: str) -> str:
    """What a command prints; nothing when it isn't there or fails."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=environment, timeout=COMMAND_TIMEOUT
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def read(path: Path) -> str:
    """A file's text, or nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def refusal(name: str, owns: str, seen: Iterable[str], says: str) -> dict[str, Any]:
    """An entry under ``refuse``."""
    return {"name": name, "owns": owns, "seen": list(seen), "says": says}


def others(root: Path, package_ports: Iterable[int]) -> Iterator[dict[str, Any]]:
    """What no unit stands for."""
    if hooks := evidence.listed_hooks(root):
        yield refusal(
            "boot scripts", "firewall", hooks,
            f"Rules of a firewall are loaded by {', '.join(hooks[:4])}: Strandline's are complete. Remove these lines.",
        )  # fmt: skip
    options = evidence.sshd_options(
        run("systemctl", "show", "--property=ExecStart", "ssh.service"), read(root / "etc/default/ssh")
    )
    if options:
        yield refusal(
            "sshd's options", "sshd", options,
            f"sshd is started with {' '.join(options)}, which wins over its file. Empty SSHD_OPTS in /etc/default/ssh,"
            " and remove drop-ins in /etc/systemd/system/ssh.service.d.",
        )  # fmt: skip
    if lines := evidence.wrapper_lines(read(root / "etc/hosts.deny")):
        yield refusal(
            "/etc/hosts.deny", "sshd", lines,
            f"/etc/hosts.deny may refuse you ({lines[0][:SHOWN]}). Remove the line: the firewall says who may enter.",
        )  # fmt: skip
    legacy = read(root / "proc/net/ip_tables_names").split() + read(root / "proc/net/ip6_tables_names").split()
    saves = ("iptables-legacy-save", "ip6tables-legacy-save")
    if "filter" in legacy and any(evidence.legacy_filters(run(program)) for program in saves):
        yield refusal(
            "iptables-legacy",
            "firewall",
            legacy,
            "Rules were loaded by iptables-legacy, beside nftables. Flush them (iptables-legacy -P INPUT ACCEPT;"
            " iptables-legacy -F; ip6tables-legacy the same) and remove what loads them at boot.",
        )
    for proxy in evidence.proxies(run("apt-config", "dump")):
        if problem := evidence.proxy_problem(proxy, package_ports, connect):
            yield refusal(
                "apt's proxy", "packages", [proxy],
                f"apt is told to use the proxy {proxy}, which {problem}. Remove the line from /etc/apt/apt.conf.d/"
                " (grep -r Proxy /etc/apt), or repair the proxy.",
            )  # fmt: skip


def nftables_files(root: Path) -> str:
    """The live rules of nftables.service with the files they include; all of it goes when ours take their place."""
    live = read(root / "etc/nftables.conf")
    globs = re.findall(r'(?m)^\s*include\s+"/?([^"]+)"', live)
    return "\n".join([live, *(read(path) for glob in globs for path in sorted(root.glob(glob)))])


def look(root: Path, package_ports: Iterable[int]) -> dict[str, Any]:
    """Everything there is to say of a host."""
    units, known = evidence.unit_states(
        run("systemctl", "list-unit-files", "--plain", "--no-legend"),
        run("systemctl", "list-units", "--all", "--plain", "--no-legend"),
    )
    # A unit of the host's own below /etc can't be masked; it is disabled, and done with unless it acts again.
    own = root / "etc/systemd/system"
    known = frozenset(name for name in known if not (own / name).is_file() or (own / name).is_symlink())
    cloud_disabled = (root / CLOUD_INIT_FILES[0][0].lstrip("/")).exists() and "cloud-init=enabled" not in read(
        root / "proc/cmdline"
    )
    disable, refuse = evidence.owners(
        units,
        known,
        lambda switch: re.search(switch[1], read(root / switch[0].lstrip("/"))) is not None,
        cloud_disabled=cloud_disabled,
    )
    refuse += others(root, package_ports)
    if any(found["name"] == "cloud-init" for found in disable) and not keeps_addresses(root):
        says = (
            "cloud-init gives this host its addresses at every boot and keeps no file of them. Write them into"
            " /etc/network/interfaces.d/ or /etc/systemd/network/, reboot once, then the same command again."
        )
        refuse.append(refusal("cloud-init", "addresses", [], says))
    ruleset = run("nft", "-j", "list", "ruleset")
    tables = evidence.filtering_tables(ruleset) if ruleset else []
    unknown = [table for table in tables if not evidence.explained(table, disable, nftables_files(root))]
    for family, name in unknown:
        says = (
            f"nftables' table {family} {name} refuses packets, and nothing is known that loads it. Find out what does"
            f" and disable it; if nothing does any more: nft delete table {family} {name}."
        )
        refuse.append(refusal("rules of unknown origin", "firewall", [f"{family} {name}"], says))
    passwd = {line.partition(":")[0] for line in read(root / "etc/passwd").splitlines()}
    return {
        "disable": disable,
        "refuse": refuse,
        "tables": [" ".join(table) for table in tables if table not in unknown],
        "loaded": evidence.ours_is_loaded(ruleset) and "nftables.service" in units.enabled,
        "dhcp_accounts": [name for name in DHCP_ACCOUNTS if name in passwd],
        "resolving_accounts": [name for name in RESOLVING_ACCOUNTS if name in passwd],
    }
