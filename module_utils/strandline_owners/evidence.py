"""Reads what systemd, nft, sshd, apt and files say of other owners. No function here looks at the host itself, but for
the scripts below a root."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .known import HOOKS, IPTABLES, KNOWN_SCRIPTS, LOADS_RULES, OUR_HOOKS, OWNERS

OUR_TABLE = ("inet", "strandline")
ENABLED = {"enabled", "enabled-runtime", "linked", "linked-runtime", "alias", "generated"}  # systemctl(1), is-enabled
ACTIVE = {"active", "activating", "reloading"}


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
    """Proxies that apt is told to use, by `apt-config dump`; DIRECT means no proxy (apt-transport-http(1))."""
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


def legacy_filters(saved: str) -> bool:
    """Whether `iptables-legacy-save` holds rules that refuse packets; also when it can't say."""
    return not saved or re.search(r"(?m)^:(?:INPUT|OUTPUT) DROP|-j (?:DROP|REJECT|NFQUEUE|TARPIT)", saved) is not None


def explained(table: tuple[str, str], disable: Iterable[Mapping[str, Any]], files: str) -> bool:
    """Whether it is known what loads a table, and that it won't do so any more."""
    names = {found["name"] for found in disable if found["owns"] == "firewall"}
    patterns = [owner.tables or IPTABLES for owner in OWNERS if owner.name in names]
    patterns += [IPTABLES] if names else []
    return loads(files, table) or any(re.fullmatch(pattern, " ".join(table)) for pattern in patterns)


def ours_is_loaded(ruleset: str) -> bool:
    """Whether our table is among those of `nft -j list ruleset`."""
    entries = json.loads(ruleset).get("nftables", []) if ruleset else []
    tables = [entry["table"] for entry in entries if "table" in entry]
    return any((table.get("family"), table.get("name")) == OUR_TABLE for table in tables)
