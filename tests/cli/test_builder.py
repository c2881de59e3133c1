"""Which builders are ours to start."""

from __future__ import annotations

from typing import Any

import pytest

from strandline_cli import builder


def data(**variables: object) -> dict[str, Any]:
    return {"_meta": {"hostvars": {"b": variables}}, "builders": {"hosts": ["b"]}}


@pytest.mark.parametrize(
    ("variables", "names"),
    [
        ({"ansible_connection": "strandline_container"}, ["b"]),
        ({"ansible_connection": "strandline_container", "container_network": "demo"}, []),
        ({"ansible_host": "192.0.2.9"}, []),
        ({}, []),
    ],
)
def test_only_containers_without_a_network_are_ours(variables: dict[str, object], names: list[str]) -> None:
    assert builder.containers(data(**variables)) == names


def test_an_inventory_without_builders_has_none() -> None:
    assert builder.containers({"_meta": {"hostvars": {}}}) == []


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ((), True),
        (("--check", "--diff"), True),
        (("--limit", "ams1"), False),
        (("-l", "ams1,collector1"), False),
        (("--limit=ams1",), False),
        (("--limit=builders",), True),
        (("--limit", "builders,ams1"), True),
        (("--limit", "all"), True),
    ],
)
def test_a_limit_leaves_the_builders_out(extra: tuple[str, ...], expected: bool) -> None:
    assert builder.wanted(extra) is expected
