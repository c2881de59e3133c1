"""New keys for five sensors, two collectors and a publisher, under traffic, with a run that is killed half way."""

from __future__ import annotations

import datetime as dt
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from containers import Machine, poll
from hosts import (
    COLLECTOR,
    COLLECTOR2,
    COLLECTORS,
    INVENTORY,
    PUBLISHER,
    ROTATED,
    SENSORS,
    TLS,
    Traffic,
    finish,
    handshake,
    kill,
    start,
    start_playbook,
    strandline,
)

STRANDLINE, ANSIBLE = "strandline", "ansible-playbook"
RATE = 20.0  # requests a second, over all sensors


# What somebody who has a loader's old key does with it: a session that is held open.
SESSION = """
import psycopg2, time, yaml
dsn = yaml.safe_load(open("/etc/strandline/loader.yml"))["database"].replace("/etc/strandline/tls/", "/run/old/", 3)
session = psycopg2.connect(dsn.replace("/run/old/database.pem", "/etc/strandline/tls/database.pem"))
print("open", flush=True)
while True:
    session.cursor().execute("SELECT 1")
    time.sleep(0.5)
"""


@dataclass
class Rotation:
    """What was seen while everybody got a new key."""

    traffic: Traffic
    old: dict[str, str]
    """Each host's certificate before; with its key it stays on the host in /root/old."""
    restarted: list[str]
    """The collectors whose syslog-ng is another process than before."""
    connections: dict[str, subprocess.Popen[str]]
    """Opened with old keys before it began."""


def keep_old_identities() -> dict[str, str]:
    """Set each host's key and certificate aside, as a thief would."""
    for machine in ROTATED:
        machine.check("sh", "-c", f"mkdir -p /root/old && cp {TLS}/key.pem {TLS}/cert.pem /root/old/")
    return {machine.name: machine.check("cat", "/root/old/cert.pem") for machine in ROTATED}


