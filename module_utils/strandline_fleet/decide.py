"""What the report says so that the operator can decide: what to do first, each host, cash by month, what cancelled
leases leave, incidents by provider. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from strandline_fleet import journal
from strandline_fleet.arithmetic import CENT, PERIODS_PER_YEAR, coverage, yearly_cost
from strandline_fleet.inventory.model import Fleet, Host, Provider
from strandline_fleet.journal import Entry
from strandline_fleet.payments import payment, payments

MONTHS_AHEAD = 12


def short_name(provider: Provider) -> str:
    """A provider as its file is called."""
    return provider.group.removeprefix("provider_")


def link(provider: Provider) -> str:
    """Where a provider's leases are managed; "" for what a browser should not open."""
    url = str(provider.details.get("panel") or provider.details.get("site") or "")
    return url if url.startswith(("https://", "http://")) else ""


def admin_command(host: Host, settings: Mapping[str, Any]) -> str:
    """How the operator enters a host; templates of the inventory are left out, since only Ansible knows their value."""
    user, port = str(settings.get("fleet_admin_user") or "root"), str(settings.get("fleet_admin_port") or "22")
    account = "" if "{{" in user else f"{user}@"
    return f"ssh {'' if '{{' in port else f'-p {port} '}{account}{host.addresses[0]}"


def hosts(fleet: Fleet, asns: Mapping[str, int | None]) -> list[dict[str, Any]]:
    """A line for each host: what an operator looks up when something is wrong with it."""
    return [
        {
            "host": host.name,
            "provider": provider.name,
            "addresses": list(host.addresses),
            "asns": sorted({asn for address in host.addresses if (asn := asns.get(address)) is not None}),
            "city": host.place.city,
            "country": host.place.country,
            "plan": host.lease.plan,
            "renews": host.lease.renews,
            "status": "ended" if host.lease.ended else host.lease.status,
            "admin": admin_command(host, fleet.settings),
            "panel": link(provider),
            "notes": str(provider.details.get("notes") or ""),
        }
        for provider in fleet.providers
        for host in provider.hosts
    ]


def paid_on(host: Host, today: dt.date) -> list[dt.date]:
    """The days on which a lease is paid from today until a year's end; a cancelled one is not paid.

    They are counted from the day that the file has, so that 31 January is followed by 28 February and 31 March.
    """
    if host.lease.status == "cancelled":
        return []
    until = payment(today.replace(day=1), "month", MONTHS_AHEAD)
    return list(payments(host.lease.written or host.lease.renews, host.lease.period, today, until))


def cash(leased: Iterable[Host], rates: Mapping[str, Any], currency: str, today: dt.date) -> list[dict[str, Any]]:
    """What is paid in each of the next twelve months, this one first, and for which hosts."""
    first = today.replace(day=1)
    months = [payment(first, "month", number) for number in range(MONTHS_AHEAD)]
    sums: dict[dt.date, Decimal] = dict.fromkeys(months, Decimal("0.00"))
    names: dict[dt.date, list[str]] = {month: [] for month in months}
    for host in leased:
        periods = PERIODS_PER_YEAR[host.lease.period]
        price = (yearly_cost(host.lease.mapping(), rates, currency) / periods).quantize(CENT)
        for day in paid_on(host, today):
            sums[day.replace(day=1)] += price
            names[day.replace(day=1)].append(host.name)
    return [
        {
            "month": f"{month:%Y-%m}",
            "amount": sums[month],
            "leases": len(names[month]),
            "hosts": sorted(set(names[month])),
        }
        for month in months
    ]


def after_cancellations(leased: Sequence[Host]) -> dict[str, Any] | None:
    """What is covered once the cancelled leases have run out; None when none is cancelled."""
    leaving = [host for host in leased if host.lease.status == "cancelled"]
    if not leaving:
        return None
    now = coverage(address for host in leased for address in host.addresses)
    left = coverage(address for host in leased if host not in leaving for address in host.addresses)
    return {
        "hosts": [host.name for host in leaving],
        "until": max(host.lease.renews for host in leaving),
        "covered": left["covered"],
        "share": left["share"],
        "lost": sorted(set(now["slash8s"]) - set(left["slash8s"])),
    }


