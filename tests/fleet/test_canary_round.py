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
from strandline_fleet.canary import LOST

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

    def round(self, *bad: tuple[str, int, str]) -> list[tuple[str, str]]:
        """What is told."""
        hostvars = {name: {"provider": {"name": provider}} for name, provider in PROVIDERS.items()}
        found = canary_round(outcomes(bad), hostvars, known=self.known)
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


def test_what_was_tried_again_counts_as_it_was_then() -> None:
    first = outcomes([("a1", 22, "no answer"), ("b1", 53, "no answer")])
    again = [outcome for outcome in outcomes([("b1", 53, "no answer")]) if outcome["sensor"] in ("a1", "b1")]
    hostvars = {name: {"provider": {"name": provider}} for name, provider in PROVIDERS.items()}
    found = canary_round(first, hostvars, again=again)
    assert [each["subject"] for each in found["wrong"]] == ["host b1 filtered"]


@pytest.mark.parametrize("known", ["", "{", "[]", '{"host x": 5}', '{"host x": {"state": "filtered"}}'])
def test_a_memory_that_was_cut_is_none(known: str) -> None:
    assert rounds.read(known) == {}


def test_what_is_told_is_what_the_watcher_takes() -> None:
    hostvars = {name: {"provider": {"name": provider}} for name, provider in PROVIDERS.items()}
    found = canary_round(outcomes([("a1", 22, "no answer")]), hostvars)
    assert len(tell.read(json.dumps(found["items"]))) == 1
