"""What each lease sees alone, and which leases to give up first together. Pure.

The database counts, for each day, the sources that the same set of sensors saw. A source that only one of the hosts
saw is lost with that host's lease. Giving up is joint: what two hosts saw is lost with the second of them.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from strandline_fleet import text
from strandline_fleet.arithmetic import CENT, PERIODS_PER_YEAR, slash8s, yearly_cost
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.model import Host

Sets = Mapping[frozenset[str], int]
"""How many things exactly these hosts hold."""
YEAR = 365  # days
TEST_DAYS = 7
LEAST_DAYS = 14
"""A backtest needs a week to choose by and a week to look at."""
BACKTESTED = 5
"""Leases that a backtest gives up."""


@dataclass(frozen=True)
class GivenUp:
    """A lease to give up, after those before it."""

    host: str
    renews: dt.date
    saved: Decimal
    """As in Money."""
    lost: float
    """The share of all sources that are lost with it."""
    lost_so_far: float
    slash8s: tuple[int, ...]
    """That nobody covers any more."""


def read(answer: str, where: str) -> dict[dt.date, dict[frozenset[str], int]]:
    """What the database said: a JSON object a line, one for each day that could be counted in time.

    Raises Refusal when it is not what playbooks/tasks/seen_alone.yml asks for.
    """
    days: dict[dt.date, dict[frozenset[str], int]] = {}
    try:
        for line in filter(None, map(str.strip, answer.splitlines())):
            row = json.loads(line)
            sets: Counter[frozenset[str]] = Counter()
            for sensors, sources in row["sets"]:
                sets[frozenset(map(str, sensors))] += int(sources) * int(row["one_in"])
            if sets:
                days[dt.date.fromisoformat(row["day"])] = dict(sets)
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(
            f"The database on {where} answered something else than the sources of the sensors ({error!r}). Is it up to "
            "date?"
        ) from error
    return days


def summed(days: Mapping[dt.date, Sets], hosts: Iterable[str]) -> dict[frozenset[str], int]:
    """All days together, of these hosts alone: a source counts once for each day on which one of them saw it."""
    ours = frozenset(hosts)
    total: Counter[frozenset[str]] = Counter()
    for sets in days.values():
        for names, number in sets.items():
            if both := names & ours:
                total[both] += number
    return dict(total)


def shares(sets: Sets) -> dict[str, float]:
    """For each host the share of all sources that it alone saw."""
    everything = sum(sets.values())
    found: dict[str, float] = {}
    for names, number in sets.items():
        for name in names:
            found.setdefault(name, 0.0)
        if len(names) == 1:
            found[next(iter(names))] += number / everything
    return found


@dataclass(frozen=True)
class Money:
    """What a lease costs, and what its end saves."""

    cost: Decimal
    """In a year."""
    saved: Decimal
    """The payments that fall away in the year from today; what is paid already does not come back."""


def money_of(hosts: Iterable[Host], rates: Mapping[str, Any], currency: str, today: dt.date) -> dict[str, Money]:
    """The money of each lease that has a payment within the year from today; a cancelled one has none."""
    found = {}
    for host in hosts:
        lease = host.lease
        left = YEAR - (max(lease.renews, today) - today).days
        if lease.status != "cancelled" and left > 0:
            periods = PERIODS_PER_YEAR[lease.period]
            cost = yearly_cost(lease.mapping(), rates, currency)
            payments = math.ceil(left * periods / YEAR)  # a payment is for a whole period
            found[host.name] = Money(cost, (payments * cost / periods).quantize(CENT))
    return found


class Remaining:
    """Who still holds what, as leases are given up one after the other."""

    def __init__(self, sets: Sets) -> None:
        """Begin with all of them."""
        self.everything = sum(sets.values())
        self._sets = [(names, number) for names, number in sets.items() if names]
        self._left = [len(names) for names, _ in self._sets]
        self._of: dict[str, list[int]] = defaultdict(list)
        self.alone: Counter[str] = Counter()
        for place, (names, number) in enumerate(self._sets):
            for name in names:
                self._of[name].append(place)
            if len(names) == 1:
                self.alone[next(iter(names))] += number
        self.gone: set[str] = set()

    def give_up(self, host: str) -> int:
        """Take a host out; how much is lost."""
        lost = self.alone.pop(host, 0)
        self.gone.add(host)
        for place in self._of.get(host, ()):
            self._left[place] -= 1
            if self._left[place] == 1:
                names, number = self._sets[place]
                self.alone[next(name for name in names if name not in self.gone)] += number
        return lost

    def share(self, number: int) -> float:
        """A number as a share of everything."""
        return number / self.everything if self.everything else 0.0


def order(hosts: Sequence[Host], sets: Sets, money: Mapping[str, Money], most: int | None = None) -> list[GivenUp]:
    """The leases in the order in which to give them up: each time the one that loses least for what it costs.

    ``sets`` of sources; without any the /8s decide. A host that ``money`` does not have, or that is free, is kept.
    Prepaid time changes nothing in the order, since a host that is paid for goes on seeing; it says when, and what is
    saved.
    """
    by_octet: dict[int, set[str]] = defaultdict(set)
    for host in hosts:
        for octet in slash8s(host.addresses):
            by_octet[octet].add(host.name)
    octets = Remaining(Counter(frozenset(names) for names in by_octet.values()))
    sources = Remaining(sets)
    left = {host.name: host for host in hosts if host.name in money and money[host.name].cost > 0}
    found: list[GivenUp] = []
    total = 0.0
    while left and (most is None or len(found) < most):
        name = min(left, key=lambda each: _price(each, sources, octets, money[each].cost))
        lost = sources.share(sources.give_up(name))
        octets.give_up(name)
        total += lost
        gone = tuple(sorted(octet for octet, names in by_octet.items() if name in names and names <= octets.gone))
        found.append(GivenUp(name, left[name].lease.renews, money[name].saved, lost, total, gone))
        del left[name]
    return found


def _price(name: str, sources: Remaining, octets: Remaining, cost: Decimal) -> tuple[float, float, float, str]:
    """What is lost for each unit of money: sources first, /8s where they are equal; then the dearest."""
    costs = float(cost)
    return (
        sources.share(sources.alone[name]) / costs,
        octets.share(octets.alone[name]) / costs,
        -costs,
        name,
    )


@dataclass(frozen=True)
class Backtest:
    """How well the choice of earlier weeks would have done in the last one."""

    chosen_until: dt.date
    hosts: tuple[str, ...]
    foreseen: float
    lost: float
    dearest: tuple[str, ...]
    lost_by_dearest: float


def backtest(
    hosts: Sequence[Host], days: Mapping[dt.date, Sets], money: Mapping[str, Money], count: int = BACKTESTED
) -> Backtest | None:
    """Choose by all days but the last week, and see what that week would have lost; None with too few days."""
    if not days:
        return None
    last = max(days)
    split = last - dt.timedelta(days=TEST_DAYS)
    earlier = {day: sets for day, sets in days.items() if day <= split}
    later = {day: sets for day, sets in days.items() if day > split}
    if len(days) < LEAST_DAYS or not earlier:
        return None
    names = [host.name for host in hosts]
    chosen = order(hosts, summed(earlier, names), money, count)
    # As many of the dearest, to see that it is worth while to look at what they see.
    able = [name for name in names if name in money]
    dearest = sorted(able, key=lambda name: (-money[name].cost, name))[: len(chosen)]
    seen = summed(later, names)
    return Backtest(
        split,
        tuple(one.host for one in chosen),
        chosen[-1].lost_so_far if chosen else 0.0,
        _lost(seen, [one.host for one in chosen]),
        tuple(dearest),
        _lost(seen, dearest),
    )


def _lost(sets: Sets, hosts: Iterable[str]) -> float:
    remaining = Remaining(sets)
    return remaining.share(sum(remaining.give_up(host) for host in hosts))


def too_new(days: Mapping[dt.date, Sets], hosts: Iterable[str]) -> list[str]:
    """Hosts that saw nothing in the first half of the days: what they see can't be judged yet."""
    if not days:
        return []
    half = sorted(days)[: max(1, len(days) // 2)]
    seen = {name for day in half for names in days[day] for name in names}
    return sorted(set(hosts) - seen)


def shown(order_found: Sequence[GivenUp], alone: Mapping[str, float], currency: str) -> str:
    """Which leases to give up first, for the terminal."""
    rows = [
        (
            one.host, one.renews, one.saved,
            f"{alone[one.host]:.2%}" if one.host in alone else "-",
            f"{one.lost_so_far:.2%}" if alone else "-",
            ", ".join(f"{octet}/8" for octet in one.slash8s) or "no /8",
        )
        for one in order_found
    ]  # fmt: skip
    return text.table(rows, ("give up", "at", f"{currency} saved", "sees alone", "lost so far", "and loses"))


def said(tested: Backtest) -> str:
    """A backtest in a sentence or two."""
    return (
        f"Backtest: chosen by the days until {tested.chosen_until}, giving up {', '.join(tested.hosts)} would have lost"
        f" {tested.lost:.2%} of the last week's sources (foreseen: {tested.foreseen:.2%}). The {len(tested.dearest)}"
        f" dearest leases ({', '.join(tested.dearest)}): {tested.lost_by_dearest:.2%}."
    )
