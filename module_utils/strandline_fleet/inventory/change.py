"""What a verb changes in an inventory's folder: found and checked first, then shown, then written.

Each function here raises Refusal for what can't be, and returns an empty change where an earlier run has made it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from strandline_fleet import journal, known_hosts
from strandline_fleet.arithmetic import PERIODS_PER_YEAR
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import edit, trees
from strandline_fleet.inventory.countries import CONTINENT_OF
from strandline_fleet.inventory.edit import Texts
from strandline_fleet.inventory.files import FORMER, JOURNAL, YAML_FILES
from strandline_fleet.inventory.former import FormerLease
from strandline_fleet.inventory.model import Fleet, Host
from strandline_fleet.payments import payment_after

# What stands beside the inventory's sources and says what was, not what is.
ASIDE = ("certificates", "known_hosts", JOURNAL, FORMER)


@dataclass(frozen=True)
class Change:
    """Files that get another text, or go."""

    sources: Texts = dataclasses.field(default_factory=dict)
    """The inventory's own: provider files and the record of former leases."""
    held: Texts = dataclasses.field(default_factory=dict)
    """What this machine holds of hosts: public certificates and host keys."""

    def __bool__(self) -> bool:
        return bool(self.sources or self.held)

    def apply(self) -> None:
        """Write it. A run that is stopped between the two finds the rest by the first."""
        edit.apply(self.sources)
        edit.apply(self.held)


@dataclass(frozen=True)
class Entry:
    """A freshly leased host as the operator describes it, field by field as text."""

    name: str
    provider: str
    addresses: Sequence[str]
    city: str
    country: str
    plan: str
    price: str
    currency: str
    period: str
    renews: str
    provider_name: str = ""  # of a provider that has no file yet
    site: str = ""


def added(fleet: Fleet, entry: Entry, today: dt.date) -> Change:
    """A host's entry in its provider's file, which may be a new one."""
    place, lease = _place(entry), _lease(entry)
    for host in fleet.hosts():
        same_provider = host.provider.removeprefix("provider_") == entry.provider.removeprefix("provider_")
        if host.name == entry.name and same_provider and _says_the_same(host, entry.addresses, place, lease):
            return Change()
    details = {"name": entry.provider_name, "site": entry.site, "since": today} if entry.provider_name else None
    node = edit.host_entry(entry.addresses, place, lease)
    return Change(checked(fleet, trees.add_host(fleet, entry.provider, entry.name, node, details)))


def like(fleet: Fleet, name: str, today: dt.date) -> dict[str, str]:
    """What a host leased today has in common with one that is there; it is paid a period from now."""
    host = host_of(fleet, name)
    return {
        "provider": host.provider.removeprefix("provider_"),
        "city": host.place.city,
        "country": host.place.country,
        "plan": host.lease.plan,
        "price": str(host.lease.price),
        "currency": host.lease.currency,
        "period": host.lease.period,
        "renews": str(payment_after(today, host.lease.period, today)),
    }


def _place(entry: Entry) -> dict[str, str]:
    if entry.country not in CONTINENT_OF:
        raise _wrong("country", entry.country, "no country", "Give its ISO 3166 code, for example NL.")
    return {"city": entry.city, "country": entry.country, "continent": CONTINENT_OF[entry.country]}


def _lease(entry: Entry) -> dict[str, Any]:
    try:
        price = Decimal(entry.price).quantize(Decimal("0.01"))
    except InvalidOperation:  # also for infinity and numbers beyond all bounds
        price = Decimal("NaN")
    if price.is_nan() or price < 0:
        raise _wrong("price", entry.price, "no amount", "Give the price of one period, for example 24.00.")
    try:
        renews = dt.date.fromisoformat(entry.renews)
    except ValueError:
        raise _wrong("renews", entry.renews, "no date", "Write it as 2027-03-01.") from None
    if entry.period not in PERIODS_PER_YEAR:
        raise _wrong("period", entry.period, "no period", f"Give one of {', '.join(PERIODS_PER_YEAR)}.")
    return {
        "plan": entry.plan,
        "price": price,
        "currency": entry.currency,
        "period": entry.period,
        "renews": renews,
        "status": "active",
    }


def _wrong(field: str, value: str, what: str, remedy: str) -> Refusal:
    return Refusal(f"add_{field} (--{field}): {value!r} is {what}. {remedy}")


def _says_the_same(host: Host, addresses: Sequence[str], place: Mapping[str, str], lease: Mapping[str, Any]) -> bool:
    return (
        list(host.addresses) == list(addresses)
        and dataclasses.asdict(host.place) == place
        and all(getattr(host.lease, field) == value for field, value in lease.items() if field != "renews")
        and lease["renews"] in (host.lease.written, host.lease.renews)
    )


