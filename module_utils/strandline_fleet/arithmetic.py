"""The fleet's arithmetic: coverage of the address space, cost a year, renewals. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import netaddr

from strandline_fleet.errors import Refusal
from strandline_fleet.payments import MONTHS

# Special-purpose /8s that no sensor can have an address in: "this network" (RFC 791), private use (RFC 1918), loopback
# (RFC 1122); 224 and up are multicast (RFC 5771) and reserved (RFC 1112).
UNROUTABLE_SLASH8 = frozenset({0, 10, 127})
ROUTABLE_SLASH8 = tuple(n for n in range(224) if n not in UNROUTABLE_SLASH8)

# How often a period's price is paid in a year.
PERIODS_PER_YEAR: Mapping[str, Decimal] = {period: Decimal(12) / months for period, months in MONTHS.items()}
CENT = Decimal("0.01")


def slash8s(addresses: Iterable[str]) -> list[int]:
    """The routable IPv4 /8s (by their first octet) that the addresses lie in, in order; IPv6 addresses are left out.

    Raises Refusal for what is no address.
    """
    found = set()
    for text in addresses:
        try:
            address = netaddr.IPAddress(text)
        except (netaddr.AddrFormatError, ValueError) as error:
            raise Refusal(f"{text!r} is no IP address; write for example 192.0.2.10") from error
        if address.version == 4:
            found.add(int(address) >> 24)
    return sorted(found.intersection(ROUTABLE_SLASH8))


def coverage(addresses: Iterable[str]) -> dict[str, Any]:
    """The share of routable IPv4 /8s with a sensor address.

    ``covered`` and ``routable`` are counts, ``share`` is between 0 and 1, ``slash8s`` lists the first octets.
    """
    covered = slash8s(addresses)
    return {
        "covered": len(covered),
        "routable": len(ROUTABLE_SLASH8),
        "share": round(len(covered) / len(ROUTABLE_SLASH8), 4),
        "slash8s": covered,
    }


def yearly_cost(lease: Mapping[str, Any], rates: Mapping[str, Any], currency: str) -> Decimal:
    """What a lease costs in a year, in ``currency``, rounded to cents; one that has ``ended`` costs nothing.

    ``rates`` gives the worth of one unit of each other currency in ``currency``. Raises Refusal for an
    unknown period or a currency without a rate.
    """
    periods = PERIODS_PER_YEAR.get(str(lease["period"]))
    if periods is None:
        raise Refusal(f"lease.period {lease['period']!r} is unknown; one of {', '.join(PERIODS_PER_YEAR)}")
    own = str(lease["currency"])
    if own != currency and own not in rates:
        raise Refusal(f"no rate for {own}; add it to fleet_rates: the worth of one {own} in {currency}")
    if lease.get("ended"):
        return Decimal("0.00")
    rate = Decimal(1) if own == currency else Decimal(str(rates[own]))
    return (Decimal(str(lease["price"])) * periods * rate).quantize(CENT, ROUND_HALF_UP)


def renewals(leases: Mapping[str, Mapping[str, Any]], today: dt.date, days: int = 30) -> dict[str, list[str]]:
    """Names of the hosts whose lease is ``due`` within ``days`` (today included) or has ``lapsed`` before, by date.

    Those that were cancelled and have ``ended`` are told apart: nothing is to be paid for them.
    """
    dated = sorted((lease["renews"], name) for name, lease in leases.items() if not lease.get("ended"))
    return {
        "lapsed": [name for renews, name in dated if renews < today],
        "due": [name for renews, name in dated if today <= renews <= today + dt.timedelta(days=days)],
        "ended": [name for _, name in sorted((it["renews"], name) for name, it in leases.items() if it.get("ended"))],
    }
