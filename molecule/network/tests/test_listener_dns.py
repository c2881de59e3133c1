"""The DNS sensor: one right event for each message, no reply larger than its query, no packet of its own."""

from __future__ import annotations

import json
import re
import struct
import sys
import time
from typing import Any

import pytest
from containers import poll
from event_lines import Event, parse
from machines import ROOT, Machine

sys.path.insert(0, str(ROOT / "tests" / "dns"))

from dns_wire import (
    AD,
    ANY,
    AXFR,
    CD,
    CH,
    COOKIE,
    ECS,
    EXAMPLE,
    NS,
    QR,
    RD,
    SOA,
    TC,
    TXT,
    VERSION,
    A,
    header,
    opt,
    option,
    question,
    record,
    wire_name,
)

SCANNER = (ROOT / "tests" / "dns" / "dns_scanner.py").read_text()
SPOOL = "cat /var/spool/strandline/events/*.log 2>/dev/null; true"
HIGHEST_PSS = 20_000
"""Most memory that named may take, in KiB (PSS); idle it takes 11,000."""


def query(**fields: str) -> Event:
    """What the event of a plain query says, and what is different from it."""
    plain = {
        "event": "dns.query", "verified": "no", "id": "4660", "opcode": "0", "rd": "1", "cd": "0", "ad": "0",
        "edns": "-", "udpsize": "-", "do": "0", "ecs": "0", "cookie": "0", "qclass": "IN", "qtype": "A",
        "qname": '"www.Example.com."',
    }  # fmt: skip
    return {**plain, **fields}


def message(reason: str, **fields: str) -> Event:
    """What the event of anything else says."""
    return {"event": "dns.message", "verified": "no", "reason": reason, **fields}


EDNS = {"edns": "0", "udpsize": "1232"}
HOSTILE = wire_name(b'" saddr=192.0.2.66 x="', b"a\nb\0c", b"192.0.2.66#53 (evil): query: evil")

