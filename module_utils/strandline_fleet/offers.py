"""What could be leased: the plans of providers that are known, and a CSV file of offers."""

from __future__ import annotations

import csv
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from strandline_fleet.arithmetic import PERIODS_PER_YEAR, ROUTABLE_SLASH8, slash8s, yearly_cost
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.countries import CONTINENT_OF
from strandline_fleet.inventory.model import Fleet

COLUMNS = ("provider", "plan", "price", "currency", "period", "country")
OPTIONAL = ("ranges", "asn", "note")
ASN = re.compile(r"(?:AS)?[0-9]{1,10}", re.IGNORECASE)
LARGEST = 10_000
"""Lines of a file of offers."""


@dataclass(frozen=True)
class Offer:
    """A host that could be leased, with what is known of the addresses that it would have."""

    provider: str
    plan: str
    country: str
    cost: Decimal
    """In a year, in the fleet's currency."""
    slash8s: frozenset[int]
    asns: frozenset[int] = frozenset()
    note: str = ""


def known(fleet: Fleet, asns: Mapping[str, int | None]) -> list[Offer]:
    """The plans that the present providers sell: the same host again, in the ranges that it has there.

    ``asns`` is the origin AS of each address, as far as it is known.
    """
    currency, rates = money(fleet)
    found: dict[tuple[str, str, str], Offer] = {}
    for provider in fleet.providers:
        for host in provider.hosts:
            key = (provider.name, host.lease.plan, host.place.country)
            cost = yearly_cost(host.lease.mapping(), rates, currency)
            before = found.get(key)
            own = frozenset(asn for address in host.addresses if (asn := asns.get(address)) is not None)
            found[key] = Offer(
                provider.name,
                host.lease.plan,
                host.place.country,
                max(cost, before.cost) if before else cost,
                frozenset(slash8s(host.addresses)) | (before.slash8s if before else frozenset()),
                own | (before.asns if before else frozenset()),
                "leased from already",
            )
    return list(found.values())


def money(fleet: Fleet) -> tuple[str, Mapping[str, Any]]:
    """The fleet's currency and its rates."""
    return str(fleet.settings.get("fleet_currency") or "USD"), fleet.settings.get("fleet_rates") or {}


def read(path: Path, fleet: Fleet) -> list[Offer]:
    """The offers of a CSV file. Raises Refusal with every mistake in it: file, line, field and remedy."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Refusal(f"--offers {path}: {error.strerror}. Name a CSV file: docs/plan_lease.md.") from error
    except UnicodeDecodeError as error:
        raise Refusal(f"--offers {path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    reader = csv.DictReader(text.splitlines(), restkey="", restval="")
    try:
        return _offers(reader, path, fleet)
    except csv.Error as error:
        line = reader.line_num + 1  # those before it were read
        raise Refusal(f"{path}:{line}: this is no CSV ({error}). Correct the line; is a quote missing?") from error


def _offers(reader: csv.DictReader[str], path: Path, fleet: Fleet) -> list[Offer]:
    names = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = names
    known_names = (*COLUMNS, *OPTIONAL)
    lacking = [name for name in COLUMNS if name not in names]
    unknown = [name for name in names if name not in known_names]
    problems = [f"{path}:1: {name}: the column is missing; add it to the heading" for name in lacking]
    problems += [f"{path}:1: {name!r} is no known column; known are {', '.join(known_names)}" for name in unknown]
    if problems:
        raise Refusal("\n".join(problems))
    offers = []
    for row in reader:
        line = reader.line_num
        if line > LARGEST:
            raise Refusal(f"{path} has more than {LARGEST} lines. Leave out what is too dear.")
        if "" in row:
            problems.append(f"{path}:{line}: there are more values than columns; put what has a comma in it in quotes")
            continue
        values = {name: (value or "").strip() for name, value in row.items()}
        if not any(values.values()):
            continue
        wrong = [f"{path}:{line}: {said}" for said in _mistakes(values, fleet)]
        problems += wrong
        if not wrong:
            offers.append(_offer(values, fleet))
    if problems:
        raise Refusal("\n".join(problems[:20] + ([f"… and {len(problems) - 20} more"] if len(problems) > 20 else [])))
    return offers


def _mistakes(values: Mapping[str, str], fleet: Fleet) -> Iterator[str]:
    """What is wrong in a line: field, value and remedy."""
    for name in COLUMNS:
        if not values[name]:
            yield f"{name}: is empty; write what the offer says"
    currency, rates = money(fleet)
    price, own, country = values["price"], values["currency"], values["country"]
    if price:
        try:
            good = 0 <= Decimal(price) <= 1_000_000
        except InvalidOperation:
            good = False
        if not good:
            yield f"price: {price!r} is no amount; write the price of one period, for example 24.00"
    if own and own != currency and own not in rates:
        yield f"currency: there is no rate for {own!r}; add it to fleet_rates in group_vars/all.yml"
    if values["period"] and values["period"] not in PERIODS_PER_YEAR:
        yield f"period: {values['period']!r} is unknown; write one of {', '.join(PERIODS_PER_YEAR)}"
    if country and country not in CONTINENT_OF:
        yield f"country: {country!r} is no country; write its ISO 3166 code of two capital letters, for example NL"
    yield from _wrong_numbers(values)


def _wrong_numbers(values: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the ranges and AS numbers of a line."""
    for text in values.get("ranges", "").split():
        try:
            net = ipaddress.ip_network(text, strict=False)
        except ValueError:
            yield f"ranges: {text!r} is no range; write for example 41.0.0.0/16, with spaces between several"
            continue
        if net.version == 4 and net.prefixlen < 8:
            yield f"ranges: {text!r} is larger than a /8; write the ranges that the offer's addresses are from"
    for text in values.get("asn", "").split():
        if not ASN.fullmatch(text) or _asn(text) >= 1 << 32:
            shown = text if len(text) <= 20 else f"{text[:20]}…"
            yield f"asn: {shown!r} is no AS number; write for example 64500, with spaces between several"


def _asn(text: str) -> int:
    """The number that ASN matches."""
    return int(text.upper().removeprefix("AS"))


def _offer(values: Mapping[str, str], fleet: Fleet) -> Offer:
    currency, rates = money(fleet)
    nets = [ipaddress.ip_network(text, strict=False) for text in values.get("ranges", "").split()]
    octets = {int(net.network_address) >> 24 for net in nets if net.version == 4}
    return Offer(
        values["provider"],
        values["plan"],
        values["country"],
        yearly_cost(values, rates, currency),
        frozenset(octets.intersection(ROUTABLE_SLASH8)),
        frozenset(_asn(text) for text in values.get("asn", "").split()),
        values.get("note", ""),
    )


def cheapest_first(offers: Iterable[Offer]) -> list[Offer]:
    """The offers by their cost."""
    return sorted(offers, key=lambda offer: (offer.cost, offer.provider, offer.plan, offer.country))
