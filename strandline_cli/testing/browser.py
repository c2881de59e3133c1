"""The pages that we make as a browser sees them, and the publisher's site and mirrors as the network does."""

from __future__ import annotations

import sys

from strandline_cli import paths
from strandline_cli.images import base, derived
from strandline_cli.progress import Step
from strandline_cli.testing import scenarios

TESTS = (paths.ROOT / "tests" / "browser", paths.ROOT / "tests" / "site")
REPORT = scenarios.REPORTS / "browser.xml"


def run(step: Step) -> None:
    """Make the images with Chromium and with a web server and run the tests that use them. Raises StepFailed."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.unlink(missing_ok=True)
    step.say("make the images with Chromium and a web server")
    debian = base.ensure(step)
    images = {
        "STRANDLINE_BROWSER_IMAGE": derived.ensure(step, "browser", derived.BROWSER, debian),
        "STRANDLINE_PUBLISHER_IMAGE": derived.ensure(step, "database", derived.DATABASE, debian),
    }
    step.say("look at the pages and the site")
    tests = map(str, TESTS)
    command = [sys.executable, "-m", "pytest", *tests, "-q", f"--junitxml={REPORT}", "-o", "junit_family=xunit2"]
    step.run(command, env=images)