CASES: dict[str, tuple[bytes, Event]] = {
    "A, recursion desired": (header() + question(EXAMPLE), query()),
    "A, without": (header(flags=0) + question(EXAMPLE), query(rd="0")),
    "AD, CD": (header(flags=AD | CD) + question(EXAMPLE), query(rd="0", cd="1", ad="1")),
    "ANY": (header() + question(EXAMPLE, ANY), query(qtype="ANY")),
    "ANY, EDNS, DO": (
        header(extra=1) + question(EXAMPLE, ANY) + opt(size=4096, do=True),
        query(qtype="ANY", edns="0", udpsize="4096", do="1"),
    ),
    "EDNS, subnet, cookie": (
        header(extra=1) + question(EXAMPLE) + opt(option(ECS, b"\0\1\x18\0\1\2\3") + option(COOKIE, b"ABCDEFGH")),
        query(**EDNS, ecs="1", cookie="1"),
    ),
    "EDNS, NSID": (header(extra=1) + question(EXAMPLE) + opt(option(3, b"")), query(**EDNS)),
    "EDNS version 1": (header(extra=1) + question(EXAMPLE) + opt(version=1), query(edns="1", udpsize="1232")),
    "EDNS, forged server cookie": (
        header(extra=1) + question(EXAMPLE) + opt(option(COOKIE, b"A" * 24)),
        query(**EDNS, cookie="1"),
    ),
    "version.bind": (
        header(flags=0) + question(VERSION, TXT, CH),
        query(rd="0", qclass="CH", qtype="TXT", qname='"version.bind."'),
    ),
    "version.bind as dig asks": (
        header(extra=1, flags=RD | AD) + question(VERSION, TXT, CH) + opt(option(COOKIE, b"ABCDEFGH")),
        query(**EDNS, ad="1", cookie="1", qclass="CH", qtype="TXT", qname='"version.bind."'),
    ),
    "VERSION.BIND ANY": (
        header() + question(wire_name(b"VERSION", b"BIND"), ANY, CH),
        query(qclass="CH", qtype="ANY", qname='"VERSION.BIND."'),
    ),
    "version.bind NS": (
        header() + question(VERSION, NS, CH),
        query(qclass="CH", qtype="NS", qname='"version.bind."'),
    ),
    "hostname.bind": (
        header() + question(wire_name(b"hostname", b"bind"), TXT, CH),
        query(qclass="CH", qtype="TXT", qname='"hostname.bind."'),
    ),
    "authors.bind": (
        header() + question(wire_name(b"authors", b"bind"), TXT, CH),
        query(qclass="CH", qtype="TXT", qname='"authors.bind."'),
    ),
    "the root": (header() + question(b"\0", NS), query(qtype="NS", qname='"."')),
    "class HS": (header() + question(EXAMPLE, A, 4), query(qclass="HS")),
    "class HS, EDNS": (header(extra=1) + question(EXAMPLE, A, 4) + opt(), query(**EDNS, qclass="HS")),
    "class ANY": (header() + question(EXAMPLE, A, 255), query(qclass="ANY")),
    "class 4711": (header() + question(EXAMPLE, A, 4711), query(qclass="CLASS4711")),
    "type 65399": (header() + question(EXAMPLE, 65399), query(qtype="TYPE65399")),
    "AXFR": (header(flags=0) + question(EXAMPLE, AXFR), query(rd="0", qtype="AXFR")),
    "IXFR": (
        header(authority=1, flags=0) + question(EXAMPLE, 251) + record(b"\xc0\x0c", SOA, b"\0\0" + b"\0" * 20),
        query(rd="0", qtype="IXFR"),
    ),
    "bytes after the query": (header() + question(EXAMPLE) + b"GARBAGE", query()),
    "a hostile name": (
        header() + question(HOSTILE),
        query(
            qname=r'"\x5c\x22\x5c032saddr=192\x5c.0\x5c.2\x5c.66\x5c032x=\x5c\x22.a\x5c010b\x5c000c.'
            r'192\x5c.0\x5c.2\x5c.66#53\x5c032\x5c(evil\x5c):\x5c032query:\x5c032evil."'
        ),
    ),
    "the longest name": (
        header() + question(wire_name(*[b"\xff" * 63] * 3, b"\xff" * 61)),
        query(qname='"' + ".".join([r"\x5c255" * 63] * 3 + [r"\x5c255" * 61]) + '."'),
    ),
    "IQUERY": (header(flags=1 << 11) + question(EXAMPLE), message("opcode", opcode="1")),
    "STATUS": (header(flags=2 << 11) + question(EXAMPLE), message("opcode", opcode="2")),
    "NOTIFY": (
        header(flags=4 << 11) + question(EXAMPLE, SOA),
        message("opcode", opcode="4", qclass="IN", qtype="SOA", qname='"www.Example.com."'),
    ),
    "NOTIFY, EDNS": (header(extra=1, flags=4 << 11) + question(EXAMPLE, SOA) + opt(), message("opcode", opcode="4")),
    "UPDATE": (header(flags=5 << 11) + question(EXAMPLE, SOA), message("opcode", opcode="5")),
    "opcode 15": (header(flags=15 << 11) + question(EXAMPLE), message("opcode", opcode="15")),
    "a response": (header(flags=QR) + question(EXAMPLE), message("response", id="4660")),
    "no question": (header(0), message("question", qclass="-", qtype="-", qname='""')),
    "no question, cookie": (header(0, extra=1) + opt(option(COOKIE, b"ABCDEFGH")), message("question")),
    "two questions": (header(2) + question(EXAMPLE) * 2, message("question", qname='"www.Example.com."')),
    "nothing": (b"", message("short", id="-", opcode="-", data='""')),
    "one byte": (b"x", message("short", id="-", opcode="-", data='"x"')),
    "half a header": (b"\0" * 11, message("short", data='"' + r"\x00" * 11 + '"')),
    "a header alone": (header(), message("malformed", id="4660", qname='""')),
    "a pointer to itself": (header() + question(b"\xc0\x0c"), message("malformed")),
    "a name in the header": (header(flags=0) + question(b"\xc0\x02"), query(rd="0", qname='"."')),
    "two OPT": (header(extra=2) + question(EXAMPLE) + opt() * 2, message("malformed")),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", message("opcode", data=r'"GET / HTTP/1.1\x0d\x0a\x0d\x0a"')),
    "512 bytes": (b"\xff" * 512, message("response", data='"' + r"\xff" * 256 + '"/512')),
}  # fmt: skip


