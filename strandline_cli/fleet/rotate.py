"""`./strandline rotate_certificates`: new keys through the fleet, batch by batch, without losing an event.

Which hosts are due and how far each of them is, the hosts themselves say: nothing of a run is kept on this machine that
another run would need.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from strandline_fleet.inventory.read import fleet_of
from strandline_fleet.rollout import DEFAULT_SIZE, batches

from strandline_cli import verbs
from strandline_cli.errors import Refusal, StepFailed
from strandline_cli.fleet import listing
from strandline_cli.fleet.canary import TABLE_WIDTH, canary
from strandline_cli.fleet.listing import Entry
from strandline_cli.progress import Progress

ROTATE = verbs.Verb("rotate_certificates", "Give the hosts new keys, without losing an event.")
FRESH = dt.timedelta(days=1)  # a certificate younger than this was made by the run that is being carried on
LOOK, SWITCH, WITHDRAW = "look", "switch", "withdraw"  # the playbook's tags
PROVEN, DONE = ".proven", ".done"
ENDS = (PROVEN, DONE, ".learned", ".takes")


@dataclass(frozen=True)
class State:
    """How far a host is, as strandline-identity says it."""

    step: str
    """settled, prepared or switched; the last two: a run was stopped."""
    begins: dt.datetime
    ends: dt.datetime


@dataclass
class Course:
    """The run so far, by hosts' names."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    ignorant: list[str] = field(default_factory=list)
    """Peers of a collector that did not answer when they had to learn its new certificate."""
    stopped: str = ""


@dataclass(frozen=True)
class Marks:
    """What the playbook left: the states of the hosts that answer, and names."""

    states: Mapping[str, State]
    proven: set[str]
    """Switched, and found working."""
    done: set[str]
    learned: set[str]
    """Peers of a collector that know its certificates of today."""
    takes: set[str]
    """Those of them that could connect to it."""


def moment(text: str) -> dt.datetime:
    """A point in time as the operator writes it; without a zone it is UTC. Raises Refusal."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(f"--made-before {text!r} is no point in time. Write it as 2026-11-25T12:00.") from None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def due(states: Mapping[str, State], made_before: dt.datetime, ends_before: dt.datetime | None) -> list[str]:
    """The hosts to rotate: those half way, and those whose certificate is old enough, or ends soon enough."""
    return [
        name
        for name, state in states.items()
        if state.step != "settled" or (state.begins < made_before if ends_before is None else state.ends < ends_before)
    ]


def plan(
    hosts: Mapping[str, Entry], names: Iterable[str], provider_of: Mapping[str, str], size: int
) -> list[list[str]]:
    """The batches: sensors, the first one alone, then collectors and publishers, each by itself."""
    chosen = [hosts[name] for name in names]
    sensors = {entry.name: provider_of.get(entry.name, "") for entry in chosen if entry.function == "sensors"}
    others = [entry.name for function in ("collectors", "publishers") for entry in chosen if entry.function == function]
    return [*batches(sensors, size), *([name] for name in others)]


def states(directory: Path, names: Iterable[str]) -> dict[str, State]:
    """What the hosts said; those that did not answer are not in it."""
    found = {}
    for name in names:
        file = directory / f"{name}.json"
        if file.exists():
            said = json.loads(file.read_text(encoding="utf-8"))
            begins, ends = (dt.datetime.fromtimestamp(int(said[key]), dt.UTC) for key in ("begins", "ends"))
            found[name] = State(str(said["step"]), begins, ends)
    return found


def run(progress: Progress, place: str, names: Sequence[str], tag: str, what: tuple[str, str]) -> Marks:
    """Run the playbook's steps of a tag for some hosts; return what it left of them and of their peers."""
    directory = Path(tempfile.mkdtemp(prefix="strandline-"))
    variables = {"rotate_hosts": list(names), "rotate_dir": str(directory)}
    extra = [f"--extra-vars={json.dumps(variables)}", f"--tags={tag}"]
    try:
        # A failure shows its log here; what it means for the rest is for the caller.
        with contextlib.suppress(StepFailed), progress.step(*what) as step:
            code = verbs.play(step, ROTATE.playbook, [place], extra, check=False)
            answered = set(states(directory, names))
            if tag == LOOK:
                step.check(bool(answered), f"no host answered (ansible-playbook ended with {code})")
            else:
                end = PROVEN if tag == SWITCH else DONE
                bad = [name for name in names if name in answered and not (directory / f"{name}{end}").exists()]
                step.check(not bad, f"{', '.join(bad)} failed")
            away = [name for name in names if name not in answered]
            step.say(f"{', '.join(away)} did not answer." if away else "")
        return Marks(
            states(directory, names),
            *({file.name.removesuffix(end) for file in directory.glob(f"*{end}")} for end in ENDS),
        )
    finally:
        shutil.rmtree(directory)


def go(progress: Progress, place: str, order: Sequence[Sequence[str]], hosts: Mapping[str, Entry]) -> Course:
    """Switch one batch after the other, then withdraw what was switched; stop where a host or a canary fails.

    Old certificates are withdrawn all at once, also when a batch has failed: those of the batches that were good.
    """
    course = Course()
    switched: list[str] = []
    for number, batch in enumerate(order, 1):
        function = hosts[batch[0]].function
        marks = run(progress, place, batch, SWITCH, (f"{number}-of-{len(order)}", f"New keys for {', '.join(batch)}"))
        proven = [name for name in batch if name in marks.proven]
        course.failed += (failed := [name for name in batch if name in marks.states and name not in marks.proven])
        course.away += [name for name in batch if name not in marks.states]
        if failed:
            course.stopped = f"{', '.join(failed)} failed"
        elif function == "sensors" and proven and not canary(progress, place, [hosts[name] for name in proven]):
            course.stopped = f"a canary of {', '.join(proven)} did not arrive"
        elif function == "collectors" and proven:
            sensors = {name for name in marks.learned if hosts[name].function == "sensors"}
            if bad := sorted(sensors - marks.takes):
                course.stopped = f"{', '.join(bad)} could not connect to {', '.join(proven)}"
        if course.stopped:
            course.left = [name for later in order[number:] for name in later]
            # A batch that has failed keeps both its certificates, to be looked at, and carried on with.
            break
        switched += proven
    if switched:
        withdraw(progress, place, switched, hosts, course)
    return course


