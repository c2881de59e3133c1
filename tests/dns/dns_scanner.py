"""Sends DNS messages as they are, right or wrong, and tells what came back. Runs on the scanner: standard library only.

    python3 - SENSOR '[{"hex": "1234...", "proto": "udp", "source": "198.51.100.7"}, ...]'

A list in JSON, of {"saddr", "sport", "replies": [hex, ...]} for each, goes to standard output. `hex` of a TCP client is
the stream as it is sent, lengths included; a list of such is sent piece by piece. `source` is optional.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Any

PATIENCE = 1.0
"""Seconds after the last message in which replies are waited for."""
PACE = 0.03
"""Seconds between messages: below the sensor's limit of replies."""


def send(sensor: str, message: dict[str, Any]) -> socket.socket:
    """Send one message from a socket of its own."""
    family = socket.AF_INET6 if ":" in sensor else socket.AF_INET
    tcp = message["proto"] == "tcp"
    client = socket.socket(family, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    client.settimeout(5)
    if message.get("source"):
        client.bind((message["source"], 0))
    client.connect((sensor, 53))
    pieces = message["hex"] if isinstance(message["hex"], list) else [message["hex"]]
    for number, piece in enumerate(pieces):
        if number:
            time.sleep(0.1)
        client.send(bytes.fromhex(piece))
    client.setblocking(False)
    return client


def main() -> None:
    """Send all, gather replies, print both."""
    sensor, messages = sys.argv[1], json.loads(sys.argv[2])
    clients, told = [], []
    for message in messages:
        client = send(sensor, message)
        saddr, sport = client.getsockname()[:2]
        clients.append(client)
        told.append({"saddr": saddr, "sport": sport, "replies": []})
        time.sleep(PACE)
    end = time.monotonic() + PATIENCE
    open_ones = set(clients)
    while open_ones and (left := end - time.monotonic()) > 0:
        for client in select.select(list(open_ones), [], [], left)[0]:
            try:
                data = client.recv(65535)
            except OSError:
                data = b""
            told[clients.index(client)]["replies"].append(data.hex())
            if not data:
                open_ones.discard(client)
    print(json.dumps(told))


main()
