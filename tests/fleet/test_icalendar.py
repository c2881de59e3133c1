"""The calendar's file, read back by the grammar of RFC 5545 rather than by what wrote it."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from strandline_fleet.icalendar import Event, calendar

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
DAY = dt.date(2027, 3, 1)
CONTENT_LINE = re.compile(r"([A-Z-]+)((?:;[A-Z-]+=[^;:\",]+)*):([^\x00-\x08\x0a-\x1f\x7f]*)")
"""Section 3.1, as far as parameters without quotes go."""
TEXT = re.compile(r"(?:\\[\\;,nN]|[^\\;,\x00-\x08\x0a-\x1f\x7f])*")
"""Section 3.3.11."""


def unfolded(octets: bytes) -> list[str]:
    """The content lines of a file, each of whose physical lines must be of at most 75 octets and whole characters."""
    assert octets.endswith(b"\r\n")
    physical = octets[:-2].split(b"\r\n")
    for line in physical:
        assert len(line) <= 75
        assert b"\r" not in line
        assert b"\n" not in line
        line.decode()
    return re.sub(rb"\r\n[ \t]", b"", octets[:-2]).decode().split("\r\n")


def parsed(octets: bytes) -> list[dict[str, str]]:
    """The events with the values of their properties; components must be nested as they should."""
    stack: list[str] = []
    events: list[dict[str, str]] = []
    for line in unfolded(octets):
        match = CONTENT_LINE.fullmatch(line)
        assert match, line
        name, parameters, value = match.groups()
        if name == "BEGIN":
            stack.append(value)
            if value == "VEVENT":
                events.append({})
        elif name == "END":
            assert stack.pop() == value
        elif stack == ["VCALENDAR", "VEVENT"]:
            assert name not in events[-1], f"{name} twice"
            if name in ("SUMMARY", "DESCRIPTION", "UID"):
                assert TEXT.fullmatch(value), value
                value = re.sub(r"\\(.)", lambda m: "\n" if m[1] in "nN" else m[1], value)
            events[-1][name + parameters] = value
    assert stack == []
    return events


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "semi;colon, comma\\ and backslash\\n",
        "two\nlines",
        "umlauts äöü " * 20,
        "x" * 500,
        "🌊" * 60,
        "ends with a blank " * 9,
    ],
)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    event = Event("uid-1@example.org", DAY, text, text, "https://panel.example.org/?a=1;b,c", remind_days=7)
    (found,) = parsed(calendar("Net; work", [event], NOW).encode())
    assert found["SUMMARY"] == found["DESCRIPTION"] == text
    assert found["UID"] == "uid-1@example.org"
    assert found["DTSTART;VALUE=DATE"] == "20270301"
    assert found["DTSTAMP"] == "20261125T120000Z"
    assert found["URL"] == "https://panel.example.org/?a=1;b,c"


@pytest.mark.parametrize("url", ["", "panel", "https://a b/", "javascript:alert(1)", "https://x/\r\nATTACH:y"])
def test_what_is_no_url_is_left_out_and_no_line_can_be_added(url: str) -> None:
    (found,) = parsed(calendar("n", [Event("u", DAY, "a\r\nATTACH:x", "b\x00\x1b[2J\x85c", url)], NOW).encode())
    assert "URL" not in found
    assert set(found) == {"UID", "DTSTAMP", "DTSTART;VALUE=DATE", "SUMMARY", "DESCRIPTION", "TRANSP"}
    assert found["DESCRIPTION"] == "b[2Jc"


def test_it_is_written_again_only_when_something_but_the_time_has_changed() -> None:
    events = [Event("u", DAY, "s", "d")]
    first = calendar("n", events, NOW)
    later = NOW + dt.timedelta(days=1)
    assert calendar("n", events, later, first) == first
    changed = calendar("n", [Event("u", DAY, "s", "other")], later, first)
    assert "DTSTAMP:20261126T120000Z" in changed
    assert parsed(changed.encode())[0]["DESCRIPTION"] == "other"


def test_a_calendar_without_events_has_what_it_needs() -> None:
    lines = unfolded(calendar("n", [], NOW).encode())
    assert lines[0] == "BEGIN:VCALENDAR"
    assert "VERSION:2.0" in lines
    assert any(line.startswith("PRODID:") for line in lines)
    assert lines[-1] == "END:VCALENDAR"
