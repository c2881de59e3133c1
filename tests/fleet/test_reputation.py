"""What others say of our addresses: changes between two looks, and DNS by real servers on the loopback."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import socketserver
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from strandline_fleet import journal, reputation, resolver
from strandline_fleet.reputation import Seen, Sources
from strandline_fleet.resolver import TXT, A, LookupFailed

ROOT = Path(__file__).resolve().parents[2]
Zone = dict[tuple[str, int], list[str]]


def records(name: str, kind: int, zone: Mapping[tuple[str, int], list[str]]) -> list[bytes]:
    """The data of a name's records."""
    values = zone.get((name, kind), [])
    if kind == A:
        return [socket.inet_aton(value) for value in values]
    return [b"".join(bytes([len(part)]) + part for part in parts(value.encode())) for value in values]


def parts(value: bytes) -> list[bytes]:
    """A text in strings of at most 255 octets."""
    return [value[at : at + 255] for at in range(0, len(value), 255)]


class Dns(socketserver.ThreadingMixIn, socketserver.UDPServer):
    """A server whose zone is a dictionary; how it misbehaves is for each test to say."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.zone: Zone = {}
        self.asked: list[str] = []
        self.code = 0
        self.twist: Callable[[bytes], list[bytes]] = lambda answer: [answer]

    def answer(self, message: bytes) -> bytes:
        """The answer to a query."""
        at, labels = 12, []
        while message[at]:
            labels.append(message[at + 1 : at + 1 + message[at]])
            at += 1 + message[at]
        question = message[12 : at + 5]
        name, kind = b".".join(labels).decode().lower(), struct.unpack_from("!H", message, at + 1)[0]
        self.asked.append(name)
        data = records(name, kind, self.zone)
        known = any(each == name for each, _ in self.zone)
        flags = 0x8180 | (self.code or (0 if known else 3))
        # Owners as pointers to the question, as servers write them.
        body = b"".join(struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(each)) + each for each in data)
        return message[:2] + struct.pack("!5H", flags, 1, len(data), 0, 0) + question + body


class Handler(socketserver.BaseRequestHandler):
    """One datagram."""

    server: Dns

    def handle(self) -> None:
        """Answer, as the test will have it."""
        message, port = self.request
        for answer in self.server.twist(self.server.answer(message)):
            port.sendto(answer, self.client_address)


@pytest.fixture
def dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dns]:
    """A server on the loopback."""
    monkeypatch.setattr(resolver, "TIMEOUT", 0.3)
    with Dns() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def at(dns: Dns) -> list[str]:
    """The server as a resolver."""
    return [f"127.0.0.1#{dns.server_address[1]}"]


def ask(dns: Dns) -> reputation.Ask:
    """Ask the server."""
    return lambda name, kind: resolver.lookup(name, kind, at(dns))


# The resolver


def test_records_of_a_name_and_none_of_one_that_is_not_there(dns: Dns) -> None:
    dns.zone = {("x.test", TXT): ["two", "one " * 200], ("x.test", A): ["127.0.0.4", "127.0.0.2"]}
    assert resolver.lookup("x.test", TXT, at(dns)) == ["one " * 200, "two"]
    assert resolver.lookup("x.test.", A, at(dns)) == ["127.0.0.2", "127.0.0.4"]
    assert resolver.lookup("y.test", A, at(dns)) == []


def test_an_answer_that_was_cut_is_fetched_by_tcp(dns: Dns) -> None:
    dns.zone = {("x.test", A): ["127.0.0.2", "127.0.0.3"]}
    dns.twist = lambda answer: [answer[:2] + b"\x83\x80" + answer[4:6] + bytes(6) + answer[12:24]]
    with socket.create_server(("127.0.0.1", dns.server_address[1])) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client, client.makefile("rb") as reader:
                message = reader.read(struct.unpack("!H", reader.read(2))[0])
                answer = dns.answer(message)
                client.sendall(struct.pack("!H", len(answer)) + answer)

        thread = threading.Thread(target=serve)
        thread.start()
        assert resolver.lookup("x.test", A, at(dns)) == ["127.0.0.2", "127.0.0.3"]
        thread.join(5)


@pytest.mark.parametrize(
    ("twist", "says"),
    [
        (lambda _: [], "no answer"),
        (lambda answer: [answer[:20]], "no answer|what is no answer"),
        (lambda answer: [answer[:-1]], "what is no answer"),
        (lambda answer: [answer[:3] + b"\x82" + answer[4:]], "code 2"),
        (lambda answer: [answer.replace(b"\x01x\x04test", b"\x01z\x04test")], "what is no answer"),
        (lambda answer: [answer[:2] + b"\x01\x00" + answer[4:]], "what is no answer"),
        (lambda answer: [bytes([answer[0] ^ 1]) + answer[1:]], "no answer"),
    ],
)
def test_what_is_no_answer_is_none(dns: Dns, twist: Any, says: str) -> None:
    dns.zone = {("x.test", A): ["127.0.0.2"]}
    dns.twist = twist
    with pytest.raises(LookupFailed, match=says):
        resolver.lookup("x.test", A, at(dns))


def test_a_forged_answer_with_another_number_does_not_stop_the_right_one(dns: Dns) -> None:
    dns.zone = {("x.test", A): ["127.0.0.2"]}
    dns.twist = lambda answer: [bytes([answer[0] ^ 1]) + answer[1:-1] + b"\x09", answer]
    assert resolver.lookup("x.test", A, at(dns)) == ["127.0.0.2"]


def test_a_second_resolver_is_asked_when_the_first_is_away(dns: Dns) -> None:
    dns.zone = {("x.test", A): ["127.0.0.2"]}
    assert resolver.lookup("x.test", A, ["127.0.0.1#9", *at(dns)]) == ["127.0.0.2"]
    with pytest.raises(LookupFailed, match="no resolver"):
        resolver.lookup("x.test", A, [])


@pytest.mark.parametrize(
    "name", ["", "a..test", "x" * 64 + ".test", ".".join(["abcdefgh"] * 40), "ä.test", "\ud800.test"]
)
def test_what_is_no_name_is_not_asked(dns: Dns, name: str) -> None:
    with pytest.raises(LookupFailed, match="is no domain name"):
        resolver.lookup(name, A, at(dns))
    assert dns.asked == []


def test_the_machines_resolvers(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# nameserver 192.0.2.9\nsearch x\nnameserver 192.0.2.1\n nameserver 2001:db8::1\noptions y\n")
    assert resolver.system_resolvers(path) == ["192.0.2.1", "2001:db8::1"]
    assert resolver.system_resolvers(tmp_path / "none") == []


# What is asked, and what it means

ADDRESS = "198.51.100.11"
BACKWARDS = "11.100.51.198"


def test_an_addresss_name_in_a_zone() -> None:
    assert reputation.reverse(ADDRESS) == BACKWARDS
    assert reputation.reverse("2001:db8::1") == "1." + "0." * 23 + "8.b.d.0.1.0.0.2"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["64500 | 198.51.100.0/24 | NL | ripencc | 2010-01-01"], ((64500,), "198.51.100.0/24")),
        (["64501 64500 | 198.51.100.0/24 | NL"], ((64500, 64501), "198.51.100.0/24")),
        (["64500 | 198.51.0.0/16 | NL", "64666 | 198.51.100.0/25 | US"], ((64666,), "198.51.100.0/25")),
        ([], ((), "")),
    ],
)
def test_the_origin(dns: Dns, texts: list[str], expected: tuple[tuple[int, ...], str]) -> None:
    dns.zone = {(f"{BACKWARDS}.origin.test", TXT): texts} if texts else {}
    assert reputation.origin(ADDRESS, "origin.test", ask(dns)) == expected


@pytest.mark.parametrize("text", ["hello", "64500 | 203.0.113.0/24 | NL", "64500 | x | NL", "\x1b[2J | 1.0.0.0/8"])
def test_an_origin_that_makes_no_sense_is_unknown(dns: Dns, text: str) -> None:
    dns.zone = {(f"{BACKWARDS}.origin.test", TXT): [text]}
    with pytest.raises(LookupFailed, match="answered") as failure:
        reputation.origin(ADDRESS, "origin.test", ask(dns))
    assert "\x1b" not in str(failure.value)


def blocklist(zone: str, *addresses: str) -> Zone:
    """A zone that works and has some addresses."""
    names = ["2.0.0.127", *map(reputation.reverse, addresses)]
    return {(f"{name}.{zone}", A): ["127.0.0.4"] for name in names}


def test_a_list_that_is_dead_or_refuses_is_not_believed(dns: Dns) -> None:
    dns.zone = {
        **blocklist("good.test", ADDRESS),
        **blocklist("world.test", "127.0.0.1", ADDRESS),
        ("2.0.0.127.shy.test", A): ["127.255.255.254"],
        ("2.0.0.127.parked.test", A): ["203.0.113.80"],
    }
    zones = ("good.test", "world.test", "shy.test", "parked.test", "gone.test")
    seen, trouble = reputation.look([ADDRESS], Sources(blocklists=zones), {}, ask(dns))
    assert seen[ADDRESS].lists == {"good.test": "127.0.0.4"}
    assert len(trouble) == 4
    assert "has everything" in trouble[0]
    assert "does not answer us (127.255.255.254)" in trouble[1]
    assert "does not answer us (203.0.113.80)" in trouble[2]
    assert "does not have its test entry" in trouble[3]


def test_nobody_is_asked_who_is_not_named(dns: Dns) -> None:
    seen, trouble = reputation.look([ADDRESS], Sources(), {}, ask(dns))
    assert (seen, trouble, dns.asked) == ({ADDRESS: Seen()}, [], [])


def test_what_can_not_be_learnt_stays_as_it_was(dns: Dns) -> None:
    known = {ADDRESS: Seen((64500,), "198.51.100.0/24", {"good.test": "127.0.0.4", "left.test": "127.0.0.2"})}
    dns.code = 2
    sources = Sources("origin.test", "", ("good.test",))
    seen, trouble = reputation.look([ADDRESS], sources, known, ask(dns))
    assert seen[ADDRESS] == Seen((64500,), "198.51.100.0/24", {"good.test": "127.0.0.4"})
    assert len(trouble) == 2
    assert reputation.read(reputation.written(seen)) == seen


HOSTS = {"ams1": [ADDRESS]}
OURS = Seen((64500,), "198.51.100.0/24")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (Seen(), OURS, []),
        (OURS, OURS, []),
        (OURS, Seen((64666,), "198.51.100.0/24"), ["AS64666 as 198.51.100.0/24; it was announced by AS64500"]),
        (OURS, Seen((64500,), "198.51.0.0/16"), ["by AS64500 as 198.51.0.0/16; it was"]),
        (OURS, Seen((), ""), ["is announced by nobody"]),
        (OURS, Seen(), []),
        (Seen(), Seen(None, "", {"z": "127.0.0.4"}), ["is on the blocklist z (127.0.0.4)"]),
        (Seen(None, "", {"z": "127.0.0.4"}), Seen(None, "", {"z": "127.0.0.2"}), []),
        (Seen(None, "", {"z": "127.0.0.4"}), Seen(), ["is no longer on z"]),
    ],
)
def test_what_is_a_change(before: Seen, after: Seen, expected: list[str]) -> None:
    found = reputation.changes(HOSTS, {ADDRESS: before}, {ADDRESS: after})
    assert len(found) == len(expected)
    assert all(part in change.text for part, change in zip(expected, found, strict=True))


@pytest.mark.parametrize("known", ["", "{", "[]", '{"192.0.2.1": 5}', '{"192.0.2.1": {"asns": 5}}'])
def test_a_memory_that_was_cut_is_none(known: str) -> None:
    assert reputation.read(known) == {}


# The verb


def play(inventory: Path, state: Path, *arguments: str, **variables: object) -> tuple[int, str]:
    """Run the verb: exit code, and what was said with single spaces."""
    said = f"--extra-vars={json.dumps({'reputation_state': str(state), **variables})}"
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={inventory}", "playbooks/reputation.yml", said, *arguments],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.slow
def test_the_verb_remembers_tells_and_asks_nobody_in_check_mode(dns: Dns, tmp_path: Path) -> None:
    inventory = Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))
    state, told = tmp_path / "state" / "seen.json", tmp_path / "told"
    settings = {"origin": "origin.test", "blocklists": ["good.test"], "resolvers": at(dns)}
    variables = {"fleet_reputation": settings, "fleet_tell_command": ["tee", str(told)], "reputation_mail": True}
    code, said = play(inventory, state)
    assert (code, "Nobody was asked" in said, state.exists()) == (0, True, False), said
    for address in ("198.51.100.11", "198.51.100.12", "198.51.100.75", "203.0.113.21", "203.0.113.22"):
        route = f"{address.rpartition('.')[0]}.0/24"
        dns.zone[f"{reputation.reverse(address)}.origin.test", TXT] = [f"64500 | {route} | NL | x | y"]
    dns.zone |= blocklist("good.test")
    code, said = play(inventory, state, "--check", **variables)
    assert (code, dns.asked) == (0, []), said
    code, said = play(inventory, state, **variables)
    assert (code, "Nothing has changed" in said, told.exists()) == (0, True, False), said
    dns.zone[f"{BACKWARDS}.origin.test", TXT] = ["64666 | 198.51.100.0/25 | US"]
    dns.zone |= blocklist("good.test", "203.0.113.21")
    code, said = play(inventory, state, **variables)
    assert (code, "2 changed" in said) == (2, True), said
    first, second = told.read_text().splitlines()
    assert first.startswith(
        "ams1 198.51.100.11 is announced by AS64666 as 198.51.100.0/25; it was announced by AS64500"
    )
    assert second == "scl1 203.0.113.21 is on the blocklist good.test (127.0.0.4)"
    alder = (inventory / "journal" / "alder.yml").read_text()
    assert "kind: reputation" in alder
    assert first in alder
    assert second in (inventory / "journal" / "birch.yml").read_text()
    told.unlink()
    code, said = play(inventory, state, **variables)
    assert (code, told.exists()) == (0, False), said
    dns.code = 2
    code, said = play(inventory, state, **variables)
    assert (code, "could not be learnt" in said, told.exists()) == (2, True, False), said


@pytest.mark.slow
def test_what_could_not_be_told_is_entered_once_and_told_later(dns: Dns, tmp_path: Path) -> None:
    inventory = Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))
    state, told, birch = tmp_path / "seen.json", tmp_path / "told", inventory / "journal" / "birch.yml"
    settings = {"blocklists": ["good.test"], "resolvers": at(dns)}
    variables = {"fleet_reputation": settings, "reputation_mail": True}
    dns.zone |= blocklist("good.test", "203.0.113.21")
    for _ in range(2):
        code, said = play(inventory, state, **variables, fleet_tell_command=["false"])
        assert (code, state.exists()) == (2, False), said
        # As on another day: the journal itself does not know that it has the entry already.
        birch.write_text(re.sub(r"day: [0-9-]+", "day: 2026-01-02", birch.read_text()))
    # A list that does not answer now has said what it said.
    dns.code = 2
    code, said = play(inventory, state, **variables, fleet_tell_command=["tee", str(told)])
    assert told.read_text().strip() == "scl1 203.0.113.21 is on the blocklist good.test (127.0.0.4)", said
    assert birch.read_text().count("good.test") == 1


@pytest.mark.slow
def test_being_taken_off_a_list_is_no_incident(dns: Dns, tmp_path: Path) -> None:
    inventory = Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))
    variables = {"fleet_reputation": {"blocklists": ["good.test"], "resolvers": at(dns)}}
    for listed in (["203.0.113.21"], []):
        dns.zone = blocklist("good.test", *listed)
        code, said = play(inventory, tmp_path / "seen.json", **variables)
        assert (code, "1 changed" in said) == (2, True), said
    entries = [entry for entry in journal.read(inventory)["birch"] if "good.test" in entry.text]
    assert [entry.text.partition(" is ")[2] for entry in entries] == [
        "on the blocklist good.test (127.0.0.4)",
        "no longer on good.test",
    ]
    assert journal.incidents(entries, entries[-1].day) == {"reputation change": 1}


@pytest.mark.slow
def test_a_resolver_that_is_none_is_named(tmp_path: Path) -> None:
    settings = {"origin": "origin.test", "resolvers": ["my.resolver"]}
    code, said = play(ROOT / "inventory" / "example", tmp_path / "s", fleet_reputation=settings)
    assert (code, "'my.resolver' is no resolver" in said) == (2, True), said
