"""For everything that the scanner did there is exactly one right row in the database."""

from __future__ import annotations

from typing import Any

import pytest
from machines import Inventory, Machine
from strandline_scanner import compare


def test_every_action_is_one_right_row(
    record: list[dict[str, Any]], rows: list[dict[str, Any]], collector: Machine
) -> None:
    """The scanner's own record and the database agree: none missing, wrong, double or out of nowhere."""
    report = compare.compare(record, rows)
    print("\n" + report.text().splitlines()[0])
    if not report.ok:
        pytest.fail(report.text(), pytrace=False)


def test_nothing_was_rejected(record: list[dict[str, Any]], collector: Machine) -> None:
    """Whatever the scanner sent, its line could be read."""
    start, _ = compare.window(record)
    line = "json_build_object('sensor', sensor, 'reason', reason, 'raw', encode(raw, 'escape'))"
    rejected = collector.sql(f"SELECT {line} FROM strandline.reject WHERE rejected_at >= '{start}'")  # noqa: S608
    assert not rejected


def test_the_script_covers_the_catalogue(
    expected: list[dict[str, Any]], catalogue: dict[str, Any], inventory: Inventory, scanner: Machine
) -> None:
    """The comparison is not empty: each event, each address of a sensor, and each source was there."""
    events, listeners = catalogue["events"], catalogue["listeners"]
    strangers = {name for name, event in events.items() if listeners[event["listener"]]["ports"]}
    assert {row["event"] for row in expected} == strangers
    assert {row["daddr"] for row in expected} == {
        a for sensor in inventory.members("sensors") for a in sensor.addresses
    }
    assert {row["saddr"] for row in expected} == set(scanner.addresses)


def test_the_script_feeds_every_feed(
    expected: list[dict[str, Any]], feeds: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    """Each feed has something to say about the scanner."""

    def matches(row: dict[str, Any], feed: dict[str, Any]) -> bool:
        def fold(text: Any) -> str:
            return str(text).lower() if feed.get("where_fold") else str(text)

        wanted = {name: value if isinstance(value, list) else [value] for name, value in feed.get("where", {}).items()}
        return row["event"] == feed["event"] and all(
            fold(row["data"].get(name, row.get(name))) in map(fold, values) for name, values in wanted.items()
        )

    assert [name for name, feed in feeds.items() if not any(matches(row, feed) for row in expected)] == []
    assert [name for name, feed in feeds.items() if not any(matches(row, feed) for row in rows)] == []


def test_time_stamps_keep_their_microseconds(rows: list[dict[str, Any]]) -> None:
    """None of the programs on the way cuts the time to milliseconds or seconds."""
    assert sum(not row["ts"].endswith("000Z") for row in rows) > 0.9 * len(rows)


def test_no_row_has_a_forged_source(rows: list[dict[str, Any]], scanner: Machine) -> None:
    """The addresses that stand in user names, passwords and headers of the script are in no trusted field."""
    assert {row["saddr"] for row in rows} <= set(scanner.addresses)
