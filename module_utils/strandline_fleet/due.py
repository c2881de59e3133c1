"""What an operator has to do by a day: renewals, last days to cancel, ended leases, certificates that end.

:func:`items` computes everything once; the table, the calendar and the mail are made from it.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from strandline_fleet import text
from strandline_fleet.icalendar import Event
from strandline_fleet.inventory.model import Fleet, Host, Provider

LEASE_DAYS = 30
"""How many days before a lease's day it is listed as due."""
CERTIFICATE_DAYS = 60
REMIND_DAYS = 7


class Kind(enum.Enum):
    """What happens on a day, in the word that tables show."""

    CANCEL = "cancel by"
    RENEWAL = "renews"
    LAPSED = "lapsed"
    ENDS = "ends"
    ENDED = "ended"
    CERTIFICATE = "certificate"


@dataclass(frozen=True)
class Item:
    """Something that happens, or has to be done, by a day."""

    day: dt.date
    kind: Kind
    host: str
    provider: str
    """Its name in full; empty for a host that is leased from no provider of the inventory."""
    says: str
    """What happens, and what to do."""
    panel: str = ""
    """Where it is done, a URL."""

    def is_due(self, today: dt.date, lease_days: int, certificate_days: int) -> bool:
        """Whether it is time: it has happened, or will within this number of days."""
        ahead = certificate_days if self.kind is Kind.CERTIFICATE else lease_days
        return self.day <= today + dt.timedelta(days=ahead)


def in_days(day: dt.date, today: dt.date) -> str:
    """How far away a day is: ``in 3 days``, ``today``, ``3 days ago``."""
    days = (day - today).days
    if days == 0:
        return "today"
    many = f"{abs(days)} day{'' if abs(days) == 1 else 's'}"
    return f"in {many}" if days > 0 else f"{many} ago"


def last_day_to_cancel(host: Host, provider: Provider) -> dt.date | None:
    """The last day on which a lease can be cancelled before it renews; None without a notice period."""
    days = host.lease.cancel_days
    if days is None:
        days = provider.details.get("cancel_days")
    return None if days is None else host.lease.renews - dt.timedelta(days=int(days))


def _of_lease(host: Host, provider: Provider, today: dt.date) -> Iterator[tuple[dt.date, Kind, str]]:
    lease = host.lease
    price = f"{lease.price:.2f} {lease.currency} a {lease.period}"
    if lease.status == "cancelled":
        if lease.renews < today:
            yield lease.renews, Kind.ENDED, f"the lease has ended: ./strandline retire -i INVENTORY {host.name}"
        else:
            retire = f"./strandline retire -i INVENTORY {host.name}"
            says = f"the cancelled lease ends; before that {retire} fetches its last events"
            yield lease.renews, Kind.ENDS, says
        return
    if lease.renews < today:  # only one that does not renew by itself has its day past
        renewed = f"./strandline renewed -i INVENTORY {host.name}"
        says = f"was to be paid, {price}. If it was: {renewed}; if it has ended: retire it"
        yield lease.renews, Kind.LAPSED, says
        return
    if not lease.auto_renew:
        says = f"ends unless you pay {price}; then ./strandline renewed -i INVENTORY {host.name}"
        yield lease.renews, Kind.RENEWAL, says
        return
    cancel = last_day_to_cancel(host, provider)
    if cancel is not None and today <= cancel < lease.renews:
        yield cancel, Kind.CANCEL, f"last day to cancel: it renews on {lease.renews} for {price}"
    late = "; it is too late to cancel" if cancel is not None and cancel < today else ""
    yield lease.renews, Kind.RENEWAL, f"renews for {price}{late}"


def items(fleet: Fleet, certificates: Mapping[str, dt.datetime], today: dt.date) -> list[Item]:
    """Everything that is known to come, the nearest first; whether it is due is for :meth:`Item.is_due` to say.

    ``certificates`` is when each host's certificate ends (UTC).
    """
    found: list[Item] = []
    homes: dict[str, tuple[str, str]] = {}
    for provider in fleet.providers:
        panel = str(provider.details.get("panel") or provider.details.get("site") or "")
        for host in provider.hosts:
            homes[host.name] = provider.name, panel
            found += [
                Item(day, kind, host.name, provider.name, says, panel)
                for day, kind, says in _of_lease(host, provider, today)
            ]
    for name, ends in certificates.items():
        said = "has ended" if ends.date() < today else "ends"
        says = f"its certificate {said}: ./strandline rotate_certificates -i INVENTORY {name}"
        found.append(Item(ends.date(), Kind.CERTIFICATE, name, homes.get(name, ("", ""))[0], says))
    return sorted(found, key=lambda item: (item.day, item.host, item.kind.value))


def table(due: Iterable[Item], today: dt.date) -> str:
    """What is due, for the terminal: a line for each, with its day and where it is done."""
    rows = [(item.day, item.host, item.kind.value, _told(item, today)) for item in due]
    return text.table(rows, ("day", "host", "what", "what to do"))


def _told(item: Item, today: dt.date) -> str:
    """The item in a sentence, without its host."""
    panel = f" {item.panel}" if item.panel else ""
    return f"{in_days(item.day, today)}: {item.says}.{panel}"


def notices(due: Iterable[Item], today: dt.date) -> list[dict[str, str]]:
    """What is due, as the collector's watcher tells it: ``subject``, ``state`` and ``text`` of each item."""
    return [
        {
            "subject": f"{item.kind.value.replace(' ', '-')} {item.host}",
            "state": "due",
            "text": text.shown(
                f"{item.host}{f' ({item.provider})' if item.provider else ''}: {item.day}, {_told(item, today)}"
            ),
        }
        for item in due
    ]


def events(known: Iterable[Item], name: str) -> Iterator[Event]:
    """The items as a calendar's events. ``name`` is the network's: two of them may stand in one calendar."""
    domain = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name.lower()).strip("-")
    for item in known:
        provider = f" ({item.provider})" if item.provider else ""
        panel = f"\n{item.panel}" if item.panel else ""
        yield Event(
            uid=f"{item.kind.name.lower()}-{item.host}-{item.day:%Y%m%d}@{domain or 'fleet'}.strandline",
            day=item.day,
            summary=f"{item.host}: {item.kind.value}{provider}",
            description=f"{item.says[:1].upper()}{item.says[1:]}.{panel}",
            url=item.panel,
            remind_days=REMIND_DAYS if item.kind in (Kind.CANCEL, Kind.RENEWAL, Kind.ENDS) else 0,
        )
