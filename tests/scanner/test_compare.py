"""Each way in which the database can disagree with the record is found, and named as what it is."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from strandline_scanner.compare import compare, window

Row = dict[str, Any]
SCANNER = Path(__file__).resolve().parents[2] / "files" / "demo" / "scanner"


def expected(password: str, sport: int = 40000, second: int = 10) -> Row:
    """An expected row of the record."""
    return {
        "event": "ssh.password",
        "saddr": "198.19.100.1",
        "sport": sport,
        "daddr": "198.19.1.11",
        "dport": 22,
        "proto": "tcp",
        "sensor": "net-sensor1",
        "not_before": f"2026-11-25T02:00:{second:02}.000000Z",
        "not_after": f"2026-11-25T02:00:{second + 1:02}.500000Z",
        "verified": True,
        "data": {"method": "password", "user": "root", "password": password},
    }


def stored(row: Row, **change: Any) -> Row:
    """The right row of the database for an expected one, and what a test changes in it."""
    right = copy.deepcopy({k: v for k, v in row.items() if k not in ("not_before", "not_after")})
    return {**right, "ts": row["not_before"].replace(".000000", ".123456"), **change}


def record(*rows: Row, ok: bool = True, dropped: int = 0, ended: bool = True) -> list[Row]:
    """A record with one action."""
    entries: list[Row] = [{"kind": "run", "start": "2026-11-25T02:00:00.000000Z"}]
    entries.append({
        "kind": "action", "action": "ssh-passwords", "round": 1, "saddr": "198.19.100.1", "daddr": "198.19.1.11",
        "ok": ok, "reason": "" if ok else "no packet left", "expected": list(rows),
    })  # fmt: skip
    if ended:
        entries.append({"kind": "end", "end": "2026-11-25T02:01:00.000000Z", "dropped": dropped})
    return entries


A, B = expected("a"), expected("b")


def counts(report: Any) -> dict[str, int]:
    """How many lines of each kind a report has."""
    return {
        kind: len(getattr(report, kind))
        for kind in ("failed", "missing", "wrong", "double", "unexpected")
        if getattr(report, kind)
    }


def test_agreement() -> None:
    report = compare(record(A, B), [stored(B), stored(A)])
    assert report.ok
    assert report.matched == 2


def test_the_same_request_twice_needs_two_rows() -> None:
    assert compare(record(A, A), [stored(A), stored(A)]).ok
    assert counts(compare(record(A, A), [stored(A)])) == {"missing": 1}


def test_an_empty_record_proves_nothing() -> None:
    assert not compare(record(), []).ok


def test_missing_row() -> None:
    report = compare(record(A, B), [stored(A)])
    assert counts(report) == {"missing": 1}
    assert '"password": "b"' in report.missing[0]
    assert report.missing[0].startswith("ssh-passwords#1: ")


def test_double_row() -> None:
    report = compare(record(A, B), [stored(A), stored(B), stored(B)])
    assert counts(report) == {"double": 1}


def test_double_row_does_not_hide_a_missing_one() -> None:
    report = compare(record(A, B), [stored(A), stored(A)])
    assert counts(report) == {"missing": 1, "double": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"sensor": "net-sensor2"},
        {"verified": False},
        {"ts": "2026-11-25T02:00:07.999999Z"},
        {"ts": "2026-11-25T02:00:13.500001Z"},
        {"ts": "2026-11-25T03:00:10.000000Z"},
        {"data": {"method": "password", "user": "root", "password": "x"}},
        {"data": {"method": "password", "user": "root"}},
        {"data": {"method": "password", "user": "root", "password": "a", "password_length": 1}},
        {"data": None},
    ],
    ids=str,
)
def test_wrong_row(change: Row) -> None:
    report = compare(record(A), [stored(A, **change)])
    assert counts(report) == {"wrong": 1}
    assert next(iter(change)) in report.wrong[0] or "password" in report.wrong[0]


@pytest.mark.parametrize(
    "change",
    [{"saddr": "192.0.2.66"}, {"sport": 1}, {"daddr": "198.19.2.21"}, {"dport": 2222}, {"proto": "udp"}],
    ids=str,
)
def test_forged_row_beside_the_right_one(change: Row) -> None:
    report = compare(record(A), [stored(A), stored(A, **change)])
    assert counts(report) == {"unexpected": 1}
    assert str(next(iter(change.values()))) in report.unexpected[0]


def test_row_with_another_port_than_the_scanner_saw() -> None:
    report = compare(record(A), [stored(A, sport=40001)])
    assert counts(report) == {"missing": 1, "unexpected": 1}


def test_two_connections_from_the_same_port_are_told_apart_by_time() -> None:
    late = expected("a", second=40)
    assert compare(record(A, late), [stored(A), stored(late)]).ok
    assert counts(compare(record(A, late), [stored(A), stored(A)])) == {"double": 1, "missing": 1}


def test_a_record_that_is_no_evidence() -> None:
    assert counts(compare(record(A, ok=False), [stored(A)])) == {"failed": 1}
    assert counts(compare(record(A, dropped=3), [stored(A)])) == {"failed": 1}
    assert counts(compare(record(A, ended=False), [stored(A)])) == {"failed": 1}
    short = record(A)
    short[-1]["not_played"] = 7
    assert counts(compare(short, [stored(A)])) == {"failed": 1}


def test_text_names_both_sides_and_is_bounded() -> None:
    text = compare(record(A), [stored(A, sensor="net-sensor2")] + [stored(A, sport=n) for n in range(1, 100)]).text(
        limit=5
    )
    assert "sensor 'net-sensor2' instead of 'net-sensor1'" in text
    assert "unexpected: and 94 more" in text
    assert len(text.splitlines()) == 1 + 1 + 6


def test_window() -> None:
    assert window(record(A)) == ("2026-11-25T01:59:58+00:00", "2026-11-25T02:01:02+00:00")
    with pytest.raises(ValueError, match="no end"):
        window(record(A, ended=False))


def test_command(tmp_path: Path) -> None:
    (tmp_path / "record").write_text("".join(json.dumps(e) + "\n" for e in record(A)))
    argv = [
        sys.executable,
        str(SCANNER / "compare.py"),
        "--record",
        str(tmp_path / "record"),
        "--rows",
        str(tmp_path / "rows"),
    ]
    for rows, status in (([stored(A)], 0), ([stored(A), stored(A)], 1), ([], 1)):
        (tmp_path / "rows").write_text("".join(json.dumps(r) + "\n" for r in rows))
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        assert done.returncode == status, done.stdout
