"""Sensors say that they live, the account has what was lost before it had a number, and silence is noticed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from containers import poll
from machines import Machine

HEARTBEAT = ["systemctl", "start", "strandline-heartbeat.service"]
WATCH = ["systemctl", "start", "strandline-watch.service"]
RECEIVED = "/root/watch-received.jsonl"
# A mail server and a web server on the collector, where the watcher sends to. Each message is a line of JSON.
SERVERS = r"""
import http.server, json, socketserver, sys, threading
lock = threading.Lock()
def keep(way, what):
    with lock, open(sys.argv[1], "a") as file:
        file.write(json.dumps([way, what]) + "\n")
class Smtp(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda text: self.wfile.write(text + b"\r\n")
        say(b"220 test")
        while line := self.rfile.readline():
            if line.upper().startswith(b"DATA"):
                say(b"354 go on")
                body = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    body += part
                keep("mail", body.decode())
            say(b"250 ok")
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        keep("webhook", {"secret": self.headers["X-Strandline-Secret"], **body})
        self.send_response(204)
        self.end_headers()
socketserver.ThreadingTCPServer.allow_reuse_address = True
mail = socketserver.ThreadingTCPServer(("127.0.0.1", 2525), Smtp)
threading.Thread(target=mail.serve_forever, daemon=True).start()
http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Hook).serve_forever()
"""
# A client of this host who floods a UDP port and says how many datagrams it sent.
FLOOD = r"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for n in range(int(sys.argv[3])):
    s.sendto(b"x" * 1200, (sys.argv[1], int(sys.argv[2])))
"""


@pytest.fixture(scope="module", autouse=True)
def by_hand(sensors: list[Machine], collector: Machine) -> Iterator[None]:
    """Heartbeats and looks happen when a test says so."""
    for machine, timer in [*((sensor, "heartbeat") for sensor in sensors), (collector, "watch")]:
        machine.check("systemctl", "stop", f"strandline-{timer}.timer")
    yield
    for machine, timer in [*((sensor, "heartbeat") for sensor in sensors), (collector, "watch")]:
        machine.check("systemctl", "start", f"strandline-{timer}.timer")


def account(collector: Machine, host: str) -> dict[str, int]:
    """What the account has of a host's counters, all days together."""
    query = f"""SELECT json_build_object('what', what, 'n', sum(amount))
                FROM strandline.account_counters('2000-01-01') WHERE host = '{host}' GROUP BY what"""  # noqa: S608
    return {row["what"]: row["n"] for row in collector.sql(query)}


def listeners(collector: Machine, sensor: Machine) -> dict[str, dict[str, Any]]:
    """The last heartbeat of a sensor ('') and of each of its listeners."""
    query = f"""SELECT json_build_object('listener', h.listener, 'data', h.data, 'heard', h.heard)
                FROM strandline.heartbeat h JOIN strandline.sensor s ON s.id = h.sensor_id
                WHERE s.name = '{sensor.name}'"""  # noqa: S608
    return {row["listener"]: {**row["data"], "heard": row["heard"]} for row in collector.sql(query)}


def beat(sensor: Machine, collector: Machine) -> dict[str, dict[str, Any]]:
    """Have a sensor speak, and wait until the database has heard it."""
    before = listeners(collector, sensor).get("", {}).get("heard")
    sensor.check(*HEARTBEAT, seconds=120)
    now: dict[str, dict[str, Any]] = {}

    def heard() -> bool:
        now.update(listeners(collector, sensor))
        return now.get("", {}).get("heard") not in (None, before)

    assert poll(heard, seconds=30), "no heartbeat arrives"
    return now


