#!/usr/bin/python
"""Ansible module: what else on a host governs its firewall, its sshd, its accounts or its addresses."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_owners
short_description: Find what else governs a host's firewall, sshd, accounts and addresses
description:
  - A second firewall, an agent of the provider's or a boot script can shut out the administrator long after a run ended
    well, at the next reboot for example. This module finds what is known to do so, in the table C(OWNERS), and rules of
    a firewall that nobody is known to load.
  - Changes nothing, in check mode or without. What can be disabled safely is named under C(disable) for
    C(strandline-guard), which undoes it unless a fresh connection proves the result; what only the operator can decide
    is named under C(refuse), with the remedy.
options:
  package_ports:
    description: TCP ports that the firewall leaves open to package mirrors and proxies.
    type: list
    elements: int
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: Strandline developers
"""
EXAMPLES = r"""
- name: Look for other programs that govern firewall, sshd and addresses
  strandline_owners:
    package_ports: [80, 443]
  register: owners

- name: Refuse what only the operator can decide
  ansible.builtin.assert:
    that: owners.refuse | length == 0
    fail_msg: "{{ owners.refuse | map(attribute='says') | join(' ') }}"
"""
RETURN = r"""
disable:
  description:
    - Owners that can be disabled under guard. Each has C(name), C(owns), C(seen) (what it was recognised by), C(units)
      to stop and mask, and C(files) to write, a dictionary of contents by path.
  type: list
  elements: dict
  returned: always
refuse:
  description:
    - Owners that the operator has to decide on. Each has C(name), C(owns), C(seen) and C(says), the remedy included.
  type: list
  elements: dict
  returned: always
tables:
  description:
    - Tables of nftables, as "inet filter", with leftovers of what is disabled, or of the old C(/etc/nftables.conf).
  type: list
  elements: str
  returned: always
loaded:
  description: Whether the table C(inet strandline) is loaded, and C(nftables.service) enabled to load it at boot.
  type: bool
  returned: always
dhcp_accounts:
  description: Accounts by which DHCP clients run, beside root, as far as they exist.
  type: list
  elements: str
  returned: always
resolving_accounts:
  description: Accounts of local programs that ask name servers for the others, as far as they exist.
  type: list
  elements: str
  returned: always
"""

OUR_TABLE = ("inet", "strandline")
IPTABLES = r"(?:ip|ip6) (?:filter|nat|mangle|raw|security)|(?:arp|bridge) filter"  # what iptables-nft makes
DHCP_ACCOUNTS = ("systemd-network", "dhcpcd", "_dhcpcd")
RESOLVING_ACCOUNTS = ("systemd-resolve",)
ENABLED = {"enabled", "enabled-runtime", "linked", "linked-runtime", "alias", "generated"}  # systemctl(1), is-enabled
ACTIVE = {"active", "activating", "reloading"}
COMMAND_TIMEOUT = 60  # seconds
CONNECT_TIMEOUT = 5.0  # seconds
SHOWN = 160  # characters of a line that is quoted


@dataclass(frozen=True)
class Owner:
    """Something that governs what a host of ours must govern alone."""

    name: str
    owns: str  # firewall, sshd, accounts, addresses
    units: tuple[str, ...]  # those that would act at boot or act now; each may be missing
    remedy: str = ""  # what the operator does; empty: it can be disabled under guard
    switch: tuple[str, str] | None = None  # a file and a pattern in it: without them the units do nothing
    files: tuple[tuple[str, str], ...] = ()  # what disabling writes besides: path and content
    tables: str = ""  # a pattern of the nftables tables that it makes, as "family name", beside those of iptables
    always: bool = False  # to be disabled also where it doesn't act yet


