"""`./strandline retire`: a lease ends, or a provider has vanished with everything that was leased from it."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from strandline_fleet.arithmetic import slash8s, yearly_cost
from strandline_fleet.inventory import edit
from strandline_fleet.inventory.former import former_leases
from strandline_fleet.inventory.model import Fleet, Host
from strandline_fleet.inventory.read import fleet_of

from strandline_cli import paths, verbs
from strandline_cli.errors import Refusal
from strandline_cli.fleet import listing
from strandline_cli.fleet.canary import TABLE_WIDTH
from strandline_cli.progress import Progress

RETIRE = verbs.Verb("retire", "End the service of a host, or of everything leased from a provider.")


def chosen(fleet: Fleet, names: Sequence[str]) -> tuple[list[Host], list[str]]:
    """Return the hosts that the names stand for, and names that are in the record of former leases already.

    The latter come from a run that was stopped after it had changed the inventory: what is left of it is done again.
    Raises Refusal for a name that is neither.
    """
    hosts = {host.name: host for host in fleet.hosts()}
    provider_of = {name: host.provider for name, host in hosts.items()}
    former = former_leases(fleet.directory)
    found: list[Host] = []
    moved: list[str] = []
    for name in dict.fromkeys(names):
        members = [each for each in listing.spread([name], provider_of) if each in hosts]
        # A name that was leased again is in both; then the one in service is meant.
        again = [
            lease.host.partition(" ")[0]
            for lease in former
            if not members and name in (lease.host, lease.provider, lease.group)
        ]
        if not members and not again:
            providers = ", ".join(provider.group.removeprefix("provider_") for provider in fleet.providers)
            raise Refusal(
                f"{name} is no leased host and no provider of this inventory. Providers: {providers or 'none'}."
            )
        found += [hosts[each] for each in members]
        moved += again
    return list(dict.fromkeys(found)), [name for name in dict.fromkeys(moved) if name not in hosts]


def table(fleet: Fleet, leaving: Sequence[Host], answering: Iterable[str]) -> Table:
    """What the fleet loses, host by host."""
    currency = str(fleet.settings.get("fleet_currency", "USD"))
    rates = fleet.settings.get("fleet_rates") or {}
    names = {host.name for host in leaving}
    kept = Counter(octet for host in fleet.hosts() if host.name not in names for octet in slash8s(host.addresses))
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("host", "provider", "addresses", "/8s lost", f"{currency} a year", "renews", "answers"):
        shown.add_column(heading)
    for host in leaving:
        lost = ", ".join(str(octet) for octet in slash8s(host.addresses) if not kept[octet])
        cost = yearly_cost(host.lease.mapping(), rates, currency)
        says = "yes: gives up its last events, and is wiped" if host.name in answering else "no: trust ends at once"
        shown.add_row(
            host.name,
            host.provider.removeprefix("provider_"),
            ", ".join(host.addresses),
            lost or "none",
            str(cost),
            str(host.lease.renews),
            says,
        )
    return shown


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory for what the playbook leaves."""
    with tempfile.TemporaryDirectory(prefix="strandline-") as directory:
        yield Path(directory)


class Retirement:
    """One run of the verb."""

    def __init__(self, progress: Progress, inventory: str, directory: Path) -> None:
        """Keep what every step needs."""
        self.progress = progress
        self.inventory = inventory
        self.directory = directory

    def step(self, tag: str, names: Sequence[str], what: str) -> int:
        """Run the playbook's part of that tag for some hosts; return Ansible's exit code."""
        variables: Mapping[str, object] = {"retire_hosts": list(names), "retire_dir": str(self.directory)}
        extra = [f"--tags={tag}", f"--extra-vars={json.dumps(variables)}"]
        with self.progress.step(tag, what) as step:
            return verbs.play(step, RETIRE.playbook, [self.inventory], extra, check=tag in ("trust", "withdraw"))

    def look(self, names: Sequence[str]) -> list[str]:
        """The hosts that answer."""
        self.step("look", names, f"Look whether {len(names)} hosts answer")
        return [name for name in names if (self.directory / f"{name}.answers").exists()]

    def farewell(self, names: Sequence[str], *, give_up: bool) -> list[str]:
        """Have hosts that answer give up their last events and wipe them; return those that were wiped.

        Raises StepFailed when events are left on a host and ``give_up`` is not set: nothing is wiped then.
        """
        self.step("quiet", names, f"Stop the listeners of {', '.join(names)}")
        # Where an earlier run was stopped while it wiped a host there is nothing left to ask for.
        holding = [name for name in names if (self.directory / f"{name}.events").exists()]
        if holding:
            with self.progress.step("reconcile", f"Fetch the last events of {', '.join(holding)}") as step:
                playbook = paths.PLAYBOOKS / "reconcile.yml"
                report = json.dumps({"reconcile_report_dir": str(self.directory)})
                extra = [f"--limit={','.join(holding)}", f"--extra-vars={report}"]
                code = verbs.play(step, playbook, [self.inventory], extra, check=False)
                step.check(code == 0 or give_up, "not all of them came. Nothing was wiped: docs/retire.md")
                step.say("" if code == 0 else "Not all of them came; given up.")
        self.step("wipe", names, f"Wipe {', '.join(names)}")
        return [name for name in names if (self.directory / f"{name}.wiped").exists()]


