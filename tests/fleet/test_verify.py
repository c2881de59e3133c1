"""What verify makes of what hosts say: limits, hostile words, hosts that are not reached."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strandline_fleet import health, verdict
from strandline_fleet.health import DAY, Finding

ROOT = Path(__file__).resolve().parents[2]
NOW = 1764036738.0
FUNCTIONS = {"hub": "collectors", "ams1": "sensors"}
LIMITS = {
    "clock_seconds": 0.5,
    "certificate_days": 60,
    "disk_percent": 85,
    "memory_percent": 10,
    "updates": 1,
    "security_updates": 0,
    "package_lists_hours": 24,
    "silent_hours": 24,
    "listening": [{"port": 22, "proto": "tcp"}, {"port": 53, "proto": "udp", "unit": "named.service"}],
    "tolerated": [{"port": 68, "proto": "udp"}],
}
LISTENING = [
    {"port": 22, "proto": "tcp", "address": "0.0.0.0", "program": "/usr/lib/strandline/openssh/sshd"},
    {"port": 53, "proto": "udp", "address": "198.51.100.21", "program": "/usr/sbin/named", "unit": "named.service"},
    {"port": 68, "proto": "udp", "address": "0.0.0.0", "program": "/usr/sbin/dhclient"},
]
GOOD: dict[str, Any] = {
    "clock": {"synchronised": True, "source": "192.0.2.1", "offset": 0.0012},
    "certificate": {"ends": NOW + 400 * DAY, "sha256": "aa"},
    "disks": {"file_systems": [{"path": "/", "used": 0.5, "inodes_used": 0.1, "left": 1}]},
    "memory": {"total": 256 * 2**20, "available": 128 * 2**20},
    "updates": {"packages": ["tzdata"], "security": [], "lists_age": 3600.0, "reboot": ""},
    "ports": {"sockets": LISTENING},
    "owners": {"disable": [], "refuse": [], "loaded": True},
}


def judged(part: str, **changed: Any) -> Mapping[str, Finding]:
    """A good host's findings with one part changed."""
    return health.host_findings({**GOOD, part: {**GOOD[part], **changed}}, LIMITS, NOW, "aa")


def test_a_good_host_has_nothing_wrong() -> None:
    findings = health.host_findings(GOOD, LIMITS, NOW, "aa")
    assert {check: finding.says for check, finding in findings.items()} == {
        "clock": "+1.2 ms",
        "certificate": "400 days",
        "disk": "50%",
        "memory": "50% left",
        "updates": "1 wait",
        "ports": "2 as they should be",
        "owners": "none",
    }
    assert all(finding.ok for finding in findings.values())


@pytest.mark.parametrize(
    ("check", "part", "changed", "says"),
    [
        ("clock", "clock", {"synchronised": False}, "chrony follows no time server"),
        ("clock", "clock", {"offset": -2.5}, "2.500 s slow, allowed 0.5"),
        ("clock", "clock", {"offset": 0.7}, "0.700 s fast"),
        ("clock", "clock", {"error": "506 Cannot talk to daemon"}, "can't be measured: 506 Cannot talk to daemon"),
        ("certificate", "certificate", {"ends": NOW - 1}, "ended 2025-11-25"),
        (
            "certificate",
            "certificate",
            {"ends": NOW + 59 * DAY},
            "in 59 days: ./strandline rotate_certificates -i INVENTORY",
        ),
        ("certificate", "certificate", {"sha256": "bb"}, "not the one in the inventory"),
        ("disk", "disks", {"file_systems": [{"path": "/var", "used": 0.91, "inodes_used": 0.2}]}, "/var 91% full"),
        ("disk", "disks", {"file_systems": [{"path": "/", "used": 0.1, "inodes_used": 1.0}]}, "100% full of inodes"),
        ("memory", "memory", {"available": 2**20}, "0% of 256 MiB left, wanted 10%"),
        ("updates", "updates", {"packages": ["a", "b"]}, "2 wait, allowed 1"),
        (
            "updates",
            "updates",
            {"security": ["libssl3t64"]},
            "1 of security (libssl3t64): ./strandline upgrade -i INVENTORY",
        ),
        ("updates", "updates", {"reboot": "kernel 6.13 is installed"}, "reboot: kernel 6.13"),
        ("updates", "updates", {"lists_age": 100 * 3600.0}, "100 h old"),
        ("updates", "updates", {"lists_age": None}, "has no package lists"),
        ("ports", "ports", {"sockets": LISTENING[:1]}, "nothing listens on 53/udp"),
        (
            "ports",
            "ports",
            {"sockets": [*LISTENING, {"port": 8081, "proto": "tcp", "address": "::", "program": "/usr/bin/python3"}]},
            "should not listen: 8081/tcp (python3)",
        ),
    ],
)
def test_what_is_wrong_says_why(check: str, part: str, changed: dict[str, Any], says: str) -> None:
    findings = judged(part, **changed)
    assert not findings[check].ok
    assert says in findings[check].says
    assert [name for name, finding in findings.items() if not finding.ok] == [check]