def withdraw(progress: Progress, place: str, names: Sequence[str], hosts: Mapping[str, Entry], course: Course) -> None:
    """Withdraw the old certificates of hosts that have proven themselves with the new ones, and remove the old keys."""
    marks = run(progress, place, names, WITHDRAW, ("withdraw", f"Withdraw the old certificates of {len(names)} hosts"))
    course.done += [name for name in names if name in marks.done]
    course.failed += (failed := [name for name in names if name not in marks.done])
    if failed:
        course.stopped = course.stopped or f"the old certificates of {', '.join(failed)} are trusted still"
    elif any(hosts[name].function == "collectors" for name in names):
        peers = [entry for entry in hosts.values() if entry.function in ("sensors", "publishers")]
        course.ignorant = [entry.name for entry in peers if entry.name not in marks.learned]
        sensors = [entry for entry in peers if entry.function == "sensors" and entry.name in marks.learned]
        if sensors and not canary(progress, place, sensors):
            course.stopped = course.stopped or "a canary did not arrive once the sensors had connected anew"


def table(hosts: Mapping[str, Entry], known: Mapping[str, State], order: Sequence[Sequence[str]]) -> Table:
    """The plan: which host comes when, and the certificate that it has."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("batch", "host", "function", "made", "ends", "half way"):
        shown.add_column(heading)
    for number, batch in enumerate(order, 1):
        for name in batch:
            state = known[name]
            half = "" if state.step == "settled" else state.step
            made, ends = (f"{when:%Y-%m-%d %H:%M}" for when in (state.begins, state.ends))
            shown.add_row(str(number), name, hosts[name].function, made, ends, half)
    return shown


@click.command(ROTATE.name, short_help=ROTATE.help)
@click.option("-i", "--inventory", required=True, help="The network: inventory/production.")
@click.option(
    "--batch", "size", type=click.IntRange(1, 100), default=DEFAULT_SIZE, show_default=True, help="Sensors at a time."
)
@click.option(
    "--due",
    "due_days",
    type=click.IntRange(0, 5000),
    metavar="DAYS",
    help="Only certificates that end within so many days.",
)
@click.option(
    "--made-before",
    metavar="TIME",
    help="Only certificates made before: 2026-11-25T12:00 (UTC). Without it and --due: a day ago, so that a run which"
    " was stopped carries on.",
)
@click.option("--plan", "only_plan", is_flag=True, help="Ask the hosts, show the batches, change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("names", nargs=-1, metavar="[HOST|PROVIDER]…")
def rotate(
    inventory: str,
    size: int,
    due_days: int | None,
    made_before: str | None,
    only_plan: bool,
    yes: bool,
    names: tuple[str, ...],
) -> None:
    """Give the hosts or providers named, or all, new keys: sensors in batches, then collectors and publishers.

    A host makes its key itself. Its peers trust the new certificate beside the old one before it switches. When every
    batch has proven itself the old certificates are withdrawn. Stopped at any point, the same command carries on.
    """
    now = dt.datetime.now(dt.UTC)
    fleet = fleet_of(inventory)
    place = verbs.inventory_path(inventory)
    before = moment(made_before) if made_before else now - FRESH
    progress = Progress(ROTATE.name)
    verbs.prepare_ansible(progress)
    hosts = listing.of(place)
    provider_of = {host.name: host.provider for host in fleet.hosts()}
    chosen = [entry.name for entry in listing.chosen(hosts, listing.spread(names, provider_of))]
    what = ("look", f"Ask {len(chosen)} hosts for their certificates")
    known = run(progress, place, chosen, LOOK, what).states
    away = [name for name in chosen if name not in known]
    if not known:
        raise StepFailed
    order = plan(
        hosts,
        due(known, before, now + dt.timedelta(days=due_days) if due_days is not None else None),
        provider_of,
        size,
    )
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    if not order:
        console.print("No certificate is due." + (f" No answer: {', '.join(away)}." if away else ""), markup=False)
        if away:
            raise StepFailed
        return
    console.print(table(hosts, known, order), markup=False)
    if only_plan:
        return
    if not yes:
        click.confirm(f"New keys for {sum(map(len, order))} hosts?", abort=True)
    course = go(progress, place, order, hosts)
    course.away = [*away, *course.away]
    conclude(console, course)
    if course.stopped or course.away or course.ignorant:
        raise StepFailed


def conclude(console: Console, course: Course) -> None:
    """Say in a few lines what came of it."""
    lines = [f"New keys: {', '.join(course.done) or 'none'}."]
    if course.away:
        lines.append(f"No answer, and left as they were: {', '.join(course.away)}.")
    if course.ignorant:
        names = ",".join(course.ignorant)
        lines.append(
            f"No answer, and ignorant of a collector's new certificate: {', '.join(course.ignorant)}. Their events wait"
            f" for: ./strandline site -i … -- --limit {names}"
        )
    if course.stopped:
        left = ", ".join(course.left) or "none"
        lines.append(f"Stopped, for {course.stopped}. Not begun: {left}. The same command carries on.")
    for line in lines:
        console.print(line, markup=False)
