"""What is answered, and how large it may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener_harness import PERSONA, sip
from strandline.event.line import Flow
from strandline.protocols.sip.answer import Persona
from strandline.protocols.sip.message import parse
from strandline.protocols.sip.nonce import LIFETIME, Prover
from strandline.protocols.sip.session import WITHHELD_LARGE, WITHHELD_RATE, Answerer, DatagramHandler
from strandline.sensor.listener.limits import TokenBuckets
from strandline.sensor.listener.notices import Notices
from strandline.sensor.listener.sockets import Datagram

FLOW = Flow("192.0.2.7", 51044, "203.0.113.9", 5060, "udp")
KEY = b"k" * 32


class Clock:
    """Stands still unless told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def answerer(clock: Clock | None = None) -> Answerer:
    return Answerer(PERSONA, Prover(KEY), clock or Clock())


def handler(notices: Notices | None = None, buckets: TokenBuckets | None = None) -> DatagramHandler:
    return DatagramHandler(answerer(), buckets or TokenBuckets(1e6, 1e6, 1e6, 1e6), notices or Notices())


def datagram(data: bytes, flow: Flow = FLOW) -> Datagram:
    return Datagram(data, flow, (flow.saddr, flow.sport), [], True)


def answered(data: bytes) -> bytes | None:
    _, answer = handler()(datagram(data), 0.0)
    return answer


def headers(answer: bytes) -> dict[str, str]:
    lines = answer.decode("ascii").split("\r\n")
    assert lines[-2:] == ["", ""]
    return {name: value for name, _, value in (line.partition(": ") for line in lines[1:-2])}


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("OPTIONS", b"SIP/2.0 200 OK"),
        ("REGISTER", b"SIP/2.0 401 Unauthorized"),
        ("INVITE", b"SIP/2.0 401 Unauthorized"),
        ("SUBSCRIBE", b"SIP/2.0 401 Unauthorized"),
        ("MESSAGE", b"SIP/2.0 401 Unauthorized"),
        ("BYE", b"SIP/2.0 481 "),
        ("CANCEL", b"SIP/2.0 481 "),
        ("NOTIFY", b"SIP/2.0 481 "),
        ("WHATEVER", b"SIP/2.0 501 "),
        ("options", b"SIP/2.0 501 "),
    ],
)
def test_each_method_has_its_answer(method: str, status: bytes) -> None:
    answer = answered(sip(method))
    assert answer is not None
    assert answer.startswith(status)


@pytest.mark.parametrize(
    "data",
    [
        sip("ACK"),
        sip().replace(b"Via:", b"Xia:"),
        b"SIP/2.0 200 OK\r\n\r\n",
        sip().replace(b"OPTIONS sip:100@203.0.113.9 SIP/2.0", b"SIP/2.0 401 Unauthorized"),
        b"",
        b"\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
def test_no_answer(data: bytes) -> None:
    assert answered(data) is None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (sip().replace(b" SIP/2.0\r\n", b" SIP/3.0\r\n", 1), b"SIP/2.0 505 "),
        (sip("OPTIONS", "Content-Length: 999"), b"SIP/2.0 400 "),
        (sip().replace(b"Call-ID: 845236589\r\n", b""), b"SIP/2.0 400 "),
        (sip().rstrip(b"\r\n"), b"SIP/2.0 200 "),
        (sip("INVITE").replace(b"203.0.113.9>\r\n", b"203.0.113.9>;tag=asdead\r\n", 1), b"SIP/2.0 481 "),
    ],
)
def test_malformed_requests_are_told_so(data: bytes, status: bytes) -> None:
    answer = answered(data)
    assert answer is not None
    assert answer.startswith(status)


def test_a_challenge_has_all_that_a_client_needs() -> None:
    answer = answered(sip("REGISTER"))
    assert answer is not None
    found = headers(answer)
    assert found["Via"] == "SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK-524287-1;rport=51044;received=192.0.2.7"
    assert found["From"] == '"100"<sip:100@203.0.113.9>;tag=6337303530303130313363340133'
    assert found["To"].startswith('"100"<sip:100@203.0.113.9>;tag=as')
    assert (found["Call-ID"], found["CSeq"]) == ("845236589", "1 REGISTER")
    assert found["WWW-Authenticate"].startswith('Digest algorithm=MD5,realm="asterisk",nonce="')


def test_received_says_where_a_request_with_another_sent_by_came_from() -> None:
    answer = answered(sip().replace(b"192.0.2.7:5060;branch=z9hG4bK-524287-1;rport", b"10.1.1.1;branch=z9hG4bK-5242"))
    assert answer is not None
    assert headers(answer)["Via"] == "SIP/2.0/UDP 10.1.1.1;branch=z9hG4bK-5242;received=192.0.2.7"


