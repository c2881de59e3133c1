"""The canary's clients, and what became of each marked event. What is sent and looked for is in probes.py."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from strandline_fleet import health, probes, text
from strandline_fleet.probes import Probe

TIMEOUT = 5.0  # seconds for a connection and for each answer
TRIES = 3  # datagrams, each sent only when the one before stayed without an answer
WORKERS = 64
LOST = "answered, and no event came"
NO_ROUTE = "this machine has no route to it"


@dataclass(frozen=True)
class Sent:
    """What became of a probe on the wire."""

    probe: Probe
    at: float
    """When its event left (time.time())."""
    failure: str = ""


def wanted(sensors: Mapping[str, Mapping[str, Any]], catalogue: Mapping[str, Any]) -> list[Probe]:
    """A probe for each port of each listener that each sensor has, on each of its addresses.

    ``sensors`` are their variables in the inventory: ``addresses``, and ``fleet_listeners`` where a sensor has not the
    usual listeners, which are all that are not optional. ``catalogue`` is that of strandline.event.catalogue. Raises
    ValueError for a listener without a probe.
    """
    found = probes.probes({name: variables["addresses"] for name, variables in sensors.items()}, catalogue["listeners"])
    usual = [name for name, entry in catalogue["listeners"].items() if not entry.get("optional")]
    named = {name: variables.get("fleet_listeners") for name, variables in sensors.items()}
    has = {name: usual if some is None else some for name, some in named.items()}
    return [probe for probe in found if probe.listener in has[probe.sensor]]


def send(probe: Probe) -> Sent:
    """Play one client: say the mark, wait for the answer, leave."""
    at = time.time()
    if not _has_route(probe):
        return Sent(probe, at, NO_ROUTE)
    try:
        at = _stream(probe) if probe.proto == "tcp" else _datagram(probe)
    except TimeoutError:
        return Sent(probe, at, "no answer")
    except OSError as error:
        return Sent(probe, at, (error.strerror or str(error)).lower())
    return Sent(probe, at)


def _has_route(probe: Probe) -> bool:
    """Whether this machine can send to the address. Nothing is sent: what a router on the way says does not count."""
    family = socket.AF_INET6 if ":" in probe.address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as endpoint:
            endpoint.connect((probe.address, probe.port))
    except OSError as error:
        # The lack of a descriptor or of memory is no lack of a route; EPERM is a local rule's.
        return error.errno not in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def _stream(probe: Probe) -> float:
    with socket.create_connection((probe.address, probe.port), timeout=TIMEOUT) as connection:
        connection.settimeout(TIMEOUT)
        if probe.speaks_first and not connection.recv(256):
            raise ConnectionError("closed without a word")
        at = time.time()
        connection.sendall(probe.payload)
        if not connection.recv(256) and not probe.client.understood(b"", "tcp"):
            raise ConnectionError("closed without an answer")
        return at


def _datagram(probe: Probe) -> float:
    family = socket.AF_INET6 if ":" in probe.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as endpoint:
        endpoint.connect((probe.address, probe.port))
        endpoint.settimeout(TIMEOUT / TRIES)
        for _ in range(TRIES):
            at = time.time()
            endpoint.send(probe.payload)
            try:
                endpoint.recv(2048)
            except TimeoutError:
                continue
            return at
    raise TimeoutError


def send_all(wanted: Sequence[Probe]) -> list[Sent]:
    """Send every probe, several at a time."""
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        return list(pool.map(send, wanted))


def outcome(
    sensors: Iterable[str], sent: Sequence[Sent], rows: Iterable[Mapping[str, Any]], unknown: str = ""
) -> list[dict[str, Any]]:
    """What became of each sensor's events: ``sensor``, ``ok``, ``says``, ``sent``, ``failed`` and its ``probes``.

    ``rows`` are those of the database, and ``unknown`` says why it could not be asked. The reasons are ours: nothing of
    a host's text is in them. A probe's ``seconds`` run from the sensor's time stamp to the collector's receipt: they
    hold the offset of the two clocks.
    """
    found = probes.match((each.probe for each in sent), rows)
    return [
        _of_sensor(name, [each for each in sent if each.probe.sensor == name], found, unknown)
        for name in dict.fromkeys(sensors)
    ]


def _of_sensor(
    name: str, sent: Sequence[Sent], found: Mapping[Probe, Mapping[str, Any] | None], unknown: str
) -> dict[str, Any]:
    results = [_of_probe(each, found[each.probe], unknown) for each in sent]
    many = len({each.probe.address for each in sent}) > 1
    reasons: dict[str, list[str]] = {}
    for each, result in zip(sent, results, strict=True):
        if not result["ok"]:
            where = f"{each.probe.address} " if many else ""
            listener = f"{where}{each.probe.listener} {each.probe.port}/{each.probe.proto}"
            reasons.setdefault(result["says"], []).append(listener)
    failed = sum(not result["ok"] for result in results)
    says = "; ".join(f"{health.some(listeners)}: {reason}" for reason, listeners in reasons.items())
    if unknown:
        says = unknown
    if not sent:
        says = "has no listener to send to"
    return {
        "sensor": name,
        "ok": bool(sent) and not failed,
        "says": says or f"{len(sent)} of {len(sent)}",
        "sent": len(sent),
        "failed": failed,
        "probes": results,
    }


def _of_probe(sent: Sent, row: Mapping[str, Any] | None, unknown: str) -> dict[str, Any]:
    probe = sent.probe
    says = sent.failure or (unknown if row is None and unknown else "" if row is not None else LOST)
    if sent.failure and row is not None:
        says += ", and its event came all the same"
    return {
        "listener": probe.listener,
        "address": probe.address,
        "port": probe.port,
        "proto": probe.proto,
        "event": probe.event,
        "ok": not says,
        "says": says or "received",
        "source": None if row is None else str(row["saddr"]),
        "seconds": None if row is None else round(row["rts"] - row["ts"], 3),
    }


def table(outcomes: Iterable[Mapping[str, Any]]) -> str:
    """The outcome for the terminal: a line for each sensor, those that failed first."""
    lines = []
    for each in sorted(outcomes, key=lambda outcome: bool(outcome["ok"])):
        slowest = max((probe["seconds"] for probe in each["probes"] if probe["seconds"] is not None), default=None)
        arrived = f"{each['sent'] - each['failed']} of {each['sent']}"
        seen = "" if slowest is None else f"{slowest:.2f} s"
        lines.append(("✔" if each["ok"] else "✘", each["sensor"], arrived, seen, "" if each["ok"] else each["says"]))
    return text.table(lines, ("", "sensor", "events", "slowest", "what failed"))
