"""`./strandline demo`: from nothing to published feeds. Each step looks at what is there and carries on from it."""

from __future__ import annotations

import time

from strandline_cli import checks, paths, playbook, podman, ready
from strandline_cli.demo import events, network, publish, scan, summary
from strandline_cli.demo.network import Network
from strandline_cli.images import base, derived
from strandline_cli.progress import Progress, Step


def up(progress: Progress) -> None:
    """Run the demo. Raises Refusal before anything is changed, StepFailed afterwards."""
    began = time.monotonic()
    checks.require(checks.before_containers())
    podman.prepare_environment()
    net = network.load()
    checks.require(checks.of_demo(net))
    ready.for_containers(progress)
    with progress.step("base-image", "Build the Debian 13 image that every host starts from") as step:
        base_image = base.ensure(step)
    with progress.step("scanner-image", "Build the scanner's image, with the clients it plays") as step:
        derived.ensure_scanner(step, base_image)
    with progress.step("hosts", f"Start {len(net.hosts)} hosts as containers") as step:
        admin_key(step)
        playbook.play(step, paths.SHARED / "create.yml", [str(paths.DEMO_INVENTORY)])
    with progress.step("site", "Build our packages and provision the hosts with the playbook site.yml") as step:
        playbook.play(step, paths.PLAYBOOKS / "site.yml", [str(paths.DEMO_INVENTORY)])
    after(progress, net)
    summary.show(net, time.monotonic() - began)


def after(progress: Progress, net: Network) -> None:
    """Scan, wait, publish: what happens once the hosts are provisioned."""
    with progress.step("scan", "Play real clients at the sensors, from several addresses") as step:
        scan.run(step, net)
    with progress.step("database", "Wait until the database holds every event") as step:
        events.wait(step, net)
    with progress.step("publish", "Compile the feeds and publish them") as step:
        publish.run(step, net)
    with progress.step("files", f"Copy the website's files to {paths.shown(paths.WWW)}/") as step:
        publish.copy(step, net)
        summary.require_all_feeds()


def admin_key(step: Step) -> None:
    """Make the administrator's key pair for the demo's hosts, once."""
    key = paths.DEMO_BUILD / "admin_key"
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        step.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "strandline-demo", "-f", key])
