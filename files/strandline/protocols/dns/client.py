"""A query for TXT without recursion desired: it counts for no feed (RFC 1035, section 4.1)."""

from __future__ import annotations

import secrets
import struct

EVENT, FIELD = "dns.query", "qname"
SPEAKS_FIRST = False
RESPONSE = 0x80
"""The bit QR, in the first byte of the flags."""


def value(mark: str) -> str:
    return f"{mark}.canary.invalid."


def say(mark: str, host: str, proto: str) -> bytes:  # noqa: ARG001
    labels = value(mark).rstrip(".").split(".")
    name = b"".join(bytes([len(label)]) + label.encode("ascii") for label in labels) + b"\0"
    message = secrets.token_bytes(2) + struct.pack("!5H", 0, 1, 0, 0, 0) + name + struct.pack("!2H", 16, 1)
    return struct.pack("!H", len(message)) + message if proto == "tcp" else message


def understood(said: bytes, proto: str) -> bool:
    message = said[2:] if proto == "tcp" else said
    return len(message) > 2 and bool(message[2] & RESPONSE)