class Client:
    """Sends messages from the scanner to one sensor, and finds the events that came of them."""

    def __init__(self, scanner: Machine, sensor: Machine, catalogue: dict[str, Any]) -> None:
        self.scanner, self.sensor, self.catalogue = scanner, sensor, catalogue
        self.before = len(self.lines())
        self.seen: list[str] = []

    def send(self, messages: list[dict[str, Any]], address: str | None = None) -> list[dict[str, Any]]:
        """Send, and tell for each what came back."""
        argv = ["python3", "-", address or self.sensor.addresses[-1], json.dumps(messages)]
        told: list[dict[str, Any]] = json.loads(self.scanner.check(*argv, stdin=SCANNER, seconds=120))
        return told

    def udp(self, *messages: bytes, address: str | None = None, source: str | None = None) -> list[dict[str, Any]]:
        """Send datagrams, each from a port of its own."""
        return self.send([{"proto": "udp", "hex": m.hex(), "source": source} for m in messages], address)

    def lines(self) -> list[str]:
        """All DNS events of the sensor's spool, oldest first."""
        spool = self.sensor.check("sh", "-c", SPOOL)
        return [line[line.index(" event=dns.") + 1 :] for line in spool.splitlines() if " event=dns." in line]

    def events(self, told: dict[str, Any], address: str, proto: str = "udp", count: int = 1) -> list[Event]:
        """The events of one client; exactly `count`, or the test fails."""
        start = f" saddr={told['saddr']} sport={told['sport']} daddr={address} dport=53 proto={proto} "

        def there() -> list[str]:
            return [line for line in self.seen if start in line]

        def look() -> bool:
            # A port of the scanner may have been another client's, before this test.
            self.seen = self.lines()[self.before :]
            return len(there()) >= count

        if len(there()) < count:
            poll(look, seconds=10)
        assert len(there()) == count, there()
        return [parse(line, self.catalogue) for line in there()]


@pytest.fixture
def client(scanner: Machine, sensor: Machine, catalogue: dict[str, Any]) -> Client:
    """The scanner and a sensor."""
    return Client(scanner, sensor, catalogue)


def said(event: Event, expected: Event) -> Event:
    """Of an event, what is expected of it."""
    return {name: event.get(name, "absent") for name in expected}


def test_each_message_is_one_event_and_no_reply_is_larger(client: Client) -> None:
    """Whatever comes is logged as what it is, and asks for no more bytes than it brings."""
    address = client.sensor.addresses[-1]
    told = client.udp(*[sent for sent, _ in CASES.values()])
    print(f"\n{client.sensor.name}: bytes over UDP\n{'':28}query reply ratio")
    wrong = {}
    for (name, (sent, expected)), one in zip(CASES.items(), told, strict=True):
        size = sum(len(bytes.fromhex(reply)) for reply in one["replies"])
        print(f"{name:28}{len(sent):5} {size:5} {size / max(len(sent), 1):5.2f}")
        (event,) = client.events(one, address)
        if said(event, expected) != expected or size > len(sent):
            wrong[name] = (said(event, expected), expected, size)
    assert not wrong


def test_version(client: Client) -> None:
    """A scanner sees a common server: the version, over UDP when it fits into the query, else over TCP."""
    address = client.sensor.addresses[-1]
    dig = ["dig", "+tries=1", f"@{address}", "version.bind", "CH", "TXT"]
    assert re.fullmatch(r'"[\w.+-]+"\n', client.scanner.check(*dig, "+short"))
    assert "(UDP)" in client.scanner.check(*dig)
    assert "(TCP)" in client.scanner.check(*dig, "+noedns")
    assert client.scanner.check(*dig, "+short", "+noedns") == client.scanner.check(*dig, "+short")
    refused = client.scanner.check("dig", "+tries=1", f"@{address}", "example.com", "A")
    assert re.search(r"status: REFUSED.*\n;; flags: qr rd;", refused)


def test_a_bare_version_query_is_sent_to_tcp(client: Client) -> None:
    """30 bytes get 30 bytes, with TC."""
    (told,) = client.udp(header() + question(VERSION, TXT, CH))
    (reply,) = told["replies"]
    assert bytes.fromhex(reply) == header(flags=QR | RD | TC | 0x0400) + question(VERSION, TXT, CH)


