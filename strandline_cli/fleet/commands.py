"""The verb that works on the inventory itself: add."""

from __future__ import annotations

import datetime as dt

import click
from strandline_fleet.arithmetic import PERIODS_PER_YEAR
from strandline_fleet.inventory import edit
from strandline_fleet.inventory.countries import CONTINENT_OF
from strandline_fleet.inventory.read import fleet_of

from strandline_cli.errors import Refusal


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


COMMANDS = (add,)
