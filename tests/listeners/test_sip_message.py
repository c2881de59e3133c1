"""Reading SIP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener_harness import record, sip
from strandline.protocols.sip.event import malformed_event, request_event
from strandline.protocols.sip.message import credentials, is_response, parse


def test_a_request_is_read() -> None:
    request = parse(sip("REGISTER"))
    assert request is not None
    assert (request.method, request.uri, request.malformed) == (b"REGISTER", b"sip:100@203.0.113.9", "-")
    assert request.header(b"user-agent") == b"friendly-scanner"
    assert request.header(b"contact") == b"sip:100@192.0.2.7:5060"


@pytest.mark.parametrize(
    ("data", "malformed"),
    [
        (sip(line_end="\n"), "-"),
        (sip().rstrip(b"\r\n"), "headers"),
        (sip().removesuffix(b"\r\n"), "headers"),
        (sip("OPTIONS", "Content-Length: 999"), "length"),
        (sip("OPTIONS", "Content-Length: -1"), "length"),
        (sip("OPTIONS", "Content-Length: 99999999999999999999"), "length"),
        (sip("OPTIONS", "Content-Length: 0", "l: 1"), "length"),
        (sip("OPTIONS", "Content-Length: 0", "no colon"), "headers"),
        (sip("OPTIONS", "Content-Length: 0") + b"more than said", "-"),
        (sip().replace(b"Via:", b"Xia:"), "via"),
        (sip().replace(b"Via: SIP/2.0/UDP", b"Via: HTTP"), "via"),
        (sip().replace(b" SIP/2.0\r\n", b" SIP/7.0\r\n", 1), "version"),
        (sip().replace(b" SIP/2.0\r\n", b"\r\n", 1), "version"),
        (sip().replace(b"CSeq: 1 OPTIONS", b"CSeq: one OPTIONS"), "headers"),
        (sip().replace(b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE"), "headers"),
        (sip().replace(b"Call-ID:", b"Kall-ID:"), "headers"),
        (b"OPTIONS sip:100@203.0.113.9 SIP/2.0", "via+headers"),
        (sip("OPTIONS", *[f"X-{n}: 1" for n in range(200)]), "headers"),
    ],
)
def test_what_is_wrong_is_named_and_the_rest_is_read(data: bytes, malformed: str) -> None:
    request = parse(data)
    assert request is not None
    assert request.method == b"OPTIONS"
    assert request.malformed == malformed


@pytest.mark.parametrize(
    ("line", "uri", "malformed"),
    [
        (b"OPTIONS  SIP/2.0", b"", "line"),
        (b"OPTIONS SIP/2.0", b"", "line"),
        (b"OPTIONS  sip:x SIP/2.0", b"sip:x", "line"),
        (b"OPTIONS sip:x  SIP/2.0", b"sip:x", "line"),
        (b"OPTIONS <sip:x> SIP/2.0", b"<sip:x>", "line"),
        (b"OPTIONS sip:x y SIP/2.0", b"sip:x y", "line"),
        (b"OPTIONS\tsip:x\tSIP/2.0", b"sip:x", "line"),
        (b" OPTIONS sip:x SIP/2.0", b"sip:x", "line"),
        (b"\t \r\nOPTIONS sip:x SIP/2.0", b"sip:x", "line"),
        (b"OPTIONS sip:x SIP/2.0 \t", b"sip:x", "line"),
        (b"OPTIONS 100 SIP/2.0", b"100", "line"),
        (b'OPTIONS sip:"x SIP/2.0', b'sip:"x', "line"),
        (b"OPTIONS sip:\xffx SIP/2.0", b"sip:\xffx", "line"),
        (b"OPTIONS <sip:x>", b"<sip:x>", "line+version"),
        (b"OPTIONS sip:x", b"sip:x", "version"),
        (b"OPTIONS sip:x sip/2.0", b"sip:x", "-"),
        (b"\r\n\r\nOPTIONS sip:x SIP/2.0", b"sip:x", "-"),
    ],
)
def test_request_lines(line: bytes, uri: bytes, malformed: str) -> None:
    for data in (sip(), sip(line_end="\n")):
        start, _, rest = data.partition(b"\n")
        request = parse(line + b"\r" * start.endswith(b"\r") + b"\n" + rest)
        assert request is not None
        assert (request.method, request.uri, request.malformed) == (b"OPTIONS", uri, malformed)
        assert request.header(b"user-agent") == b"friendly-scanner"


@pytest.mark.parametrize(
    "via", [b"SIP / 2.0 / UDP a", b"SIP/2.0/UDP a", b"sip\t/2.0/UDP a", b"SIP\r\n /2.0\r\n /UDP a"]
)
def test_a_via_with_blanks_is_one(via: bytes) -> None:
    data = sip().replace(b"SIP/2.0/UDP 192.0.2.7:5060", via)
    request = parse(data)
    assert request is not None
    assert request.malformed == "-"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"\x00",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS rtsp://x RTSP/1.0\r\n\r\n",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"OPTIONS",
        b" sip:x SIP/2.0\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    ],
)
def test_what_is_no_request_is_not_parsed(data: bytes) -> None:
    assert parse(data) is None


def test_responses_are_told_by_their_start() -> None:
    assert is_response(b"SIP/2.0 200 OK\r\n\r\n")
    assert is_response(b"sip/2.0 ")
    assert not is_response(sip())


def test_compact_and_folded_headers() -> None:
    request = parse(
        b"OPTIONS sip:x SIP/2.0\r\nv: SIP/2.0/UDP a\r\nf : b\r\n \tc\r\nT:d\r\ni: e\r\nCSEQ: 1 OPTIONS\r\n\r\n"
    )
    assert request is not None
    assert request.malformed == "-"
    assert (request.header(b"from"), request.header(b"to")) == (b"b c", b"d")


def test_a_uri_with_spaces_is_kept_whole() -> None:
    request = parse(b"INVITE sip:1 2 3@x SIP/2.0\r\n\r\n")
    assert request is not None
    assert request.uri == b"sip:1 2 3@x"
    assert "line" in request.wrong


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (
            b'Digest username="100", realm="asterisk",nonce="0a",uri="sip:x, y=z" , response="ff",algorithm=MD5, nc=01',
            {
                b"username": b"100",
                b"realm": b"asterisk",
                b"nonce": b"0a",
                b"uri": b"sip:x, y=z",
                b"response": b"ff",
                b"algorithm": b"MD5",
                b"nc": b"01",
            },
        ),
        (b'DIGEST username="a\\"b"', {b"username": b'a\\"b'}),
        (b'Digest username="open', {b"username": b"open"}),
        (b"Digest username", {}),
        (b"Digest ", {}),
        (b"Basic cm9vdDp4", {}),
        (b'Digest username=bare , username="second"', {b"username": b"bare"}),
    ],
)
def test_credentials(value: bytes, sent: dict[bytes, bytes]) -> None:
    request = parse(b"REGISTER sip:x SIP/2.0\r\nAuthorization: " + value + b"\r\n\r\n")
    assert request is not None
    assert credentials(request) == sent


def test_proxy_credentials_count_too() -> None:
    request = parse(b'INVITE sip:x SIP/2.0\r\nProxy-Authorization: Digest username="7"\r\n\r\n')
    assert request is not None
    assert record(request_event(request, False)).values["auth_user"] == '"7"'


@given(st.binary(max_size=3000))
def test_any_bytes_make_at_most_one_line_of_the_grammar(data: bytes) -> None:
    request = parse(data)
    record(request_event(request, True) if request is not None else malformed_event("garbage", data, False))


_PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b" ", b":", b";", b",", b'"', b"\\", b"=", b"Digest ", b"Via: SIP/2.0/UDP x"]
)


@given(st.lists(st.one_of(_PIECES, st.binary(max_size=20), st.sampled_from(sip().split(b"\r\n"))), max_size=40))
def test_anything_behind_a_request_line_is_a_request(pieces: list[bytes]) -> None:
    for header in (b"", b"Authorization: Digest ", b"Content-Length: "):
        request = parse(b"INVITE sip:x SIP/2.0\r\n" + header + b"".join(pieces))
        assert request is not None
        record(request_event(request, False))
