"""The operator's verbs. Each is a playbook, which does all of it; here its options become the playbook's variables.

One entry in VERBS makes playbooks/NAME.yml the verb `./strandline NAME`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from strandline_fleet.arithmetic import PERIODS_PER_YEAR
from strandline_fleet.journal import Criterion

from strandline_cli import paths, playbook
from strandline_cli.errors import Refusal
from strandline_cli.progress import Progress

AFTER = "What follows -- goes to ansible-playbook: -- --check --diff, -- --ask-vault-pass."


@dataclass(frozen=True)
class Option:
    """An option of a verb, and the variable of its playbook that it sets."""

    flag: str
    """As it is written: --batch."""
    variable: str
    help: str
    type: Any = None
    """click's type; bool for one that is only there or not."""
    required: bool = False
    multiple: bool = False
    metavar: str | None = None
    short: str = ""
    """A letter for it: -o."""
    sets: Any = True
    """The variable's value when an option of type bool is there."""

    @property
    def parameter(self) -> str:
        """Its name among click's values."""
        return self.flag.lstrip("-").replace("-", "_")

    def decorate(self, command: click.Command) -> None:
        """Add it to a command."""
        kind: dict[str, Any] = {"is_flag": True} if self.type is bool else {"type": self.type, "metavar": self.metavar}
        command.params.append(
            click.Option(
                [*filter(None, [self.short]), self.flag],
                help=self.help,
                required=self.required,
                multiple=self.multiple,
                **kind,
            )
        )


@dataclass(frozen=True)
class Argument:
    """A word that follows the verb, and the variable of its playbook that it sets; `many` of them are a list."""

    metavar: str
    variable: str
    many: bool = False
    required: bool = True
    path: bool = False
    """It names a file, or each word of many does, from where the operator stands."""


@dataclass(frozen=True)
class Verb:
    """A verb: its name, which is the playbook's too, what it does in a line, and what it takes."""

    name: str
    help: str
    arguments: tuple[Argument, ...] = ()
    options: tuple[Option, ...] = ()
    asks: bool = False
    """The playbook asks before it changes something; --yes answers."""
    plans: bool = False
    """--plan shows what would be done, and does nothing: Ansible's --check --diff."""

    @property
    def playbook(self) -> Path:
        """Where the playbook is."""
        return paths.PLAYBOOKS / f"{self.name}.yml"


# A path is the operator's, from where he stands; the playbook runs in the clone's folder.
FILE = click.Path(dir_okay=False, resolve_path=True)
FOLDER = click.Path(file_okay=False, resolve_path=True)
PERIODS = list(PERIODS_PER_YEAR)
# Of an enum itself click would take the members' names, in capitals.
CRITERIA = [criterion.value for criterion in Criterion]
HOSTS = Argument("[HOST|PROVIDER]…", "target", many=True, required=False)
PASSWORD_FILE = Option(
    "--password-file",
    "onboard_password_file",
    "The provider's root passwords: one line for all hosts, or a line for each. Asked for without it.",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
)


def asn_table(verb: str) -> Option:
    """Return the option by which a verb takes another table of origin ASNs."""
    said = "For the origin ASNs, in place of the inventory's fleet_asn_table."
    return Option("--asn-table", f"{verb}_asn_table", said, FILE, metavar="FILE")


