"""The verbs that work on the inventory itself: add, and report, which asks the database only when told to."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from strandline_fleet import origins, report
from strandline_fleet.arithmetic import PERIODS_PER_YEAR
from strandline_fleet.inventory import edit, former
from strandline_fleet.inventory.countries import CONTINENT_OF
from strandline_fleet.inventory.read import fleet_of

from strandline_cli import paths, verbs
from strandline_cli.errors import Refusal
from strandline_cli.fleet import serving
from strandline_cli.progress import Progress


@click.command("add")
@click.option("-i", "--inventory", required=True, help="The network: inventory/production.")
@click.option("--provider", required=True, help="Whom the host is leased from, as its file is called: alder.")
@click.option("--provider-name", help="For a provider that has no file yet: its name in full.")
@click.option("--site", default="", help="With --provider-name: its website.")
@click.option("--address", "addresses", multiple=True, required=True, help="A public address; once for each.")
@click.option("--city", required=True)
@click.option("--country", required=True, help="ISO 3166 code: NL.")
@click.option("--plan", required=True)
@click.option("--price", required=True, help="Of one period, without the currency: 24.00.")
@click.option("--currency", required=True, help="ISO 4217 code: EUR.")
@click.option("--period", required=True, type=click.Choice(list(PERIODS_PER_YEAR)))
@click.option("--renews", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Day of the next payment: 2027-03-01.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("host")
def add(
    inventory: str,
    provider: str,
    provider_name: str | None,
    site: str,
    addresses: tuple[str, ...],
    city: str,
    country: str,
    plan: str,
    price: str,
    currency: str,
    period: str,
    renews: dt.datetime,
    yes: bool,
    host: str,
) -> None:
    """Write a freshly leased HOST into its provider's file, and show the change first."""
    fleet = fleet_of(inventory)
    if country not in CONTINENT_OF:
        raise Refusal(f"--country {country!r} is no country. Give its ISO 3166 code, for example NL.")
    try:
        amount = f"{float(price):.2f}"
    except ValueError:
        raise Refusal(f"--price {price!r} is no amount. Give the price of one period, for example 24.00.") from None
    entry = edit.host_entry(
        addresses,
        {"city": city, "country": country, "continent": CONTINENT_OF[country]},
        {
            "plan": plan,
            "price": amount,
            "currency": currency,
            "period": period,
            "renews": renews.date(),
            "status": "active",
        },
    )
    today = dt.datetime.now(dt.UTC).date()
    details = {"name": provider_name, "site": site, "since": today} if provider_name else None
    texts = edit.add_host(fleet, provider, host, entry, details)
    problems = edit.check(fleet, texts)
    if problems:
        raise Refusal("\n".join(["Nothing was written:", *map(str, problems)]))
    click.echo(edit.difference(texts))
    if not yes:
        click.confirm("Write this?", abort=True)
    edit.apply(texts)
    click.echo(f"Next: ./strandline onboard -i {inventory} {host}")


@click.command("report")
@click.option("-i", "--inventory", required=True, help="The network: inventory/production.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=paths.BUILD / "report", show_default=False)
@click.option("--live", is_flag=True, help="Ask the collectors' database which sensors served, and which are silent.")
@click.option(
    "--asn-table",
    type=click.Path(path_type=Path),
    help="For the origin ASNs, in place of the inventory's fleet_asn_table.",
)
def report_(inventory: str, output: Path, live: bool, asn_table: Path | None) -> None:
    """Show the fleet: coverage, cost, renewals, certificates, origin ASNs, and which lease to give up first.

    Without --live it contacts no host.
    """
    fleet = fleet_of(inventory)
    table, missing = origins.table_of(fleet, asn_table)
    known = report.Known(
        certificates=report.certificate_ends(fleet.directory / "certificates"),
        origins=origins.origins(fleet.hosts(), table) if table else None,
        origins_missing=missing,
        serving=_serving(inventory) if live else None,
        former=former.former_leases(fleet.directory),
    )
    summary = report.summarise(fleet, dt.datetime.now(dt.UTC), known)
    report.write(summary, output)
    Console(file=sys.stdout).print(_short(summary))
    click.echo(f"\nThe whole report: {paths.shown(output)}/index.html and report.json")


def _serving(inventory: str) -> dict[str, serving.Serving]:
    progress = Progress("report")
    verbs.prepare_ansible(progress)
    return serving.ask(progress, verbs.inventory_path(inventory))


def _short(summary: Mapping[str, Any]) -> Table:
    """What matters this week, for the terminal."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("Hosts", f"{summary['hosts']} with {summary['addresses']} addresses")
    covered, cost = summary["coverage"], summary["cost"]
    table.add_row("Coverage", f"{covered['covered']} of {covered['routable']} routable /8s, {covered['share']:.0%}")
    if summary["origins"] is not None:
        systems = [row for row in summary["origins"] if row["asn"] is not None]
        table.add_row("Origin ASNs", str(len(systems)))
    table.add_row("Cost", f"{cost['year']:,.2f} {cost['currency']} a year, {cost['per_slash8']} for each /8")
    for state, said in (("lapsed", "Lapsed"), ("due", f"Due in {report.RENEWAL_DAYS} days")):
        rows = summary["renewals"][state]
        table.add_row(said, ", ".join(f"{row['host']} ({row['renews']})" for row in rows) or "none")
    if summary["silent"] is not None:
        silent = [f"{row['host']} (since {row['last'] or 'ever'})" for row in summary["silent"]]
        table.add_row("Silent", ", ".join(silent) or "none")
    soon = [f"{row['host']} ({row['ends']})" for row in summary["certificates"] if row["soon"]]
    table.add_row("Certificates", f"end soon: {', '.join(soon)}" if soon else "none ends soon")
    first = [row["host"] for row in summary["give_up_first"][:3]]
    table.add_row("Give up first", ", ".join(first) or "none")
    return table


COMMANDS = (add, report_)
