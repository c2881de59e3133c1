"""SMTP, without a socket."""

from __future__ import annotations

import base64
import hashlib
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from listener_harness import Record, record
from postfix_answers import CONVERSATIONS, LINES
from strandline.protocols.smtp.session import (
    DATA_MAX,
    ERRORS_HARD,
    ERRORS_SOFT,
    JUNK_MAX,
    RECIPIENTS_MAX,
    REFUSED,
    SIZE_MAX,
    Session,
)

GREETING = b"220 vm ESMTP Postfix (Debian)\r\n"
REFUSED_LINE = REFUSED + b"\r\n"
ENVELOPE = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n"
TIME_IS_UP = b""


def encoded(said: bytes) -> bytes:
    return base64.b64encode(said) + b"\r\n"


def session() -> Session:
    smtp = Session(b"vm")
    assert smtp.begin().send == GREETING
    return smtp


def run(*segments: bytes, end: str | None = "closed") -> tuple[list[Record], bytes, bool]:
    """Events, what was sent behind the greeting, and whether we closed. Errors take no time here."""
    smtp = session()
    sent, records, close = b"", [], False
    for segment in segments:
        step = smtp.feed(segment)
        while True:
            records += [record(event) for event in step.events]
            sent += step.send
            close = step.close
            if step.wake is None:
                break
            step = smtp.feed(TIME_IS_UP)
        if close:
            return records, sent, True
    return records + ([record(event) for event in smtp.end(end)] if end else []), sent, False


def seen(records: list[Record]) -> list[tuple[str, str]]:
    """Each event with what tells it from others of its name."""
    shown = []
    for each in records:
        told = each.trusted.get("reason") or each.trusted.get("reply") or each.trusted["verb"]
        shown.append((each.name.removeprefix("smtp."), told))
    return shown


@pytest.mark.parametrize(("turns", "closes"), [conversation[1:] for conversation in CONVERSATIONS],
                         ids=[conversation[0] for conversation in CONVERSATIONS])  # fmt: skip
def test_answers_are_postfix_ones(turns: list[tuple[bytes, bytes]], closes: bool) -> None:
    smtp = session()
    for said, answer in turns:
        step = smtp.feed(said)
        sent = step.send
        while step.wake is not None:
            step = smtp.feed(TIME_IS_UP)
            sent += step.send
        assert sent == answer, said
    assert step.close == closes


@pytest.mark.parametrize(("line", "answer"), LINES)
def test_parameters_and_addresses_are_judged_as_by_postfix(line: bytes, answer: bytes) -> None:
    smtp = session()
    smtp.feed(b"EHLO x\r\n")
    if line.startswith(b"RCPT"):
        smtp.feed(b"MAIL FROM:<>\r\n")
    assert smtp.feed(line + b"\r\n").send == answer


def test_a_session_leaves_one_event_for_each_thing_that_was_done() -> None:
    records, sent, closed = run(
        b"EHLO relay.example\r\n",
        b"AUTH PLAIN " + encoded(b"\0info\0secret"),
        ENVELOPE + b"RCPT TO:<c@example.net>\r\nDATA\r\n",
        b"From: A <a@example.org>\r\nTO : b@example.net\r\nSubject: one\r\n two\r\nMessage-ID: <1@x>\r\nX-Mailer: Y\r\n"
        b"Subject: three\r\n\r\nhello\r\n..dot\r\n.\r\n",
        ENVELOPE + b"RSET\r\nNOOP\r\nVRFY root\r\nQUIT\r\n",
    )
    assert closed
    assert sent.endswith(
        REFUSED_LINE
        + b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok\r\n250 2.0.0 Ok\r\n252 2.0.0 root\r\n221 2.0.0 Bye\r\n"
    )
    assert seen(records) == [
        ("greet", "EHLO"),
        ("auth", "535"),
        ("data", "end"),
        ("mail", "command"),
        ("command", "252"),
    ]
    greet, auth, data, mail, vrfy = records
    assert greet.values == {"name": '"relay.example"'}
    assert auth.values == {"user": '"info"', "password": '"secret"', "challenge": '""', "response": '""'}
    assert data.values == {
        "sender": '"<a@example.org>"', "recipient": '"<b@example.net>"', "subject": '"one two"',
        "from": '"A <a@example.org>"', "to": '"b@example.net"', "message_id": '"<1@x>"', "user_agent": '"Y"',
    }  # fmt: skip
    assert data.trusted["recipients"] == "2"
    assert mail.values == {"sender": '"<a@example.org>"', "recipient": '"<b@example.net>"'}
    assert vrfy.values == {"line": '"VRFY root"'}


