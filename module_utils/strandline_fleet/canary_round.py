"""The canary by the clock: what its outcomes say of providers and hosts, and what of that is news.

Each finding belongs to the widest of four that fits: this machine's own network, where a port reaches no sensor of any
provider, or where this machine has no route; a provider, where several of its hosts show the same; a host, where none
of its ports answers; a port of a host.
"""

from __future__ import annotations

import enum
import ipaddress
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from strandline_fleet import health
from strandline_fleet.canary import LOST, NO_ROUTE

SEVERAL = 2
"""So many hosts of a provider make it the provider's."""
GOOD_ROUNDS = 3
"""So many rounds in a row have to be good before one is told that all is well again."""
FILTERED, REFUSED, UNHEARD, ALTERED, UNROUTED = "filtered", "refused", "unheard", "altered", "unrouted"
MEANING = {
    FILTERED: "no answer",
    REFUSED: "connection refused or cut",
    UNHEARD: "somebody answered, and the sensor saw nothing",
    ALTERED: "the sensor saw another source address than this machine's",
    UNROUTED: "this machine has no route to the address",
}


@dataclass(frozen=True)
class Failure:
    """What is wrong with a port of a sensor's address."""

    sensor: str
    address: str
    port: str
    """As :func:`port_of` has it: ``sip 5060/udp``."""
    kind: str
    at_host: str
    """The port with its address."""


@dataclass(frozen=True)
class Wrong:
    """What is wrong with a subject."""

    state: str
    text: str
    ports: tuple[str, ...]


@dataclass(frozen=True)
class Known:
    """What was told of a subject, and for how many rounds it has been well since."""

    state: str
    text: str
    ports: Sequence[str]
    since: str
    good: int = 0


@dataclass(frozen=True)
class Round:
    """What a round found: ``known`` to remember, ``items`` to tell, and what is wrong now."""

    known: Mapping[str, Known]
    items: Sequence[Mapping[str, str]]
    wrong: Sequence[Mapping[str, str]]


def own_sources(probes: Iterable[Mapping[str, Any]]) -> dict[int, str]:
    """By IP version the address that more than half of the events came from: this machine's, as sensors see it."""
    seen: dict[int, Counter[str]] = defaultdict(Counter)
    for probe in probes:
        if probe.get("source"):
            seen[ipaddress.ip_address(probe["source"]).version][probe["source"]] += 1
    found = {}
    for version, counted in seen.items():
        (source, count), *_ = counted.most_common(1)
        if count * 2 > counted.total():
            found[version] = source
    return found


def kind_of(probe: Mapping[str, Any], own: Mapping[int, str]) -> str:
    """What is wrong with a probe's outcome; empty when nothing is."""
    if probe["ok"]:
        source = probe.get("source")
        usual = own.get(ipaddress.ip_address(source).version) if source else None
        return ALTERED if usual and source != usual else ""
    if probe["says"] == LOST:
        return UNHEARD
    if NO_ROUTE in probe["says"]:
        return UNROUTED
    # A router that rejects on the way, or a host that is gone, says nothing of the listener.
    return FILTERED if any(each in probe["says"] for each in ("no answer", "unreachable", "no route")) else REFUSED


def port_of(probe: Mapping[str, Any]) -> str:
    """Listener, number, protocol and IP version: a network may lack one of the two, or filter it alone."""
    return _bare(probe) + (" over IPv6" if ipaddress.ip_address(probe["address"]).version == 6 else "")


def _bare(probe: Mapping[str, Any]) -> str:
    return f"{probe['listener']} {probe['port']}/{probe['proto']}"


def _at_host(probe: Mapping[str, Any]) -> str:
    """A port of a host, by its address."""
    return f"{probe['address']} {_bare(probe)}"


