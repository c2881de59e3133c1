"""The sensors are made to say nothing of their own, so that every number is the client's doing."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from outages import connect_anew
from world import SENSORS, Traffic

TIER = os.environ.get("STRANDLINE_TEST_TIER", "normal")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what takes long, unless it is wanted."""
    for item in items:
        if "long" in item.keywords and TIER != "long":
            item.add_marker(pytest.mark.skip(reason="takes long: ./strandline test --long"))


@pytest.fixture(scope="session", autouse=True)
def no_heartbeats() -> Iterator[None]:
    """Stop the heartbeats for as long as the tests run."""
    for sensor in SENSORS:
        sensor.unit("stop", "strandline-heartbeat.timer")
    # The first test suffers no loss; and whatever went on before it, the collectors may have been restarted.
    connect_anew()
    yield
    for sensor in SENSORS:
        sensor.run("systemctl", "start", "strandline-heartbeat.timer")


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """The traffic of a test that failed does not go on in the next one."""
    yield
    for traffic in list(Traffic.live):
        traffic.stop()
