"""SIP messages read leniently: pure functions that never raise, whatever the bytes are.

Scanners send what no parser of the standard would take: LF line ends, no final blank line, blanks around the request
line, no Via, a Content-Length of 999. What can be read is read, and `malformed` says what was wrong.

A line ends at LF; carriage returns right before it belong to the line's end, whatever their number. The blank line is a
line with nothing but its end. Framing on a stream and reading a message share these expressions.
"""

from __future__ import annotations

import re

HEADERS_MAX = 128
"""Header lines that are read; more are counted as malformed."""

HEAD_SIZE_MAX = 16384
"""Bytes of a datagram's start line and headers that are read; more are counted as malformed."""

CSEQ_DIGITS_MAX = 10
"""Digits of CSeq's number, which is below 2**31 (section 8.1.1.5)."""

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
_USUAL = (
    b"Via", b"From", b"To", b"Call-ID", b"CSeq", b"Contact", b"Max-Forwards", b"User-Agent", b"Content-Length",
    b"Accept", b"Allow", b"Supported", b"Expires", b"Content-Type", b"Authorization", b"Proxy-Authorization",
)  # fmt: skip
_NAMES = {name: name.lower() for name in _USUAL} | _COMPACT
"""Names as they are mostly written, so that these need no work."""

_known_names = frozenset(_NAMES.values())
_PRINTABLE = bytes(range(0x20, 0x7F))
_LINE_ENDS = b"\r\n" * HEADERS_MAX


_WRONG = ("line", "length", "via", "version", "headers")

BLANK_LINE = re.compile(rb"\n\r*\n")
"""The end of the line before the blank line, and the blank line."""

LEADING = re.compile(rb"[ \t\r\n\v\f]*")
"""What may stand before a message (section 7.5); blanks in it are wrong. They are the bytes that `strip` and `split`
below remove: if two places disagree on them, neither consumes them, and they are read again and again."""

# Most are like this; what is not goes through _odd_line.
_PLAIN_LINE = re.compile(rb"([A-Z]+) ([A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20\x7f-\xff<>\"]+) (SIP/2\.0)\r*\n")
_METHOD = re.compile(rb"[A-Za-z0-9.!%*_+`'~-]+")  # a token of section 25.1
_URI = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*:[^\x00-\x20\x7f-\xff<>\"]+")
_SCHEME = re.compile(rb"<?(?:sips?|tel|urn):", re.I)
# Name, colon, value with its folded lines (section 7.3.1). What has no colon is found as well.
_HEADER = re.compile(rb"([^\n:]*)(:?)[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)\n?")
_FOLD = re.compile(rb"[ \t\r]*\n[ \t]+")
_VIA = re.compile(rb"SIP[ \t]*/", re.I)  # blanks around the slash are legal (section 25.1, SLASH)
# A line in which a word begins with the version: next_start looks at it more closely.
_CANDIDATE = re.compile(rb"^[^\n]*SIP/\d[^\n]*", re.M | re.I)
_STATUS = re.compile(rb"[ \t]*SIP/\d[^ \t]*[ \t]+\d{3}(?:[ \t]|$)", re.I)


class Request:
    """A SIP request, as far as it could be read. Header names are in lower case and long, values are stripped and
    unfolded."""

    __slots__ = (
        "body_length", "complete", "content_length", "first", "method", "plain", "repeated", "uri", "version", "wrong",
    )  # fmt: skip

    def __init__(self, method: bytes, uri: bytes, version: bytes) -> None:
        self.method, self.uri, self.version = method, uri, version
        self.first: dict[bytes, bytes] = {}
        """The first value of each header."""
        self.repeated: list[tuple[bytes, bytes]] = []
        """The headers that came again, in order."""
        self.content_length: int | None = None
        """What Content-Length says; None without a usable one."""
        self.body_length = 0
        """Bytes that stood behind the headers."""
        self.complete = False
        """The blank line after the headers was there."""
        self.wrong: set[str] = set()
        self.plain = False
        """Each header came once, on one line, and no value is empty or has a line feed or carriage return."""

    def header(self, name: bytes) -> bytes:
        """The first value of the header, empty when it is absent."""
        return self.first.get(name, b"")

    def values(self, name: bytes) -> list[bytes]:
        """All values of the header, in order."""
        if name not in self.first:
            return []
        if not self.repeated:
            return [self.first[name]]
        return [self.first[name], *[value for known, value in self.repeated if known == name]]

    @property
    def malformed(self) -> str:
        """The catalogue's field: `-`, or what was wrong, several joined with `+`."""
        if not self.wrong:
            return "-"
        return "+".join(word for word in _WRONG if word in self.wrong)


