"""The protocols' folders together: what is refused, and by which words."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from strandline.event import catalogue, feeds
from strandline.event.catalogue import CatalogueError
from strandline.event.feeds import FeedError

LISTENER = "listener: {ports: [{port: 43, proto: tcp}]}\n"
EVENTS = "events: {whois.query: {summary: A query, values: {query: {help: it}}}}\n"
FEED = "feeds: {whoisquery: {event: whois.query, title: T, description: D}}\n"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The definitions of all protocols, and a folder for one more."""
    for folder in [*catalogue.protocols(), catalogue.PACKAGE / "sensor"]:
        wanted = tmp_path / folder.relative_to(catalogue.PACKAGE)
        wanted.mkdir(parents=True)
        for file in folder.glob("*.yml"):
            shutil.copy(file, wanted)
    (tmp_path / "protocols" / "whois").mkdir()
    return tmp_path


def whois(package: Path, events: str = LISTENER + EVENTS, definitions: str = FEED) -> Path:
    folder = package / "protocols" / "whois"
    (folder / "events.yml").write_text(events)
    (folder / "feeds.yml").write_text(definitions)
    return package


def test_a_folder_is_all_that_a_protocol_needs(package: Path) -> None:
    loaded = catalogue.load(whois(package))
    assert loaded["listeners"]["whois"] == {
        "title": "WHOIS", "program": "strandline-whois", "unit": "strandline-whois.service", "settings": {},
        "ports": [{"port": 43, "proto": "tcp"}], "python": False, "optional": False, "every_other_port": False,
    }  # fmt: skip
    assert catalogue.python_listeners(loaded) == []
    (package / "protocols" / "whois" / "session.py").write_text("")
    assert [each["name"] for each in catalogue.python_listeners(catalogue.load(package), ["ssh", "whois"])] == ["whois"]
    assert "whoisquery" in feeds.collect(package)["feeds"]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ("- a", "write the two mappings `listener` and `events`"),
        (LISTENER, "write the two mappings `listener` and `events`"),
        ("[", "whois/events.yml"),
        ("listener: {}\n" + EVENTS, "listener: ports: write a list like"),
        ("listener: {ports: [{port: 0, proto: tcp}]}\n" + EVENTS, "listener: ports: write a list like"),
        ("listener: {ports: [{port: 43, proto: ipv6}]}\n" + EVENTS, "listener: ports: write a list like"),
        ("listener: {ports: [{port: 0, proto: ipv6}]}\n" + EVENTS, "IP protocol 41 belongs to proto41; take another"),
        ("listener: {ports: [{port: 43, proto: sctp}]}\n" + EVENTS, "listener: ports: write a list like"),
        ("listener: {ports: [{port: 5900, proto: tcp}]}\n" + EVENTS, "5900/tcp belongs to vnc; take another"),
        ("listener: {ports: [{port: 43, proto: tcp}], port: 3}\n" + EVENTS, "listener: port is unknown"),
        ("listener: {ports: [{port: 43, proto: tcp}], optional: 1}\n" + EVENTS, "optional: write true"),
        (
            "listener: {ports: [{port: 43, proto: tcp}], optional: true, every_other_port: true}\n" + EVENTS,
            "every_other_port: write `optional: true`, and one port that is both tcp and udp",
        ),
        ("listener: {ports: [{port: 43, proto: tcp}], every_other_port: 7}\n" + EVENTS, "every_other_port: write true"),
        ("listener: {ports: [{port: 43, proto: tcp}], unit: a b}\n" + EVENTS, "unit: write the service's name"),
        ("listener: {ports: [{port: 43, proto: udp}]}\n" + EVENTS, "its first trusted field must be `verified`"),
        (LISTENER + "events: {query: {summary: s}}", "begin the event's name with whois."),
        (LISTENER + "events: {whois.query: {}}", "whois.query: give it a summary"),
        (LISTENER + "events: {whois.query: {summary: s, trusted: [a]}}", "whois.query: trusted: write a mapping"),
        (LISTENER + "events: {whois.query: {summary: s, values: [a]}}", "whois.query: values: write a mapping"),
        (LISTENER + EVENTS.replace("{help: it}", "text"), "values: query: write {help: what it is}"),
        (LISTENER + EVENTS.replace("help: it", "cap: 512"), "values: query: write {help: what it is}"),
        (LISTENER + EVENTS.replace("help: it", "help: it, cap: many"), "values: query: cap: write a number"),
        (LISTENER + EVENTS.replace("help: it", "help: it, cap: 0"), "values: query: cap: write a number"),
    ],
)
def test_mistakes_in_events_are_named(package: Path, events: str, words: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        catalogue.load(whois(package, events))
    assert words in str(caught.value)


@pytest.mark.parametrize("more", ["unit: whois.service", "program: whoisd"])
def test_a_listener_in_python_has_the_names_that_its_role_gives(package: Path, more: str) -> None:
    whois(package, LISTENER.replace("]}", f"], {more}}}") + EVENTS)
    catalogue.load(package)
    (package / "protocols" / "whois" / "session.py").write_text("")
    with pytest.raises(CatalogueError, match="remove unit and program"):
        catalogue.load(package)


@pytest.mark.parametrize(
    ("definitions", "words"),
    [
        (FEED.replace("whoisquery", "sshclient"), "another protocol has a feed of that name"),
        (FEED.replace("whois.query", "ssh.client"), "'ssh.client' is not of this protocol"),
        (FEED.replace("title: T, ", ""), "whois/feeds.yml: feed 'whoisquery': field title is missing"),
        (FEED.replace("description: D", "description: D, columns: all"), "columns is 'all'; write first_seen"),
    ],
)
def test_mistakes_in_feeds_are_named(package: Path, definitions: str, words: str) -> None:
    with pytest.raises(FeedError) as caught:
        feeds.collect(whois(package, definitions=definitions))
    assert words in str(caught.value)


def test_the_documents_of_all_folders_are_yaml_that_hosts_can_read(package: Path) -> None:
    document = feeds.collect(package)
    assert feeds.parse(yaml.safe_load(yaml.safe_dump(document)), "feeds.yml").rules
