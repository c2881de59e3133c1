"""The catalogue and what follows from it: rules, docs, and lines that strangers had a hand in."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from strandline.event import catalogue as catalogue_files
from strandline.event import line as writer
from strandline.event import patterndb, tables
from strandline.event.catalogue import CatalogueError, Event, read
from strandline.event.patterndb import examples

from filter_plugins import event_catalogue

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE: dict[str, Any] = catalogue_files.load()
EVENTS = read(CATALOGUE)

by_name = pytest.mark.parametrize("event", EVENTS, ids=[event.name for event in EVENTS])

HOSTILE = [
    b"",
    b'"',
    b"\\",
    b'" saddr=192.0.2.66 event=ssh.key x="',
    b"\\x22 saddr=192.0.2.66",
    b'"/7',
    b"@ESTRING:a: @",
    bytes(range(256)),
    b"\xff" * 5000,
    b"a\nb\r\0c",
]


def pcre(event: Event) -> re.Pattern[str]:
    """The event's patterndb pattern as one regular expression, its parsers as named groups."""

    def group(match: re.Match[str]) -> str:
        kind, expression = match["kind"], match["expression"] or ""
        expression = "[0-9a-fA-F:.]+" if kind == "IPvANY" else expression.replace(r"\z", r"\Z").replace("@@", "@")
        return f"(?P<{match['name']}>{expression})"

    parts = re.split(r"(@(?:IPvANY|PCRE):[^:@]+(?::(?:[^@]|@@)*)?@)", patterndb.pattern(event))
    parser = re.compile(r"@(?P<kind>IPvANY|PCRE):\.ev\.(?P<name>[a-z0-9_]+)(?::(?P<expression>(?:[^@]|@@)*))?@")
    return re.compile(
        "".join(parser.sub(group, part) if index % 2 else re.escape(part) for index, part in enumerate(parts))
    )


def line(event: Event, value: bytes) -> str:
    """A line as the Python listeners write it, every value the same."""
    trusted = {name: "yes" if name == "verified" else "1" for name in event.trusted}
    flow = writer.Flow("192.0.2.7", 51044, "203.0.113.9", event.port, event.protos[0])
    return writer.render(writer.Event(event.name, trusted, {one.name: value for one in event.values}), flow)


def test_docs_are_up_to_date() -> None:
    """docs/events.md says what the catalogue says: run files/strandline/event/render.py."""
    assert (ROOT / "docs" / "events.md").read_text() == tables.event_tables(CATALOGUE)


def test_render_writes_the_rules(tmp_path: Path) -> None:
    """The program outside Ansible and the filter inside give the same, and the same each time."""
    out = tmp_path / "patterndb.xml"
    subprocess.run(
        [sys.executable, str(ROOT / "files" / "strandline" / "event" / "render.py"), "patterndb", str(out)],
        check=True,
    )
    assert out.read_text() == event_catalogue.FilterModule().filters()["patterndb"](CATALOGUE)


def test_there_is_one_rule_for_each_event() -> None:
    """Rules by their event's name, ids all different, each with examples."""
    root = ET.fromstring(patterndb.patterndb(CATALOGUE))  # noqa: S314 - our own
    rules = root.findall(".//rule")
    assert sorted(rule.findtext("values/value") or "" for rule in rules) == sorted(CATALOGUE["events"])
    assert len({rule.get("id") for rule in rules}) == len(rules)
    assert all(len(rule.findall("examples/example")) >= 5 for rule in rules)


@by_name
def test_examples_match_their_own_rule_alone(event: Event) -> None:
    """As pdbtool finds too, with syslog-ng's own matcher: here it costs nothing."""
    for message, fields in examples(event):
        for other in EVENTS:
            found = pcre(other).fullmatch(message)
            assert (found is not None) == (other is event)
            if found:
                assert {"event": event.name, **found.groupdict()} == patterndb.values(message, fields)


@by_name
@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_what_listeners_write_is_parsed(event: Event, value: bytes) -> None:
    """Whatever the other side chose, the line matches and the source is the socket's."""
    found = pcre(event).fullmatch(line(event, value))
    assert found
    assert found["saddr"] == "192.0.2.7"
    assert found["sport"] == "51044"


