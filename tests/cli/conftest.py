"""What the controller's tests share."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from strandline_cli.progress import Progress


@pytest.fixture
def shown() -> io.StringIO:
    """What the operator sees."""
    return io.StringIO()


@pytest.fixture
def progress(tmp_path: Path, shown: io.StringIO) -> Callable[..., Progress]:
    """Make a Progress without a terminal (or as if it had one) that logs into a directory of the test."""

    def make(*, terminal: bool = False, interval: float = 60.0) -> Progress:
        console = Console(file=shown, force_terminal=terminal, width=100, highlight=False, soft_wrap=True)
        return Progress("verb", console, interval, tmp_path / "log")

    return make


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a cache of its own."""
    directory = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("STRANDLINE_CACHE", str(directory))
    return directory
