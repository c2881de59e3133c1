"""The order of a change through the fleet."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.load import load
from strandline_fleet.rollout import batches, plan

from filter_plugins.rollout import rollout_batches, rollout_order, rollout_sizes
from tests.generate_fleet import write_fleet

FLEET = {
    f"{provider}{n}": provider for provider, count in {"a": 5, "b": 2, "c": 1, "d": 8}.items() for n in range(count)
}
GROUPS = {
    "sensors": ["a1", "a2", "b1", "b2"],
    "provider_alder": ["a1", "a2"],
    "provider_birch": ["b1", "b2"],
    "collectors": ["col1", "col2"],
    "publishers": ["www"],
}


def test_every_host_once_and_the_first_alone() -> None:
    order = batches(FLEET, 4)
    assert sorted(host for batch in order for host in batch) == sorted(FLEET)
    assert [len(order[0]), FLEET[order[0][0]]] == [1, "d"]
    assert all(len(batch) <= 4 for batch in order)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 100])
def test_no_batch_takes_more_than_half_of_a_provider(size: int) -> None:
    sizes = Counter(FLEET.values())
    for batch in batches(FLEET, size):
        for provider, count in Counter(FLEET[host] for host in batch).items():
            assert count <= max(1, sizes[provider] // 2)


def test_a_batch_mixes_the_providers() -> None:
    hosts = {f"h{n:03}": f"p{n % 30:02}" for n in range(100)}
    order = batches(hosts, 10)
    assert len(order) <= 12
    assert all(len({hosts[host] for host in batch}) == len(batch) for batch in order)


def test_the_order_does_not_depend_on_the_inventorys() -> None:
    assert batches(FLEET, 3) == batches(dict(reversed(FLEET.items())), 3)


def test_edges() -> None:
    assert batches({}) == []
    assert batches({"lone": "p"}) == [["lone"]]
    with pytest.raises(Refusal, match="at least 1"):
        batches(FLEET, 0)


def test_sensors_first_and_the_central_hosts_each_by_itself_at_the_end() -> None:
    order = plan(["www", "col2", "b1", "a1", "a2", "col1"], GROUPS)
    assert order[-3:] == [["col1"], ["col2"], ["www"]]
    assert [len(order[0]), sorted(host for batch in order[:-3] for host in batch)] == [1, ["a1", "a2", "b1"]]
    assert plan([], GROUPS) == []


def test_the_plan_of_a_hundred_hosts_mixes_the_providers(tmp_path: Path) -> None:
    today = dt.date(2026, 11, 25)
    write_fleet(tmp_path, hosts=100, providers=30, seed=1, today=today)
    groups: dict[str, list[str]] = {}
    for host in load(tmp_path, today).hosts():
        groups.setdefault(host.provider, []).append(host.name)
    provider_of = {name: group for group, names in groups.items() for name in names}
    order = plan(provider_of, groups)
    assert [len(order[0]), max(map(len, order))] == [1, 10]
    assert all(len({provider_of[name] for name in batch}) == len(batch) for batch in order)


def test_a_play_gets_the_order_and_the_sizes_of_the_same_batches() -> None:
    every = [host for group in ("sensors", "collectors") for host in GROUPS[group]]
    order = rollout_batches(every, GROUPS, "2")
    assert rollout_order(every, GROUPS, 2) == [host for batch in order for host in batch]
    assert rollout_sizes(every, GROUPS, 2) == list(map(len, order)) == [1, 2, 1, 1, 1]


@pytest.mark.parametrize("size", [0, -1, "many", None])
def test_a_wrong_size_is_named(size: object) -> None:
    with pytest.raises(AnsibleFilterError, match=r"at least 1|no number of hosts"):
        rollout_sizes(["a1"], GROUPS, size)
