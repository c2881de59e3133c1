"""`./strandline onboard`: from a freshly leased server to a verified sensor."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path

import click
from strandline_fleet.inventory.read import fleet_of

from strandline_cli import paths, verbs
from strandline_cli.errors import Refusal, StepFailed
from strandline_cli.fleet import listing
from strandline_cli.fleet.canary import canary
from strandline_cli.fleet.listing import Entry
from strandline_cli.progress import Progress, spent

ONBOARD = verbs.Verb("onboard", "Turn freshly leased servers into verified sensors.")
PROBE_TIMEOUT = 3.0  # seconds
PREFIX = "strandline-onboard-"


def answers(entry: Entry) -> bool:
    """Say whether an SSH server answers on the host's admin port: then no password is needed any more."""
    where = (entry.addresses[0], entry.admin_port)
    try:
        with socket.create_connection(where, timeout=PROBE_TIMEOUT) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def passwords_of(text: str, names: Sequence[str]) -> dict[str, str]:
    """Return the passwords of a --password-file: one line for all hosts, or one for each in the order they were named.

    Raises Refusal when the lines are of another number.
    """
    lines = text.splitlines()
    if len(lines) == 1:
        lines *= len(names)
    if len(lines) != len(names) or not all(lines):
        raise Refusal(
            f"--password-file has {len(lines)} lines for {len(names)} hosts. "
            "Write one password for all of them, or one a line for each, in the order in which you name the hosts."
        )
    return dict(zip(names, lines, strict=True))


def ask(names: Sequence[str]) -> dict[str, str]:
    """Ask for each host's password; an empty answer means that the host is entered by key."""
    if not sys.stdin.isatty():
        raise Refusal("The provider's root password is needed and there is no terminal. Give it in --password-file.")
    answers = {name: getpass.getpass(f"Root password of {name} (empty: by key): ") for name in names}
    return {name: password for name, password in answers.items() if password}


def vars_text(passwords: Mapping[str, str]) -> str:
    """Return a vars file with the passwords. `!unsafe`: what looks like a template in a password is none."""
    lines = [
        f"  {json.dumps(name)}: !unsafe {json.dumps(word, ensure_ascii=False)}" for name, word in passwords.items()
    ]
    return "\n".join(["onboard_passwords:", *lines, ""]) if lines else "onboard_passwords: {}\n"


def remove_leftovers(directory: Path) -> None:
    """Remove the passwords of runs that were killed before they could do it themselves."""
    for left in directory.glob(f"{PREFIX}*"):
        number = left.name.removeprefix(PREFIX).split("-")[0]
        if number.isdigit() and not Path("/proc", number).exists() and left.stat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def vars_file(passwords: Mapping[str, str]) -> Iterator[Path]:
    """Write the passwords where only we can read them, in memory if possible, and remove them afterwards."""
    shared = Path("/dev/shm")  # noqa: S108 - in a directory of our own there
    place = shared if shared.is_dir() else Path(tempfile.gettempdir())
    remove_leftovers(place)
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=place) as directory:
        path = Path(directory) / "passwords.yml"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(vars_text(passwords))
        yield path


def limit(hosts: Mapping[str, Entry], named: Sequence[Entry], *, packages: bool) -> str:
    """Return the hosts of the run: the named ones, and those that must learn of them.

    Collectors trust the new sensor's certificate, publishers keep its addresses out of the feeds; builders come along
    when their `packages` are not there yet.
    """
    learning = [entry.name for entry in hosts.values() if entry.function in ("collectors", "publishers")]
    names = dict.fromkeys([*(entry.name for entry in named), *learning])
    return ",".join([*names, *([] if packages else ["builders"])])


def packages_there() -> bool:
    """Say whether the packages of our own have been built."""
    directory = paths.cache() / "packages"
    return all((directory / f"{name}-current" / "manifest.json").exists() for name in ("openssh", "bind"))


def divide(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the hosts, and what is for ansible-playbook: click has taken away the -- between them."""
    hosts = list(takewhile(lambda argument: not argument.startswith("-"), arguments))
    return hosts, list(arguments[len(hosts) :])


@click.command("onboard", short_help=ONBOARD.help)
@click.option("-i", "--inventory", required=True, help="The network: inventory/production.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The provider's root passwords: one line for all hosts, or a line for each. Asked for without it.",
)
@click.argument("arguments", nargs=-1, required=True, metavar="HOST… [-- ANSIBLE…]")
def onboard(inventory: str, password_file: Path | None, arguments: tuple[str, ...]) -> None:
    """Turn the freshly leased servers HOST… into verified sensors, in one run.

    A server is a Debian 13 with root's password on port 22, with or without Python, and stands in the inventory
    (./strandline add). Stopped at any point, the same command carries on. What follows -- goes to ansible-playbook.
    """
    names, extra = divide(arguments)
    began = time.monotonic()
    fleet_of(inventory)
    place = verbs.inventory_path(inventory)
    progress = Progress(ONBOARD.name)
    verbs.prepare_ansible(progress)
    hosts = listing.of(place)
    if not names:
        raise Refusal("Name the hosts to onboard: ./strandline onboard -i INVENTORY ams1 sin1")
    named = listing.chosen(hosts, names)
    fresh = [entry.name for entry in named if not answers(entry)]
    if password_file:
        passwords = passwords_of(password_file.read_text(encoding="utf-8"), [entry.name for entry in named])
    else:
        passwords = ask(fresh) if fresh else {}
        began = time.monotonic()
    with vars_file(passwords) as file:
        arguments_ = [
            f"--limit={limit(hosts, named, packages=packages_there())}",
            f"--extra-vars={json.dumps({'onboard_hosts': [entry.name for entry in named], 'onboard_fresh': fresh})}",
            f"--extra-vars=@{file}",
            *extra,
        ]
        code = verbs.run_playbook(ONBOARD, [place], {}, arguments_)
    if code != 0:
        print("strandline: A host that was half way is still reachable. The same command carries on.", file=sys.stderr)
        raise StepFailed
    print(f"Provisioned after {spent(time.monotonic() - began)}.", flush=True)
    sensors = [entry for entry in named if entry.function == "sensors"]
    if sensors and not canary(progress, place, sensors):
        raise StepFailed
    took = spent(time.monotonic() - began)
    if set(fresh) >= {entry.name for entry in sensors} and sensors:
        print(f"From bare servers to their first events in PostgreSQL: {took}.")
    print(f"Onboarded and verified in {took}: {', '.join(entry.name for entry in named)}")
