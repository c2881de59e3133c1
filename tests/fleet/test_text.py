"""Tables of plain text: aligned, at most 80 columns, harmless."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st
from strandline_fleet import text

from filter_plugins.text_table import text_table


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


def test_the_filter_takes_lists_and_dictionaries() -> None:
    assert text_table([["a", 1]], ["host", "n"]) == text_table([{"host": "a", "n": 1}]) == "host  n\na     1"
    assert text_table([]) == ""
    with pytest.raises(AnsibleFilterError, match="'text' is no row"):
        text_table(["text"])