def hold_open(machine: Machine, *argv: str) -> subprocess.Popen[str]:
    """Start a command on a machine that goes on as long as its connection and its stdin do."""
    return subprocess.Popen(
        ["podman", "exec", "--interactive", machine.name, *argv],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def open_with_old_keys() -> dict[str, subprocess.Popen[str]]:
    """Connections with old keys: of a sensor's to each collector, of the second collector's to the database."""
    found = {
        f"to {collector.name}": hold_open(
            SENSORS[0],
            *("openssl", "s_client", "-quiet", "-tls1_2", "-connect", f"{collector.address}:6514"),
            *("-cert", "/root/old/cert.pem", "-key", "/root/old/key.pem"),
        )
        for collector in COLLECTORS
    }
    private = "chown -R strandline-loader: /run/old && chmod 0600 /run/old/key.pem"
    COLLECTOR2.check("sh", "-c", f"rm -rf /run/old && cp -r /root/old /run/old && {private}")
    found["to the database"] = hold_open(
        COLLECTOR2, "runuser", "-u", "strandline-loader", "--", "python3", "-c", SESSION
    )
    said = found["to the database"].stdout
    assert said
    assert said.readline() == "open\n", said.read()
    time.sleep(2)
    assert [name for name, connection in found.items() if connection.poll() is not None] == []
    return found


def main_pid(collector: Machine) -> str:
    """The process that receives events."""
    return collector.check("systemctl", "show", "--value", "--property=MainPID", "syslog-ng.service")


def begin(way: str, before: str = "") -> subprocess.Popen[str]:
    """Start a rotation by the command or by its playbook alone, of the certificates made before a moment."""
    if way == STRANDLINE:
        made_before = [f"--made-before={before}"] if before else []
        return start("rotate_certificates", "-i", str(INVENTORY), "--yes", "--batch=3", *made_before)
    only = {"rotate_made_before": before} if before else {}
    return start_playbook("rotate_certificates", confirm="yes", rotate_batch=3, **only)


def kill_half_way(process: subprocess.Popen[str]) -> None:
    """Kill a run in its second batch, when one host of it has just got its new key."""
    marks = {machine.name: machine.file(f"{TLS}/previous") for machine in SENSORS}
    switched = poll(lambda: found if len(found := [n for n, m in marks.items() if m.exists()]) > 1 else [], 300, 0.05)
    said = kill(process)
    assert len(switched) > 1, said
    print(f"killed when {' and '.join(switched)} had switched and no old certificate was withdrawn yet")


@pytest.fixture(
    scope="module",
    params=[(STRANDLINE, ANSIBLE), pytest.param((ANSIBLE, STRANDLINE), marks=pytest.mark.long)],
    ids=["killed, and carried on by ansible-playbook", "the other way round"],
)
def rotation(request: pytest.FixtureRequest) -> Iterator[Rotation]:
    """Rotate everything while requests come in, with a run that is killed half way and carried on in another way."""
    old = keep_old_identities()
    # Certificates are dated in whole seconds.
    time.sleep(1.1)
    before = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    time.sleep(1.1)
    first, second = request.param
    before_all = {collector.name: main_pid(collector) for collector in COLLECTORS}
    connections = open_with_old_keys()
    with Traffic("rotate", RATE, SENSORS) as traffic:
        kill_half_way(begin(first, before))
        began = time.monotonic()
        code, said = finish(begin(second, before))
        print(said)
        assert code == 0, said
        print(f"the last run took {time.monotonic() - began:.0f} s")
        time.sleep(2)
    restarted = [each.name for each in COLLECTORS if main_pid(each) != before_all[each.name]]
    yield Rotation(traffic, old, restarted, connections)
    for connection in connections.values():
        connection.kill()
        connection.communicate()


def test_no_event_is_missing(rotation: Rotation) -> None:
    missing = rotation.traffic.missing()
    print(f"{len(rotation.traffic.sent())} requests; {len(missing)} of their events had to be sent again")
    if missing:
        strandline("reconcile", "-i", str(INVENTORY))
        assert rotation.traffic.missing() == set()
    stored = rotation.traffic.stored()
    assert len(stored) == len(set(stored))


def test_no_connection_that_was_made_with_an_old_key_is_left(rotation: Rotation) -> None:
    assert [name for name, connection in rotation.connections.items() if connection.poll() is None] == []


def test_no_collector_was_restarted(rotation: Rotation) -> None:
    assert rotation.restarted == []


@pytest.mark.parametrize("host", ROTATED, ids=[machine.name for machine in ROTATED])
def test_every_host_has_a_new_key_and_nothing_is_left_over(rotation: Rotation, host: Machine) -> None:
    assert host.check("cat", f"{TLS}/cert.pem") != rotation.old[host.name]
    assert not host.file(f"{TLS}/previous").exists()
    assert not host.file(f"{TLS}/next").exists()
    held = (INVENTORY / "certificates" / f"{host.name}.pem").read_text()
    assert held == host.check("cat", f"{TLS}/cert.pem")
    assert not (INVENTORY / "certificates" / f"{host.name}.next.pem").exists()


@pytest.mark.parametrize("collector", COLLECTORS, ids=[collector.name for collector in COLLECTORS])
@pytest.mark.parametrize("sensor", SENSORS, ids=[sensor.name for sensor in SENSORS])
def test_a_collector_refuses_the_old_certificate_and_takes_the_new_one(
    rotation: Rotation, sensor: Machine, collector: Machine
) -> None:
    assert rotation
    assert handshake(sensor, f"{TLS}/key.pem", f"{TLS}/cert.pem", collector)
    assert not handshake(sensor, "/root/old/key.pem", "/root/old/cert.pem", collector)


@pytest.mark.parametrize("collector", COLLECTORS, ids=[collector.name for collector in COLLECTORS])
def test_a_sensor_trusts_a_collectors_new_certificate_alone(rotation: Rotation, collector: Machine) -> None:
    """Somebody who has the collector's old key, or its new one, answers on the sensor's own loopback."""
    assert rotation
    trusted = {}
    for which, place in {"old": "/root/old", "new": TLS}.items():
        for file in ("key.pem", "cert.pem"):
            SENSORS[0].file(f"/root/{which}-collector-{file}").write_bytes(
                collector.file(f"{place}/{file}").read_bytes()
            )
        done = SENSORS[0].run(
            *("sh", "-c"),
            f"cd /root; timeout 20 openssl s_server -quiet -tls1_2 -accept 127.0.0.1:7514"
            f" -cert {which}-collector-cert.pem -key {which}-collector-key.pem >/dev/null & sleep 1;"
            f" openssl s_client -brief -tls1_2 -verify_return_error -CApath {TLS}/collectors"
            " -connect 127.0.0.1:7514 </dev/null; code=$?; kill $!; wait; exit $code",
        )
        trusted[which] = done.returncode == 0
    assert trusted == {"old": False, "new": True}


def test_the_publisher_reads_the_database_with_its_new_certificate(rotation: Rotation) -> None:
    assert rotation
    PUBLISHER.check("systemctl", "start", "strandline-publisher.service", seconds=120)


def test_the_second_collector_stores_events_with_its_new_certificate(rotation: Rotation) -> None:
    """The first one is not reached for a while; its database is."""
    assert rotation
    sensor = SENSORS[0]
    reject = f"ip daddr {COLLECTOR.address} tcp dport 6514 reject with tcp reset"
    sensor.check("nft", f"table inet away {{ chain out {{ type filter hook output priority -300; {reject}; }}; }}")
    try:
        with Traffic("second", RATE, [sensor]) as traffic:
            raw = COLLECTOR2.file(f"/var/log/strandline/raw/{sensor.name}/{sensor.address}")
            assert poll(lambda: any(traffic.mark in log.read_text() for log in raw.glob("*.log")), 40)
    finally:
        sensor.check("nft", "delete table inet away")
    missing = traffic.missing()
    if missing:  # what was on its way to the first one
        strandline("reconcile", "-i", str(INVENTORY))
        assert traffic.missing() == set()


def test_a_second_run_finds_nothing_to_do(rotation: Rotation) -> None:
    assert rotation
    before = {host.name: host.check("cat", f"{TLS}/cert.pem") for host in ROTATED}
    for way in (STRANDLINE, ANSIBLE):
        code, said = finish(begin(way))
        assert code == 0, said
        assert "No certificate is due" in said
    assert before == {host.name: host.check("cat", f"{TLS}/cert.pem") for host in ROTATED}
