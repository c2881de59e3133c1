"""What a PBX would answer (RFC 3261, section 8.2 and 22): every account needs a password, and nobody is let in.

- OPTIONS is answered 200 and says what the PBX can; REGISTER, INVITE and others are challenged with 401, again and
  again, whatever the extension and the credentials are: as Asterisk does, an extension that exists is not told from
  one that does not.
- There is no answer to a response, to ACK (section 17.1.1.3), and to what has no Via.
- Stateless as section 8.2.7 allows: no provisional answers, nothing sent again.
- Over UDP an answer is never larger than its request: what could be forged does not pay. Optional headers go first,
  then long header names, and if that does not help, nothing is sent.
"""

from __future__ import annotations

from .message import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...event.line import Flow
    from .nonce import Prover

_CHALLENGED = frozenset([b"REGISTER", b"INVITE", b"SUBSCRIBE", b"PUBLISH", b"MESSAGE", b"REFER"])
_WITHOUT_DIALOG = frozenset([b"BYE", b"CANCEL", b"UPDATE", b"INFO", b"PRACK", b"NOTIFY"])
_ALLOW = b"INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, MESSAGE"

_OK = b"200 OK"
_BAD_REQUEST = b"400 Bad Request"
_UNAUTHORIZED = b"401 Unauthorized"
_TOO_LARGE = b"413 Request Entity Too Large"
_NO_DIALOG = b"481 Call leg/transaction does not exist"
_NOT_IMPLEMENTED = b"501 Method Not Implemented"
_VERSION = b"505 Version Not Supported"


_LONG = (b"Via: ", b"From: ", b"To: ", b"Call-ID: ", b"CSeq: ")
_SHORT = (b"v: ", b"f: ", b"t: ", b"i: ", b"CSeq: ")


class Persona:
    """Which PBX we look like: Server and the realm of its challenges."""

    __slots__ = ("_fitting", "_lines", "_sizes", "realm", "server")

    def __init__(self, server: str, realm: str) -> None:
        # Both come from the operator; what would break the header is left out.
        self.server = "".join(c for c in server if " " <= c <= "~").encode("ascii")
        self.realm = "".join(c for c in realm if " " <= c <= "~" and c not in '"\\').encode("ascii")
        self._lines: dict[bytes, list[bytes]] = {}
        self._sizes: dict[bytes, int] = {}
        self._fitting: dict[tuple[bytes, int], bytes] = {}

    def optional(self, code: bytes) -> list[bytes]:
        """The headers of an answer with this status that could be left out, each a whole line, most wanted first."""
        lines = self._lines.get(code)
        if lines is None:
            lines = [b"Server: %s\r\n" % self.server] if self.server else []
            lines.append(b"Content-Length: 0\r\n")
            if code in (_OK, _NOT_IMPLEMENTED):
                lines.append(b"Allow: %s\r\n" % _ALLOW)
            if code == _OK:
                lines += [b"Supported: replaces, timer\r\n", b"Accept: application/sdp\r\n"]
            self._lines[code], self._sizes[code] = lines, sum(map(len, lines))
        return lines

    def fitting(self, code: bytes, room: int) -> bytes:
        """Those of them that fit into `room` bytes, the most wanted first."""
        room = min(room, self.optional_size(code))  # so that there are few different ones to remember
        known = self._fitting.get((code, room))
        if known is None:
            known, left = b"", room
            for line in self.optional(code):
                if len(line) <= left:
                    known += line
                    left -= len(line)
            self._fitting[code, room] = known
        return known

    def optional_size(self, code: bytes) -> int:
        """Bytes of all of them together."""
        self.optional(code)
        return self._sizes[code]


def status(request: Request, body_too_large: bool = False) -> bytes | None:
    """Code and reason of the answer, None for no answer."""
    if request.method == b"ACK" or "via" in request.wrong:
        return None
    return _refusal(request, body_too_large) or _by_method(request)


def _refusal(request: Request, body_too_large: bool) -> bytes | None:
    if "version" in request.wrong:
        return _VERSION
    if body_too_large:
        return _TOO_LARGE
    # A missing blank line hides nothing that an answer needs; a missing header does. A Content-Length that is missing
    # on a stream is read as 0.
    lacking = "headers" in request.wrong and not all(map(request.header, (b"from", b"to", b"call-id", b"cseq")))
    untrue = "length" in request.wrong and bool(request.header(b"content-length"))
    return _BAD_REQUEST if lacking or untrue or not request.uri else None


def _by_method(request: Request) -> bytes:
    if request.method == b"OPTIONS":
        return _OK
    in_dialog = b"tag=" in request.header(b"to").lower()
    if request.method in _WITHOUT_DIALOG or (in_dialog and request.method in _CHALLENGED - {b"REGISTER"}):
        return _NO_DIALOG
    return _UNAUTHORIZED if request.method in _CHALLENGED else _NOT_IMPLEMENTED


