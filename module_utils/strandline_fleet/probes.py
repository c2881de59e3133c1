"""The canary's events: what is sent to a listener, and how its row in the database is known again. No sockets here.

Each event carries a mark that nobody else knows, where the protocol lets a client say anything: the client.py of the
protocol's folder says where (files/strandline/protocols/client.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from strandline.protocols.client import Client, client, mark, silent

MARK = re.compile(r"[a-z0-9]{6,32}")
NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?")


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
    def client(self) -> Client:
        """What the listener's protocol has for it."""
        known = client(self.listener)
        if known is None:
            raise ValueError(f"there is no probe for the listener {self.listener}: its folder has no client.py")
        return known

    @property
    def payload(self) -> bytes:
        """What the client says."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return self.client.say(self.mark, host, self.proto)

    @property
    def event(self) -> str:
        """The event that the listener writes."""
        return self.client.EVENT

    @property
    def value(self) -> tuple[str, str]:
        """The field that holds the mark, and its whole value as the database has it."""
        return self.client.FIELD, self.client.value(self.mark)

    @property
    def speaks_first(self) -> bool:
        """Whether the server says something before the client does."""
        return self.client.SPEAKS_FIRST


def probes(
    sensors: Mapping[str, Iterable[str]], listeners: Mapping[str, Any], make: Callable[[str], str] = mark
) -> list[Probe]:
    """Return a probe for each port of each listener (as in events.yml) on each address of each sensor.

    There is none where a listener never answers: an event that did not come would not tell a filter from a fault.
    Raises ValueError for a listener that there is no probe for.
    """
    found = []
    for sensor, addresses in sensors.items():
        for address in addresses:
            for listener, entry in listeners.items():
                ports = [port for port in entry["ports"] if not silent(listener, port["proto"])]
                if ports and client(listener) is None:
                    raise ValueError(f"there is no probe for the listener {listener}: its folder has no client.py")
                for port in ports:
                    found.append(Probe(sensor, listener, address, port["port"], port["proto"], make(listener)))
    return found


def _condition(probe: Probe) -> str:
    """The SQL condition of a probe's row. Nothing in it comes from outside: marks are checked, the rest is ours."""
    if not MARK.fullmatch(probe.mark):
        raise ValueError(f"{probe.mark!r} is no mark")
    if not NAME.fullmatch(probe.event) or not NAME.fullmatch(probe.value[0]) or "'" in probe.value[1]:
        raise ValueError(
            f"{probe.listener}: client.py: EVENT and FIELD are names of the catalogue, a value has no quote"
        )
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
    sent = list(sent)
    fields = {probe.event: probe.value[0] for probe in sent}
    keyed = {}
    for row in rows:
        field = fields.get(row["event"], "")
        keyed[row["sensor"], row["event"], row["daddr"], row["proto"], row["data"].get(field)] = row
    return {probe: keyed.get((probe.sensor, probe.event, probe.address, probe.proto, probe.value[1])) for probe in sent}
