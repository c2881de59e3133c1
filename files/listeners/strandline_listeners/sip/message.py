"""SIP messages read leniently: pure functions that never raise, whatever the bytes are.

Scanners send what no parser of the standard would take: LF line ends, no final blank line, no Via, a Content-Length
of 999. What can be read is read, and `malformed` says what was wrong.
"""

from __future__ import annotations

HEADERS_MAX = 128
"""Header lines that are read; more are counted as malformed."""

# RFC 3261, section 7.3.3 and 20
_COMPACT = {
    b"v": b"via",
    b"f": b"from",
    b"t": b"to",
    b"m": b"contact",
    b"i": b"call-id",
    b"l": b"content-length",
    b"c": b"content-type",
    b"e": b"content-encoding",
    b"k": b"supported",
    b"s": b"subject",
}
# RFC 3261, section 8.1.1, without Max-Forwards, which nobody needs to be answered
_MANDATORY = (b"from", b"to", b"call-id", b"cseq")
_SCHEMES = (b"sip:", b"sips:", b"tel:", b"urn:", b"*")
_WRONG = ("length", "via", "version", "headers")


class Request:
    """A SIP request, as far as it could be read. Header names are in lower case and long, values are stripped and
    unfolded."""

    __slots__ = ("body_length", "complete", "content_length", "headers", "method", "uri", "version", "wrong")

    def __init__(self, method: bytes, uri: bytes, version: bytes) -> None:
        self.method, self.uri, self.version = method, uri, version
        self.headers: list[tuple[bytes, bytes]] = []
        self.content_length: int | None = None
        """What Content-Length says; None without a usable one."""
        self.body_length = 0
        """Bytes that stood behind the headers."""
        self.complete = False
        """The blank line after the headers was there."""
        self.wrong: set[str] = set()

    def header(self, name: bytes) -> bytes:
        """The first value of the header, empty when it is absent."""
        return next((value for known, value in self.headers if known == name), b"")

    @property
    def malformed(self) -> str:
        """The catalogue's field: `-`, or what was wrong, several joined with `+`."""
        return "+".join(word for word in _WRONG if word in self.wrong) or "-"


def is_response(data: bytes) -> bool:
    """Whether the message starts as a Status-Line (RFC 3261, section 7.2)."""
    return data[:4].upper() == b"SIP/"


def first_line(data: bytes) -> bytes:
    """The start line without its line end."""
    return data.partition(b"\n")[0].rstrip(b"\r")


def request_line(line: bytes) -> Request | None:
    """Method, URI and version of a Request-Line (section 7.1), None when it is none.

    A line of another protocol, such as `GET / HTTP/1.1`, is none. A URI may hold spaces, and the version may be
    missing or odd where a URI's scheme shows that SIP was meant.
    """
    words = line.split(b" ")
    if len(words) < 2 or not words[0] or is_response(line):
        return None
    if len(words) > 2 and words[-1][:4].upper() == b"SIP/":
        return Request(words[0], b" ".join(words[1:-1]), words[-1])
    if len(words) == 2 and words[1].lower().startswith(_SCHEMES[:-1]):
        return Request(words[0], words[1], b"")
    return None


def parse(data: bytes, stream: bool = False) -> Request | None:
    """The request that `data` holds from its first byte on, None when it is none.

    For a datagram everything behind the blank line is the body; from a stream come the headers alone (section 18.3).
    """
    request = request_line(first_line(data))
    if request is None:
        return None
    _read_headers(request, data)
    if request.version.upper() != b"SIP/2.0":
        request.wrong.add("version")
    if not request.header(b"via").upper().startswith(b"SIP/"):
        request.wrong.add("via")
    if not request.complete or not all(request.header(name) for name in _MANDATORY) or not _sound_cseq(request):
        request.wrong.add("headers")
    _read_length(request)
    if stream:
        if request.content_length is None:
            request.wrong.add("length")
    elif request.content_length is not None and request.content_length > request.body_length:
        request.wrong.add("length")
    return request


def _read_headers(request: Request, data: bytes) -> None:
    position = data.find(b"\n") + 1 or len(data)
    lines = 0
    while position < len(data):
        end = data.find(b"\n", position)
        line = data[position : end if end >= 0 else len(data)].rstrip(b"\r")
        position = end + 1 if end >= 0 else len(data)
        if not line:
            request.complete = True
            break
        lines += 1
        if lines > HEADERS_MAX:
            request.wrong.add("headers")
        elif line[:1] in b" \t" and request.headers:  # folded, section 7.3.1
            name, value = request.headers[-1]
            request.headers[-1] = (name, value + b" " + line.strip(b" \t"))
        else:
            name, colon, value = line.partition(b":")
            name = name.strip(b" \t").lower()
            if colon and name:
                request.headers.append((_COMPACT.get(name, name), value.strip(b" \t")))
            else:
                request.wrong.add("headers")
    request.body_length = len(data) - position


def _sound_cseq(request: Request) -> bool:
    """CSeq is a number and the method (section 8.1.1.5)."""
    words = request.header(b"cseq").split()
    return len(words) == 2 and words[0].isdigit() and words[1] == request.method


def _read_length(request: Request) -> None:
    stated = {value for name, value in request.headers if name == b"content-length"}
    if len(stated) == 1:
        (text,) = stated
        if text.isdigit() and len(text) <= 9:
            request.content_length = int(text)
            return
    if stated:
        request.wrong.add("length")


def credentials(request: Request) -> dict[bytes, bytes]:
    """Parameters of the first Digest credentials (RFC 3261, section 22; RFC 7616, section 3.4), names in lower case.

    Quotes are removed, what stands between them is left as it was sent.
    """
    for name in (b"authorization", b"proxy-authorization"):
        for known, value in request.headers:
            scheme, _, rest = value.partition(b" ")
            if known == name and scheme.lower() == b"digest":
                return _parameters(rest)
    return {}


def _parameters(text: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    position = 0
    while position < len(text):
        equals = text.find(b"=", position)
        if equals < 0:
            break
        name = text[position:equals].strip(b" \t,").lower()
        position = equals + 1
        while text[position : position + 1] in (b" ", b"\t"):
            position += 1
        if text[position : position + 1] == b'"':
            end = position + 1
            while end < len(text) and text[end : end + 1] != b'"':
                end += 2 if text[end : end + 1] == b"\\" else 1
            value = text[position + 1 : end]
            position = end + 1
        else:
            end = text.find(b",", position)
            end = end if end >= 0 else len(text)
            value = text[position:end].strip(b" \t")
            position = end
        found.setdefault(name, value)
    return found
