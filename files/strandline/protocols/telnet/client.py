"""A login whose user is the mark. The server speaks first: options (RFC 854)."""

from __future__ import annotations

EVENT, FIELD = "telnet.login", "user"
SPEAKS_FIRST = True
IAC = b"\xff"


def value(mark: str) -> str:
    return f"canary-{mark}"


def say(mark: str, host: str, proto: str) -> bytes:  # noqa: ARG001
    return f"{value(mark)}\r\ncanary\r\n".encode("ascii")


def understood(said: bytes, proto: str) -> bool:  # noqa: ARG001
    return said.startswith(IAC)
