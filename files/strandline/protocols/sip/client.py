"""OPTIONS, whose Call-ID is the client's to choose (RFC 3261, section 20.8)."""

from __future__ import annotations

EVENT, FIELD = "sip.request", "call_id"
SPEAKS_FIRST = False
_OPTIONS = (
    "OPTIONS sip:{host} SIP/2.0\r\n"
    "Via: SIP/2.0/{proto} {host}:5060;branch=z9hG4bK{mark};rport\r\n"
    "Max-Forwards: 70\r\n"
    "From: <sip:canary@canary.invalid>;tag={mark}\r\n"
    "To: <sip:{host}>\r\n"
    "Call-ID: {mark}@canary.invalid\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "User-Agent: strandline-canary\r\n"
    "Content-Length: 0\r\n"
    "\r\n"
)


def value(mark: str) -> str:
    return f"{mark}@canary.invalid"


def say(mark: str, host: str, proto: str) -> bytes:
    return _OPTIONS.format(host=host, proto=proto.upper(), mark=mark).encode("ascii")


def understood(said: bytes, proto: str) -> bool:  # noqa: ARG001
    return said.startswith(b"SIP/2.0 ")
