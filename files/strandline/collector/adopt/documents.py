"""The logs of cowrie and OpenCanary, a JSON object a line, as events of our catalogue. Pure functions."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from strandline.collector.adopt.found import Found, Skip, flow
from strandline.event.line import Event
from strandline.protocols.sip.event import request_event
from strandline.protocols.sip.message import Request

MAX_SESSIONS = 50_000
"""Sessions of cowrie that are remembered: only a session's first line has its ports."""
_IDENT = re.compile(rb"SSH-(?:2\.0|1\.99)-[^\r\n]*").fullmatch
_challenge = re.compile(r"[0-9a-f]{32}").fullmatch


def _document(line: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise Skip("not JSON") from None
    if not isinstance(found, dict):
        raise Skip("not a JSON object")
    return found


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise Skip(f"{name} is missing, or no text")
    return value


def _port(document: Mapping[str, Any], name: str) -> int:
    value = document.get(name)
    if type(value) is not int:
        raise Skip(f"{name} is missing, or no number")
    return value


def _time(text: str) -> datetime:
    """Read a time; both programs write UTC, OpenCanary without saying so."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Skip("time: not a date") from None


def _bytes(values: Mapping[str, str]) -> tuple[dict[str, bytes], list[str]]:
    """Return values as bytes, and the names of those that may have been other bytes.

    Both programs decode UTF-8, and write other bytes as an escape or as U+FFFD.
    """
    unsure = [name for name, value in values.items() if "\ufffd" in value or re.search(r"\\x[0-9a-f]{2}", value)]
    return {name: value.encode("utf-8", "surrogatepass") for name, value in values.items()}, unsure


def _client(ident: str) -> tuple[Event, list[str]]:
    values, unsure = _bytes({"ident": ident})
    return Event("ssh.client", {"valid": "yes" if _IDENT(values["ident"]) else "no"}, values), unsure


def _password(user: str, password: str) -> tuple[Event, list[str]]:
    values, unsure = _bytes({"user": user, "password": password})
    # Which of the two methods it was is not in the log.
    return Event("ssh.password", {"method": "-"}, values), ["method", *unsure]


_COWRIE = ("cowrie.client.version", "cowrie.login.failed", "cowrie.login.success", "cowrie.client.fingerprint")


class Cowrie:
    """Reads the lines of one file of cowrie's JSON log (cowrie.json)."""

    def __init__(self) -> None:
        """Start without a session."""
        self._sessions: OrderedDict[str, tuple[str, str, int, int]] = OrderedDict()

    def read(self, line: bytes) -> Found:
        """Return the event of a line; raise Skip."""
        document = _document(line)
        kind = _text(document, "eventid")
        session, source = _text(document, "session"), _text(document, "src_ip")
        if kind == "cowrie.session.connect":
            protocol = document.get("protocol", "ssh")
            where = flow(source, _port(document, "src_port"), "", _port(document, "dst_port"))
            self._sessions[session] = (str(protocol), where[0], where[1], where[3])
            if len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
            raise Skip("cowrie.session.connect: read for the ports of its session, no event of ours")
        if kind not in _COWRIE:
            raise Skip("cowrie: a kind of line that no event of ours corresponds to")
        known = self._sessions.get(session)
        if known is None:
            raise Skip("cowrie: its session did not begin in this file")
        protocol, saddr, sport, dport = known
        if protocol != "ssh":
            raise Skip("cowrie: a session of telnet, which no event of ours corresponds to")
        if flow(source, sport, "", dport)[0] != saddr:
            raise Skip("cowrie: another source than its session has")
        event, unsure = self._event(kind, document)
        moment = _time(_text(document, "timestamp"))
        return Found(moment, "cowrie", saddr, sport, "", dport, "tcp", event, tuple(unsure))

    @staticmethod
    def _event(kind: str, document: Mapping[str, Any]) -> tuple[Event, list[str]]:
        if kind == "cowrie.client.version":
            return _client(_text(document, "version"))
        if kind == "cowrie.client.fingerprint":
            trusted = {
                "method": "publickey", "signed": "-", "key_type": _text(document, "type"), "key_bits": "-",
                "fingerprint": _text(document, "fingerprint"),
            }  # fmt: skip
            values, unsure = _bytes({"user": _text(document, "username")})
            return Event("ssh.key", trusted, values), ["signed", *unsure]
        if "password" not in document:
            raise Skip("cowrie: a login without a password")  # by a key, which has a line of its own
        return _password(_text(document, "username"), _text(document, "password"))


class OpenCanary:
    """Reads the lines of one file of OpenCanary's JSON log."""

    def read(self, line: bytes) -> Found:
        """Return the event of a line; raise Skip."""
        document = _document(line)
        reader = _CANARY.get(document["logtype"]) if type(document.get("logtype")) is int else None
        if reader is None:
            raise Skip("OpenCanary: a kind of line that no event of ours corresponds to")
        origin, proto, read = reader
        data = document.get("logdata")
        if not isinstance(data, dict):
            raise Skip("logdata is missing, or no object")
        moment = _time(_text(document, "utc_time" if "utc_time" in document else "local_time"))
        where = flow(
            _text(document, "src_host"), _port(document, "src_port"), "", _port(document, "dst_port")
        )  # fmt: skip
        event, unsure = read(data)
        return Found(moment, f"opencanary.{origin}", *where, proto, event, tuple(unsure))


def _canary_vnc(data: Mapping[str, Any]) -> tuple[Event, list[str]]:
    trusted = {"version": "-"}
    for name, key in (("challenge", "VNC Server Challenge"), ("response", "VNC Client Response")):
        trusted[name] = _text(data, key).lower()
        if not _challenge(trusted[name]):
            raise Skip(f"OpenCanary: its {key} can't be read")
    return Event("vnc.auth", trusted, {}), ["version"]


def _canary_sip(data: Mapping[str, Any]) -> tuple[Event, list[str]]:
    headers = data.get("HEADERS")
    if not isinstance(headers, dict):
        raise Skip("OpenCanary: a SIP message without headers")
    first: dict[bytes, bytes] = {}
    repeated: list[tuple[bytes, bytes]] = []
    for name, values in headers.items():
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str):
                raise Skip("OpenCanary: a SIP header that is no text")
            key, text = name.lower().encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")
            if key in first:
                repeated.append((key, text))
            else:
                first[key] = text
    # The request line is not in the log; its method stands behind the number of CSeq (RFC 3261, section 20.16).
    words = first.get(b"cseq", b"").split()
    if len(words) != 2:
        raise Skip("OpenCanary: a SIP message whose CSeq tells no method")
    request = Request(words[1], b"", b"")
    request.first, request.repeated = first, repeated
    return request_event(request, verified=False), ["method", "uri", "malformed"]


_CANARY: dict[int, tuple[str, str, Callable[[Mapping[str, Any]], tuple[Event, list[str]]]]] = {
    4001: ("ssh", "tcp", lambda data: _client(_text(data, "REMOTEVERSION"))),
    4002: ("ssh", "tcp", lambda data: _password(_text(data, "USERNAME"), _text(data, "PASSWORD"))),
    12001: ("vnc", "tcp", _canary_vnc),
    15001: ("sip", "udp", _canary_sip),
}
"""By OpenCanary's number of the kind (logtype)."""
