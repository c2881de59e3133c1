"""DNS messages made by hand (RFC 1035, section 4; RFC 6891), well-formed and otherwise."""

from __future__ import annotations

import random
import struct

A, NS, SOA, TXT, OPT, AXFR, ANY = 1, 2, 6, 16, 41, 252, 255
IN, CH = 1, 3
RD, CD, AD, QR, TC = 0x0100, 0x0010, 0x0020, 0x8000, 0x0200
ECS, COOKIE, PADDING = 8, 10, 12


def wire_name(*labels: bytes) -> bytes:
    """An uncompressed name; no labels is the root."""
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def header(questions: int = 1, answers: int = 0, authority: int = 0, extra: int = 0, flags: int = RD) -> bytes:
    """Twelve bytes with the message id 0x1234."""
    return struct.pack("!6H", 0x1234, flags, questions, answers, authority, extra)


def question(name: bytes, qtype: int = A, qclass: int = IN) -> bytes:
    """A question; the name is in wire format."""
    return name + struct.pack("!2H", qtype, qclass)


def record(name: bytes, rtype: int, data: bytes, rclass: int = IN) -> bytes:
    """A resource record with TTL 0."""
    return name + struct.pack("!2HIH", rtype, rclass, 0, len(data)) + data


def option(code: int, data: bytes) -> bytes:
    """An EDNS option."""
    return struct.pack("!2H", code, len(data)) + data


def opt(options: bytes = b"", size: int = 1232, version: int = 0, do: bool = False, upper: int = 0) -> bytes:
    """OPT; `upper`: upper eight bits of the RCODE."""
    return b"\0" + struct.pack("!2H2BHH", OPT, size, upper, version, 0x8000 if do else 0, len(options)) + options


EXAMPLE = wire_name(b"www", b"Example", b"com")
VERSION = wire_name(b"version", b"bind")


def noise(chance: random.Random) -> bytes:
    """A message with something broken in it, or not."""
    labels = [chance.randbytes(chance.randrange(1, 20)) for _ in range(chance.randrange(6))]
    options = b"".join(option(chance.randrange(20), chance.randbytes(chance.randrange(30))) for _ in range(3))
    flags = chance.choice([0, RD, RD, QR, 0x2000, 0x2800])
    whole = header(extra=1, flags=flags) + question(wire_name(*labels), chance.randrange(300)) + opt(options)
    message = bytearray(whole)
    for _ in range(chance.choice([0, 1, 1, 2, 5, 20])):
        at = chance.randrange(len(message) + 1)
        match chance.randrange(4):
            case 0:
                message[at : at + 1] = bytes([chance.choice([0, 0x3F, 0x40, 0x80, 0xC0, 0xFF])])
            case 1:
                message[at : at + chance.randrange(8)] = b""
            case 2:
                message[at:at] = chance.randbytes(chance.randrange(8))
            case _:
                message = message[:at]
    return bytes(message)
