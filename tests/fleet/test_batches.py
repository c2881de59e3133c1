"""The order of a change through the fleet."""

from __future__ import annotations

from collections import Counter

import pytest
from strandline_fleet.rollout import batches

FLEET = {
    f"{provider}{n}": provider for provider, count in {"a": 5, "b": 2, "c": 1, "d": 8}.items() for n in range(count)
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
    with pytest.raises(ValueError, match="at least 1"):
        batches(FLEET, 0)
