"""Tables of plain text: aligned, at most 80 columns, harmless."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from strandline_fleet import text


def test_columns_line_up_and_numbers_stand_on_the_right() -> None:
    assert text.table([("ams1", 9, "well"), ("frankfurt2", 1200, "")], ("host", "events", "says")).splitlines() == [
        "host        events  says",
        "ams1             9  well",
        "frankfurt2    1200",
    ]


def test_a_long_last_cell_goes_on_below_itself() -> None:
    lines = text.table([("ams1", "word " * 40)], ("host", "says")).splitlines()
    assert max(map(len, lines)) <= 80
    assert {line[:6] for line in lines[2:]} == {" " * 6}
    assert " ".join(lines).count("word") == 40


@given(st.lists(st.lists(st.text() | st.integers() | st.none(), min_size=1, max_size=4), max_size=4))
def test_whatever_a_cell_holds_moves_no_cursor(rows: list[list[object]]) -> None:
    made = text.table(rows, ("one", "two"))
    assert all(letter.isprintable() or letter == "\n" for letter in made)
    assert len(made.split("\n")) >= 1 + len(rows)
