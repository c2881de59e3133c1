"""The sensors are made to say nothing of their own, so that every number is the client's doing."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from outages import connect_anew
from world import SENSORS, Traffic, quiet, reconcile

FAILED = pytest.StashKey[bool]()


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember how the test itself went."""
    report = yield
    if report.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(autouse=True)
def no_leftovers(request: pytest.FixtureRequest) -> Iterator[None]:
    """Of a test that failed, neither its traffic nor what it lost is there in the next one."""
    yield
    for traffic in list(Traffic.live):
        traffic.stop()
    if request.node.stash.get(FAILED, False):
        quiet()
        reconcile()
