"""Action: which leases to take and to give up. Documented in library/strandline_plan_lease.py."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import alone, leasing, offers, origins
from strandline_fleet.errors import Refusal
from strandline_fleet.fleet_action import FleetAction
from strandline_fleet.inventory.model import Fleet

SHOWN = 10


class ActionModule(FleetAction):
    """Runs on the controller, contacts no host and changes nothing."""

    OPTIONS: ClassVar = {
        "budget": {"type": "str", "required": True},
        "offers": {"type": "path"},
        "asn_table": {"type": "path"},
        "seen": {"type": "raw"},
        "database": {"type": "str", "default": "collectors[0]"},
    }

    def result(self, fleet: Fleet, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Plan; see the documentation in library/strandline_plan_lease.py."""
        return planned(fleet, arguments)


def amount(text: str) -> Decimal:
    """Return a budget as a number. Raises Refusal if the text is not an amount of money."""
    try:
        budget = Decimal(text)
        if 0 <= budget <= 10**9:
            return budget
    except InvalidOperation:  # also of NaN, by comparing it
        pass
    raise Refusal(f"budget (--budget): {text!r} is no amount. Write what may be spent in a year, for example 200.")


def planned(fleet: Fleet, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The plan, for people and as data."""
    budget = amount(str(arguments["budget"]))
    named = arguments["asn_table"]
    table, missing = origins.table_of(fleet, Path(named) if named else None)
    asns = origins.of_addresses([address for host in fleet.hosts() for address in host.addresses], table)
    has = leasing.held(fleet, asns)
    known = offers.known(fleet, asns)
    if arguments["offers"]:
        known = offers.read(Path(arguments["offers"]), fleet) + known
    known = offers.cheapest_first(known)
    chosen = leasing.plan(has, known, budget)
    currency, rates = offers.money(fleet)
    parts = [leasing.shown(has, known, chosen, budget, currency)]
    if missing:
        parts.append(f"Origin ASNs are not counted: {missing}.")
    hosts = [host for host in fleet.hosts() if not host.lease.ended]
    days = alone.read(str(arguments["seen"]), arguments["database"]) if arguments["seen"] is not None else {}
    new = alone.too_new(days, [host.name for host in hosts])
    judged = [host for host in hosts if host.name not in new]
    sets = alone.summed(days, [host.name for host in hosts])
    money = alone.money_of(judged, rates, currency, dt.datetime.now(dt.UTC).date())
    order = alone.order(judged, sets, money)
    parts.append(alone.shown(order[:SHOWN], alone.shares(sets), currency))
    tested = alone.backtest(judged, days, money)
    if tested:
        parts.append(alone.said(tested))
    elif arguments["seen"] is None:
        parts.append("By the /8s alone. By what each host sees: --seen asks the database.")
    else:
        parts.append(f"No backtest: it needs {alone.LEAST_DAYS} days, and the database counted {len(days)} in time.")
    if new:
        parts.append(f"Too new to be judged: {', '.join(new)}.")
    return {
        "text": "\n\n".join(parts),
        "lease": [
            {
                "provider": one.offer.provider,
                "plan": one.offer.plan,
                "country": one.offer.country,
                "cost": float(one.offer.cost),
                "slash8s": list(one.gain.slash8s),
                "gains": str(one.gain),
            }
            for one in chosen
        ],
        "give_up": [
            {
                "host": one.host,
                "renews": str(one.renews),
                "saved": float(one.saved),
                "lost": one.lost,
                "lost_so_far": one.lost_so_far,
                "slash8s": list(one.slash8s),
            }
            for one in order
        ],
    }
