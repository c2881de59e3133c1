"""Read an inventory and check all of it.

What one file may hold is declared in schemas/, the rest in :mod:`strandline_fleet.inventory.rules`.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from strandline_fleet.inventory import rules, schema
from strandline_fleet.inventory.document import Document, Steps
from strandline_fleet.inventory.files import FORMER, JOURNAL, PROVIDERS, YAML_FILES, files, variable_files
from strandline_fleet.inventory.model import EarlierPrice, Fleet, Host, Lease, Place, Provider
from strandline_fleet.inventory.problems import Problems
from strandline_fleet.inventory.schema import Finding
from strandline_fleet.payments import next_payment

SETTINGS = ("fleet_currency", "fleet_rates", "fleet_allowed_ranges")
"""Variables of all hosts by which provider files are checked."""
EXAMPLE = "copy inventory/example and write your providers into providers/"


class _Reader:
    """Reads the files of an inventory, one kind of file in each method."""

    def __init__(self, settings: Mapping[str, Any], today: dt.date) -> None:
        self.settings: dict[str, Any] = dict(settings)
        self.today = today
        self.problems = Problems()
        self.taken = rules.Taken()

    def variables(self, path: Path, *, of_all: bool) -> None:
        """A file of group_vars or host_vars."""
        where = self.problems.read(path)
        if where is None or where.plain is None:
            return
        if not isinstance(where.plain, dict):
            self.problems.add(where, (), "", [Finding((), "holds no variables", "write NAME: VALUE, one a line")])
            return
        good = self.problems.check(schema.VARIABLES, where)
        self.problems.add(where, (), "", schema.unknown_variables(where.plain))
        if not of_all:
            return
        self.problems.add(where, (), "", rules.for_all_hosts(where.plain))
        wrong = {problem.field for problem in self.problems.found} if not good else set()
        for name, value in where.plain.items():
            # What is wrong, or a template, is no setting to check the providers' files by.
            unfit = name in SETTINGS and ("{{" in str(value) or any(each.startswith(name) for each in wrong))
            if not unfit:
                self.settings.setdefault(name, value)

    def groups(self, path: Path) -> None:
        """A file with groups and hosts that are not leased from a provider's file."""
        where = self.problems.read(path)
        if where is None or not isinstance(where.plain, dict):
            return
        self.problems.check(schema.INVENTORY, where)
        for group, node in where.plain.items():
            self.problems.add(where, (group,), "", rules.group_name(group))
            self.problems.add(where, (group, "vars"), "", schema.unknown_variables(_dig(node, "vars")))
            for name, entry in _dig(node, "hosts").items():
                spot = (group, "hosts", name)
                self._name(where, spot, name, group)
                values = entry if isinstance(entry, dict) else {}
                self.problems.add(where, spot, name, schema.unknown_variables(values))
                if group in rules.FUNCTIONS:
                    self._addresses(where, spot, name, values)

    def journal(self, path: Path) -> None:
        """A provider's journal."""
        if path.suffix != ".yml":
            remedy = f"call it {path.stem}.yml, or move it elsewhere"
            self.problems.add_file(path, "", "is no journal by its name", remedy)
            return
        where = self.problems.read(path)
        if where is not None and self.problems.check(schema.JOURNAL, where):
            for number, item in enumerate(where.plain["journal"] or ()):
                if any(not letter.isprintable() for letter in item["text"]):
                    found = Finding(("journal", number, "text"), "the text has a line's end in it", "write one line")
                    self.problems.add(where, (), "", [found])

    def providers(self, path: Path) -> Iterator[Provider]:
        """The providers of one file (normally one)."""
        if path.suffix not in YAML_FILES:
            remedy = f"call it {path.stem}.yml, or move it elsewhere: Ansible reads every file here"
            self.problems.add_file(path, "", "is no provider's file by its name", remedy)
            return
        where = self.problems.read(path)
        if where is None:
            return
        self.problems.check(schema.PROVIDER, where)
        for group, node in _dig(where.plain, "sensors", "children").items():
            details = dict(_dig(node, "vars", "provider"))
            if since := _day(details.get("since")):
                details["since"] = since
            hosts = []
            for name, entry in _dig(node, "hosts").items():
                spot = ("sensors", "children", group, "hosts", name)
                self._name(where, spot, name, "sensors")
                values = _renewing(entry, details.get("auto_renew", True)) if isinstance(entry, dict) else {}
                if host := self._leased(where, spot, name, values, group, path):
                    hosts.append(host)
            yield Provider(group, str(details.get("name") or group), path, details, tuple(hosts))

    def _name(self, where: Document, path: Steps, name: str, function: str) -> None:
        """A host's name, and that it has one function only."""
        self.problems.add(where, path, name, rules.host_name(name))
        if function in rules.FUNCTIONS:
            self.problems.add(where, path, name, self.taken.host(name, function, where.shown))

    def _addresses(self, where: Document, path: Steps, name: str, entry: Mapping[str, Any]) -> tuple[str, ...]:
        """Addresses that are public and of this host alone; the others are noted as problems."""
        listed = entry.get("addresses")
        if not isinstance(listed, list):
            return ()
        good, found = self.taken.addresses(name, listed, rules.allowed_ranges(self.settings), where.shown)
        self.problems.add(where, (*path, "addresses"), name, found)
        return good

    def _leased(
        self, where: Document, path: Steps, name: str, entry: Mapping[str, Any], group: str, file: Path
    ) -> Host | None:
        """One leased host; None when any of it is wrong."""
        wrong = self.problems.fields_of(name)
        addresses = self._addresses(where, path, name, entry)
        whole = {key: isinstance(entry.get(key), dict) and key not in wrong for key in ("place", "lease")}
        place = self._place(where, (*path, "place"), name, entry["place"]) if whole["place"] else None
        lease = self._lease(where, (*path, "lease"), name, entry["lease"]) if whole["lease"] else None
        if not addresses or "addresses" in wrong or place is None or lease is None:
            return None
        return Host(name, group, addresses, place, lease, file)

    def _place(self, where: Document, path: Steps, host: str, node: Mapping[str, Any]) -> Place | None:
        """City, country and continent that fit each other."""
        good = self.problems.add(where, path, host, rules.place(node))
        return Place(str(node["city"]), node["country"], node["continent"]) if good else None

    def _lease(self, where: Document, path: Steps, host: str, node: Mapping[str, Any]) -> Lease | None:
        """Plan, price and dates that fit each other."""
        rates = self.settings.get("fleet_rates")
        renews, auto_renew = dt.date.fromisoformat(node["renews"]), node.get("auto_renew", True)
        earlier = tuple(
            EarlierPrice(dt.date.fromisoformat(each["until"]), Decimal(str(each["price"])))
            for each in node.get("earlier") or ()
        )
        terms = rules.Terms(
            host=host,
            currency=node["currency"],
            base=str(self.settings.get("fleet_currency") or "USD"),
            rates=rates if isinstance(rates, Mapping) else {},
            renews=renews,
            cancelled=node["status"] == "cancelled",
            renewing=node["status"] == "active" and auto_renew,
            earlier=[each.until for each in earlier],
            today=self.today,
        )
        if not self.problems.add(where, path, host, rules.lease(terms)):
            return None
        since = node.get("since")
        return Lease(
            plan=str(node["plan"]),
            price=Decimal(str(node["price"])),
            currency=terms.currency,
            period=node["period"],
            renews=next_payment(renews, node["period"], self.today) if terms.renewing else renews,
            status=node["status"],
            since=dt.date.fromisoformat(since) if since else None,
            earlier=earlier,
            auto_renew=auto_renew,
            written=renews,
            ended=terms.ended,
            cancel_days=node.get("cancel_days"),
        )


