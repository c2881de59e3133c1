"""Action: checks an inventory, holds off other runs, and changes its entries. Documented in library/."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.inventory.manager import split_host_pattern
from ansible.plugins.action import ActionBase

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import arithmetic, journal, leasing, lock, origins, targets
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import addresses, change, edit, leases, providers, retirement, table
from strandline_fleet.inventory.change import Change
from strandline_fleet.inventory.load import SETTINGS
from strandline_fleet.inventory.model import Fleet
from strandline_fleet.inventory.read import fleet_of

Variables = Mapping[str, Any]
ENTRY = {
    "provider": "str",
    "addresses": "raw",
    "city": "str",
    "country": "str",
    "plan": "str",
    "price": "str",
    "currency": "str",
    "period": "str",
    "renews": "str",
    "provider_name": "str",
    "site": "str",
}
"""What is said of a freshly leased host, with Ansible's type of each."""
ENTRY_OPTIONAL = ("provider_name", "site")
NOTE: Mapping[str, dict[str, Any]] = {
    "provider": {"type": "str"},
    "host": {"type": "str"},
    "text": {"type": "str", "required": True},
    "kind": {"choices": [kind.value for kind in journal.Kind], "default": journal.Kind.NOTE.value},
    "about": {"choices": [criterion.value for criterion in journal.Criterion]},
    "score": {"type": "int"},
    "day": {"type": "str"},
}
"""An entry of a provider's journal, with Ansible's description of each field."""


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """Runs on the controller and contacts no host."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring the inventory into the wanted state; see the documentation in library/strandline_inventory.py."""
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "state": {"choices": list(STATES), "default": "checked"},
                "target": {"type": "raw", "default": ""},
                "among": {"type": "list", "elements": "str", "default": list(targets.FUNCTIONS)},
                "needs": {"type": "list", "elements": "str", "default": []},
                "lock": {"choices": ["none", *lock.KINDS], "default": "none"},
                "verb": {"type": "str", "default": "a playbook"},
                "host": {"type": "str"},
                "hosts": {"type": "raw", "default": ""},
                "addresses": {"type": "raw", "default": ""},
                "old_provider": {"type": "str"},
                "new_provider": {"type": "str"},
                "provider_name": {"type": "str", "default": ""},
                "old_address": {"type": "str"},
                "new_address": {"type": "str"},
                "like": {"type": "str", "default": ""},
                "file": {"type": "path"},
                "price": {"type": "str", "default": ""},
                "renews": {"type": "str", "default": ""},
                "ahead": {"type": "int", "default": 0},
                "reason": {"type": "str", "default": "retired"},
                "today": {"type": "str"},
                "entry": {"type": "dict", "options": {name: {"type": kind} for name, kind in ENTRY.items()}},
                "notes": {"type": "list", "elements": "dict", "options": dict(NOTE), "default": []},
            },
            required_if=[
                ("state", "added", ["host", "entry"]),
                ("state", "imported", ["file"]),
                ("state", "addressed", ["host", "addresses"]),
                ("state", "unaddressed", ["host", "addresses"]),
                ("state", "provider_renamed", ["old_provider", "new_provider"]),
                ("state", "provider_merged", ["old_provider", "new_provider"]),
            ],
        )
        try:
            return STATES[arguments["state"]](self, arguments, task_vars or {})
        except Refusal as refusal:
            raise AnsibleActionFail(str(refusal)) from refusal
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename or 'A file'}: {error.strerror or error}.") from error


def settings_of(variables: Variables, action: ActionModule) -> dict[str, Any]:
    """The settings by which provider files are checked, as Ansible knows them: templated, and from a vault too."""
    return {name: action._templar.template(variables[name]) for name in SETTINGS if name in variables}


