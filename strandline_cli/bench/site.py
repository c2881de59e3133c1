"""`./strandline bench site`: what a run of site.yml that changes nothing costs the controller for each sensor.

The sensors are containers and entered by SSH, as leased hosts are. So what they compute is in their containers'
account, and what ansible-playbook and its children compute is the controller's.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import click
import yaml
from rich.console import Console
from rich.table import Table

from strandline_cli import paths, playbook, podman, ready
from strandline_cli.bench import cpu, network
from strandline_cli.images import base, packages
from strandline_cli.progress import Progress, Step

FILES = network.FILES / "site"
INVENTORY = network.BUILD / "site"
RESULT = network.BUILD / "site.json"
COLLECTOR = "bench-site-collector"
SUBNET = "198.19.192"
FIRST = 20  # the last number of the address before the first sensor's
CONTROL = Path("/tmp/strandline-bench-ssh")  # noqa: S108 - made with mode 0700; a socket's path has 108 bytes at most
GOAL = 300  # seconds for a hundred sensors on two cores


@dataclass(frozen=True)
class Run:
    """One run that changed nothing. CPU in seconds."""

    sensors: int
    seconds: float
    controller: float
    sensors_cpu: float
    collector_cpu: float
    tasks: int
    """Of each sensor, those that were skipped included."""


def name(number: int) -> str:
    """Return a sensor's name."""
    return f"bench-site-sensor{number}"


def inventory(count: int) -> dict[str, Any]:
    """Return an inventory with a collector and this number of sensors."""
    lease = {
        "plan": "nano",
        "price": 24.0,
        "currency": "USD",
        "period": "year",
        "renews": date.today() + timedelta(days=365),
        "status": "active",
    }
    place = {"city": "Amsterdam", "country": "NL", "continent": "EU"}
    sensors = {
        name(number): {"addresses": [f"{SUBNET}.{FIRST + number}"], "place": place, "lease": lease}
        for number in range(1, count + 1)
    }
    provider = {"name": "Alder Hosting", "site": "https://alder.example.org/", "since": date(2026, 1, 1)}
    return {
        "central.yml": {
            "collectors": {"hosts": {COLLECTOR: {"addresses": [f"{SUBNET}.10"]}}},
            "builders": {"hosts": {"bench-site-builder": {"addresses": [f"{SUBNET}.12"]}}},
            "leased": {"children": {"collectors": None, "sensors": None}},
        },
        "providers/alder.yml": {
            "sensors": {"children": {"provider_alder": {"vars": {"provider": provider}, "hosts": sensors}}}
        },
    }


def prepare(step: Step, count: int) -> None:
    """Write the inventory and make the administrator's key."""
    shutil.rmtree(INVENTORY, ignore_errors=True)
    shutil.copytree(FILES, INVENTORY)
    (INVENTORY / "providers").mkdir()
    for file, content in inventory(count).items():
        (INVENTORY / file).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    if not (network.BUILD / "admin_key").exists():
        key = network.BUILD / "admin_key"
        step.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "strandline-bench", "-f", key])
    shutil.rmtree(CONTROL, ignore_errors=True)
    CONTROL.mkdir(mode=0o700)


def up(progress: Progress, count: int) -> None:
    """Make the containers and provision them. Raises StepFailed."""
    ready.for_containers(progress)
    with progress.step("images", "Build the images") as step:
        packages.ensure(step, base.ensure(step))
    with progress.step("hosts", f"Start {count} sensors and their collector") as step:
        prepare(step, count)
        playbook.play(step, paths.SHARED / "create.yml", [str(INVENTORY)])
    with progress.step("site", "Provision them with the playbook site.yml") as step:
        # Before the base stands there is no sshd on the admin port.
        inside = ["--extra-vars=bench_connection=strandline_container"]
        playbook.play(step, paths.PLAYBOOKS / "site.yml", [str(INVENTORY)], inside)


def down(progress: Progress) -> None:
    """Remove the containers and what was made for them."""
    with progress.step("remove", "Remove the bench's containers") as step:
        if INVENTORY.exists():
            playbook.play(step, paths.SHARED / "destroy.yml", [str(INVENTORY)])
        for place in (INVENTORY, CONTROL):
            shutil.rmtree(place, ignore_errors=True)


def pid(container: str) -> int:
    """Return a container's first process."""
    return int(podman.ask("inspect", "--format", "{{.State.Pid}}", container).stdout)


def hang_up() -> None:
    """End ssh's masters, which would wait a minute for another connection."""
    for socket in CONTROL.iterdir():
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "any"], check=False, capture_output=True)


def recap(output: str) -> dict[str, dict[str, int]]:
    """Return what ansible-playbook says of each host at its end."""
    end = output.rpartition("PLAY RECAP")[2]
    return {
        host: {word: int(number) for word, number in re.findall(r"(\w+)=(\d+)", counts)}
        for host, counts in re.findall(r"^(\S+) +: (.*)$", end, re.MULTILINE)
    }


