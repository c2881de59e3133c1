"""The patterndb rules against the messages that they carry, by the syslog-ng that the collector will run."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from strandline_cli import paths
from strandline_cli.images import base, derived
from strandline_cli.playbook import play
from strandline_cli.progress import Step

from . import documented

RENDERED = paths.BUILD / "test" / "patterndb.xml"
WITH_FINGER = paths.BUILD / "test" / "patterndb-with-finger.xml"
PLAYBOOK = paths.SHARED / "patterndb.yml"


def run(step: Step) -> None:
    """Render the rules as the collector's role does and test them in a container. Raises StepFailed."""
    RENDERED.parent.mkdir(parents=True, exist_ok=True)
    step.say("render the rules from files/strandline/protocols/*/events.yml")
    play(step, PLAYBOOK, ["localhost,"], [f"--extra-vars=patterndb_file={RENDERED}"])
    _render_documented(step)
    image = derived.ensure(step, "pdbtool", derived.PDBTOOL, base.ensure(step))
    step.say("pdbtool test")
    mounted = "/rules"
    step.run(
        [
            "podman",
            "run",
            "--rm",
            "--network=none",
            f"--volume={RENDERED.parent}:{mounted}:ro",
            image,
            "pdbtool",
            "test",
            *(f"{mounted}/{rules.name}" for rules in (RENDERED, WITH_FINGER)),
        ]
    )


def _render_documented(step: Step) -> None:
    """Render the rules of a tree to which docs/add-a-protocol.md was followed."""
    with tempfile.TemporaryDirectory() as copy:
        package = paths.ROOT / "files" / "strandline"
        shutil.copytree(package, Path(copy, "files", "strandline"), ignore=shutil.ignore_patterns("__pycache__"))
        for name, text in documented.files():
            path = Path(copy, name)
            if path.is_relative_to(Path(copy, "files", "strandline")):
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
        program = Path(copy, "files", "strandline", "event", "render.py")
        step.run([sys.executable, str(program), "patterndb", str(WITH_FINGER)])
