"""Nonces that prove a source address without any state: who sends one back has received it (RFC 3261, section 22.4).

A nonce is the time and a MAC over the time and the source's address. The port is left out: behind a NAT, and with many
scanners, the answer comes from another one.
"""

from __future__ import annotations

import os
import socket

try:  # CPython's own BLAKE2; by way of hashlib it would bring OpenSSL's 1.8 MB with it.
    from _blake2 import blake2s
except ImportError:  # pragma: no cover - another Python
    from hashlib import blake2s

UNIT = 8
"""Seconds in a step of the nonce's clock; its 16 bits last for six days."""

LIFETIME = 600
"""Seconds for which a nonce proves its source."""

_WRAP = 1 << 16


class Prover:
    """Makes and checks nonces, 16 hex digits each, and the tags of To, with a key that lives as long as the process."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = os.urandom(32) if key is None else key
        self._last = ("", 0, b"")

    def nonce(self, address: str, now: float) -> bytes:
        """A nonce for the source at `now` (seconds of any clock that does not jump)."""
        step = int(now) // UNIT
        if self._last[:2] != (address, step):  # who comes again within seconds gets the same
            self._last = (address, step, b"%04x" % (step % _WRAP) + self._mac(address, step))
        return self._last[2]

    def proves(self, nonce: bytes, address: str, now: float) -> bool:
        """Whether we gave this nonce to this address within its lifetime."""
        if len(nonce) != 16:
            return False
        try:
            low = int(nonce[:4], 16)
        except ValueError:
            return False
        step = int(now) // UNIT
        age = (step - low) % _WRAP
        return age <= LIFETIME // UNIT and self._equal(nonce, b"%04x" % low + self._mac(address, step - age))

    def tag(self, *parts: bytes) -> bytes:
        """A tag for To (section 19.3), the same for a request that is sent again."""
        # Python's own hash of bytes is keyed (SipHash, a key for each process): enough for what proves nothing.
        return b"%08x" % (hash((self._key, *parts)) & 0xFFFFFFFF)

    def _mac(self, address: str, step: int) -> bytes:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        data = socket.inet_pton(family, address) + step.to_bytes(8, "big", signed=True)
        return blake2s(data, digest_size=6, key=self._key, person=b"nonce").hexdigest().encode("ascii")

    @staticmethod
    def _equal(left: bytes, right: bytes) -> bool:
        """In constant time; hmac.compare_digest without importing hmac."""
        difference = len(left) ^ len(right)
        for a, b in zip(left, right, strict=False):
            difference |= a ^ b
        return difference == 0
