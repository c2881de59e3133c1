"""Read an inventory's provider files and check every value.

Mistakes are collected, not raised: the operator sees all of them at once. The YAML reader keeps comments, order and
line numbers, so that a message names the line and a verb can write the file back.
"""

from __future__ import annotations

import datetime as dt
import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarstring import ScalarString

from strandline_fleet.arithmetic import PERIODS_PER_YEAR
from strandline_fleet.inventory.countries import CONTINENT_OF, CONTINENTS
from strandline_fleet.inventory.model import EarlierPrice, Fleet, Host, Lease, Place, Problem, Provider, Severity

STATUSES = ("active", "cancelled")
PROVIDER_KEYS = ("name", "site", "panel", "since", "payment", "support", "reputation", "notes")
HOST_KEYS = ("addresses", "place", "lease")
PLACE_KEYS = ("city", "country", "continent")
LEASE_REQUIRED = ("plan", "price", "currency", "period", "renews", "status")
LEASE_KEYS = (*LEASE_REQUIRED, "since", "earlier")
EARLIER_KEYS = ("until", "price")
# Variables of Ansible and of the roles may stand beside a host's own keys.
ROLE_PREFIXES = (
    "ansible_",
    "base_",
    "container_",
    "event_forwarding_",
    "fleet_",
    "listener_",
    "onboard_",
    "tls_identity_",
    "verify_",
)
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
LISTENERS = ("ssh", "dns", "sip", "vnc")
# The name becomes a certificate's CN, a directory at the collector and an Ansible host: RFC 1123 label, lower case.
HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
CURRENCY = re.compile(r"[A-Z]{3}")


def yaml() -> YAML:
    """A reader and writer that keeps comments, order and quotes, and that refuses a key given twice."""
    reader = YAML(typ="rt")
    reader.preserve_quotes = True
    reader.width = 4096  # never wrap what the operator wrote on one line
    reader.indent(mapping=2, sequence=4, offset=2)
    return reader


