"""The days on which a lease is paid: they follow from one of them and the period. Pure."""

from __future__ import annotations

import calendar
import datetime as dt
import itertools
from collections.abc import Iterator, Mapping

MONTHS: Mapping[str, int] = {"month": 1, "quarter": 3, "half-year": 6, "year": 12, "2-years": 24, "3-years": 36}
"""How many months a period has."""


def payment(day: dt.date, period: str, number: int) -> dt.date:
    """The payment ``number`` periods after ``day``, or before it where that is negative.

    A month without that day is paid on its last one, and the next month on the day again: 31 January, 28 February,
    31 March.
    """
    months = day.year * 12 + day.month - 1 + number * MONTHS[period]
    year, month = months // 12, months % 12 + 1
    return dt.date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _periods(day: dt.date, period: str, today: dt.date) -> int:
    """The number of the first payment after today."""
    apart = (today.year - day.year) * 12 + today.month - day.month
    number = apart // MONTHS[period] - 1
    while payment(day, period, number) <= today:
        number += 1
    return number


def next_payment(day: dt.date, period: str, today: dt.date) -> dt.date:
    """The first of ``day`` and the payments after it that is not past; one of today is not past."""
    return max(day, payment(day, period, _periods(day, period, today - dt.timedelta(days=1))))


def payment_after(day: dt.date, period: str, today: dt.date) -> dt.date:
    """The first of ``day`` and the payments after it that is after today."""
    return max(day, payment(day, period, _periods(day, period, today)))


def last_payment(day: dt.date, period: str, today: dt.date) -> dt.date:
    """The latest payment that is not ahead, whether ``day`` itself is past or not."""
    return payment(day, period, _periods(day, period, today) - 1)


def payments(day: dt.date, period: str, first: dt.date, until: dt.date) -> Iterator[dt.date]:
    """The payments of ``first`` and after it that are before ``until``, none of them before ``day``."""
    for number in itertools.count(max(0, _periods(day, period, first - dt.timedelta(days=1)))):
        if (each := payment(day, period, number)) >= until:
            return
        yield each
