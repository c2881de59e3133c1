"""The window is exactly seven days from full hour to full hour, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from strandline.publisher import window


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("now", "through_now", "right"),
    [
        ("2026-11-25T02:59:59.999999Z", False, "2026-11-18 02:00 - 2026-11-25 02:00"),
        ("2026-11-25T03:00:00Z", False, "2026-11-18 03:00 - 2026-11-25 03:00"),
        ("2026-11-25T03:03:07Z", False, "2026-11-18 03:00 - 2026-11-25 03:00"),
        ("2026-11-25T03:03:07Z", True, "2026-11-18 04:00 - 2026-11-25 04:00"),
        ("2026-12-31T23:30:00Z", True, "2026-12-25 00:00 - 2027-01-01 00:00"),
        ("2026-11-25T00:10:00+01:30", False, "2026-11-17 22:00 - 2026-11-24 22:00"),
    ],
)
def test_windows(now: str, through_now: bool, right: str) -> None:
    span = window.ending_now(at(now), through_now=through_now)
    assert span.text == right
    assert span.end - span.start == timedelta(days=7)


def test_a_given_end() -> None:
    assert window.parse_end("2026-11-25T03:00Z").end == datetime(2026, 11, 25, 3, tzinfo=UTC)
    assert window.parse_end("2026-11-25T03:00+01:00").end == datetime(2026, 11, 25, 2, tzinfo=UTC)
    assert window.ending_at(datetime(2026, 11, 25, 3, tzinfo=timezone(timedelta(hours=2)))).end.hour == 1


@pytest.mark.parametrize("text", ["2026-11-25T03:30Z", "2026-11-25T03:00", "2026-11-25T03:00+05:30", "tomorrow", ""])
def test_a_wrong_end(text: str) -> None:
    with pytest.raises(ValueError, match="2026-11-25T03:00Z"):
        window.parse_end(text)
