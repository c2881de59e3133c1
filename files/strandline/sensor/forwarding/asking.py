"""Ask a listener whether it is there, as a client would, from this very host.

The answers prove that its process runs and takes what comes. The listener writes an event for it like for any other
client's; the sensor's syslog-ng leaves out those whose source is their own destination (see its syslog-ng.conf).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

TIMEOUT = 3.0
"""Seconds for one answer."""

_HEADER = struct.pack("!6H", 0x5354, 0, 1, 0, 0, 0)  # RFC 1035, section 4.1.1: no recursion desired
_DNS = _HEADER + b"\tlocalhost\0" + struct.pack("!2H", 1, 1)
_SIP = (
    "OPTIONS sip:{host} SIP/2.0\r\n"
    "Via: SIP/2.0/{proto} {host};branch=z9hG4bKheartbeat;rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:heartbeat@localhost>;tag=heartbeat\r\n"
    "To: <sip:{host}>\r\n"
    "Call-ID: heartbeat@localhost\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n"
    "\r\n"
)


def _sip(host: str, proto: str) -> bytes:
    return _SIP.format(host=host, proto=proto.upper()).encode("ascii")


def _dns(_host: str, proto: str) -> bytes:
    return struct.pack("!H", len(_DNS)) + _DNS if proto == "tcp" else _DNS


def _nothing(_host: str, _proto: str) -> bytes:
    return b""


KINDS: dict[str, tuple[Callable[[str, str], bytes], Callable[[bytes, str], bool]]] = {
    # RFC 4253, section 4.2, and RFC 6143, section 7.1.1: the server speaks first.
    "ssh": (_nothing, lambda said, _: said.startswith(b"SSH-")),
    "vnc": (_nothing, lambda said, _: said.startswith(b"RFB ")),
    "dns": (_dns, lambda said, proto: said[2 if proto == "tcp" else 0 :].startswith(_HEADER[:2])),
    "sip": (_sip, lambda said, _: said.startswith(b"SIP/2.0 ")),
}
"""By the listener's name: what to say, and whether what came back (its first bytes) is an answer."""


def answers(kind: str, address: str, port: int, proto: str, timeout: float = TIMEOUT) -> bool:
    """Whether the listener of this kind answers. One of an unknown kind needs only take a connection."""
    say, understand = KINDS.get(kind, (_nothing, None))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.connect((address, port))
            if understand is None:
                return proto == "tcp"
            words = say(address, proto)
            if words:
                client.sendall(words)
            said = client.recv(4096)
            if proto == "tcp" and 0 < len(said) < 8:
                said += client.recv(4096)
            return understand(said, proto)
    except OSError:
        return False
