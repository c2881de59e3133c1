"""The pages that we make, as a browser sees them."""

from __future__ import annotations

import sys

from strandline_cli import paths
from strandline_cli.images import base, derived
from strandline_cli.progress import Step
from strandline_cli.testing import scenarios

TESTS = paths.ROOT / "tests" / "browser"
REPORT = scenarios.REPORTS / "browser.xml"


def run(step: Step) -> None:
    """Make the image with Chromium and run the tests that look through it. Raises StepFailed."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.unlink(missing_ok=True)
    step.say("make the image with Chromium")
    image = derived.ensure(step, "browser", derived.BROWSER, base.ensure(step))
    step.say("look at the pages")
    command = [sys.executable, "-m", "pytest", str(TESTS), "-q", f"--junitxml={REPORT}", "-o", "junit_family=xunit2"]
    step.run(command, env={"STRANDLINE_BROWSER_IMAGE": image})
