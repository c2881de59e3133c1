"""What the story's chapters share. They are told in the order of their files: test_a_…, test_b_…"""

from __future__ import annotations

import subprocess
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
def beginning(clock: Clock) -> Iterator[subprocess.Popen[str]]:
    """The collector is being set up, while the first server is leased and things go wrong."""
    process = servers.start(
        "site", "-i", str(servers.INVENTORY), "--", "--limit", "collectors:builders", output=servers.BUILD / "site.log"
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            servers.kill(process)


@pytest.fixture(scope="session")
def network(beginning: subprocess.Popen[str]) -> None:
    """The collector stands, and the packages are built."""
    code = beginning.wait()
    assert code == 0, (servers.BUILD / "site.log").read_text()[-3000:]