def renumbered(
    fleet: Fleet, name: str, old: str, new: str, ports: Sequence[int] = (22,), day: dt.date | None = None
) -> Change:
    """A host's address in the place of another. Host keys kept under the old one count for the new one.

    The provider's journal gets an entry of ``day``, the fleet's day without it.
    """
    old, new = address(old), address(new)
    if old == new:
        raise Refusal(f"{old} and {new} are the same address.")
    host = host_of(fleet, name)
    texts: Texts = {}
    if old in host.addresses:
        texts = edit.renumber_host(fleet, host, old, new)
        texts = checked(fleet, entered(fleet, journal.Kind.ADDRESS, [(host, f"{old} became {new}")], texts, day))
    elif new not in host.addresses:
        raise Refusal(f"{old} is none of {host.name}'s addresses in {host.file}: {', '.join(host.addresses)}.")
    return Change(texts, held_keys(fleet, lambda text: known_hosts.rename(text, old, new, ports)))


def entered(
    fleet: Fleet, kind: journal.Kind, lines: Iterable[tuple[Host, str]], texts: Texts, day: dt.date | None = None
) -> Texts:
    """The texts of a change with lines in the journals of the hosts' providers, of ``day``, the fleet's without it."""
    day = day or fleet.today or dt.datetime.now(dt.UTC).date()
    entries = [
        journal.Entry(host.provider.removeprefix("provider_"), day, kind, said, host.name) for host, said in lines
    ]
    found = journal.entered(fleet, entries, texts)
    # The journals first: a run that is stopped in between enters the lines again, rather than never.
    return {path: found[path] for path in sorted(found, key=lambda path: path in texts)}


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
            "The address of a collector or publisher is changed by hand, and ./strandline site -i INVENTORY has every "
            "host follow."
        )
    return hosts[name]


def mentions(directory: Path, text: str, changed: Texts) -> Iterator[str]:
    """Where else in the inventory an address stands once the ``changed`` files are written, as FILE:LINE."""
    for path in sorted(directory.rglob("*")):
        if path.suffix in YAML_FILES and path.relative_to(directory).parts[0] not in ASIDE:
            content = changed.get(path) or path.read_text(encoding="utf-8", errors="replace")
            for number, line in enumerate(content.splitlines(), 1):
                words = "".join(
                    letter if letter.isalnum() or letter in ".:" else " " for letter in line.partition("#")[0]
                )
                if text in words.split():
                    yield f"{path}:{number}"


def retired(
    fleet: Fleet,
    hosts: Sequence[Host],
    former: Sequence[FormerLease],
    day: dt.date,
    reason: str,
    ports: Sequence[int] = (22,),
) -> Change:
    """Hosts' entries in the record of former leases, and nothing held of them and of ``former`` hosts any more."""
    texts = checked(fleet, edit.retire_hosts(fleet, hosts, day, reason)) if hosts else {}
    gone: list[Host | FormerLease] = [*hosts, *former]
    names = [host.name for host in gone]
    certificates = _certificates(fleet, names)
    staying = {text for host in fleet.hosts() if host.name not in names for text in host.addresses}
    called = {*names, *(text for host in gone for text in host.addresses)} - staying
    return Change(texts, certificates | held_keys(fleet, lambda text: known_hosts.forget(text, called, ports)))


def noted(fleet: Fleet, entries: Sequence[journal.Entry]) -> Change:
    """Enter notes in providers' journals. Raises Refusal with every mistake that the inventory would have then."""
    return Change(checked(fleet, journal.entered(fleet, entries)))


def forgotten(fleet: Fleet, names: Sequence[str], ports: Sequence[int] = (22,), day: dt.date | None = None) -> Change:
    """Nothing held of hosts that were reinstalled: neither host keys nor certificates. Their entries stay.

    The provider's journal gets an entry of ``day`` for each host of which something was held.
    """
    hosts = [host_of(fleet, name) for name in names]
    called = {*names, *(text for host in hosts for text in host.addresses)}
    keys = held_keys(fleet, lambda text: known_hosts.forget(text, called, ports))
    lost = [host for host in hosts if _certificates(fleet, [host.name]) or _has_keys(fleet, host, ports)]
    lines = [(host, "reinstalled") for host in lost]
    texts = entered(fleet, journal.Kind.REINSTALL, lines, {}, day)
    return Change(checked(fleet, texts) if texts else {}, _certificates(fleet, names) | keys)


def _has_keys(fleet: Fleet, host: Host, ports: Sequence[int]) -> bool:
    """Whether the inventory's known_hosts has a key of the host, by its name or an address."""
    return bool(held_keys(fleet, lambda text: known_hosts.forget(text, {host.name, *host.addresses}, ports)))


def _certificates(fleet: Fleet, names: Sequence[str]) -> Texts:
    """The certificates of hosts that this machine has, to go."""
    folder = fleet.directory / "certificates"
    paths = (folder / f"{name}{end}" for name in names for end in (".pem", ".next.pem"))
    return {path: None for path in paths if path.exists()}


def checked(fleet: Fleet, texts: Texts) -> Texts:
    """The texts, tried on a copy of the inventory. Raises Refusal with every mistake that it would have."""
    if problems := edit.check(fleet, texts):
        raise Refusal("\n".join(["Nothing was written:", *map(str, problems)]))
    return texts


def held_keys(fleet: Fleet, change: Callable[[str], str]) -> Texts:
    """The inventory's known_hosts, changed; nothing where that changes nothing."""
    path = fleet.directory / "known_hosts"
    if not path.exists():
        return {}
    before = path.read_text(encoding="utf-8")
    after = change(before)
    return {path: after} if after != before else {}