def test_a_heartbeat_names_every_listener_and_leaves_no_other_event(
    sensor: Machine, collector: Machine, catalogue: dict[str, Any]
) -> None:
    """The clients that ask the listeners are not taken for strangers, and nothing of it is a sighting."""
    stranger = (
        "SELECT to_json(count(*)) FROM strandline.event WHERE saddr <<= '127.0.0.0/8' AND event NOT LIKE 'sensor.%'"
    )
    found = beat(sensor, collector)
    assert set(found) == {"", *(name for name, entry in catalogue["listeners"].items() if entry["ports"])}
    assert {name: data["state"] for name, data in found.items() if name} == dict.fromkeys(set(found) - {""}, "alive")
    assert collector.sql(stranger) == [0]
    assert collector.sql("SELECT to_json(count(*)) FROM strandline.sighting WHERE saddr <<= '127.0.0.0/8'") == [0]
    silent = f"SELECT json_build_array(silent_since) FROM strandline.silent WHERE sensor = '{sensor.name}'"  # noqa: S608
    assert collector.sql(silent) == [[None]] * len(found)


def test_what_the_kernel_dropped_is_in_the_account(sensors: list[Machine], collector: Machine) -> None:
    """A listener that stands still while datagrams come: the kernel's own count, to the number."""
    sensor = sensors[0]
    beat(sensor, collector)
    before = account(collector, sensor.name).get("kernel_drops", 0)
    drops = ["sh", "-c", "awk '$2 ~ /:13C4$/ {n += $NF} END {print n}' /proc/net/udp /proc/net/udp6"]
    counted = int(sensor.check(*drops))
    main = ["systemctl", "show", "--property=MainPID", "--value", "strandline-sip.service"]
    pid = sensor.check(*main).strip()
    sensor.check("kill", "-STOP", pid)
    try:
        # 1200 bytes take 2304 of the queue's 2 MiB.
        sensor.check("python3", "-c", FLOOD, "127.0.0.1", "5060", "3000")
    finally:
        sensor.check("kill", "-CONT", pid)
    lost = int(sensor.check(*drops)) - counted
    print(f"\n{lost} of 3000 datagrams were dropped by the kernel")
    assert lost > 500
    for _ in range(2):
        beat(sensor, collector)
        assert account(collector, sensor.name)["kernel_drops"] == before + lost, "told twice, counted once"


def test_events_that_a_listener_could_not_hand_over_are_in_the_account(
    sensors: list[Machine], collector: Machine
) -> None:
    """syslog-ng and its socket are gone while a client knocks."""
    sensor = sensors[0]
    beat(sensor, collector)
    before = account(collector, sensor.name).get("queue_drops", 0)
    sensor.check("systemctl", "stop", "syslog-ng.service", "strandline-events.socket")
    try:
        knock = "import socket; socket.create_connection(('127.0.0.1', 22)).sendall(b'SSH-2.0-gone\\r\\n')"
        for _ in range(3):
            sensor.check("python3", "-c", knock)
        said = ["sh", "-c", "journalctl -b -u strandline-ssh -o cat | grep -c 'events dropped: /run'"]
        assert poll(lambda: int(sensor.run(*said).stdout or 0) >= 3, seconds=20)
    finally:
        sensor.check("systemctl", "start", "strandline-events.socket", "syslog-ng.service")
    beat(sensor, collector)
    assert account(collector, sensor.name)["queue_drops"] >= before + 3


def test_a_full_spool_disk_is_a_pause_in_the_account(sensors: list[Machine], collector: Machine) -> None:
    """How often and how long, as syslog-ng met it; what it dropped behind its queue as well."""
    sensor, spool = sensors[1], "/var/spool/strandline/events"
    beat(sensor, collector)
    before = account(collector, sensor.name)
    sensor.check("systemctl", "stop", "strandline-prune.timer", "syslog-ng.service")
    sensor.check("mount", "-t", "tmpfs", "-o", "size=64k,mode=0750", "tmpfs", spool)
    try:
        sensor.check("systemctl", "start", "syslog-ng.service")
        sensor.check("python3", "-c", WRITE, sensor.addresses[0], "22000", seconds=120)
        dropped = [
            "sh",
            "-c",
            "syslog-ng-ctl stats | awk -F';' '/d_spool/ && $5 == \"dropped\" {n += $6} END {print n}'",
        ]
        assert poll(lambda: int(sensor.check(*dropped) or 0) > 0, seconds=30)
        lost = int(sensor.check(*dropped))
        beat_on_disk = [*HEARTBEAT]
        sensor.check(*beat_on_disk, seconds=120)
    finally:
        sensor.run("systemctl", "stop", "syslog-ng.service")
        sensor.check("umount", spool)
        sensor.check("systemctl", "start", "syslog-ng.service", "strandline-prune.timer")
    beat(sensor, collector)
    after = account(collector, sensor.name)
    grown = {what: after.get(what, 0) - before.get(what, 0) for what in ("full_pauses", "full_seconds", "spool_drops")}
    print(f"\n{grown}")
    assert grown["full_pauses"] == 1
    assert 2 <= grown["full_seconds"] <= 120
    assert grown["spool_drops"] >= lost > 0


