"""Canaries by the clock: a provider that filters, one that answers in a sensor's place, and who is told of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from containers import poll
from servers import COLLECTOR, INVENTORY, SENSOR1, SENSOR2, UNLUCKY, Server

HOOK = """
import http.server
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        with open('/run/told', 'ab') as told:
            told.write(body + b'\\n')
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer(('127.0.0.1', 8099), Hook).serve_forever()
"""
IMPOSTOR = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
    port.bind(('0.0.0.0', 53))
    while True:
        asked, client = port.recvfrom(4096)
        port.sendto(asked[:2] + b'\\x80\\x05' + asked[4:], client)
"""
FILTER = (
    "table inet provider { chain before { type filter hook prerouting priority -400;"
    " iifname != lo udp dport 5060 drop; }; }"
)


@pytest.fixture(scope="module", autouse=True)
def told(network: None) -> Iterator[Path]:
    """What the webhook was sent: a document a line."""
    collector = Server(COLLECTOR, "")
    collector.inside("rm", "-f", "/run/told")
    collector.inside("systemd-run", "--unit=hook", "/usr/bin/python3", "-c", HOOK)
    # What could not be delivered so far, for want of it, would hold up the rest for minutes.
    servers.sql("UPDATE strandline.notice_delivery SET done_at = clock_timestamp() WHERE done_at IS NULL")
    yield collector.file("/run/told")
    collector.inside("systemctl", "stop", "hook.service")


def documents(told: Path) -> list[dict[str, str]]:
    """Every item that was sent so far."""
    lines = told.read_text().splitlines() if told.exists() else []
    return [
        item for line in lines for item in json.loads(line)["items"] if item["subject"].startswith(("canary", "ren"))
    ]


def canary_round(folder: Path, *targets: str) -> tuple[int, str]:
    """A round with a memory of the test's own."""
    memory = f"canary_round_state={folder / 'memory.json'}"
    return servers.strandline("canary_round", "-i", str(INVENTORY), *targets, "--", "-e", memory)


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what was told."""
    return tmp_path_factory.mktemp("round")


SERVING = ("alder", "birch")


def test_a_round_in_which_all_is_well_tells_nothing(memory: Path, told: Path) -> None:
    code, said = canary_round(memory, *SERVING)
    assert code == 0, said
    assert "marked events were found" in said
    assert documents(told) == []


def test_a_provider_that_begins_to_filter_is_named_once(memory: Path, told: Path) -> None:
    for sensor in (SENSOR1, SENSOR2):
        subprocess.run(["podman", "exec", "-i", sensor.name, "nft", "-f", "-"], input=FILTER, text=True, check=True)
    try:
        code, said = canary_round(memory, *SERVING)
        assert code == 2, said
        text = "Alder Hosting, 2 of its 2 hosts (fleet-sensor1, fleet-sensor2): sip 5060/udp: no answer"
        assert text in " ".join(said.split())
        assert poll(lambda: documents(told), seconds=90, every=2) == [
            {"subject": "canary provider Alder Hosting filtered", "state": "filtered", "text": text}
        ]
        code, said = servers.playbook(
            "canary_round",
            f"--extra-vars=canary_round_state={memory / 'memory.json'}",
            f"--extra-vars=target={','.join(SERVING)}",
        )
        assert code == 2, said
    finally:
        for sensor in (SENSOR1, SENSOR2):
            sensor.inside("nft", "delete", "table", "inet", "provider")
    for _ in range(3):
        code, said = canary_round(memory, *SERVING)
        assert code == 0, said
    found = poll(lambda: [item for item in documents(told) if item["state"] == "ok"], seconds=90, every=2)
    assert len(found) == 1
    assert len(documents(told)) == 2


def test_who_answers_in_a_sensors_place_is_found(memory: Path, told: Path) -> None:
    UNLUCKY.inside("systemctl", "stop", "named.service")
    UNLUCKY.inside("systemd-run", "--unit=impostor", "/usr/bin/python3", "-c", IMPOSTOR)
    try:
        code, said = canary_round(memory, *SERVING)
    finally:
        UNLUCKY.inside("systemctl", "stop", "impostor.service")
        UNLUCKY.inside("systemctl", "start", "named.service")
    assert code == 2, said
    words = " ".join(said.split())
    assert "fleet-sensor3: 198.51.100.33 dns 53/udp: somebody answered, and the sensor saw nothing" in words
    assert "fleet-sensor3: 198.51.100.33 dns 53/tcp: connection refused" in words


def test_what_is_due_is_told_the_same_way(told: Path) -> None:
    code, said = servers.strandline("due", "-i", str(INVENTORY), "--days=3660", "--mail")
    assert code == 2, said
    item = poll(lambda: [each for each in documents(told) if each["subject"] == "renews fleet-sensor1"], 90, 2)[0]
    assert item["state"] == "due"
    assert "2036-01-01" in item["text"]
    assert "24.00 USD a year" in item["text"]
