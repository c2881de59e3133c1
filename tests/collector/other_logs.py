"""Makes lines of other daemons' logs from what happened, by the formats' definitions, and says what must be stored.

Shares nothing with the programs that read them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

SENSORS = {"ams1": "203.0.113.9", "scl1": "203.0.113.77", "par1": "2001:db8::9"}
PADDING = ("uri", "from", "to", "contact", "call_id", "cseq", "user_agent", "auth_user", "auth_realm", "auth_nonce",
           "auth_uri", "auth_response")  # fmt: skip


class Truth(NamedTuple):
    """A line, and the event that it is."""

    line: bytes
    ts: datetime
    sensor: str
    event: str
    saddr: str
    sport: int
    daddr: str
    dport: int
    proto: str
    verified: bool
    data: dict[str, Any]
    categories: tuple[str, ...]


def escaped(raw: bytes, cap: int = 256) -> str:
    """A value as the database has it."""
    return "".join(chr(b) if 0x20 <= b <= 0x7E and b not in b'"\\' else f"\\x{b:02x}" for b in raw[:cap])


def vis(raw: bytes) -> bytes:
    """What OpenSSH writes for these bytes: strnvis(3) with VIS_CSTYLE, VIS_NL, VIS_TAB and VIS_OCTAL."""
    written = b""
    for place, byte in enumerate(raw):
        following = raw[place + 1 : place + 2]
        named = {10: b"n", 13: b"r", 8: b"b", 7: b"a", 11: b"v", 9: b"t", 12: b"f"}
        if byte == 0x5C:
            written += b"\\\\"
        elif 0x20 <= byte <= 0x7E:
            written += bytes([byte])
        elif byte in named:
            written += b"\\" + named[byte]
        elif byte == 0 and not (following and 0x30 <= following[0] <= 0x37):
            written += b"\\0"
        else:
            written += b"\\%03o" % byte
    return written


def stamp(ts: datetime, form: str) -> bytes:
    """A time in front of a line."""
    if form == "old":
        return f"{ts:%b} {ts.day:2d} {ts:%H:%M:%S}".encode()
    return ts.isoformat(timespec="microseconds").encode()


def syslog(form: str, ts: datetime, host: str, program: str, text: bytes) -> bytes:
    """A line of syslog: of RFC 3164, with a time of ISO 8601, or of RFC 5424."""
    if form == "new":
        return b"<134>1 " + stamp(ts, form) + f" {host} {program} 811 - - ".encode() + text
    return stamp(ts, form) + f" {host} {program}[811]: ".encode() + text


def source(rng: random.Random, v6: bool = False) -> str:
    """A stranger's address."""
    return f"2001:db8:7::{rng.randrange(1, 4000):x}" if v6 else f"198.18.{rng.randrange(8)}.{rng.randrange(256)}"


def some_bytes(rng: random.Random, most: int = 12) -> bytes:
    """What a stranger may send as a name or password, but never the daemon's own separator."""
    raw = rng.choice(
        (b"root", b"admin", rng.randbytes(rng.randrange(most)), b"a;b; c", b'"\\x22', b"p\\134w", b"\\0007")
    )
    return raw.replace(b"; password ", b"")


Made = tuple[str, bytes, dict[str, Any]]


def ssh_client(rng: random.Random, saddr: str, sport: int) -> Made:
    """An identification."""
    software = rng.choice((b"Go", b"libssh2_1.10.0", b"x; saddr 192.0.2.66; sport 7", some_bytes(rng)))
    text = b"Client protocol version 2.0; client software version %s; saddr %s; sport %d"
    valid = {"valid": "yes", "ident": escaped(b"SSH-2.0-" + software)}
    return "ssh.client", text % (vis(software), saddr.encode(), sport), valid


