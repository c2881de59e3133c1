"""Makes lines as the collector's syslog-ng writes them into the parsed spool, from a seed; and reads rows."""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

# The sensors' share of events, roughly as scanners come: (event, weight).
MIX = (("ssh.client", 30), ("ssh.password", 30), ("dns.query", 20), ("sip.request", 15), ("vnc.client", 5))


def quoted(raw: bytes, cap: int = 256) -> str:
    """Return a value as the listeners write it (the grammar stands in files/strandline/protocols/*/events.yml)."""
    kept = "".join(chr(b) if 0x20 <= b <= 0x7E and b not in b'"\\' else f"\\x{b:02x}" for b in raw[:cap])
    return f'"{kept}"' + (f"/{len(raw)}" if len(raw) > cap else "")


def fields(event: str, rng: random.Random) -> dict[str, str]:
    """Return the event's own fields."""
    if event == "ssh.client":
        return {
            "valid": "yes",
            "ident": quoted(rng.choice((b"SSH-2.0-Go", b"SSH-2.0-libssh_0.9.6", b"SSH-2.0-OpenSSH_9.2p1"))),
        }
    if event == "ssh.password":
        user = rng.choice((b"root", b"admin", b"ubuntu", bytes(rng.randrange(256) for _ in range(6))))
        return {"method": "password", "user": quoted(user), "password": quoted(rng.randbytes(rng.randrange(12)))}
    if event == "dns.query":
        rd, qclass, qtype, qname = rng.choice(
            (
                ("1", "IN", "ANY", b"example.net."),
                ("1", "IN", "A", b"www.example.org."),
                ("0", "CH", "TXT", b"VERSION.bind."),
            )
        )
        return {
            "verified": rng.choice(("yes", "no")), "id": str(rng.randrange(65536)), "opcode": "0",
            "rd": rd, "cd": "0", "ad": "0", "edns": "-", "udpsize": "-", "do": "0", "ecs": "0", "cookie": "0",
            "qclass": qclass, "qtype": qtype, "qname": quoted(qname, 1024),
        }  # fmt: skip
    if event == "sip.request":
        texts = {
            "uri": b"sip:100@203.0.113.9", "from": b'"sipvicious"<sip:100@1.1.1.1>;tag=3663306130',
            "to": b"<sip:100@203.0.113.9>", "contact": b"sip:100@127.0.1.1:5060",
            "call_id": str(rng.randrange(10**20)).encode(), "cseq": b"1 OPTIONS", "user_agent": b"friendly-scanner",
            "auth_user": b"", "auth_realm": b"", "auth_nonce": b"", "auth_uri": b"", "auth_response": b"",
        }  # fmt: skip
        method = rng.choice((b"OPTIONS", b"OPTIONS", b"REGISTER", b"INVITE"))
        return {"verified": rng.choice(("yes", "no")), "malformed": "-", "method": quoted(method)} | {
            key: quoted(text) for key, text in texts.items()
        }
    return {"version": quoted(b"RFB 003.008")}


FLOW = ("event", "saddr", "sport", "daddr", "dport", "proto")
FORMS = ("text", "json")


def as_json(document: Mapping[str, str]) -> bytes:
    """Return an event as it was written before events had lines of their own; without its newline."""
    return json.dumps(document, separators=(",", ":")).encode()


def as_text(document: Mapping[str, str]) -> bytes:
    """Return an event as it is written now, without its newline."""
    known = ("sensor", "run", "n", "ts", "rts", "program", *FLOW)
    own = [name for name in document if name not in known]
    message = " ".join(f"{name}={document[name]}" for name in (*FLOW, *own))
    moments = [datetime.fromisoformat(document[name]) for name in ("ts", "rts")]
    times = [f"{int(moment.replace(microsecond=0).timestamp())}.{moment.microsecond:06d}" for moment in moments]
    return "\t".join((f"{document['sensor']} {document['run']}", document["n"], *times, message, "")).encode()


def read_row(row: bytes) -> dict[str, Any]:
    """Read a row as PostgreSQL reads COPY's binary format (https://www.postgresql.org/docs/17/sql-copy.html)."""
    names = ("run_id", "kind", "dport", "daddr", "saddr", "n", "ts", "rts", "sport", "fields")
    assert struct.unpack_from(">h", row) == (len(names),)
    found: dict[str, Any] = {}
    at = 2
    for name in names:
        (length,) = struct.unpack_from(">i", row, at)
        value = row[at + 4 : at + 4 + length]
        assert len(value) == length
        at += 4 + length
        if name in ("daddr", "saddr"):
            family, bits, network, size = value[:4]
            assert (family, bits, network, size) in ((2, 32, 0, 4), (3, 128, 0, 16))
            assert len(value) == 4 + size
            found[name] = socket.inet_ntop(socket.AF_INET if size == 4 else socket.AF_INET6, value[4:])
        elif name == "fields":
            found[name] = value.decode("ascii")
        else:
            assert length == {"kind": 2, "n": 8, "ts": 8, "rts": 8}.get(name, 4)
            found[name] = int.from_bytes(value, signed=True)
    assert at == len(row)
    return found


def line(
    sensor: str, run: str, n: int, when: datetime, rng: random.Random, sources: int = 5000, form: str = "text"
) -> bytes:  # fmt: skip
    """Return one line with its newline: an event of the mix, from one of `sources` addresses."""
    event = rng.choices([name for name, _ in MIX], [weight for _, weight in MIX])[0]
    udp = event in ("dns.query", "sip.request") and rng.random() < 0.8
    own = fields(event, rng)
    if "verified" in own and not udp:
        own["verified"] = "yes"
    number = int(rng.random() ** 2 * sources)
    document = {
        "sensor": sensor, "run": run, "n": str(n), "ts": when.isoformat(timespec="microseconds"),
        "rts": (when + timedelta(milliseconds=120)).isoformat(timespec="microseconds"),
        "program": f"strandline-{event.partition('.')[0]}", "event": event,
        "saddr": f"198.{18 + number // 65536}.{number // 256 % 256}.{number % 256}",
        "sport": str(rng.randrange(1024, 65536)),
        "daddr": "203.0.113.9", "dport": {"ssh": "22", "dns": "53", "sip": "5060", "vnc": "5900"}[event[:3]],
        "proto": "udp" if udp else "tcp", **own,
    }  # fmt: skip
    return (as_text(document) if form == "text" else as_json(document)) + b"\n"


def lines(
    count: int, sensors: int = 4, seed: int = 1, start: datetime | None = None, per_second: float = 2000
) -> Iterator[bytes]:
    """Return `count` lines of several sensors, each numbering its own run from 1."""
    rng = random.Random(seed)
    when = start or datetime.now(UTC) - timedelta(hours=1)
    numbers = [0] * sensors
    for _ in range(count):
        sensor = rng.randrange(sensors)
        numbers[sensor] += 1
        when += timedelta(seconds=rng.expovariate(per_second))
        yield line(f"sensor{sensor + 1}", f"1764036738123456-{sensor:04x}", numbers[sensor], when, rng)
