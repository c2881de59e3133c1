"""What a listener pretends to be, drawn once for each sensor: a constant would link all sensors of a network.

The draw follows from the host's machine id (machine-id(5)), so that a sensor keeps its face over restarts, and gets
another one where a real host would: when it is installed anew. The id itself can't be found out from what was drawn.
"""

from __future__ import annotations

import os

try:  # CPython's own BLAKE2; by way of hashlib it would bring OpenSSL's 1.8 MB with it.
    from _blake2 import blake2s
except ImportError:  # pragma: no cover - another Python
    from hashlib import blake2s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MACHINE_ID = "/etc/machine-id"


def identity(path: str = MACHINE_ID) -> bytes:
    """What a host's draws follow from: its machine id; without one something that lasts as long as the process."""
    try:
        with open(path, "rb") as file:
            found = file.read(64).strip()
    except OSError:
        found = b""
    return found if len(found) == 32 else os.urandom(32)


class Persona:
    """The draws of one sensor."""

    def __init__(self, seed: bytes | None = None) -> None:
        self._key = identity() if seed is None else seed

    def number(self, what: str, below: int) -> int:
        """A whole number from 0, always the same for this sensor and `what`."""
        digest = blake2s(what.encode("ascii"), digest_size=8, key=self._key[:32], person=b"persona").digest()
        return int.from_bytes(digest, "big") % below

    def choose(self, what: str, choices: Sequence[str]) -> str:
        """One of these, always the same for this sensor and `what`."""
        return choices[self.number(what, len(choices))]

    def hostname(self) -> str:
        """A name as hosts of hosting companies have: what an image comes with, or what its owner thought of."""
        patterns = (
            "debian",
            "localhost",
            "vps{n}",
            "server{d}",
            "vm{n}",
            "srv{n}",
            "web{d}",
            "host{n}",
            "s{n}",
            "node{d}",
        )
        made = self.choose("hostname", patterns)
        return made.format(n=10_000 + self.number("hostname number", 990_000), d=1 + self.number("hostname digit", 9))