def ssh_password(rng: random.Random, saddr: str, sport: int) -> Made:
    """A password; now and then where it begins can't be told."""
    user, password = some_bytes(rng), some_bytes(rng)
    ambiguous = "-"
    if rng.random() < 0.1:
        password, ambiguous = b"one; password two", "user+password"
    elif rng.random() < 0.1:
        user, ambiguous = b"u" * 100, "user"
    text = b"Password authentication attempt; saddr %s; sport %d; user %s; password %s"
    data = {"method": "password", "user": escaped(user), "password": escaped(password), "ambiguous": ambiguous}
    return "ssh.password", text % (saddr.encode(), sport, vis(user), vis(password)), data


def dns(rng: random.Random, saddr: str, sport: int, daddr: str) -> tuple[Made, bool]:
    """A question, and whether it came by TCP."""
    tcp, rd, has_edns = rng.random() < 0.3, rng.randrange(2), rng.random() < 0.5
    qclass, qtype, qname = rng.choice((("IN", "ANY", "example.net"), ("CH", "TXT", "VERSION.bind"),
                                       ("IN", "A", "a,b.example"), ("IN", "NS", ".")))  # fmt: skip
    number = rng.randrange(65536)
    numbers = [number, 0, "QUERY", 0, 0, rd, 0, 0, 1, 0, "NOERROR", 1, 0, 0, int(has_edns), 0, int(has_edns),
               1232 if has_edns else 0, 0]  # fmt: skip
    fields = [saddr, sport, daddr, 6 if tcp else 17, *numbers, qclass, qtype, qname]
    data = {
        "id": str(number), "opcode": "0", "rd": str(rd), "cd": "0", "ad": "1", "edns": "0" if has_edns else "-",
        "udpsize": "1232" if has_edns else "-", "do": str(int(has_edns)), "ecs": "0", "cookie": "0", "qclass": qclass,
        "qtype": qtype, "qname": qname if qname == "." else f"{qname}.",
    }  # fmt: skip
    return ("dns.query", ("Query: " + ",".join(map(str, fields))).encode(), data), tcp


def sip(rng: random.Random, saddr: str, sport: int) -> tuple[Made, bool]:
    """A request, and whether it came by TCP."""
    tcp = rng.random() < 0.3
    method = rng.choice(("OPTIONS", "REGISTER", "INVITE"))
    call = str(rng.randrange(10**12))
    head = {"Via": "SIP/2.0/UDP 192.0.2.5;branch=z9", "From": "<sip:100@192.0.2.5>;tag=1",
            "To": "<sip:100@203.0.113.9>", "Call-ID": call, "CSeq": f"1 {method}",
            "User-Agent": "friendly-scanner", "Contact": "<sip:100@192.0.2.5>",
            "Max-Forwards": "70", "Content-Length": "0"}  # fmt: skip
    end = rng.choice(("|", "||"))
    content = f"{method} sip:100@203.0.113.9 SIP/2.0{end}" + "".join(f"{k}: {v}{end}" for k, v in head.items()) + end
    proto = ("TCP" if tcp else "UDP") + ("6" if ":" in saddr else "4")
    text = f"saddr: {saddr}; sport: {rng.choice(('', ':'))}{sport}; proto: {proto}; content: {content}"
    data = {name: "" for name in PADDING} | {
        "malformed": "-", "method": method, "uri": "sip:100@203.0.113.9", "from": head["From"], "to": head["To"],
        "contact": head["Contact"], "call_id": call, "cseq": head["CSeq"], "user_agent": "friendly-scanner",
    }  # fmt: skip
    return ("sip.request", text.encode(), data), tcp


def vnc(rng: random.Random, saddr: str, sport: int, daddr: str) -> Made:
    """A step of a connection."""
    head = f"saddr: {saddr}; sport: {sport}; daddr: {daddr}; dport: 5900; "
    if rng.random() < 0.5:
        return "vnc.client", (head + "ProtocolVersion 003.008").encode(), {"version": "RFB 003.008"}
    data = {"version": "-", "security_type": "2", "ambiguous": "version"}
    return "vnc.security", (head + "client sectype 2").encode(), data