def _renewing(entry: Mapping[str, Any], by_provider: object) -> Mapping[str, Any]:
    """A host's entry whose lease has its provider's ``auto_renew``, unless it has its own."""
    lease = entry.get("lease")
    return {**entry, "lease": {"auto_renew": by_provider, **lease}} if isinstance(lease, dict) else entry


def _day(text: object) -> dt.date | None:
    try:
        return dt.date.fromisoformat(str(text))
    except ValueError:
        return None


def _dig(node: Any, *keys: str) -> dict[str, Any]:
    """The mapping at the end of some keys; an empty one where anything else stands."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def load(directory: Path, today: dt.date | None = None, settings: Mapping[str, Any] | None = None) -> Fleet:
    """Read ``directory`` (an inventory) and check it. ``today`` (UTC) decides which renewals are past.

    ``settings`` are those of SETTINGS as Ansible sees them, templates and vaults resolved; they take the place of what
    group_vars/all.yml holds as text.
    """
    reader = _Reader(settings or {}, today or dt.datetime.now(dt.UTC).date())
    for path, of_all in variable_files(directory):
        reader.variables(path, of_all=of_all)
    for path in files(directory):
        if path.suffix in YAML_FILES and path.name != FORMER:
            reader.groups(path)
    for path in files(directory / JOURNAL):
        reader.journal(path)
    provider_files = list(files(directory / PROVIDERS))
    providers = [provider for path in provider_files for provider in reader.providers(path)]
    # A fleet whose last provider has been retired has a record of it.
    if not provider_files and not (directory / FORMER).exists():
        reader.problems.add_file(directory, "providers", "no provider file is in it", EXAMPLE)
    for group, same in itertools.groupby(sorted(providers, key=lambda each: each.group), key=lambda each: each.group):
        first, *others = same
        for other in others:
            message = f"the provider stands in {first.file} too"
            reader.problems.add_file(other.file, group, message, "rename one of them")
    return Fleet(directory, tuple(providers), reader.settings, tuple(reader.problems.found), reader.today)
