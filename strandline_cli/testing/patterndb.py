"""The patterndb rules against the messages that they carry, by the syslog-ng that the collector will run."""

from __future__ import annotations

from strandline_cli import paths
from strandline_cli.images import base, derived
from strandline_cli.playbook import play
from strandline_cli.progress import Step

RENDERED = paths.BUILD / "test" / "patterndb.xml"
PLAYBOOK = paths.SHARED / "patterndb.yml"


def run(step: Step) -> None:
    """Render the rules as the collector's role does and test them in a container. Raises StepFailed."""
    RENDERED.parent.mkdir(parents=True, exist_ok=True)
    step.say("render the rules from files/strandline/protocols/*/events.yml")
    play(step, PLAYBOOK, ["localhost,"], [f"--extra-vars=patterndb_file={RENDERED}"])
    image = derived.ensure(step, "pdbtool", derived.PDBTOOL, base.ensure(step))
    step.say("pdbtool test")
    mounted = "/patterndb.xml"
    step.run(
        [
            "podman",
            "run",
            "--rm",
            "--network=none",
            f"--volume={RENDERED}:{mounted}:ro",
            image,
            "pdbtool",
            "test",
            mounted,
        ]
    )