def failures(outcomes: Iterable[Mapping[str, Any]]) -> list[Failure]:
    """What is wrong, port by port."""
    outcomes = list(outcomes)
    own = own_sources(probe for outcome in outcomes for probe in outcome["probes"])
    return [
        Failure(outcome["sensor"], probe["address"], port_of(probe), kind, _at_host(probe))
        for outcome in outcomes
        for probe in outcome["probes"]
        if (kind := kind_of(probe, own))
    ]


def _everywhere(
    found: Sequence[Failure], outcomes: Sequence[Mapping[str, Any]], providers: Mapping[str, str]
) -> set[tuple[str, str]]:
    """Kinds with their ports that all sensors which have the port show, of two providers at least.

    A route that this machine lacks is its own lack, whoever is on the other end.
    """
    has: dict[str, set[str]] = defaultdict(set)
    for outcome in outcomes:
        for probe in outcome["probes"]:
            has[port_of(probe)].add(outcome["sensor"])
    shows: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in found:
        shows[each.kind, each.port].add(each.sensor)
    return {
        (kind, port)
        for (kind, port), sensors in shows.items()
        if kind == UNROUTED
        or (sensors == has[port] and len({providers.get(sensor, "") for sensor in sensors}) >= SEVERAL)
    }


def judged(outcomes: Sequence[Mapping[str, Any]], providers: Mapping[str, str]) -> dict[str, Wrong]:
    """What is wrong, by subject. ``providers`` has each sensor's provider by its name in full."""
    found = failures(outcomes)
    everywhere = _everywhere(found, outcomes, providers)
    says: dict[str, Wrong] = {}
    for kind in sorted({kind for kind, _ in everywhere}):
        ports = sorted(port for each, port in everywhere if each == kind)
        says[f"here {kind}"] = Wrong(
            kind,
            _of_this_machine(kind, ports, found),
            tuple(ports),
        )
    rest = [each for each in found if (each.kind, each.port) not in everywhere]
    of_provider = Counter(providers.get(outcome["sensor"], "") for outcome in outcomes)
    shows: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for each in rest:
        hosts = shows[providers.get(each.sensor, ""), each.kind, each.port]
        if each.sensor not in hosts:
            hosts.append(each.sensor)
    wide = {key for key, hosts in shows.items() if key[0] and len(hosts) >= SEVERAL}
    for provider, kind in sorted({(provider, kind) for provider, kind, _ in wide}):
        ports = sorted(port for one, other, port in wide if (one, other) == (provider, kind))
        hosts = sorted({host for port in ports for host in shows[provider, kind, port]})
        says[f"provider {provider} {kind}"] = Wrong(
            kind,
            f"{provider}, {len(hosts)} of its {of_provider[provider]} hosts ({health.some(hosts)}):"
            f" {health.some(ports)}: {MEANING[kind]}",
            tuple(ports),
        )
    alone = [each for each in rest if (providers.get(each.sensor, ""), each.kind, each.port) not in wide]
    return says | dict(_of_hosts(alone))


def _of_this_machine(kind: str, ports: Sequence[str], found: Iterable[Failure]) -> str:
    if kind == UNROUTED:
        addresses = dict.fromkeys(each.address for each in found if each.kind == kind)
        return f"this machine has no route to {health.some(list(addresses))}. No provider is blamed for it"
    return (
        f"{health.some(ports)}: {MEANING[kind]}, at every sensor of every provider. That is this machine's own"
        " network, or the collector, rather than a provider"
    )


def _of_hosts(found: Iterable[Failure]) -> Iterator[tuple[str, Wrong]]:
    """What hosts show alone."""
    shows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for each in found:
        shows[each.sensor, each.kind].append(each.at_host)
    for (sensor, kind), where in shows.items():
        yield f"host {sensor} {kind}", Wrong(kind, f"{sensor}: {health.some(where)}: {MEANING[kind]}", tuple(where))


class Standing(enum.Enum):
    """How a subject that was told of did in a round that found nothing wrong with it."""

    GOOD = "its ports were tested, and all of them are good"
    FAILING = "a port of it fails, which another subject is blamed for now"
    UNTESTED = "not all of its sensors were in the round"
    GONE = "its sensors, or its ports, are not in the inventory any more"


