"""Ask a resolver for the TXT or A records of a name (RFC 1035): what looking up addresses needs, and no more.

What comes back is a stranger's: it is read with bounds, and only the answer to what was asked counts.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

A, TXT, OPT, IN = 1, 16, 41, 1
NOERROR, NXDOMAIN = 0, 3
TRUNCATED = 0x0200
TIMEOUT = 3.0  # seconds for an answer
TRIES = 3  # over all resolvers in turn
UDP_SIZE = 1232  # octets that an answer may have; no path cuts them


class LookupFailed(Exception):
    """Nothing is known: no answer came, or none that can be read. The text says why."""


class _Broken(Exception):
    """A message that can't be read."""


def system_resolvers(path: Path = Path("/etc/resolv.conf")) -> list[str]:
    """The resolvers of this machine."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return re.findall(r"^\s*nameserver\s+([0-9A-Fa-f.:]+)\s*$", text, re.MULTILINE)


def endpoint(resolver: str) -> tuple[str, int]:
    """Address and port of a resolver, written as ``192.0.2.53`` or ``192.0.2.53#5353``. Raises ValueError."""
    address, _, port = resolver.partition("#")
    number = int(port or 53)
    if not 0 < number < 65536:
        raise ValueError(f"{number} is no port")
    return str(ipaddress.ip_address(address)), number


def _name(name: str) -> bytes:
    try:
        coded = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    except UnicodeEncodeError as error:
        raise LookupFailed(f"{name!r} is no domain name: write it as DNS has it, in ASCII (xn--…)") from error
    if not all(0 < len(label) < 64 for label in coded) or sum(map(len, coded)) + len(coded) > 254:
        raise LookupFailed(f"{name!r} is no domain name")
    return b"".join(bytes([len(label)]) + label for label in coded) + b"\0"


def _skip_name(message: bytes, at: int) -> int:
    """Where a name in a message ends."""
    while True:
        if at >= len(message):
            raise _Broken
        length = message[at]
        if length == 0:
            return at + 1
        if length >= 0xC0:
            return at + 2
        at += 1 + length


def _records(message: bytes, question: bytes, kind: int) -> Iterator[bytes]:
    """The data of the answer's records of a kind. A chain of CNAMEs ends in them: their owner is not looked at."""
    _, _, questions, answers, _, _ = struct.unpack_from("!6H", message)
    if questions != 1 or message[12 : 12 + len(question)].lower() != question.lower():
        raise _Broken
    at = 12 + len(question)
    for _ in range(answers):
        at = _skip_name(message, at)
        if at + 10 > len(message):
            raise _Broken
        found, of, _, length = struct.unpack_from("!HHIH", message, at)
        at += 10
        if at + length > len(message):
            raise _Broken
        if (found, of) == (kind, IN):
            yield message[at : at + length]
        at += length


def _text(data: bytes) -> str:
    """The strings of a TXT record, joined."""
    parts, at = [], 0
    while at < len(data):
        length = data[at]
        parts.append(data[at + 1 : at + 1 + length])
        at += 1 + length
    return b"".join(parts).decode("utf-8", "replace")


def _over_udp(where: tuple[str, int], message: bytes) -> bytes:
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as endpoint_:
        endpoint_.settimeout(TIMEOUT)
        # Connected, the kernel drops what comes from anybody else; the port is a random one.
        endpoint_.connect(where)
        endpoint_.send(message)
        while True:
            answer = endpoint_.recv(65535)
            if answer[:2] == message[:2]:
                return answer


def _over_tcp(where: tuple[str, int], message: bytes) -> bytes:
    with socket.create_connection(where, timeout=TIMEOUT) as connection, connection.makefile("rb") as reader:
        connection.sendall(struct.pack("!H", len(message)) + message)
        head = reader.read(2)
        if len(head) < 2:
            raise _Broken
        return reader.read(struct.unpack("!H", head)[0])


def lookup(name: str, kind: int, resolvers: Sequence[str]) -> list[str]:
    """The TXT texts or A addresses of a name; none where it does not exist or has none. Raises LookupFailed."""
    question = _name(name) + struct.pack("!2H", kind, IN)
    why = "there is no resolver"
    for attempt in range(TRIES if resolvers else 0):
        where = endpoint(resolvers[attempt % len(resolvers)])
        head = struct.pack("!6H", secrets.randbelow(65536), 0x0100, 1, 0, 0, 1)
        message = head + question + b"\0" + struct.pack("!HHIH", OPT, UDP_SIZE, 0, 0)
        try:
            answer = _over_udp(where, message)
            flags = struct.unpack_from("!H", answer, 2)[0]
            if flags & TRUNCATED:
                answer = _over_tcp(where, message)
                flags = struct.unpack_from("!H", answer, 2)[0]
            code = flags & 15
            if answer[:2] != message[:2] or not flags & 0x8000:
                raise _Broken
            if code == NXDOMAIN:
                return []
            if code != NOERROR:
                why = f"{where[0]} answered with the code {code}"
                continue
            data = list(_records(answer, question, kind))
            return sorted(_text(each) if kind == TXT else socket.inet_ntoa(each) for each in data)
        except (struct.error, _Broken, ValueError):
            why = f"{where[0]} answered what is no answer"
        except OSError as error:
            why = f"{where[0]}: {'no answer' if isinstance(error, TimeoutError) else error.strerror or error}"
    raise LookupFailed(why)
