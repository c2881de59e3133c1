"""The demo's network, read from its inventory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from strandline_cli.demo import network
from strandline_cli.errors import Refusal


def listing() -> dict[str, Any]:
    """Return what ansible-inventory --list says of a small network."""
    common = {"container_network": "net", "container_subnet": "198.18.0.0/16"}
    return {
        "_meta": {
            "hostvars": {
                "c": {"addresses": ["198.18.0.10"], **common},
                "p": {"addresses": ["198.18.0.11"], "container_publish": ["127.0.0.1:8080:80"], **common},
                "s1": {"addresses": ["198.18.1.1", "198.18.1.2"], **common},
                "s2": {"addresses": ["198.18.2.1"], **common},
                "x": {"addresses": ["198.18.9.1", "198.18.9.2"], **common},
            }
        },
        "collectors": {"hosts": ["c"]},
        "publishers": {"hosts": ["p"]},
        "sensors": {"children": ["provider_a", "provider_b"]},
        "provider_a": {"hosts": ["s1"]},
        "provider_b": {"hosts": ["s2"]},
        "scanners": {"hosts": ["x"]},
    }


def test_the_parts_are_found() -> None:
    net = network.parse(listing())
    assert (net.collector, net.publisher, net.scanner) == ("c", "p", "x")
    assert net.sensors == {"s1": ("198.18.1.1", "198.18.1.2"), "s2": ("198.18.2.1",)}
    assert net.published == (("p", "127.0.0.1", 8080),)
    assert net.site == "http://127.0.0.1:8080/"
    assert net.hosts == ("c", "p", "s1", "s2", "x")


def test_the_scanners_plan_has_every_sensor_address() -> None:
    plan = json.loads(network.parse(listing()).plan())
    assert plan["sources"] == ["198.18.9.1", "198.18.9.2"]
    assert {"name": "s1", "addresses": ["198.18.1.1", "198.18.1.2"]} in plan["sensors"]


@pytest.mark.parametrize("group", ["collectors", "publishers", "sensors", "scanners"])
def test_a_missing_part_is_named(group: str) -> None:
    without = listing()
    del without[group]
    with pytest.raises(Refusal, match=f"{group}.*git checkout"):
        network.parse(without)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:8080:80", ("127.0.0.1", 8080)), ("8080:80", ("0.0.0.0", 8080)), ("8080:80/tcp", ("0.0.0.0", 8080))],
)
def test_published_ports(text: str, expected: tuple[str, int]) -> None:
    assert network.published_port(text) == expected


@pytest.mark.parametrize("text", ["80", "127.0.0.1:80", "a:b:c", ""])
def test_a_wrong_port_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Refusal, match=r"127\.0\.0\.1:8080:80"):
        network.published_port(text)


def test_the_real_inventory_has_all_parts() -> None:
    net = network.load()
    assert len(net.sensors) >= 2
    assert all(len(addresses) > 1 for addresses in net.sensors.values())
    assert net.site == "http://127.0.0.1:8080/"