def dataplane(rng: random.Random, ts: datetime, sensor: str, form: str) -> Truth:
    """A line of one of DataPlane.org's daemons."""
    daddr = SENSORS[sensor]
    saddr, sport = source(rng, ":" in daddr), rng.randrange(1024, 65536)
    what = rng.choice(("sshd", "sshd", "fdnsd", "fsipd", "fvncd"))
    tcp, dport = True, {"sshd": 22, "fdnsd": 53, "fsipd": 5060, "fvncd": 5900}[what]
    if what == "sshd":
        made = rng.choice((ssh_client, ssh_password))(rng, saddr, sport)
    elif what == "fdnsd":
        made, tcp = dns(rng, saddr, sport, daddr)
    elif what == "fsipd":
        made, tcp = sip(rng, saddr, sport)
    else:
        made = vnc(rng, saddr, sport, daddr)
    event, text, own = made
    if form == "old":
        ts = ts.replace(microsecond=0)
    line = syslog(form, ts, daddr, what, text)
    data = {"ambiguous": "-", **own, "origin": f"dataplane.{what}"}
    proto = "tcp" if tcp else "udp"
    return Truth(line, ts, sensor, event, saddr, sport, daddr, dport, proto, tcp, data,
                 counted(event, data, proto))  # fmt: skip


def counted(event: str, data: dict[str, Any], proto: str = "tcp") -> tuple[str, ...]:
    """The feeds that an event counts for, as the folders of the protocols describe them."""
    question = (data["rd"], data["qclass"], data["qtype"]) if event == "dns.query" else ("", "", "")
    tests: dict[str, Callable[[], bool]] = {
        "sshclient": lambda: event == "ssh.client" and data["valid"] == "yes",
        "sshpwauth": lambda: event == "ssh.password",
        "dnsrd": lambda: event == "dns.query" and data["rd"] == "1",
        "dnsrdany": lambda: question == ("1", "IN", "ANY"),
        "dnsversion": lambda: question[1:] == ("CH", "TXT") and data["qname"].lower() == "version.bind.",
        "dnstcp": lambda: event == "dns.query" and proto == "tcp",
        "sipquery": lambda: event == "sip.request" and data["method"] == "OPTIONS",
        "sipinvitation": lambda: event == "sip.request" and data["method"] == "INVITE",
        "sipregistration": lambda: event == "sip.request" and data["method"] == "REGISTER",
        "vncrfb": lambda: event == "vnc.client",
    }
    return tuple(name for name, test in tests.items() if test())


def log(count: int, seed: int, until: datetime, days: float = 6, sensors: Iterable[str] = SENSORS) -> list[Truth]:
    """So many lines of some days, in the order of time."""
    rng = random.Random(seed)
    names = list(sensors)
    moments = sorted(until - timedelta(seconds=rng.uniform(60, days * 86400)) for _ in range(count))
    return [dataplane(rng, ts, rng.choice(names), rng.choice(("old", "iso", "new"))) for ts in moments]


def document(**fields: Any) -> bytes:
    """A line of JSON."""
    return json.dumps(fields).encode()


