"""What follows from files/strandline/protocols/events.yml: the patterndb rules and the tables in docs/events.md."""

from __future__ import annotations

import ipaddress
import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.errors import AnsibleFilterError

PREFIX = ".ev."
"""In front of every field's name among syslog-ng's values, which have names of their own."""

FLOW = ("saddr", "sport", "daddr", "dport", "proto")
RESERVED = {"event", *FLOW, "sensor", "run", "n", "ts", "rts", "program", "reject", "msg"}
"""Names that the parsed spool has uses of its own for (FLOW and event stand in every line)."""

_NAMESPACE = uuid.UUID("5b2f5c0e-3f2c-5d5e-9a52-6f1f5c1d7a10")

# PCRE, for patterndb's own types are too lenient: NUMBER takes 0x1f, QSTRING knows no escapes, ESTRING takes anything.
# Possessive, so that no value of a stranger's can make a match try twice.
NUMBER = "[0-9]{1,5}+"
PROTO = "(?:tcp|udp)"
BOOLEAN = "(?:yes|no)"
TOKEN = "[A-Za-z0-9_.:+/=-]++"  # noqa: S105 - a word of the grammar
VALUE = r'"(?:[ !#-\[\]-~]|\\x[0-9a-f]{2})*+"(?:/[1-9][0-9]{0,14}+)?+'


class CatalogueError(ValueError):
    """What is wrong with the catalogue, in one sentence."""


@dataclass(frozen=True)
class Value:
    """What the other side chose."""

    name: str
    help: str
    cap: int
    """Bytes that are kept."""


@dataclass(frozen=True)
class Event:
    """One kind of line."""

    name: str
    listener: str
    program: str
    summary: str
    port: int
    protos: tuple[str, ...]
    trusted: Mapping[str, str]
    values: tuple[Value, ...]

    @property
    def id(self) -> str:
        """The same for the same name on every run, so that rules can be compared."""
        return str(uuid.uuid5(_NAMESPACE, self.name))


def read(catalogue: Mapping[str, Any]) -> list[Event]:
    """The catalogue's events in its order. Raises CatalogueError."""
    listeners = catalogue["listeners"]
    default = int(catalogue["defaults"]["cap"])
    events = []
    for name, entry in catalogue["events"].items():
        if not re.fullmatch(r"[a-z][a-z0-9]*\.[a-z][a-z0-9_]*", name):
            raise CatalogueError(f"{name}: the name of an event is LISTENER.WORD")
        if entry["listener"] not in listeners:
            raise CatalogueError(f"{name}: there is no listener {entry['listener']}")
        listener = listeners[entry["listener"]]
        trusted = dict(entry.get("trusted") or {})
        values = tuple(
            Value(key, str(value["help"]), int(value.get("cap", default)))
            for key, value in (entry.get("values") or {}).items()
        )
        # What has no port, the sensor itself, writes as if by TCP from port 0 to port 0.
        ports = listener["ports"] or [{"port": 0, "proto": "tcp"}]
        protos = tuple(sorted({port["proto"] for port in ports}))
        event = Event(
            name,
            entry["listener"],
            listener["program"],
            entry["summary"],
            ports[0]["port"],
            protos,
            trusted,
            values,
        )
        _check(event)
        events.append(event)
    return events


def _check(event: Event) -> None:
    """Raise CatalogueError when the event's fields could be mistaken for others."""
    names = [*event.trusted, *(value.name for value in event.values)]
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise CatalogueError(f"{event.name}: {name} is no name for a field")
        if name in RESERVED:
            raise CatalogueError(f"{event.name}: the field {name} has a meaning of its own; give it another name")
        if names.count(name) > 1:
            raise CatalogueError(f"{event.name}: the field {name} stands there twice")
    for value in event.values:
        if f"{value.name}_length" in names:
            raise CatalogueError(f"{event.name}: {value.name}_length is where the length of a cut {value.name} goes")
    if "udp" in event.protos and next(iter(event.trusted), None) != "verified":
        raise CatalogueError(f"{event.name}: can come over UDP, so its first trusted field must be `verified`")


# --- patterndb ---