def test_extensions_are_not_told_apart() -> None:
    answers = [answered(sip("REGISTER", user=user)) for user in ("100", "199", "root")]
    assert len({answer.partition(b"\r\n")[0] for answer in answers if answer is not None}) == 1
    assert None not in answers


def test_right_or_wrong_credentials_are_challenged_again() -> None:
    answer = answered(sip("REGISTER", 'Authorization: Digest username="100",realm="asterisk",nonce="x",response="y"'))
    assert answer is not None
    assert answer.startswith(b"SIP/2.0 401 ")


def test_a_tiny_request_gets_nothing_rather_than_more() -> None:
    notices = Notices(lambda _: None)
    data = b"REGISTER sip:x SIP/2.0\r\nv:SIP/2.0/UDP a\r\nf:b\r\nt:c\r\ni:d\r\nCSeq:1 REGISTER\r\n\r\n"
    events, answer = handler(notices)(datagram(data), 0.0)
    assert len(events) == 1
    assert answer is None
    assert notices.total(WITHHELD_LARGE) == 1


def test_headers_shrink_before_the_answer_goes() -> None:
    padded = {
        len(answer) for n in range(0, 200, 4) if (answer := answered(sip("REGISTER", f"X: {'p' * n}"))) is not None
    }
    assert len(padded) > 3  # with and without Server, Content-Length, algorithm


@given(
    st.sampled_from(["OPTIONS", "REGISTER", "INVITE", "BYE", "FOO"]),
    st.lists(
        st.sampled_from(["Via: SIP/2.0/UDP b", "Max-Forwards: 1", "l: 9", "x", " folded", "v: SIP/2.0/UDP c;rport"]),
        max_size=5,
    ),
    st.integers(min_value=0, max_value=600),
)
def test_an_answer_over_udp_is_never_larger_than_its_request(method: str, extra: list[str], cut: int) -> None:
    data = sip(method, *extra)[: 600 - cut]
    answer = answered(data)
    assert answer is None or len(answer) <= len(data)


@given(st.binary(max_size=300))
def test_values_cannot_break_into_the_answer(value: bytes) -> None:
    value = value.replace(b"\n", b"")
    answer = answered(sip("OPTIONS", "X: " + "p" * 400).replace(b"Call-ID: 845236589", b"Call-ID: " + value))
    if answer is not None:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert body == b""
        assert all(line.partition(b":")[2] for line in head.split(b"\r\n")[1:])
        assert head.count(b"\r") == head.count(b"\r\n")


def test_unproven_sources_have_a_rate_and_proven_ones_none() -> None:
    notices = Notices(lambda _: None)
    handle = handler(notices, TokenBuckets(1, 2, 100, 100))
    results = [handle(datagram(sip()), 0.0) for _ in range(5)]
    assert [answer is not None for _, answer in results] == [True, True, False, False, False]
    assert all(len(events) == 1 for events, _ in results)
    assert notices.total(WITHHELD_RATE) == 3
    nonce = Prover(KEY).nonce("192.0.2.7", 1000.0).decode()
    events, answer = handle(datagram(sip("REGISTER", f'Authorization: Digest username="1",nonce="{nonce}"')), 0.0)
    assert events[0].trusted["verified"] == "yes"
    assert answer is not None


def test_a_nonce_proves_its_source_for_its_lifetime() -> None:
    prover = Prover(KEY)
    nonce = prover.nonce("192.0.2.7", 1000.0)
    assert len(nonce) == 16
    assert prover.proves(nonce, "192.0.2.7", 1000.0)
    assert prover.proves(nonce, "192.0.2.7", 1000.0 + LIFETIME - 8)
    assert not prover.proves(nonce, "192.0.2.7", 1000.0 + LIFETIME + 16)
    assert not prover.proves(nonce, "192.0.2.7", 1000.0 + 8 * 65536)  # the clock's bits came round
    assert not prover.proves(nonce, "192.0.2.8", 1000.0)
    assert not Prover(b"other" * 4).proves(nonce, "192.0.2.7", 1000.0)
    assert Prover().nonce("192.0.2.7", 1.0) != Prover().nonce("192.0.2.7", 1.0)
    assert prover.proves(prover.nonce("2001:db8::1", 5.0), "2001:db8::1", 6.0)


@given(st.binary(max_size=40))
def test_a_made_up_nonce_proves_nothing(nonce: bytes) -> None:
    assert not Prover(KEY).proves(nonce, "192.0.2.7", 1000.0)


def test_a_persona_cannot_break_a_header() -> None:
    persona = Persona('a\r\nX: "b"', 'r"e\\a\nlm')
    assert persona.server == b'aX: "b"'
    assert persona.realm == b"realm"


def test_tags_stay_the_same_when_a_request_is_sent_again() -> None:
    request = parse(sip("INVITE"))
    assert request is not None
    assert answerer().answer(request, FLOW, None) == answerer().answer(request, FLOW, None)
