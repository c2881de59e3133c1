"""The SSH sensor: one right event for each connection and each request, and nobody gets in."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import hashlib
import json
import re
import secrets
import struct
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from containers import poll
from event_lines import Event, parse
from machines import ROOT, Machine

SCANNER = (ROOT / "tests" / "ssh" / "ssh_scanner.py").read_text()
SPOOL = "cat /var/spool/strandline/events/*.log 2>/dev/null; true"
UNIT = "strandline-ssh.service"


class Client:
    """Plays clients on the scanner and finds the events that came of them."""

    def __init__(self, scanner: Machine, sensor: Machine, catalogue: dict[str, Any]) -> None:
        self.scanner, self.sensor, self.catalogue = scanner, sensor, catalogue
        self.address = sensor.addresses[-1]
        # Ports come round again: what was there before is not of this test.
        self.before = 0
        self.before = len(self.lines())

    def argv(self, action: str, *arguments: str) -> list[str]:
        """Arguments of ssh_scanner.py."""
        return ["python3", "-", self.address, "22", action, *arguments]

    def play(self, action: str, *arguments: str) -> list[dict[str, Any]]:
        """Play an action; returns what it said about itself."""
        out = self.scanner.check(*self.argv(action, *arguments), stdin=SCANNER, seconds=120)
        return [json.loads(line) for line in out.splitlines()]

    def lines(self) -> list[str]:
        """The SSH events in the sensor's spool since the test began, oldest first."""
        spool = self.sensor.check("sh", "-c", SPOOL)
        found = [line[line.index(" event=ssh.") + 1 :] for line in spool.splitlines() if " event=ssh." in line]
        return found[self.before :]

    def events(self, said: dict[str, Any], count: int) -> list[Event]:
        """The events of one connection, when there are so many, or what there is after some seconds."""
        start = f" saddr={said['saddr']} sport={said['sport']} daddr={self.address} dport=22 proto=tcp "

        def look() -> list[str]:
            found = [line for line in self.lines() if line.split(" ", 1)[1].startswith(start[1:])]
            return found if len(found) >= count else []

        found = poll(look, seconds=10) or [line for line in self.lines() if start in line]
        parsed = [parse(line, self.catalogue) for line in found]
        assert len(parsed) == count, found
        return parsed

    def requests(self, action: str, *arguments: str, count: int) -> list[Event]:
        """Play an action on one connection; its events after the ssh.client."""
        said = self.play(action, *arguments)[0]
        first, *rest = self.events(said, count + 1)
        assert (first["event"], first["valid"]) == ("ssh.client", "yes")
        return rest


@pytest.fixture
def client(scanner: Machine, sensors: list[Machine], catalogue: dict[str, Any]) -> Client:
    """Clients for the first sensor, at its last address."""
    return Client(scanner, sensors[0], catalogue)


# --- identification ---

IDENTS = [
    pytest.param(b"SSH-2.0-Go\r\n", "yes", '"SSH-2.0-Go"', id="go"),
    pytest.param(b"SSH-2.0-libssh2_1.4.3\n", "yes", '"SSH-2.0-libssh2_1.4.3"', id="line-feed-only"),
    pytest.param(b"SSH-1.99-old\r\n", "yes", '"SSH-1.99-old"', id="1.99"),
    pytest.param(b"SSH-2.0-OpenSSH_9 with a comment\r\n", "yes", '"SSH-2.0-OpenSSH_9 with a comment"', id="comment"),
    pytest.param(b"SSH-2.0-Probe-1\r\n", "yes", '"SSH-2.0-Probe-1"', id="known-prober"),
    pytest.param(
        b'SSH-2.0-evil "x" saddr=192.0.2.66\x1b[31m\xff\r\n',
        "yes",
        r'"SSH-2.0-evil \x22x\x22 saddr=192.0.2.66\x1b[31m\xff"',
        id="forging",
    ),
    pytest.param(b"SSH-2.0-" + b"A" * 400 + b"\r\n", "yes", f'"SSH-2.0-{"A" * 248}"/408', id="long"),
    pytest.param(b"SSH-1.5-old\r\n", "no", '"SSH-1.5-old"', id="1.5"),
    pytest.param(b"SSH-2.0-cut", "no", '"SSH-2.0-cut"', id="without-line-end"),
    pytest.param(b"SSH-2.0-a\rb\r\n", "no", r'"SSH-2.0-a\x0db"', id="bare-carriage-return"),
    pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "no", '"GET / HTTP/1.1"', id="http"),
    pytest.param(
        bytes.fromhex("160301020000010001fc0303"), "no", r'"\x16\x03\x01\x02\x00\x00\x01\x00\x01\xfc\x03\x03"', id="tls"
    ),
    pytest.param(b"\x00", "no", r'"\x00"', id="nul"),
    pytest.param(b"\r\n", "no", '""', id="empty-line"),
    pytest.param(b"", "no", '""', id="nothing"),
    pytest.param(b"B" * 9000 + b"\n", "no", f'"{"B" * 256}"/', id="endless"),
]


