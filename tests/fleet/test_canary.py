"""The canary's clients against small servers, what became of the events, and its tasks by plain ansible-playbook."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from strandline.event import catalogue as catalogue_files
from strandline_fleet import canary
from strandline_fleet.canary import Sent
from strandline_fleet.probes import Probe

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = catalogue_files.load()
HERE = "127.0.0.1"
CLOSED = "127.83.17.2"  # an address of this machine on which nothing listens


@contextmanager
def stream(banner: bytes, answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A TCP server for one client: its port, and what it was told."""
    heard: list[bytes] = []
    with socket.create_server((HERE, 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.sendall(banner)
                heard.append(client.recv(4096))
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(5)


@contextmanager
def datagrams(ignored: int) -> Iterator[tuple[int, list[bytes]]]:
    """A UDP server that answers after it has ignored so many datagrams."""
    heard: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HERE, 0))
        server.settimeout(5)

        def serve() -> None:
            for count in range(ignored + 1):
                data, client = server.recvfrom(4096)
                heard.append(data)
                if count == ignored:
                    server.sendto(b"answer", client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(5)


def probe(listener: str, port: int, proto: str = "tcp") -> Probe:
    return Probe("ams1", listener, HERE, port, proto, "123456" if listener == "vnc" else "abcdef012345")


def test_a_stream_is_told_the_mark() -> None:
    for listener, banner in (("ssh", b"SSH-2.0-x\r\n"), ("vnc", b"RFB 003.008\n")):
        with stream(banner, b"more") as (port, heard):
            sent = canary.send(probe(listener, port))
        assert sent.failure == ""
        assert heard == [sent.probe.payload]


def test_a_closed_port_is_a_failure() -> None:
    with socket.create_server((HERE, 0)) as server:
        port = server.getsockname()[1]
    assert canary.send(probe("ssh", port)).failure == "connection refused"


def test_a_route_that_this_machine_lacks_is_told_from_what_others_reject() -> None:
    """In a network of its own, in which there is only the loopback."""
    says = (
        "from strandline_fleet import canary; from strandline_fleet.probes import Probe\n"
        "for address in ('198.51.100.7', '2001:db8::7', '127.0.0.1'):\n"
        "    for listener, proto in (('dns', 'udp'), ('ssh', 'tcp')):\n"
        "        print(canary.send(Probe('ams1', listener, address, 1, proto, 'abcdef012345')).failure)"
    )
    up = "ip link set lo up && exec"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "sh", "-c", f'{up} "$@"', "sh", sys.executable, "-c", says],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'module_utils'}:{ROOT / 'files'}"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [canary.NO_ROUTE] * 4 + ["connection refused"] * 2, done.stderr


def test_a_server_that_says_nothing_is_a_failure() -> None:
    with stream(b"", b"") as (port, _):
        assert canary.send(probe("sip", port)).failure == "closed without an answer"


def test_a_datagram_is_sent_again_until_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "TIMEOUT", 0.6)
    with datagrams(ignored=1) as (port, heard):
        sent = canary.send(probe("dns", port, "udp"))
    assert sent.failure == ""
    assert len(heard) == 2


def test_silence_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "TIMEOUT", 0.15)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((HERE, 0))
        assert canary.send(probe("dns", server.getsockname()[1], "udp")).failure == "no answer"


def row(probe: Probe) -> dict[str, Any]:
    """What the database has of a probe's event."""
    return {"sensor": probe.sensor, "event": probe.event, "daddr": probe.address, "proto": probe.proto,
            "saddr": "192.0.2.200", "data": dict([probe.value]), "ts": 1000.0, "rts": 1000.25}  # fmt: skip


def test_the_outcome_says_what_failed_and_why() -> None:
    found, lost, unanswered = probe("ssh", 22), probe("vnc", 5900), probe("sip", 5060)
    sent = [Sent(found, 0), Sent(lost, 0), Sent(unanswered, 0, "no answer")]
    (outcome,) = canary.outcome(["ams1"], sent, [row(found), row(unanswered)])
    assert (outcome["ok"], outcome["sent"], outcome["failed"]) == (False, 3, 2)
    assert outcome["says"] == (
        "vnc 5900/tcp: answered, and no event came; sip 5060/tcp: no answer, and its event came all the same"
    )
    assert [(each["listener"], each["ok"], each["seconds"]) for each in outcome["probes"]] == [
        ("ssh", True, 0.25), ("vnc", False, None), ("sip", False, 0.25)
    ]  # fmt: skip


def test_a_row_of_another_sensor_or_address_is_no_proof() -> None:
    sent = [Sent(probe("ssh", 22), 0)]
    for other in ({"sensor": "sin1"}, {"daddr": "192.0.2.9"}):
        (outcome,) = canary.outcome(["ams1"], sent, [row(sent[0].probe) | other])
        assert not outcome["ok"]


def test_listeners_with_the_same_fate_are_named_together_and_by_address_where_there_are_several() -> None:
    sent = [
        Sent(Probe("ams1", "ssh", address, 22, "tcp", "abcdef012345"), 0, "connection refused")
        for address in ("192.0.2.1", "192.0.2.2")
    ]
    (outcome,) = canary.outcome(["ams1"], sent, [])
    assert outcome["says"] == "192.0.2.1 ssh 22/tcp, 192.0.2.2 ssh 22/tcp: connection refused"


def test_without_a_database_no_sensor_is_well() -> None:
    (outcome,) = canary.outcome(["ams1"], [Sent(probe("ssh", 22), 0)], [], "no database to look into: no route")
    assert not outcome["ok"]
    assert outcome["says"] == "no database to look into: no route"


