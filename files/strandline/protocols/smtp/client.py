"""A greeting by the mark's name. The server speaks first (RFC 5321, section 3.1)."""

from __future__ import annotations

EVENT, FIELD = "smtp.greet", "name"
SPEAKS_FIRST = True


def value(mark: str) -> str:
    return f"canary-{mark}"


def say(mark: str, host: str, proto: str) -> bytes:  # noqa: ARG001
    return f"EHLO {value(mark)}\r\nQUIT\r\n".encode("ascii")


def understood(said: bytes, proto: str) -> bool:  # noqa: ARG001
    return said.startswith(b"220 ")