VERBS: tuple[Verb, ...] = (
    Verb("site", "Provision the hosts of an inventory, or bring them up to date.", plans=True),
    Verb("check", "Check all that an inventory says, and contact no host."),
    Verb(
        "verify",
        "Check every host, and send a marked event through every listener.",
        (HOSTS,),
        (Option("--json", "verify_json", "Write the findings there.", FILE, metavar="FILE"),),
    ),
    Verb(
        "canary",
        "Prove that events reach the database, through every listener.",
        (HOSTS,),
        (Option("--seconds", "canary_seconds", "How long to wait for the events: 30.", click.IntRange(0, 3600)),),
    ),
    Verb(
        "canary_round",
        "See which providers filter a port or answer in a sensor's place, and tell what has changed.",
        (HOSTS,),
        (Option("--no-tell", "canary_tell", "Tell nobody and remember nothing.", bool, sets=False),),
    ),
    Verb(
        "adopt",
        "Bring the events of other daemons' logs into the database.",
        (Argument("LOG…", "adopt_files", many=True, path=True),),
        (
            Option("--sensor", "adopt_sensor", "The sensor that they are of.", metavar="NAME"),
            Option("--by-address", "adopt_by_address", "An address in each path or line says whose it is.", bool),
            Option("--address", "adopt_addresses", "With --sensor: an address that it had.", multiple=True),
            Option(
                "--format",
                "adopt_format",
                "What wrote them. Without it the first lines tell.",
                click.Choice(["dataplane", "cowrie", "opencanary"]),
            ),
            Option("--time-zone", "adopt_time_zone", "Of times without one: UTC."),
            Option("--on-collector", "adopt_on_collector", "They are on the database's host already.", bool),
        ),
        plans=True,
    ),
    Verb("reconcile", "Have the sensors send again what never reached the database, and give account.", (HOSTS,)),
    Verb(
        "report",
        "Show the fleet: coverage, cost, renewals, certificates, and which lease to give up first.",
        (),
        (
            Option("--output", "report_output", "Folder of the page: build/report.", FOLDER, metavar="DIR", short="-o"),
            Option("--live", "report_live", "Ask the database which sensors served, and which are silent.", bool),
            asn_table("report"),
        ),
    ),
    Verb(
        "plan_lease",
        "Plan what to lease next, and which leases to give up first.",
        options=(
            Option("--budget", "plan_lease_budget", "To spend more in a year, in fleet_currency.", required=True),
            Option("--offers", "plan_lease_offers", "A CSV file of offers.", FILE, metavar="FILE"),
            Option("--seen", "plan_lease_seen", "Ask the database what each host sees alone.", bool),
            Option("--days", "plan_lease_days", "Of how many days: 28.", click.IntRange(1, 90)),
            asn_table("plan_lease"),
        ),
    ),
    Verb(
        "note",
        "Write a line into a provider's journal.",
        arguments=(Argument("PROVIDER", "note_provider"), Argument("TEXT", "note_text")),
        options=(
            Option("--about", "note_about", "The criterion that it says something of.", click.Choice(CRITERIA)),
            Option("--score", "note_score", "Of that criterion: 1 (bad) to 5 (good).", click.IntRange(1, 5)),
            Option("--host", "note_host", "The host that it concerns."),
            Option("--day", "note_day", "The day of it: 2026-11-28. Without it today (UTC)."),
        ),
        plans=True,
    ),
    Verb(
        "due",
        "Say which renewals, last days to cancel, ended leases and certificates are due.",
        (),
        (
            Option("--days", "due_days", "List a lease's day this many days before: 30.", click.IntRange(0, 3660)),
            Option(
                "--certificate-days",
                "due_certificate_days",
                "List a certificate's end this many days before: 60.",
                click.IntRange(0, 3660),
            ),
            Option("--ics", "due_ics", "Write all days that are known there, as a calendar.", FILE, metavar="FILE"),
            Option("--mail", "due_mail", "Tell what is due as the watcher does: by mail and webhook.", bool),
        ),
    ),
    Verb(
        "reputation",
        "Look who announces the fleet's addresses, and which blocklists have them.",
        (),
        (Option("--mail", "reputation_mail", "Tell what has changed as the watcher does: by mail and webhook.", bool),),
    ),
    Verb(
        "timers",
        "Have verbs run by the clock on this machine, by systemd.",
        (),
        (
            Option("--remove", "timers_remove", "Take all of this inventory's timers away.", bool),
            Option(
                "--ssh-agent",
                "timers_ssh_agent",
                "Socket of an ssh agent that the runs use.",
                click.Path(resolve_path=True),
                metavar="SOCKET",
            ),
        ),
        plans=True,
    ),
    Verb(
        "journal",
        "Show what happened with the providers, and their scorecards.",
        arguments=(Argument("[PROVIDER]…", "journal_providers", many=True, required=False),),
        options=(
            Option("--news", "journal_news", "First enter which sensors fell silent, as the watcher told.", bool),
        ),
    ),
    Verb(
        "upgrade",
        "Install Debian's updates, batch by batch.",
        arguments=(HOSTS,),
        options=(
            Option("--batch", "upgrade_batch", "The most sensors at a time (10).", click.IntRange(1, 100)),
            Option("--no-reboot", "upgrade_reboot", "Reboot no host; say which ones need it.", bool, sets=False),
        ),
        plans=True,
    ),
    Verb(
        "rotate_certificates",
        "Give the hosts new keys, without losing an event.",
        arguments=(HOSTS,),
        options=(
            Option("--batch", "rotate_batch", "The most sensors at a time (10).", click.IntRange(1, 100)),
            Option(
                "--due",
                "rotate_due",
                "Only certificates that expire within this many days.",
                click.IntRange(0, 5000),
                metavar="DAYS",
            ),
            Option(
                "--made-before",
                "rotate_made_before",
                "Only certificates made before: 2026-11-25T12:00 (UTC). Without it and --due: a day ago, so that a run"
                " which was stopped carries on.",
                metavar="TIME",
            ),
        ),
        asks=True,
        plans=True,
    ),
    Verb(
        "add",
        "Write a freshly leased host into its provider's file.",
        arguments=(Argument("HOST", "add_host"),),
        options=(
            Option("--like", "add_like", "A leased host: what is not said is as it is there, but for the addresses."),
            Option("--provider", "add_provider", "Whose it is, as the file is called: alder."),
            Option("--provider-name", "add_provider_name", "For a provider that has no file yet: its name in full."),
            Option("--site", "add_site", "With --provider-name: its website."),
            Option("--address", "add_addresses", "A public address; once for each.", multiple=True),
            Option("--city", "add_city", "Where it stands."),
            Option("--country", "add_country", "ISO 3166 code: NL."),
            Option("--plan", "add_plan", "What the provider calls it: nano-256."),
            Option("--price", "add_price", "Of one period, without the currency: 24.00."),
            Option("--currency", "add_currency", "ISO 4217 code: EUR."),
            Option("--period", "add_period", "What one payment is for.", type=click.Choice(PERIODS)),
            Option("--renews", "add_renews", "Day of the next payment: 2027-03-01."),
        ),
        asks=True,
    ),
    Verb(
        "import",
        "Write the hosts of a table into their providers' files.",
        arguments=(Argument("FILE", "import_file", path=True),),
        asks=True,
        plans=True,
    ),
    Verb(
        "export",
        "Write all leased hosts as a table, for a spreadsheet and for import.",
        (),
        (Option("--output", "export_output", "The file: build/fleet.csv.", FILE, metavar="FILE", short="-o"),),
    ),
    Verb(
        "renewed",
        "Write that leases were paid, and for what price.",
        arguments=(Argument("HOST|PROVIDER…", "target", many=True),),
        options=(
            Option("--price", "renewed_price", "What one period costs now: 26.00. The former price is kept."),
            Option("--renews", "renewed_renews", "Day of the next payment, where it is another: 2027-03-01."),
            Option(
                "--ahead",
                "renewed_ahead",
                "What is due within this number of days was paid, too.",
                click.IntRange(0, 400),
                metavar="DAYS",
            ),
        ),
        asks=True,
        plans=True,
    ),
    Verb(
        "onboard",
        "Turn freshly leased servers into verified sensors.",
        arguments=(Argument("HOST|PROVIDER…", "target", many=True),),
        options=(PASSWORD_FILE,),
        plans=True,
    ),
    Verb(
        "renumber",
        "Follow hosts to the addresses that their provider gave them.",
        arguments=(
            Argument("HOST", "target", required=False),
            Argument("OLD", "renumber_from", required=False),
            Argument("NEW", "renumber_to", required=False),
        ),
        options=(
            Option("--file", "renumber_file", "In place of them: OLD NEW on each line, or whole networks.", FILE),
        ),
        asks=True,
        plans=True,
    ),
    Verb(
        "reinstall",
        "Onboard servers again that were reinstalled, under their old names.",
        arguments=(Argument("HOST…", "target", many=True),),
        options=(PASSWORD_FILE,),
        asks=True,
        plans=True,
    ),
    Verb(
        "address",
        "Give a host more addresses, or take some from it.",
        arguments=(
            Argument("add|remove", "address_action"),
            Argument("HOST", "target"),
            Argument("ADDRESS…", "address_list", many=True),
        ),
        asks=True,
        plans=True,
    ),
    Verb(
        "provider",
        "Follow a provider that was renamed, or bought by another.",
        arguments=(
            Argument("rename|merge", "provider_action"),
            Argument("OLD", "provider_old"),
            Argument("NEW", "provider_new"),
        ),
        options=(Option("--name", "provider_name", "To rename: its new name in full. It stays without this."),),
        asks=True,
        plans=True,
    ),
    Verb(
        "delist",
        "Keep an address out of the feeds through a day.",
        arguments=(Argument("ADDRESS", "delist_address"),),
        options=(
            Option("--until", "delist_until", "The last day of it (UTC): 2027-05-28.", required=True, metavar="DATE"),
            Option("--reason", "delist_reason", "Who asked for it and why.", required=True, metavar="TEXT"),
        ),
        asks=True,
        plans=True,
    ),
    Verb(
        "retire",
        "End the service of a host, or of everything leased from a provider.",
        arguments=(Argument("HOST|PROVIDER…", "target", many=True),),
        options=(
            Option("--reason", "retire_reason", "For the record of former leases: vanished, too dear."),
            Option(
                "--give-up",
                "retire_give_up",
                "Wipe a host that answers even if its last events can't be fetched.",
                type=bool,
            ),
        ),
        asks=True,
        plans=True,
    ),
)