@by_name
@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + " ",
        lambda text: text + " x=1",
        lambda text: text + "\n",
        lambda text: text + '"',
        lambda text: text.replace(" sport=51044", ""),
        lambda text: text.replace("sport=51044", "sport=0x1f"),
        lambda text: text.replace("saddr=192.0.2.7", "saddr=-"),
        lambda text: re.sub("proto=(tcp|udp|ipv6)", "proto=icmp", text),
        lambda text: text.replace(" daddr", "  daddr"),
        lambda text: text[:-1],
        lambda text: " " + text,
    ],
)
def test_a_line_that_is_not_one_is_rejected(event: Event, spoil: Any) -> None:
    """Nothing before, between or after the fields goes unnoticed."""
    text = line(event, b"\xff")
    spoilt = spoil(text)
    assert spoilt != text
    if not event.values and spoilt == text[:-1]:
        return  # a word that is shorter is still a word
    assert pcre(event).fullmatch(spoilt) is None


def spoilt(change: Any) -> dict[str, Any]:
    """The catalogue with a mistake in it."""
    catalogue = copy.deepcopy(CATALOGUE)
    change(catalogue["events"])
    return catalogue


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda e: e["ssh.client"]["values"].update(saddr={"help": "x"}), "saddr has a meaning"),
        (lambda e: e["ssh.client"]["values"].update(msg={"help": "x"}), "msg has a meaning"),
        (lambda e: e["ssh.client"]["values"].update(valid={"help": "x"}), "stands there twice"),
        (lambda e: e["ssh.client"]["values"].update({"a b": {"help": "x"}}), "no name for a field"),
        (lambda e: e["ssh.client"]["values"].update(ident_length={"help": "x"}), "length of a cut ident"),
        (lambda e: e["dns.query"]["trusted"].pop("verified"), "first trusted field"),
        (lambda e: e["ssh.client"].update(listener="gopher"), "no listener gopher"),
        (lambda e: e.update({"Bad": e["ssh.client"]}), "LISTENER.WORD"),
    ],
)
def test_a_mistake_in_the_catalogue_is_named(change: Any, says: str) -> None:
    """One sentence with the event's name in it."""
    with pytest.raises(CatalogueError, match=re.escape(says)):
        read(spoilt(change))


def test_optional_listeners_are_only_where_they_are_named() -> None:
    catalogue = {
        "listeners": {
            "ssh": {"unit": "a", "ports": [{"port": 22}]},
            "telnet": {"unit": "b", "ports": [{"port": 23}], "optional": True},
        }
    }
    listeners = event_catalogue.FilterModule().filters()["catalogue_listeners"]
    assert [each["name"] for each in listeners(catalogue)] == ["ssh"]
    assert [each["name"] for each in listeners(catalogue, ["telnet", "ssh"])] == ["ssh", "telnet"]


def test_a_sensor_that_names_no_listeners_opens_no_port_that_it_had_not_before() -> None:
    """An upgrade opens no port: what came later is optional."""
    usual = event_catalogue.FilterModule().filters()["catalogue_listeners"](CATALOGUE)
    later = {"any", "ntp", "proto41", "smtp", "telnet"}
    assert later <= CATALOGUE["listeners"].keys()
    assert not later & {each["name"] for each in usual}


def test_addresses_are_written_as_listeners_write_them() -> None:
    """An IPv6 address in the inventory may be written in any way."""
    sensors = [{"name": "b", "addresses": ["2001:DB8:0::9"]}, {"name": "a", "addresses": ["192.0.2.1", "192.0.2.2"]}]
    assert event_catalogue.sensor_addresses(sensors) == ["a 192.0.2.1", "a 192.0.2.2", "b 2001:db8::9"]


def test_listeners_are_all_or_those_named() -> None:
    catalogue = {"listeners": {"ssh": {"unit": "a", "ports": [{"port": 22}]}, "sensor": {"ports": []}}}
    assert [each["name"] for each in event_catalogue.FilterModule().filters()["catalogue_listeners"](catalogue)] == [
        "ssh"
    ]
    assert [
        each["name"] for each in event_catalogue.FilterModule().filters()["catalogue_listeners"](catalogue, ["ssh"])
    ] == ["ssh"]
    for name in ("sensor", "smtp"):
        with pytest.raises(AnsibleFilterError, match=f"'{name}' is no listener; there are ssh"):
            event_catalogue.FilterModule().filters()["catalogue_listeners"](catalogue, [name])
