"""The fleet on one page: coverage, places, origin ASes, providers, cost, renewals, silence, certificates, and which
lease to give up first.

:func:`summarise` computes everything once; report.json is that summary, the page is drawn from it.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from cryptography import x509
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from strandline_fleet import decide, leasing, text
from strandline_fleet.arithmetic import ROUTABLE_SLASH8, coverage, renewals, slash8s, yearly_cost
from strandline_fleet.inventory.countries import CONTINENTS
from strandline_fleet.inventory.former import FormerLease
from strandline_fleet.inventory.model import Fleet, Host, Provider
from strandline_fleet.journal import Entry
from strandline_fleet.serving import WINDOW_DAYS, Serving

RENEWAL_DAYS = 30
CERTIFICATE_DAYS = 60
FORMER_SHOWN = 10
ACTIONS_SHOWN = 5
DAYS_PER_MONTH = Decimal("30.44")


def certificate_ends(directory: Path) -> dict[str, dt.datetime]:
    """When the certificate of each host ends (UTC), by the host's name; files that are no certificate are left out."""
    ends = {}
    for path in sorted(directory.glob("*.pem")):
        try:
            ends[path.stem] = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        except ValueError:
            continue
    return ends


def _cost(hosts: Iterable[Host], rates: Mapping[str, Any], currency: str) -> Decimal:
    return sum((yearly_cost(host.lease.mapping(), rates, currency) for host in hosts), Decimal("0.00"))


def _group(hosts: list[Host], key: str, rates: Mapping[str, Any], currency: str) -> list[dict[str, Any]]:
    """Hosts, addresses and cost by an attribute of the place, the largest first."""
    groups: dict[str, list[Host]] = defaultdict(list)
    for host in hosts:
        groups[getattr(host.place, key)].append(host)
    rows = [
        {
            key: name,
            "hosts": len(members),
            "addresses": sum(len(host.addresses) for host in members),
            "cost": _cost(members, rates, currency),
        }
        for name, members in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row["hosts"], row[key]))


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known beside the inventory; each part may be missing."""

    certificates: Mapping[str, dt.datetime] = dataclasses.field(default_factory=dict)
    """When each host's certificate ends (UTC)."""
    origins: list[dict[str, Any]] | None = None
    """As :func:`strandline_fleet.origins.origins` gives them."""
    origins_missing: str = ""
    """Why there are none."""
    serving: Mapping[str, Serving] | None = None
    """By sensor, when the database was asked."""
    former: Sequence[FormerLease] = ()
    """The latest first."""
    asns: Mapping[str, int | None] = dataclasses.field(default_factory=dict)
    """The origin AS of each address."""
    journals: Mapping[str, Sequence[Entry]] = dataclasses.field(default_factory=dict)
    """By provider, as its file is called; the oldest entry first."""


def price_trend(hosts: Iterable[Host], rates: Mapping[str, Any], currency: str) -> Decimal | None:
    """The change in percent from the first known price of the leases to the present one; None without earlier prices.

    Leases weigh by what they cost; those without an earlier price say nothing of a trend and are left out.
    """
    dated = [host.lease for host in hosts if host.lease.earlier]
    now = sum((yearly_cost(lease.mapping(), rates, currency) for lease in dated), Decimal(0))
    first = sum(
        (yearly_cost(lease.mapping() | {"price": lease.earlier[0].price}, rates, currency) for lease in dated),
        Decimal(0),
    )
    return ((now / first - 1) * 100).quantize(Decimal("0.1")) if first else None


def _provider(
    provider: Provider, rates: Mapping[str, Any], currency: str, today: dt.date, known: Known
) -> dict[str, Any]:
    """One line of the scorecards: how long, how many, for how much, how well."""
    since = provider.details.get("since")
    months = int(Decimal((today - since).days) / DAYS_PER_MONTH) if isinstance(since, dt.date) else None
    served = (
        [known.serving[host.name] for host in provider.hosts if host.name in known.serving] if known.serving else []
    )
    return {
        "provider": provider.name,
        "hosts": len(provider.hosts),
        "former": sum(lease.provider == provider.name for lease in known.former),
        "addresses": sum(len(host.addresses) for host in provider.hosts),
        "cost": _cost(provider.hosts, rates, currency),
        "price_trend": price_trend(provider.hosts, rates, currency),
        "months": months,
        "silent_days": sum(serving.silent_days(today) for serving in served) if served else None,
        "payment": str(provider.details.get("payment", "")),
        "support": str(provider.details.get("support", "")),
        "reputation": str(provider.details.get("reputation", "")),
    }


