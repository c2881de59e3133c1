"""The Internet, for as long as it is told to: SIP OPTIONS over UDP, each with its own Call-ID, to each sensor in turn.

    python3 traffic.py MARK RATE STOP ADDRESS…

Sends RATE requests a second until the file STOP is there. Prints a line `TIME ADDRESS CALL-ID` for each, when it has
left, and at the end `answers N`. RFC 3261, section 11.
"""

from __future__ import annotations

import itertools
import socket
import sys
import time
from pathlib import Path

OPTIONS = (
    "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {own}:{port};branch=z9hG4bK{mark};rport\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@example.org>;tag={mark}\r\nTo: <sip:{to}>\r\nCall-ID: {mark}\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)


def main() -> None:
    """Send, and take what comes back."""
    mark, rate, stop, *addresses = sys.argv[1:]
    pause = 1 / float(rate)
    answers = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("", 0))
        client.setblocking(False)
        own, port = client.getsockname()
        begin = time.monotonic()
        for number, address in enumerate(itertools.cycle(addresses)):
            if number % 10 == 0 and Path(stop).exists():
                break
            call = f"{mark}-{number}"
            client.sendto(OPTIONS.format(to=address, own=own, port=port, mark=call).encode(), (address, 5060))
            print(f"{time.time():.3f} {address} {call}", flush=True)
            while True:
                try:
                    client.recv(4096)
                except (BlockingIOError, ConnectionError):
                    break
                answers += 1
            time.sleep(max(0.0, begin + (number + 1) * pause - time.monotonic()))
    print(f"answers {answers}", flush=True)


main()