def compose(
    request: Request, code: bytes, flow: Flow, persona: Persona, prover: Prover, now: float, limit: int | None
) -> bytes | None:
    """The answer with the status `code`, at most `limit` bytes (None: as long as it likes), None when it does not
    fit."""
    challenge = b""
    if code == _UNAUTHORIZED:
        challenge = b'realm="%s",nonce="%s"' % (persona.realm, prover.nonce(flow.saddr, now))
    if request.plain and not request.wrong:
        mandatory = _at_once(request, code, flow, prover, challenge)
        room = persona.optional_size(code) if limit is None else limit - len(mandatory) - 2
        if mandatory and room >= 0:
            return b"%b%b\r\n" % (mandatory, persona.fitting(code, room))
    for mandatory in _mandatory(request, flow, prover, challenge):
        # A CR inside a value was no line end to us, and must be none to the other side.
        answer = b"SIP/2.0 %s\r\n%s" % (code, mandatory.replace(b"\r", b" ").replace(b"\n", b"\r\n"))
        room = persona.optional_size(code) if limit is None else limit - len(answer) - 2
        if room >= 0:
            return answer + persona.fitting(code, room) + b"\r\n"
    return None


def _at_once(request: Request, code: bytes, flow: Flow, prover: Prover, challenge: bytes) -> bytes:
    """Status line and mandatory headers for a request as most are, byte by byte the longest version of `_mandatory`;
    empty for any other."""
    first = request.first
    via, to = first[b"via"], first[b"to"]
    lower = via.lower()
    # One element, which asks once where it came from and does not claim to know (RFC 3581, section 4).
    if lower.count(b"rport") != 1 or b"received" in lower or b"," in via or b" ;" in via or b"tag=" in to.lower():
        return b""
    if via.endswith(b";rport"):
        via += b"=%d" % flow.sport
    elif b";rport;" in via:
        via = via.replace(b";rport;", b";rport=%d;" % flow.sport)
    else:
        return b""
    saddr = flow.saddr.encode("ascii")
    sender, call_id = first[b"from"], first[b"call-id"]
    if challenge:
        challenge = b"WWW-Authenticate: Digest algorithm=MD5,%b\r\n" % challenge
    return b"SIP/2.0 %b\r\nVia: %b;received=%b\r\nFrom: %b\r\nTo: %b;tag=as%b\r\nCall-ID: %b\r\nCSeq: %b\r\n%b" % (
        code,
        via,
        saddr,
        sender,
        to,
        prover.tag(call_id, sender, saddr),
        call_id,
        first[b"cseq"],
        challenge,
    )


def _mandatory(request: Request, flow: Flow, prover: Prover, challenge: bytes) -> Iterator[bytes]:
    """The headers that there must be (section 8.2.6.2), each ended by LF, in versions of falling size."""
    vias = request.values(b"via")
    seen = [_with_source(vias[0], flow), *vias[1:]]
    sender, to, call_id = request.header(b"from"), request.header(b"to"), request.header(b"call-id")
    if to and b"tag=" not in to.lower():
        to += b";tag=as" + prover.tag(call_id, sender, flow.saddr.encode("ascii"))
    rest = (sender, to, call_id, request.header(b"cseq"))
    for names, these, algorithm in (
        (_LONG, seen, b"algorithm=MD5,"),
        (_LONG, seen, b""),
        (_SHORT, seen, b""),
        (_SHORT, vias, b""),
    ):
        headers = b"".join([names[0] + value + b"\n" for value in these])
        if all(rest):
            headers += b"%s%s\n%s%s\n%s%s\n%s%s\n" % (
                names[1], rest[0], names[2], rest[1], names[3], rest[2], names[4], rest[3],
            )  # fmt: skip
        else:
            headers += b"".join([name + value + b"\n" for name, value in zip(names[1:], rest, strict=True) if value])
        if challenge:
            headers += b"WWW-Authenticate: Digest " + algorithm + challenge + b"\n"
        yield headers


def _with_source(via: bytes, flow: Flow) -> bytes:
    """The topmost Via with where the request came from (section 18.2.1; RFC 3581, section 4). Nothing is ever sent
    there: an answer goes to the peer of the socket."""
    element, comma, rest = via.partition(b",")
    sent_by, *parameters = element.split(b";")
    address = flow.saddr.encode("ascii")
    asked = False
    for index, parameter in enumerate(parameters):
        name = parameter.partition(b"=")[0].strip().lower()
        if name == b"received":
            return via
        if name == b"rport":
            asked = True
            if b"=" not in parameter:
                parameters[index] = b"rport=%d" % flow.sport
    if asked or address not in sent_by:
        parameters.append(b"received=" + address)
    return b";".join([sent_by.rstrip(b" \t"), *parameters]) + comma + rest