@pytest.mark.parametrize(("sent", "valid", "ident"), IDENTS)
def test_each_connection_is_one_event(client: Client, sent: bytes, valid: str, ident: str) -> None:
    """Whatever the first line is, also when there is none."""
    said = client.play("ident", sent.hex())[0]
    (event,) = client.events(said, 1)
    assert (event["event"], event["valid"]) == ("ssh.client", valid)
    assert event["ident"].startswith(ident) if ident.endswith("/") else event["ident"] == ident


def test_a_reset_connection_keeps_its_address(client: Client) -> None:
    """A client that is gone before anybody could ask the kernel for its address; ten, as it is a race."""
    for _ in range(10):
        (event,) = client.events(client.play("reset", b"SSH-2.0-gone\r\n".hex())[0], 1)
        assert event["event"] == "ssh.client"


def test_a_client_that_says_nothing_more_is_ended(client: Client) -> None:
    """LoginGraceTime costs no event: not within the first line, nor while a question waits for its answer."""
    cases = [("idle", b"SSH-2.0-par".hex()), ("idle", ""), ("unanswered", "root")]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        partial, silent, asked = pool.map(lambda case: client.play(*case)[0], cases)
    assert 20 < partial["seconds"] < 45
    assert client.events(partial, 1)[0]["ident"] == '"SSH-2.0-par"'
    assert client.events(silent, 1)[0]["ident"] == '""'
    event = client.events(asked, 2)[1]
    assert (event["event"], event["method"]) == ("ssh.method", '"keyboard-interactive"')


def test_twenty_connections_in_two_seconds(client: Client) -> None:
    """None is held back for being one of many from one address (PerSourcePenalties)."""
    start = time.monotonic()
    said = client.play("hold", "20", "0")[:-1]
    assert time.monotonic() - start < 10
    events = [event for one in said for event in client.events(one, 1)]
    assert [event["ident"] for event in events] == [f'"SSH-2.0-held_{number}"' for number in range(20)]