def variables_of(verb: Verb, values: Mapping[str, Any]) -> dict[str, Any]:
    """The playbook's variables for the values that click has read. What was not given is left to the playbook."""
    found: dict[str, Any] = {}
    for argument in verb.arguments:
        if value := values.get(argument.variable):
            found[argument.variable] = list(value) if argument.many else value
    for option in verb.options:
        value = values.get(option.parameter)
        if value is True:
            found[option.variable] = option.sets
        elif value is not None and value is not False and value != ():
            found[option.variable] = list(value) if option.multiple else value
    if values.get("yes"):
        found["confirm"] = "yes"
    return found


def run_playbook(verb: Verb, inventories: Sequence[str], values: Mapping[str, Any], extra: Sequence[str]) -> int:
    """Run a verb's playbook on the operator's terminal: Ansible may ask for a password and shows its own progress."""
    if not verb.playbook.exists():
        raise Refusal(
            f"{paths.shown(verb.playbook)} is missing from this clone. Restore it with: git checkout -- playbooks"
        )
    places = [playbook.inventory_path(named) for named in inventories]
    playbook.prepare_ansible(Progress(verb.name))
    variables = variables_of(verb, values)
    arguments = [
        *([f"--extra-vars={playbook.as_text(variables)}"] if variables else []),
        *(["--check", "--diff"] if verb.plans and values.get("plan") else []),
        *extra,
    ]
    # What failed, and where the log is, is said by callback_plugins/strandline.py.
    return subprocess.run(
        playbook.ansible_playbook(verb.playbook, places, arguments), cwd=paths.ROOT, check=False
    ).returncode


