"""How each protocol's client.py is found, and what it has.

The heartbeat asks a sensor's own listeners whether they answer; the canary has them log a mark and finds it in the
database. Both say what the protocol's client.py gives them:

EVENT         the event in which the mark comes back
FIELD         the field of that event's `values` that holds it
SPEAKS_FIRST  whether the server says something before the client does
value(mark)   what the field is for this mark, as the database has it
say(mark, host, proto)   the bytes to send; `host` is the listener's address, in brackets for IPv6
understood(said, proto)  whether what the listener said first is an answer of this protocol
SILENT        optional: the protocols, such as udp, over which the listener never answers
mark()        optional: a new mark where 20 hexadecimal digits don't fit

No sockets there, and the standard library only.
"""

from __future__ import annotations

import importlib
import secrets
from pathlib import Path
from typing import Protocol, cast


class Client(Protocol):
    """What a client.py has; `mark` and `SILENT` may be missing."""

    EVENT: str
    FIELD: str
    SPEAKS_FIRST: bool

    def value(self, mark: str) -> str: ...

    def say(self, mark: str, host: str, proto: str) -> bytes: ...

    def understood(self, said: bytes, proto: str) -> bool: ...


def client(name: str) -> Client | None:
    """The client of a protocol; None when it has none."""
    if not (name.isascii() and name.isalnum() and (Path(__file__).parent / name / "client.py").is_file()):
        return None
    return cast("Client", importlib.import_module(f"{__package__}.{name}.client"))


def mark(name: str) -> str:
    """A new mark for a protocol: 80 bits, where its client makes no other."""
    own = getattr(client(name), "mark", None)
    return str(own()) if own else secrets.token_hex(10)


def silent(name: str, proto: str) -> bool:
    """Whether the protocol's listener never answers over `proto`."""
    return proto == "ipv6" or proto in getattr(client(name), "SILENT", ())