@contextlib.contextmanager
def held(client: Client, count: int, seconds: int) -> Iterator[list[dict[str, Any]]]:
    """Connections that stay open for so long, or until the test is done with them."""
    process = subprocess.Popen(
        ["podman", "exec", "-i", client.scanner.name, *client.argv("hold", str(count), str(seconds))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(SCANNER)
    process.stdin.close()
    said = []
    for line in process.stdout:
        one = json.loads(line)
        if "done" in one:
            break
        said.append(one)
    try:
        yield said
    finally:
        process.wait(timeout=seconds + 10)
        process.stdout.close()


def test_beyond_a_sources_share_its_idlest_goes(client: Client) -> None:
    """Beyond PerSourceMaxStartups each is still heard, and the next one served as ever."""
    with held(client, 45, 5) as said:
        events = [event for one in said for event in client.events(one, 1)]
        assert [event["ident"] for event in events] == [f'"SSH-2.0-held_{number}"' for number in range(45)]
        answer = client.play("ident", b"SSH-2.0-next\r\n".hex())[0]["answer"]
    assert answer.startswith("SSH-2.0-OpenSSH_")


# Two sources take all places and say nothing; a third comes, and says who it is after 100 ms, as over a long way.
CROWD = """
import json, socket, sys, time
address, places = sys.argv[1], int(sys.argv[2])
def connect(source):
    sock = socket.socket()
    sock.bind((source, 0))
    sock.settimeout(10)
    sock.connect((address, 22))
    return sock
first, second, third = sys.argv[3:]
idle = [connect(first) for _ in range(places)] + [connect(second) for _ in range(places)]
time.sleep(1)
for number in range(3):
    with connect(third) as sock:
        time.sleep(0.1)
        sock.sendall(b"SSH-2.0-third_%d\\r\\n" % number)
        saddr, sport = sock.getsockname()
        print(json.dumps({"saddr": saddr, "sport": str(sport), "answer": sock.recv(100).decode()}), flush=True)
"""


def test_idle_connections_keep_nobody_from_being_heard(client: Client) -> None:
    """All places are taken by clients that say nothing: the idlest of them goes for each new one."""
    sources = [client.scanner.addresses[number % len(client.scanner.addresses)] for number in range(3)]
    out = client.scanner.check("python3", "-", client.address, "20", *sources, stdin=CROWD, seconds=60)
    said = [json.loads(line) for line in out.splitlines()]
    assert len(said) == 3
    for number, one in enumerate(said):
        assert one["answer"].startswith("SSH-2.0-OpenSSH_")
        (event,) = client.events(one, 1)
        assert (event["valid"], event["ident"]) == ("yes", f'"SSH-2.0-third_{number}"')


def test_a_restart_loses_no_event(client: Client) -> None:
    """A connection under way when the service stops still becomes an event."""
    with held(client, 3, 4) as said:
        time.sleep(0.5)
        client.sensor.check("systemctl", "restart", UNIT)
        for one in said:
            assert client.events(one, 1)[0]["event"] == "ssh.client"


# --- requests ---


def test_passwords(client: Client) -> None:
    """Several on one connection, the empty one too."""
    tried = ["root", "", 'x"y\\z', "pässwörd"]
    events = client.requests("password", b"root".hex(), *[one.encode().hex() for one in tried], count=4)
    assert {(event["event"], event["method"], event["user"]) for event in events} == {
        ("ssh.password", "password", '"root"')
    }
    assert [event["password"] for event in events] == [
        '"root"', '""', r'"x\x22y\x5cz"', r'"p\xc3\xa4ssw\xc3\xb6rd"',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("user", "written"),
    [
        ("root:style/role", '"root:style/role"'),
        ("root/role:style", '"root/role:style"'),
        ("root from 192.0.2.66 port 1 ssh2", '"root from 192.0.2.66 port 1 ssh2"'),
        ('x" saddr=192.0.2.66 user="y', r'"x\x22 saddr=192.0.2.66 user=\x22y"'),
        ("a\r\nb\x1b[31m;é\u202e", r'"a\x0d\x0ab\x1b[31m;\xc3\xa9\xe2\x80\xae"'),
        ("u" * 300, f'"{"u" * 256}"/300'),
        ("", '""'),
    ],
)
def test_user_names_as_sent(client: Client, user: str, written: str) -> None:
    """Whole, escaped, and unable to look like a field."""
    (event,) = client.requests("password", user.encode().hex(), b"x".hex(), count=1)
    assert event["user"] == written


def test_keyboard_interactive(client: Client) -> None:
    """The answer to the question is a password."""
    (event,) = client.requests("interactive", "admin", "hunter2", count=1)
    assert event["event"] == "ssh.password"
    assert (event["method"], event["user"], event["password"]) == ("keyboard-interactive", '"admin"', '"hunter2"')


@pytest.mark.parametrize(
    ("kind", "key_type", "key_bits"),
    [("2048", "ssh-rsa", "2048"), ("1024", "ssh-rsa", "1024"), ("ecdsa", "ecdsa-sha2-nistp256", "256")],
)
def test_keys(client: Client, kind: str, key_type: str, key_bits: str) -> None:
    """Also one that sshd finds too short."""
    said, pair = client.play("key", "root", kind)
    _, event = client.events(said, 2)
    assert event == event | {
        "event": "ssh.key", "method": "publickey", "signed": "yes", "key_type": key_type, "key_bits": key_bits,
        "fingerprint": pair["fingerprint"], "user": '"root"',
    }  # fmt: skip


def request(user: bytes, method: bytes, rest: bytes = b"") -> str:
    """An argument of the action `raw`."""
    return f"{user.hex()}:{method.hex()}:{rest.hex()}"


def string(data: bytes) -> bytes:
    """A string of RFC 4251, section 5."""
    return struct.pack(">I", len(data)) + data


def fingerprint(blob: bytes) -> str:
    """As OpenSSH writes it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


RAW = [
    pytest.param(
        [request(b"u", b"password", b"\x00" + string(b"a\x00b"))],
        [{"event": "ssh.password", "method": "password", "password": r'"a\x00b"'}],
        id="nul-in-password",
    ),
    pytest.param(
        [request(b"u\x00v", b"password", b"\x00" + string(b"p"))],
        [{"event": "ssh.password", "user": r'"u\x00v"', "password": '"p"'}],
        id="nul-in-user",
    ),
    pytest.param(
        [request(b"u", b"password", b"\x01" + string(b"old") + string(b"new"))],
        [{"event": "ssh.password", "password": '"old"'}],
        id="password-change",
    ),
    pytest.param(
        [request(b"u", b"password", b"\x00" + string(b"p" * 30000))],
        [{"event": "ssh.password", "password": f'"{"p" * 256}"/30000'}],
        id="long-password",
    ),
    pytest.param(
        [request(b"u", b"x-own@example.org", b"")],
        [{"event": "ssh.method", "method": '"x-own@example.org"', "user": '"u"'}],
        id="unknown-method",
    ),
    pytest.param(
        [request(b"u", b'none" saddr=192.0.2.66 x="')],
        [{"event": "ssh.method", "method": r'"none\x22 saddr=192.0.2.66 x=\x22"'}],
        id="forging-method",
    ),
    pytest.param([request(b"u", b"gssapi-with-mic", bytes(4))], [{"method": '"gssapi-with-mic"'}], id="gssapi"),
    # Asked for and never answered: what was sent is still an event.
    pytest.param(
        [request(b"u", b"keyboard-interactive", string(b"") + string(b""))],
        [{"event": "ssh.method", "method": '"keyboard-interactive"'}],
        id="keyboard-interactive-unanswered",
    ),
    pytest.param(
        [request(b"u", b"password", b"\x00" + struct.pack(">I", 1000) + b"short")],
        [{"event": "ssh.method", "method": '"password"', "user": '"u"'}],
        id="malformed-password",
    ),
    pytest.param(
        [request(b"u", b"publickey", b"\x00" + string(b"ssh-dss") + string(b"no key at all"))],
        [{"event": "ssh.key", "signed": "no", "key_type": "-", "key_bits": "-",
          "fingerprint": fingerprint(b"no key at all")}],
        id="unreadable-key",
    ),
    pytest.param(
        [request(b"u", b"hostbased", string(b"ssh-ed25519") + string(string(b"ssh-ed25519") + string(bytes(32)))
                 + string(b"host") + string(b"user") + string(b""))],
        [{"event": "ssh.key", "method": "hostbased", "signed": "yes", "key_type": "ssh-ed25519", "key_bits": "256"}],
        id="hostbased",
    ),
    # sshd ends the connection at another user's name, and at bytes after a request; both were sent all the same.
    pytest.param(
        [request(b"u", b"none"), request(b"v", b"password", b"\x00" + string(b"p"))],
        [{"event": "ssh.method", "user": '"u"'}, {"event": "ssh.password", "user": '"v"', "password": '"p"'}],
        id="change-of-user",
    ),
    pytest.param(
        [request(b"u", b"password", b"\x00" + string(b"p") + b"more")],
        [{"event": "ssh.password", "user": '"u"', "password": '"p"'}],
        id="bytes-after-a-password",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("requests", "expected"), RAW)
def test_requests_that_no_client_should_send(
    client: Client, requests: list[str], expected: list[dict[str, str]]
) -> None:
    """Each is exactly one event."""
    events = client.requests("raw", *requests, count=len(expected))
    for event, fields in zip(events, expected, strict=True):
        assert event == event | fields


def packet(user: bytes, service: bytes, method: bytes, rest: bytes = b"") -> str:
    """SSH_MSG_USERAUTH_REQUEST (RFC 4252, section 5) as an argument of the action `packets`."""
    return (b"\x32" + string(user) + string(service) + string(method) + rest).hex()


def answers(stated: int, *given: bytes) -> str:
    """SSH_MSG_USERAUTH_INFO_RESPONSE (RFC 4256, section 3.4), likewise."""
    return (b"\x3d" + struct.pack(">I", stated) + b"".join(map(string, given))).hex()


CONNECTION = b"ssh-connection"
ASKED = packet(b"u", CONNECTION, b"keyboard-interactive", string(b"") + string(b""))
MANY = [b"p%d" % number for number in range(100)]


@pytest.mark.parametrize(
    ("packets", "passwords"),
    [
        pytest.param([ASKED, answers(3, b"a", b"b", b"c")], ["a", "b", "c"], id="three-answers"),
        pytest.param([ASKED, answers(100, *MANY)], [one.decode() for one in MANY], id="a-hundred-answers"),
        pytest.param([ASKED, answers(1000, *MANY, b"x")], [one.decode() for one in MANY], id="more-answers-than-count"),
        pytest.param([ASKED, answers(1, b"a") + "ff"], ["a"], id="bytes-after-an-answer"),
        pytest.param([ASKED, answers(1, b"a"), answers(1, b"b")], ["a", "b"], id="answered-twice"),
        pytest.param([answers(1, b"a")], ["a"], id="answered-unasked"),
        pytest.param(
            [
                packet(b"u", CONNECTION, b"password", b"\x00" + string(b"a")),
                packet(b"u", b"another", b"password", b"\x00" + string(b"b")),
            ],
            ["a", "b"],
            id="another-service",
        ),
        pytest.param([packet(b"u", b"a\x00b", b"password", b"\x00" + string(b"a"))], ["a"], id="nul-in-service"),
    ],
)
def test_a_password_is_heard_before_it_is_judged(client: Client, packets: list[str], passwords: list[str]) -> None:
    """sshd ends the connection at each of these; what was sent is an event all the same."""
    events = client.requests("packets", *packets, count=len(passwords))
    assert {event["event"] for event in events} == {"ssh.password"}
    assert [event["password"] for event in events] == [f'"{password}"' for password in passwords]


def test_a_request_that_breaks_off_is_an_event(client: Client) -> None:
    """With what could be read of it."""
    (event,) = client.requests("packets", (b"\x32" + string(b"u")).hex(), count=1)
    assert (event["event"], event["user"], event["method"]) == ("ssh.method", '"u"', '""')


def test_nothing_of_the_clients_is_in_the_journal(client: Client) -> None:
    """The daemon's own messages are for the operator; what clients send goes the events' way."""
    mark = secrets.token_hex(8)
    client.play("password", mark.encode().hex(), mark.encode().hex())
    client.play("ident", f"SSH-2.0-{mark}\r\n".encode().hex())
    assert mark not in client.sensor.check("journalctl", "--no-pager", f"--unit={UNIT}", "--since=-5min")


# --- nobody gets in ---

STOCK = """
Port 20222
ListenAddress 127.0.0.1
HostKey {directory}/ssh_host_rsa_key
HostKey {directory}/ssh_host_ecdsa_key
HostKey {directory}/ssh_host_ed25519_key
UsePAM yes
PidFile none
PasswordAuthentication yes
KbdInteractiveAuthentication yes
"""
SSH = [
    "ssh", "-F", "none", "-i", "/run/strandline-test/key", "-o", "IdentitiesOnly=yes",
    "-o", "NumberOfPasswordPrompts=1", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
]  # fmt: skip


@pytest.fixture(scope="module")
def stock(sensors: list[Machine]) -> Iterator[Machine]:
    """Debian's own sshd on the sensor's port 20222 of the loopback, with a user who has a password and a key."""
    sensor, directory = sensors[0], "/run/strandline-test"
    secret = secrets.token_hex(12)
    script = f"""
        set -e
        umask 077; mkdir -p {directory}; cd {directory}
        for type in ed25519 rsa ecdsa; do ssh-keygen -q -t $type -N '' -f ssh_host_${{type}}_key; done
        ssh-keygen -q -t ed25519 -N '' -f key
        useradd --create-home --shell /bin/sh victim
        echo 'victim:{secret}' | chpasswd
        install -d -m 0700 -o victim ~victim/.ssh
        install -m 0600 -o victim key.pub ~victim/.ssh/authorized_keys
        printf '#!/bin/sh\\necho {secret}\\n' > askpass; chmod 700 askpass
        cat > sshd_config
        mkdir -p /run/sshd
        systemd-run --quiet --unit=strandline-stock --collect /usr/sbin/sshd -D -f {directory}/sshd_config
        """
    try:
        sensor.check("sh", "-c", script, stdin=STOCK.format(directory=directory))
        assert poll(lambda: sensor.run("ss", "-Hltn", "sport = 20222").stdout)
        yield sensor
    finally:
        sensor.run("systemctl", "stop", "strandline-stock.service")
        sensor.run("userdel", "--force", "--remove", "victim")
        sensor.run("rm", "-rf", directory)


@pytest.mark.parametrize("method", ["publickey", "password", "keyboard-interactive"])
def test_what_opens_debians_sshd_opens_nothing_here(client: Client, stock: Machine, method: str) -> None:
    """The right key and the right password of a real account of the host."""
    askpass = ["env", "SSH_ASKPASS=/run/strandline-test/askpass", "SSH_ASKPASS_REQUIRE=force"]
    argv = [*askpass, *SSH, "-o", f"PreferredAuthentications={method}"]
    opened = stock.run(*argv, "-p", "20222", "victim@127.0.0.1", "echo", "in")
    assert opened.stdout == "in\n", opened.stderr
    # From another address of the host: what comes from the address that it goes to is the heartbeat's, and no event.
    away = f"BindAddress={stock.addresses[0]}"
    refused = stock.run(*argv, "-o", away, "-p", "22", f"victim@{client.address}", "echo", "in")
    assert (refused.returncode, refused.stdout) == (255, "")
    assert "Permission denied" in refused.stderr
    name = "ssh.key" if method == "publickey" else "ssh.password"
    assert poll(lambda: [line for line in client.lines() if line.startswith(f"event={name} ") and '"victim"' in line])


# --- what it looks like, and what it may do ---

HELLO = """
import socket, sys
def look(port):
    sock = socket.create_connection((sys.argv[1] if port == 22 else "127.0.0.1", port), timeout=10)
    stream = sock.makefile("rb")
    banner = stream.readline()
    sock.sendall(b"SSH-2.0-look\\r\\n")
    length = int.from_bytes(stream.read(4), "big")
    packet = stream.read(length)
    # Without the 16 random bytes of the cookie and the padding (RFC 4253, sections 6 and 7.1).
    return banner, packet[1:2] + packet[18:length - packet[0]]
print(look(22) == look(20222), look(22))
"""


def test_it_looks_like_debians_sshd(client: Client, stock: Machine) -> None:
    """Identification and offered algorithms are those of Debian's own server."""
    said = stock.check("python3", "-c", HELLO, client.address)
    assert said.startswith("True"), said


def test_it_offers_what_debians_sshd_offers(client: Client, stock: Machine) -> None:
    """The same signature algorithms (RFC 8308, section 3.1) and methods."""

    def offers(address: str, port: str) -> list[str]:
        said = stock.run(*SSH, "-v", "-o", "PreferredAuthentications=none", "-p", port, f"nosuch@{address}").stderr
        return re.findall(r"server-sig-algs=.*|Authentications that can continue: .*", said)

    ours = offers(client.address, "22")
    assert len(ours) >= 2
    assert ours == offers("127.0.0.1", "20222")


def test_it_runs_without_privileges(client: Client) -> None:
    """Own user, no capability but that of binding a low port, no new ones to be had."""
    pid = client.sensor.check("systemctl", "show", "--value", "--property=MainPID", UNIT).strip()
    status = dict(
        line.split(":\t", 1) for line in client.sensor.check("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line
    )
    uid = client.sensor.check("id", "-u", "strandline-ssh").strip()
    assert set(status["Uid"].split()) == {uid} != {"0"}
    bind_service = f"{1 << 10:016x}"
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {bind_service}
    assert status["NoNewPrivs"] == "1"


def test_the_hardening_holds(client: Client) -> None:
    """The score of `systemd-analyze security`: from 10, no sandboxing at all, to 0."""
    said = client.sensor.check("systemd-analyze", "--no-pager", "security", UNIT)
    match = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert match
    assert float(match[1]) <= 1.5, said


def test_its_configuration_survives_a_reload(client: Client) -> None:
    """SIGHUP keeps process and port."""
    before = client.sensor.check("systemctl", "show", "--value", "--property=MainPID", UNIT)
    client.sensor.check("systemctl", "reload", UNIT)
    assert poll(lambda: client.sensor.run("ss", "-Hltn", "sport = 22").stdout)
    assert client.sensor.check("systemctl", "show", "--value", "--property=MainPID", UNIT) == before
    assert client.play("ident", b"SSH-2.0-reloaded\r\n".hex())[0]["answer"].startswith("SSH-2.0-OpenSSH_")