def body_of(*segments: bytes) -> Record:
    records, _, _ = run(ENVELOPE + b"DATA\r\n", *segments)
    (found,) = [each for each in records if each.name == "smtp.data"]
    return found


@pytest.mark.parametrize(
    ("sent", "stored", "bare", "dots"),
    [
        (b".\r\n", b"", 0, 0),
        (b"x\r\n.\r\n", b"x\r\n", 0, 0),
        (b"..\r\n...\r\n.x\r\n.\r\n", b".\r\n..\r\nx\r\n", 0, 0),
        # None of these is an end by the RFC, and each may be one to a server that is less strict.
        (b"x\n.\ny\r\n.\r\n", b"x\n\ny\r\n", 2, 1),
        (b"x\n.\r\ny\r\n.\r\n", b"x\n\r\ny\r\n", 1, 1),
        (b"x\r\n.\ny\r\n.\r\n", b"x\r\n\ny\r\n", 1, 1),
        (b"x\r.\ry\r\n.\r\n", b"x\r.\ry\r\n", 2, 1),
        (b"x\r.\r\ny\r\n.\r\n", b"x\r.\r\ny\r\n", 1, 1),
        (b"x\r\n.\ry\r\n.\r\n", b"x\r\n\ry\r\n", 1, 1),
        (b"x\r\n.\r\r\ny\r\n.\r\n", b"x\r\n\r\r\ny\r\n", 1, 1),
        (b"\xff\0\x80\r\n.\r\n", b"\xff\0\x80\r\n", 0, 0),
    ],
)
def test_the_end_of_a_message_is_never_ambiguous(sent: bytes, stored: bytes, bare: int, dots: int) -> None:
    for segments in ([sent], [sent[at : at + 1] for at in range(len(sent))]):
        found = body_of(*segments)
        assert found.trusted["reason"] == "end"
        assert found.trusted["size"] == str(len(stored))
        assert found.trusted["sha256"] == hashlib.sha256(stored).hexdigest()
        assert (found.trusted["bare"], found.trusted["lone_dots"]) == (str(bare), str(dots))


def test_commands_inside_a_message_are_no_commands() -> None:
    records, sent, _ = run(ENVELOPE + b"DATA\r\n", b"x\n.\nMAIL FROM:<evil@example.org>\r\nQUIT\r\n\r\n.\r\nNOOP\r\n")
    assert seen(records) == [("data", "end")]
    assert sent.endswith(REFUSED_LINE + b"250 2.0.0 Ok\r\n")


@pytest.mark.parametrize("reason", ["closed", "timeout", "evicted"])
def test_a_message_without_an_end_is_logged_once(reason: str) -> None:
    smtp = session()
    smtp.feed(b"EHLO x\r\n" + ENVELOPE + b"DATA\r\nSubject: x\r\n\r\nhalf")
    (found,) = map(record, smtp.end(reason))
    assert (found.name, found.trusted["reason"], found.trusted["size"]) == ("smtp.data", reason, "18")
    assert found.values["subject"] == '"x"'


