"""What the tests share: an inventory of their own."""

from __future__ import annotations

import os

import pytest
from hosts import BUILD, fresh_inventory


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless ./strandline test --long asks for it."""
    if os.environ.get("STRANDLINE_TEST_TIER") != "long":
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session", autouse=True)
def inventory() -> None:
    """The verbs change an inventory, so they get a copy."""
    BUILD.mkdir(parents=True, exist_ok=True)
    fresh_inventory()
