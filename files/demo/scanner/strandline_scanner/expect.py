"""From what was seen on the wire, and from what a client says it did inside encryption, to the rows that must exist.

Every connection and every datagram leaves a trace: also one that says nothing, or nonsense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from . import wire
from .capture import Flow

Data = dict[str, str | int]
SILENT: Data = {"reason": "closed", "data": ""}
"""A connection that the scanner closed without a word."""


@dataclass(frozen=True)
class Attempt:
    """One authentication request inside SSH, as the client that made it knows it."""

    event: str
    data: Data


@dataclass(frozen=True)
class Said:
    """What a client said over TCP to a service of which nothing is known here, and what must be logged of it."""

    port: int
    event: str
    data: Data


def none(user: bytes) -> Attempt:
    """The request without credentials that most clients begin with (RFC 4252, section 5.2)."""
    return Attempt("ssh.method", {**wire.value("user", user), "method": "none"})


def password(user: bytes, secret: bytes, method: str = "password") -> Attempt:
    """A password (RFC 4252, section 8), or an answer to keyboard-interactive (RFC 4256)."""
    return Attempt("ssh.password", {"method": method, **wire.value("user", user), **wire.value("password", secret)})


def key(user: bytes, key_type: str, bits: int, fingerprint: str, signed: bool = False) -> Attempt:
    """A public key offered (RFC 4252, section 7)."""
    return Attempt(
        "ssh.key",
        {
            "method": "publickey",
            "signed": "yes" if signed else "no",
            "key_type": key_type,
            "key_bits": str(bits),
            "fingerprint": fingerprint,
            **wire.value("user", user),
        },
    )


@dataclass
class Expected:
    """A row that the database must hold exactly once."""

    event: str
    saddr: str
    sport: int
    daddr: str
    dport: int
    proto: str
    sensor: str
    not_before: str
    not_after: str
    verified: bool
    data: Data


def utc(nanoseconds: int) -> str:
    """ISO 8601, UTC, microseconds."""
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest // 1000:06d}Z"


@dataclass
class Deriver:
    """Turns the flows of one action at one sensor address into expected rows.

    It lives as long as the scan of that address: cookies and nonces that the sensor gave out prove a source later on.
    """

    sensor: str
    ports: dict[str, int]
    cookies: set[tuple[str, bytes]] = field(default_factory=set)
    nonces: set[tuple[str, bytes]] = field(default_factory=set)

    def rows(
        self,
        flows: Sequence[Flow],
        attempts: Sequence[Sequence[Attempt]] = (),
        by_ident: Mapping[bytes, Sequence[Attempt]] = MappingProxyType({}),
        said: Sequence[Said] = (),
    ) -> list[Expected]:
        """The rows for these flows.

        `attempts` are those inside the SSH connections, in order or by identification; `said` is for ports that are
        none of ours, in the order of the connections.
        """
        derive: dict[int, Callable[[Flow], list[Expected]]] = {
            self.ports["dns"]: self._dns,
            self.ports["sip"]: self._sip,
            self.ports["vnc"]: self._vnc,
            self.ports["telnet"]: self._telnet,
            self.ports["ntp"]: self._ntp,
            self.ports["smtp"]: self._smtp,
            self.ports["any"]: self._any,
        }
        left, rows = list(attempts), []
        words = list(said)
        for flow in flows:
            if flow.proto == "tcp" and not flow.established:
                continue
            if flow.proto == "ipv6":
                rows += self._each(flow, wire.proto41)
                continue
            if flow.proto == "tcp" and flow.dport == self.ports["ssh"]:
                ident = flow.sent.data()
                named = [requests for start, requests in by_ident.items() if ident.startswith(start)]
                rows += self._ssh(flow, named[0] if named else left.pop(0) if left else [])
            elif flow.dport in derive:
                rows += derive[flow.dport](flow)
            elif (this := next((each for each in words if each.port == flow.dport), None)) is not None:
                words.remove(this)
                rows.append(self._row(flow, this.event, this.data))
        return rows

    def _row(
        self,
        flow: Flow,
        event: str,
        data: Data,
        *,
        time: int | None = None,
        verified: bool | None = None,
    ) -> Expected:
        return Expected(
            event=event,
            saddr=flow.saddr,
            sport=flow.sport,
            daddr=flow.daddr,
            dport=flow.dport,
            proto=flow.proto,
            sensor=self.sensor,
            not_before=utc(time or flow.first),
            not_after=utc(time or flow.last),
            verified=flow.proto == "tcp" if verified is None else verified,
            data=data,
        )

    def _ssh(self, flow: Flow, attempts: Sequence[Attempt]) -> list[Expected]:
        sent = flow.sent.data()
        line, end, _ = sent.partition(b"\n")
        line = line.removesuffix(b"\r")
        valid = bool(end) and line.startswith((b"SSH-2.0-", b"SSH-1.99-"))
        client = {"valid": "yes" if valid else "no", **wire.value("ident", line)}
        return [self._row(flow, "ssh.client", client)] + [self._row(flow, a.event, a.data) for a in attempts]

    def _dns(self, flow: Flow) -> list[Expected]:
        if flow.proto == "tcp":
            for answer in wire.dns_messages(flow.received.data()):
                self._learn_cookie(flow.saddr, answer)
            return [self._message(flow, message, None) for message in wire.dns_messages(flow.sent.data())]
        rows = []
        for datagram in flow.datagrams:
            if datagram.sent:
                rows.append(self._message(flow, datagram.payload, datagram.time))
            else:
                self._learn_cookie(flow.saddr, datagram.payload)
        return rows

    def _learn_cookie(self, saddr: str, response: bytes) -> None:
        answer = wire.dns(response)
        if len(answer.cookie) > 8:
            self.cookies.add((saddr, answer.cookie))

    def _message(self, flow: Flow, raw: bytes, time: int | None) -> Expected:
        message = wire.dns(raw)
        verified = flow.proto == "tcp" or (flow.saddr, message.cookie) in self.cookies
        name = wire.value("qname", message.qname, 1024)
        if message.reason == "-":
            return self._row(flow, "dns.query", {**message.fields, **name}, time=time, verified=verified)
        told = {key: message.fields[key] for key in ("id", "opcode", "qclass", "qtype")}
        data = {"reason": message.reason, **told, **name, **wire.value("data", raw)}
        return self._row(flow, "dns.message", data, time=time, verified=verified)

    def _sip(self, flow: Flow) -> list[Expected]:
        if flow.proto == "tcp":
            self.nonces |= {(flow.saddr, nonce) for nonce in wire.nonces(flow.received.data())}
            messages = wire.sip_messages(flow.sent.data())
            if not messages:
                return [self._row(flow, "sip.malformed", SILENT)]
            return [row for message in messages for row in self._request(flow, message, None)]
        rows = []
        for datagram in flow.datagrams:
            if not datagram.sent:
                self.nonces |= {(flow.saddr, nonce) for nonce in wire.nonces(datagram.payload)}
            else:
                rows += self._request(flow, datagram.payload, datagram.time)
        return rows

    def _request(self, flow: Flow, raw: bytes, time: int | None) -> list[Expected]:
        message = wire.sip(raw)
        if message is None:
            reason = "response" if raw.lstrip(b"\r\n").startswith(b"SIP/") else "garbage"
            return [self._row(flow, "sip.malformed", {"reason": reason, **wire.value("data", raw)}, time=time)]
        digest = message.digest()
        values = {
            "method": message.method,
            "uri": message.uri,
            **{name: message.headers.get(name.encode(), b"") for name in ("from", "to", "contact")},
            "call_id": message.headers.get(b"call-id", b""),
            "cseq": message.headers.get(b"cseq", b""),
            "user_agent": message.headers.get(b"user-agent", b""),
            "auth_user": digest.get(b"username", b""),
            **{f"auth_{name}": digest.get(name.encode(), b"") for name in ("realm", "nonce", "uri", "response")},
        }
        data: Data = {"malformed": message.malformed(stream=flow.proto == "tcp")}
        for name, raw_value in values.items():
            data |= wire.value(name, raw_value)
        verified = flow.proto == "tcp" or (flow.saddr, values["auth_nonce"]) in self.nonces
        return [self._row(flow, "sip.request", data, time=time, verified=verified)]

    def _vnc(self, flow: Flow) -> list[Expected]:
        sent, received = flow.sent.data(), flow.received.data()
        if not sent:
            return [self._row(flow, "vnc.malformed", SILENT)]
        session = wire.rfb(sent, received)
        if session is None:
            return [self._row(flow, "vnc.malformed", {"reason": "garbage", **wire.value("data", sent)})]
        rows = [self._row(flow, "vnc.client", wire.value("version", session.version))]
        if session.security_type is not None:
            data: Data = {"version": session.negotiated, "security_type": str(session.security_type)}
            rows.append(self._row(flow, "vnc.security", data))
        if session.response:
            data = {
                "version": session.negotiated,
                "challenge": session.challenge.hex(),
                "response": session.response.hex(),
            }
            rows.append(self._row(flow, "vnc.auth", data))
        return rows

    def _ntp(self, flow: Flow) -> list[Expected]:
        return self._each(flow, wire.ntp)

    def _any(self, flow: Flow) -> list[Expected]:
        if flow.proto == "udp":
            return self._each(flow, wire.contact)
        sent = flow.sent.data()
        event, data = wire.contact(sent)
        return [self._row(flow, event, data if sent else data | {"reason": "closed"})]

    def _each(self, flow: Flow, read: Callable[[bytes], tuple[str, Data]]) -> list[Expected]:
        """A row for each datagram."""
        return [
            self._row(flow, *read(datagram.payload), time=datagram.time) for datagram in flow.datagrams if datagram.sent
        ]

    def _smtp(self, flow: Flow) -> list[Expected]:
        return [self._row(flow, event, data) for event, data in wire.smtp(flow.sent.data(), flow.received.data())]

    def _telnet(self, flow: Flow) -> list[Expected]:
        return [self._row(flow, event, data) for event, data in wire.telnet(flow.sent.data())]


def as_json(row: Expected) -> dict[str, Any]:
    """The row for the record."""
    return asdict(row)