OPTION = re.compile(r"--[a-z][a-z-]*(=|$)|-[A-Za-z]\S*$|--$")
"""A word that is an option of ansible-playbook's, and no note that begins with a dash."""


def divided(words: Sequence[str], extra: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return a verb's own words and what is for ansible-playbook, wherever click has left the -- between them."""
    own = list(words)
    for place, word in enumerate(own):
        if OPTION.match(word):
            return own[:place], [*own[place:], *extra]
    return own, list(extra)


def command(verb: Verb) -> click.Command:
    """Make the click command of a verb."""

    def run(inventories: tuple[str, ...], words: tuple[str, ...], **values: Any) -> None:
        own, extra = divided(words, ())
        for argument in verb.arguments:
            if argument.many:
                named = [str(Path(word).absolute()) for word in own] if argument.path else own
                values[argument.variable], own = named, []
            elif own:
                word = own.pop(0)
                values[argument.variable] = str(Path(word).absolute()) if argument.path else word
            if argument.required and not values.get(argument.variable):
                raise click.UsageError(f"{argument.metavar} is missing. See ./strandline {verb.name} --help")
        if own:
            raise click.UsageError(f"{own[0]} is more than {verb.name} takes. See ./strandline {verb.name} --help")
        sys.exit(run_playbook(verb, inventories, values, extra))

    made = click.Command(
        verb.name,
        callback=run,
        help=f"{verb.help}\n\n{AFTER} The runbook in short: ./strandline help {verb.name}",
        short_help=verb.help,
        context_settings={"ignore_unknown_options": True},
        params=[
            click.Option(
                ["-i", "--inventory", "inventories"],
                multiple=True,
                required=True,
                help="The network: inventory/production.",
            ),
            click.Argument(
                ["words"],
                nargs=-1,
                type=click.UNPROCESSED,
                metavar=" ".join([*(argument.metavar for argument in verb.arguments), "[-- ANSIBLE…]"]),
            ),
        ],
    )
    for option in verb.options:
        option.decorate(made)
    if verb.plans:
        plan = click.Option(["--plan"], is_flag=True, help="Show what would be done, and do nothing (--check --diff).")
        made.params.append(plan)
    if verb.asks:
        made.params.append(click.Option(["--yes"], is_flag=True, help="Do not ask."))
    return made