def test_a_message_may_be_long_and_nothing_of_it_is_kept() -> None:
    smtp = session()
    smtp.feed(b"EHLO x\r\n" + ENVELOPE + b"DATA\r\nSubject: " + b"s" * 5000 + b"\r\n")
    block = b"x" * 4096
    for _ in range(SIZE_MAX // len(block) + 1):
        step = smtp.feed(block)
        assert not step.send
        assert len(smtp._buffer) <= 4096
    step = smtp.feed(b"\r\n.\r\n")
    assert step.send == b"552 5.3.4 Error: message file too big\r\n"
    (event,) = step.events
    assert len(event.values["subject"]) <= 2048
    record(event)


def test_chunks_are_one_message() -> None:
    records, sent, _ = run(
        b"EHLO x\r\n", ENVELOPE + b"BDAT 10\r\nSubject: h", b"BDAT 9 LAST\r\ni\r\n\r\n.\r\n\n", b"NOOP\r\n"
    )
    stored = b"Subject: hi\r\n\r\n.\r\n\n"
    assert sent.endswith(b"250 2.0.0 Ok: 10 bytes\r\n" + REFUSED_LINE + b"250 2.0.0 Ok\r\n")
    found = records[1]
    assert (found.trusted["command"], found.trusted["reason"]) == ("BDAT", "end")
    assert found.trusted["sha256"] == hashlib.sha256(stored).hexdigest()
    assert found.values["subject"] == '"hi"'
    assert found.trusted["lone_dots"] == "1"


def test_a_chunk_that_is_not_wanted_is_no_command() -> None:
    records, sent, _ = run(b"BDAT 6\r\nQUIT\r\nNOOP\r\n")
    assert sent == b"503 5.5.1 Error: need RCPT command\r\n250 2.0.0 Ok\r\n"
    assert seen(records) == [("command", "503")]
    smtp = session()
    smtp.feed(b"BDAT 999999999999999999\r\n")
    for _ in range(100):
        smtp.feed(b"x" * 4096)
        assert not smtp._buffer


@pytest.mark.parametrize(
    ("segments", "mechanism", "reply", "user", "password", "response"),
    [
        ([b"AUTH PLAIN " + encoded(b"\0u\0p")], "PLAIN", "535", "u", "p", ""),
        ([b"auth plain\r\n", encoded(b"z\0u\0p\0q")], "PLAIN", "535", "u", r"p\x00q", ""),
        ([b"AUTH PLAIN\r\n*\r\n"], "PLAIN", "501", "", "", ""),
        ([b"AUTH PLAIN !!\r\n"], "PLAIN", "535", "", "", "!!"),
        ([b"AUTH PLAIN " + encoded(b"nonsense")], "PLAIN", "535", "", "", encoded(b"nonsense").decode().strip()),
        ([b"AUTH LOGIN\r\n", encoded(b"u"), encoded(b"p\xff")], "LOGIN", "535", "u", r"p\xff", ""),
        ([b"AUTH LOGIN " + encoded(b'u" x="') + encoded(b"p")], "LOGIN", "535", r"u\x22 x=\x22", "p", ""),
        ([b"AUTH LOGIN\r\n", encoded(b"u"), b"*\r\n"], "LOGIN", "501", "u", "", ""),
        ([b"AUTH LOGIN\r\n", encoded(b"u"), b"?\r\n"], "LOGIN", "535", "u", "", "?"),
        ([b"AUTH LOGIN\r\n", encoded(b"u")], "LOGIN", "-", "u", "", ""),
        ([b"AUTH LOGIN\r\n\r\n\r\n"], "LOGIN", "454", "", "", ""),
        ([b"AUTH CRAM-MD5\r\n", encoded(b"u v " + b"0f" * 16)], "CRAM-MD5", "535", "u v", "", "0f" * 16),
        ([b"AUTH CRAM-MD5\r\n", encoded(b"u")], "CRAM-MD5", "535", "", "", "dQ=="),
        ([b"AUTH CRAM-MD5 eA==\r\n"], "CRAM-MD5", "535", "", "", "eA=="),
    ],
)  # fmt: skip
def test_credentials_are_logged_and_refused(
    segments: list[bytes], mechanism: str, reply: str, user: str, password: str, response: str
) -> None:
    records, _, _ = run(b"EHLO x\r\n", *segments)
    (found,) = records[1:]
    assert found.name == "smtp.auth"
    assert found.trusted == {"mechanism": mechanism, "attempt": "1", "reply": reply}
    assert [found.values[name] for name in ("user", "password", "response")] == [
        f'"{text}"' for text in (user, password, response)
    ]
    assert found.values["challenge"].endswith('@vm>"') == (segments[0] == b"AUTH CRAM-MD5\r\n")


def test_no_two_challenges_are_the_same() -> None:
    records, _, _ = run(*[b"AUTH CRAM-MD5\r\n", b"*\r\n"] * 3)
    assert len({each.values["challenge"] for each in records}) == 3
    assert [each.trusted["attempt"] for each in records] == ["1", "2", "3"]


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"HEAD / HTTP/1.0\r\nHost: x\r\n\r\n",
        b"OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm\r\n\r\n",
        b"SSH-2.0-Go\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\n\n",
        b"\x03\x00\x00\x13\x0e\xe0\x00\x00",
    ],
)
def test_another_protocol_is_one_event(data: bytes) -> None:
    for segments in ([data], [data[at : at + 1] for at in range(len(data))]):
        records, _, _ = run(*segments)
        assert seen(records) == [("malformed", "foreign")]
    (found,) = run(data)[0]
    assert found.values["data"] == record_of(data)