def test_a_host_that_the_network_does_not_know_is_told() -> None:
    assert "certificates/ has none" in health.host_findings(GOOD, LIMITS, NOW, None)["certificate"].says


@pytest.mark.parametrize(
    ("last", "ok", "says"),
    [
        (NOW - 60, True, "02:11:18"),
        (NOW - 20 * 3600, True, "20 h ago"),
        (NOW - 25 * 3600, False, "25 h ago"),
        (None, False, "none in 31 days"),
    ],
)
def test_a_silent_sensor(last: float | None, ok: bool, says: str) -> None:
    finding = health.last_event(last, LIMITS, NOW)
    assert finding.ok is ok
    assert says in finding.says


HOSTILE = "\x1b]8;;https://evil.example/\x07[red]x[/red]\u202e\n" + "A" * 500


@pytest.mark.parametrize("part", list(GOOD))
@pytest.mark.parametrize("said", [None, [], "text", {}, {"error": HOSTILE}, {"ports": 1}])
def test_nonsense_is_wrong_and_nothing_worse(part: str, said: object) -> None:
    findings = health.host_findings({**GOOD, part: said}, LIMITS, NOW, "aa")
    assert sum(not finding.ok for finding in findings.values()) == 1


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(part=st.sampled_from(sorted(GOOD)), said=values, data=st.data())
def test_whatever_a_host_says_is_shown_harmlessly(part: str, said: object, data: st.DataObject) -> None:
    whole = {key: data.draw(values) for key in GOOD[part]} if isinstance(GOOD[part], dict) else {}
    for answer in (said, whole, {**GOOD[part], **({next(iter(whole)): said} if whole else {})}):
        findings = health.host_findings({**GOOD, part: answer}, LIMITS, NOW, "aa")
        for finding in findings.values():
            assert all(letter.isprintable() for letter in finding.says)
            json.dumps(finding.figures, allow_nan=False)


def test_a_hosts_words_write_nothing_but_text_to_the_terminal() -> None:
    sockets = [*LISTENING, {"port": 1, "proto": "tcp", "address": "::", "program": HOSTILE}]
    text = verdict.table([health.Row("ams1", "sensors", judged("ports", sockets=sockets))])
    assert "should not listen: 1/tcp" in " ".join(text.split())
    assert all(letter.isprintable() or letter == "\n" for letter in text)


def rows(answers: Mapping[str, Any], events: Mapping[str, float], unknown: str = "") -> list[health.Row]:
    """Rows of a collector and a sensor."""
    canaries = [{"sensor": "ams1", "ok": True, "says": "6 of 6", "sent": 6, "failed": 0}]
    return verdict.rows_of(FUNCTIONS, answers, (events, unknown), canaries, Path("/none"), NOW)


def test_a_host_that_is_not_reached_is_a_row() -> None:
    said = (
        'Data could not be sent to remote host "x". Make sure this host can be reached over ssh: ssh: connect to host'
    )
    unreachable = {"measured": {"unreachable": True, "msg": f"Task failed: {said}\nport 20022: no route"}}
    good = {"measured": GOOD, "limits": LIMITS}
    collector, sensor = rows({"ams1": {**unreachable, "limits": LIMITS}, "hub": good}, {"ams1": NOW})
    assert sensor.unreachable == "ssh: connect to host port 20022: no route"
    assert not sensor.ok
    assert sensor.findings["canary"].ok, "the listeners may answer all the same"
    assert sensor.findings["last event"].ok
    assert set(collector.findings) == set(health.HOST_CHECKS)
    document = verdict.document([sensor, collector], "inventory/x", NOW)
    assert document["ok"] is False
    assert [host["ok"] for host in document["hosts"]] == [False, False]


