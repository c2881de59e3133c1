"""The scanner plays its script; its record is kept for the comparison with the database."""

from __future__ import annotations

from strandline_cli import paths
from strandline_cli.demo.network import Network
from strandline_cli.progress import Step

PROGRAM = "/usr/lib/strandline/scanner/run"
PLAN = "/etc/strandline/plan.json"
RECORD = "/var/lib/scanner/record.jsonl"
KEPT_RECORD = paths.DEMO_BUILD / "scanner" / "record.jsonl"


def run(step: Step, net: Network) -> None:
    """Give the scanner its plan, let it play, fetch its record."""
    plan = KEPT_RECORD.parent / "plan.json"
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_text(net.plan())
    step.run(["podman", "exec", net.scanner, "mkdir", "-p", "/etc/strandline"])
    step.run(["podman", "cp", plan, f"{net.scanner}:{PLAN}"])
    code = step.run(["podman", "exec", net.scanner, PROGRAM, "--targets", PLAN, "--record", RECORD], check=False)
    step.run(["podman", "cp", f"{net.scanner}:{RECORD}", KEPT_RECORD])
    step.check(code == 0, "a client didn't do what the script says; the log names it")
