"""The message of a client, as it comes: what is kept of it is small, however long it is."""

from __future__ import annotations

import re

try:  # CPython's own SHA-2; by way of hashlib it would bring OpenSSL's 1.8 MB with it.
    from _sha2 import sha256  # type: ignore[import-not-found]
except ImportError:  # another Python
    from hashlib import sha256

PIECE = 2048
"""Bytes that are looked at together: a longer line is taken in pieces."""
HEADER_MAX = 1024
"""Bytes of a header that are kept."""
_WANTED = frozenset([b"subject", b"from", b"to", b"message-id", b"user-agent", b"x-mailer"])
_HEADER = re.compile(rb"([!-9;-~]+)[ \t]*:")
"""The name of a header (RFC 5322, section 2.2; blanks before the colon are obsolete, section 4.5)."""


class Message:
    """Size, hash, line ends and some headers of a message."""

    def __init__(self) -> None:
        self.size = self.bare = self.lone_dots = 0
        self.headers: dict[bytes, bytes] = {}
        self._hash = sha256()
        self._tail = b"\r\n"  # the last two bytes: the command's line ended before the message begins
        self._name: bytes | None = b""  # header that goes on when a line begins with a blank; None in the body

    def digest(self) -> str:
        """SHA-256 of what came so far, in hexadecimal digits."""
        return str(self._hash.hexdigest())

    def take(self, buffer: bytearray, dots: bool) -> bool:
        """Take what is whole off the buffer's start: lines, or PIECE bytes of a longer one.

        With `dots` as in DATA: the dot that a line begins with is left out, and True is the end of the message
        (RFC 5321, section 4.5.2). The end is a dot between two CR LF and nothing else (RFC 5321, section 4.1.1.4).
        """
        at, end = 0, False
        while not end:
            feed = buffer.find(b"\n", at, at + PIECE)
            if feed < 0 and len(buffer) - at < PIECE:
                break
            to = feed + 1 if feed >= 0 else at + PIECE
            end = self._piece(bytes(buffer[at:to]), dots)
            at = to
        del buffer[:at]
        return end

    def rest(self, buffer: bytearray, dots: bool) -> None:
        """Take what has no line end: no more will come."""
        if buffer:
            self._piece(bytes(buffer), dots)
            buffer.clear()

    def _piece(self, piece: bytes, dots: bool) -> bool:
        starts, after_crlf, after_cr = self._tail[-1:] == b"\n", self._tail == b"\r\n", self._tail[-1:] == b"\r"
        self._tail = (self._tail + piece)[-2:]
        if dots and piece == b".\r\n" and after_crlf:
            return True
        # A piece that ended with CR counted it; the LF that follows takes it back.
        crlf = piece.count(b"\r\n") + (after_cr and piece.startswith(b"\n"))
        self.bare += piece.count(b"\n") + piece.count(b"\r") - 2 * crlf
        if b"." in piece:
            words = piece.rstrip(b"\n").split(b"\r")
            self.lone_dots += words[0 if starts else 1 :].count(b".")
        if dots and starts and piece.startswith(b"."):
            piece = piece[1:]
        self.size += len(piece)
        self._hash.update(piece)
        if self._name is not None:
            self._header(piece, starts)
        return False

    def _header(self, piece: bytes, starts: bool) -> None:
        text = piece.rstrip(b"\r\n")
        if not starts or text[:1] in (b" ", b"\t"):
            if self._name in self.headers:
                known = self.headers[self._name]
                self.headers[self._name] = known + text[: max(0, HEADER_MAX - len(known))]
            return
        found = _HEADER.match(text)
        if found is None:
            self._name = None  # an empty line, or one that is no header: the rest is the body
            return
        name = found[1].lower()
        # The first of each name counts; of another one nothing is kept.
        self._name = name if name in _WANTED and name not in self.headers else b""
        if self._name:
            self.headers[name] = text[found.end() : found.end() + HEADER_MAX].lstrip(b" \t")