# Masking a unit is enough to disable it, now and at every boot; an upgrade of its package leaves it masked.
CLOUD_INIT_FILES = (
    ("/etc/cloud/cloud-init.disabled", "Written by Strandline: cloud-init would rewrite accounts, keys and sshd.\n"),
    # Should it ever be run by hand: the network stays as cloud-init once wrote it.
    ("/etc/cloud/cloud.cfg.d/99-strandline.cfg", "network: {config: disabled}\nssh_deletekeys: false\n"),
)
OWNERS = (
    # --- firewalls ---
    Owner("ufw", "firewall", ("ufw.service",), switch=("/etc/ufw/ufw.conf", r"(?im)^\s*ENABLED\s*=\s*[\"']?yes")),
    Owner("firewalld", "firewall", ("firewalld.service",), tables="inet firewalld"),
    Owner("netfilter-persistent (iptables-persistent)", "firewall", ("netfilter-persistent.service",)),
    Owner("iptables-services", "firewall", ("iptables.service", "ip6tables.service")),
    Owner("Shorewall", "firewall", ("shorewall.service", "shorewall6.service", "shorewall-lite.service")),
    Owner("Shorewall6-lite", "firewall", ("shorewall6-lite.service", "shorewall-init.service")),
    Owner("ferm", "firewall", ("ferm.service",)),
    Owner("FireHOL", "firewall", ("firehol.service",)),
    Owner("arno-iptables-firewall", "firewall", ("arno-iptables-firewall.service",)),
    Owner("uruk", "firewall", ("uruk.service",)),
    Owner("ipset-persistent", "firewall", ("ipset.service", "ipset-persistent.service")),
    Owner("Plesk's firewall", "firewall", ("psa-firewall.service", "psa-firewall-forward.service")),
    Owner("csf", "firewall", ("csf.service", "lfd.service")),
    Owner("APF", "firewall", ("apf.service",)),
    # --- what adds rules against single addresses, the operator's among them ---
    Owner("fail2ban", "firewall", ("fail2ban.service",), tables=r"inet f2b-\S+"),
    Owner("sshguard", "firewall", ("sshguard.service",), tables=r"(?:ip|ip6) sshguard"),
    Owner("DenyHosts", "firewall", ("denyhosts.service",)),
    Owner(
        "CrowdSec's bouncer",
        "firewall",
        ("crowdsec-firewall-bouncer.service", "cs-firewall-bouncer.service"),
        tables=r"(?:ip|ip6) crowdsec6?",
    ),
    Owner("reaction", "firewall", ("reaction.service",), tables="inet reaction"),
    Owner(
        "Imunify360",
        "firewall",
        ("imunify360.service", "imunify360-agent.service", "imunify-agent.service"),
        remedy="Ask the provider for an image without it, or reinstall with plain Debian 13.",
    ),
    Owner(
        "BitNinja",
        "firewall",
        ("bitninja.service",),
        remedy="Ask the provider for an image without it, or reinstall with plain Debian 13.",
    ),
    # --- sshd ---
    # Ignores Port, and where it is enabled a reboot brings port 22 back.
    Owner("systemd's socket for ssh", "sshd", ("ssh.socket", "sshd.socket"), always=True),
    Owner(
        "dropbear",
        "sshd",
        ("dropbear.service", "dropbear.socket"),
        remedy="Enter by OpenSSH instead: apt-get install openssh-server, apt-get purge dropbear, then the same again.",
    ),
    Owner(
        "TinySSH",
        "sshd",
        ("tinysshd.socket", "tinysshd.service"),
        remedy="Enter by OpenSSH instead: apt-get install openssh-server, apt-get purge tinysshd, then the same again.",
    ),
    # --- what writes accounts, keys, sshd's configuration and addresses anew, at boot or when the provider says so ---
    Owner(
        "cloud-init",
        "accounts",
        (
            "cloud-init-local.service",
            "cloud-init-main.service",
            "cloud-init-network.service",
            "cloud-init.service",
            "cloud-config.service",
            "cloud-final.service",
            "cloud-init-hotplugd.socket",
        ),
        files=CLOUD_INIT_FILES,
    ),
    Owner("DigitalOcean's droplet-agent", "accounts", ("droplet-agent.service",)),
    Owner("Tencent's agent", "accounts", ("tat_agent.service",)),
    Owner("Alibaba's assistant", "accounts", ("aliyun.service", "AssistDaemon.service")),
    Owner("Google's startup scripts", "accounts", ("google-startup-scripts.service",)),
    Owner(
        "Google's guest agent",
        "accounts",
        ("google-guest-agent.service", "google-guest-agent-manager.service"),
        remedy="It also brings up addresses: configure them in /etc, apt-get purge google-guest-agent, then again.",
    ),
    Owner(
        "Azure's agent",
        "accounts",
        ("walinuxagent.service", "waagent.service"),
        remedy="It also adds rules of a firewall: apt-get purge waagent, then the same command again.",
    ),
    Owner("Oracle's cloud agent", "accounts", ("oracle-cloud-agent.service", "oracle-cloud-agent-updater.service")),
)