WRITE = r"""
import datetime, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect("/run/strandline/events/socket")
for n in range(int(sys.argv[2])):
    ts = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    s.send((f"<134>1 {ts} - strandline-ssh 77 - - event=ssh.client saddr=198.51.100.99 sport=40000 daddr={sys.argv[1]}"
            f' dport=22 proto=tcp valid=no ident="full-{n}"').encode())
"""


def test_a_line_without_a_number_is_in_the_account(sensors: list[Machine], collector: Machine) -> None:
    """Sent past the numbering, by the replay socket."""
    sensor, mark = sensors[0], f"unnumbered-{secrets.token_hex(6)}"
    before = account(collector, sensor.name).get("unnumbered", 0)
    line = (
        "<134>1 2026-11-25T02:12:18.123456+00:00 x strandline-ssh 77 - - event=ssh.client saddr=198.51.100.99"
        f' sport=40000 daddr={sensor.addresses[0]} dport=22 proto=tcp valid=yes ident="{mark}"'
    )
    program = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
        "s.connect('/run/strandline-replay/socket'); s.send(sys.argv[1].encode())"
    )
    sensor.check("python3", "-c", program, line)
    try:
        assert poll(lambda: account(collector, sensor.name).get("unnumbered", 0) == before + 1)
    finally:
        # What was rejected here must not be taken for the scanner's.
        collector.sql(
            "WITH past AS (UPDATE strandline.reject SET rejected_at = rejected_at - interval '1 day'"  # noqa: S608 - the mark is ours
            f" WHERE position('{mark}'::bytea in raw) > 0 RETURNING 1) SELECT to_json(count(*)) FROM past"
        )
    assert account(collector, sensor.name)["unnumbered"] == before + 1


def test_the_account_is_what_reconcile_shows(sensors: list[Machine], collector: Machine) -> None:
    """Every counter of this module in the table that people read, in the row of its sensor."""
    program = ["env", "PYTHONPATH=/usr/lib/strandline", "PYTHONDONTWRITEBYTECODE=1", "python3", "-m"]
    out = collector.check(
        "runuser", "-u", "strandline-loader", "--", *program, "strandline.collector.reconcile", "account"
    )
    print("\n" + out)
    head, *rows = [line.split() for line in out.splitlines()]
    assert head[8:13] == ["kernel", "queue", "unnumbered", "pauses", "s"]
    sums = {sensor.name: [0] * 5 for sensor in sensors}
    for row in rows:
        if row[0] in sums:
            sums[row[0]] = [old + int(new) for old, new in zip(sums[row[0]], row[8:13], strict=True)]
    kernel, queue, unnumbered, _, _ = sums[sensors[0].name]
    assert kernel > 500
    assert queue >= 3
    assert unnumbered >= 1
    assert sums[sensors[1].name][3] >= 1


