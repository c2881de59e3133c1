"""The bench's three containers: made, provisioned and removed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from strandline_cli import checks, paths, playbook, podman, ready
from strandline_cli.bench import certificates
from strandline_cli.errors import Refusal
from strandline_cli.images import base, derived
from strandline_cli.progress import Progress, Step, ansible_task

FILES = paths.ROOT / "files" / "bench"
BUILD = paths.BUILD / "bench"
INVENTORY = BUILD / "inventory"
OURS, ARTICLE, SENDER = "bench-collector", "bench-article", "bench-sender"
AGAINST, AGAINST_ADDRESS = "bench-against", "198.19.224.12"
AGAINST_BUILD = BUILD / "against"
AREA = "/root/bench"
ARTICLE_TLS = "/etc/strandline-bench/tls"


def addresses(group: str) -> dict[str, str]:
    """Name and first address of each host of a group: `sensors` are those that the sender plays."""
    entries = yaml.safe_load((FILES / "inventory" / "central.yml").read_text(encoding="utf-8"))[group]["hosts"]
    return {name: entry["addresses"][0] for name, entry in entries.items()}


def play(step: Step, name: Path, *extra: str) -> None:
    """Run a playbook on the bench's inventory."""
    playbook.play(step, name, [str(INVENTORY)], extra)


def inside(step: Step, container: str, *argv: str) -> None:
    """Run a command in a container; its output goes to the step's log. Raises StepFailed."""
    step.run(["podman", "exec", container, *argv])


def put(step: Step, source: Path, container: str, place: str) -> None:
    """Copy a file into a container."""
    step.run(["podman", "cp", source, f"{container}:{place}"])


def figures(step: Step, argv: list[str], seconds: float) -> dict[str, Any]:
    """Run a program that measures, for so long at the most; what it prints is JSON. Raises StepFailed."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, check=False)
    with step.log.open("a") as log:
        log.write(done.stdout + done.stderr)
    step.check(done.returncode == 0, f"the measurement ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check() -> None:
    """Raise Refusal when this machine can't run containers; nothing has been changed then."""
    checks.require(checks.before_containers())
    podman.prepare_environment()


def up_ours(progress: Progress, others: tuple[str, ...] = ()) -> None:
    """Make our collector's container and everything in it; what is there already is brought up to date.

    Other groups' containers are started with it. Raises StepFailed.
    """
    ready.for_containers(progress)
    with progress.step("images", "Build the images") as step:
        base_image = base.ensure(step)
        if "articles" in others:
            os.environ["STRANDLINE_BENCH_IMAGE_TAG"] = derived.ensure(step, "bench", FILES / "ingest", base_image)
    with progress.step("hosts", "Start the containers") as step:
        prepare(step)
        play(step, paths.SHARED / "create.yml", f"--limit={':'.join(('localhost', 'collectors', *others))}")
    with progress.step("site", "Provision our collector with the playbook site.yml") as step:
        play(step, paths.PLAYBOOKS / "site.yml", "--limit=collectors")


def up(progress: Progress, against: str | None = None) -> None:
    """Make both collectors and the sender; and a collector of another revision, if one is named. Raises StepFailed."""
    up_ours(progress, ("articles", "senders"))
    with progress.step("article", "Set up the article's collector") as step:
        article(step)
    if against is not None:
        with progress.step("against", f"Provision another collector as revision {against} has it") as step:
            other_revision(step, against)
    with progress.step("sender", "Give the sender its keys") as step:
        sender(step)