def test_a_sensor_without_a_listener_proves_nothing() -> None:
    (outcome,) = canary.outcome(["ams1"], [], [])
    assert not outcome["ok"]


def test_the_table_fits_80_columns_with_what_failed_first() -> None:
    good = [Sent(Probe("ams1", "ssh", "192.0.2.1", 22, "tcp", "abcdef012345"), 0)]
    bad = [
        Sent(Probe("sin1", name, "192.0.2.2", port, "tcp", "abcdef012345"), 0, "connection refused")
        for name, port in (("ssh", 22), ("dns", 53), ("sip", 5060))
    ]
    lines = canary.table(canary.outcome(["ams1", "sin1"], [*good, *bad], [row(good[0].probe)])).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split()[:5] == ["✘", "sin1", "0", "of", "3"]
    assert lines[-1].split() == ["✔", "ams1", "1", "of", "1", "0.25", "s"]


def test_a_sensor_is_asked_for_the_listeners_that_it_has() -> None:
    sensors: dict[str, dict[str, Any]] = {
        "ams1": {"addresses": ["192.0.2.1"]},
        "sin1": {"addresses": ["192.0.2.2", "192.0.2.3"], "fleet_listeners": ["sip"]},
    }
    wanted = canary.wanted(sensors, CATALOGUE)
    assert {probe.listener for probe in wanted if probe.sensor == "ams1"} == {"ssh", "dns", "sip", "vnc"}
    rest = [(probe.listener, probe.address, probe.proto) for probe in wanted if probe.sensor == "sin1"]
    assert sorted(rest) == [
        ("sip", address, proto) for address in sensors["sin1"]["addresses"] for proto in ("tcp", "udp")
    ]


PLAY = """
- name: Send the canary
  hosts: sensors
  gather_facts: false
  tasks:
    - ansible.builtin.include_tasks: {root}/playbooks/tasks/canary.yml
      vars: {{canary_sensors: [ams1], canary_seconds: 0}}
    - name: Keep what every host of the play knows
      ansible.builtin.copy:
        content: "{{{{ ansible_play_hosts | map('extract', hostvars, 'canary_outcome') | to_json }}}}"
        dest: "{trace}"
        mode: "0644"
      delegate_to: localhost
      run_once: true
"""
DATABASE = """\
import pathlib, sys
asked = sys.stdin.read()
with pathlib.Path({log!r}).open("a") as log:
    log.write(asked + "\\n---\\n")
print("2" if "DELETE" in asked else "[]")
sys.exit({code} if {fails!r} in asked else 0)
"""


def play(tmp_path: Path, *arguments: str, fails: str = "nowhere", **database: Any) -> tuple[int, str, list[str], Any]:
    """Run the tasks: exit code, what was said, what the database was asked, and what became known to the hosts."""
    log, trace = tmp_path / "asked", tmp_path / "trace"
    (tmp_path / "database.py").write_text(DATABASE.format(log=str(log), code=3, fails=fails))
    hub = {"ansible_connection": "local", "fleet_psql": [sys.executable, str(tmp_path / "database.py")], **database}
    sensors = {"ams1": {"addresses": [CLOSED], "fleet_listeners": ["ssh", "vnc"]}, "sin1": {"addresses": [CLOSED]}}
    groups = {"sensors": {"hosts": sensors}, "collectors": {"hosts": {"hub": hub}}}
    inventory = {"all": {"vars": {"fleet_database": "hub"}, "children": groups}}
    (tmp_path / "inventory.yml").write_text(json.dumps(inventory))
    (tmp_path / "play.yml").write_text(PLAY.format(root=ROOT, trace=trace))
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={tmp_path}/inventory.yml", str(tmp_path / "play.yml"), *arguments],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    asked = log.read_text().split("\n---\n")[:-1] if log.exists() else []
    known = json.loads(trace.read_text()) if trace.exists() else None
    return done.returncode, done.stdout + done.stderr, asked, known


@pytest.mark.slow
def test_what_is_lost_fails_and_is_forgotten_all_the_same(tmp_path: Path) -> None:
    code, said, asked, known = play(tmp_path)
    assert code == 2, said
    assert "2 of 2 marked events did not arrive, of ams1" in said
    assert "connection refused" in said
    assert known is None
    assert [("DELETE FROM strandline.sighting" in each) for each in asked] == [False, True]


@pytest.mark.slow
def test_sightings_that_stay_are_said_and_fail(tmp_path: Path) -> None:
    code, said, _, _ = play(tmp_path, fails="DELETE")
    assert code == 2, said
    assert "could not be removed" in said
    assert "no database to look into" not in said


@pytest.mark.slow
def test_who_judges_for_himself_goes_on_with_the_outcome(tmp_path: Path) -> None:
    code, said, asked, known = play(tmp_path, "--extra-vars=canary_required=false")
    assert code == 0, said
    assert len(asked) == 2
    assert [[each["sensor"], each["ok"], each["failed"]] for each in known[0]] == [["ams1", False, 2]]
    assert known[0] == known[1], "not every host of the play knows it"


@pytest.mark.slow
def test_check_mode_says_what_it_would_send_and_asks_nobody(tmp_path: Path) -> None:
    code, said, asked, _ = play(tmp_path, "--check")
    assert code == 0, said
    assert f"ams1: {CLOSED} vnc 5900/tcp" in said
    assert asked == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "database", [{"fails": ""}, {"ansible_connection": "ssh", "ansible_host": CLOSED, "ansible_port": 9}]
)
def test_a_database_that_gives_no_answer_is_said(tmp_path: Path, database: dict[str, Any]) -> None:
    code, said, _, _ = play(tmp_path, **database)
    assert code == 2, said
    assert "no database to look into: " in said
    assert "could not be removed" in said
