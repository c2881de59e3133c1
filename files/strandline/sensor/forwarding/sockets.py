"""The sockets that listen on this host, and what the kernel dropped at each of them: as `ss` (iproute2) shows them, and
raw ones as /proc/net/raw does, since not every kernel tells ss enough of these.
"""

from __future__ import annotations

import re
import socket
import struct
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SS = ("ss", "--no-header", "--oneline", "--listening", "--numeric", "--tcp", "--udp", "--extended", "--memory")
IPV6_IN_IPV4 = 41
"""Number of the protocol, that listeners know as `ipv6`."""
RAW = Path("/proc/net/raw")
NETSTAT = Path("/proc/net/netstat")

_INODE = re.compile(r"\bino:([0-9]+)")
_DROPS = re.compile(r"\bskmem:\([^)]*\bd([0-9]+)\)")


@dataclass(frozen=True)
class Socket:
    """A socket that waits for others. `drops`: datagrams, or connections to be, that its queue had no room for."""

    proto: str
    address: str
    port: int
    inode: str
    drops: int


def parse(output: str) -> Iterator[Socket]:
    """The sockets in what `ss` printed."""
    for line in output.splitlines():
        words = line.split()
        if len(words) < 6 or words[0] not in ("tcp", "udp"):
            continue
        address, _, port = words[4].rpartition(":")
        inode, drops = _INODE.search(line), _DROPS.search(line)
        if port.isdigit() and inode is not None:
            address = address.partition("%")[0].strip("[]").removeprefix("::ffff:")
            yield Socket(words[0], address, int(port), inode[1], int(drops[1]) if drops else 0)


def parse_raw(text: str) -> Iterator[Socket]:
    """The raw sockets for IPv6 in IPv4, in what /proc/net/raw has: proc_pid_net(5)."""
    for line in text.splitlines()[1:]:
        words = line.split()
        address, _, number = words[1].partition(":")
        if int(number, 16) == IPV6_IN_IPV4:
            shown = socket.inet_ntoa(struct.pack("=I", int(address, 16)))
            yield Socket("ipv6", shown, 0, words[9], int(words[12]))


def listening(command: Sequence[str] = SS) -> list[Socket]:
    """All of them. Raises OSError, CalledProcessError."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True)
    return [*parse(done.stdout), *parse_raw(RAW.read_text(encoding="ascii"))]


def reachable(found: Iterable[Socket], proto: str, port: int) -> str | None:
    """An IPv4 address of this host at which a port is served; None when nothing listens there."""
    addresses = [one.address for one in found if (one.proto, one.port) == (proto, port)]
    if any(address in ("0.0.0.0", "*", "::", "127.0.0.1") for address in addresses):  # noqa: S104 - compared
        return "127.0.0.1"
    return next((address for address in addresses if ":" not in address), None)


def netstat(text: str, name: str) -> int:
    """A counter of the kernel's TcpExt (proc_pid_net(5)); 0 when it has none of the name."""
    lines = [line.split() for line in text.splitlines() if line.startswith("TcpExt:")]
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if name in names and values[names.index(name)].isdigit():
            return int(values[names.index(name)])
    return 0
