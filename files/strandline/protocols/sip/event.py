"""The catalogue's events of SIP, made from messages: for the listener, and for who reads another program's log."""

from __future__ import annotations

from ...event.line import Event
from .message import credentials

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .message import Request


def request_event(request: Request, verified: bool, sent: dict[bytes, bytes] | None = None) -> Event:
    """sip.request of the catalogue; `sent` are the request's credentials where they are known already."""
    if sent is None:
        sent = credentials(request)
    header, parameter = request.first.get, sent.get
    return Event(
        "sip.request",
        {"verified": "yes" if verified else "no", "malformed": request.malformed},
        {
            "method": request.method,
            "uri": request.uri,
            "from": header(b"from", b""),
            "to": header(b"to", b""),
            "contact": header(b"contact", b""),
            "call_id": header(b"call-id", b""),
            "cseq": header(b"cseq", b""),
            "user_agent": header(b"user-agent", b""),
            "auth_user": parameter(b"username", b""),
            "auth_realm": parameter(b"realm", b""),
            "auth_nonce": parameter(b"nonce", b""),
            "auth_uri": parameter(b"uri", b""),
            "auth_response": parameter(b"response", b""),
        },
    )


def malformed_event(reason: str, data: bytes, verified: bool) -> Event:
    """sip.malformed of the catalogue."""
    return Event("sip.malformed", {"verified": "yes" if verified else "no", "reason": reason}, {"data": data})