def test_who_speaks_smtp_after_all_is_heard() -> None:
    """A name that looks like another protocol's first line hides nothing."""
    login = b"AUTH PLAIN " + base64.b64encode(b"\0info\0secret") + b"\r\n"
    records, _, _ = run(b"EHLO x ESMTP/1\r\n", login)
    assert [each.name for each in records] == ["smtp.greet", "smtp.auth"]
    records, _, _ = run(b"ABC x SIP/2.0\r\n", b"EHLO y\r\n", login)
    assert [each.name for each in records] == ["smtp.malformed", "smtp.greet", "smtp.auth"]


def record_of(data: bytes) -> str:
    return '"' + "".join(chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\x{b:02x}" for b in data) + '"'


@pytest.mark.parametrize("reason", ["closed", "timeout", "evicted"])
def test_a_connection_without_a_byte_leaves_a_trace(reason: str) -> None:
    (found,) = map(record, session().end(reason))
    assert (found.name, found.trusted["reason"], found.values["data"]) == ("smtp.malformed", reason, '""')


def test_what_has_no_line_end_is_logged_and_bounded() -> None:
    assert seen(run(b"EHLO")[0]) == [("malformed", "closed")]
    records, _, _ = run(b"EHLO x\r\nMAIL FR")
    assert seen(records) == [("greet", "EHLO"), ("malformed", "closed")]
    assert records[1].values["data"] == '"MAIL FR"'
    assert seen(run(b"QUIT\r\n")[0]) == seen(run(b"NOOP\r\n")[0]) == [("malformed", "closed")]
    smtp = session()
    for _ in range(1000):
        smtp.feed(b"x" * 4096)
        assert len(smtp._buffer) < 2 * 4096
    (found,) = map(record, smtp.end("timeout"))
    assert found.values["data"].endswith(f"/{DATA_MAX}")


@pytest.mark.parametrize("length", [2048, 2049, 5000, 100_000])
def test_a_long_line_is_one_command(length: int) -> None:
    line = b"EHLO " + b"x" * (length - 5) + b"\r\n"
    for segments in ([line, b"NOOP\r\n"], [line[at : at + 1000] for at in range(0, len(line), 1000)] + [b"NOOP\r\n"]):
        records, sent, _ = run(*segments)
        assert seen(records) == [("greet", "EHLO")]
        assert records[0].values["name"] == '"' + "x" * 256 + '"/2043'
        assert sent.endswith(b"250 CHUNKING\r\n250 2.0.0 Ok\r\n")


def test_errors_take_time_and_then_end_the_connection() -> None:
    smtp = session()
    for number in range(1, ERRORS_HARD + 1):
        step = smtp.feed(b"FOO\r\n")
        if number > ERRORS_SOFT:
            assert (step.send, step.wake) == (b"", 1.0)
            step = smtp.feed(TIME_IS_UP)
        assert step.send == b"500 5.5.2 Error: command not recognized\r\n"
        assert not step.close
    assert step.wake == 1.0
    step = smtp.feed(TIME_IS_UP)
    assert (step.send, step.close) == (b"421 4.7.0 vm Error: too many errors\r\n", True)


def test_a_client_that_leaves_while_an_error_takes_its_time_leaves_nothing_twice() -> None:
    smtp = session()
    step = smtp.feed(b"EHLO x\r\n" + ENVELOPE + b"FOO\r\n" * 30)
    names = [event.name for event in step.events]
    assert names == ["smtp.greet", *["smtp.command"] * ERRORS_HARD, "smtp.mail"]
    assert smtp.end("closed") == []


@pytest.mark.parametrize("command", [b"NOOP", b"RSET", b"HELO x", b"EHLO x", b"HELP", b"VRFY x"])
def test_commands_that_send_no_mail_are_limited(command: bytes) -> None:
    smtp = session()
    step = smtp.feed((command + b"\r\n") * 1000)
    sent = step.send
    while step.wake is not None:
        step = smtp.feed(TIME_IS_UP)
        sent += step.send
    assert step.close
    assert sent.endswith(b"421 4.7.0 vm Error: too many errors\r\n")
    one = session().feed(command + b"\r\n").send
    assert sent.count(one) == JUNK_MAX + ERRORS_HARD
    assert len(sent) < 32768  # the loop ends whose unsent bytes are more


def test_recipients_are_counted_and_limited() -> None:
    records, sent, _ = run(
        b"MAIL FROM:<>\r\n" + b"".join(b"RCPT TO:<%d@example.net>\r\n" % n for n in range(1500)) + b"QUIT\r\n"
    )
    assert sent.count(b"250 2.1.5 Ok\r\n") == RECIPIENTS_MAX
    assert sent.count(b"452 4.5.3 Error: too many recipients\r\n") == 500
    (found,) = records
    assert (found.trusted["recipients"], found.values["recipient"]) == ("1000", '"<0@example.net>"')


def test_what_follows_the_end_is_not_read() -> None:
    (found,) = run(b"QUIT\r\nEHLO x\r\n")[0]
    assert found.values["data"] == r'"QUIT\x0d\x0a"'


def test_headers_are_looked_for_in_the_first_lines_only() -> None:
    assert body_of(b"X: y\r\n" * 900 + b"Subject: x\r\n.\r\n").values["subject"] == '"x"'
    assert body_of(b"X: y\r\n" * 1100 + b"Subject: x\r\n.\r\n").values["subject"] == '""'
    assert body_of(b"Subject: x\r\n" + b" y" * 5000 + b"\r\n.\r\n").values["subject"].endswith('"/1024')


def test_a_client_that_speaks_first_is_heard() -> None:
    smtp = Session(b"vm")
    step = smtp.feed(b"EHLO x\r\nQUIT\r\n")
    assert [event.name for event in step.events] == ["smtp.greet"]


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([
        b"\r\n", b"\n", b"\r", b".", b".\r\n", b"EHLO x\r\n", b"HELO \xff\r\n", b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b"BDAT 3\r\n", b"BDAT 5 LAST\r\n", b"BDAT x\r\n", b"AUTH PLAIN\r\n",
        b"AUTH LOGIN dQ==\r\n", b"*\r\n", b"RSET\r\n", b"VRFY x\r\n", b"FOO\r\n", b"QUIT\r\n", b"Subject: x\r\n",
        b"x" * 2100, b"Foo: bar\r\n", b"GET / HTTP/1.0\r\n", b"AUTH CRAM-MD5\r\n", b"\x16\x03\x01", b"\0",
    ]),
)  # fmt: skip