class _Checker:
    """Collects the problems of one file."""

    def __init__(self, file: str, settings: Mapping[str, Any], today: dt.date) -> None:
        self.file = file
        self.settings = settings
        self.today = today
        self.problems: list[Problem] = []

    def say(
        self,
        node: Any,
        key: object,
        host: str,
        field: str,
        message: str,
        remedy: str,
        severity: Severity = Severity.ERROR,
    ) -> None:
        line = 0
        if isinstance(node, CommentedMap):
            data = getattr(node.lc, "data", None) or {}
            line = (data[key][0] if key in data else node.lc.line) + 1
        self.problems.append(Problem(self.file, line, host, field, message, remedy, severity))

    def mapping(self, parent: Any, key: str, host: str, field: str) -> CommentedMap | None:
        """The mapping under a key, or None with a problem said."""
        value = parent.get(key) if isinstance(parent, Mapping) else None
        if isinstance(value, CommentedMap):
            return value
        if value is None:
            self.say(
                parent, key, host, field, "is missing", f"add it: see inventory/example/providers/ for what {key} holds"
            )
        else:
            self.say(parent, key, host, field, f"{value!r} is no mapping", "write key: value pairs under it")
        return None

    def keys(
        self,
        node: CommentedMap,
        host: str,
        prefix: str,
        known: Iterable[str],
        required: Iterable[str],
        free: tuple[str, ...] = (),
    ) -> bool:
        """Say unknown and missing keys; True when every required one is there."""
        known = tuple(known)
        for key in node:
            if key in known or (free and str(key).startswith(free)):
                continue
            close = difflib.get_close_matches(str(key), known, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            self.say(node, key, host, f"{prefix}{key}", f"{key!r} is no known key", remedy)
        missing = [key for key in required if node.get(key) is None]
        for key in missing:
            self.say(node, key, host, f"{prefix}{key}", "is missing", "add it: see inventory/example/providers/")
        return not missing

    # One value each -------------------------------------------------------------------------------------------------

    def date(self, node: CommentedMap, key: str, host: str, prefix: str) -> dt.date | None:
        """A calendar day."""
        value = node.get(key)
        if isinstance(value, dt.datetime):
            return value.date()
        if isinstance(value, dt.date):
            return value
        self.say(node, key, host, f"{prefix}{key}", f"{str(value)!r} is no date", "write it as 2027-03-01")
        return None

    def price(self, node: CommentedMap, host: str, prefix: str = "lease.") -> Decimal | None:
        """An amount of money of at least 0, in units of the currency."""
        value = node.get("price")
        try:
            price = Decimal(str(value))
        except InvalidOperation:
            price = Decimal("NaN")
        if isinstance(value, bool) or not price.is_finite() or price < 0:
            self.say(
                node,
                "price",
                host,
                f"{prefix}price",
                f"{str(value)!r} is no amount",
                "write the price of one period, for example 24.00",
            )
            return None
        return price

    def currency(self, node: CommentedMap, host: str) -> str | None:
        """A currency with a rate."""
        value = str(node.get("currency"))
        base = str(self.settings.get("fleet_currency", "USD"))
        rates = self.settings.get("fleet_rates") or {}
        if not CURRENCY.fullmatch(value):
            self.say(
                node,
                "currency",
                host,
                "lease.currency",
                f"{value!r} is no currency",
                "write its ISO 4217 code, for example EUR",
            )
            return None
        if value != base and value not in rates:
            self.say(
                node,
                "currency",
                host,
                "lease.currency",
                f"there is no rate for {value!r}",
                f"add it to fleet_rates in group_vars/all.yml: the worth of one {value} in {base}",
            )
            return None
        return value

    def one_of(self, node: CommentedMap, key: str, host: str, prefix: str, allowed: Iterable[str]) -> str | None:
        """One of a few words."""
        value = node.get(key)
        allowed = tuple(allowed)
        if value in allowed:
            return str(value)
        close = difflib.get_close_matches(str(value), allowed, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"write one of {', '.join(allowed)}"
        self.say(node, key, host, f"{prefix}{key}", f"{str(value)!r} is unknown", remedy)
        return None

    # The parts of a host --------------------------------------------------------------------------------------------

    def place(self, host_node: CommentedMap, host: str) -> Place | None:
        """City, country and continent that fit each other."""
        node = self.mapping(host_node, "place", host, "place")
        if node is None or not self.keys(node, host, "place.", PLACE_KEYS, PLACE_KEYS):
            return None
        country = node["country"]
        if country in ("NO", False) and not isinstance(country, ScalarString):
            self.say(
                node,
                "country",
                host,
                "place.country",
                "NO without quotes is read as the word no by Ansible",
                'write "NO" in quotes',
            )
            return None
        if country not in CONTINENT_OF:
            remedy = "write its ISO 3166 code of two capital letters, for example NL"
            self.say(node, "country", host, "place.country", f"{str(country)!r} is no country", remedy)
            return None
        continent = self.one_of(node, "continent", host, "place.", CONTINENTS)
        if continent is None:
            return None
        if CONTINENT_OF[country] != continent:
            right = CONTINENT_OF[country]
            self.say(
                node,
                "continent",
                host,
                "place.continent",
                f"{country} is not in {CONTINENTS[continent]}",
                f"write {right} ({CONTINENTS[right]}), or correct the country",
            )
            return None
        return Place(str(node["city"]), str(country), continent)

    def lease(self, host_node: CommentedMap, host: str) -> Lease | None:
        """Plan, price and dates."""
        node = self.mapping(host_node, "lease", host, "lease")
        if node is None or not self.keys(node, host, "lease.", LEASE_KEYS, LEASE_REQUIRED):
            return None
        price = self.price(node, host)
        currency = self.currency(node, host)
        period = self.one_of(node, "period", host, "lease.", PERIODS_PER_YEAR)
        status = self.one_of(node, "status", host, "lease.", STATUSES)
        renews = self.date(node, "renews", host, "lease.")
        since = self.date(node, "since", host, "lease.") if node.get("since") is not None else None
        earlier = self.earlier(node, host)
        if renews is not None and renews < self.today:
            self.say(
                node,
                "renews",
                host,
                "lease.renews",
                f"{renews} is past",
                "look whether the host is still ours, then write the next date",
                Severity.WARNING,
            )
        if price is None or currency is None or period is None or status is None or renews is None:
            return None
        return Lease(str(node["plan"]), price, currency, period, renews, status, since, earlier)

    def earlier(self, node: CommentedMap, host: str) -> tuple[EarlierPrice, ...]:
        """What the lease cost before: a list of days and prices, the oldest first."""
        value = node.get("earlier")
        if value is None:
            return ()
        shape = "write for example [{until: 2026-03-01, price: 20.00}], the oldest first"
        if not isinstance(value, list) or not all(isinstance(each, CommentedMap) for each in value):
            self.say(node, "earlier", host, "lease.earlier", "is no list of days and prices", shape)
            return ()
        prices = []
        for each in value:
            if self.keys(each, host, "lease.earlier.", EARLIER_KEYS, EARLIER_KEYS):
                until = self.date(each, "until", host, "lease.earlier.")
                price = self.price(each, host, "lease.earlier.")
                if until is not None and price is not None:
                    prices.append(EarlierPrice(until, price))
        days = [each.until for each in prices]
        if days != sorted(set(days)) or (days and days[-1] > self.today):
            self.say(node, "earlier", host, "lease.earlier", "its days are not past or not in order", shape)
        return tuple(prices)

    def addresses(self, node: CommentedMap, host: str) -> tuple[str, ...] | None:
        """Public addresses, each once."""
        value = node.get("addresses")
        if not isinstance(value, list) or not value:
            self.say(
                node,
                "addresses",
                host,
                "addresses",
                f"{value!r} is no list of addresses",
                "write for example [192.0.2.10]",
            )
            return None
        allowed = [ipaddress.ip_network(net) for net in self.settings.get("fleet_allowed_ranges") or []]
        good = []
        for text in value:
            try:
                address = ipaddress.ip_address(str(text))
            except ValueError:
                self.say(
                    node,
                    "addresses",
                    host,
                    "addresses",
                    f"{str(text)!r} is no IP address",
                    "write for example 192.0.2.10",
                )
                continue
            inside = any(address in net for net in allowed if net.version == address.version)
            if not address.is_global and not inside:
                self.say(
                    node,
                    "addresses",
                    host,
                    "addresses",
                    f"{address} is private or reserved, not public",
                    "write the host's public address (fleet_allowed_ranges in group_vars/all.yml makes exceptions)",
                )
                continue
            good.append(str(address))
        return tuple(good) if len(good) == len(value) else None

    def listeners(self, node: CommentedMap, host: str) -> None:
        """A host that has some of the listeners only."""
        value = node.get("fleet_listeners", LISTENERS)
        remedy = f"write some of {', '.join(LISTENERS)}, for example [ssh, sip], or leave it out for all of them"
        if not isinstance(value, list | tuple) or not value:
            said = f"{str(value)!r} is no list of listeners"
            self.say(node, "fleet_listeners", host, "fleet_listeners", said, remedy)
            return
        for name in value:
            if name not in LISTENERS:
                self.say(node, "fleet_listeners", host, "fleet_listeners", f"{str(name)!r} is no listener", remedy)

    def host(self, name: str, node: Any, parent: CommentedMap, provider: str, file: Path) -> Host | None:
        """One leased host; None when any of it is wrong."""
        if not HOST_NAME.fullmatch(str(name)):
            self.say(
                parent,
                name,
                str(name),
                "",
                f"{str(name)!r} is no host name",
                "use a-z, 0-9 and -, at most 63, for example ams1",
            )
        if not isinstance(node, CommentedMap):
            self.say(
                parent,
                name,
                str(name),
                "",
                "nothing is said of the host",
                "add addresses, place and lease: see inventory/example/providers/",
            )
            return None
        self.keys(node, name, "", HOST_KEYS, (), ROLE_PREFIXES)
        self.listeners(node, name)
        addresses = self.addresses(node, name)
        place = self.place(node, name)
        lease = self.lease(node, name)
        if addresses is None or place is None or lease is None:
            return None
        return Host(name, provider, addresses, place, lease, file)


def _read(path: Path, shown: str, problems: list[Problem]) -> Any:
    """A YAML file's content, or None with a problem said."""
    try:
        return yaml().load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        problems.append(Problem(shown, 0, "", "", f"is not UTF-8 text (byte {error.start})", "save it as UTF-8"))
    except OSError as error:
        problems.append(Problem(shown, 0, "", "", f"can't be read ({error.strerror})", "check its permissions"))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        problems.append(
            Problem(
                shown,
                line,
                "",
                "",
                f"is no valid YAML: {error.problem}",
                "correct that line; a key may stand only once",
            )
        )
    except YAMLError as error:
        problems.append(Problem(shown, 0, "", "", f"is no valid YAML: {error}", "correct it"))
    return None


def _provider_file(path: Path, checker: _Checker, tree: Any) -> list[Provider]:
    """The providers of one file (normally one)."""
    shape = "the file's shape is sensors: children: provider_NAME: with vars: provider: and hosts: below"
    sensors = tree.get("sensors") if isinstance(tree, CommentedMap) else None
    children = sensors.get("children") if isinstance(sensors, CommentedMap) else None
    if not isinstance(children, CommentedMap) or not children:
        checker.say(tree, "sensors", "", "sensors", "no provider is in it", shape)
        return []
    providers = []
    for group, node in children.items():
        if not re.fullmatch(r"provider_[a-z0-9_]+", str(group)) or not isinstance(node, CommentedMap):
            checker.say(children, group, "", str(group), f"{str(group)!r} is no provider's group", shape)
            continue
        details = checker.mapping(node.get("vars"), "provider", "", f"{group}.vars.provider") or CommentedMap()
        if details:
            checker.keys(details, "", "provider.", PROVIDER_KEYS, ("name",))
        hosts = node.get("hosts") or CommentedMap()
        found = [checker.host(str(name), value, hosts, str(group), path) for name, value in hosts.items()]
        name = str(details.get("name") or group)
        providers.append(Provider(str(group), name, path, dict(details), tuple(host for host in found if host)))
    return providers


def _duplicates(providers: Iterable[Provider], shown: Mapping[Path, str]) -> list[Problem]:
    """Names and addresses that stand twice anywhere in the fleet."""
    names: dict[str, Host] = {}
    addresses: dict[str, Host] = {}
    problems = []
    for host in (host for provider in providers for host in provider.hosts):
        first = names.setdefault(host.name, host)
        if first is not host:
            where = shown[first.file]
            problems.append(
                Problem(
                    shown[host.file], 0, host.name, "", f"{host.name!r} is a host of {where} too", "rename one of them"
                )
            )
        for address in host.addresses:
            first = addresses.setdefault(address, host)
            if first is not host:
                message = f"{address} belongs to host {first.name} in {shown[first.file]} too"
                problems.append(
                    Problem(shown[host.file], 0, host.name, "addresses", message, "remove it where it is wrong")
                )
    return problems


def _settings(directory: Path, problems: list[Problem]) -> Mapping[str, Any]:
    """The settings of group_vars/all.yml as text, without templates resolved; none of a file that a vault encrypts."""
    path = directory / "group_vars" / "all.yml"
    read = _read(path, f"{directory}/group_vars/all.yml", problems) if path.exists() else {}
    if not isinstance(read, CommentedMap):
        return {}
    for key in read:
        if key in CONNECTION_VARIABLES:
            message = f"{key} stands here, where it is this machine's too"
            remedy = "move it to group_vars/leased.yml, and add the group leased as in inventory/example/central.yml"
            line = read.lc.data[key][0] + 1
            problems.append(Problem(f"{directory}/group_vars/all.yml", line, "", str(key), message, remedy))
    return read


def load(directory: Path, today: dt.date | None = None, settings: Mapping[str, Any] | None = None) -> Fleet:
    """Read ``directory`` (an inventory) and check it. ``today`` (UTC) decides which renewals are past.

    ``settings`` are those of SETTINGS as Ansible sees them, templates and vaults resolved; they take the place of what
    group_vars/all.yml holds as text.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    problems: list[Problem] = []
    shown_dir = str(directory)
    settings = {**_settings(directory, problems), **(settings or {})}
    files = sorted((directory / "providers").glob("*.yml"))
    if not files:
        problems.append(
            Problem(
                shown_dir,
                0,
                "",
                "providers",
                "no provider file is in it",
                "copy inventory/example and write your providers into providers/",
            )
        )
    providers: list[Provider] = []
    shown = {path: f"{shown_dir}/providers/{path.name}" for path in files}
    for path in files:
        checker = _Checker(shown[path], settings, today)
        before = len(problems)
        tree = _read(path, shown[path], problems)
        if len(problems) == before:
            providers += _provider_file(path, checker, tree)
        problems += checker.problems
    problems += _duplicates(providers, shown)
    return Fleet(directory, tuple(providers), settings, tuple(problems))
