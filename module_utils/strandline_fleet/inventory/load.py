"""Read an inventory and check all of it.

Mistakes are collected, not raised: the operator sees all of them at once. What a file may hold is declared in schemas/;
here is what no schema can say, because it concerns several values, several files, or today's date.
"""

from __future__ import annotations

import datetime as dt
import difflib
import ipaddress
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml as pyyaml
from ruamel.yaml import YAML

from strandline_fleet.inventory import document, schema
from strandline_fleet.inventory.countries import CONTINENT_OF, CONTINENTS
from strandline_fleet.inventory.document import Document, Steps
from strandline_fleet.inventory.model import EarlierPrice, Fleet, Host, Lease, Place, Problem, Provider, Severity
from strandline_fleet.inventory.schema import Finding
from strandline_fleet.payments import next_payment

# The record of former leases, beside the provider files; not an inventory source, so that Ansible never sees it.
FORMER = "former_leases.yml"
# The folder of the providers' journals, likewise.
JOURNAL = "journal"
SETTINGS = ("fleet_currency", "fleet_rates", "fleet_allowed_ranges")
"""Variables of all hosts by which provider files are checked."""
CONNECTION_VARIABLES = (
    "ansible_become",
    "ansible_connection",
    "ansible_host",
    "ansible_port",
    "ansible_python_interpreter",
    "ansible_ssh_common_args",
    "ansible_user",
)
"""How hosts are entered: never for all hosts, since that would be how Ansible enters this machine."""
FUNCTIONS = ("sensors", "collectors", "publishers")
GROUPS = (*FUNCTIONS, "builders", "leased")
RESERVED = ("all", "ungrouped", "localhost")
"""Names that Ansible has a meaning of its own for."""
YAML_FILES = (".yml", ".yaml")
HOST_NAME_LENGTH = 63
FAR = dt.timedelta(days=11 * 366)
"""A lease is not paid for longer ahead."""
NEARLY = 0.8
"""From this likeness on (1 is the same word) an unknown group is taken for a known one misspelt."""
HOST_NAME = "use a-z, 0-9 and -, at most 63, for example ams1"
EXAMPLE = "copy inventory/example and write your providers into providers/"


def yaml() -> YAML:
    """A reader and writer that keeps comments, order and quotes, and that refuses a key given twice."""
    writer = YAML(typ="rt")
    writer.preserve_quotes = True
    writer.width = 4096  # never wrap what the operator wrote on one line
    writer.indent(mapping=2, sequence=4, offset=2)
    return writer


@dataclass
class _Names:
    """Where each host stands, to find those that stand twice."""

    function: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Host: its function, and the file that says so."""
    address: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Address: host and file."""