def checked(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Check every file, the --limit and the target; then take the lock."""
    groups: Mapping[str, list[str]] = variables["groups"]
    verb = arguments["verb"] or "this run"
    warnings: list[str] = []
    hosts = 0
    for directory in inventory_directories(variables):
        fleet = fleet_of(str(directory), settings_of(variables, action), today_of(arguments))
        warnings += map(str, fleet.problems)
        hosts += sum(1 for _ in fleet.hosts())
    limit = context.CLIARGS.get("subset")
    if wrong := targets.unmatched(split_host_pattern(limit) if limit else (), groups):
        raise Refusal(f"--limit names {', '.join(wrong)}, which is neither a host nor a group of this inventory.")
    chosen = targets.hosts_of(groups, arguments["target"], arguments["among"])
    groups_it_takes = " or ".join(arguments["among"])
    if not chosen and set(arguments["among"]) != set(targets.FUNCTIONS):
        raise Refusal(f"This inventory has no host of {groups_it_takes}, and {verb} acts on no others.")
    in_limit = set(variables.get("ansible_play_hosts_all", ()))
    # Where others have to take part, a --limit is no way to say whom a run acts on.
    needed = [host for group in arguments["needs"] for host in groups.get(group, ())]
    if left_out := [host for host in dict.fromkeys(needed) if host not in in_limit]:
        raise Refusal(
            f"--limit leaves out {', '.join(left_out)}, which must take part in {arguments['verb']}. Name the hosts "
            "that it is to act on by -e target=HOST,... in place of --limit."
        )
    if arguments["target"] and (left_out := [host for host in chosen if host not in in_limit]):
        raise Refusal(f"target names {', '.join(left_out)}, and --limit leaves it out. Give one of the two.")
    if limit and chosen and not in_limit.intersection(chosen):
        raise Refusal(f"--limit {limit} leaves none of the hosts that {verb} acts on: {groups_it_takes}.")
    if arguments["lock"] != "none" and not action._play_context.check_mode:
        lock.take(sources_of(variables), arguments["lock"], arguments["verb"])
    return {"changed": False, "hosts": hosts, "targets": chosen, "warnings": warnings}


def sources_of(variables: Variables) -> list[str]:
    """The inventory's files and folders, as given to ansible-playbook."""
    return [str(source) for source in variables.get("ansible_inventory_sources") or ()]


def inventory_directories(variables: Variables) -> list[Path]:
    """The folders of the inventory in which providers have files."""
    return [path for path in map(Path, sources_of(variables)) if (path / "providers").is_dir()]


def fleet_to_change(action: ActionModule, arguments: Mapping[str, Any], variables: Variables) -> Fleet:
    """The one inventory in which entries are written."""
    directories = inventory_directories(variables)
    if len(directories) != 1:
        raise Refusal(
            f"Entries are written into one inventory with a folder providers/; this run has {len(directories)}. "
            "Name one: -i inventory/production."
        )
    return fleet_of(str(directories[0]), settings_of(variables, action), today_of(arguments))


def ports_of(variables: Variables, action: ActionModule) -> list[int]:
    """The ports under which host keys may be kept."""
    return [22, int(action._templar.template(variables.get("fleet_admin_port", 22)))]


def done(action: ActionModule, planned: Change, **more: Any) -> dict[str, Any]:
    """Write a change, unless this is check mode, and say what it is."""
    result: dict[str, Any] = {"changed": bool(planned), "difference": edit.difference(planned.sources), **more}
    if action._task.diff:
        result["diff"] = [
            {
                "before_header": str(path),
                "before": path.read_text(encoding="utf-8") if path.exists() else "",
                "after_header": str(path),
                "after": text or "",
            }
            for path, text in planned.sources.items()
        ]
    if not action._task.check_mode:
        planned.apply()
    return result


def added(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Write a freshly leased host into its provider's file."""
    fleet = fleet_to_change(action, arguments, variables)
    fields: dict[str, Any] = {name: value for name, value in arguments["entry"].items() if value not in (None, "", [])}
    if arguments["like"]:
        fields = change.like(fleet, str(arguments["like"]), today_of(arguments)) | fields
    if missing := [name for name in ENTRY if name not in fields and name not in ENTRY_OPTIONAL]:
        names = ", ".join(f"add_{name}" for name in missing)
        raise Refusal(f"Of {arguments['host']} is missing: {names}. What each is: docs/add.md.")
    # Ansible's strings bear their origin; files are written with plain ones.
    words: dict[str, Any] = {name: str(value) for name, value in fields.items()}
    words["addresses"] = targets.words(fields["addresses"])
    entry = change.Entry(name=str(arguments["host"]), **words)
    return done(action, change.added(fleet, entry, today_of(arguments)), gains=gains(fleet, entry))


def gains(fleet: Fleet, entry: change.Entry) -> str:
    """What a host adds to the fleet, for people: 41/8, AS64500, KE."""
    table, _ = origins.table_of(fleet, None)
    addresses = [change.address(each) for each in entry.addresses]
    present = [address for host in fleet.hosts() for address in host.addresses]
    asns = origins.of_addresses([*present, *addresses], table)
    own = {asn for address in addresses if (asn := asns.get(address)) is not None}
    has = leasing.held(fleet, asns, without=entry.name)
    return str(leasing.gain(has, arithmetic.slash8s(addresses), [entry.country], own))


def renumbered(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Put addresses in the place of others: those of a file, or one of a host."""
    fleet = fleet_to_change(action, arguments, variables)
    if arguments["file"]:
        moved = addresses.renumbered(fleet, Path(arguments["file"]), ports_of(variables, action))
        mentions = [
            f"{where}: {move.old}"
            for move in moved.moves
            for where in change.mentions(fleet.directory, move.old, moved.change.sources)
        ]
        return done(action, moved.change, moves=list(map(dataclasses.asdict, moved.moves)), mentions=mentions)
    if missing := [name for name in ("host", "old_address", "new_address") if not arguments[name]]:
        raise Refusal(f"renumbered needs {', '.join(missing)}, or file.")
    old, new = str(arguments["old_address"]), str(arguments["new_address"])
    planned = change.renumbered(fleet, str(arguments["host"]), old, new, ports_of(variables, action))
    old, new = change.address(old), change.address(new)
    mentions = [f"{where}: {old}" for where in change.mentions(fleet.directory, old, planned.sources)]
    moves = [{"host": str(arguments["host"]), "old": old, "new": new}]
    return done(action, planned, moves=moves, mentions=mentions)


def addressed(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Give a host more addresses."""
    fleet = fleet_to_change(action, arguments, variables)
    named = targets.words(arguments["addresses"])
    planned = addresses.added(fleet, str(arguments["host"]), named)
    wanted = list(map(change.address, named))
    return done(action, planned, host=str(arguments["host"]), addresses=wanted, absent=[], mentions=[])


def unaddressed(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Take addresses from a host."""
    fleet = fleet_to_change(action, arguments, variables)
    gone = list(map(change.address, targets.words(arguments["addresses"])))
    host = change.host_of(fleet, str(arguments["host"]))
    planned = addresses.removed(fleet, host.name, gone, ports_of(variables, action))
    mentions = [f"{where}: {old}" for old in gone for where in change.mentions(fleet.directory, old, planned.sources)]
    absent = [text for text in gone if text not in host.addresses]
    return done(action, planned, host=host.name, addresses=gone, absent=absent, mentions=mentions)


def provider_renamed(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Give a provider another name."""
    fleet = fleet_to_change(action, arguments, variables)
    old, new = str(arguments["old_provider"]), str(arguments["new_provider"])
    planned = providers.renamed(fleet, old, new, str(arguments["provider_name"]), today_of(arguments))
    return done(action, planned, mentions=list(providers.mentions(fleet, old, planned.sources)))


def provider_merged(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Put a provider's hosts into the file of the one that bought it."""
    fleet = fleet_to_change(action, arguments, variables)
    old, new = str(arguments["old_provider"]), str(arguments["new_provider"])
    planned = providers.merged(fleet, old, new, today_of(arguments))
    return done(action, planned, mentions=list(providers.mentions(fleet, old, planned.sources)))


def retired(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Move hosts' entries to the record of former leases, and forget what this machine holds of them."""
    fleet = fleet_to_change(action, arguments, variables)
    leaving, moved = retirement.chosen(fleet, names_in(arguments["hosts"], variables["groups"]))
    former = retirement.out_of_service(fleet)
    reason = str(arguments["reason"]) or "retired"
    planned = change.retired(fleet, leaving, former, today_of(arguments), reason, ports_of(variables, action))
    names = [host.name for host in leaving]
    return done(
        action,
        planned,
        leaving=names,
        moved=moved,
        former=sorted({*names, *(lease.name for lease in former)}),
        losses=retirement.losses(fleet, leaving),
        currency=retirement.currency(fleet),
        unknown_here=retirement.unknown_here(fleet, leaving),
        panels=retirement.panels(fleet, leaving),
    )


def noted(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Enter notes in providers' journals."""
    fleet = fleet_to_change(action, arguments, variables)
    day = today_of(arguments)
    return done(action, change.noted(fleet, [note_of(fleet, note, day) for note in arguments["notes"]]))


def note_of(fleet: Fleet, note: Mapping[str, Any], today: dt.date) -> journal.Entry:
    """A note as an entry of a journal. Raises Refusal with the field that is wrong."""
    host = str(note["host"] or "")
    named = str(note["provider"] or "").removeprefix("provider_")
    of_host = journal.provider_of(fleet, host) if host else ""
    if host and not of_host:
        raise Refusal(f"host: {host} is no host of {fleet.directory}, present or former. Name another or none.")
    if host and named and named != of_host:
        raise Refusal(f"host: {host} is leased from {of_host}, not from {named}. Name the provider or another host.")
    if not (named or of_host):
        raise Refusal("provider: name the provider whose journal it is, as its file is called: alder.")
    day = today
    if note["day"]:
        try:
            day = dt.date.fromisoformat(str(note["day"]))
        except ValueError:
            raise Refusal(f"day (--day): {str(note['day'])!r} is no date. Write it as 2026-11-28.") from None
    if day > today:
        raise Refusal(f"day (--day): {day} is yet to come. A journal says what has happened.")
    about = journal.Criterion(note["about"]) if note["about"] else None
    # Ansible's numbers bear their origin, as its strings do.
    score = None if note["score"] is None else int(note["score"]) + 0
    return journal.Entry(
        named or of_host, day, journal.Kind(note["kind"]), str(note["text"]).strip(), host, about, score
    )


def renewed(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Write that leases were paid, and for what price."""
    fleet = fleet_to_change(action, arguments, variables)
    terms = leases.terms_of(str(arguments["price"]), str(arguments["renews"]), arguments["ahead"])
    names = names_in(arguments["hosts"], variables["groups"])
    planned = leases.renewed(fleet, names, terms, today_of(arguments))
    return done(action, planned.change, renewed=list(planned.hosts), left=list(planned.left))


def imported(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Write the hosts of a table into their providers' files."""
    fleet = fleet_to_change(action, arguments, variables)
    return done(action, table.imported(fleet, Path(arguments["file"]), today_of(arguments)))


def forgotten(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Forget what this machine holds of hosts that were reinstalled."""
    fleet = fleet_to_change(action, arguments, variables)
    names = targets.words(arguments["hosts"])
    planned = change.forgotten(fleet, names, ports_of(variables, action))
    return done(action, planned, files=sorted(map(str, planned.held)))


def names_in(target: Any, groups: Mapping[str, list[str]]) -> list[str]:
    """The names of hosts and providers in a target, with other groups replaced by their hosts."""
    found: list[str] = []
    for name in targets.words(target):
        is_group = name in groups and not name.startswith("provider_") and f"provider_{name}" not in groups
        found += groups[name] if is_group else [name]
    return found


def today_of(arguments: Mapping[str, Any]) -> dt.date:
    """The day (UTC) that entries are dated with. Raises Refusal for a text that is no day."""
    said = str(arguments["today"] or "")
    try:
        return dt.date.fromisoformat(said) if said else dt.datetime.now(dt.UTC).date()
    except ValueError:
        raise Refusal(f"today: {said!r} is no date. Write it as 2026-11-28.") from None


STATES: Mapping[str, Callable[[ActionModule, dict[str, Any], Variables], dict[str, Any]]] = {
    "checked": checked,
    "added": added,
    "renumbered": renumbered,
    "retired": retired,
    "noted": noted,
    "renewed": renewed,
    "imported": imported,
    "addressed": addressed,
    "unaddressed": unaddressed,
    "provider_renamed": provider_renamed,
    "provider_merged": provider_merged,
    "forgotten": forgotten,
}