def comparable(records: list[Record]) -> list[str]:
    """The lines, without a challenge and without the bytes of another protocol: as many as came with its first line."""
    cut = {"smtp.auth": " challenge=", "smtp.malformed": " reason=foreign"}
    return [each.line.partition(cut.get(each.name, "\n"))[0] for each in records]


@given(st.lists(PIECES, max_size=40), st.lists(st.integers(0, 4096), max_size=12))
@example([b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b"x" * 2048, b"\r\n", b".\r\n"], [60, 2100, 2101])
def test_any_bytes_in_any_pieces_leave_the_same_events(pieces: list[bytes], cuts: list[int]) -> None:
    said = b"".join(pieces)
    places = [0, *sorted(cut for cut in cuts if 0 < cut < len(said)), len(said)]
    whole, answer, _ = run(*([said] if said else []))
    parts = [said[a:b] for a, b in pairwise(places) if a < b]
    assert comparable(run(*parts)[0]) == comparable(whole)
    assert len(whole) > 0
    assert len(answer) < 32768


@given(st.lists(st.binary(max_size=3000), max_size=24))
def test_any_bytes_never_raise_and_what_is_kept_is_bounded(segments: list[bytes]) -> None:
    smtp = session()
    for segment in segments:
        step = smtp.feed(segment)
        assert len(step.send) < 32768
        assert len(smtp._buffer) <= 12288 + 4096
        for event in step.events:
            record(event)
        if step.close:
            return
    for event in smtp.end("timeout"):
        record(event)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_user_and_password_come_back_as_sent(user: bytes, password: bytes) -> None:
    smtp = session()
    step = smtp.feed(b"AUTH LOGIN\r\n" + encoded(user) + encoded(password))
    (event,) = step.events
    assert (event.values["user"], event.values["password"]) == (user, password)


@given(st.binary(max_size=300))
def test_a_message_comes_back_as_sent(body: bytes) -> None:
    stuffed = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in body.split(b"\r\n"))
    if b"\n." in body.replace(b"\r\n.", b""):
        return  # a line of a bare LF: its dot is left out too, as Postfix does
    found = body_of(stuffed + b"\r\n.\r\n")
    assert found.trusted["sha256"] == hashlib.sha256(body + b"\r\n").hexdigest()