def test_bad_hosts_come_first_with_every_reason_and_80_columns_are_enough() -> None:
    well = health.Row("ams1", "sensors", health.host_findings(GOOD, LIMITS, NOW, "aa"))
    ill = health.Row("sin1", "sensors", {**judged("disks", error="no"), **judged("clock", offset=9.0)})
    full = health.Row("scl1", "sensors", judged("updates", security=[f"libsomething{n}" for n in range(9)]))
    unreachable = health.Row("fra1", "sensors", {}, "ssh: connect to host 192.0.2.9 port 20022: Connection refused")
    text = verdict.table([well, ill, full, unreachable])
    assert max(map(len, text.splitlines())) <= 80
    marks = [line.split()[:2] for line in text.splitlines() if line.startswith(("✔", "✘"))]
    assert marks == [["✘", "fra1"], ["✘", "sin1"], ["✘", "scl1"], ["✔", "ams1"]]
    assert "not reached: ssh: connect" in text
    assert "clock: 9.000 s fast" in text
    assert verdict.sentence([well, ill, full, unreachable]).startswith("3 of 4 hosts need attention: sin1, scl1, fra1.")
    assert verdict.sentence([well]) == "All 1 hosts are as they should be."


def test_a_host_that_ansible_never_got_to_is_a_row() -> None:
    _, sensor = rows({"hub": {"measured": GOOD, "limits": LIMITS}}, {})
    assert sensor.unreachable == "Ansible did not get to it"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"unreachable": True, "msg": "no route"}, "no route"),
        ({"stdout": "", "stderr": "psql: error:\n  refused", "msg": "non-zero return code"}, "psql: error: refused"),
        ({"stdout": '{"ams1": "\\u001b"}', "stderr": ""}, "no answer"),
        ({}, "no answer"),
    ],
)
def test_without_a_database_every_sensor_says_so(answer: dict[str, Any], why: str) -> None:
    found, unknown = verdict.last_events(answer)
    assert (found, unknown) == ({}, why)
    good = {"measured": GOOD, "limits": LIMITS}
    _, sensor = rows({"ams1": good, "hub": good}, found, unknown)
    assert sensor.findings["last event"].says == f"no database could be asked: {why}"


def test_the_database_says_when_sensors_were_heard() -> None:
    assert verdict.last_events({"stdout": '{"ams1": 5.5, "sin1": 7}'}) == ({"ams1": 5.5, "sin1": 7.0}, "")


CLOSED = "127.83.17.4"  # an address of this machine on which nothing listens


def verify(tmp_path: Path, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """Run the verb by plain ansible-playbook on a copy of the example, whose hosts are this machine's closed ports."""
    inventory = tmp_path / "inventory"
    subprocess.run(["cp", "-r", str(ROOT / "inventory" / "example"), str(inventory)], check=True)
    findings = tmp_path / "findings.json"
    closed = {"ansible_host": CLOSED, "ansible_port": 9, "verify_json": str(findings), "canary_seconds": 0}
    done = subprocess.run(
        ["ansible-playbook", f"--inventory={inventory}", "playbooks/verify.yml", f"--extra-vars={json.dumps(closed)}",
         *arguments],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "STRANDLINE_LOG_DIRECTORY": str(tmp_path / "log")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr, json.loads(findings.read_text()) if findings.exists() else {}


@pytest.mark.slow
def test_by_plain_ansible_hosts_that_are_down_are_named_and_the_exit_status_says_so(tmp_path: Path) -> None:
    code, said, findings = verify(tmp_path, "--extra-vars=target=collector1")
    assert code == 2, said
    assert "1 of 1 hosts need attention: collector1. What to do: docs/verify.md" in said
    assert "✘  collector1  not reached: ssh: connect to host" in said
    assert [(host["host"], host["ok"]) for host in findings["hosts"]] == [("collector1", False)]
    assert "✘ 1 failed" not in said, "a task that runs once is no host's failure"


@pytest.mark.slow
def test_a_target_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    code, said, findings = verify(tmp_path, "--extra-vars=target=nosuch")
    assert code == 2
    assert "nosuch is no host, provider or group" in said
    assert findings == {}
