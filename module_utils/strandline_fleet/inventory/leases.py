"""Leases that go on: what a payment and a new price change in the providers' files.

Each function raises Refusal for what can't be, and returns an empty change where an earlier run has made it.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from ruamel.yaml.comments import CommentedSeq

from strandline_fleet import journal
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import edit
from strandline_fleet.inventory.change import Change, checked, entered
from strandline_fleet.inventory.model import Fleet, Host, Lease
from strandline_fleet.inventory.trees import Trees
from strandline_fleet.payments import last_payment, payment_after


@dataclass(frozen=True)
class Terms:
    """What came of a renewal, as the operator says it; what is left out stays as it was."""

    price: Decimal | None = None
    """Of one period, in the lease's currency, from the latest payment on."""
    renews: dt.date | None = None
    """The day of the next payment, where it does not follow from the period."""
    ahead: int = 0
    """Number of days ahead: payments due by then count as made, too."""


@dataclass(frozen=True)
class Renewed:
    """What a renewal changes, and a line with the reason for each host that it leaves as it is."""

    change: Change
    hosts: tuple[str, ...]
    left: tuple[str, ...]


def terms_of(price: str, renews: str, ahead: int) -> Terms:
    """The operator's words as terms. Raises Refusal with the field and what to write."""
    amount: Decimal | None = None
    day: dt.date | None = None
    if price:
        try:
            amount = Decimal(price).quantize(Decimal("0.01"))
        except InvalidOperation:  # also for infinity and numbers beyond all bounds
            amount = None
        if amount is None or amount.is_nan() or amount < 0:
            raise Refusal(
                f"renewed_price (--price): {price!r} is no amount. Give the price of one period, for example 24.00."
            )
    if renews:
        try:
            day = dt.date.fromisoformat(renews)
        except ValueError:
            raise Refusal(f"renewed_renews (--renews): {renews!r} is no date. Write it as 2027-03-01.") from None
    return Terms(amount, day, ahead)


def leased(fleet: Fleet, names: Iterable[str]) -> tuple[list[Host], set[str]]:
    """The hosts that names of hosts and providers stand for, and those of them that are named themselves.

    Raises Refusal for a name that is neither.
    """
    hosts = {host.name: host for host in fleet.hosts()}
    groups = {provider.group.removeprefix("provider_"): provider for provider in fleet.providers}
    found: dict[str, Host] = {}
    named: set[str] = set()
    for name in names:
        if name in hosts:
            found[name] = hosts[name]
            named.add(name)
        elif provider := groups.get(name.removeprefix("provider_")):
            found |= {host.name: host for host in provider.hosts}
        else:
            close = difflib.get_close_matches(name, [*hosts, *groups], n=1)
            hint = f"Did you mean {close[0]}?" if close else f"Providers: {', '.join(sorted(groups)) or 'none'}."
            raise Refusal(f"{name} is no leased host and no provider of this inventory. {hint}")
    return list(found.values()), named


def renewed(fleet: Fleet, names: Sequence[str], terms: Terms, today: dt.date) -> Renewed:
    """Write that leases were paid, and for what price.

    A lease that renews by itself has no new day written, unless ``terms`` name one: its days follow from its period.
    Another price is entered in the provider's journal.
    A lease that was cancelled does not go on; it is left out where only its provider is named, and refused otherwise.
    """
    hosts, named = leased(fleet, names)
    until = today + dt.timedelta(days=terms.ahead)
    trees = Trees()
    prices: list[tuple[Host, str]] = []
    done: list[str] = []
    left: list[str] = []
    for host in hosts:
        lease = host.lease
        if lease.status != "active":
            if host.name in named:
                raise Refusal(
                    f"{host.name} in {host.file}: lease.status is {lease.status}. If you took the lease up again, "
                    "write status: active there, then the same command again."
                )
            left.append(f"{host.name}: {lease.status}, ends on {lease.renews}")
            continue
        fields = _fields(lease, terms, until, today)
        if fields:
            write(trees.host(host)["lease"], fields)
            if "price" in fields:
                said = f"{lease.price:.2f} became {fields['price']:.2f} {lease.currency} a {lease.period}"
                prices.append((host, said))
            done.append(host.name)
        else:
            again = terms.price is not None or terms.renews is not None
            left.append(f"{host.name}: {'the file says so already' if again else _ahead(lease)}")
    texts = entered(fleet, journal.Kind.PRICE, prices, trees.texts(), today)
    return Renewed(Change(checked(fleet, texts)), tuple(done), tuple(left))


def _ahead(lease: Lease) -> str:
    if lease.auto_renew:
        return f"renews by itself, next on {lease.renews}"
    return f"its payment of {lease.renews} is ahead; if it is made: --ahead DAYS, or --renews DATE"


def _fields(lease: Lease, terms: Terms, until: dt.date, today: dt.date) -> dict[str, Any]:
    """The fields of a lease that get another value."""
    written = lease.written or lease.renews
    fields: dict[str, Any] = {}
    if terms.price is not None and terms.price != lease.price:
        fields["price"] = terms.price
        day = min(last_payment(written, lease.period, until), today)
        before = lease.earlier[-1].until if lease.earlier else dt.date.min
        if before < today:  # or else it corrects what was written today
            day = today if day <= before else day
            fields["earlier"] = {"until": day, "price": lease.price}
    next_day = terms.renews
    if next_day is None and not lease.auto_renew:
        next_day = payment_after(written, lease.period, until)
    if next_day is not None and next_day != written:
        fields["renews"] = next_day
    return fields


def write(node: Any, fields: Mapping[str, Any]) -> None:
    """Set fields of a lease in a file's tree; ``earlier`` is one more price in the list."""
    for name, value in fields.items():
        if name == "earlier":
            if not node.get(name):
                node[name] = CommentedSeq()
                node[name].fa.set_flow_style()
            node[name].append(edit.flow({**value, "price": edit.amount(value["price"])}))
        elif isinstance(value, Decimal):
            node[name] = edit.amount(value)
        else:
            node[name] = type(node[name])(str(value)) if isinstance(node.get(name), str) else value
