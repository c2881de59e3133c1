"""The days on which a lease is paid."""

from __future__ import annotations

import datetime as dt

import pytest
from strandline_fleet.payments import MONTHS, last_payment, next_payment, payment, payment_after, payments

D = dt.date.fromisoformat


@pytest.mark.parametrize(
    ("day", "period", "today", "following"),
    [
        ("2026-01-15", "month", "2026-11-25", "2026-12-15"),
        ("2026-01-15", "month", "2026-11-15", "2026-11-15"),
        ("2026-01-31", "month", "2027-02-01", "2027-02-28"),
        ("2026-01-31", "month", "2027-03-01", "2027-03-31"),
        ("2024-02-29", "year", "2026-11-25", "2027-02-28"),
        ("2024-02-29", "year", "2027-03-01", "2028-02-29"),
        ("2020-05-05", "2-years", "2026-11-25", "2028-05-05"),
        ("2020-05-05", "3-years", "2026-11-25", "2029-05-05"),
        ("2026-11-30", "quarter", "2026-12-01", "2027-02-28"),
        ("2029-01-01", "month", "2026-11-25", "2029-01-01"),
    ],
)
def test_the_next_payment_follows_from_the_period(day: str, period: str, today: str, following: str) -> None:
    assert next_payment(D(day), period, D(today)) == D(following)


def test_a_payment_of_today_is_not_past_and_the_one_after_it_is_a_period_later() -> None:
    today = D("2026-11-25")
    assert next_payment(today, "month", today) == today
    assert payment_after(today, "month", today) == D("2026-12-25")
    assert last_payment(today, "month", today) == today


def test_the_last_payment_is_known_from_a_day_ahead_too() -> None:
    assert last_payment(D("2027-03-01"), "year", D("2026-11-25")) == D("2026-03-01")
    assert last_payment(D("2020-03-31"), "month", D("2026-11-25")) == D("2026-10-31")


def test_no_day_of_five_years_is_left_out_whatever_the_period() -> None:
    for period, months in MONTHS.items():
        day = D("2024-08-31")
        for today in (D("2024-08-31") + dt.timedelta(days=n) for n in range(0, 5 * 366, 7)):
            last, following = last_payment(day, period, today), payment_after(day, period, today)
            assert last <= today < following
            number = (following.year - 2024) * 12 + following.month - 8
            assert number % months == 0
            assert following == payment(day, period, number // months)


def test_the_payments_of_a_span_begin_at_the_first_and_end_before_the_last() -> None:
    assert list(payments(D("2026-01-31"), "month", D("2027-01-31"), D("2027-03-31"))) == [
        D("2027-01-31"),
        D("2027-02-28"),
    ]
    assert list(payments(D("2027-03-01"), "year", D("2026-11-25"), D("2027-11-25"))) == [D("2027-03-01")]
