"""From a spool line to a row: what is taken, what is refused, and that nothing the other side sends breaks the row."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spool_lines import FORMS, MIX, as_json, as_text, line, quoted
from strandline.collector.lines import Reject, decode, iso, shown, timestamp

GOOD: dict[str, Any] = {
    "sensor": "ams1", "run": "1764036738123456-9f3a", "n": "17", "ts": "2026-11-25T02:12:18.123456+00:00",
    "rts": "2026-11-25T02:12:18.223456+00:00", "program": "strandline-ssh", "event": "ssh.password",
    "saddr": "192.0.2.7", "sport": "51044", "daddr": "203.0.113.9", "dport": "22", "proto": "tcp",
    "method": "password", "user": '"root"', "password": '"x\\x22y"',
}  # fmt: skip


def encoded(**changes: Any) -> bytes:
    """A good line of JSON with some fields changed; None takes a field out."""
    return as_json({key: value for key, value in (GOOD | changes).items() if value is not None})


def columns(text: bytes) -> dict[str, Any]:
    """What is read from a line, by name, data as an object."""
    record = decode(text)
    lengths = record.values[len(record.names) :]
    data: dict[str, Any] = dict(record.data)
    data |= {f"{name.decode()}_length": int(length) for name, length in zip(lengths[::2], lengths[1::2], strict=True)}
    found = {name: getattr(record, name) for name in ("n", "sport", "dport", "verified", "event", "proto")}
    found |= {"ts": iso(record.ts), "rts": iso(record.rts), "saddr": shown(record.saddr), "daddr": shown(record.daddr)}
    return found | {"data": data}


def reason(text: bytes) -> str:
    """Why a line is refused."""
    with pytest.raises(Reject) as refused:
        decode(text)
    return refused.value.reason


def test_a_row_holds_every_field_where_it_belongs() -> None:
    assert columns(encoded()) == {
        "n": 17, "ts": GOOD["ts"], "rts": GOOD["rts"], "sport": 51044, "dport": 22,
        "verified": True, "event": "ssh.password", "saddr": "192.0.2.7", "daddr": "203.0.113.9", "proto": "tcp",
        "data": {"method": "password", "user": "root", "password": "x\\x22y"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("proto", "claim", "verified"),
    [("tcp", None, True), ("tcp", "no", True), ("udp", "yes", True), ("udp", "no", False), ("udp", None, False)],
)
def test_verified_is_tcp_or_said_so(proto: str, claim: str | None, verified: bool) -> None:
    row = columns(encoded(proto=proto, verified=claim))
    assert row["verified"] is verified
    assert "verified" not in row["data"]


def test_a_cut_value_keeps_its_true_length() -> None:
    data = columns(encoded(user='"' + "A" * 256 + '"/1500', password='""'))["data"]
    assert data == {"method": "password", "user": "A" * 256, "user_length": 1500, "password": ""}


@pytest.mark.parametrize(
    ("given_ts", "stored"),
    [
        ("2026-11-25T02:12:18Z", "2026-11-25T02:12:18.000000+00:00"),
        ("2026-11-25T03:12:18.5+01:00", "2026-11-25T02:12:18.500000+00:00"),
        ("2026-11-24T23:59:59.999999-00:30", "2026-11-25T00:29:59.999999+00:00"),
    ],
)
def test_other_forms_of_time_become_the_one(given_ts: str, stored: str) -> None:
    assert columns(encoded(ts=given_ts))["ts"] == stored


@pytest.mark.parametrize(
    "wrong",
    ["", "-", "2026-11-25T02:12:18.123456", "2026-13-25T02:12:18.123456+00:00", "2026-02-30T02:12:18.123456+00:00",
     "2026-11-25T25:12:18.123456+00:00", "2026-11-25T02:60:18.123456+00:00", "0001-01-01T00:00:00.000000+14:00",
     "\uff12026-11-25T02:12:18.123456+00:00", "2026-11-25T02:12:18.123456+00:00\n"],
)  # fmt: skip
def test_what_is_no_time_is_refused(wrong: str) -> None:
    assert reason(encoded(ts=wrong)).startswith("ts or rts")
    assert reason(encoded(rts=wrong)).startswith("ts or rts")


def test_two_wrong_times_do_not_make_two_right_ones() -> None:
    decode(encoded())
    assert reason(encoded(ts=GOOD["ts"][:-2], rts=GOOD["ts"][-2:] + GOOD["rts"])).startswith("ts or rts")


@pytest.mark.parametrize(
    ("given_address", "stored"),
    [("2001:DB8:0:0::1", "2001:db8::1"), ("::ffff:192.0.2.7", "192.0.2.7"), ("255.255.255.255", "255.255.255.255")],
)
def test_addresses_are_canonical(given_address: str, stored: str) -> None:
    row = columns(encoded(saddr=given_address, daddr=given_address))
    assert (row["saddr"], row["daddr"]) == (stored, stored)


@pytest.mark.parametrize(
    "wrong", ["", "-", "1.2.3", "1.2.3.4/24", "01.2.3.4", "fe80::1%eth0", "1.2.3.4\0", "host", "é"]
)
def test_what_is_no_address_is_refused(wrong: str) -> None:
    assert reason(encoded(saddr=wrong)).startswith("saddr or daddr")
    assert reason(encoded(daddr=wrong)).startswith("saddr or daddr")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"n": ""}, "unnumbered"),
        ({"run": ""}, "unnumbered"),
        ({"n": "0"}, "n: out of range"),
        ({"n": "9223372036854775808"}, "n: out of range"),
        ({"n": "1" * 5000}, "n: out of range"),
        ({"n": "-1"}, "n, sport or dport"),
        ({"sport": "65536"}, "sport or dport"),
        ({"dport": "٣"}, "n, sport or dport"),
        ({"sport": ""}, "n, sport or dport"),
        ({"sport": "1_0"}, "n, sport or dport"),
        ({"proto": "icmp"}, "proto"),
        ({"event": "SSH"}, "event"),
        ({"event": "a\tb"}, "event"),
        ({"event": None}, "event: missing"),
        ({"sensor": None}, "sensor: missing"),
        ({"sensor": ["a"]}, "a field has the wrong type"),
        ({"a b": "x"}, "'a b': not the name of a field"),
        ({"n": 17}, "a field has the wrong type"),
        ({"ts": 17}, "a field has the wrong type"),
        ({"saddr": {}}, "a field has the wrong type"),
        ({"user": None, "method": 5}, "a field has the wrong type"),
        ({"user": ["a"]}, "a field has the wrong type"),
        ({"user": '"a'}, "user: its quotes"),
        ({"user": 'a"b'}, "a value holds"),
        ({"user": '"a"b"'}, "user: its quotes"),
        ({"user": '"a"/x'}, "user: its quotes"),
        ({"user": '"a\\b"'}, "a value holds"),
        ({"user": '"a\x00b"'}, "a value holds"),
        ({"user": '"a\tb"'}, "a value holds"),
        ({"user": '"\x7f"'}, "a value holds"),
        ({"user": '"é"'}, "a value holds"),
    ],
)
def test_a_bad_field_is_refused_with_its_reason(changes: dict[str, Any], expected: str) -> None:
    assert reason(encoded(**changes)).startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "not JSON"),
        (b"\0" * 100, "NUL bytes"),
        (b'{"sensor":"\xff"}', "not JSON"),
        (b'{"a":"\\ud800"}', "not JSON"),
        (b"[]", "not a JSON object"),
        (b"17", "not a JSON object"),
        (b"{}", "sensor: missing"),
        (b"[" * 5000, "not JSON"),
        (encoded()[:-1], "not JSON"),
        (encoded() + encoded(), "not JSON"),
    ],
)
def test_what_is_no_line_is_refused(text: bytes, expected: str) -> None:
    assert reason(text).startswith(expected)


def test_a_refused_line_keeps_its_origin() -> None:
    with pytest.raises(Reject) as refused:
        decode(encoded(proto="icmp"))
    assert (refused.value.sensor, refused.value.run, refused.value.n) == ("ams1", "1764036738123456-9f3a", "17")


def test_a_message_that_patterndb_does_not_know_keeps_its_text() -> None:
    text = json.dumps({"sensor": "ams1", "run": "r", "n": "3", "reject": "unknown", "msg": "event=new.kind a=b"})
    with pytest.raises(Reject) as refused:
        decode(text.encode())
    assert (refused.value.reason, refused.value.message, refused.value.n) == ("unknown", "event=new.kind a=b", "3")


@settings(deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=600))
def test_any_bytes_come_through_as_the_listener_escaped_them(user: bytes, password: bytes) -> None:
    data = columns(encoded(user=quoted(user), password=quoted(password)))["data"]
    for key, raw in (("user", user), ("password", password)):
        text = data[key]
        assert re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), text.encode()) == raw[:256]
        assert data.get(f"{key}_length", len(raw)) == len(raw)
        assert (f"{key}_length" in data) == (len(raw) > 256)


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional={key: st.text() | st.sampled_from([value, f'"{value}']) for key, value in GOOD.items()}
    )
    | st.dictionaries(st.text(), st.text() | st.integers() | st.none() | st.lists(st.text()))
)
def test_whatever_the_fields_hold_it_is_a_sound_row_or_a_reject(changes: dict[str, Any]) -> None:
    text = json.dumps(GOOD | changes).encode()
    try:
        record = decode(text)
    except Reject:
        return
    assert len(record.values) >= len(record.names)
    # Nothing that would end a value or a row.
    assert all(value.isascii() and value.decode().isprintable() for value in record.values)
    assert 0 < record.n < 2**63


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_for_a_line_are_refused_or_read(text: bytes) -> None:
    with pytest.raises(Reject):
        decode(text)


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2200, 1, 1)))
def test_times_are_exact(moment: datetime) -> None:
    text = moment.replace(tzinfo=UTC).isoformat(timespec="microseconds")
    assert iso(timestamp(text)) == text
    delta = moment.replace(tzinfo=UTC) - datetime(2000, 1, 1, tzinfo=UTC)
    assert timestamp(text) == (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


@pytest.mark.parametrize("form", FORMS)
def test_every_event_of_the_mix_is_read(form: str) -> None:
    rng = random.Random(7)
    seen = set()
    for n in range(1, 500):
        record = decode(line("ams1", "r-1", n, datetime.now(UTC), rng, form=form).rstrip(b"\n"))
        seen.add(record.event)
        assert record.n == n
    assert seen == {name for name, _ in MIX}


# --- lines of tabs ---

TEXT = as_text(GOOD)


def test_both_forms_say_the_same() -> None:
    assert decode(TEXT) == decode(encoded())
    cut = {"user": '"' + "A" * 256 + '"/1500', "password": '""'}
    assert decode(as_text(GOOD | cut)) == decode(encoded(**cut))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"\t17\t", b"\t\t", "unnumbered"),
        (b"ams1 1764036738123456-9f3a\t", b"ams1 \t", "unnumbered"),
        (b"\t17\t", b"\t0\t", "n: out of range"),
        (b"\t17\t", b"\t9223372036854775808\t", "n: out of range"),
        (b"\t17\t", b"\t+17\t", "n, sport or dport"),
        (b".123456\t", b".12345\t", "ts or rts"),
        (b".223456\t", b"\t", "ts or rts"),
        (b"sport=51044", b"sport=65536", "sport or dport"),
        (b"sport=51044", b"sport=", "n, sport or dport"),
        (b"proto=tcp", b"proto=icmp", "proto"),
        (b"event=ssh.password", b"event=SSH", "event"),
        (b"event=", b"even=", "the message is not that of an event"),
        (b" sport=51044", b"", "the message is not that of an event"),
        (b"saddr=192.0.2.7", b"saddr=192.0.2.256", "saddr or daddr"),
        (b'"root"', b'"ro"ot"', "not a field"),
        (b'"root"', b'"ro\tot"', "not a field"),
        (b'"root"', b'"ro\xffot"', "not a field"),
        (b'"root"', b'"root"/01', "not a field"),
        (b'"root"', b"root ", "not a field"),
        (b'"root"', b'"ro\\ot"', "a value holds"),
        (b"user=", b"method=", "a field stands there twice"),
        (TEXT, TEXT[:-1] + b" \t", "a blank behind"),
        (TEXT, TEXT[:-1] + b"/1500x\t", "not a field"),
        (TEXT, TEXT[:40], "not a whole line of the spool"),
        (TEXT, TEXT[:-1], "not a whole line of the spool"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason(old: bytes, new: bytes, expected: str) -> None:
    assert TEXT.count(old) == 1
    spoilt = TEXT.replace(old, new)
    with pytest.raises(Reject) as refused:
        decode(spoilt)
    assert refused.value.reason.startswith(expected)
    if refused.value.sensor is not None:
        assert refused.value.sensor == "ams1"


def test_a_refused_line_of_tabs_keeps_its_origin() -> None:
    with pytest.raises(Reject) as refused:
        decode(TEXT.replace(b"proto=tcp", b"proto=icmp"))
    found = refused.value
    assert (found.sensor, found.run, found.n, found.rts) == ("ams1", "1764036738123456-9f3a", "17", GOOD["rts"])


# Every byte of a line of tabs, and what a sensor that was broken into might put there.
PIECES = st.sampled_from(
    [b"\t", b" ", b'"', b"/9", b"=", b"\\x0a", b"\\", b"\n", b"\0", b"event=", b"saddr=::1", b"1", b"-", b"user=", b"{"]
)


@settings(deadline=None, max_examples=400)
@given(st.integers(0, len(TEXT)), st.integers(0, 12), st.lists(PIECES | st.binary(max_size=3), max_size=4))
def test_a_line_that_was_tampered_with_is_refused_or_sound(at: int, length: int, pieces: list[bytes]) -> None:
    text = TEXT[:at] + b"".join(pieces) + TEXT[at + length :]
    try:
        record = decode(text)
    except Reject:
        return
    assert all(value.isascii() and value.decode().isprintable() and b'"' not in value for value in record.values)
    assert len(set(record.names)) == len(record.names)
    assert record.event.isprintable()
    assert len(record.saddr) in (4, 16)


def test_what_a_power_cut_left_of_a_line_has_no_number_and_so_is_sent_again() -> None:
    for end in range(1, len(TEXT)):
        with pytest.raises(Reject) as refused:
            decode(TEXT[:end])
        assert refused.value.n is None, TEXT[:end]
