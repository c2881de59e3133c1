"""Plays one SSH client against a sensor and prints, as JSON lines, from which address and port it came.

Runs on the scanner: `python3 - ADDRESS PORT ACTION [ARGUMENT...] < ssh_scanner.py`. Needs paramiko (Debian's
python3-paramiko), which lets a client send what no client should.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator

import paramiko  # type: ignore[import-untyped]
from paramiko.common import cMSG_SERVICE_REQUEST, cMSG_USERAUTH_REQUEST  # type: ignore[import-untyped]

logging.getLogger("paramiko").setLevel(logging.CRITICAL)
ADDRESS, PORT = sys.argv[1], int(sys.argv[2])
SECONDS = 10
"""Longest wait for an answer of the sensor."""


def said(sock: socket.socket, **more: object) -> None:
    """Tell the test which connection this was."""
    saddr, sport = sock.getsockname()[:2]
    print(json.dumps({"saddr": saddr, "sport": str(sport), **more}), flush=True)


def connect() -> socket.socket:
    """A TCP connection to the sensor."""
    sock = socket.create_connection((ADDRESS, PORT), timeout=SECONDS)
    sock.settimeout(SECONDS)
    return sock


def read_all(sock: socket.socket) -> bytes:
    """What the sensor sends until it closes the connection or is silent for SECONDS."""
    data = b""
    with contextlib.suppress(OSError):
        while chunk := sock.recv(65536):
            data += chunk
    return data


def ident(argument: str) -> None:
    """Send bytes (in hex), say nothing more, read to the end of the connection."""
    sock = connect()
    sock.sendall(bytes.fromhex(argument))
    with contextlib.suppress(OSError):  # the sensor may have ended the connection already, for what it has read
        sock.shutdown(socket.SHUT_WR)
    said(sock, answer=read_all(sock).decode("latin-1"))


def idle(argument: str) -> None:
    """Send bytes (in hex) and wait for the sensor to end the connection; says how long that took, in seconds."""
    sock = connect()
    sock.settimeout(90)
    sock.sendall(bytes.fromhex(argument))
    start = time.monotonic()
    read_all(sock)
    said(sock, seconds=time.monotonic() - start)


def reset(argument: str) -> None:
    """Connect, send bytes (in hex) and reset the connection at once."""
    sock = connect()
    said(sock)
    sock.sendall(bytes.fromhex(argument))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def hold(argument: str) -> None:
    """Open so many connections, send an identification on each, and keep them until standard input ends."""
    held = []
    for number in range(int(argument)):
        sock = connect()
        sock.sendall(b"SSH-2.0-held_%d\r\n" % number)
        said(sock)
        held.append(sock)
    print(json.dumps({"done": True}), flush=True)
    time.sleep(float(sys.argv[5]))


@contextlib.contextmanager
def transport() -> Iterator[paramiko.Transport]:
    """A connection past key exchange."""
    sock = connect()
    opened = paramiko.Transport(sock)
    opened.banner_timeout = SECONDS
    try:
        opened.start_client(timeout=SECONDS)
        said(sock)
        yield opened
    finally:
        opened.close()


def refused(attempt: Callable[[], object]) -> None:
    """Try; the end of the program with status 1 when the sensor let us in."""
    try:
        if attempt() == []:
            sys.exit("authentication succeeded")
    except paramiko.SSHException:
        pass


def text(argument: str) -> str:
    """An argument in hex."""
    return bytes.fromhex(argument).decode()


def password(user: str, *secrets: str) -> None:
    """Try passwords (in hex, as is the user) on one connection."""
    with transport() as opened:
        for secret in secrets:
            refused(functools.partial(opened.auth_password, text(user), text(secret), fallback=False))


def interactive(user: str, secret: str) -> None:
    """Answer keyboard-interactive's question."""
    with transport() as opened:
        refused(lambda: opened.auth_interactive(user, lambda _title, _text, prompts: [secret for _ in prompts]))


def unanswered(user: str) -> None:
    """Begin keyboard-interactive and never answer; the sensor ends the connection."""

    def wait(_title: str, _text: str, prompts: list[tuple[str, bool]]) -> list[str]:
        time.sleep(60)
        return ["" for _ in prompts]

    with transport() as opened:
        opened.auth_timeout = 60
        sock = opened.sock
        threading.Thread(target=lambda: refused(lambda: opened.auth_interactive(user, wait)), daemon=True).start()
        # The socket is readable at its end once the sensor has closed it; paramiko's own thread sits in wait().
        poller = select.poll()
        poller.register(sock, select.POLLRDHUP)
        poller.poll(60000)
        sys.stdout.flush()
        os._exit(0)


def key(user: str, kind: str) -> None:
    """Offer a new key, with a signature."""
    pair = paramiko.RSAKey.generate(int(kind)) if kind.isdigit() else paramiko.ECDSAKey.generate()
    with transport() as opened:
        refused(lambda: opened.auth_publickey(user, pair))
    print(json.dumps({"fingerprint": pair.fingerprint}), flush=True)


def none(user: str) -> None:
    """Ask with method `none`."""
    with transport() as opened:
        refused(lambda: opened.auth_none(user))


def string(data: bytes) -> bytes:
    """A string of RFC 4251, section 5."""
    return struct.pack(">I", len(data)) + data


def raw(*requests: str) -> None:
    """Send SSH_MSG_USERAUTH_REQUESTs (RFC 4252, section 5) as they are given: user:method:rest, each in hex.

    Does not wait for answers in between, and reads to the end of the connection.
    """
    payloads = []
    for request in requests:
        user, method, rest = (bytes.fromhex(part) for part in request.split(":"))
        payloads.append(bytes(cMSG_USERAUTH_REQUEST) + string(user) + string(b"ssh-connection") + string(method) + rest)
    send_payloads(payloads)


def packets(*payloads: str) -> None:
    """Send packets (RFC 4253, section 6) whose payloads are given in hex; otherwise as `raw`."""
    send_payloads([bytes.fromhex(payload) for payload in payloads])


def send_payloads(payloads: list[bytes]) -> None:
    """Ask for authentication, send payloads as they are, and read to the end of the connection."""
    with transport() as opened:
        opened.packetizer.set_log(logging.getLogger("paramiko"))
        message = paramiko.Message()
        message.add_byte(cMSG_SERVICE_REQUEST)
        message.add_string("ssh-userauth")
        opened._send_message(message)
        for payload in payloads:
            message = paramiko.Message()
            message.add_bytes(payload)
            opened._send_message(message)
        # paramiko ends the connection when an answer comes that it did not ask for; that is soon enough.
        end = time.monotonic() + 2
        while opened.is_active() and time.monotonic() < end:
            time.sleep(0.05)


ACTIONS: dict[str, Callable[..., None]] = {
    action.__name__: action
    for action in (ident, idle, reset, hold, password, interactive, unanswered, key, none, raw, packets)
}

if __name__ == "__main__":
    ACTIONS[sys.argv[3]](*sys.argv[4:5] if sys.argv[3] == "hold" else sys.argv[4:])
