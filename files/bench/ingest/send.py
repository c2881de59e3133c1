"""Send the messages of all sensors to a collector, each over a connection of its own, as fast as it takes them.

    python3 send.py DIRECTORY COLLECTOR RUN COUNT

DIRECTORY holds NAME.messages, NAME.pem and NAME.key of each sensor, and collectors.pem. Sends the first COUNT messages
over all sensors. Prints, as JSON, when the first byte left and when the last one did (seconds since 1970).
"""

from __future__ import annotations

import json
import mmap
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

PLACEHOLDER = b"1700000000000000-beef"
PIECE = 1 << 18  # bytes
# Seconds between the last handshake and the first byte. What comes together with the end of a handshake syslog-ng reads
# before it knows the name in the certificate: such events are rejects, and a round would end short of them.
PAUSE = 0.2


def end_of(text: mmap.mmap, count: int) -> int:
    """Where the frame behind the first `count` frames begins."""
    at = 0
    for _ in range(count):
        if at >= len(text):
            break
        blank = text.find(b" ", at)
        at = blank + 1 + int(text[at:blank])
    return at


def main() -> None:
    """Connect everybody first, then let them go together."""
    directory, collector, run, count = sys.argv[1:]
    if len(run) != len(PLACEHOLDER):
        sys.exit(f"{run}: a run's name has {len(PLACEHOLDER)} characters")
    files = sorted(Path(directory).glob("*.messages"))
    share = int(count) // len(files)
    connected = threading.Barrier(len(files) + 1)
    start = threading.Event()
    texts = []
    for path in files:
        with path.open("rb") as file:
            text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        texts.append(text[: end_of(text, share)].replace(PLACEHOLDER, run.encode()))

    def send(path: Path, text: bytes) -> None:
        context = ssl.create_default_context(cafile=str(path.with_name("collectors.pem")))
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(path.with_suffix(".pem"), path.with_suffix(".key"))
        with context.wrap_socket(socket.create_connection((collector, 6514))) as connection:
            connected.wait()
            start.wait()
            for at in range(0, len(text), PIECE):
                connection.sendall(text[at : at + PIECE])
            connection.unwrap().close()

    threads = [threading.Thread(target=send, args=pair, daemon=True) for pair in zip(files, texts, strict=True)]
    for thread in threads:
        thread.start()
    connected.wait(timeout=30)
    time.sleep(PAUSE)
    began = time.time()
    start.set()
    for thread in threads:
        thread.join()
    json.dump({"began": began, "ended": time.time(), "sent": share * len(files)}, sys.stdout)


main()
