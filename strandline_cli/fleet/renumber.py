"""`./strandline renumber`: the provider changed a host's address, and everything that depends on it follows."""

from __future__ import annotations

import ipaddress
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
from strandline_fleet.inventory import edit
from strandline_fleet.inventory.model import Fleet, Host
from strandline_fleet.inventory.read import fleet_of

from strandline_cli import paths, verbs
from strandline_cli.errors import Refusal, StepFailed
from strandline_cli.fleet import listing
from strandline_cli.fleet.canary import canary
from strandline_cli.progress import Progress, spent

RENUMBER = verbs.Verb("renumber", "Follow a host to the address that its provider gave it.")
# What stands beside the inventory's sources and says what was, not what is.
ASIDE = ("certificates", "known_hosts", edit.FORMER)


def address(text: str) -> str:
    """An address as the inventory's reader writes it. Raises Refusal for anything else."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Refusal(
            f"{text!r} is no IP address. Give the host's old and new address: 192.0.2.10 192.0.2.99."
        ) from None


def host_of(fleet: Fleet, name: str) -> Host:
    """The leased host of that name. Raises Refusal when it stands in no provider's file."""
    hosts = {host.name: host for host in fleet.hosts()}
    if name not in hosts:
        raise Refusal(
            f"{name} is no host in {fleet.directory}/providers; there are: {', '.join(hosts) or 'none'}. "
            "The address of a collector or publisher is changed by hand, and ./strandline site has every host follow."
        )
    return hosts[name]


def known_hosts(text: str, old: str, new: str) -> str:
    """Host keys kept under the old address count for the new one. Those kept under a name stay as they are.

    A line is: names or addresses with commas between them, type, key (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
    """
    lines = []
    for line in text.splitlines(keepends=True):
        names, space, rest = line.partition(" ")
        if not line.startswith(("#", "@", "|")):
            changed = [_renamed(name, old, new) for name in names.split(",")]
            names = ",".join(dict.fromkeys(changed))
        lines.append(f"{names}{space}{rest}")
    return "".join(dict.fromkeys(lines))


def _renamed(name: str, old: str, new: str) -> str:
    if name == old:
        return new
    return f"[{new}]{name.removeprefix(f'[{old}]')}" if name.startswith(f"[{old}]:") else name


def mentions(directory: Path, text: str) -> Iterator[str]:
    """Where else in the inventory an address stands, as FILE:LINE."""
    for path in sorted(directory.rglob("*.yml")):
        if path.relative_to(directory).parts[0] not in ASIDE:
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                words = "".join(
                    letter if letter.isalnum() or letter in ".:" else " " for letter in line.partition("#")[0]
                )
                if text in words.split():
                    yield f"{path}:{number}"


def rewrite(fleet: Fleet, host: Host, old: str, new: str, *, yes: bool) -> None:
    """Change the host's entry and the host keys, unless an earlier run has done it. Raises Refusal."""
    if old in host.addresses:
        texts = edit.renumber_host(fleet, host, old, new)
        if problems := edit.check(fleet, texts):
            raise Refusal("\n".join(["Nothing was written:", *map(str, problems)]))
        click.echo(edit.difference(texts))
        if not yes:
            click.confirm("Write this, and have the network follow?", abort=True)
        edit.apply(texts)
    elif new not in host.addresses:
        raise Refusal(f"{old} is none of {host.name}'s addresses in {host.file}: {', '.join(host.addresses)}.")
    keys = fleet.directory / "known_hosts"
    if keys.exists():
        before = keys.read_text(encoding="utf-8")
        after = known_hosts(before, old, new)
        if after != before:
            edit.apply({keys: after})
    for where in mentions(fleet.directory, old):
        click.echo(f"strandline: {where}: {old} stands here too; look whether it must change.", err=True)


@click.command("renumber", short_help=RENUMBER.help)
@click.option("-i", "--inventory", required=True, help="The network: inventory/production.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("host")
@click.argument("old")
@click.argument("new")
def renumber(inventory: str, yes: bool, host: str, old: str, new: str) -> None:
    """Follow HOST from its address OLD to NEW, which its provider gave it.

    Shows the change of the inventory and asks, then collectors, publishers and the host itself follow. The host is
    entered by what the inventory says then. Stopped at any point, the same command carries on.
    """
    fleet = fleet_of(inventory)
    old, new = address(old), address(new)
    if old == new:
        raise Refusal(f"{old} and {new} are the same address.")
    chosen = host_of(fleet, host)
    progress = Progress(RENUMBER.name)
    verbs.prepare_ansible(progress)
    rewrite(fleet, chosen, old, new, yes=yes)
    began = time.monotonic()
    place = verbs.inventory_path(inventory)
    variables = {"renumber_host": host, "renumber_old": old}
    hosts = listing.of(place)
    others = [entry.name for entry in hosts.values() if entry.function in ("collectors", "publishers")]
    limit = ",".join([host, *others])
    code = verbs.run_playbook(RENUMBER, [place], {}, [f"--limit={limit}", f"--extra-vars={json.dumps(variables)}"])
    if code != 0:
        print(
            f"strandline: {paths.shown(chosen.file)} says {new} already. The same command carries on.", file=sys.stderr
        )
        raise StepFailed
    if not canary(progress, place, listing.chosen(hosts, [host], ["sensors"])):
        raise StepFailed
    print(f"{host} has {new} in place of {old}, followed and verified in {spent(time.monotonic() - began)}.")
