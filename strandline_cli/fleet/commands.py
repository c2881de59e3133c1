"""The verbs that work on the inventory itself and contact no host: add, report."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from filter_plugins.fleet_arithmetic import PERIODS_PER_YEAR
from strandline_cli import paths
from strandline_cli.errors import Refusal
from strandline_cli.fleet import edit, report
from strandline_cli.fleet.countries import CONTINENT_OF
from strandline_cli.fleet.load import load
from strandline_cli.fleet.model import Fleet

SHOWN_PROBLEMS = 20


def fleet_of(inventory: str) -> Fleet:
    """Read and check an inventory. Raises Refusal with every mistake; warnings go to the terminal."""
    directory = Path(inventory)
    if not directory.is_dir():
        raise Refusal(f"There is no inventory {inventory}. Name a directory, or copy inventory/example to {inventory}.")
    fleet = load(directory)
    if fleet.errors:
        lines = [str(problem) for problem in fleet.errors]
        more = [f"… and {len(lines) - SHOWN_PROBLEMS} more"] if len(lines) > SHOWN_PROBLEMS else []
        raise Refusal("\n".join([f"{inventory} has mistakes:", *lines[:SHOWN_PROBLEMS], *more]))
    for problem in fleet.problems:
        click.echo(f"strandline: {problem}", err=True)
    return fleet


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
def report_(inventory: str, output: Path) -> None:
    """Show the fleet: coverage, cost, renewals, certificates, and which lease to give up first."""
    fleet = fleet_of(inventory)
    ends = report.certificate_ends(fleet.directory / "certificates")
    summary = report.summarise(fleet, dt.datetime.now(dt.UTC), ends)
    report.write(summary, output)
    currency = summary["cost"]["currency"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("Hosts", f"{summary['hosts']} with {summary['addresses']} addresses")
    covered = summary["coverage"]
    table.add_row("Coverage", f"{covered['covered']} of {covered['routable']} routable /8s, {covered['share']:.0%}")
    table.add_row(
        "Cost", f"{summary['cost']['year']:,.2f} {currency} a year, {summary['cost']['per_slash8']} for each /8"
    )
    for state, said in (("lapsed", "Lapsed"), ("due", f"Due in {report.RENEWAL_DAYS} days")):
        rows = summary["renewals"][state]
        table.add_row(said, ", ".join(f"{row['host']} ({row['renews']})" for row in rows) or "none")
    soon = [f"{row['host']} ({row['ends']})" for row in summary["certificates"] if row["soon"]]
    table.add_row("Certificates", f"end soon: {', '.join(soon)}" if soon else "none ends soon")
    first = [row["host"] for row in summary["give_up_first"][:3]]
    table.add_row("Give up first", ", ".join(first) or "none")
    Console(file=sys.stdout).print(table)
    click.echo(f"\nThe whole report: {paths.shown(output)}/index.html and report.json")


COMMANDS = (add, report_)