def test_every_address(client: Client) -> None:
    """The event has the address that was asked, over both transports."""
    asked = header() + question(EXAMPLE)
    for address in client.sensor.addresses:
        (told,) = client.udp(asked, address=address)
        client.events(told, address)
        (told,) = client.send([{"proto": "tcp", "hex": struct.pack("!H", len(asked)).hex() + asked.hex()}], address)
        (event,) = client.events(told, address, "tcp")
        assert said(event, query(verified="yes")) == query(verified="yes")


def test_tcp(client: Client) -> None:
    """Several messages in one segment, one message in three, and bytes that are no message."""
    address = client.sensor.addresses[0]
    one, two = header() + question(EXAMPLE), header(flags=4 << 11) + question(EXAMPLE, SOA)
    framed = struct.pack("!H", len(one)) + one
    told = client.send(
        [
            {"proto": "tcp", "hex": (framed + struct.pack("!H", len(two)) + two + framed).hex()},
            {"proto": "tcp", "hex": [framed[:1].hex(), framed[1:20].hex(), framed[20:].hex()]},
            {"proto": "tcp", "hex": "000161"},
        ],
        address,
    )
    assert [e["event"] for e in client.events(told[0], address, "tcp", 3)] == ["dns.query", "dns.message", "dns.query"]
    client.events(told[1], address, "tcp")
    (event,) = client.events(told[2], address, "tcp")
    assert (event["reason"], event["verified"], event["data"]) == ("short", "yes", '"a"')


UNFINISHED = {
    "a mere connect": (b"", '""'),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", r'"GET / HTTP/1.1\x0d\x0a\x0d\x0a"'),
    "TLS": (bytes.fromhex("1603010200010001fc0303"), r'"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"'),
    "half a message": (b"\x00\x21" + header(), r'"\x00!\x124\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"'),
}


def test_every_connection_leaves_a_trace(client: Client) -> None:
    """Also one of which no message comes; and one that had its message has no second event."""
    address = client.sensor.addresses[0]
    told = client.send([{"proto": "tcp", "hex": sent.hex()} for sent, _ in UNFINISHED.values()], address)
    for one, (_, data) in zip(told, UNFINISHED.values(), strict=True):
        (event,) = client.events(one, address, "tcp")
        expected = message("unfinished", verified="yes", id="-", opcode="-", qtype="-", qname='""', data=data)
        assert said(event, expected) == expected
    asked = header() + question(EXAMPLE)
    framed = struct.pack("!H", len(asked)) + asked
    (told_half,) = client.send([{"proto": "tcp", "hex": (framed + framed[:9]).hex()}], address)
    assert [e.get("reason") for e in client.events(told_half, address, "tcp", 2)] == [None, "unfinished"]


def test_a_cookie_proves_the_address(client: Client) -> None:
    """The server's cookie, had over TCP, proves its owner over UDP, and nobody else."""
    address = client.sensor.addresses[0]
    mine, *others = client.scanner.addresses
    asked = header(extra=1) + question(EXAMPLE) + opt(option(COOKIE, b"ABCDEFGH"))
    framed = struct.pack("!H", len(asked)) + asked
    (told,) = client.send([{"proto": "tcp", "hex": framed.hex(), "source": mine}], address)
    answer = bytes.fromhex("".join(told["replies"]))
    at = answer.index(struct.pack("!2H", COOKIE, 24))
    cookie = answer[at + 4 : at + 28]
    again = header(extra=1) + question(EXAMPLE) + opt(option(COOKIE, cookie))
    (told,) = client.udp(again, address=address, source=mine)
    (event,) = client.events(told, address)
    assert (event["verified"], event["cookie"]) == ("yes", "1")
    for other in others[:1]:
        (told,) = client.udp(again, address=address, source=other)
        (event,) = client.events(told, address)
        assert (event["saddr"], event["verified"], event["cookie"]) == (other, "no", "1")
        assert sum(map(len, told["replies"])) <= 2 * len(again)


