"""Ask a listener whether it is there, as a client would, from this very host.

The answers prove that its process runs and takes what comes. The listener writes an event for it like for any other
client's; the sensor's syslog-ng leaves out those whose source is their own destination (see its syslog-ng.conf).
"""

from __future__ import annotations

import socket

from ...protocols.client import client, mark

TIMEOUT = 3.0
"""Seconds for one answer."""
ENOUGH = 8
"""Bytes of a stream by which every protocol's answer is known."""


def answers(protocol: str, address: str, port: int, proto: str, timeout: float = TIMEOUT) -> bool:
    """Whether the listener answers. Where its protocol has no client it needs only take a connection."""
    known = client(protocol)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM) as asker:
            asker.settimeout(timeout)
            asker.connect((address, port))
            if known is None:
                return proto == "tcp"
            if not known.SPEAKS_FIRST:
                asker.sendall(known.say(mark(protocol), address, proto))
            said = asker.recv(4096)
            if proto == "tcp" and 0 < len(said) < ENOUGH:
                said += asker.recv(4096)
            return known.understood(said, proto)
    except OSError:
        return False
