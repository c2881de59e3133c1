"""The grammar of a line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener_harness import VALUE, Record
from strandline.event.line import LINE_MAX, Event, Flow, datagram, quote, render, timestamp, token

FLOW = Flow("2001:db8::7", 51044, "2001:db8::9", 5900, "tcp")


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        (b"", '""'),
        (b"root", '"root"'),
        (b'x"y', r'"x\x22y"'),
        (b"a\\b", r'"a\x5cb"'),
        (b"\x00\x1f\x7f\x80\xff", r'"\x00\x1f\x7f\x80\xff"'),
        (b" ~", '" ~"'),
        (b"A" * 256, '"' + "A" * 256 + '"'),
        (b"A" * 1500, '"' + "A" * 256 + '"/1500'),
        (b"\xff" * 257, '"' + r"\xff" * 256 + '"/257'),
    ],
)
def test_a_value_is_escaped_and_cut_at_raw_bytes(value: bytes, quoted: str) -> None:
    assert quote(value) == quoted


def test_a_line_has_its_fields_in_order() -> None:
    line = render(Event("vnc.client", {}, {"version": b"RFB 003.008"}), FLOW)
    assert line == (
        'event=vnc.client saddr=2001:db8::7 sport=51044 daddr=2001:db8::9 dport=5900 proto=tcp version="RFB 003.008"'
    )


def test_what_is_no_token_cannot_break_a_line() -> None:
    assert token("203.0.113.9") == "203.0.113.9"
    assert 'x="' not in render(Event("vnc.client", {"t": 'y x="1"'}, {}), FLOW)


def test_many_hostile_values_still_fit_a_line() -> None:
    values = {f"v{n}": b"\x00" * 60000 for n in range(13)}
    values["short"] = b"kept"
    line = render(Event("sip.request", {}, values), FLOW)
    assert len(line) <= LINE_MAX
    assert line.count("/60000") == 13
    assert line.endswith(' short="kept"')


def test_a_value_that_had_to_shrink_says_its_true_length() -> None:
    line = render(Event("e", {}, {f"v{n}": b"\x00" * 256 for n in range(13)}), FLOW)
    assert len(line) <= LINE_MAX
    assert "/256" in line


@given(st.lists(st.binary(max_size=2000), max_size=20))
def test_any_values_make_a_line_of_the_grammar(values: list[bytes]) -> None:
    line = render(Event("e", {}, {f"k{n}": value for n, value in enumerate(values)}), FLOW)
    assert len(line) <= LINE_MAX
    assert line.isascii()
    assert line.isprintable()


@given(st.binary(max_size=600))
def test_a_value_comes_back_from_its_quotes(value: bytes) -> None:
    quoted = quote(value)
    assert re.fullmatch(VALUE, quoted)
    inside = quoted[1 : quoted.rindex('"')]
    back = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), inside.encode())
    assert back == value[:256]
    assert quoted.endswith(f"/{len(value)}") == (len(value) > 256)


def test_rfc_5424() -> None:
    nanoseconds = 1764036738_123456789
    assert timestamp(nanoseconds) == "2025-11-25T02:12:18.123456Z"
    assert timestamp(0) == "1970-01-01T00:00:00.000000Z"
    happened = Event("x", {}, {"k": b"v"})
    assert datagram(happened, FLOW, nanoseconds, "strandline-sip", 7) == (
        b"<134>1 2025-11-25T02:12:18.123456Z - strandline-sip 7 - - " + render(happened, FLOW).encode()
    )


@given(
    st.lists(st.one_of(st.binary(max_size=300), st.text(' "\\\\%\x01\naz', max_size=90).map(str.encode)), max_size=6)
)
def test_values_are_escaped_together_as_each_by_itself(values: list[bytes]) -> None:
    line = render(Event("e", {}, {f"k{n}": value for n, value in enumerate(values)}), FLOW)
    assert line.endswith("proto=" + FLOW.proto + "".join(f" k{n}={quote(value)}" for n, value in enumerate(values)))


def test_the_grammar_refuses_what_is_not_in_it() -> None:
    with pytest.raises(AssertionError):
        Record('event=vnc.client saddr=- sport=1 daddr=- dport=1 proto=tcp version="a"b"')
