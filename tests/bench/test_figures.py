"""The bench's arithmetic."""

from __future__ import annotations

import pytest

from strandline_cli.bench.figures import Round, result, round_of

SENT = {"began": 100.0, "ended": 101.0, "sent": 1000}
SEEN = {
    "rows": 1000,
    "distinct": 1000,
    "last": 102.0,
    "cpu": {"syslog-ng": 0.02, "postgres": 0.01, "loader": 0.0},
    "loader_peak_kib": 2048,
}


def a_round(side: str, seconds: float, rows: int = 1000, distinct: int = 1000) -> Round:
    return Round(side, 1000, rows, distinct, seconds, {"syslog-ng": seconds / 100}, 30 * 1024)


def test_a_round_goes_from_the_first_byte_to_the_last_commit() -> None:
    found = round_of("strandline", SENT, SEEN)
    assert found.rows_per_s == 500
    assert found.cpu_per_row() == {"syslog-ng": pytest.approx(20), "postgres": pytest.approx(10)}
    assert (found.missing, found.duplicate) == (0, 0)


def test_a_backlog_begins_with_the_loader() -> None:
    assert round_of("strandline", SENT, SEEN, began=101.5).rows_per_s == 2000


def test_rates_are_medians_and_losses_are_summed() -> None:
    found = result(
        [a_round("article", seconds) for seconds in (10, 5, 20)],
        [a_round("strandline", 1), a_round("strandline", 0.5, rows=998, distinct=998), a_round("strandline", 2)],
        a_round("strandline", 0.8, rows=1001),
        a_round("strandline", 0.4),
    )
    assert (found["sql_rows_per_s"], found["rows_per_s"], found["ratio"]) == (100, 1000, 10.0)
    assert (found["missing"], found["duplicate"], found["sql_missing"]) == (2, 1, 0)
    assert found["backlog_rows_per_s"] == 2500
    assert found["loader_peak_mib"] == 30
    assert len(found["rounds"]) == 8


def test_a_side_that_stored_nothing_has_no_ratio() -> None:
    nothing = a_round("article", 30, rows=0, distinct=0)
    found = result([nothing], [a_round("strandline", 1)], a_round("strandline", 1), a_round("strandline", 1))
    assert (found["ratio"], found["sql_missing"], found["sql_cpu_us_per_row"]) == (None, 1000, {})
