"""Sockets from systemd; destination addresses of datagrams."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from strandline.event.line import Event, Flow
from strandline.sensor.listener.daemon import Daemon
from strandline.sensor.listener.datagrams import DATAGRAMS_PER_TURN, DatagramServer
from strandline.sensor.listener.loop import Loop
from strandline.sensor.listener.notices import Notices
from strandline.sensor.listener.session import SettingError
from strandline.sensor.listener.sockets import Datagram, DatagramPort, listen_sockets, plain_address, source_prefix
from strandline.sensor.listener.writer import EventWriter

from strandline_cli import listener_settings

SETTINGS = listener_settings.environment("sip") | {"STRANDLINE_EVENT_SOCKET": "/nowhere"}
PACKAGE = Path(__file__).parents[2] / "files" / "strandline"


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:0:1", "::ffff:0:1"),
    ],
)
def test_plain_addresses(given: str, plain: str) -> None:
    assert plain_address(given) == plain


def test_prefixes() -> None:
    assert source_prefix("192.0.2.7", 24, 56) == b"\xc0\x00\x02"
    assert len(source_prefix("2001:db8::1", 24, 56)) == 7


@pytest.mark.parametrize("destination", ["127.0.0.1", "127.0.0.2", "127.9.9.9"])
def test_the_reply_comes_from_the_address_that_was_asked(destination: str) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        sock.bind(("0.0.0.0", 0))
        port = DatagramPort(sock)
        client.bind(("127.0.0.1", 0))
        client.settimeout(1)
        client.sendto(b"x", (destination, sock.getsockname()[1]))
        datagram = port.receive()
        assert datagram is not None
        assert (datagram.data, datagram.flow.daddr, datagram.flow.saddr) == (b"x", destination, "127.0.0.1")
        assert datagram.flow.sport == client.getsockname()[1]
        assert datagram.unicast
        assert port.reply(datagram, b"y")
        assert client.recvfrom(9) == (b"y", (destination, sock.getsockname()[1]))
        assert port.receive() is None


def test_a_burst_is_logged_before_any_of_it_is_answered() -> None:
    order: list[str] = []

    class Recorder:
        def write(self, happened: Event, flow: Flow) -> None:  # noqa: ARG002 - the writer's signature
            order.append(f"{happened.name}, {client_waits()} answers")

    def client_waits() -> int:
        return len(select.select([client], [], [], 0)[0])

    def handle(datagram: Datagram, _now: float) -> tuple[list[Event], bytes | None]:
        if datagram.data == b"fault":
            raise ZeroDivisionError
        return [Event(datagram.data.decode(), {}, {})], datagram.data

    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        sock.bind(("127.0.0.1", 0))
        client.connect(sock.getsockname())
        client.settimeout(1)
        loop = Loop()
        server = DatagramServer(loop, sock, handle, Recorder(), Notices(lambda _: None))
        for burst in (["a", "fault", "b"], ["c", "d"]):
            for name in burst:
                client.send(name.encode())
            server._readable()
            answered = [name for name in burst if name != "fault"]
            assert [client.recv(9).decode() for _ in answered] == answered
        assert order == [f"{name}, 0 answers" for name in "abcd"]
        loop.close()


def test_a_turn_reads_only_so_much() -> None:
    taken: list[Datagram] = []

    def handle(datagram: Datagram, _now: float) -> tuple[list[Event], None]:
        taken.append(datagram)
        return [], None

    notices = Notices(lambda _: None)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        sock.bind(("127.0.0.1", 0))
        client.connect(sock.getsockname())
        loop = Loop()
        server = DatagramServer(loop, sock, handle, EventWriter("/nowhere", "x", notices), notices)
        for _ in range(DATAGRAMS_PER_TURN + 5):
            client.send(b"x")
        server._readable()
        assert len(taken) == DATAGRAMS_PER_TURN
        server._readable()
        assert len(taken) == DATAGRAMS_PER_TURN + 5
        loop.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_a_dual_stack_socket_writes_ipv4_as_ipv4() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        port = DatagramPort(sock)
        for family, source, destination in (
            (socket.AF_INET, "127.0.0.1", "127.0.0.5"),
            (socket.AF_INET6, "::1", "::1"),
        ):
            with socket.socket(family, socket.SOCK_DGRAM) as client:
                client.bind((source, 0))
                client.settimeout(1)
                client.sendto(b"", (destination, sock.getsockname()[1]))
                datagram = port.receive()
                assert datagram is not None
                assert (datagram.flow.saddr, datagram.flow.daddr) == (source, destination)
                assert port.reply(datagram, b"y")
                assert client.recvfrom(9)[1][0] == destination


def test_a_broadcast_is_not_answered() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        sock.bind(("0.0.0.0", 0))
        port = DatagramPort(sock)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.sendto(b"x", ("127.255.255.255", sock.getsockname()[1]))
        datagram = port.receive()
        assert datagram is not None
        assert not datagram.unicast
        assert not port.reply(datagram, b"y")


def test_sockets_of_another_process_are_left_alone() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "x"}
    assert listen_sockets(environment, 2) == []
    assert environment == {}
    assert listen_sockets({}, 2) == []


@pytest.mark.parametrize("value", ["", "x", "-1", "0", "99999999", "\uff11\uff12"])
def test_a_wrong_setting_is_one_sentence(value: str) -> None:
    with pytest.raises(SettingError, match=r"STRANDLINE_CONNECTIONS is .*: set it to a whole number from 1 to 8192"):
        Daemon("sip", [], SETTINGS | {"STRANDLINE_CONNECTIONS": value})


def test_a_missing_setting_is_one_sentence() -> None:
    for name in SETTINGS:
        with pytest.raises(SettingError, match=rf"^{name} is missing: run \./strandline site"):
            Daemon("sip", [], {key: value for key, value in SETTINGS.items() if key != name})


def test_without_sockets_it_says_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", str(PACKAGE / "sensor" / "listener"), "sip"],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 2
    assert done.stderr == "<3>no sockets handed over: start strandline-sip.socket\n"


def test_what_is_heavy_stays_out() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
        "import strandline.sensor.listener.daemon, strandline.protocols.sip.session, strandline.protocols.vnc.session\n"
        "heavy = {'typing', 'dataclasses', 'asyncio', 'hashlib', 'ssl', 'logging', 'argparse'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout == "[]\n"