def one_run(step: Step, count: int) -> Run:
    """Run site.yml on this number of sensors. Raises StepFailed when it fails, or changes anything."""
    sensors = [name(number) for number in range(1, count + 1)]
    pids = {host: pid(host) for host in (COLLECTOR, *sensors)}
    before = {host: cpu.of_container(number) for host, number in pids.items()}
    start = step.log.stat().st_size if step.log.exists() else 0
    limit = f"--limit={','.join((COLLECTOR, *sensors))}"
    environment = {
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "default",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(CONTROL),
    }
    command = playbook.ansible_playbook(paths.PLAYBOOKS / "site.yml", [str(INVENTORY)], [limit])
    began = time.monotonic()
    code, controller = cpu.of_command(command, step.log, environment, hang_up)
    seconds = time.monotonic() - began
    after = {host: cpu.of_container(number) for host, number in pids.items()}
    counts = recap(step.log.read_bytes()[start:].decode(errors="replace"))
    step.check(code == 0, f"site.yml ended with {code}")
    changed = [host for host, of in counts.items() if of["changed"]]
    step.check(not changed, f"site.yml changed something on {', '.join(changed)}, which were provisioned just now")
    tasks = counts[sensors[0]]
    return Run(
        sensors=count,
        seconds=round(seconds, 1),
        controller=round(controller, 2),
        sensors_cpu=round(sum(after[host] - before[host] for host in sensors), 2),
        collector_cpu=round(after[COLLECTOR] - before[COLLECTOR], 2),
        tasks=tasks["ok"] + tasks["skipped"],
    )


def account(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what follows from runs on few and on many sensors: what one more costs, and what a hundred would."""
    few, many = min(run.sensors for run in runs), max(run.sensors for run in runs)

    def middle(count: int, of: str) -> float:
        return float(median(getattr(run, of) for run in runs if run.sensors == count))

    one_more = (middle(many, "controller") - middle(few, "controller")) / (many - few)
    rest = middle(few, "controller") - few * one_more
    return {
        "controller_cpu_per_sensor": round(one_more, 2),
        "controller_cpu_besides": round(rest, 2),
        "sensor_cpu": round(middle(many, "sensors_cpu") / many, 2),
        "tasks_per_sensor": max(run.tasks for run in runs),
        "hundred_sensors_on_two_cores_seconds": round((rest + 100 * one_more) / 2),
    }


def show(result: dict[str, Any]) -> None:
    """Print the runs and what follows from them."""
    console = Console(highlight=False)
    table = Table(title="An unchanged run of site.yml, by SSH; CPU in seconds")
    for heading in ("sensors", "seconds", "controller", "each sensor", "collector", "tasks a sensor"):
        table.add_column(heading, justify="right")
    for run in result["runs"]:
        each = f"{run['sensors_cpu'] / run['sensors']:.2f}"
        table.add_row(
            str(run["sensors"]),
            f"{run['seconds']:.0f}",
            f"{run['controller']:.1f}",
            each,
            f"{run['collector_cpu']:.1f}",
            str(run["tasks"]),
        )
    console.print(table)
    on = result["machine"]
    console.print(
        f"One sensor more costs the controller {result['controller_cpu_per_sensor']} s of CPU; all else"
        f" {result['controller_cpu_besides']} s. A hundred sensors on two such cores would take"
        f" {result['hundred_sensors_on_two_cores_seconds']} s (goal: {GOAL} s)."
    )
    console.print(f"{on['cores']} cores of {on['processor']}, Python {on['python']}, load before {on['load']}.")
    console.print(f"Everything: {paths.shown(RESULT)}")


@click.command("site", short_help="What an unchanged run of site.yml costs the controller for each sensor.")
@click.option("--few", type=click.IntRange(1, 100), default=1, show_default=True, help="Sensors of the smaller runs.")
@click.option("--many", type=click.IntRange(2, 200), default=4, show_default=True, help="Sensors of the larger runs.")
@click.option("--rounds", type=click.IntRange(1, 20), default=1, show_default=True, help="Runs of each size.")
@click.option("--keep", is_flag=True, help="Leave the containers for another run.")
def site(few: int, many: int, rounds: int, keep: bool) -> None:
    """Provision sensors in containers, run site.yml again, which changes nothing, and print what that costs.

    The sensors are entered by SSH, and compute in their containers: their CPU is told apart from the controller's. What
    one sensor more costs is the difference of two sizes. By default it takes about ten minutes on two cores that
    nobody else uses, and 60 MB of memory for each sensor. More sensors and rounds make the figures steadier.
    """
    if few >= many:
        raise click.UsageError("--many must be more than --few: what one sensor more costs is their difference")
    progress = Progress("bench")
    network.check()
    network.BUILD.mkdir(parents=True, exist_ok=True)
    machine = cpu.machine()
    runs = []
    try:
        up(progress, many)
        cpu.adopt_orphans()  # not before: the containers' monitors, which live as long as they do, would be adopted too
        with progress.step("first", "Run site.yml once more, so that every cache is warm") as step:
            one_run(step, many)
        for count in [few, many] * rounds:
            with progress.step("unchanged", f"Run site.yml on {count} sensors") as step:
                runs.append(one_run(step, count))
        result = {"machine": machine, "runs": [asdict(run) for run in runs], **account(runs)}
        network.write(RESULT, result)
    finally:
        if not keep:
            down(progress)
    show(result)
