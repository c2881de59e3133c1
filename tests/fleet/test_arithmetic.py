"""Coverage, cost and renewals."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from strandline_fleet.arithmetic import ROUTABLE_SLASH8, coverage, renewals, slash8s, yearly_cost
from strandline_fleet.errors import Refusal


def test_routable_slash8s() -> None:
    assert len(ROUTABLE_SLASH8) == 221
    assert {0, 10, 127, 224, 255}.isdisjoint(ROUTABLE_SLASH8)


def test_slash8s_are_counted_once_and_unroutable_ones_not_at_all() -> None:
    assert slash8s(["1.2.3.4", "1.200.0.1", "10.0.0.1", "223.255.0.1", "127.0.0.1", "224.0.0.1", "2001:db8::1"]) == [
        1,
        223,
    ]


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(Refusal, match=r"'1\.2\.3\.4\.5' is no IP address"):
        slash8s(["1.2.3.4.5"])


def test_coverage() -> None:
    assert coverage(["1.0.0.1", "2.0.0.1"]) == {"covered": 2, "routable": 221, "share": 0.009, "slash8s": [1, 2]}


@pytest.mark.parametrize(
    ("price", "currency", "period", "cost"),
    [
        (24, "USD", "year", "24.00"),
        ("2.50", "USD", "month", "30.00"),
        (10, "EUR", "quarter", "43.20"),
        (36, "USD", "2-years", "18.00"),
        (10, "USD", "3-years", "3.33"),
        (0.1, "USD", "month", "1.20"),
    ],
)
def test_yearly_cost(price: object, currency: str, period: str, cost: str) -> None:
    assert yearly_cost({"price": price, "currency": currency, "period": period}, {"EUR": 1.08}, "USD") == Decimal(cost)


def test_unknown_period_and_currency_are_refused() -> None:
    with pytest.raises(Refusal, match="'fortnight' is unknown"):
        yearly_cost({"price": 1, "currency": "USD", "period": "fortnight"}, {}, "USD")
    with pytest.raises(Refusal, match="no rate for EUR"):
        yearly_cost({"price": 1, "currency": "EUR", "period": "year"}, {}, "USD")


def test_renewals_today_and_at_the_end_of_the_window() -> None:
    today = dt.date(2026, 11, 25)
    days = {"past": -1, "today": 0, "last": 30, "later": 31}
    leases: dict[str, dict[str, object]] = {
        name: {"renews": today + dt.timedelta(days=offset)} for name, offset in days.items()
    }
    leases["over"] = {"renews": today - dt.timedelta(days=3), "ended": True}
    assert renewals(leases, today) == {"lapsed": ["past"], "due": ["today", "last"], "ended": ["over"]}


def test_a_lease_that_has_ended_costs_nothing() -> None:
    assert yearly_cost({"price": 5, "currency": "USD", "period": "month", "ended": True}, {}, "USD") == 0
