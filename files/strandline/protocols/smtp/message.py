"""The message of a client, as it comes: what is kept of it is small, however long it is."""

from __future__ import annotations

import re

try:  # CPython's own SHA-2; by way of hashlib it would bring OpenSSL's 1.8 MB with it.
    from _sha2 import sha256  # type: ignore[import-not-found]
except ImportError:  # another Python
    from hashlib import sha256

HEADER_MAX = 1024
"""Bytes of a header that are kept."""
LINE_MAX = 2048
"""Bytes of a line that are looked at for headers."""
LINES_MAX = 1000
"""Lines that are looked at for headers: what has more is no message of a human's."""
_WANTED = frozenset([b"subject", b"from", b"to", b"message-id", b"user-agent", b"x-mailer"])
_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*:")
"""The name of a header (RFC 5322, section 2.2; blanks before the colon are obsolete, section 4.5)."""
_END = b"\r\n.\r\n"
"""The end of a message, and nothing else is one (RFC 5321, section 4.1.1.4)."""
_ADDED_DOT = re.compile(rb"(?<=\n)\.")
_LONE_DOT = re.compile(rb"(?<=[\r\n])\.(?=[\r\n])")
_LONE_DOT_AT_LAST = re.compile(rb"(?<=[\r\n])\.(?=[\r\n]|\Z)")


class Message:
    """Size, hash, line ends and some headers of a message. Whole blocks are worked off at once: a stranger may send
    nothing but line ends."""

    def __init__(self) -> None:
        self.size = self.bare = self.lone_dots = 0
        self.headers: dict[bytes, bytes] = {}
        self._hash = sha256()
        self._tail = b"\r\n"  # the last two bytes: the command's line ended before the message begins
        self._name: bytes | None = b""  # header that goes on when a line begins with a blank; None in the body
        self._line = b""  # the header's line that has no end yet
        self._lines = 0

    def digest(self) -> str:
        """SHA-256 of what came so far, in hexadecimal digits."""
        return str(self._hash.hexdigest())

    def take(self, buffer: bytearray, dots: bool) -> bool:
        """Take what can be judged off the buffer's start: all but its last bytes, which may begin an end.

        With `dots` as in DATA: the dot that a line begins with is left out, and True is the end of the message
        (RFC 5321, section 4.5.2).
        """
        data = bytes(buffer)
        end = (self._tail + data).find(_END) if dots else -1
        if end >= 0:
            self._add(data[:end], b"", dots)
            del buffer[: end + 3]
            return True
        length = max(0, len(data) - len(_END) + 1)
        self._add(data[:length], data[length:], dots)
        del buffer[:length]
        return False

    def rest(self, buffer: bytearray, dots: bool) -> None:
        """Take what is left: no more will come."""
        self._add(bytes(buffer), None, dots)
        buffer.clear()
        if self._name is not None and self._line:  # the last header may have no line end
            self._header(self._line.rstrip(b"\r"))

    def _add(self, block: bytes, following: bytes | None, dots: bool) -> None:
        seen = self._tail + block
        lone = _LONE_DOT_AT_LAST if following is None else _LONE_DOT
        self.lone_dots += len(lone.findall(seen + (following or b"")[:1], 2))
        # A block that ended with CR counted it; the LF that follows takes it back.
        self.bare += block.count(b"\n") + block.count(b"\r") - 2 * seen.count(b"\r\n", 1)
        self._tail = seen[-2:]
        stored = _ADDED_DOT.sub(b"", seen[1:])[1:] if dots else block
        self.size += len(stored)
        self._hash.update(stored)
        if self._name is not None:
            self._read_headers(stored)

    def _read_headers(self, stored: bytes) -> None:
        *lines, rest = stored.split(b"\n")
        for line in lines:
            self._header((self._line + line)[:LINE_MAX].rstrip(b"\r"))
            self._line = b""
            self._lines += 1
            if self._name is None or self._lines > LINES_MAX:
                self._name = None
                return
        self._line = (self._line + rest)[:LINE_MAX]

    def _header(self, line: bytes) -> None:
        if line[:1] in (b" ", b"\t"):
            if self._name in self.headers:
                known = self.headers[self._name]
                self.headers[self._name] = known + line[: max(0, HEADER_MAX - len(known))]
            return
        found = _HEADER.match(line)
        if found is None:
            self._name = None  # an empty line, or one that is no header: the rest is the body
            return
        name = found[1].lower()
        # The first of each name counts; of another one nothing is kept.
        self._name = name if name in _WANTED and name not in self.headers else b""
        if self._name:
            self.headers[name] = line[found.end() :].lstrip(b" \t")[:HEADER_MAX]
