"""The canary's events: what is sent to a listener, and how its row in the database is known again. No sockets here.

Each event carries a mark that nobody else knows. It stands where the protocol lets a client say anything: in SSH's
identification (RFC 4253, section 4.2), a name asked for (RFC 1035), a Call-ID (RFC 3261, section 20.8), and the six
digits of an RFB version (RFC 6143, section 7.1.1).
"""

from __future__ import annotations

import json
import re
import secrets
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MARK = re.compile(r"[a-z0-9]{6,32}")
SIP_PROBE = (
    "OPTIONS sip:{host} SIP/2.0\r\n"
    "Via: SIP/2.0/{proto} {host}:5060;branch=z9hG4bK{mark};rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:canary@canary.invalid>;tag={mark}\r\n"
    "To: <sip:{host}>\r\n"
    "Call-ID: {mark}@canary.invalid\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "User-Agent: strandline-canary\r\n"
    "Content-Length: 0\r\n"
    "\r\n"
)


@dataclass(frozen=True)
class Probe:
    """One marked event: where it goes, and the field of which event its mark comes back in."""

    sensor: str
    listener: str
    address: str
    port: int
    proto: str
    mark: str

    @property
    def payload(self) -> bytes:
        """What the client says."""
        return PAYLOADS[self.listener](self)

    @property
    def event(self) -> str:
        """The event that the listener writes."""
        return EVENTS[self.listener][0]

    @property
    def value(self) -> tuple[str, str]:
        """The field that holds the mark, and its whole value as the database has it."""
        _, field, template = EVENTS[self.listener]
        return field, template.format(mark=self.mark, digits=f"{self.mark[:3]}.{self.mark[3:]}")

    @property
    def speaks_first(self) -> bool:
        """Whether the server says something before the client does."""
        return self.listener == "vnc"


EVENTS = {
    "ssh": ("ssh.client", "ident", "SSH-2.0-canary_{mark}"),
    "dns": ("dns.query", "qname", "{mark}.canary.invalid."),
    "sip": ("sip.request", "call_id", "{mark}@canary.invalid"),
    "vnc": ("vnc.client", "version", "RFB {digits}"),
}
"""For each listener: event, field, and what the field's value is."""


def _ssh(probe: Probe) -> bytes:
    return f"{probe.value[1]}\r\n".encode()


def _dns(probe: Probe) -> bytes:
    """A query for TXT without recursion desired: it counts for no feed."""
    identifier = int.from_bytes(secrets.token_bytes(2), "big")
    labels = probe.value[1].rstrip(".").split(".")
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    message = struct.pack("!6H", identifier, 0, 1, 0, 0, 0) + name + struct.pack("!2H", 16, 1)
    return struct.pack("!H", len(message)) + message if probe.proto == "tcp" else message


def _sip(probe: Probe) -> bytes:
    host = f"[{probe.address}]" if ":" in probe.address else probe.address
    return SIP_PROBE.format(host=host, proto=probe.proto.upper(), mark=probe.mark).encode()


def _vnc(probe: Probe) -> bytes:
    return f"{probe.value[1]}\n".encode()


PAYLOADS: Mapping[str, Callable[[Probe], bytes]] = {"ssh": _ssh, "dns": _dns, "sip": _sip, "vnc": _vnc}


def mark(listener: str) -> str:
    """Return a new mark: 80 bits, or the six digits that RFB has room for (above the versions that exist)."""
    if listener == "vnc":
        return str(100_000 + secrets.randbelow(900_000))
    return secrets.token_hex(10)


def probes(
    sensors: Mapping[str, Iterable[str]], listeners: Mapping[str, Any], make: Callable[[str], str] = mark
) -> list[Probe]:
    """Return a probe for each port of each listener (as in events.yml) on each address of each sensor.

    Raises ValueError for a listener that there is no probe for.
    """
    found = []
    for sensor, addresses in sensors.items():
        for address in addresses:
            for listener, entry in listeners.items():
                if entry["ports"] and listener not in PAYLOADS:
                    raise ValueError(f"there is no probe for the listener {listener}")
                for port in entry["ports"]:
                    found.append(Probe(sensor, listener, address, port["port"], port["proto"], make(listener)))
    return found


def _condition(probe: Probe) -> str:
    """The SQL condition of a probe's row. Nothing in it comes from outside: marks are checked, the rest is ours."""
    if not MARK.fullmatch(probe.mark):
        raise ValueError(f"{probe.mark!r} is no mark")
    field, value = probe.value
    return (
        f"(event = '{probe.event}' AND dport = {probe.port} AND proto = '{probe.proto}'"
        f" AND data->>'{field}' = '{value}')"
    )


def _found(sent: Iterable[Probe]) -> str:
    """The SQL condition of all probes' rows. The sensors' clocks may be an hour off."""
    conditions = "\n    OR ".join(_condition(probe) for probe in sent)
    return f"ts >= now() - interval '1 hour' AND ts < now() + interval '1 hour' AND (\n    {conditions})"


QUERY = """\
SELECT coalesce(json_agg(r), '[]') FROM (
  SELECT sensor.name AS sensor, event, host(saddr) AS saddr, host(daddr) AS daddr, dport, proto, data,
    extract(epoch FROM ts)::float8 AS ts, extract(epoch FROM rts)::float8 AS rts
  FROM strandline.event
  JOIN strandline.run ON run.id = run_id
  JOIN strandline.sensor ON sensor.id = sensor_id
  WHERE {found}
) r;
"""
FORGET = """\
SELECT strandline.settle_sightings() \\g /dev/null
WITH canary AS (
  UPDATE strandline.event SET data = data || '{{"canary": "yes"}}' WHERE {found}
  RETURNING date_trunc('hour', ts, 'UTC') AS hour, saddr
), gone AS (
  DELETE FROM strandline.sighting USING (SELECT DISTINCT hour, saddr FROM canary) c
  WHERE sighting.hour = c.hour AND sighting.saddr = c.saddr RETURNING 1
) SELECT count(*) FROM gone;
"""


def query(sent: Iterable[Probe]) -> str:
    """Return SQL that gives one JSON array with an object for each event found."""
    return QUERY.format(found=_found(sent))


def forget(sent: Iterable[Probe]) -> str:
    """Return SQL that takes the canary's own addresses out of the hours in which it came, so that no feed names them.

    Its rows are known by marks that nobody else knows: no stranger can have an address taken out. They say so of
    themselves from then on, for who counts sightings anew (strandline.collector.backfill): a field that no listener
    writes. Prints how many sightings went.
    """
    return FORGET.format(found=_found(sent))


def rows_of(text: str) -> list[dict[str, Any]]:
    """Read what `query` printed."""
    rows: list[dict[str, Any]] = json.loads(text or "[]")
    return rows


def match(sent: Iterable[Probe], rows: Iterable[Mapping[str, Any]]) -> dict[Probe, Mapping[str, Any] | None]:
    """Return for each probe its row, or None.

    A row must come from the sensor and the address that were asked: a provider may lead an address elsewhere.
    """
    keyed = {}
    for row in rows:
        field = next((field for event, field, _ in EVENTS.values() if event == row["event"]), "")
        keyed[row["sensor"], row["event"], row["daddr"], row["proto"], row["data"].get(field)] = row
    return {probe: keyed.get((probe.sensor, probe.event, probe.address, probe.proto, probe.value[1])) for probe in sent}