# Scripts that run at boot or when a card comes up, and in which rules of a firewall are loaded.
HOOKS = (
    "etc/network/if-pre-up.d/*",
    "etc/network/if-up.d/*",
    "etc/network/interfaces",
    "etc/network/interfaces.d/*",
    "etc/networkd-dispatcher/*/*",
    "etc/NetworkManager/dispatcher.d/*",
    "etc/NetworkManager/dispatcher.d/pre-up.d/*",
    "etc/dhcp/dhclient-enter-hooks.d/*",
    "etc/dhcp/dhclient-exit-hooks.d/*",
    "etc/rc.local",
    "etc/crontab",
    "etc/cron.d/*",
    "etc/init.d/*",
    "var/spool/cron/crontabs/*",
    "etc/systemd/system/*.service",
)
# In interfaces(5) and units the command follows a keyword.
LOADS_RULES = re.compile(
    r"(?:^|[\s;&|(=/])(?:ip6?tables(?:-legacy|-nft)?(?:-restore)?|nft|ipset|ebtables)(?=\s|$)", re.ASCII
)
OUR_HOOKS = ("strandline-",)
# Init scripts of packages that have a unit of their own in the table above.
KNOWN_SCRIPTS = {unit.partition(".")[0] for owner in OWNERS for unit in owner.units} | {"nftables"}


@dataclass(frozen=True)
class Units:
    """What systemd knows of the units on a host."""

    enabled: frozenset[str]
    active: frozenset[str]
    masked: frozenset[str]

    def acting(self, units: Iterable[str]) -> list[str]:
        """Those that run or would at the next boot."""
        return [unit for unit in units if unit in self.active or unit in self.enabled]

    def present(self, units: Iterable[str], known: Iterable[str]) -> list[str]:
        """Those that exist and aren't masked: to disable one of an owner's units is to disable all."""
        there = set(known) | self.active | self.enabled
        return [unit for unit in units if unit in there and unit not in self.masked]


def unit_states(files: str, units: str) -> tuple[Units, frozenset[str]]:
    """Read `systemctl list-unit-files` and `systemctl list-units --all`, both --plain --no-legend; and all names."""
    states = [line.split() for line in files.splitlines() if len(line.split()) >= 2]
    running = [line.split() for line in units.splitlines() if len(line.split()) >= 4]
    return (
        Units(
            enabled=frozenset(name for name, state, *_ in states if state in ENABLED),
            active=frozenset(name for name, _, state, *_ in running if state in ACTIVE),
            masked=frozenset(name for name, state, *_ in states if state in ("masked", "masked-runtime")),
        ),
        frozenset(name for name, *_ in states),
    )


