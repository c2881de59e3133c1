"""A round of canaries: whose fault it is, what is told once, and the filter as templates use it.

That a round sends, asks the database and tells is seen in the fleet scenario.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

import pytest
from strandline.collector.watch import tell
from strandline_fleet import canary_round as rounds
from strandline_fleet.canary import LOST, NO_ROUTE

from filter_plugins.canary_round import canary_round

PROVIDERS = {"a1": "Alder", "a2": "Alder", "a3": "Alder", "b1": "Birch", "b2": "Birch", "c1": "Cedar"}
PORTS = (("ssh", 22, "tcp"), ("dns", 53, "udp"), ("sip", 5060, "udp"))
HERE = "192.0.2.200"


def outcomes(bad: Iterable[tuple[str, int, str]] = (), sources: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """The outcomes of a round: all is well but for (sensor, port, what it says)."""
    wrong = {(sensor, port): says for sensor, port, says in bad}
    made = []
    for number, sensor in enumerate(PROVIDERS):
        probes = []
        for listener, port, proto in PORTS:
            says = wrong.get((sensor, port), "")
            source = None if says else (sources or {}).get(sensor, HERE)
            probes.append(
                {"listener": listener, "address": f"198.51.100.{number}", "port": port, "proto": proto, "event": "x",
                 "ok": not says, "says": says or "received", "source": source, "seconds": 0.1}
            )  # fmt: skip
        made.append({"sensor": sensor, "ok": all(p["ok"] for p in probes), "probes": probes})
    return made


def wrong(*bad: tuple[str, int, str]) -> dict[str, str]:
    """What is said by subject."""
    return {subject: one.text for subject, one in rounds.judged(outcomes(bad), PROVIDERS).items()}


def test_all_is_well() -> None:
    assert wrong() == {}


def test_several_hosts_of_a_provider_make_it_the_providers() -> None:
    found = wrong(("a1", 5060, "no answer"), ("a3", 5060, "no answer"), ("b1", 22, "connection refused"))
    assert found == {
        "provider Alder filtered": "Alder, 2 of its 3 hosts (a1, a3): sip 5060/udp: no answer",
        "host b1 refused": "b1: 198.51.100.3 ssh 22/tcp: connection refused or cut",
    }


def test_who_answers_in_a_sensors_place_is_told_from_who_filters() -> None:
    found = wrong(("b1", 53, LOST), ("b2", 53, LOST), ("b2", 22, "no answer"), ("c1", 53, LOST))
    assert set(found) == {"provider Birch unheard", "host b2 filtered", "host c1 unheard"}
    assert "somebody answered, and the sensor saw nothing" in found["provider Birch unheard"]


def test_what_all_sensors_of_all_providers_show_is_this_machines() -> None:
    found = wrong(*((sensor, 5060, "no answer") for sensor in PROVIDERS), ("a1", 22, "no answer"))
    assert set(found) == {"here filtered", "host a1 filtered"}
    assert "this machine's own network" in found["here filtered"]


def test_a_provider_with_all_of_the_fleet_is_named_all_the_same() -> None:
    made = outcomes([("a1", 22, "no answer"), ("a2", 22, "no answer"), ("a3", 22, "no answer")])
    alders = [outcome for outcome in made if PROVIDERS[outcome["sensor"]] == "Alder"]
    assert set(rounds.judged(alders, PROVIDERS)) == {"provider Alder filtered"}


def test_a_source_that_was_changed_on_the_way_is_told() -> None:
    made = outcomes(sources={"c1": "203.0.113.7"})
    found = rounds.judged(made, PROVIDERS)
    assert set(found) == {"host c1 altered"}
    # Without a majority there is nothing to compare with.
    spread = outcomes(sources={name: f"203.0.113.{number}" for number, name in enumerate(PROVIDERS)})
    assert rounds.judged(spread, PROVIDERS) == {}


class World:
    """Rounds one after the other."""

    def __init__(self) -> None:
        self.known = ""
        self.sensors = list(PROVIDERS)

    def round(
        self, *bad: tuple[str, int, str], tested: Iterable[str] = PROVIDERS, without: int = 0
    ) -> list[tuple[str, str]]:
        """What is told after a round of these sensors, none of which has the port ``without``."""
        hostvars = {name: {"provider": {"name": provider}} for name, provider in PROVIDERS.items()}
        made = [outcome for outcome in outcomes(bad) if outcome["sensor"] in tested]
        for outcome in made:
            outcome["probes"] = [probe for probe in outcome["probes"] if probe["port"] != without]
        found = canary_round(made, hostvars, known=self.known, sensors=self.sensors)
        self.known = found["known"]
        assert bool(found["wrong"]) == bool(bad)
        return [(item["subject"], item["state"]) for item in found["items"]]


def test_each_change_is_told_once_and_the_end_after_a_while() -> None:
    world, bad = World(), [("a1", 5060, "no answer"), ("a2", 5060, "no answer")]
    assert world.round() == []
    assert world.round(*bad) == [("canary provider Alder filtered", "filtered")]
    assert world.round(*bad) == []
    assert world.round(*bad, ("a3", 5060, "no answer")) == []
    # One more port is news.
    assert world.round(*bad, ("a1", 22, "no answer"), ("a2", 22, "no answer")) == [
        ("canary provider Alder filtered", "filtered")
    ]
    assert world.round() == []
    assert world.round(*bad) == []
    assert [world.round() for _ in range(3)] == [[], [], [("canary provider Alder filtered", "ok")]]
    assert world.round() == []


def test_whatever_comes_and_goes_is_told_at_most_once_in_three_rounds() -> None:
    chance, world = random.Random(5), World()
    told = []
    for _ in range(300):
        bad = [("c1", 22, "no answer")] if chance.random() < 0.5 else []
        told.append(len(world.round(*bad)))
    assert max(told) == 1
    assert sum(told) < 100


def test_what_was_not_tested_is_neither_good_nor_forgotten() -> None:
    world = World()
    alders = [("canary provider Alder filtered", "filtered"), ("canary host c1 filtered", "filtered")]
    assert world.round(("a1", 53, "no answer"), ("a3", 53, "no answer"), ("c1", 22, "no answer")) == alders
    # Rounds of others, and of a host of the provider that never failed.
    assert [world.round(tested=["a2", "b1"]) for _ in range(5)] == [[]] * 5
    assert [world.round(tested=["c1"]) for _ in range(3)] == [[], [], [("canary host c1 filtered", "ok")]]
    assert [world.round() for _ in range(3)] == [[], [], [("canary provider Alder filtered", "ok")]]


def test_a_failure_that_moves_to_another_subject_is_no_recovery() -> None:
    world, here = World(), [(sensor, 53, "no answer") for sensor in PROVIDERS]
    assert world.round(("a1", 53, "no answer")) == [("canary host a1 filtered", "filtered")]
    assert world.round(*here) == [("canary here filtered", "filtered")]
    assert [world.round(*here) for _ in range(4)] == [[]] * 4
    # Two hosts of a provider are left, then one, by another kind in the end.
    assert world.round(("a1", 53, "no answer"), ("a2", 53, "no answer")) == [
        ("canary provider Alder filtered", "filtered")
    ]
    assert [world.round(("a1", 53, "no answer")) for _ in range(4)] == [[]] * 4
    assert world.round(("a1", 53, "connection refused")) == [("canary host a1 refused", "refused")]
    assert [world.round(("a1", 53, "connection refused")) for _ in range(4)] == [[]] * 4
    assert [sorted(world.round()) for _ in range(3)][2] == [
        ("canary here filtered", "ok"),
        ("canary host a1 filtered", "ok"),
        ("canary host a1 refused", "ok"),
        ("canary provider Alder filtered", "ok"),
    ]


def test_good_rounds_count_in_a_row_alone() -> None:
    world, elsewhere = World(), [("a1", 53, "no answer"), ("a2", 53, "no answer")]
    world.round(("a1", 53, "no answer"))
    assert world.round() == world.round() == []
    # It fails in the provider's name.
    world.round(*elsewhere)
    assert world.round() == world.round() == []
    assert ("canary host a1 filtered", "ok") in world.round()


def test_a_port_or_a_host_that_is_gone_is_forgotten_and_not_called_good() -> None:
    world = World()
    world.round(("a1", 53, "no answer"), ("b1", 22, "no answer"))
    assert world.round(without=53) == []
    assert "host a1 filtered" not in world.known
    world.sensors.remove("b1")
    assert world.round(tested=world.sensors) == []
    assert json.loads(world.known) == {}


def dual(bad: dict[str, str], also_of_birch: bool = False) -> list[dict[str, Any]]:
    """Two hosts of Alder with both IP versions, and one of Birch; ``bad`` is what the IPv6 probes say."""
    made = []
    for sensor, number in (("a1", 1), ("a2", 2), ("b1", 3)):
        addresses = [f"198.51.100.{number}"]
        if sensor != "b1" or also_of_birch:
            addresses.append(f"2001:db8::{number}")
        probes = []
        for address in addresses:
            for listener, port, proto in PORTS:
                says = bad.get(sensor, "") if ":" in address else ""
                probes.append(
                    {"listener": listener, "address": address, "port": port, "proto": proto, "ok": not says,
                     "says": says or "received", "source": None if says or ":" in address else HERE}
                )  # fmt: skip
        made.append({"sensor": sensor, "ok": all(probe["ok"] for probe in probes), "probes": probes})
    return made


def test_a_machine_without_ipv6_blames_no_provider() -> None:
    found = rounds.judged(dual({"a1": NO_ROUTE, "a2": NO_ROUTE}), PROVIDERS)
    assert {subject: one.text for subject, one in found.items()} == {
        "here unrouted": "this machine has no route to 2001:db8::1, 2001:db8::2. No provider is blamed for it"
    }


def test_a_network_that_lacks_one_ip_version_is_this_machines() -> None:
    lost = dict.fromkeys(("a1", "a2", "b1"), "no answer")
    assert set(rounds.judged(dual(lost, also_of_birch=True), PROVIDERS)) == {"here filtered"}
    # One provider alone: its filter, and of which version.
    del lost["b1"]
    found = rounds.judged(dual(lost, also_of_birch=True), PROVIDERS)
    assert set(found) == {"provider Alder filtered"}
    assert "dns 53/udp over IPv6" in found["provider Alder filtered"].text


def test_a_host_that_no_router_knows_is_not_called_a_listener_that_does_not_run() -> None:
    found = wrong(("b1", 22, "no route to host"), ("c1", 22, "network is unreachable"))
    assert set(found) == {"host b1 filtered", "host c1 filtered"}


def test_what_was_tried_again_counts_as_it_was_then() -> None:
    first = outcomes([("a1", 22, "no answer"), ("b1", 53, "no answer")])
    again = [outcome for outcome in outcomes([("b1", 53, "no answer")]) if outcome["sensor"] in ("a1", "b1")]
    hostvars = {name: {"provider": {"name": provider}} for name, provider in PROVIDERS.items()}
    found = canary_round(first, hostvars, again=again)
    assert [each["subject"] for each in found["wrong"]] == ["host b1 filtered"]


SOUND = {"state": "filtered", "text": "x", "ports": ["ssh 22/tcp"], "since": "2026-11-28 10:00 UTC", "good": 0}


@pytest.mark.parametrize(
    "known",
    [
        "",
        "{",
        "[]",
        '{"host x": 5}',
        '{"host x": {"state": "filtered"}}',
        *(json.dumps({"host x": SOUND | {field: None}}) for field in SOUND),
        json.dumps({"host x": SOUND | {"ports": "ssh"}}),
        json.dumps({"host x": SOUND | {"ports": [22]}}),
        json.dumps({"host x": SOUND | {"good": True}}),
    ],
)
def test_a_memory_that_was_cut_is_none(known: str) -> None:
    assert rounds.read(known) == {}
    assert list(rounds.read(json.dumps({"host x": SOUND}))) == ["host x"]


def test_what_is_told_is_what_the_watcher_takes() -> None:
    hostvars = {name: {"provider": {"name": provider}} for name, provider in PROVIDERS.items()}
    found = canary_round(outcomes([("a1", 22, "no answer")]), hostvars)
    assert len(tell.read(json.dumps(found["items"]))) == 1