def commit_of(revision: str) -> str:
    """The commit that a revision names. Raises Refusal."""
    argv = [
        "git",
        "-C",
        str(paths.ROOT),
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{revision}^{{commit}}",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refusal(f"--against {revision}: this clone has no such revision; `git log --oneline` shows some")
    return done.stdout.strip()


def other_revision(step: Step, commit: str) -> None:
    """A collector made by the files of another commit, in a container beside ours. Raises StepFailed."""
    tree, inventory = AGAINST_BUILD / "tree", AGAINST_BUILD / "inventory"
    shutil.rmtree(AGAINST_BUILD, ignore_errors=True)
    tree.mkdir(parents=True)
    archive = AGAINST_BUILD / "tree.tar"
    step.run(["git", "archive", f"--output={archive}", commit])
    step.run(["tar", "-xf", archive, "-C", tree])
    (tree / "collections").symlink_to(paths.ROOT / "collections")
    shutil.copytree(tree / "files" / "bench" / "inventory", inventory)
    central = inventory / "central.yml"
    groups = yaml.safe_load(central.read_text(encoding="utf-8"))
    groups["collectors"]["hosts"] = {AGAINST: {"addresses": [AGAINST_ADDRESS]}}
    for others in ("articles", "senders"):
        groups[others].pop("hosts")
    central.write_text(yaml.safe_dump(groups), encoding="utf-8")
    shutil.copytree(INVENTORY / "certificates", inventory / "certificates")
    shutil.copy(BUILD / "admin_key.pub", AGAINST_BUILD)
    where = [str(inventory)]
    environment = {
        "ANSIBLE_CONFIG": str(tree / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_STDOUT_CALLBACK": "default",
    }
    for name, limit in (("molecule/shared/create.yml", "localhost:collectors"), ("playbooks/site.yml", "collectors")):
        argv = playbook.ansible_playbook(tree / name, where, [f"--limit={limit}"])
        step.run(argv, watch=ansible_task, env=environment)


def prepare(step: Step) -> None:
    """The inventory with the sensors' certificates, and keys; all of it made anew."""
    shutil.rmtree(INVENTORY, ignore_errors=True)
    shutil.copytree(FILES / "inventory", INVENTORY)
    (INVENTORY / "certificates").mkdir()
    keys = BUILD / "keys"
    shutil.rmtree(keys, ignore_errors=True)
    keys.mkdir(mode=0o700)
    for name in addresses("sensors"):
        certificates.make(name, INVENTORY / "certificates" / f"{name}.pem", keys / f"{name}.key")
    certificates.make(ARTICLE, keys / f"{ARTICLE}.pem", keys / f"{ARTICLE}.key")
    admin = BUILD / "admin_key"
    if not admin.exists():
        step.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "strandline-bench", "-f", admin])


def article(step: Step) -> None:
    """Keys, rules, database and syslog-ng of the article's collector."""
    keys = BUILD / "keys"
    inside(step, ARTICLE, "mkdir", "-p", f"{ARTICLE_TLS}/sensors")
    put(step, keys / f"{ARTICLE}.key", ARTICLE, f"{ARTICLE_TLS}/key.pem")
    put(step, keys / f"{ARTICLE}.pem", ARTICLE, f"{ARTICLE_TLS}/cert.pem")
    for name in addresses("sensors"):
        put(step, INVENTORY / "certificates" / f"{name}.pem", ARTICLE, f"{ARTICLE_TLS}/sensors/{name}.pem")
    rules = BUILD / "patterndb.xml"
    playbook.play(step, paths.SHARED / "patterndb.yml", ["localhost,"], [f"--extra-vars=patterndb_file={rules}"])
    put(step, rules, ARTICLE, "/etc/strandline-bench/patterndb.xml")
    inside(step, ARTICLE, "/etc/strandline-bench/setup")


def sender(step: Step) -> None:
    """The sensors' keys, the collectors' certificates and the programs."""
    keys = BUILD / "keys"
    inside(step, SENDER, "mkdir", "-p", AREA)
    for name in addresses("sensors"):
        put(step, INVENTORY / "certificates" / f"{name}.pem", SENDER, f"{AREA}/{name}.pem")
        put(step, keys / f"{name}.key", SENDER, f"{AREA}/{name}.key")
    both = [INVENTORY / "certificates" / f"{OURS}.pem", keys / f"{ARTICLE}.pem"]
    if (third := AGAINST_BUILD / "inventory" / "certificates" / f"{AGAINST}.pem").exists():
        both.append(third)
    pinned = BUILD / "collectors.pem"
    pinned.write_text("".join(path.read_text(encoding="ascii") for path in both), encoding="ascii")
    put(step, pinned, SENDER, f"{AREA}/collectors.pem")
    for name in ("messages.py", "send.py"):
        put(step, FILES / "ingest" / name, SENDER, f"{AREA}/{name}")
    for container in (OURS, ARTICLE, *([AGAINST] if len(both) > 2 else [])):
        put(step, FILES / "ingest" / "watch.py", container, "/root/watch.py")


def down(progress: Progress) -> None:
    """Remove the containers, their network and the keys."""
    with progress.step("remove", "Remove the bench's containers") as step:
        if AGAINST_BUILD.exists():
            remove = ["podman", "rm", "--force", "--ignore", "--volumes", "--time=1", AGAINST]
            # A container that stops by itself while podman is about to kill it makes the first try fail.
            if step.run(remove, check=False) != 0:
                step.run(remove)
        if INVENTORY.exists():
            play(step, paths.SHARED / "destroy.yml")
        for place in (INVENTORY, BUILD / "keys", AGAINST_BUILD):
            shutil.rmtree(place, ignore_errors=True)


def write(path: Path, result: dict[str, Any]) -> None:
    """Write a result, whole or not at all."""
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    aside.replace(path)
