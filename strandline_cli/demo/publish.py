"""Publish the feeds now instead of at the next full hour, and take the website's files out of its container."""

from __future__ import annotations

import shutil

from strandline_cli import paths
from strandline_cli.demo.network import Network
from strandline_cli.progress import Step

UNIT = "strandline-publisher.service"
WEBROOT = "/var/www/strandline/current/."  # what the link to the newest generation leads to


def run(step: Step, net: Network) -> None:
    """Run the publisher's own unit; the demo's inventory lets its window reach to the next full hour."""
    if step.run(["podman", "exec", net.publisher, "systemctl", "start", UNIT], check=False) != 0:
        step.run(
            ["podman", "exec", net.publisher, "journalctl", "--no-pager", "--lines=40", f"--unit={UNIT}"], check=False
        )
        step.check(False, f"{UNIT} failed on {net.publisher}")


def copy(step: Step, net: Network) -> None:
    """Copy the website's files, replacing those of an earlier run only once the new ones are whole."""
    aside = paths.WWW.with_name("www.new")
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(parents=True, exist_ok=True)
    step.run(["podman", "cp", f"{net.publisher}:{WEBROOT}", aside])
    shutil.rmtree(paths.WWW, ignore_errors=True)
    aside.rename(paths.WWW)
