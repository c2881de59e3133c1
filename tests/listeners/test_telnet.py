"""Telnet, without a socket."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from listener_harness import Record, record
from strandline.protocols.telnet.session import _FOREIGN, LOGGED_MAX, SUBNEGOTIATIONS_MAX, TRIES, Session

IAC = b"\xff"
# What inetutils-telnetd 2.4 and login(1) of Debian 12 sent on a real host to a client that answered with REFUSED.
FIRST = b"\xff\xfb%\xff\xfb&\xff\xfd\x18\xff\xfd \xff\xfd#\xff\xfd'\xff\xfd$"
REFUSED = b"\xff\xfc\x18\xff\xfc\x20\xff\xfc\x23\xff\xfc\x27\xff\xfc\x24\xff\xfe\x25\xff\xfe\x26"
SECOND = b'\xff\xfb\x03\xff\xfd\x01\xff\xfd"\xff\xfd\x1f\xff\xfb\x05\xff\xfd!\xff\xfb\x01\xff\xfd\x06\xff\xfd\x00'
BANNER = b"\r\nLinux 6.1.0-37-amd64 (192.0.2.7) (pts/0)\r\n\r\nvm login: "
FAILED = b"\r\nLogin incorrect\r\nvm login: "
TIME_IS_UP = b""
NEGOTIATION = re.compile(rb"\xff[\xfb-\xfe].|\xff\xfa.*?\xff\xf0", re.DOTALL)


def session() -> Session:
    return Session("vm", "6.1.0-37-amd64", "192.0.2.7", 3.0)


def run(*segments: bytes, end: str = "closed") -> tuple[list[Record], bytes, bool]:
    """Events, what was sent, and whether we closed. An empty segment is the end of a wait."""
    telnet = session()
    sent, records = telnet.begin().send, []
    for segment in segments:
        step = telnet.feed(segment)
        records += [record(event) for event in step.events]
        sent += step.send
        if step.close:
            return records, sent, True
    return records + [record(event) for event in telnet.end(end)], sent, False


def logins(records: list[Record]) -> list[tuple[str, str]]:
    return [(r.values["user"], r.values["password"]) for r in records if r.name == "telnet.login"]


def test_a_whole_session_is_what_debian_sends() -> None:
    telnet = session()
    assert telnet.begin().send == FIRST
    assert telnet.feed(REFUSED).send == SECOND + BANNER
    assert telnet.feed(b"\xff\xfd\x01\xff\xfd\x03\xff\xfc\x01\xff\xfc\x1f\xff\xfe\x05\xff\xfc\x21").send == b""
    for attempt in range(1, TRIES + 1):
        assert telnet.feed(b"nosuch\r\n").send == b"nosuch\r\nPassword: "
        step = telnet.feed(b"pw\r\n")
        assert (step.send, step.wake, step.close) == (b"\r\n", 3.0, False)
        assert [record(event).trusted["attempt"] for event in step.events] == [str(attempt)]
        step = telnet.feed(TIME_IS_UP)
        last = attempt == TRIES
        assert step.send == (b"\r\nLogin incorrect\r\nMaximum number of tries exceeded (5)\r\n" if last else FAILED)
        assert step.close == last
    assert telnet.end("closed") == []


def test_who_answers_no_option_is_asked_to_log_in_all_the_same() -> None:
    telnet = session()
    assert telnet.begin().wake == 0.5
    assert telnet.feed(TIME_IS_UP).send == SECOND + BANNER
    assert telnet.feed(TIME_IS_UP).send == b""


@pytest.mark.parametrize("line_end", [b"\r\0", b"\r\n", b"\n", b"\r"])
def test_case_12_line_ends(line_end: bytes) -> None:
    records, sent, _ = run(REFUSED, b"root" + line_end, b"admin" + line_end, b"", b"x" + line_end + b"y" + line_end)
    assert logins(records) == [('"root"', '"admin"'), ('"x"', '"y"')]
    assert sent.startswith(FIRST + SECOND + BANNER + b"root\r\nPassword: \r\n" + FAILED)


def test_case_12_one_segment_pieces_and_bytes_that_are_no_text() -> None:
    assert logins(run(b"root\r\nadmin\r\n")[0]) == [('"root"', '"admin"')]
    assert logins(run(b"ro", b"ot\r", b"\nad", b"min\r", b"\0")[0]) == [('"root"', '"admin"')]
    records, _, _ = run(b'r\xc3\xb6\xfe\x00t\r\np\xff\xff\x1b"\\\r\n')
    assert logins(records) == [(r'"r\xc3\xb6\xfe\x00t"', r'"p\xff\x1b\x22\x5c"')]
    records, _, _ = run(b'x" saddr=192.0.2.66 user="root\r\n; saddr 192.0.2.66\r\n')
    assert logins(records) == [(r'"x\x22 saddr=192.0.2.66 user=\x22root"', '"; saddr 192.0.2.66"')]


def test_commands_are_taken_out_wherever_they_stand() -> None:
    records, sent, _ = run(
        b"ro\xff\xf1ot\xff\xfb\x1f\r\xff\xf9\n", b"a\xff\xfa\x18\x00xt\xff\xfferm\xff\xf0b\xff\xf6c\r\xff\xfd\x63\0"
    )
    assert logins(records) == [('"root"', '"abc"')]
    assert records[0].name == "telnet.option"
    assert (records[0].trusted["option"], records[0].values["data"]) == ("24", r'"\x00xt\xfferm"')
    assert records[1].values["terminal"] == r'"xt\xfferm"'
    assert b"\r\n[Yes]\r\n" in sent
    assert sent.count(b"\xff\xfc\x63") == 0  # it waits until the failure took its time


def test_a_byte_255_that_is_no_command_is_what_was_typed() -> None:
    assert logins(run(b"a\xffb\r\nc\xff\r\n")[0]) == [(r'"a\xffb"', r'"c\xff"')]


def test_what_is_not_wanted_is_refused_once_for_each_request_and_nothing_answers_a_refusal() -> None:
    telnet = session()
    telnet.begin()
    telnet.feed(REFUSED)
    assert telnet.feed(b"\xff\xfd\x63\xff\xfb\x64").send == b"\xff\xfc\x63\xff\xfe\x64"
    assert telnet.feed(b"\xff\xfe\x63\xff\xfc\x64" * 50).send == b""
    # An option that is on is not confirmed again; one that is switched off is let go, once.
    assert telnet.feed(b"\xff\xfd\x01" * 50).send == b""
    assert telnet.feed(b"\xff\xfe\x01" * 50).send == b"\xff\xfc\x01"


def test_two_ends_cannot_talk_each_other_into_a_loop() -> None:
    """Every answer comes back as if from a server like ours (RFC 1143)."""
    one, other = session(), session()
    said, turns = one.begin().send, 0
    other.begin()
    while said := b"".join(NEGOTIATION.findall(said)):  # what is typed stays out: echoes would go on for ever
        one, other, turns = other, one, turns + 1
        said = one.feed(said).send
        assert turns < 20
    assert turns > 2


def test_the_client_is_asked_what_it_has_to_tell() -> None:
    records, sent, _ = run(
        b"\xff\xfb\x18\xff\xfb\x27\xff\xfc\x20\xff\xfc\x23\xff\xfc\x24\xff\xfe\x25\xff\xfe\x26",
        b"\xff\xfa\x18\x00XTERM\xff\xf0\xff\xfa\x27\x00\x00USER\x01-f root\xff\xf0",
        b"root\r\n\r\n",
    )
    assert sent.startswith(FIRST + b"\xff\xfa\x18\x01\xff\xf0\xff\xfa\x27\x01\xff\xf0" + SECOND + BANNER)
    assert [(r.trusted["option"], r.values["data"]) for r in records if r.name == "telnet.option"] == [
        ("24", r'"\x00XTERM"'), ("39", r'"\x00\x00USER\x01-f root"'),
    ]  # fmt: skip
    assert logins(records) == [('"root"', '""')]


def test_a_subnegotiation_without_an_end_takes_no_more_than_it_may() -> None:
    records, _, _ = run(b"\xff\xfa\x18" + b"x" * 511 + b"root\r\nadmin\r\n")
    assert [r.name for r in records] == ["telnet.option", "telnet.login"]
    assert logins(records) == [('"root"', '"admin"')]
    records, _, _ = run(b"\xff\xfa\x18\x00vt100\xff\xfd\x03root\r\nadmin\r\n")  # its end is missing
    assert logins(records) == [('"root"', '"admin"')]
    records, _, _ = run(b"\xff\xfa\x1f\0\x50\0\x18\xff\xf0" * 1000)
    assert [r.name for r in records].count("telnet.option") == SUBNEGOTIATIONS_MAX


def test_long_lines_are_bounded() -> None:
    records, _, _ = run(*[b"u" * 4000] * 300, b"\r\n", *[b"p" * 4000] * 300, b"\r\n")
    (found,) = records
    assert found.values["user"] == '"' + "u" * 256 + '"/4095'
    assert found.values["password"] == '"' + "p" * 256 + '"/4095'


def test_an_empty_user_name_is_asked_for_again() -> None:
    records, sent, closed = run(b"\r\n\n", b"root\r\nx\r\n")
    assert logins(records) == [('"root"', '"x"')]
    assert sent.count(b"vm login: ") == 3
    assert not closed
    assert run(b"\r\n" * 50)[2]


def test_pairs_sent_at_once_are_logged_at_once_and_answered_later() -> None:
    telnet = session()
    telnet.begin()
    telnet.feed(REFUSED)
    step = telnet.feed(b"a\r\nb\r\nc\r\nd\r\ne")
    assert logins([record(event) for event in step.events]) == [('"a"', '"b"'), ('"c"', '"d"')]
    assert step.send == b"a\r\nPassword: \r\n"
    assert step.wake == 3.0
    step = telnet.feed(b"f\r\ng\r\n")
    assert step.send == b""
    assert step.wake is None  # the wait that began goes on
    assert telnet.feed(TIME_IS_UP).send == FAILED + b"c\r\nPassword: \r\n" + FAILED + b"ef\r\nPassword: \r\n" + FAILED


def test_more_pairs_than_a_login_takes_are_logged_until_it_ends() -> None:
    records, sent, closed = run(b"".join(b"u%d\np%d\n" % (n, n) for n in range(200)), TIME_IS_UP)
    assert closed
    assert len(logins(records)) == LOGGED_MAX
    assert sent.count(b"Login incorrect") == TRIES


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"OPTIONS sip:nm SIP/2.0\r\n",
        b"SSH-2.0-Go\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1",
        b"\x03\x00\x00\x13\x0e\xe0\x00\x00",
        b"EHLO there\r\n",
    ],
)
def test_other_protocols_are_no_logins(data: bytes) -> None:
    records, _, closed = run(data)
    assert [(r.name, r.trusted["reason"]) for r in records] == [("telnet.malformed", "foreign")]
    assert closed


def test_a_user_may_be_called_like_another_protocols_word() -> None:
    assert logins(run(b"GET\r\nHTTP/1.0\r\n")[0]) == [('"GET"', '"HTTP/1.0"')]


def test_who_says_nothing_is_logged_when_it_ends() -> None:
    for reason in ("closed", "timeout", "evicted"):
        (found,) = run(end=reason)[0]
        assert (found.name, found.trusted["reason"], found.values["data"]) == ("telnet.malformed", reason, '""')
    (found,) = run(b"root\r\n", b"ad")[0]
    assert (found.trusted["reason"], found.values["data"]) == ("closed", r'"root\x0d\x0aad"')


def test_what_is_unfinished_behind_a_login_is_logged_without_the_login() -> None:
    records, _, _ = run(b"root\r\nadmin\r\n", b"", b"enable\r\nsh")
    assert [r.name for r in records] == ["telnet.login", "telnet.malformed"]
    assert records[-1].values["data"] == r'"enable\x0d\x0ash"'
    assert [r.name for r in run(b"root\r\nadmin\r\n\r\n\0")[0]] == ["telnet.login"]


SCRIPT = (
    REFUSED
    + b"ro\xff\xf1ot\r\0ad\xff\xffmin\r\n\xff\xfa\x18\x00vt\xff\xff1\xff\xf0\xff\xfd\x63u\nb\xffx\r\xff\xf9\nlast"
)


@given(st.lists(st.integers(min_value=0, max_value=len(SCRIPT)), max_size=12))
def test_segments_do_not_matter(cuts: list[int]) -> None:
    whole, sent, _ = run(SCRIPT)
    edges = sorted({0, len(SCRIPT), *cuts})
    records, answers, _ = run(*[SCRIPT[a:b] for a, b in pairwise(edges)])
    assert [r.line for r in records] == [r.line for r in whole]
    assert answers == sent


def test_every_single_byte_by_itself() -> None:
    whole, sent, _ = run(SCRIPT)
    records, answers, _ = run(*[bytes([byte]) for byte in SCRIPT])
    assert [r.line for r in records] == [r.line for r in whole]
    assert answers == sent
    assert logins(whole) == [('"root"', r'"ad\xffmin"'), ('"u"', r'"b\xffx"')]


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b"\0", IAC, b"\xff\xfa", b"\xff\xf0", b"\xff\xfd\x01", b"root", b"\xff\xfb\x18"]
    ),
)


@given(st.lists(PIECES, max_size=24))
def test_any_bytes_never_raise_and_what_is_kept_is_bounded(segments: list[bytes]) -> None:
    telnet = session()
    telnet.begin()
    for segment in segments:
        step = telnet.feed(segment)
        assert len(step.send) < 32768
        for event in step.events:
            record(event)
        if step.close:
            return
    for event in telnet.end("timeout"):
        record(event)


@example(b"SSH-0", b"")
@given(st.binary(min_size=1, max_size=60), st.binary(max_size=60))
def test_user_and_password_come_back_as_sent(user: bytes, password: bytes) -> None:
    def sent(text: bytes) -> bytes:
        return text.replace(b"\xff", b"\xff\xff") + b"\r\n"

    if b"\r" in user + password or b"\n" in user + password or user.startswith(b"\0") or _FOREIGN.match(user[:64]):
        return
    step = session().feed(sent(user) + sent(password))
    (login,) = [event for event in step.events if event.name == "telnet.login"]
    assert login.values["user"] == user
    assert login.values["password"] == password
