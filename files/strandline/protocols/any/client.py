"""A word that is the mark. Over TCP the listener closes when it has heard it; over UDP it never answers."""

from __future__ import annotations

EVENT, FIELD = "any.contact", "data"
SPEAKS_FIRST = False
SILENT = ("udp",)


def value(mark: str) -> str:
    return f"canary-{mark}"


def say(mark: str, host: str, proto: str) -> bytes:  # noqa: ARG001
    return value(mark).encode("ascii")


def understood(said: bytes, proto: str) -> bool:
    return proto == "tcp" and not said
