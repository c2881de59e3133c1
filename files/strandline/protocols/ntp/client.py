"""A client's request whose transmit timestamp, free for the client to choose, is the mark (RFC 5905, section 7.3)."""

from __future__ import annotations

import secrets

EVENT, FIELD = "ntp.request", "transmit"
SPEAKS_FIRST = False
SIZE = 48
CLIENT, SERVER = 3, 4
"""Modes."""


def mark() -> str:
    return secrets.token_hex(4)


def value(mark: str) -> str:
    return mark[:8]


def say(mark: str, host: str, proto: str) -> bytes:  # noqa: ARG001
    return bytes([4 << 3 | CLIENT]) + bytes(39) + value(mark).encode("ascii").ljust(8, b"0")


def understood(said: bytes, proto: str) -> bool:  # noqa: ARG001
    return len(said) == SIZE and said[0] & 7 == SERVER