IDLE = """
import socket, struct, sys, time
idle = [socket.create_connection((sys.argv[1], 53), 10) for _ in range(850)]
asked = bytes.fromhex(sys.argv[2])
begin = time.monotonic()
client = socket.create_connection((sys.argv[1], 53), 10)
client.sendall(struct.pack("!H", len(asked)) + asked)
assert client.recv(512)
print(time.monotonic() - begin)
"""


def test_idle_clients_keep_nobody_out(client: Client) -> None:
    """850 connections that say nothing, then one that asks."""
    asked = (header() + question(EXAMPLE)).hex()
    argv = ["sh", "-c", 'ulimit -n 2048; exec python3 - "$@"', "sh", client.sensor.addresses[0], asked]
    assert float(client.scanner.check(*argv, stdin=IDLE)) < 1


def named(sensor: Machine, name: str) -> str:
    """A property of the unit as systemd knows it."""
    return sensor.check("systemctl", "show", "--value", f"--property={name}", "named.service").strip()


def test_a_reload_loses_nothing(client: Client) -> None:
    """SIGHUP reads the configuration anew, in the same process, and events go on."""
    pid = named(client.sensor, "MainPID")
    client.sensor.check("systemctl", "reload", "named.service")
    address = client.sensor.addresses[0]
    (told,) = client.udp(header() + question(EXAMPLE), address=address)
    client.events(told, address)
    assert named(client.sensor, "MainPID") == pid


def test_malformed_messages_say_nothing_in_the_journal(client: Client) -> None:
    """What strangers send can't fill it."""

    def lines() -> int:
        return len(client.sensor.check("journalctl", "--unit=named.service", "--output=cat").splitlines())

    before = lines()
    client.udp(*[sent for sent, _ in CASES.values()])
    assert lines() == before


def test_only_port_53(sensor: Machine) -> None:
    """named has no other socket to the network: it could neither ask anybody nor be controlled."""
    owner = f"uid:{sensor.check('id', '-u', 'bind').strip()}"
    mine = [fields for line in sensor.check("ss", "-Hanute").splitlines() if owner in (fields := line.split())]
    assert mine
    assert {fields[4].rsplit(":", 1)[1] for fields in mine} == {"53"}


def test_rights(sensor: Machine) -> None:
    """It runs as its own user, with the right to port 53 and no other."""
    status = sensor.check("cat", f"/proc/{named(sensor, 'MainPID')}/status")
    uid = sensor.check("id", "-u", "bind").strip()
    assert re.search(rf"^Uid:\s+{uid}\s+{uid}\s+{uid}\s+{uid}$", status, re.M)
    for kind in ("CapPrm", "CapEff", "CapBnd"):
        assert re.search(rf"^{kind}:\s+0000000000000400$", status, re.M), status
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
    assert re.search(r"^Seccomp:\s+2$", status, re.M)


def test_the_plugin_holds_its_bind9(sensor: Machine) -> None:
    """An upgrade of bind9 alone would break the sensor; apt holds it back."""
    show = ["dpkg-query", "--show", "--showformat"]
    version = sensor.check(*show, "${Version}", "bind9")
    assert f"bind9 (= {version})" in sensor.check(*show, "${Depends}", "strandline-bind-plugin")
    sensor.check("named-checkconf")


def test_named_does_not_start_half_blind(sensor: Machine) -> None:
    """Without the preload it would miss what is no query, and amplify."""
    done = sensor.run("timeout", "10", "named", "-g", "-u", "bind", "-p", "5399")
    assert done.returncode == 1
    assert "LD_PRELOAD" in done.stderr


def test_memory(sensor: Machine) -> None:
    """It is a small part of the sensor's 256 MB."""
    time.sleep(6)  # the idle clients of the test above are gone after 5 s
    rollup = sensor.check("cat", f"/proc/{named(sensor, 'MainPID')}/smaps_rollup")
    kib = {name: int(re.search(rf"^{name}:\s+(\d+) kB$", rollup, re.M)[1]) for name in ("Rss", "Pss")}  # type: ignore[index]
    print(f"\n{sensor.name}: named takes {kib['Pss']} KiB (PSS), {kib['Rss']} KiB (RSS)")
    assert kib["Pss"] < HIGHEST_PSS