def standing(
    subject: str, ports: Iterable[str], outcomes: Sequence[Mapping[str, Any]], sensors: Mapping[str, str]
) -> Standing:
    """How a known subject does. ``sensors`` has the provider's name of each sensor of the inventory."""
    scope, _, rest = subject.partition(" ")
    name = rest.rpartition(" ")[0]
    own = {
        sensor
        for sensor, provider in sensors.items()
        if scope == "here" or (sensor if scope == "host" else provider) == name
    }
    label, wanted = _at_host if scope == "host" else port_of, set(ports)
    bad = {(each.sensor, each.at_host) for each in failures(outcomes)}
    tested = [
        (outcome["sensor"], _at_host(probe))
        for outcome in outcomes
        if outcome["sensor"] in own
        for probe in outcome["probes"]
        if label(probe) in wanted
    ]
    if bad.intersection(tested):
        return Standing.FAILING
    if own - {outcome["sensor"] for outcome in outcomes}:
        return Standing.UNTESTED
    return Standing.GOOD if tested else Standing.GONE


def step(
    known: Mapping[str, Known],
    wrong: Mapping[str, Wrong],
    now: str,
    outcomes: Sequence[Mapping[str, Any]],
    sensors: Mapping[str, str],
) -> Round:
    """What is news: a subject that is wrong since this round, or at one more port, or that has been good for long.

    What comes and goes is told once, until it has stayed away for GOOD_ROUNDS. ``outcomes`` are those that ``wrong``
    was made from, maybe of a part of the fleet alone; ``sensors`` are all of them, with their provider's name.
    """
    after: dict[str, Known] = {}
    items = []
    for subject, now_wrong in wrong.items():
        before = known.get(subject)
        told = set(before.ports) if before else set()
        if not set(now_wrong.ports) <= told:
            items.append({"subject": f"canary {subject}", "state": now_wrong.state, "text": now_wrong.text})
        ports = sorted(told | set(now_wrong.ports))
        after[subject] = Known(now_wrong.state, now_wrong.text, ports, before.since if before else now)
    for subject, before in known.items():
        if subject in wrong:
            continue
        stands = standing(subject, before.ports, outcomes, sensors)
        if stands is Standing.FAILING:
            after[subject] = replace(before, good=0)
        elif stands is Standing.UNTESTED:
            after[subject] = before
        elif stands is Standing.GOOD and before.good + 1 < GOOD_ROUNDS:
            after[subject] = replace(before, good=before.good + 1)
        elif stands is Standing.GOOD:
            text = f"all good for {GOOD_ROUNDS} rounds in a row: {before.text} (since {before.since})"
            items.append({"subject": f"canary {subject}", "state": "ok", "text": text})
    shown = [{"subject": subject, "state": one.state, "text": one.text} for subject, one in sorted(wrong.items())]
    return Round(after, items, shown)


def read(text: str) -> dict[str, Known]:
    """What an earlier round remembered; nothing where the file was cut or holds something else."""
    try:
        found = {subject: Known(**one) for subject, one in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}
    return found if all(map(_is_sound, found.values())) else {}


def _is_sound(one: Known) -> bool:
    """Whether all of it is of the type that it says; json.loads promises nothing of it."""
    return (
        all(isinstance(each, str) for each in (one.state, one.text, one.since))
        and isinstance(one.ports, list)
        and all(isinstance(port, str) for port in one.ports)
        and type(one.good) is int
    )


def written(known: Mapping[str, Known]) -> str:
    """What is remembered, as a file."""
    return json.dumps({subject: asdict(one) for subject, one in known.items()}, indent=1) + "\n"


def second(first: Sequence[Mapping[str, Any]], again: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The outcomes after those that failed were tried again: a sensor counts as it was the last time."""
    later = {outcome["sensor"]: outcome for outcome in again}
    return [later.get(outcome["sensor"], outcome) for outcome in first]
