"""A real daemon on the loopback with ports of the kernel's choice, and its events in a list."""

from __future__ import annotations

import re
import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

from strandline.event import catalogue as catalogue_files
from strandline.event.line import LINE_MAX, Event, Flow, render
from strandline.protocols.sip.answer import Persona
from strandline.sensor.listener.daemon import Daemon

from strandline_cli import listener_settings

CATALOGUE: dict[str, Any] = catalogue_files.load()

PERSONA = Persona(*(CATALOGUE["listeners"]["sip"]["settings"][name] for name in ("server", "realm")))
"""The PBX that the SIP listener looks like."""

TOKEN = r"[A-Za-z0-9_.:+/=-]+"
VALUE = r'"(?:[ !#-\[\]-~]|\\x[0-9a-f]{2})*"(?:/[0-9]+)?'


def grammar(name: str) -> re.Pattern[str]:
    """The whole line of an event, as the catalogue has it."""
    event = CATALOGUE["events"][name]
    fields = [rf"event={re.escape(name)}"]
    fields += [rf"{key}=(?P<{key}>{TOKEN})" for key in ("saddr", "sport", "daddr", "dport", "proto")]
    fields += [rf"{key}=(?P<t_{key}>{TOKEN})" for key in event.get("trusted") or {}]
    fields += [rf"{key}=(?P<v_{key}>{VALUE})" for key in event.get("values") or {}]
    return re.compile(" ".join(fields))


GRAMMAR = {
    name: grammar(name)
    for name, event in CATALOGUE["events"].items()
    if CATALOGUE["listeners"][event["listener"]]["python"]
}


class Record:
    """One event, read back from its line by the catalogue's grammar."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.name = line.partition(" ")[0].removeprefix("event=")
        match = GRAMMAR[self.name].fullmatch(line)
        assert match is not None, f"not in the grammar of {self.name}: {line}"
        assert len(line) <= LINE_MAX
        found = match.groupdict()
        self.saddr, self.sport = found["saddr"], int(found["sport"])
        self.daddr, self.dport, self.proto = found["daddr"], int(found["dport"]), found["proto"]
        self.trusted = {key[2:]: text for key, text in found.items() if key.startswith("t_")}
        self.values = {key[2:]: text for key, text in found.items() if key.startswith("v_")}

    def __repr__(self) -> str:
        return self.line


def record(event: Event) -> Record:
    """The event as a record of some flow."""
    return Record(render(event, Flow("192.0.2.7", 51044, "203.0.113.9", 5060, "udp")))


class Sink:
    """Takes events as the writer does."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._grown = threading.Condition()

    def write(self, happened: Event, flow: Flow) -> None:
        """Keep it."""
        with self._grown:
            self.records.append(Record(render(happened, flow)))
            self._grown.notify_all()

    def wait(self, number: int, timeout: float = 1.0) -> list[Record]:
        """The first events, once there are `number`; more, or fewer in time, are an error."""
        with self._grown:
            self._grown.wait_for(lambda: len(self.records) >= number, timeout)
            assert len(self.records) == number, self.records
            return list(self.records)

    def find(self, sport: int, name: str, timeout: float = 1.0) -> Record:
        """The event of that client port."""

        def found() -> list[Record]:
            return [r for r in self.records if r.sport == sport and r.name == name]

        with self._grown:
            assert self._grown.wait_for(lambda: bool(found()), timeout), f"no {name} from port {sport}"
            return found()[0]


class Service:
    """A daemon in a thread, with the settings of its unit but for those that are given."""

    def __init__(self, protocol: str, environment: dict[str, str]) -> None:
        self.sink = Sink()
        self._stack = ExitStack()
        sockets: list[socket.socket] = []
        protos = {port["proto"] for port in CATALOGUE["listeners"][protocol]["ports"]}
        if "tcp" in protos:
            stream = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            stream.bind(("127.0.0.1", 0))
            stream.listen(1024)
            sockets.append(stream)
            self.tcp: tuple[str, int] = stream.getsockname()
        if "udp" in protos:
            datagram = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            datagram.bind(("127.0.0.1", 0))
            sockets.append(datagram)
            self.udp: tuple[str, int] = datagram.getsockname()
        self.daemon = Daemon(protocol, sockets, listener_settings.environment(protocol) | environment, self.sink)
        self._thread = threading.Thread(target=self.daemon.run)
        self._thread.start()

    def udp_client(self) -> socket.socket:
        """A client of the UDP socket."""
        client = self._stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        client.settimeout(1.0)
        client.connect(self.udp)
        return client

    def tcp_client(self) -> socket.socket:
        """A client of the TCP socket."""
        client = self._stack.enter_context(socket.create_connection(self.tcp, timeout=2.0))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def stop(self) -> None:
        """End it and close everything."""
        self.daemon.loop.stop()
        self._thread.join(5.0)
        self._stack.close()
        assert not self._thread.is_alive()


def read_until(client: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or as many as come before the end."""
    data = b""
    while len(data) < size:
        more = client.recv(size - len(data))
        if not more:
            break
        data += more
    return data


def silent(client: socket.socket, seconds: float = 0.2) -> bool:
    """Whether nothing comes for a while."""
    client.settimeout(seconds)
    try:
        return client.recv(1) == b"" and False
    except TimeoutError:
        return True
    finally:
        client.settimeout(2.0)


def pause() -> None:
    """Long enough for the loopback to deliver a segment by itself."""
    time.sleep(0.03)


def sip(
    method: str = "OPTIONS", *extra: str, line_end: str = "\r\n", transport: str = "UDP", user: str = "100"
) -> bytes:
    """A request as scanners send it."""
    lines = [
        f"{method} sip:{user}@203.0.113.9 SIP/2.0",
        f"Via: SIP/2.0/{transport} 192.0.2.7:5060;branch=z9hG4bK-524287-1;rport",
        "Max-Forwards: 70",
        f'To: "{user}"<sip:{user}@203.0.113.9>',
        f'From: "{user}"<sip:{user}@203.0.113.9>;tag=6337303530303130313363340133',
        "User-Agent: friendly-scanner",
        "Call-ID: 845236589",
        "Contact: sip:100@192.0.2.7:5060",
        f"CSeq: 1 {method}",
        "Accept: application/sdp",
        *(extra or ("Content-Length: 0",)),
        "",
        "",
    ]
    return line_end.join(lines).encode("ascii")