def is_response(data: bytes) -> bool:
    """Whether the message starts as a Status-Line (RFC 3261, section 7.2)."""
    return data[:4].upper() == b"SIP/"


def first_line(data: bytes) -> bytes:
    """The start line without its line end."""
    return data.partition(b"\n")[0].rstrip(b"\r")


def request_line(line: bytes) -> Request | None:
    """Method, URI and version of a Request-Line (section 7.1); None for any other line.

    A line of another protocol, such as `GET / HTTP/1.1`, does not count. There may be blanks around it and in it; the
    URI or the version may be missing where the other shows that SIP was meant.
    """
    inner = line.strip()
    words = inner.split()
    if len(words) < 2 or is_response(inner):
        return None
    if words[-1][:4].upper() == b"SIP/":
        uri, version = inner[len(words[0]) : -len(words[-1])].strip(), words[-1]
        if not uri and not _METHOD.fullmatch(words[0]):
            return None
    elif _SCHEME.match(words[1]):
        uri, version = inner[len(words[0]) :].strip(), b""
    else:
        return None
    request = Request(words[0], uri, version)
    as_it_should = b" ".join((request.method, uri, version)) if version else request.method + b" " + uri
    if line != as_it_should or not _METHOD.fullmatch(request.method) or not _URI.fullmatch(uri):
        request.wrong.add("line")
    return request


def next_start(data: bytes) -> int:
    """Where a line begins that is a Request-Line or a Status-Line with its version, -1 when none does."""
    for found in _CANDIDATE.finditer(data):
        line = found[0].rstrip(b"\r")
        if _STATUS.match(line):
            return found.start()
        request = request_line(line)
        if request is not None and request.version and request.uri and _METHOD.fullmatch(request.method):
            return found.start()
    return -1


def parse(data: bytes, stream: bool = False) -> Request | None:
    """The request that `data` holds; None when it holds anything else.

    For a datagram everything behind the blank line is the body; from a stream come the headers alone (section 18.3).
    """
    plain = _PLAIN_LINE.match(data)
    if plain is not None:
        request = Request(*plain.groups())
        begin = plain.end()
    else:
        start = LEADING.match(data).end()  # type: ignore[union-attr] # it always matches
        line_end = data.find(b"\n", start)
        line = data[start : line_end if line_end >= 0 else len(data)].rstrip(b"\r")
        odd = request_line(line)
        if odd is None:
            return None
        request = odd
        begin = line_end + 1 if line_end >= 0 else len(data)
        if data[:start].strip(b"\r\n"):
            request.wrong.add("line")
        if request.version.upper() != b"SIP/2.0":
            request.wrong.add("version")
    _read_headers(request, data, begin)
    _check(request, stream)
    return request


def _read_headers(request: Request, data: bytes, begin: int) -> None:
    """Fill in the headers that begin there, and how much stands behind them."""
    # Mostly there is no body. Where its end looks like this one, the lines before it show that.
    blank_line = len(data) - 4 if data.endswith(b"\r\n\r\n") else data.find(b"\r\n\r\n", begin)
    if 0 <= blank_line < begin + HEAD_SIZE_MAX:
        first = _plain_headers(data[begin:blank_line])
        if first is not None:
            request.first = first
            request.plain = request.complete = True
            request.body_length = len(data) - blank_line - 4
            return
    _read_odd_headers(request, data, begin)