def pattern(event: Event) -> str:
    """The event's pattern: every byte of the message is spoken for, up to its end."""

    def pcre(name: str, expression: str) -> str:
        return f"@PCRE:{PREFIX}{name}:{expression.replace('@', '@@')}@"

    fields = [
        ("saddr", f"@IPvANY:{PREFIX}saddr@"),
        ("sport", pcre("sport", NUMBER)),
        ("daddr", f"@IPvANY:{PREFIX}daddr@"),
        ("dport", pcre("dport", NUMBER)),
        ("proto", pcre("proto", PROTO)),
    ]
    expressions = [(name, BOOLEAN if name == "verified" else TOKEN) for name in event.trusted]
    expressions += [(value.name, VALUE) for value in event.values]
    for index, (name, expression) in enumerate(expressions):
        # A pattern of patterndb matches a beginning; this one must reach the end, or trailing junk would go unnoticed.
        fields.append((name, pcre(name, expression + (r"\z" if index == len(expressions) - 1 else ""))))
    if not expressions:
        fields[-1] = ("proto", pcre("proto", PROTO + r"\z"))
    return f"event={event.name} " + " ".join(f"{name}={parser}" for name, parser in fields)


_HOSTILE = (
    r"\x22 event=ssh.password saddr=192.0.2.66 sport=1 user=root password= @ESTRING:x: @ <a>&amp; ${MSG} $(x) \x00\xff"
)

# What the examples say, by field; others say `-`, or their own name in quotes.
_TOKENS = {
    "method": "password",
    "valid": "yes",
    "signed": "no",
    "key_type": "ssh-ed25519",
    "key_bits": "256",
    "fingerprint": "SHA256:" + "Ab+/" * 10 + "abc",
    "id": "4660",
    "opcode": "0",
    "rd": "1",
    "qclass": "IN",
    "qtype": "ANY",
    "reason": "malformed",
    "version": "3.8",
    "security_type": "2",
    "challenge": "00112233445566778899aabbccddeeff",
    "response": "ffeeddccbbaa99887766554433221100",
}
_VALUES = {
    "ident": "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3",
    "user": "root",
    "password": r"x\x22y z",
    "qname": "www.example.org.",
    "uri": "sip:100@203.0.113.9",
    "from": r"\x22sipvicious\x22<sip:100@192.0.2.7>;tag=1",
    "to": "<sip:100@203.0.113.9>",
    "user_agent": "friendly-scanner",
    "version": "RFB 003.008",
    "data": r"\x16\x03\x01",
}


def examples(event: Event) -> Iterator[tuple[str, dict[str, str]]]:
    """Messages that the event's rule must match, each with the fields that must be found in it."""
    tcp = event.protos == ("tcp",)
    kinds: list[tuple[str, Callable[[Value], str]]] = [
        ("192.0.2.7", lambda value: f'"{_VALUES.get(value.name, value.name.upper())}"'),
        ("2001:db8::7", lambda _: '""'),
        ("198.51.100.7", lambda _: f'"{_HOSTILE}"'),
        ("203.0.113.7", lambda value: f'"{"A" * value.cap}"/{value.cap + 1244}'),
        ("192.0.2.255", lambda value: '"' + r"\xff" * min(value.cap, 64) + '"'),
    ]
    for index, (saddr, text) in enumerate(kinds):
        fields = {
            "event": event.name,
            "saddr": saddr,
            "sport": str((51044, 1, 65535, 5060, 0)[index]),
            "daddr": "2001:db8::9" if ":" in saddr else "203.0.113.9",
            "dport": str(event.port),
            "proto": "tcp" if tcp or index == 1 else "udp",
        }
        for name in event.trusted:
            tokens = (_TOKENS.get(name, "-"), "-", "a+b/c=_.:-Z09", "0", "yes")
            fields[name] = ("yes", "no")[index % 2] if name == "verified" else tokens[index]
        for value in event.values:
            fields[value.name] = text(value)
        yield " ".join(f"{name}={text}" for name, text in fields.items()), fields


def patterndb(catalogue: Mapping[str, Any]) -> str:
    """The rules as syslog-ng's db-parser() reads them: one for each event, with examples for `pdbtool test`.

    A message that matches gets the class `event` and its fields as values named PREFIX + field.
    """
    root = ET.Element("patterndb", version="6", pub_date="2026-11-25")
    events = read(catalogue)
    for program in dict.fromkeys(event.program for event in events):
        ruleset = ET.SubElement(root, "ruleset", name=program, id=str(uuid.uuid5(_NAMESPACE, program)))
        ET.SubElement(ET.SubElement(ruleset, "patterns"), "pattern").text = program
        rules = ET.SubElement(ruleset, "rules")
        for event in (event for event in events if event.program == program):
            rule = ET.SubElement(rules, "rule", {"provider": "strandline", "id": event.id, "class": "event"})
            ET.SubElement(ET.SubElement(rule, "patterns"), "pattern").text = pattern(event)
            ET.SubElement(ET.SubElement(rule, "values"), "value", name=f"{PREFIX}event").text = event.name
            tests = ET.SubElement(rule, "examples")
            for message, fields in examples(event):
                example = ET.SubElement(tests, "example")
                ET.SubElement(example, "test_message", program=program).text = message
                wanted = ET.SubElement(example, "test_values")
                for name, text in fields.items():
                    ET.SubElement(wanted, "test_value", name=f"{PREFIX}{name}").text = text
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


