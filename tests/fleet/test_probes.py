"""The canary's marked events: what is said to each listener, and how its row is known again."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from strandline.event import catalogue as catalogue_files
from strandline.protocols import client
from strandline.protocols.sip import message
from strandline.protocols.vnc.session import negotiated
from strandline_fleet import probes
from strandline_fleet.probes import Probe

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = catalogue_files.load()
LISTENERS = {name: entry for name, entry in CATALOGUE["listeners"].items() if client.client(name)}
EVENTS = CATALOGUE["events"]


def probe(listener: str, proto: str = "tcp", mark: str = "abcdef012345", address: str = "192.0.2.7") -> Probe:
    port = LISTENERS[listener]["ports"][0]["port"]
    return Probe("ams1", listener, address, port, proto, "123456" if listener == "vnc" else mark)


def row(sent: Probe, **changes: Any) -> dict[str, Any]:
    """The row that a probe brings about."""
    field, value = sent.value
    found: dict[str, Any] = {
        "sensor": sent.sensor, "event": sent.event, "saddr": "198.51.100.1", "daddr": sent.address,
        "dport": sent.port, "proto": sent.proto, "data": {field: value}, "ts": 1000.0, "rts": 1000.5,
    }  # fmt: skip
    return found | changes


def test_every_port_of_every_listener_on_every_address_gets_one() -> None:
    made = probes.probes({"ams1": ["192.0.2.7", "192.0.2.8"], "sin1": ["192.0.2.9"]}, LISTENERS)
    answering = [(name, port["proto"]) for name, listener in LISTENERS.items() for port in listener["ports"]]
    ports = sum(not client.silent(name, proto) for name, proto in answering)
    assert len(made) == 3 * ports
    assert len({(p.address, p.port, p.proto) for p in made}) == len(made)
    assert {p.listener for p in made} == set(LISTENERS)


def test_what_never_answers_gets_none() -> None:
    """Whether a filter or a fault kept its event back, nobody could tell; and only root may send a raw packet."""
    silent = {name: CATALOGUE["listeners"][name] for name in ("any", "proto41")}
    assert [(p.listener, p.proto) for p in probes.probes({"ams1": ["192.0.2.7"]}, silent)] == [("any", "tcp")]


def test_an_end_without_a_word_is_an_answer_of_one_listener_alone() -> None:
    assert [name for name in LISTENERS if client.client(name).understood(b"", "tcp")] == ["any"]  # type: ignore[union-attr]


def test_a_listener_without_a_probe_is_named() -> None:
    with pytest.raises(ValueError, match="no probe for the listener gopher"):
        probes.probes({"ams1": ["192.0.2.7"]}, {"gopher": {"ports": [{"port": 70, "proto": "tcp"}]}})


@pytest.mark.parametrize("listener", list(LISTENERS))
def test_the_mark_is_in_a_value_that_the_catalogue_has(listener: str) -> None:
    sent = probe(listener)
    field, value = sent.value
    assert EVENTS[sent.event]["listener"] == listener
    assert field in EVENTS[sent.event]["values"]
    assert value.isascii()
    assert value.isprintable()
    assert len(value) <= 256


@pytest.mark.parametrize("listener", list(LISTENERS))
def test_marks_differ_and_are_safe_in_sql(listener: str) -> None:
    made = {client.mark(listener) for _ in range(50)}
    assert len(made) > 45
    assert all(probes.MARK.fullmatch(mark) for mark in made)


def test_ssh_says_an_identification() -> None:
    assert probe("ssh").payload == b"SSH-2.0-canary_abcdef012345\r\n"


def test_dns_asks_without_recursion_so_that_it_counts_for_no_feed() -> None:
    datagram, stream = probe("dns", "udp").payload, probe("dns", "tcp").payload
    assert struct.unpack("!H", stream[:2])[0] == len(stream) - 2
    for query in (datagram, stream[2:]):
        assert struct.unpack("!5H", query[2:12]) == (0, 1, 0, 0, 0)
        assert query[12:] == b"\x0cabcdef012345\x06canary\x07invalid\x00\x00\x10\x00\x01"


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7"])
@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_sip_says_a_whole_request(address: str, proto: str) -> None:
    read = message.parse(probe("sip", proto, address=address).payload, stream=proto == "tcp")
    assert read is not None
    assert read.method == b"OPTIONS"
    assert read.header(b"call-id") == b"abcdef012345@canary.invalid"
    assert read.malformed == "-"


def test_vnc_says_a_version_that_no_client_has() -> None:
    payload = probe("vnc").payload
    assert payload == b"RFB 123.456\n"
    assert negotiated(payload) == "3.8"
    assert int(client.mark("vnc")) >= 100_000


def test_a_row_is_found_by_sensor_address_transport_and_mark() -> None:
    sent = [probe("ssh"), probe("dns", "udp"), probe("dns", "tcp", "fedcba012345"), probe("vnc")]
    found = probes.match(sent, [row(each) for each in sent])
    assert all(found[each] is not None for each in sent)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sensor": "sin1"},
        {"daddr": "192.0.2.99"},
        {"proto": "udp"},
        {"event": "ssh.password"},
        {"data": {"ident": "SSH-2.0-canary_another"}},
    ],
)
def test_another_row_is_not_it(wrong: dict[str, Any]) -> None:
    sent = probe("ssh")
    assert probes.match([sent], [row(sent, **wrong)]) == {sent: None}


def test_sql_holds_nothing_but_marks() -> None:
    for make in (probes.query, probes.forget):
        assert "data->>'ident' = 'SSH-2.0-canary_abcdef012345'" in make([probe("ssh")])
        with pytest.raises(ValueError, match="is no mark"):
            make([probe("ssh", mark="x'; DROP TABLE y; --")])


def test_forgotten_rows_say_what_they_are() -> None:
    """A field that no listener writes, for who counts sightings anew."""
    assert """SET data = data || '{"canary": "yes"}' WHERE""" in probes.forget([probe("ssh")])


def test_what_psql_printed_is_read() -> None:
    assert probes.rows_of("[]\n") == []
    assert probes.rows_of("") == []
    assert probes.rows_of('[{"sensor": "ams1"}]\n') == [{"sensor": "ams1"}]
