"""How each client is run, and how its own words are read. Nothing here knows what a sensor should log."""

from __future__ import annotations

import base64
import contextlib
import importlib
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import expect, wire

HERE = Path(__file__).resolve().parent.parent
ASKPASS = HERE / "askpass"


class ClientError(Exception):
    """A client that did not do what the script wanted; the message is one sentence."""


@dataclass
class Outcome:
    """What a client did, in its own words."""

    tool: str
    argv: list[str] = field(default_factory=list)
    exit: int = 0
    output: str = ""
    attempts: list[list[expect.Attempt]] = field(default_factory=list)
    """Authentication requests inside each SSH connection, in the order of the connections."""
    by_ident: dict[bytes, list[expect.Attempt]] = field(default_factory=dict)
    """The same for a tool that opens several connections, by the beginning of the identification."""
    said: list[expect.Said] = field(default_factory=list)
    """What was said to a service that the scanner does not know, in the order of the connections."""


@dataclass
class Context:
    """Where and with what an action is played. A route makes `saddr` the source of all that goes to `daddr`."""

    saddr: str
    daddr: str
    ports: dict[str, int]
    work: Path
    """A directory for this action alone."""
    keys: Path
    """The directory of the scanner's SSH keys, one pair for each type."""

    def run(self, *argv: str, seconds: float = 20, stdin: str = "", env: dict[str, str] | None = None) -> Outcome:
        """Run a program to its end, at most `seconds`. Raises ClientError when it hangs."""
        try:
            done = subprocess.run(
                argv,
                input=stdin.encode(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                cwd=self.work,
                env={**os.environ, "HOME": str(self.work), "LC_ALL": "C.UTF-8", **(env or {})},
                check=False,
                start_new_session=True,  # no terminal to ask at
            )
        except subprocess.TimeoutExpired as error:
            raise ClientError(f"{argv[0]} did not end within {seconds:.0f} s") from error
        return Outcome(Path(argv[0]).name, list(argv), done.returncode, done.stdout.decode(errors="backslashreplace"))

    def connect(self, service: str, seconds: float = 5) -> socket.socket:
        """A TCP connection to one of the sensor's services."""
        return socket.create_connection(
            (self.daddr, self.ports[service]), timeout=seconds, source_address=(self.saddr, 0)
        )

    def datagrams(self, service: str) -> socket.socket:
        """A UDP socket towards one of the sensor's services."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((self.saddr, 0))
        sock.connect((self.daddr, self.ports[service]))
        return sock


# --- OpenSSH ---

KINDS = {"ed25519": ("ssh-ed25519", 256), "rsa": ("ssh-rsa", 3072), "ecdsa": ("ecdsa-sha2-nistp256", 256)}


def make_keys(directory: Path) -> None:
    """One key pair of each kind, with a name in it that is no one's."""
    for kind, (_, bits) in KINDS.items():
        path = directory / f"id_{kind}"
        if not path.exists():
            argv = ["ssh-keygen", "-q", "-t", kind, "-b", str(bits), "-N", "", "-C", "scanner", "-f", str(path)]
            subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


def fingerprint(public: Path) -> str:
    """SHA256 fingerprint as ssh-keygen prints it."""
    argv = ["ssh-keygen", "-l", "-E", "sha256", "-f", str(public)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[1]


def ssh(context: Context, user: str, methods: str, secrets: Sequence[bytes] = (), keys: Sequence[str] = ()) -> Outcome:
    """OpenSSH's client with exactly these methods; its debug log tells which requests it sent."""
    answers = context.work / "answers"
    answers.write_text("".join(base64.b64encode(s).decode() + "\n" for s in secrets))
    options = {
        "PreferredAuthentications": methods,
        "NumberOfPasswordPrompts": str(max(1, len(secrets))),
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "GlobalKnownHostsFile": "/dev/null",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "ConnectTimeout": "10",
        "LogLevel": "DEBUG3",
    }
    argv = ["ssh", "-F", "none", "-T", "-p", str(context.ports["ssh"]), "-b", context.saddr, "-l", user]
    argv += [part for name, text in options.items() for part in ("-o", f"{name}={text}")]
    argv += [part for kind in keys for part in ("-i", str(context.keys / f"id_{kind}"))] or ["-o", "IdentityFile=none"]
    env = {
        "SSH_ASKPASS": str(ASKPASS),
        "SSH_ASKPASS_REQUIRE": "force",
        "SCANNER_ANSWERS": str(answers),
        "DISPLAY": "none",
    }
    outcome = context.run(*argv, context.daddr, "true", env=env, seconds=30)
    outcome.attempts = [ssh_attempts(outcome.output, user.encode(), secrets, context.keys)]
    if answers.read_text():
        raise ClientError(f"ssh sent not all of its {len(secrets)} passwords: {outcome.output.splitlines()[-1:]}")
    return outcome


def ssh_attempts(log: str, user: bytes, secrets: Sequence[bytes], keys: Path) -> list[expect.Attempt]:
    """The authentication requests in a debug log of OpenSSH's client (-vvv), in order."""
    attempts, answers, before = [], list(secrets), "none"
    for line in log.splitlines():
        if "Next authentication method: " in line:
            before = line.rsplit(": ", 1)[1].strip()
        elif offered := re.search(r"Offering public key: (\S+) ", line):
            kind = Path(offered[1]).name.removeprefix("id_")
            attempts.append(expect.key(user, *KINDS[kind], fingerprint(keys / f"id_{kind}.pub")))
        elif "send packet: type 50" in line and before == "none":
            attempts.append(expect.none(user))
        elif ("send packet: type 50" in line and before == "password") or (
            "send packet: type 61" in line and before == "keyboard-interactive"
        ):
            attempts.append(expect.password(user, answers.pop(0), before))
    return attempts


# --- other SSH clients ---


def paramiko(
    context: Context, ident: str, requests: Sequence[Callable[[Any], list[expect.Attempt]]], tool: str = "paramiko"
) -> Outcome:
    """Paramiko under another client's identification. Each request tries something and says what it sent."""
    library: Any = importlib.import_module("paramiko")
    outcome, transport = Outcome(tool, [ident]), None
    attempts: list[expect.Attempt] = []
    try:
        transport = library.Transport(context.connect("ssh"))
        transport.local_version = ident
        transport.start_client(timeout=15)
        for request in requests:
            attempts += request(transport)
    except (library.SSHException, OSError, EOFError) as error:
        raise ClientError(f"{ident}: {error or type(error).__name__}") from error
    finally:
        if transport:
            transport.close()
    outcome.attempts = [attempts]
    return outcome


def try_password(user: bytes, secret: bytes) -> Callable[[Any], list[expect.Attempt]]:
    """A password request of paramiko's, any bytes."""

    def request(transport: Any) -> list[expect.Attempt]:
        _refused(lambda: transport.auth_password(user, secret, fallback=False))
        return [expect.password(user, secret)]

    return request


def try_none(user: bytes) -> Callable[[Any], list[expect.Attempt]]:
    """The request without credentials."""

    def request(transport: Any) -> list[expect.Attempt]:
        _refused(lambda: transport.auth_none(user))
        return [expect.none(user)]

    return request


def _refused(request: Callable[[], Any]) -> None:
    """A request must be refused: a sensor that lets somebody in is the one thing that may never be."""
    library: Any = importlib.import_module("paramiko")
    try:
        request()
    except library.BadAuthenticationType:
        return
    except library.AuthenticationException as error:
        if "timeout" in str(error).lower():
            raise ClientError("no answer to an authentication request") from error
        return
    raise ClientError("the sensor ACCEPTED an authentication request")


def identifications(context: Context, idents: Sequence[bytes], seconds: float) -> Outcome:
    """Connect, read the server's line, say who we are, go. As fast as possible, one after another."""
    began = time.monotonic()
    for ident in idents:
        with context.connect("ssh") as sock:
            if not sock.recv(256):
                raise ClientError("the sensor closed before its identification")
            if ident:
                sock.sendall(ident)
            with contextlib.suppress(OSError):  # the sensor may have closed it already
                sock.shutdown(socket.SHUT_WR)
            _drain(sock)
    took = time.monotonic() - began
    if took > seconds:
        raise ClientError(f"{len(idents)} connections took {took:.1f} s, more than {seconds:.0f} s")
    return Outcome("socket", output=f"{len(idents)} connections in {took:.2f} s")


def _drain(sock: socket.socket, seconds: float = 3) -> bytes:
    """Read until the other side closes or is silent for so long; a close with unread data would be a reset."""
    sock.settimeout(seconds)
    received = bytearray()
    try:
        while data := sock.recv(65536):
            received += data
    except OSError:
        pass
    return bytes(received)


# --- raw datagrams and streams ---


def send_packets(context: Context, packets: Sequence[bytes]) -> Outcome:
    """IPv6 in IPv4 by a raw socket: packets of IP protocol 41 that hold these bytes."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 41) as raw:
        raw.bind((context.saddr, 0))
        for packet in packets:
            raw.sendto(packet, (context.daddr, 0))
    return Outcome("raw socket")


def send_datagrams(context: Context, service: str, payloads: Sequence[bytes], wait: float = 0.3) -> Outcome:
    """Send each from the same port, waiting a moment for an answer between them."""
    answers = []
    with context.datagrams(service) as sock:
        sock.settimeout(wait)
        for payload in payloads:
            sock.send(payload)
            try:
                answers.append(sock.recv(65535).split(b"\r\n", 1)[0])
            except OSError:
                answers.append(b"-")
    return Outcome("socket", output="\n".join(a[:80].decode(errors="backslashreplace") for a in answers))


def send_segments(
    context: Context, service: str, segments: Sequence[bytes], pause: float = 0.15, stay: float = 1.0
) -> Outcome:
    """Send each as a segment of its own on one connection, and stay to hear what comes back."""
    with context.connect(service) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for segment in segments:
            sock.sendall(segment)
            time.sleep(pause)
        received = _drain(sock, stay)
        with contextlib.suppress(OSError):  # the sensor may have closed it already
            sock.shutdown(socket.SHUT_WR)
        received += _drain(sock, stay)
    return Outcome("socket", output=received[:400].decode(errors="backslashreplace"))


def say(context: Context, port: int, words: bytes, event: str, data: Mapping[str, bytes | str | int]) -> Outcome:
    """Say something to a service that the scanner does not know, which must log it so: bytes as it logs values."""
    sender = Context(context.saddr, context.daddr, {"it": port}, context.work, context.keys)
    outcome = send_segments(sender, "it", [words])
    row: expect.Data = {}
    for name, value in data.items():
        row |= wire.value(name, value) if isinstance(value, bytes) else {name: value}
    outcome.said = [expect.Said(port, event, row)]
    return outcome


@dataclass(frozen=True)
class RfbScript:
    """What a raw RFB client says: version, security type (3.7 and later), response; in pieces or at once."""

    version: bytes
    security_type: int | None = 2
    response: bytes = b""
    pieces: bool = False
    at_once: bool = False


def rfb(context: Context, script: RfbScript) -> Outcome:
    """A raw RFB handshake (RFC 6143, section 7.1)."""
    old = script.version <= b"RFB 003.006\n"
    with context.connect("vnc") as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        received = _exactly(sock, 12)
        choice = b"" if old or script.security_type is None else bytes([script.security_type])
        if script.at_once:
            sock.sendall(script.version + choice)
        else:
            _send(sock, script.version, script.pieces)
        received += _exactly(sock, 4) if old else (count := _exactly(sock, 1)) + _exactly(sock, count[0])
        if choice and not script.at_once:
            sock.sendall(choice)
        if script.response:
            received += _exactly(sock, 16)
            _send(sock, script.response, script.pieces)
        received += _drain(sock, 1)
    return Outcome("socket", [script.version.decode(errors="backslashreplace").strip()], output=received.hex())


def _send(sock: socket.socket, data: bytes, pieces: bool) -> None:
    half = len(data) // 2 if pieces else len(data)
    sock.sendall(data[:half])
    if data[half:]:
        time.sleep(0.1)
        sock.sendall(data[half:])


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise ClientError(f"the sensor closed after {data!r}, {size} bytes were due")
        data += more
    return data
