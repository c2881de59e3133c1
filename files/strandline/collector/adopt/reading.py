"""The lines of a log, plain or compressed, one after the other: nothing of it is in memory but a block and a line."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = 1 << 16
MAX_LINE = 65536
"""Bytes of a line; a longer one is left out."""
GZIP, XZ, ZSTD = b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"
TOO_LONG = f"longer than {MAX_LINE} bytes"
UNFINISHED = "the file ends inside this line"
DAMAGED = "the compressed file is damaged or not whole: what is behind this place could not be read"


class Line(NamedTuple):
    """A line, or what can't be read as one."""

    number: int
    text: bytes
    """Without its end; of a line that is left out the beginning."""
    wrong: str
    """Why it is left out; empty for a line that is whole."""


class Damaged(Exception):
    """The compressed data can't be read on."""


def lines(file: BinaryIO) -> Iterator[Line]:
    """Read the lines of a file; by what it is packed shows in its first bytes, then it is read from the start."""
    number = 1
    rest = b""
    skipping = False
    wrong = ""
    blocks = _blocks(file)
    while True:
        try:
            block = next(blocks, b"")
        except Damaged:
            block, wrong = b"", DAMAGED
        if not block:
            break
        whole = (rest + block).split(b"\n")
        rest = whole.pop()
        for text in whole:
            if skipping:
                skipping = False
            elif len(text) > MAX_LINE:
                yield Line(number, text[:MAX_LINE], TOO_LONG)
            else:
                yield Line(number, text.removesuffix(b"\r"), "")
            number += 1
        if len(rest) > MAX_LINE:
            if not skipping:
                yield Line(number, rest[:MAX_LINE], TOO_LONG)
            skipping, rest = True, b""
    if wrong or (rest and not skipping):
        # Cut behind an address that a stranger wrote into his user name, a line would say something else than it did.
        yield Line(number, rest, wrong or UNFINISHED)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """The file's content, unpacked."""
    start = file.read(6)
    file.seek(0)
    if start.startswith(GZIP):
        with gzip.GzipFile(fileobj=file) as packed:
            yield from _unpack(packed)
    elif start.startswith(XZ):
        with lzma.LZMAFile(file) as packed_by_xz:
            yield from _unpack(packed_by_xz)
    elif start.startswith(ZSTD):
        yield from _zstd(file)
    else:
        while block := file.read(BLOCK):
            yield block


def _unpack(packed: gzip.GzipFile | lzma.LZMAFile) -> Iterator[bytes]:
    """Unpack as far as it can be done, members that follow each other too."""
    try:
        while block := packed.read1(BLOCK):  # not read(), which loses what came before a failure
            yield block
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise Damaged(str(error)) from error


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    """By Debian's zstd, which every collector has; Python learns it in 3.14."""
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    with subprocess.Popen(
        ["/usr/bin/zstd", "-dcq", "--memory=256MB"],
        stdin=file.fileno(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as unpacker:
        assert unpacker.stdout is not None  # noqa: S101 - a pipe
        try:
            while block := unpacker.stdout.read(BLOCK):
                yield block
        except GeneratorExit:
            unpacker.kill()
            raise
    if unpacker.returncode != 0:
        raise Damaged("zstd could not unpack it")
