"""`python3 open_raw.py PROTOCOL MARK`: opens a raw IPv4 socket for a protocol's number and gives it to systemd.

systemd opens no raw sockets itself. The listener's unit runs this before its daemon, with CAP_NET_RAW alone; it reads
nothing from the socket, and ends. systemd keeps the socket and hands it to the daemon, which has no capability and
lives in an empty network namespace (FileDescriptorStoreMax= in systemd.service(5)).

Whoever holds a raw socket can send any packet in anybody's name (IP_HDRINCL), whatever its protocol. So it carries a
mark by which the firewall drops what it sends, and which nobody without a capability can take off (SO_MARK in
socket(7)).
"""

from __future__ import annotations

import array
import os
import select
import socket
import sys

QUEUE = 1024 * 1024
"""Bytes that wait while the daemon restarts; the kernel's net.core.rmem_max may allow less."""

BARRIER = 5000
"""Milliseconds until systemd must have taken the socket."""


def _give(to: socket.socket, said: bytes, descriptor: int) -> None:
    to.sendmsg([said], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])


def main(arguments: list[str]) -> int:
    """The exit status: 0 once systemd has the socket."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if len(arguments) != 2 or not all(argument.isdigit() for argument in arguments) or not path:
        sys.stderr.write("<3>usage, in a unit with NotifyAccess=all: open_raw.py PROTOCOL MARK\n")
        return 2
    with (
        socket.socket(socket.AF_INET, socket.SOCK_RAW, int(arguments[0])) as raw,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(arguments[1]))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)
        systemd.connect("\0" + path[1:] if path[0] == "@" else path)
        _give(systemd, b"FDSTORE=1\nFDNAME=packets", raw.fileno())
        # systemd closes its end once it has read everything before it (sd_notify_barrier(3)).
        taken, end = os.pipe()
        _give(systemd, b"BARRIER=1", end)
        os.close(end)
        poll = select.poll()
        poll.register(taken, 0)
        if not poll.poll(BARRIER):
            sys.stderr.write("<3>systemd did not take the socket\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
