"""What the controller's own machine is made to allow."""

from __future__ import annotations

from pathlib import Path

import pytest

from strandline_cli import host
from strandline_cli.progress import Step


@pytest.mark.parametrize(("before", "after"), [("128\n", 1024), ("1024\n", 1024), ("8192\n", 8192)])
def test_a_limit_that_is_too_low_is_raised_and_no_other(tmp_path: Path, before: str, after: int) -> None:
    setting = tmp_path / "max_user_instances"
    setting.write_text(before)
    host.allow_containers(Step("packages", "", tmp_path / "log"), setting)
    assert int(setting.read_text()) == after


def test_a_machine_that_does_not_let_us_is_told(tmp_path: Path) -> None:
    step = Step("packages", "", tmp_path / "log")
    host.allow_containers(step, tmp_path / "missing")
    assert "max_user_instances" in step.now