def strangers(fleet: Fleet, leaving: Sequence[Host]) -> list[str]:
    """Hosts that stay and whose certificates this machine does not have: collectors will be told to forget them too."""
    names = {host.name for host in leaving}
    held = fleet.directory / "certificates"
    return [host.name for host in fleet.hosts() if host.name not in names and not (held / f"{host.name}.pem").exists()]


def forget(fleet: Fleet, names: Iterable[str]) -> None:
    """Remove what this machine holds of hosts: public certificates and host keys. A name may be leased again."""
    for name in names:
        for end in (".pem", ".next.pem"):
            (fleet.directory / "certificates" / f"{name}{end}").unlink(missing_ok=True)
    known = fleet.directory / "known_hosts"
    if known.exists():
        gone = set(names)
        kept = [line for line in known.read_text().splitlines(keepends=True) if line.split(" ", 1)[0] not in gone]
        aside = known.with_name(".known_hosts.new")
        aside.write_text("".join(kept))
        aside.replace(known)


@click.command(RETIRE.name, short_help=RETIRE.help)
@click.option("-i", "--inventory", required=True, help="The network: inventory/production.")
@click.option("--reason", default="", help="For the record of former leases: vanished, too dear.")
@click.option("--plan", "only_plan", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--give-up", is_flag=True, help="Wipe a host that answers even if its last events can't be fetched.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("names", nargs=-1, required=True, metavar="HOST|PROVIDER…")
def retire(inventory: str, reason: str, only_plan: bool, give_up: bool, yes: bool, names: tuple[str, ...]) -> None:
    """End the service of the hosts HOST, or of everything leased from PROVIDER, whether they still answer or not.

    Collectors trust their certificates no more and cut their connections; the inventory's entries move to the record of
    former leases. Raw files, events and feeds stay as they are. Nothing else in the fleet is touched. Stopped at any
    point, the same command carries on.
    """
    fleet = fleet_of(inventory)
    place = verbs.inventory_path(inventory)
    leaving, moved = chosen(fleet, names)
    today = dt.datetime.now(dt.UTC).date()
    texts = edit.retire_hosts(fleet, leaving, today, reason or "retired") if leaving else {}
    # The last provider may go; any other mistake would be ours.
    problems = [problem for problem in edit.check(fleet, texts) if problem.field != "providers"] if texts else []
    if problems:
        raise Refusal("\n".join(["Nothing was done:", *map(str, problems)]))
    progress = Progress(RETIRE.name)
    verbs.prepare_ansible(progress)
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else TABLE_WIDTH)
    with scratch() as directory:
        run = Retirement(progress, place, directory)
        answering = run.look([host.name for host in leaving]) if leaving else []
        if leaving:
            console.print(table(fleet, leaving, answering), markup=False)
            click.echo(edit.difference(texts))
        if moved:
            console.print(f"Moved to the record already, and done again: {', '.join(moved)}.", markup=False)
        if unknown := strangers(fleet, leaving):
            console.print(
                f"No certificate here, so no collector will trust them: {', '.join(unknown)}. If they are in service,"
                f" fetch theirs first: ./strandline rotate_certificates -i {inventory} --plan",
                markup=False,
            )
        if only_plan:
            return
        if not yes:
            click.confirm("Retire them?", abort=True)
        # Whoever does not answer may be in somebody else's hands: their trust ends first.
        silent = [host for host in leaving if host.name not in answering]
        former = [*(host.name for host in silent), *moved]
        wiped: list[str] = []
        if silent:
            edit.apply(edit.retire_hosts(fleet, silent, today, reason or "retired"))
            forget(fleet, former)
        if answering:
            if former:
                run.step("trust", former, f"Withdraw the trust in {', '.join(former)}")
            wiped = run.farewell(answering, give_up=give_up)
            staying = [host for host in leaving if host.name in answering]
            edit.apply(edit.retire_hosts(fleet, staying, today, reason or "retired"))
        gone = [*former, *answering]
        forget(fleet, gone)
        run.step("withdraw", gone, f"Withdraw the trust in {', '.join(gone)}")
    unwiped = [host.name for host in leaving if host.name not in wiped]
    console.print(f"Retired: {', '.join([*(host.name for host in leaving), *moved])}.", markup=False)
    if unwiped:
        console.print(f"Not wiped, for they do not answer or refused: {', '.join(unwiped)}.", markup=False)
    panels = {
        str(p.details["panel"]) for p in fleet.providers if p.details.get("panel") and set(p.hosts) & set(leaving)
    }
    if panels:
        console.print(f"Cancel the leases: {', '.join(sorted(panels))}", markup=False)
