"""The fleet as data: read and checked by :mod:`strandline_fleet.inventory.load`; everything else is derived from it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any


class Severity(enum.Enum):
    """Whether a finding stops a verb or is only said."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake in an inventory: where it stands, what is wrong and what to write instead."""

    file: str
    line: int  # from 1; 0 when it concerns the whole file
    host: str  # "" when it concerns no single host
    field: str  # dotted, for example lease.price
    message: str  # what is wrong with which value
    remedy: str
    severity: Severity = dataclasses.field(default=Severity.ERROR, compare=False)

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        parts = [place, *([f"host {self.host}"] if self.host else []), *([self.field] if self.field else [])]
        return f"{': '.join(parts)}: {self.message}; {self.remedy}"


@dataclass(frozen=True)
class Place:
    """Where a host stands: city, ISO 3166-1 alpha-2 country, continent (AF, AN, AS, EU, NA, OC, SA)."""

    city: str
    country: str
    continent: str


@dataclass(frozen=True)
class EarlierPrice:
    """What a lease cost before: ``price`` of the same period, in the same currency, until the day ``until``."""

    until: dt.date
    price: Decimal


@dataclass(frozen=True)
class Lease:
    """What a host is leased for: ``price`` in ``currency`` (ISO 4217) for each ``period``."""

    plan: str
    price: Decimal
    currency: str
    period: str
    renews: dt.date  # the next payment: of a lease that renews by itself never a past one
    status: str  # active, cancelled (runs out at `renews`)
    since: dt.date | None = None
    earlier: tuple[EarlierPrice, ...] = ()  # the oldest first
    auto_renew: bool = True  # False: it ends unless the operator pays
    written: dt.date | None = None  # the day that the file has for `renews`
    ended: bool = False  # cancelled, and the day is past: it costs nothing any more
    cancel_days: int | None = None  # before `renews`; None: as the provider says

    def mapping(self) -> dict[str, Any]:
        """The lease as the filters take it."""
        return {
            "price": self.price,
            "currency": self.currency,
            "period": self.period,
            "renews": self.renews,
            "ended": self.ended,
        }


@dataclass(frozen=True)
class Host:
    """A leased host: its inventory name is also the name in its certificate."""

    name: str
    provider: str
    addresses: tuple[str, ...]
    place: Place
    lease: Lease
    file: Path


@dataclass(frozen=True)
class Provider:
    """Whom hosts are leased from, with the criteria by which providers are judged (payment, support, reputation …)."""

    group: str
    name: str
    file: Path
    details: Mapping[str, Any]
    hosts: tuple[Host, ...]


@dataclass(frozen=True)
class Fleet:
    """Everything that an inventory says of the leased hosts, with the mistakes found in it."""

    directory: Path
    providers: tuple[Provider, ...]
    settings: Mapping[str, Any]
    problems: tuple[Problem, ...]
    today: dt.date | None = None
    """The day (UTC) as of which it was read."""

    def hosts(self) -> Iterator[Host]:
        """Every leased host, provider by provider."""
        for provider in self.providers:
            yield from provider.hosts

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that stop a verb."""
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)