def owners(
    units: Units, known: Iterable[str], switched: Callable[[tuple[str, str]], bool], *, cloud_disabled: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What of the table is on a host: what can be disabled, and what is refused."""
    disable, refuse = [], []
    for owner in OWNERS:
        acting = units.present(owner.units, known) if owner.always else units.acting(owner.units)
        if not acting or (owner.switch and not switched(owner.switch)):
            continue
        # Its generator leaves cloud-init's units out of a boot; what they say of themselves doesn't change.
        if owner.name == "cloud-init" and cloud_disabled and not set(acting) & units.active:
            continue
        found = {"name": owner.name, "owns": owner.owns, "seen": acting}
        if owner.remedy:
            refuse.append({**found, "says": f"{owner.name} ({', '.join(acting)}) governs {owner.owns}. {owner.remedy}"})
        else:
            there = units.present(owner.units, known)
            disable.append({**found, "units": there, "files": dict(owner.files)})
    return disable, refuse


def filters(expression: object) -> bool:
    """Whether a rule of nftables, as JSON, may refuse a packet. What iptables' own extensions do is not known here."""
    if isinstance(expression, Mapping):
        if {"drop", "reject", "queue", "xt"} & expression.keys():
            return True
        return any(filters(value) for value in expression.values())
    return any(map(filters, expression)) if isinstance(expression, list) else False


def filtering_tables(ruleset: str) -> list[tuple[str, str]]:
    """Tables of `nft -j list ruleset` that can refuse what comes in or goes out, as (family, name); ours left out."""
    hooked: dict[tuple[str, str], bool] = {}
    refusing: set[tuple[str, str]] = set()
    for entry in json.loads(ruleset).get("nftables", []):
        for kind, each in entry.items():
            where = (str(each.get("family")), str(each.get("table")))
            if kind == "chain" and each.get("hook") in ("input", "output", "prerouting", "postrouting", "ingress"):
                hooked[where] = True
                if each.get("policy") == "drop":
                    refusing.add(where)
            elif kind == "rule" and filters(each.get("expr")):
                refusing.add(where)
    return sorted(where for where in hooked if where in refusing and where != OUR_TABLE)


def loads(text: str, table: tuple[str, str]) -> bool:
    """Whether a file of nftables' makes that table; without a family it is ip (nft(8), TABLES)."""
    family, name = table
    families = rf"{family}\s+" if family != "ip" else r"(?:ip\s+)?"
    return re.search(rf"(?m)^\s*(?:add\s+)?table\s+{families}{re.escape(name)}\b", text) is not None


def hook_lines(paths: Iterable[Path], root: Path) -> Iterator[str]:
    """Lines of scripts that run at boot and load rules of a firewall, as FILE:LINE."""
    for path in paths:
        name = path.name
        if name.startswith(OUR_HOOKS) or path.is_symlink() or (path.parent.name == "init.d" and name in KNOWN_SCRIPTS):
            continue
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if LOADS_RULES.search(line.partition("#")[0]):
                yield f"/{path.relative_to(root)}:{number}"


def listed_hooks(root: Path) -> list[str]:
    """Those of a file system."""
    return list(hook_lines((path for glob in HOOKS for path in sorted(root.glob(glob)) if path.is_file()), root))


def sshd_options(exec_start: str, default: str) -> list[str]:
    """Options that sshd gets beside its file: they win over it (sshd(8)).

    ``exec_start`` is what `systemctl show --property=ExecStart ssh.service` says, ``default`` /etc/default/ssh.
    """
    found = []
    started = re.search(r"argv\[\]=(.*?) ;", exec_start)
    for word in started[1].split()[1:] if started else []:
        if word not in ("-D", "-e", "$SSHD_OPTS"):
            found.append(word)
    for line in default.splitlines():
        key, equals, value = line.strip().partition("=")
        if equals and key == "SSHD_OPTS":
            found += shlex.split(" ".join(shlex.split(value, comments=True)))
    return found


def wrapper_lines(text: str) -> list[str]:
    """Lines of /etc/hosts.deny that may refuse a client of sshd (hosts_access(5))."""
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [line for line in lines if re.match(r"(?:[^:]*[\s,])?(?:sshd|ALL)\b[^:]*:", line)]


def proxies(configuration: str) -> list[str]:
    """Proxies that apt is told to use, by `apt-config dump`; DIRECT is none (apt-transport-http(1))."""
    found = re.findall(r'(?m)^Acquire::https?::Proxy(?:::\S*)? "([^"]+)";', configuration)
    return [proxy for proxy in dict.fromkeys(found) if proxy != "DIRECT"]


def proxy_problem(proxy: str, package_ports: Iterable[int], answers: Callable[[str, int], str]) -> str:
    """Why packages can't come by a proxy; empty when they can. ``answers`` says why it can't be reached."""
    parts = urlsplit(proxy)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        port = 0
    if not parts.hostname or not port:
        return "is no address of a proxy"
    if why := answers(parts.hostname, port):
        return f"doesn't answer ({why})"
    if port not in package_ports:
        return f"is on port {port}, which base_package_ports doesn't name, so the firewall would shut it"
    return ""


def connect(host: str, port: int) -> str:
    """Try to reach a TCP port; why not, or nothing."""
    try:
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


def legacy_filters(saved: str) -> bool:
    """Whether `iptables-legacy-save` holds rules that refuse packets; also when it can't say."""
    return not saved or re.search(r"(?m)^:(?:INPUT|OUTPUT) DROP|-j (?:DROP|REJECT|NFQUEUE|TARPIT)", saved) is not None


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
    if hooks := listed_hooks(root):
        yield refusal(
            "boot scripts", "firewall", hooks,
            f"Rules of a firewall are loaded by {', '.join(hooks[:4])}: Strandline's are complete. Remove these lines.",
        )  # fmt: skip
    options = sshd_options(
        run("systemctl", "show", "--property=ExecStart", "ssh.service"), read(root / "etc/default/ssh")
    )
    if options:
        yield refusal(
            "sshd's options", "sshd", options,
            f"sshd is started with {' '.join(options)}, which wins over its file. Empty SSHD_OPTS in /etc/default/ssh,"
            " and remove drop-ins in /etc/systemd/system/ssh.service.d.",
        )  # fmt: skip
    if lines := wrapper_lines(read(root / "etc/hosts.deny")):
        yield refusal(
            "/etc/hosts.deny", "sshd", lines,
            f"/etc/hosts.deny may refuse you ({lines[0][:SHOWN]}). Remove the line: the firewall says who may enter.",
        )  # fmt: skip
    legacy = read(root / "proc/net/ip_tables_names").split() + read(root / "proc/net/ip6_tables_names").split()
    saves = ("iptables-legacy-save", "ip6tables-legacy-save")
    if "filter" in legacy and any(legacy_filters(run(program)) for program in saves):
        yield refusal(
            "iptables-legacy",
            "firewall",
            legacy,
            "Rules were loaded by iptables-legacy, beside nftables. Flush them (iptables-legacy -P INPUT ACCEPT;"
            " iptables-legacy -F; ip6tables-legacy the same) and remove what loads them at boot.",
        )
    for proxy in proxies(run("apt-config", "dump")):
        if problem := proxy_problem(proxy, package_ports, connect):
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


def explained(table: tuple[str, str], disable: Iterable[Mapping[str, Any]], files: str) -> bool:
    """Whether it is known what loads a table, and that it won't do so any more."""
    names = {found["name"] for found in disable if found["owns"] == "firewall"}
    patterns = [owner.tables or IPTABLES for owner in OWNERS if owner.name in names]
    patterns += [IPTABLES] if names else []
    return loads(files, table) or any(re.fullmatch(pattern, " ".join(table)) for pattern in patterns)


def look(root: Path, package_ports: Iterable[int]) -> dict[str, Any]:
    """Everything there is to say of a host."""
    units, known = unit_states(
        run("systemctl", "list-unit-files", "--plain", "--no-legend"),
        run("systemctl", "list-units", "--all", "--plain", "--no-legend"),
    )
    # A unit of the host's own below /etc can't be masked; it is disabled, and done with unless it acts again.
    own = root / "etc/systemd/system"
    known = frozenset(name for name in known if not (own / name).is_file() or (own / name).is_symlink())
    cloud_disabled = (root / CLOUD_INIT_FILES[0][0].lstrip("/")).exists() and "cloud-init=enabled" not in read(
        root / "proc/cmdline"
    )
    disable, refuse = owners(
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
    tables = filtering_tables(ruleset) if ruleset else []
    unknown = [table for table in tables if not explained(table, disable, nftables_files(root))]
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
        "loaded": _ours(ruleset) and "nftables.service" in units.enabled,
        "dhcp_accounts": [name for name in DHCP_ACCOUNTS if name in passwd],
        "resolving_accounts": [name for name in RESOLVING_ACCOUNTS if name in passwd],
    }


def _ours(ruleset: str) -> bool:
    """Whether our table is among those of `nft -j list ruleset`."""
    entries = json.loads(ruleset).get("nftables", []) if ruleset else []
    tables = [entry["table"] for entry in entries if "table" in entry]
    return any((table.get("family"), table.get("name")) == OUR_TABLE for table in tables)


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "package_ports": {"type": "list", "elements": "int", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        found = look(Path("/"), module.params["package_ports"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        module.fail_json(msg=f"What else governs the host can't be found out: {error!r}")
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
