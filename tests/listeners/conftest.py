"""The daemons as a fixture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from listener_harness import Service


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    """Starts daemons: serve("sip", STRANDLINE_IDLE_SECONDS="1")."""
    started: list[Service] = []

    def start(protocol: str, **environment: str) -> Service:
        started.append(Service(protocol, environment))
        return started[-1]

    yield start
    for service in started:
        service.stop()