class _Checker:
    """Collects the problems of an inventory."""

    def __init__(self, directory: Path, settings: Mapping[str, Any], today: dt.date) -> None:
        self.directory = directory
        self.settings: dict[str, Any] = dict(settings)
        self.today = today
        self.problems: list[Problem] = []
        self.names = _Names()

    def say(
        self,
        where: Document,
        path: Steps,
        host: str,
        message: str,
        remedy: str,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a problem of the value at a path."""
        line = where.line(path)
        self.problems.append(Problem(where.shown, line, host, _field(path, host), message, remedy, severity))

    def read(self, path: Path) -> Document | None:
        """A file's content, or None with the problem noted; an encrypted one is None, too."""
        found, problems = document.read(path, str(path))
        self.problems += problems
        return found

    # What a schema says ---------------------------------------------------------------------------------------------

    def against(self, name: str, where: Document) -> bool:
        """Check a document against a schema; True when nothing was found."""
        before = len(self.problems)
        seen: set[Steps] = set()
        for finding in sorted(schema.findings(name, where.plain), key=lambda each: [str(step) for step in each.path]):
            better = self.better(where, finding)
            # One mistake is told once, at its innermost place.
            if better.path not in seen:
                seen.add(better.path)
                host = _host(better.path)
                self.problems.append(where.problem(better, host, _field(better.path, host)))
        for path, written in where.retyped_keys():
            self.say(where, path, written, *self.retyped(written))
        return len(self.problems) == before

    def retyped(self, written: str) -> tuple[str, str]:
        """What is wrong with a word that Ansible (YAML 1.1) reads as something else, and the remedy."""
        meaning = pyyaml.safe_load(written)
        kind = {bool: "the word yes or no", type(None): "nothing", int: "a number", float: "a number"}
        said = kind.get(type(meaning), "something else")
        if isinstance(meaning, bool):
            said = f"the word {'yes' if meaning else 'no'}"
        return f"{written} without quotes is read as {said} by Ansible", f'write "{written}" in quotes'

    def better(self, where: Document, finding: Finding) -> Finding:
        """A finding in the words that fit what the operator most likely did."""
        value: Any = where.plain
        for step in finding.path:
            if isinstance(value, list):
                value = value[int(step)]
            else:
                value = value.get(step) if isinstance(value, dict) else None
        written = where.written(finding.path) if finding.path else ""
        text = isinstance(value, bool) and written and not written.lower().startswith(("true", "false"))
        if text and not finding.message.endswith("known key"):
            return Finding(finding.path, *self.retyped(written))
        if finding.message.endswith("no known key") and value is None and str(finding.path[-1])[:1].isdigit():
            return Finding(finding.path, "a comma ends a value here", "write a price with a point, for example 24.00")
        return finding

    # What no schema can say -----------------------------------------------------------------------------------------

    def variables(self, where: Document, path: Steps, names: Iterable[str], host: str = "") -> None:
        """Names of variables that are nearly ours."""
        for finding in schema.unknown_variables(names):
            self.say(where, (*path, *finding.path), host, finding.message, finding.remedy)

    def named(self, where: Document, path: Steps, name: str, function: str) -> None:
        """A host's name, and that it has one function only."""
        plain = name.isascii() and name.replace("-", "").isalnum() and name == name.lower() and name.strip("-") == name
        if not plain or len(name) > HOST_NAME_LENGTH:
            self.say(where, path, name, f"{name!r} is no host name", HOST_NAME)
        elif name in RESERVED or name in GROUPS:
            self.say(where, path, name, f"{name!r} has a meaning of its own for Ansible", "give the host another name")
        if function in FUNCTIONS:
            first, file = self.names.function.setdefault(name, (function, where.shown))
            if (first, file) != (function, where.shown):
                other = f"of {first}" if first != function else f"of {file}"
                remedy = "rename one of them; a host has one function"
                self.say(where, path, name, f"{name!r} is a host {other} too", remedy)

    def addresses(self, where: Document, path: Steps, values: Iterable[Any], host: str) -> tuple[str, ...]:
        """Addresses that are public and of this host alone; those that are not have been reported."""
        ranges = self.settings.get("fleet_allowed_ranges") or []
        allowed = [ipaddress.ip_network(net) for net in ranges if _network(net)]
        good = []
        for text in values:
            try:
                address = ipaddress.ip_address(str(text))
            except ValueError:
                continue
            inside = any(address in net for net in allowed if net.version == address.version)
            if not address.is_global and not inside:
                remedy = "write the host's public address (fleet_allowed_ranges in group_vars/all.yml makes exceptions)"
                self.say(where, path, host, f"{address} is private or reserved, not public", remedy)
                continue
            other, file = self.names.address.setdefault(str(address), (host, where.shown))
            if other != host:
                message = f"{address} belongs to host {other} in {file} too"
                self.say(where, path, host, message, "remove it where it is wrong")
            elif str(address) in good:
                self.say(where, path, host, f"{address} stands twice", "remove one of the two")
            good.append(str(address))
        return tuple(good)

    def place(self, where: Document, path: Steps, node: Mapping[str, Any], host: str) -> Place | None:
        """City, country and continent that fit each other."""
        country, continent = node["country"], node["continent"]
        right = CONTINENT_OF[country]
        if right != continent:
            message = f"{country} is not in {CONTINENTS[continent]}"
            remedy = f"write {right} ({CONTINENTS[right]}), or correct the country"
            self.say(where, (*path, "continent"), host, message, remedy)
            return None
        return Place(str(node["city"]), country, continent)

    def lease(self, where: Document, path: Steps, node: Mapping[str, Any], host: str) -> Lease | None:
        """Plan, price and dates that fit each other."""
        before = len(self.problems)
        currency = node["currency"]
        base = str(self.settings.get("fleet_currency") or "USD")
        rates = self.settings.get("fleet_rates")
        if currency != base and currency not in (rates if isinstance(rates, Mapping) else {}):
            remedy = f"add it to fleet_rates in group_vars/all.yml: the worth of one {currency} in {base}"
            self.say(where, (*path, "currency"), host, f"there is no rate for {currency!r}", remedy)
        renews = dt.date.fromisoformat(node["renews"])
        if renews > self.today + FAR:
            message = f"{renews} is more than ten years away"
            remedy = "write the day of the next payment, for example 2027-03-01"
            self.say(where, (*path, "renews"), host, message, remedy)
        ended = node["status"] == "cancelled" and renews < self.today
        renewing = node["status"] == "active" and node.get("auto_renew", True)
        if ended:
            remedy = f"end the host's service: ./strandline retire -i INVENTORY {host}"
            message = f"the lease was cancelled and ended on {renews}"
            self.say(where, (*path, "renews"), host, message, remedy, severity=Severity.WARNING)
        elif renews < self.today and not renewing:
            remedy = (
                f"when it is paid: ./strandline renewed -i INVENTORY {host}; when the host is not ours any more: "
                "retire it"
            )
            message = f"{renews} is past, and the lease does not renew by itself"
            self.say(where, (*path, "renews"), host, message, remedy, severity=Severity.WARNING)
        earlier = tuple(
            EarlierPrice(dt.date.fromisoformat(each["until"]), Decimal(str(each["price"])))
            for each in node.get("earlier") or ()
        )
        days = [each.until for each in earlier]
        if days != sorted(set(days)) or (days and days[-1] > self.today):
            remedy = "write for example [{until: 2026-03-01, price: 20.00}], the oldest first"
            self.say(where, (*path, "earlier"), host, "its days are not past or not in order", remedy)
        if any(problem.severity is Severity.ERROR for problem in self.problems[before:]):
            return None
        since = node.get("since")
        return Lease(
            str(node["plan"]), Decimal(str(node["price"])), currency, node["period"],
            next_payment(renews, node["period"], self.today) if renewing else renews, node["status"],
            dt.date.fromisoformat(since) if since else None, earlier, node.get("auto_renew", True), renews, ended,
            cancel_days=node.get("cancel_days"),
        )  # fmt: skip

    # Files ----------------------------------------------------------------------------------------------------------

    def provider_file(self, path: Path) -> list[Provider]:
        """The providers of one file (normally one)."""
        where = self.read(path)
        if where is None:
            return []
        self.against(schema.PROVIDER, where)
        providers = []
        children = _dig(where.plain, "sensors", "children")
        for group, node in children.items():
            base: Steps = ("sensors", "children", group)
            details = dict(_dig(node, "vars", "provider"))
            if _day(details.get("since")):
                details["since"] = _day(details["since"])
            hosts = []
            for name, entry in _dig(node, "hosts").items():
                spot = (*base, "hosts", name)
                self.named(where, spot, name, "sensors")
                said = _renewing(entry, details.get("auto_renew", True)) if isinstance(entry, dict) else {}
                if host := self.host(where, spot, name, said, group, path):
                    hosts.append(host)
            providers.append(Provider(group, str(details.get("name") or group), path, details, tuple(hosts)))
        return providers

    def host(
        self, where: Document, path: Steps, name: str, entry: Mapping[str, Any], group: str, file: Path
    ) -> Host | None:
        """One leased host; None when any of it is wrong."""
        wrong = {problem.field.partition(".")[0] for problem in self.problems if problem.host == name}
        listed = entry.get("addresses")
        found = self.addresses(where, (*path, "addresses"), listed if isinstance(listed, list) else (), name)
        whole = {key: isinstance(entry.get(key), dict) and key not in wrong for key in ("place", "lease")}
        place = self.place(where, (*path, "place"), entry["place"], name) if whole["place"] else None
        lease = self.lease(where, (*path, "lease"), entry["lease"], name) if whole["lease"] else None
        if not found or "addresses" in wrong or place is None or lease is None:
            return None
        return Host(name, group, found, place, lease, file)

    def other_file(self, path: Path) -> None:
        """A file with groups and hosts that are not leased from a provider's file."""
        where = self.read(path)
        if where is None or not isinstance(where.plain, dict):
            return
        self.against(schema.INVENTORY, where)
        for group, node in where.plain.items():
            close = schema.close_to(group, GROUPS) if group not in GROUPS else ""
            if close and _ratio(group, close) > NEARLY:
                self.say(where, (group,), "", f"{group!r} is no group that the playbooks know", close)
            self.variables(where, (group, "vars"), _dig(node, "vars"))
            for name, entry in _dig(node, "hosts").items():
                spot = (group, "hosts", name)
                self.named(where, spot, name, group)
                values = entry if isinstance(entry, dict) else {}
                self.variables(where, spot, values, name)
                listed = values.get("addresses")
                if group in FUNCTIONS and isinstance(listed, list):
                    self.addresses(where, (*spot, "addresses"), listed, name)

    def journal_file(self, path: Path) -> None:
        """A provider's journal."""
        if path.suffix != ".yml":
            remedy = f"call it {path.stem}.yml, or move it elsewhere"
            self.problems.append(Problem(str(path), 0, "", "", "is no journal by its name", remedy))
            return
        where = self.read(path)
        if where is not None and self.against(schema.JOURNAL, where):
            for number, item in enumerate(where.plain["journal"] or ()):
                if any(not letter.isprintable() for letter in item["text"]):
                    remedy = "write one line"
                    self.say(where, ("journal", number, "text"), "", "the text has a line's end in it", remedy)

    def variables_file(self, path: Path, *, of_all: bool) -> None:
        """A file of group_vars or host_vars."""
        where = self.read(path)
        if where is None or where.plain is None:
            return
        if not isinstance(where.plain, dict):
            self.say(where, (), "", "holds no variables", "write NAME: VALUE, one a line")
            return
        good = self.against(schema.VARIABLES, where)
        self.variables(where, (), where.plain)
        if not of_all:
            return
        for key in where.plain:
            if key in CONNECTION_VARIABLES:
                message = f"{key} stands here, where it is this machine's too"
                remedy = "move it to group_vars/leased.yml; the group leased stands in inventory/example/central.yml"
                self.say(where, (key,), "", message, remedy)
        wrong = {problem.field for problem in self.problems} if not good else set()
        for name, value in where.plain.items():
            # What is wrong, or a template, is no setting to check the providers' files by.
            unfit = name in SETTINGS and ("{{" in str(value) or any(each.startswith(name) for each in wrong))
            if not unfit:
                self.settings.setdefault(name, value)


def _renewing(entry: Mapping[str, Any], by_provider: object) -> Mapping[str, Any]:
    """A host's entry whose lease has its provider's ``auto_renew``, unless it has its own."""
    lease = entry.get("lease")
    return {**entry, "lease": {"auto_renew": by_provider, **lease}} if isinstance(lease, dict) else entry


def _ratio(word: str, remedy: str) -> float:
    return difflib.SequenceMatcher(None, word, remedy.split("'")[1]).ratio()


def _network(text: object) -> bool:
    try:
        return bool(ipaddress.ip_network(str(text)))
    except ValueError:
        return False


def _day(text: object) -> dt.date | None:
    try:
        return dt.date.fromisoformat(str(text))
    except ValueError:
        return None


def _dig(node: Any, *keys: str) -> dict[str, Any]:
    """The mapping at the end of some keys; an empty one where there is none."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def _host(path: Steps) -> str:
    """The host that a path goes through."""
    for key, name in itertools.pairwise(path):
        if key == "hosts":
            return str(name)
    return ""


def _field(path: Steps, host: str) -> str:
    """The field of a host, of a provider, or of the file, as messages name it."""
    steps = [str(step) for step in path if not isinstance(step, int)]
    if host and host in steps:
        steps = steps[len(steps) - 1 - steps[::-1].index(host) + 1 :]
    elif steps[:2] == ["sensors", "children"] and len(steps) > 2:
        steps = steps[3:] or steps[2:]
        steps = steps[1:] if steps[:1] == ["vars"] else steps
    return ".".join(steps)


def _files(directory: Path) -> Iterator[Path]:
    """The files of a folder as Ansible reads them: not what is hidden, a backup, or kept aside."""
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            if path.is_file() and not path.name.startswith(".") and not path.name.endswith(("~", ".orig", ".bak")):
                yield path


def load(directory: Path, today: dt.date | None = None, settings: Mapping[str, Any] | None = None) -> Fleet:
    """Read ``directory`` (an inventory) and check it. ``today`` (UTC) decides which renewals are past.

    ``settings`` are those of SETTINGS as Ansible sees them, templates and vaults resolved; they take the place of what
    group_vars/all.yml holds as text.
    """
    checker = _Checker(directory, settings or {}, today or dt.datetime.now(dt.UTC).date())
    for folder in ("group_vars", "host_vars"):
        for path in sorted((directory / folder).rglob("*")):
            if path.is_file() and path.suffix in YAML_FILES:
                of = path.relative_to(directory / folder).parts[0]
                checker.variables_file(path, of_all=folder == "group_vars" and of.partition(".")[0] == "all")
    for path in _files(directory):
        if path.suffix in YAML_FILES and path.name != FORMER:
            checker.other_file(path)
    for path in _files(directory / JOURNAL):
        checker.journal_file(path)
    providers: list[Provider] = []
    files = list(_files(directory / "providers"))
    for path in files:
        if path.suffix in YAML_FILES:
            providers += checker.provider_file(path)
        else:
            remedy = f"call it {path.stem}.yml, or move it elsewhere: Ansible reads every file here"
            checker.problems.append(Problem(str(path), 0, "", "", "is no provider's file by its name", remedy))
    # A fleet whose last provider has been retired has a record of it.
    if not files and not (directory / FORMER).exists():
        checker.problems.append(Problem(str(directory), 0, "", "providers", "no provider file is in it", EXAMPLE))
    for group, same in itertools.groupby(sorted(providers, key=lambda each: each.group), key=lambda each: each.group):
        first, *others = same
        for other in others:
            message = f"the provider stands in {first.file} too"
            checker.problems.append(Problem(str(other.file), 0, "", group, message, "rename one of them"))
    return Fleet(directory, tuple(providers), checker.settings, tuple(checker.problems), checker.today)
