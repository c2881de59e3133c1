"""What no schema can say of an inventory, because it concerns several values, several files, or today's date.

Each rule finds what is wrong and says what to write instead; where the value stands in its file is not known here.
"""

from __future__ import annotations

import datetime as dt
import difflib
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from strandline_fleet.inventory import schema
from strandline_fleet.inventory.countries import CONTINENT_OF, CONTINENTS
from strandline_fleet.inventory.model import Severity
from strandline_fleet.inventory.schema import Finding

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
HOST_NAME_LENGTH = 63
FAR = dt.timedelta(days=11 * 366)
"""A lease is not paid for longer ahead."""
NEARLY = 0.8
"""From this likeness on (1 is the same word) an unknown group is taken for a known one misspelt."""


# --- leases ---


@dataclass(frozen=True)
class Terms:
    """What the rules of leases look at."""

    host: str
    currency: str
    base: str
    """The fleet's own currency."""
    rates: Iterable[str]
    """Currencies that a rate is known for."""
    renews: dt.date
    cancelled: bool
    renewing: bool
    """It renews by itself."""
    earlier: Sequence[dt.date]
    """The days until which earlier prices held, as they are written."""
    today: dt.date

    @property
    def ended(self) -> bool:
        """It was cancelled, and its last day is past."""
        return self.cancelled and self.renews < self.today


@dataclass(frozen=True)
class Rule:
    """A rule of leases: the field, when it is broken, and what is said then. {0} is the lease's terms."""

    field: str
    broken: Callable[[Terms], bool]
    message: str
    remedy: str
    severity: Severity = Severity.ERROR


LEASE = (
    Rule(
        "currency",
        lambda terms: terms.currency not in (terms.base, *terms.rates),
        "there is no rate for {0.currency!r}",
        "add it to fleet_rates in group_vars/all.yml: the worth of one {0.currency} in {0.base}",
    ),
    Rule(
        "renews",
        lambda terms: terms.renews > terms.today + FAR,
        "{0.renews} is more than ten years away",
        "write the day of the next payment, for example 2027-03-01",
    ),
    Rule(
        "renews",
        lambda terms: terms.ended,
        "the lease was cancelled and ended on {0.renews}",
        "end the host's service: ./strandline retire -i INVENTORY {0.host}",
        Severity.WARNING,
    ),
    Rule(
        "renews",
        lambda terms: terms.renews < terms.today and not terms.ended and not terms.renewing,
        "{0.renews} is past, and the lease does not renew by itself",
        "when it is paid: ./strandline renewed -i INVENTORY {0.host}; when the host is not ours any more: retire it",
        Severity.WARNING,
    ),
    Rule(
        "earlier",
        lambda terms: (
            list(terms.earlier) != sorted(set(terms.earlier)) or any(day > terms.today for day in terms.earlier)
        ),
        "its days are not past or not in order",
        "write for example [{{until: 2026-03-01, price: 20.00}}], the oldest first",
    ),
)


def lease(terms: Terms) -> Iterator[Finding]:
    """What is wrong with a lease whose values each fit the schema."""
    for rule in LEASE:
        if rule.broken(terms):
            yield Finding((rule.field,), rule.message.format(terms), rule.remedy.format(terms), rule.severity)


# --- places, names, variables ---


def place(node: Mapping[str, Any]) -> Iterator[Finding]:
    """A country that is not in the continent beside it."""
    country, right = node["country"], CONTINENT_OF[node["country"]]
    if right != node["continent"]:
        remedy = f"write {right} ({CONTINENTS[right]}), or correct the country"
        yield Finding(("continent",), f"{country} is not in {CONTINENTS[node['continent']]}", remedy)


def host_name(name: str) -> Iterator[Finding]:
    """A name that certificates, file names or Ansible can't have."""
    plain = name.isascii() and name.replace("-", "").isalnum() and name == name.lower() and name.strip("-") == name
    if not plain or len(name) > HOST_NAME_LENGTH:
        remedy = f"use a-z, 0-9 and -, at most {HOST_NAME_LENGTH}, for example ams1"
        yield Finding((), f"{name!r} is no host name", remedy)
    elif name in RESERVED or name in GROUPS:
        yield Finding((), f"{name!r} has a meaning of its own for Ansible", "give the host another name")


def group_name(name: str) -> Iterator[Finding]:
    """A group that is nearly one of those that the playbooks know."""
    close = difflib.get_close_matches(name, GROUPS, n=1)
    if name not in GROUPS and close and difflib.SequenceMatcher(None, name, close[0]).ratio() > NEARLY:
        yield Finding((), f"{name!r} is no group that the playbooks know", schema.close_to(name, GROUPS))


def for_all_hosts(names: Iterable[str]) -> Iterator[Finding]:
    """Variables that no file for all hosts may have."""
    for name in names:
        if name in CONNECTION_VARIABLES:
            message = f"{name} stands here, where it is this machine's too"
            remedy = "move it to group_vars/leased.yml; the group leased stands in inventory/example/central.yml"
            yield Finding((name,), message, remedy)


# --- what may stand once in all files together ---


@dataclass
class Taken:
    """Names and addresses of hosts that were read so far."""

    function: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Host: its function, and the file that says so."""
    address: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Address: host and file."""

    def host(self, name: str, function: str, file: str) -> Iterator[Finding]:
        """A host that has another function too, or the same one in another file."""
        first, place_of_first = self.function.setdefault(name, (function, file))
        if (first, place_of_first) != (function, file):
            other = f"of {first}" if first != function else f"of {place_of_first}"
            yield Finding((), f"{name!r} is a host {other} too", "rename one of them; a host has one function")

    def addresses(
        self,
        host: str,
        written: Iterable[Any],
        allowed: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
        file: str,
    ) -> tuple[tuple[str, ...], list[Finding]]:
        """The public addresses among those that are written, and what is wrong with these and the others.

        What is no address at all is the schema's to find. ``allowed`` are ranges that are taken for public ones.
        """
        good: list[str] = []
        found = []
        for text in written:
            try:
                address = ipaddress.ip_address(str(text))
            except ValueError:
                continue
            if not address.is_global and not any(address in net for net in allowed if net.version == address.version):
                remedy = "write the host's public address (fleet_allowed_ranges in group_vars/all.yml makes exceptions)"
                found.append(Finding((), f"{address} is private or reserved, not public", remedy))
                continue
            other, place_of_other = self.address.setdefault(str(address), (host, file))
            if other != host:
                message = f"{address} belongs to host {other} in {place_of_other} too"
                found.append(Finding((), message, "remove it where it is wrong"))
            elif str(address) in good:
                found.append(Finding((), f"{address} stands twice", "remove one of the two"))
            good.append(str(address))
        return tuple(good), found


def allowed_ranges(settings: Mapping[str, Any]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks of fleet_allowed_ranges; what is no network is the schema's to find."""
    networks = []
    for text in settings.get("fleet_allowed_ranges") or []:
        try:
            networks.append(ipaddress.ip_network(str(text)))
        except ValueError:
            continue
    return networks