def _silent(
    hosts: Iterable[Host], serving: Mapping[str, Serving] | None, today: dt.date
) -> list[dict[str, Any]] | None:
    """The sensors from which nothing comes, the longest silence first; None when nobody was asked."""
    if serving is None:
        return None
    rows = [
        {"host": host.name, "provider": host.provider, "last": served.last if served else None}
        for host in hosts
        if (served := serving.get(host.name)) is None or served.silent_now(today)
    ]
    return sorted(rows, key=lambda row: (row["last"] or dt.date.min, row["host"]))


def give_up_order(hosts: Iterable[Host], rates: Mapping[str, Any], currency: str) -> list[dict[str, Any]]:
    """The leases by what giving them up would cost in coverage.

    Those that cover no /8 alone come first, the dearest at the top. Among hosts that do cover a /8 alone, the one whose
    each such /8 costs most comes first.
    """
    hosts = list(hosts)
    holders = Counter(octet for host in hosts for octet in set(slash8s(host.addresses)))
    rows = []
    for host in hosts:
        alone = [octet for octet in slash8s(host.addresses) if holders[octet] == 1]
        cost = yearly_cost(host.lease.mapping(), rates, currency)
        rows.append(
            {
                "host": host.name,
                "provider": host.provider,
                "cost": cost,
                "slash8s_alone": alone,
                "renews": host.lease.renews,
            }
        )
    return sorted(
        rows,
        key=lambda row: (bool(row["slash8s_alone"]), -row["cost"] / max(1, len(row["slash8s_alone"])), row["host"]),
    )


def summarise(fleet: Fleet, now: dt.datetime, known: Known) -> dict[str, Any]:
    """Everything that the report says. ``now`` is aware (UTC); costs are amounts a year in the fleet's currency."""
    today = now.date()
    leased = list(fleet.hosts())
    hosts = [host for host in leased if not host.lease.ended]
    currency = str(fleet.settings.get("fleet_currency", "USD"))
    rates = fleet.settings.get("fleet_rates") or {}
    addresses = [address for host in hosts for address in host.addresses]
    covered = coverage(addresses)
    per_slash8 = Counter(octet for address in addresses for octet in slash8s([address]))
    total = _cost(hosts, rates, currency)
    by_name = {host.name: host for host in leased}
    dates = renewals({host.name: host.lease.mapping() for host in leased}, today, RENEWAL_DAYS)
    summary: dict[str, Any] = {
        "generated": now.isoformat(timespec="seconds"),
        "name": str(fleet.settings.get("fleet_name", fleet.directory.name)),
        "hosts": len(hosts),
        "addresses": len(addresses),
        "coverage": covered | {"addresses_by_slash8": {str(octet): per_slash8[octet] for octet in covered["slash8s"]}},
        "continents": [
            row | {"name": CONTINENTS[row["continent"]]} for row in _group(hosts, "continent", rates, currency)
        ],
        "countries": _group(hosts, "country", rates, currency),
        "origins": known.origins,
        "origins_missing": known.origins_missing,
        "providers": sorted(
            (_provider(provider, rates, currency, today, known) for provider in fleet.providers),
            key=lambda row: (-row["hosts"], row["provider"]),
        ),
        "cost": {
            "currency": currency,
            "year": total,
            "per_host": (total / len(hosts)).quantize(Decimal("0.01")) if hosts else None,
            "per_slash8": (total / covered["covered"]).quantize(Decimal("0.01")) if covered["covered"] else None,
        },
        "renewals": {
            state: [
                {
                    "host": name,
                    "provider": by_name[name].provider,
                    "renews": by_name[name].lease.renews,
                    "price": by_name[name].lease.price,
                    "currency": by_name[name].lease.currency,
                    "period": by_name[name].lease.period,
                    "status": by_name[name].lease.status,
                    "auto_renew": by_name[name].lease.auto_renew,
                }
                for name in names
            ]
            for state, names in dates.items()
        },
        "silent": _silent(hosts, known.serving, today),
        "former": [dataclasses.asdict(lease) for lease in known.former[:FORMER_SHOWN]],
        "certificates": [
            {"host": name, "ends": ends.date(), "days": (ends - now).days, "soon": (ends - now).days < CERTIFICATE_DAYS}
            for name, ends in sorted(known.certificates.items(), key=lambda item: item[1])
        ],
        "give_up_first": give_up_order(hosts, rates, currency)[:10],
        "fleet": decide.hosts(fleet, known.asns),
        "cash": decide.cash(hosts, rates, currency, today),
        "after_cancellations": decide.after_cancellations(hosts),
        "incidents": decide.incidents(fleet, known.journals, today),
        "scorecards": decide.scorecards(fleet, known.journals, today),
        "warnings": [str(problem) for problem in fleet.problems],
    }
    return {**summary, "actions": decide.actions(summary, fleet)}