# --- docs ---

_DOCS_HEAD = """\
# Events

<!-- Made by files/strandline/event/render.py. Change files/strandline/protocols/events.yml, not this page. -->

A listener writes one line for each event. The collector's patterndb rules, this page and the tests follow from
`files/strandline/protocols/events.yml`.

    event=ssh.client saddr=192.0.2.7 sport=51044 daddr=203.0.113.9 dport=22 proto=tcp valid=yes ident="SSH-2.0-Go"

- First what every event has, in this order: `event`, `saddr`, `sport`, `daddr`, `dport`, `proto` (`tcp` or `udp`). An
  IPv4-mapped IPv6 address is written as IPv4.
- Then what the sensor itself measured, as bare words of `A-Z a-z 0-9 _ . : + / = -`; a single `-` when it is not known.
- Last what the other side chose, in double quotes. Printable ASCII stands as it is, except `"` and `\\`; these and
  every other byte are written `\\xNN`. Nothing that a stranger sends can end its quotes.
- A value is cut at its cap, in bytes as they came. After the quotes of a cut value stand a slash and its true
  length: `user="AAAA"/1500`. Where many long values would make a line longer than 7000 bytes, they are cut further.
- Every field is always there; an empty value is `""`.
- `verified` says whether the source was proven to be real. A UDP source without that may be forged.

In the database the first six fields are columns; the others are in `data`, without the quotes and still escaped, and a
cut value has its length beside it as `NAME_length`.
"""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").strip()


def event_tables(catalogue: Mapping[str, Any]) -> str:
    """docs/events.md: the grammar, and a table of fields for each event."""
    parts = [_DOCS_HEAD]
    events = read(catalogue)
    for listener, entry in catalogue["listeners"].items():
        ports = ", ".join(f"{port['port']}/{port['proto']}" for port in entry["ports"]) or "the sensor's own state"
        parts.append(f"\n## {listener}: {ports}, program `{entry['program']}`\n")
        for event in (event for event in events if event.listener == listener):
            parts.append(f"\n### {event.name}\n\n{event.summary}.\n")
            if not event.trusted and not event.values:
                continue
            parts.append("\n| field | chosen by | meaning |\n|---|---|---|\n")
            parts += [f"| `{name}` | sensor | {_cell(text)} |\n" for name, text in event.trusted.items()]
            parts += [
                f"| `{value.name}` | other side, cut at {value.cap} bytes | {_cell(value.help)} |\n"
                for value in event.values
            ]
            parts.append(f"\n    {next(examples(event))[0]}\n")
    return "".join(parts)


# --- the collector's list of addresses ---


def sensor_addresses(sensors: Iterable[Mapping[str, Any]]) -> list[str]:
    """`NAME ADDRESS` for each address of each sensor, the address as inet_ntop(3) writes it and so as listeners do."""
    return sorted(
        f"{sensor['name']} {ipaddress.ip_address(address).compressed}"
        for sensor in sensors
        for address in sensor["addresses"]
    )


def catalogue_listeners(catalogue: Mapping[str, Any], names: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Name, service and ports of the listeners, all or those named; without the sensor itself, which has no port.

    Raises AnsibleFilterError for a name that is no listener's.
    """
    known = {name: entry for name, entry in catalogue["listeners"].items() if entry["ports"]}
    wanted = known if names is None else list(names)
    for name in wanted:
        if name not in known:
            raise AnsibleFilterError(f"fleet_listeners: {name!r} is no listener; there are {', '.join(known)}")
    return [
        {"name": name, "unit": entry["unit"], "ports": entry["ports"]}
        for name, entry in known.items()
        if name in wanted
    ]


class FilterModule:
    """The catalogue's filters."""

    def filters(self) -> dict[str, Any]:
        """By the names that templates use."""
        return {
            "patterndb": patterndb,
            "sensor_addresses": sensor_addresses,
            "catalogue_listeners": catalogue_listeners,
        }