def cowrie(count: int, seed: int, until: datetime, sensor: str = "ams1") -> list[tuple[bytes, Truth | None]]:
    """Lines of cowrie's log: sessions of SSH and telnet, with what each line is, or None."""
    rng = random.Random(seed)
    rows: list[tuple[bytes, Truth | None]] = []
    for number in range(count):
        ts = until - timedelta(minutes=5 * (count - number))
        saddr, sport, session = source(rng), rng.randrange(1024, 65536), f"{rng.getrandbits(48):012x}"
        protocol = rng.choice(("ssh", "ssh", "ssh", "telnet"))
        base = {"src_ip": saddr, "session": session, "sensor": "pot"}

        def add(event: str, own: dict[str, Any], second: int, at: datetime = ts,
                on: Any = (saddr, sport, protocol, base), **fields: Any) -> None:  # fmt: skip
            moment = at + timedelta(seconds=second)
            time = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
            line = document(timestamp=time, **on[3], **fields)
            data = {"origin": "cowrie", "ambiguous": "-", **own}
            truth = Truth(line, moment, sensor, event, on[0], on[1], SENSORS[sensor], 2222, "tcp", True, data,
                          counted(event, data) if event else ())  # fmt: skip
            rows.append((line, truth if event and on[2] == "ssh" else None))

        add("", {}, 0, eventid="cowrie.session.connect", src_port=sport, dst_ip="172.17.0.2", dst_port=2222,
            protocol=protocol)  # fmt: skip
        add("ssh.client", {"valid": "yes", "ident": "SSH-2.0-Go"}, 1, eventid="cowrie.client.version",
            version="SSH-2.0-Go")  # fmt: skip
        add("", {}, 2, eventid="cowrie.client.kex", hassh="0a07365cc01fa9fc82608ba4019af499")
        add("ssh.key", {"method": "publickey", "signed": "-", "key_type": "ssh-ed25519", "key_bits": "-",
                        "fingerprint": "a5:81:35", "user": "git", "ambiguous": "signed"}, 3,
            eventid="cowrie.client.fingerprint", username="git", type="ssh-ed25519", fingerprint="a5:81:35",
            key="ssh-ed25519 AAAA")  # fmt: skip
        add("ssh.password", {"method": "-", "user": "root", "password": "p\\xc3\\xa4\\x22", "ambiguous": "method"}, 4,
            eventid=rng.choice(("cowrie.login.failed", "cowrie.login.success")), username="root",
            password='pä"')  # fmt: skip
        add("", {}, 9, eventid="cowrie.session.closed", duration="8.0")
    return rows


def opencanary(count: int, seed: int, until: datetime, sensor: str = "ams1") -> list[tuple[bytes, Truth | None]]:
    """Lines of OpenCanary's log, with what each line is, or None."""
    rng = random.Random(seed)
    kinds: list[tuple[int, dict[str, Any], str, dict[str, Any], int, str]] = [
        (4000, {"SESSION": "1"}, "", {}, 22, "tcp"),
        (4001, {"LOCALVERSION": "SSH-2.0-OpenSSH_5.1p1", "REMOTEVERSION": "SSH-2.0-Go"}, "ssh.client",
         {"valid": "yes", "ident": "SSH-2.0-Go"}, 22, "tcp"),
        (4002, {"USERNAME": "root", "PASSWORD": "x\ufffdy", "LOCALVERSION": "a", "REMOTEVERSION": "b"}, "ssh.password",
         {"method": "-", "user": "root", "password": "x\\xef\\xbf\\xbdy", "ambiguous": "method+password"}, 22, "tcp"),
        (12001, {"VNC Server Challenge": "00" * 16, "VNC Client Response": "Ff" * 16, "VNC Password": "x"}, "vnc.auth",
         {"version": "-", "challenge": "00" * 16, "response": "ff" * 16, "ambiguous": "version"}, 5900, "tcp"),
        (15001, {"HEADERS": {"cseq": ["1 INVITE"], "from": ["a"], "via": ["x", "y"]}}, "sip.request",
         {name: "" for name in PADDING} | {"malformed": "-", "method": "INVITE", "cseq": "1 INVITE", "from": "a",
                                           "ambiguous": "method+uri+malformed"}, 5060, "udp"),
        (3000, {"PATH": "/"}, "", {}, 80, "tcp"),
    ]  # fmt: skip
    rows: list[tuple[bytes, Truth | None]] = []
    for number in range(count):
        ts = until - timedelta(minutes=count - number)
        logtype, logdata, event, own, dport, proto = rng.choice(kinds)
        saddr, sport = source(rng), rng.randrange(1024, 65536)
        time = ts.strftime("%Y-%m-%d %H:%M:%S.%f")
        line = document(dst_host="172.17.0.2", dst_port=dport, local_time=time,
                        local_time_adjusted="2020-01-01 00:00:00.0", utc_time=time, logdata=logdata,
                        logtype=logtype, node_id="pot", src_host=saddr,
                        src_port=sport)  # fmt: skip
        data = {"ambiguous": "-", **own, "origin": f"opencanary.{event[:3]}"}
        truth = Truth(line, ts, sensor, event, saddr, sport, SENSORS[sensor], dport, proto, proto == "tcp", data,
                      counted(event, data) if event else ())  # fmt: skip
        rows.append((line, truth if event else None))
    return rows
