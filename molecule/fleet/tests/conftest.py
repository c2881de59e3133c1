"""What the story's chapters share. They are told in the order of their files: test_a_…, test_b_…"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import servers
from clock import Clock, ticking


@pytest.fixture(scope="session", autouse=True)
def clock() -> Iterator[Clock]:
    """The time server that all hosts ask."""
    with ticking() as clock:
        yield clock


@pytest.fixture(scope="session", autouse=True)
def network(clock: Clock) -> None:
    """The collector stands, and the packages are built, before a server is leased."""
    code, said = servers.strandline("site", "-i", str(servers.INVENTORY), "--", "--limit", "collectors:builders")
    assert code == 0, said[-3000:]
