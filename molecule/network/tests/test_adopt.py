"""The past of another system, by the playbook: its logs become events of the database, each once."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from machines import Inventory, Machine, play

SOURCE = "198.51.100.77"
# In no feed's week: other tests say who is in the feeds.
SESSION = datetime.now(UTC) - timedelta(days=9)
PASSWORDS = ["root", 'x"y', "tab\there", "\u00fc"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of cowrie's, and half a line, packed."""
    said: list[dict[str, Any]] = [
        {"eventid": "cowrie.session.connect", "src_port": 40001, "dst_port": 2222, "protocol": "ssh"},
        {"eventid": "cowrie.client.version", "version": "SSH-2.0-Go"},
        *({"eventid": "cowrie.login.failed", "username": "root", "password": password} for password in PASSWORDS),
    ]  # fmt: skip
    lines = [
        json.dumps({
            "timestamp": (SESSION + timedelta(seconds=n)).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "session": "5a17f3c09b21", "src_ip": SOURCE, "sensor": "pot", **one,
        }) for n, one in enumerate(said)
    ]  # fmt: skip
    path = tmp_path_factory.mktemp("cowrie") / "cowrie.json.gz"
    path.write_bytes(gzip.compress("\n".join([*lines, lines[-1][:40]]).encode()))
    return path


def stored(collector: Machine) -> list[Any]:
    what = (
        "s.name, e.event, e.sport, e.dport, host(e.daddr), e.verified,"
        " coalesce(e.data->>'password', e.data->>'ident'), e.data->>'origin'"
    )
    of = (
        "strandline.event e JOIN strandline.run r ON r.id = e.run_id JOIN strandline.sensor s ON s.id = r.sensor_id"
        f" WHERE e.saddr = '{SOURCE}'"
    )
    return collector.sql(f"SELECT json_build_array({what}) FROM {of} ORDER BY e.ts")  # noqa: S608 - all of it is ours


def test_a_log_is_planned_then_stored_once_by_the_loaders_account(
    collector: Machine, inventory: Inventory, log: Path
) -> None:
    sensor = inventory.members("sensors")[0]
    asked = {"adopt_files": [str(log)], "adopt_sensor": sensor.name}
    leftovers = ["find", "/var/tmp", "-maxdepth", "1", "-name", "strandline-adopt-*"]  # noqa: S108

    assert "5 events would be stored" in play("adopt", "--check", **asked)
    assert stored(collector) == []

    assert "5 events stored" in play("adopt", **asked)
    every = [sensor.name, 40001, 2222, sensor.addresses[0], True, "cowrie"]
    texts = ["SSH-2.0-Go", "root", r"x\x22y", r"tab\x09here", r"\xc3\xbc"]
    assert [[row[0], *row[2:6], row[7]] for row in stored(collector)] == [every] * 5
    assert [(row[1], row[6]) for row in stored(collector)] == [
        ("ssh.client" if n == 0 else "ssh.password", text) for n, text in enumerate(texts)
    ]

    # The same again, from a copy that the collector has.
    there = "/root/cowrie.json.gz"
    collector.file(there).write_bytes(log.read_bytes())
    try:
        said = play("adopt", **{**asked, "adopt_files": [there], "adopt_on_collector": True})
    finally:
        collector.check("rm", there)
    assert "0 events stored" in said
    assert len(stored(collector)) == 5
    assert collector.check(*leftovers).strip() == ""
