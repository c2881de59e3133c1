"""python3 -m strandline.sensor.forwarding.replay index | resend: what the spool holds, and lines of it sent once more.

`index` prints a JSON object: {"runs": {RUN: {"last": N, "ranges": [[FIRST, LAST], ...], "days": {DAY: [FIRST, LAST,
LINES]}}}}; "last" is above the ranges when the pruner took what followed them. `resend` reads {RUN: [[FIRST, LAST],
...]} from its standard input, sends exactly these lines to syslog-ng's replay socket, byte for byte, and prints
{"asked": numbers, "sent": lines, "lacking": numbers that the spool does not hold, "stopped": what went wrong or null}.
The lines go the way of any other line; whether they arrived the numbers in the collector's database tell, not this
program.
"""

from __future__ import annotations

import argparse
import errno
import json
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...shared.ranges import Ranges, coarse, contains, normal, overlap, size
from . import removed, spool

SPOOL = Path("/var/spool/strandline/events")
STATE = Path("/var/lib/strandline/spool-index.json")
PRUNED = Path("/var/lib/strandline/pruned-runs.json")
SOCKET = Path("/run/strandline-replay/socket")
MAX_RANGES = 20_000
"""Of one run, in the index. A spool with more holes is described without the smallest ones."""
PATIENCE = 20.0
"""Seconds that syslog-ng may take none: it takes lines as fast as the collector does."""


class RequestError(Exception):
    """What was asked for is no request; the text says why."""


class Stopped(Exception):
    """The socket takes no more; the text says why."""


def describe(index: spool.Index, gone: Mapping[str, removed.Removed]) -> dict[str, Any]:
    """The index as it is printed: of each run the last number that there ever was, and the ranges that are left."""
    runs = index.runs()
    lasts = {run: held.ranges[-1][1] for run, held in runs.items()}
    for run, removed_ in gone.items():
        lasts[run] = max(lasts.get(run, 0), removed_.last)
        runs.setdefault(run, spool.Held()).add(spool.Held(days=removed_.days))
    return {
        "runs": {
            run: {"last": lasts[run], "ranges": coarse(held.ranges, MAX_RANGES), "days": held.days}
            for run, held in sorted(runs.items())
        }
    }


def parse(text: str) -> dict[str, Ranges]:
    """Read a request. Raises RequestError."""
    try:
        tree = json.loads(text)
    except ValueError as error:
        raise RequestError(f"the request is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise RequestError('the request must be {"RUN": [[FIRST, LAST], ...]}')
    wanted = {}
    for run, ranges in tree.items():
        pairs = []
        for one in ranges if isinstance(ranges, list) else [None]:
            if not (isinstance(one, list) and len(one) == 2 and all(type(number) is int for number in one)):
                raise RequestError(f"run {run}: ranges must be [[FIRST, LAST], ...] in whole numbers")
            pairs.append((one[0], one[1]))
        wanted[run] = normal(pairs)
    return wanted


class Sender:
    """Sends datagrams to the replay socket, no faster than it is told."""

    def __init__(self, path: Path, rate: float, patience: float = PATIENCE) -> None:
        """Connect when the first line is sent. `rate` is in lines a second."""
        self._path = path
        self._rate = rate
        self._patience = patience
        self._socket: socket.socket | None = None
        self._begun = time.monotonic()
        self.sent = 0

    def send(self, line: bytes) -> None:
        """Send one line. Raises Stopped when nothing has been taken for as long as patience lasts."""
        ahead = self.sent / self._rate - (time.monotonic() - self._begun)
        if ahead > 0.02:
            time.sleep(ahead)
        end = time.monotonic() + self._patience
        while True:
            try:
                if self._socket is None:
                    self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                    self._socket.settimeout(self._patience)
                    self._socket.connect(str(self._path))
                self._socket.send(line)
                break
            except OSError as error:
                self.close()
                if error.errno == errno.EMSGSIZE:
                    raise Stopped(f"a line of {len(line)} bytes does not fit the socket") from error
                if time.monotonic() >= end:
                    reason = error.strerror or "no line was taken: is the collector away?"
                    raise Stopped(f"{self._path}: {reason}") from error
                time.sleep(0.2)  # syslog-ng restarts
        self.sent += 1

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def resend(index: spool.Index, wanted: dict[str, Ranges], sender: Sender) -> dict[str, Any]:
    """Send the wanted lines, oldest file first, and tell what became of it."""
    asked = sum(size(ranges) for ranges in wanted.values())
    stopped = None
    by_name = {run.encode(): ranges for run, ranges in wanted.items()}
    try:
        for path in index.paths():
            known = index.files.get(path.name)
            if known is None or not any(
                overlap(held.ranges, wanted[run]) for run, held in known.runs.items() if run in wanted
            ):
                continue
            for line, behind in spool.lines_from(path, 0):
                match = spool.LINE.match(line)
                if match is not None and contains(by_name.get(match[2], []), int(match[3])):
                    sender.send(line)
                if behind >= known.offset:
                    break
    except Stopped as stop:
        stopped = str(stop)
    finally:
        sender.close()
    return {
        "asked": asked,
        "sent": sender.sent,
        "lacking": None if stopped else asked - sender.sent,
        "stopped": stopped,
    }


def main(arguments: list[str] | None = None) -> int:
    """Command line; exit status 1 when something stood in the way, 2 when the request is wrong."""
    parser = argparse.ArgumentParser(
        prog="strandline.sensor.forwarding.replay", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("what", choices=["index", "resend"])
    parser.add_argument("--spool", type=Path, default=SPOOL)
    parser.add_argument("--state", type=Path, default=STATE, help="where to keep what was learned")
    parser.add_argument("--pruned", type=Path, default=PRUNED, help="what the pruner remembers of what it removed")
    parser.add_argument("--socket", type=Path, default=SOCKET)
    parser.add_argument("--rate", type=float, default=3000, help="lines a second at most")
    options = parser.parse_args(arguments)
    try:
        wanted = parse(sys.stdin.read()) if options.what == "resend" else {}
        index = spool.Index.load(options.spool, options.state)
        index.refresh()
        try:
            index.save(options.state)
        except OSError as error:
            # A full disk: the next time everything is read anew.
            print(f"{options.state}: {error.strerror}", file=sys.stderr)
        if options.what == "index":
            answer = describe(index, removed.load(options.pruned))
        else:
            answer = resend(index, wanted, Sender(options.socket, max(1.0, options.rate)))
    except RequestError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{options.spool}: {error.strerror}", file=sys.stderr)
        return 1
    print(json.dumps(answer, separators=(",", ":")))
    return 1 if answer.get("stopped") else 0


if __name__ == "__main__":
    sys.exit(main())