def _plain(value: object) -> object:
    """JSON for what json does not know: amounts as numbers, days as text."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} in the report")


def _cells(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The 256 squares of the map, row by row: octet, column, row, class and what a pointer on it says."""
    counts = summary["coverage"]["addresses_by_slash8"]
    cells = []
    for octet in range(256):
        count = counts.get(str(octet), 0)
        routable = octet in ROUTABLE_SLASH8
        kind = "none" if not routable else f"c{min(count, 4)}"
        said = "not routable" if not routable else f"{count} address{'' if count == 1 else 'es'}"
        cells.append(
            {"octet": octet, "x": octet % 16, "y": octet // 16, "kind": kind, "title": f"{octet}.0.0.0/8: {said}"}
        )
    return cells


def render(summary: Mapping[str, Any]) -> str:
    """The page: one file, nothing from elsewhere, and one script of our own, which sorts tables.

    The page names that script by its hash in a Content-Security-Policy, so that no other would run, whatever stands in
    an inventory.
    """
    script = (Path(__file__).parent / "templates" / "sort.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        report=summary,
        cells=_cells(summary),
        covered_by_number=decide.by_number(summary["coverage"]["addresses_by_slash8"]),
        octets=leasing.octets,
        uncovered=[octet for octet in ROUTABLE_SLASH8 if octet not in summary["coverage"]["slash8s"]],
        highest_cash=max((row["amount"] for row in summary["cash"]), default=Decimal(0)) or Decimal(1),
        renewal_days=RENEWAL_DAYS,
        window_days=WINDOW_DAYS,
        script=Markup(script),  # noqa: S704 - our own file
        digest=digest,
    )


def short(summary: Mapping[str, Any]) -> str:
    """What matters this week, for the terminal."""
    covered, cost = summary["coverage"], summary["cost"]
    first = [f"{row['host']}: {row['what']} ({row['day']})" for row in summary["actions"]]
    more = [f"and {len(first) - ACTIONS_SHOWN} more"] if len(first) > ACTIONS_SHOWN else []
    rows = [
        ("To do", "; ".join(first[:ACTIONS_SHOWN] + more) or "nothing"),
        ("Hosts", f"{summary['hosts']} with {summary['addresses']} addresses"),
        ("Coverage", f"{covered['covered']} of {covered['routable']} routable /8s, {covered['share']:.0%}"),
    ]
    if summary["origins"] is not None:
        rows.append(("Origin ASNs", str(sum(row["asn"] is not None for row in summary["origins"]))))
    rows.append(("Cost", f"{cost['year']:,.2f} {cost['currency']} a year, {cost['per_slash8']} for each /8"))
    for state, said in (("lapsed", "Lapsed"), ("ended", "Ended: retire"), ("due", f"Due in {RENEWAL_DAYS} days")):
        leases = summary["renewals"][state]
        if leases or state != "ended":
            rows.append((said, ", ".join(f"{lease['host']} ({lease['renews']})" for lease in leases) or "none"))
    if summary["silent"] is not None:
        silent = [f"{row['host']} (since {row['last'] or 'ever'})" for row in summary["silent"]]
        rows.append(("Silent", ", ".join(silent) or "none"))
    soon = [f"{row['host']} ({row['ends']})" for row in summary["certificates"] if row["soon"]]
    rows.append(("Certificates", f"end soon: {', '.join(soon)}" if soon else "none ends soon"))
    rows.append(("Give up first", ", ".join(row["host"] for row in summary["give_up_first"][:3]) or "none"))
    return text.table(rows)


def write(summary: Mapping[str, Any], directory: Path) -> None:
    """Write index.html and report.json, each whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in {
        "report.json": json.dumps(summary, default=_plain, indent=2) + "\n",
        "index.html": render(summary),
    }.items():
        aside = directory / f".{name}.new"
        aside.write_text(content, encoding="utf-8")
        aside.replace(directory / name)
