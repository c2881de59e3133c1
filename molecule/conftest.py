"""What the tests of all scenarios have in common."""

from __future__ import annotations

import os

import pytest

LONG = os.environ.get("STRANDLINE_TEST_TIER") == "long"

# An assertion in what tests share says what it saw, as one in a test does.
pytest.register_assert_rewrite(
    "clock", "clocks", "containers", "debian", "event_lines", "hosts", "machines", "outages", "servers", "world"
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless it is wanted."""
    if not LONG:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.fixture(scope="session")
def long() -> bool:
    """Whether this is ./strandline test --long: more kills, more events."""
    return LONG
