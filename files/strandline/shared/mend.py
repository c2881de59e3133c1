"""python3 -m strandline.shared.mend PATTERN…: end the last line of each file as a power cut left it.

A file system may keep a part of the last line, and zeros behind it up to the end of a block. What syslog-ng appends
afterwards would become the end of that line, and an event of now be lost with one of then.
"""

from __future__ import annotations

import glob
import os
import stat
import sys

BLOCK = 4096


def _end(descriptor: int, size: int) -> int:
    """Where the zeros at the end of a file begin."""
    while size:
        begin = max(size - BLOCK, 0)
        if kept := os.pread(descriptor, size - begin, begin).rstrip(b"\0"):
            return begin + len(kept)
        size = begin
    return 0


def mend(path: str) -> bool:
    """Remove zeros at the end of a file, and end its last line; whether there was anything to do.

    A file that is gone, a link and a pipe are passed over. Raises OSError, for example when the disk is full.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(descriptor, "rb+", buffering=0) as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return False
        end = _end(descriptor, status.st_size)
        if end < status.st_size:
            file.truncate(end)
        half = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
        if half:
            file.write(b"\n")
        return half or end < status.st_size


def main(patterns: list[str]) -> int:
    """Command line; exit status 1 when a file could not be mended."""
    failed = False
    for path in sorted(path for pattern in patterns for path in glob.glob(pattern)):
        try:
            if mend(path):
                print(f"{path}: ended its last line", file=sys.stderr)
        except OSError as error:
            print(f"{path}: {error.strerror}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
