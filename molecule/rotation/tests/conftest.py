"""What the tests share: an inventory of their own."""

from __future__ import annotations

import pytest
from hosts import BUILD, fresh_inventory


@pytest.fixture(scope="session", autouse=True)
def inventory() -> None:
    """The verbs change an inventory, so they get a copy."""
    BUILD.mkdir(parents=True, exist_ok=True)
    fresh_inventory()
