"""The server speaks first; a client's identification may end with words of its own (RFC 4253, section 4.2)."""

from __future__ import annotations

EVENT, FIELD = "ssh.client", "ident"
SPEAKS_FIRST = False  # it does, but the canary need not wait for it


def value(mark: str) -> str:
    return f"SSH-2.0-canary_{mark}"


def say(mark: str, host: str, proto: str) -> bytes:  # noqa: ARG001
    return f"{value(mark)}\r\n".encode("ascii")


def understood(said: bytes, proto: str) -> bool:  # noqa: ARG001
    return said.startswith(b"SSH-")