def incidents(fleet: Fleet, journals: Mapping[str, Sequence[Entry]], today: dt.date) -> list[dict[str, Any]]:
    """The incidents of the last year by provider, those with most for each host first, with the newest of them."""
    rows = []
    for provider in fleet.providers:
        entries = journals.get(short_name(provider), ())
        counted = journal.incidents(entries, today)
        if counted:
            newest = [entry for entry in entries if entry.kind in journal.INCIDENTS][-1]
            rows.append(
                {
                    "provider": provider.name,
                    "incidents": sum(counted.values()),
                    "per_host": round(sum(counted.values()) / max(1, len(provider.hosts)), 2),
                    "kinds": ", ".join(journal.plural(number, word) for word, number in counted.items()),
                    "newest": f"{newest.day}: {f'{newest.host}: ' if newest.host else ''}{newest.text}",
                }
            )
    return sorted(rows, key=lambda row: (-row["per_host"], row["provider"]))


def scorecards(
    fleet: Fleet, journals: Mapping[str, Sequence[Entry]], today: dt.date
) -> dict[str, list[dict[str, Any]]]:
    """The criteria of each provider, by its name in full."""
    return {
        provider.name: [
            {
                "criterion": mark.criterion.value,
                "score": mark.score,
                "says": mark.says,
                "checked": mark.checked,
                "stale": mark.stale(today),
            }
            for mark in journal.scorecard(provider, journals.get(short_name(provider), ()), today)
        ]
        for provider in fleet.providers
    }


def actions(summary: Mapping[str, Any], fleet: Fleet) -> list[dict[str, Any]]:
    """What to do, the most urgent first: what, since or until when, for which host, and where.

    ``summary`` has the report's silent sensors, renewals, certificates and warnings already.
    """
    panels = {host.name: link(provider) for provider in fleet.providers for host in provider.hosts}
    today = str(summary["generated"])[:10]
    rows: list[dict[str, Any]] = []

    def act(urgency: int, day: object, host: str, what: str, command: str = "") -> None:
        rows.append(
            {
                "urgency": urgency,
                "day": str(day or ""),
                "host": host,
                "what": what,
                "command": command,
                "panel": panels.get(host, ""),
            }
        )

    for row in summary["silent"] or ():
        act(
            0,
            row["last"],
            row["host"],
            "silent: nothing has come since that day",
            f"./strandline verify -i INVENTORY {row['host']}",
        )
    for row in summary["renewals"]["ended"]:
        act(
            1,
            row["renews"],
            row["host"],
            "the cancelled lease has ended: retire",
            f"./strandline retire -i INVENTORY {row['host']}",
        )
    for row in summary["renewals"]["lapsed"]:
        said = "the lease's day is past, and it does not renew by itself: was it paid?"
        act(1, row["renews"], row["host"], said, f"./strandline renewed -i INVENTORY {row['host']}")
    for row in summary["certificates"]:
        if row["soon"]:
            said = "the certificate has ended" if str(row["ends"]) < today else "the certificate ends"
            act(1 if str(row["ends"]) < today else 2, row["ends"], row["host"], said,
                f"./strandline rotate_certificates -i INVENTORY {row['host']}")  # fmt: skip
    for row in summary["renewals"]["due"]:
        price = f"{row['price']:.2f} {row['currency']} a {row['period']}"
        if row["status"] == "cancelled":
            said, command = "the cancelled lease ends", f"./strandline retire -i INVENTORY {row['host']}"
        elif row["auto_renew"]:
            said, command = f"renews for {price}", ""
        else:
            said, command = f"to be paid by hand, {price}", f"./strandline renewed -i INVENTORY {row['host']}"
        act(2, row["renews"], row["host"], said, command)
    return sorted(rows, key=lambda row: (row["urgency"], row["day"], row["host"]))


def by_number(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    """The covered /8s by how many addresses they have, for a screen that is too narrow for the map."""
    groups: dict[int, list[int]] = defaultdict(list)
    for octet, number in Counter(dict(counts)).items():
        groups[min(number, 4)].append(int(octet))
    return [{"addresses": number, "slash8s": sorted(octets)} for number, octets in sorted(groups.items(), reverse=True)]
