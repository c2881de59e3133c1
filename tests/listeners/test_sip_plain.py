"""A request as most are is read and answered by a short way; it must come to the same as the long one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from listener_harness import PERSONA, sip
from strandline.event.line import Flow
from strandline.protocols.sip import answer, message
from strandline.protocols.sip.answer import compose, status
from strandline.protocols.sip.message import Request, parse
from strandline.protocols.sip.nonce import Prover

FLOW = Flow("192.0.2.7", 51044, "203.0.113.9", 5060, "udp")
PROVER = Prover(b"k" * 32)

PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"  ", b"\t", b":", b": ", b";", b",", b'"', b"\\", b"=", b"\x01", b"\xff", b"\v",
    b"rport", b";rport", b";rport=1", b";RPORT", b" ;rport", b";rport;x", b";received=1", b";tag=1", b";TAG=1",
    b"\r\n Folded: x", b"\r\nv: SIP/2.0/TCP y;rport", b"\r\nl: 3", b"\r\nX-Other: 1", b"\r\nX Y: 1", b"\r\n\r\n",
    b"SIP/2.0",
]  # fmt: skip

DATA = [sip(), sip("REGISTER"), sip("INVITE", "Content-Length: 5") + b"v=0\r\n", sip("BYE").replace(b";rport", b"")]


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request into which some pieces were written."""
    data = draw(st.sampled_from(DATA))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from(PIECES)) + data[at + draw(st.sampled_from([0, 0, 1, 9])) :]
    return data


def everything(request: Request | None) -> list[object] | None:
    if request is None:
        return None
    return [getattr(request, name) for name in Request.__slots__ if name != "plain"]


@given(requests())
def test_the_short_way_and_the_long_one_agree(data: bytes) -> None:
    found = parse(data)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(message, "_plain_headers", lambda _head: None)
        patched.setattr(message, "_PLAIN_LINE", re.compile(b"(?!)"))
        slowly = parse(data)
    assert everything(found) == everything(slowly)
    if found is None or slowly is None or (code := status(found)) is None:
        return
    assert not slowly.plain
    for limit in (None, len(data), len(data) - 40):
        assert compose(found, code, FLOW, PERSONA, PROVER, 1.0, limit) == compose(
            slowly, code, FLOW, PERSONA, PROVER, 1.0, limit
        )


@pytest.mark.parametrize("method", ["OPTIONS", "REGISTER"])
def test_what_scanners_send_goes_the_short_way(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(message, "_read_odd_headers")
    monkeypatch.delattr(answer, "_mandatory")
    request = parse(sip(method))
    assert request is not None
    code = status(request)
    assert code is not None
    assert compose(request, code, FLOW, PERSONA, PROVER, 1.0, None)
