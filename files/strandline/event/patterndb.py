"""The patterndb rules that follow from the catalogue, with examples for `pdbtool test`. Runs on the controller."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .catalogue import Event, Value, read

PREFIX = ".ev."
"""In front of every name among syslog-ng's values, which have names of their own."""

_NAMESPACE = uuid.UUID("5b2f5c0e-3f2c-5d5e-9a52-6f1f5c1d7a10")

# PCRE, for patterndb's own types are too lenient: NUMBER takes 0x1f, QSTRING knows no escapes, ESTRING takes anything.
# Possessive, so that no value of a stranger's can make a match try twice.
NUMBER = "[0-9]{1,5}+"
PROTO = "(?:tcp|udp|ipv6)"
BOOLEAN = "(?:yes|no)"
TOKEN = "[A-Za-z0-9_.:+/=-]++"  # noqa: S105 - a word of the grammar
# Plain bytes are taken many at once: the matcher then makes a step for each run of them, not for each byte.
VALUE = r'"(?:[ !#-\[\]-~]++|\\x[0-9a-f]{2})*+"(?:/[1-9][0-9]{0,14}+)?+'
END = r"\z"

OWN = "fields"
"""The value with all of an event's own fields, as they stand in the message."""


def pattern(event: Event) -> str:
    """The event's pattern: every byte of the message is spoken for, up to its end.

    An event's own fields are matched by one expression: one for each of them would be twenty matches a message, each
    with a value to set, and the collector writes the message as it came.
    """

    def pcre(name: str, expression: str) -> str:
        return f"@PCRE:{PREFIX}{name}:{expression.replace('@', '@@')}@"

    own = [(name, BOOLEAN if name == "verified" else TOKEN) for name in event.trusted]
    own += [(value.name, VALUE) for value in event.values]
    # A pattern of patterndb matches a beginning; the last one must reach the end, or trailing junk would go unnoticed.
    fields = [
        f"event={event.name}",
        f"saddr=@IPvANY:{PREFIX}saddr@",
        f"sport={pcre('sport', NUMBER)}",
        f"daddr=@IPvANY:{PREFIX}daddr@",
        f"dport={pcre('dport', NUMBER)}",
        f"proto={pcre('proto', PROTO if own else PROTO + END)}",
    ]
    if own:
        fields.append(pcre(OWN, " ".join(f"{name}={expression}" for name, expression in own) + END))
    return " ".join(fields)


def values(message: str, fields: Mapping[str, str]) -> dict[str, str]:
    """The values, without PREFIX, that the event's rule finds in a message with these fields."""
    found = {name: fields[name] for name in ("event", "saddr", "sport", "daddr", "dport", "proto")}
    own = message.partition(f" proto={fields['proto']} ")[2]
    return {**found, OWN: own} if own else found


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
            "sport": str((51044, 1, 65535, 5060, 0)[index] if event.port else 0),
            "daddr": "2001:db8::9" if ":" in saddr else "203.0.113.9",
            "dport": str(event.port),
            "proto": event.protos[0 if index == 1 else -1],
        }
        for name in event.trusted:
            tokens = (_TOKENS.get(name, "-"), "-", "a+b/c=_.:-Z09", "0", "yes")
            fields[name] = ("yes", "no")[index % 2] if name == "verified" else tokens[index]
        for value in event.values:
            fields[value.name] = text(value)
        yield " ".join(f"{name}={text}" for name, text in fields.items()), fields


def patterndb(catalogue: Mapping[str, Any]) -> str:
    """The rules as syslog-ng's db-parser() reads them: one for each event, with examples for `pdbtool test`.

    A message that matches gets the class `event` and values named PREFIX + name: event, saddr, sport, daddr, dport,
    proto, and OWN.
    """
    root = ET.Element("patterndb", version="6", pub_date="2026-11-25")
    events = read(catalogue)
    for program in dict.fromkeys(event.program for event in events):
        ruleset = ET.SubElement(root, "ruleset", name=program, id=str(uuid.uuid5(_NAMESPACE, program)))
        ET.SubElement(ET.SubElement(ruleset, "patterns"), "pattern").text = program
        rules = ET.SubElement(ruleset, "rules")
        for event in (event for event in events if event.program == program):
            rule = ET.SubElement(
                rules,
                "rule",
                {"provider": "strandline", "id": str(uuid.uuid5(_NAMESPACE, event.name)), "class": "event"},
            )
            ET.SubElement(ET.SubElement(rule, "patterns"), "pattern").text = pattern(event)
            ET.SubElement(ET.SubElement(rule, "values"), "value", name=f"{PREFIX}event").text = event.name
            tests = ET.SubElement(rule, "examples")
            for message, fields in examples(event):
                example = ET.SubElement(tests, "example")
                ET.SubElement(example, "test_message", program=program).text = message
                wanted = ET.SubElement(example, "test_values")
                for name, text in values(message, fields).items():
                    ET.SubElement(wanted, "test_value", name=f"{PREFIX}{name}").text = text
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
