"""The server speaks first; the six digits of a version are free above those that exist (RFC 6143, section 7.1.1)."""

from __future__ import annotations

import secrets

EVENT, FIELD = "vnc.client", "version"
SPEAKS_FIRST = True


def mark() -> str:
    return str(100_000 + secrets.randbelow(900_000))


def value(mark: str) -> str:
    return f"RFB {mark[:3]}.{mark[3:]}"


def say(mark: str, host: str, proto: str) -> bytes:  # noqa: ARG001
    return f"{value(mark)}\n".encode("ascii")


def understood(said: bytes, proto: str) -> bool:  # noqa: ARG001
    return said.startswith(b"RFB ")
