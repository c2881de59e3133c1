"""Which program is behind each port of a host, and which should be. Used before a host is changed, and by `verify`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Socket = Mapping[str, Any]


def program_name(socket: Socket) -> str:
    """The program behind a socket without its directory; empty when the kernel names none."""
    return str(socket.get("program") or "").rsplit("/", 1)[-1]


def described(socket: Socket) -> str:
    """The program behind a socket with its unit and package, as far as they are known."""
    unit, package = str(socket.get("unit") or ""), str(socket.get("package") or "")
    known = [unit] if unit else []
    known += [f"package {package}"] if package else []
    return (program_name(socket) or "an unknown program") + (f" ({', '.join(known)})" if known else "")


def remedy(socket: Socket) -> str:
    """What the operator does about a program that has a port of ours."""
    unit, package = str(socket.get("unit") or ""), str(socket.get("package") or "")
    ways = [f"systemctl disable --now {unit}"] if unit else []
    ways += [f"apt-get purge {package}"] if package else []
    return " or ".join(ways) or "find out what starts it, and end it"


def shown(port: int, proto: str) -> str:
    """A port as it is told; IP protocol 41, IPv6 in IPv4, has none."""
    return "IP protocol 41" if proto == "ipv6" else f"{port}/{proto}"


def strange_programs(
    measured: Mapping[str, Any], wanted: Iterable[Mapping[str, Any]], tolerated: Iterable[str] = ()
) -> list[str]:
    """Say of each port in ``wanted`` that another unit's program has, what has it and what to do.

    ``measured`` is the module strandline_health's part ``ports``; units in ``tolerated`` may have any of the ports.
    """
    if "error" in measured:
        return [f"what listens can't be measured: {measured['error']}"]
    units = {(int(each["port"]), str(each["proto"])): str(each["unit"]) for each in wanted if each.get("unit")}
    allowed = set(tolerated)
    found: dict[str, list[str]] = {}
    for socket in measured["sockets"]:
        key = (int(socket["port"]), str(socket["proto"]))
        unit = str(socket.get("unit") or "")
        if key in units and unit != units[key] and unit not in allowed:
            says = f"{{}} belongs to {described(socket)}, and {units[key]} is to have it: {remedy(socket)} on the host"
            ports = found.setdefault(says, [])
            if (port := shown(*key)) not in ports:
                ports.append(port)
    return [says.format(" and ".join(ports)) for says, ports in found.items()]


def listener_ports(listeners: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every port of the catalogue's listeners, with the unit of the program that is to have it."""
    return [{**port, "unit": listener["unit"]} for listener in listeners for port in listener["ports"]]