@pytest.fixture
def mailbox(collector: Machine) -> Iterator[Machine]:
    """The collector with servers that take messages, nothing told before, and a watcher with short limits."""
    config = "/etc/strandline/watch.json"
    collector.check("cp", "-a", config, f"{config}.kept")
    change = (
        f"import json; t = json.load(open({config!r})); t['limits']['silence_minutes'] = 0.5;"
        f" json.dump(t, open({config!r}, 'w'))"
    )
    collector.check("python3", "-c", change)
    collector.sql("WITH gone AS (DELETE FROM strandline.notice RETURNING 1) SELECT to_json(count(*)) FROM gone")
    collector.sql("WITH gone AS (DELETE FROM strandline.watched RETURNING 1) SELECT to_json(count(*)) FROM gone")
    collector.run("rm", "-f", RECEIVED)
    collector.check("systemd-run", "--unit=watch-mailbox", "--collect", "--quiet", "python3", "-c", SERVERS, RECEIVED)
    assert poll(lambda: all(port in collector.check("ss", "-Hltn") for port in (":2525", ":8099")))
    yield collector
    collector.check("systemctl", "stop", "watch-mailbox.service")
    collector.check("mv", f"{config}.kept", config)
    collector.sql("WITH gone AS (DELETE FROM strandline.watched RETURNING 1) SELECT to_json(count(*)) FROM gone")


def received(collector: Machine) -> dict[str, list[Any]]:
    """What came so far, by the way it came."""
    lines = [json.loads(line) for line in collector.run("cat", RECEIVED).stdout.splitlines()]
    return {way: [what for by, what in lines if by == way] for way in ("mail", "webhook")}


def test_a_stopped_listener_is_told_once_and_once_when_it_is_back(sensors: list[Machine], mailbox: Machine) -> None:
    sensor, other = sensors[:2]
    beat(other, mailbox)
    beat(sensor, mailbox)
    mailbox.check(*WATCH)
    assert received(mailbox) == {"mail": [], "webhook": []}
    sensor.check("systemctl", "stop", "strandline-vnc.service", "strandline-vnc.socket")
    try:
        assert beat(sensor, mailbox)["vnc"]["state"] == "inactive"
        beat(other, mailbox)
        for _ in range(3):
            mailbox.check(*WATCH)
        told = received(mailbox)
        assert [len(told["mail"]), len(told["webhook"])] == [1, 1]
        assert told["webhook"][0]["secret"] == "only-in-a-test"
        subject = f"listener {sensor.name} vnc"
        assert [(item["subject"], item["state"]) for item in told["webhook"][0]["items"]] == [(subject, "dead")]
        assert f"Subject: [strandline] 1 dead: {sensor.name} vnc" in told["mail"][0]
    finally:
        sensor.check("systemctl", "start", "strandline-vnc.socket", "strandline-vnc.service")
    beat(other, mailbox)
    assert beat(sensor, mailbox)["vnc"]["state"] == "alive"
    for _ in range(3):
        mailbox.check(*WATCH)
    told = received(mailbox)
    assert [len(told["mail"]), len(told["webhook"])] == [2, 2]
    assert told["webhook"][1]["items"] == [
        {"subject": subject, "state": "ok", "text": f"{sensor.name}: vnc lives again"}
    ]


def test_a_silent_sensor_is_told_once_and_once_when_it_is_back(sensors: list[Machine], mailbox: Machine) -> None:
    """The limit is 30 s here; the other sensor speaks meanwhile."""
    sensor, other = sensors[:2]
    beat(sensor, mailbox)
    beat(other, mailbox)
    mailbox.check(*WATCH)

    def told(count: int, *speak: Machine) -> bool:
        for one in speak:
            beat(one, mailbox)
        mailbox.check(*WATCH)
        return len(received(mailbox)["webhook"]) >= count

    assert poll(lambda: told(1, other), seconds=120, every=3)
    assert not any(told(2, other) for _ in range(2)), "told again"
    assert poll(lambda: told(2, other, sensor), seconds=60)
    states = [[(i["subject"], i["state"]) for i in one["items"]] for one in received(mailbox)["webhook"]]
    assert states == [[(f"sensor {sensor.name}", "silent")], [(f"sensor {sensor.name}", "ok")]]
