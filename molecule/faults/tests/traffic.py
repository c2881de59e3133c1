"""Known traffic: SIP OPTIONS over TCP, each on a connection and with a Call-ID of its own, to every sensor at once.

    python3 traffic.py MARK RATE STOP ADDRESS…

Asks RATE times a second over all sensors until the file STOP is there. Prints the Call-ID of each request that was
answered, which is the client's own record: whoever got an answer was heard. RFC 3261, sections 11 and 18.
"""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import time
from pathlib import Path

OPTIONS = (
    "OPTIONS sip:{to} SIP/2.0\r\nVia: SIP/2.0/TCP {to}:5060;branch=z9hG4bK{call};rport\r\nMax-Forwards: 70\r\n"
    "From: <sip:a@example.org>;tag={call}\r\nTo: <sip:{to}>\r\nCall-ID: {call}\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)
CLIENTS = 3  # for each sensor
PATIENCE = 1.0  # seconds


def ask(address: str, call: str) -> bool:
    """Send one request; whether its answer came."""
    try:
        with socket.create_connection((address, 5060), timeout=PATIENCE) as connection:
            connection.settimeout(PATIENCE)
            connection.sendall(OPTIONS.format(to=address, call=call).encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                piece = connection.recv(4096)
                if not piece:
                    return False
                answer += piece
            return answer.startswith(b"SIP/2.0 ") and call.encode() in answer
    except OSError:
        return False


def main() -> None:
    """Let the clients go; end with the last of them."""
    mark, rate, stop, *addresses = sys.argv[1:]
    pause = CLIENTS * len(addresses) / float(rate)
    told = threading.Lock()

    def client(name: str, address: str) -> None:
        begin = time.monotonic()
        for number in itertools.count():
            if Path(stop).exists():
                return
            call = f"{mark}-{name}-{number}"
            if ask(address, call):
                with told:
                    print(call, flush=True)
            time.sleep(max(0.0, begin + (number + 1) * pause - time.monotonic()))

    names = [(f"{place}{n}", address) for place, address in enumerate(addresses) for n in "abcdefgh"[:CLIENTS]]
    threads = [threading.Thread(target=client, args=pair) for pair in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
