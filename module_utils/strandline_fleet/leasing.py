"""What to lease next: what the network lacks, what each offer would add, and which of them a budget pays. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from strandline_fleet import text
from strandline_fleet.arithmetic import CENT, ROUTABLE_SLASH8, slash8s
from strandline_fleet.inventory.model import Fleet
from strandline_fleet.offers import Offer


@dataclass(frozen=True)
class Held:
    """What the network has: hosts by /8, countries, origin ASes."""

    slash8s: Mapping[int, frozenset[str]]
    countries: frozenset[str]
    asns: frozenset[int]

    @property
    def uncovered(self) -> list[int]:
        """Routable /8s without a sensor address."""
        return [octet for octet in ROUTABLE_SLASH8 if octet not in self.slash8s]

    @property
    def single(self) -> dict[int, str]:
        """The /8s that hang on one host, with that host."""
        return {octet: next(iter(hosts)) for octet, hosts in sorted(self.slash8s.items()) if len(hosts) == 1}

    def having(self, name: str, offer: Offer) -> Held:
        """With a host of an offer in it."""
        more = {octet: self.slash8s.get(octet, frozenset()) | {name} for octet in offer.slash8s}
        return Held({**self.slash8s, **more}, self.countries | {offer.country}, self.asns | offer.asns)


@dataclass(frozen=True)
class Gain:
    """What a host adds to what is there."""

    slash8s: tuple[int, ...] = ()
    """Covered by nobody before."""
    seconded: tuple[int, ...] = ()
    """Hung on one host before."""
    asns: tuple[int, ...] = ()
    countries: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.slash8s or self.seconded or self.asns or self.countries)

    def __str__(self) -> str:
        parts = [
            *(f"{octet}/8" for octet in self.slash8s),
            *(f"AS{asn}" for asn in self.asns),
            *self.countries,
            *([f"a second host in {', '.join(f'{octet}/8' for octet in self.seconded)}"] if self.seconded else []),
        ]
        return ", ".join(parts) or "nothing new"


@dataclass(frozen=True)
class Choice:
    """An offer that is taken, what it adds to those before it, and what is spent with it."""

    offer: Offer
    gain: Gain
    spent: Decimal

    @property
    def per_slash8(self) -> Decimal | None:
        """What each newly covered /8 costs in a year."""
        return (self.offer.cost / len(self.gain.slash8s)).quantize(CENT) if self.gain.slash8s else None


def held(fleet: Fleet, asns: Mapping[str, int | None], without: str = "") -> Held:
    """What a fleet has, apart from leases that have ended and the host ``without``.

    ``asns`` is the origin AS of each address.
    """
    by_octet: dict[int, set[str]] = defaultdict(set)
    hosts = [host for host in fleet.hosts() if host.name != without and not host.lease.ended]
    for host in hosts:
        for octet in slash8s(host.addresses):
            by_octet[octet].add(host.name)
    return Held(
        {octet: frozenset(names) for octet, names in by_octet.items()},
        frozenset(host.place.country for host in hosts),
        frozenset(asn for host in hosts for address in host.addresses if (asn := asns.get(address)) is not None),
    )


def gain(has: Held, octets: Iterable[int], countries: Iterable[str], asns: Iterable[int]) -> Gain:
    """What a host with addresses in these /8s, in this country and these ASes, adds."""
    octets = sorted(set(octets))
    return Gain(
        tuple(octet for octet in octets if octet not in has.slash8s),
        tuple(octet for octet in octets if len(has.slash8s.get(octet, ())) == 1),
        tuple(sorted(set(asns) - has.asns)),
        tuple(sorted(set(countries) - has.countries)),
    )


def gain_of(has: Held, offer: Offer) -> Gain:
    """What a host of an offer adds."""
    return gain(has, offer.slash8s, [offer.country], offer.asns)


def _worth(found: Gain) -> tuple[int, int, int]:
    """What counts first: newly covered /8s; then origin ASes and countries; then second hosts."""
    return len(found.slash8s), len(found.asns) + len(found.countries), len(found.seconded)


def plan(has: Held, offers: Sequence[Offer], budget: Decimal) -> list[Choice]:
    """The offers to take, one after the other, each the best of what the rest of the budget pays.

    While an offer covers a new /8, the one with the lowest price for each new /8 is taken; then the one with the lowest
    price for each new AS or country; then for each /8 that gets a second host. An offer is taken once.
    """
    left, spent = list(offers), Decimal(0)
    chosen: list[Choice] = []
    while True:
        open_ones = [(offer, gain_of(has, offer)) for offer in left if spent + offer.cost <= budget]
        best = None
        for rank in range(3):
            useful = [(offer, found) for offer, found in open_ones if _worth(found)[rank]]
            if useful:
                best = min(useful, key=lambda pair: _order(pair[0], pair[1], rank))
                break
        if best is None:
            return chosen
        offer, found = best
        spent += offer.cost
        chosen.append(Choice(offer, found, spent))
        left.remove(offer)
        has = has.having(f"{offer.provider} {len(chosen)}", offer)


def _order(offer: Offer, found: Gain, rank: int) -> tuple[Decimal, tuple[int, ...], str, str]:
    worth = _worth(found)
    return offer.cost / worth[rank], tuple(-number for number in worth), offer.provider, offer.plan


def octets(numbers: Iterable[int]) -> str:
    """Numbers as ranges: 1-4, 7, 9-10."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def shown(has: Held, offers: Sequence[Offer], chosen: Sequence[Choice], budget: Decimal, currency: str) -> str:
    """The plan for the terminal."""
    single: dict[str, list[int]] = defaultdict(list)
    for octet, host in has.single.items():
        single[host].append(octet)
    lacks = [
        ("Uncovered /8s", f"{len(has.uncovered)} of {len(ROUTABLE_SLASH8)}: {octets(has.uncovered)}"),
        (
            "/8s with only one host",
            "; ".join(f"{host}: {octets(found)}" for host, found in sorted(single.items())) or "none",
        ),
        ("Countries", f"{len(has.countries)}: {', '.join(sorted(has.countries))}"),
        ("Origin ASNs", str(len(has.asns)) if has.asns else "not known"),
    ]
    more = frozenset(offer.country for offer in offers) - has.countries
    if more:
        lacks.append(("Offered in new countries", f"countries {', '.join(sorted(more))}"))
    parts = [text.table(lacks)]
    if chosen:
        rows = [
            (
                one.offer.provider, one.offer.plan, one.offer.country, one.offer.cost,
                "-" if one.per_slash8 is None else str(one.per_slash8), str(one.gain),
            )
            for one in chosen
        ]  # fmt: skip
        parts.append(text.table(rows, ("provider", "plan", "in", f"{currency} a year", "for a /8", "gains")))
        after = len({octet for one in chosen for octet in one.gain.slash8s})
        parts.append(f"{chosen[-1].spent} of {budget} {currency} a year: {after} more /8s.")
    else:
        parts.append(f"No offer within {budget} {currency} a year adds anything.")
    return "\n\n".join(parts)