def _plain_headers(head: bytes) -> dict[bytes, bytes] | None:
    """The headers of a head that is as most are: a line each, `Name: value`, none twice; None for any other."""
    lines = head.split(b"\r\n")
    # Nothing but printable bytes and the ends of these lines; no blanks around a value. A folded line shows by its
    # name.
    if len(lines) > HEADERS_MAX or head.translate(None, _PRINTABLE) != _LINE_ENDS[: 2 * len(lines) - 2]:
        return None
    if b" \r" in head or b":  " in head or head.endswith(b" "):
        return None
    first = {_NAMES.get(name) or _known_as(name): value for name, _, value in [line.partition(b": ") for line in lines]}
    # An empty name or value, or a name that is no token (section 25.1), shows that the line was not `Name: value`.
    if len(first) != len(lines) or not all(first.values()):
        return None
    if not _known_names.issuperset(first) and not all(map(_METHOD.fullmatch, first)):
        return None
    return first


def _known_as(name: bytes) -> bytes:
    """A header's name as we call it."""
    name = name.lower()
    return _COMPACT.get(name, name)


def _read_odd_headers(request: Request, data: bytes, begin: int) -> None:
    """The same for headers that are folded, come twice, end otherwise or can't be read."""
    blank = BLANK_LINE.search(data, max(0, begin - 1))
    if blank is not None:
        request.complete = True
        request.body_length = len(data) - blank.end()
    end = blank.start() if blank is not None else len(data)
    if end - begin > HEAD_SIZE_MAX:
        request.wrong.add("headers")
        end = begin + HEAD_SIZE_MAX
    found = _HEADER.findall(data, begin, end)
    if len(found) > HEADERS_MAX:
        request.wrong.add("headers")
        del found[HEADERS_MAX:]
    first = request.first
    for name, colon, text in found:
        known = _NAMES.get(name) or _known_as(name.strip(b" \t"))
        if not colon or not known:
            if name.strip(b" \t\r") or colon:
                request.wrong.add("headers")
            continue
        value = text.rstrip(b" \t\r")
        if b"\n" in value:
            value = _FOLD.sub(b" ", value)
        if known in first:
            request.repeated.append((known, value))
        else:
            first[known] = value


def _check(request: Request, stream: bool) -> None:
    """Name what is wrong with the headers."""
    first, wrong = request.first, request.wrong
    get = first.get
    via = get(b"via", b"")
    if not (via.startswith(b"SIP/") or _VIA.match(via)):
        wrong.add("via")
    # RFC 3261, section 8.1.1, without Max-Forwards, which nobody needs to be answered
    if not (request.complete and get(b"from") and get(b"to") and get(b"call-id")):
        wrong.add("headers")
    # CSeq is a number and the method (section 8.1.1.5)
    number, _, method = get(b"cseq", b"").partition(b" ")
    if method.lstrip() != request.method or not number.isdigit() or len(number) > CSEQ_DIGITS_MAX:
        wrong.add("headers")
    length = get(b"content-length")
    if length is None:
        if stream:
            wrong.add("length")
    elif length.isdigit() and len(length) <= 9 and _agreed(request, length):
        request.content_length = int(length)
        if not stream and request.content_length > request.body_length:
            wrong.add("length")
    else:
        wrong.add("length")


def _agreed(request: Request, length: bytes) -> bool:
    """Whether no further Content-Length says another length."""
    return not request.repeated or all(value == length for value in request.values(b"content-length"))


def credentials(request: Request) -> dict[bytes, bytes]:
    """Parameters of the first Digest credentials (RFC 3261, section 22; RFC 7616, section 3.4), names in lower case.

    Quotes are removed, what stands between them is left as it was sent.
    """
    for name in (b"authorization", b"proxy-authorization"):
        if name not in request.first:
            continue
        for value in request.values(name):
            scheme, _, rest = value.partition(b" ")
            if scheme.lower() == b"digest":
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
