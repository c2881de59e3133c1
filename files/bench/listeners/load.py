"""The clients and the reader of events for the bench of the listeners; standard library only.

load.py sip ADDRESS PORT METHOD COUNT RATE    sends RATE datagrams a second; prints how many answers came
load.py vnc ADDRESS PORT COUNT                whole RFB 3.8 sessions, one after the other; prints how many ended well
load.py telnet ADDRESS PORT COUNT             whole logins, up to 50 at a time; prints how many were refused
load.py sink PATH                             takes events as syslog-ng does, until SIGTERM; prints how many
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable

PATIENCE = 10.0
"""Seconds that an answer may take."""

BURST = 20
"""Requests that are sent at once, as scanners do; a socket's queue holds more."""

RESPONSE = bytes(range(16))

AT_ONCE = 50
"""Telnet connections at a time: fewer than our listener lets one source have."""

IAC, DONT, DO, WONT, WILL, ECHO = 255, 254, 253, 252, 251, 1

DIALOGUE = (((b"login: ", b"Username: "), b"root\r\n"), (b"Password: ", b"admin\r\n"))
"""What ends the server's prompts, and what a client says then."""


def request(method: str, number: int) -> bytes:
    """A request as svmap sends it; each has a branch and a Call-ID of its own."""
    lines = [
        f"{method} sip:100@203.0.113.9 SIP/2.0",
        f"Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK-{number};rport",
        "Max-Forwards: 70",
        'To: "sipvicious"<sip:100@1.1.1.1>',
        'From: "sipvicious"<sip:100@1.1.1.1>;tag=6337303530303130313363340133',
        "User-Agent: friendly-scanner",
        f"Call-ID: {number}845236589",
        "Contact: sip:100@192.0.2.7:5060",
        f"CSeq: 1 {method}",
        "Accept: application/sdp",
        "Content-Length: 0",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def sip(address: str, port: str, method: str, count: str, rate: str) -> int:
    """Send requests at a steady rate, and count the answers."""
    answers = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((address, int(port)))
        begin = time.monotonic()
        for number in range(int(count)):
            client.send(request(method, number))
            if (number + 1) % BURST:
                continue
            due = begin + (number + 1) / float(rate)
            # Also when it is late: its queue would not hold the answers to many bursts.
            while select.select([client], [], [], max(0.0, due - time.monotonic()))[0]:
                client.recv(65536)
                answers += 1
        while answers < int(count) and select.select([client], [], [], 1.0)[0]:
            client.recv(65536)
            answers += 1
    return answers


def read(client: socket.socket, size: int) -> bytes:
    """Read exactly this many bytes, or fewer at end of file."""
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


def vnc(address: str, port: str, count: str) -> int:
    """Play sessions up to the failure of authentication (RFC 6143, sections 7.1 and 7.2.2)."""
    ended = 0
    for _ in range(int(count)):
        with socket.create_connection((address, int(port)), timeout=PATIENCE) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if read(client, 12)[:4] != b"RFB ":
                continue
            client.sendall(b"RFB 003.008\n")
            read(client, read(client, 1)[0])
            client.sendall(b"\x02")
            if len(read(client, 16)) != 16:
                continue
            client.sendall(RESPONSE)
            result = read(client, 4)
            while client.recv(4096):
                pass
            ended += result == b"\x00\x00\x00\x01"
    return ended


class Login:
    """A Telnet client that lets the server echo while it asks for the password (RFC 857), refuses all other options
    (RFC 854), and logs in once."""

    def __init__(self, address: str, port: str) -> None:
        self.socket = socket.create_connection((address, int(port)), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""
        self._seen = b""
        self._echo = False
        self._said = 0

    def read(self) -> bool | None:
        """Go on; true when the login was refused, false when the server ended it before."""
        data = self.socket.recv(4096)
        if not data:
            return False
        self._unread += data
        if replies := self._take():
            self.socket.sendall(replies)
        if self._said < len(DIALOGUE):
            prompts, line = DIALOGUE[self._said]
            if self._seen.endswith(prompts):
                self._said, self._seen = self._said + 1, b""
                self.socket.sendall(line)
        elif b"incorrect" in self._seen or b"failed" in self._seen:
            return True
        return None

    def _take(self) -> bytes:
        """Keep the text, and answer the options; what is not whole waits."""
        replies = b""
        while self._unread:
            text, command, rest = self._unread.partition(b"\xff")
            if command and len(rest) < 2:
                self._seen, self._unread = self._seen + text, command + rest
                break
            self._seen, self._unread = self._seen + text, rest[2:]
            if command:
                replies += self._reply(rest[0], rest[1])
        return replies

    def _reply(self, verb: int, option: int) -> bytes:
        if verb == WILL:
            # At the password's prompt, so that a server that offers it again there does not take this for the answer.
            self._echo = option == ECHO and self._said == 1
            return bytes([IAC, DO if self._echo else DONT, option])
        if verb == DO:
            return bytes([IAC, WONT, option])
        if verb == WONT and option == ECHO and self._echo:
            self._echo = False
            return bytes([IAC, DONT, option])
        return b""


def telnet(address: str, port: str, count: str) -> int:
    """Log in so often, and count the refusals; a server may take seconds to refuse, so that many are open at once."""
    refused = 0
    left = int(count)
    poll = select.poll()
    clients: dict[int, Login] = {}
    while left or clients:
        while left and len(clients) < AT_ONCE:
            client = Login(address, port)
            clients[client.socket.fileno()] = client
            poll.register(client.socket, select.POLLIN)
            left -= 1
        ready = poll.poll(PATIENCE * 1000)
        if not ready:
            break
        for descriptor, _ in ready:
            done = clients[descriptor].read()
            if done is not None:
                refused += done
                poll.unregister(descriptor)
                clients.pop(descriptor).socket.close()
    return refused


def sink(path: str) -> int:
    """Count datagrams on a unix socket."""
    events = 0
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(path)
        reader.settimeout(0.2)
        os.write(1, b"ready\n")
        while True:
            try:
                reader.recv(16384)
                events += 1
            except TimeoutError:
                if stopping:
                    return events


MODES: dict[str, Callable[..., int]] = {"sip": sip, "vnc": vnc, "telnet": telnet, "sink": sink}

if __name__ == "__main__":
    print(MODES[sys.argv[1]](*sys.argv[2:]), flush=True)
