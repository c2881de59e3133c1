"""Events that are lost on the wire are named to the number, and come back: ./strandline reconcile on the network."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from containers import poll
from machines import ROOT, Inventory, Machine, reconcile

# A listener's way of writing events; prints the time stamp of each.
WRITE = r"""
import datetime, socket, sys, time
mark, first, count, daddr = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
for attempt in range(100):
    try:
        s.connect("/run/strandline/events/socket")
        break
    except OSError:
        time.sleep(0.1)
for n in range(first, first + count):
    ts = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    s.send((f"<134>1 {ts} - strandline-ssh 77 - - event=ssh.client saddr=198.51.100.99 sport=40000 daddr={daddr}"
            f' dport=22 proto=tcp valid=yes ident="{mark}-{n}"').encode())
    print(ts)
    time.sleep(0.002)
"""


@dataclass
class Wire:
    """A sensor, the collector, and a way between them that can be cut; keeps what was sent."""

    sensor: Machine
    collector: Machine
    mark: str = field(default_factory=lambda: f"cut-{secrets.token_hex(6)}")
    sent: dict[str, str] = field(default_factory=dict)

    def write(self, count: int) -> None:
        """Write events as a listener does."""
        first = len(self.sent)
        argv = ["python3", "-c", WRITE, self.mark, str(first), str(count), self.sensor.addresses[0]]
        for n, ts in enumerate(self.sensor.check(*argv).splitlines(), first):
            self.sent[f"{self.mark}-{n}"] = ts

    def stored(self) -> list[tuple[str, str]]:
        """What the database has of it: ident and time stamp, twice when it is there twice."""
        ts = """to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        what = f"SELECT json_build_array(data->>'ident', {ts}) FROM strandline.event"  # noqa: S608
        query = f"{what} WHERE data->>'ident' LIKE '{self.mark}-%'"
        return sorted((ident, at) for ident, at in self.collector.sql(query))

    def connected(self) -> None:
        """Wait until the sensor has its connection, and the collector has accepted it."""
        mine = ["ss", "-Htn", "state", "established", "( dport = :6514 )"]
        theirs = ["ss", "-Htn", "state", "established", "( sport = :6514 )"]
        address = self.sensor.addresses[0]
        assert poll(
            lambda: self.sensor.check(*mine).strip() and address in self.collector.check(*theirs), seconds=60
        ), "no connection"
        # Nothing is said before the handshake is over: an event that arrives proves it.
        self.write(1)
        last = f"{self.mark}-{len(self.sent) - 1}"
        assert poll(lambda: last in dict(self.stored()), seconds=60), "no event arrives"

    def cut(self, count: int) -> None:
        """Lose events: the collector's kernel has accepted them, and its syslog-ng dies before it read them."""
        self.connected()
        main = ["systemctl", "show", "--property=MainPID", "--value", "syslog-ng.service"]
        pid = self.collector.check(*main).strip()
        self.collector.check("kill", "-STOP", pid)
        self.write(count)
        spooled = f"cat /var/spool/strandline/events/2*.log | grep -c {self.mark} || true"
        assert poll(lambda: int(self.sensor.check("sh", "-c", spooled)) == len(self.sent), seconds=20)
        queued = ["ss", "-Htn", "state", "established", "( sport = :6514 )"]
        poll(lambda: int(max(self.collector.check(*queued).split()[:1] or ["0"])) > 0, seconds=5)
        self.collector.check("kill", "-KILL", pid)
        assert poll(lambda: self.collector.check(*main).strip() not in ("0", pid), seconds=30)

    def renumber(self) -> None:
        """Begin a new run."""
        self.sensor.check("systemctl", "restart", "syslog-ng.service")


@pytest.fixture(scope="module", autouse=True)
def no_heartbeats(sensors: list[Machine]) -> Iterator[None]:
    """Heartbeats are numbered like all events; these tests count to the number, and one begins where another ended."""
    for sensor in sensors:
        sensor.check("systemctl", "stop", "strandline-heartbeat.timer", "strandline-heartbeat.service")
    yield
    for sensor in sensors:
        sensor.check("systemctl", "start", "strandline-heartbeat.timer")


def of(account: dict[str, Any], sensor: Machine, name: str) -> int:
    """A column of the account, summed over a sensor's days."""
    return sum(day[name] for day in account["days"] if day["sensor"] == sensor.name)


def test_what_the_wire_lost_is_named_to_the_number_and_comes_back(
    collector: Machine, sensors: list[Machine], tmp_path: Path
) -> None:
    """A run's middle, its tail, the head of the next one; 0 missing, 0 duplicate, numbers and times kept."""
    settled = reconcile(tmp_path)["after"]
    assert settled["missing"] == 0
    wire = Wire(sensors[0], collector)
    wire.write(40)
    wire.cut(60)
    wire.connected()
    wire.write(30)
    wire.cut(50)
    wire.renumber()
    wire.cut(40)
    wire.connected()
    arrived = len(wire.stored())
    gap = len(wire.sent) - arrived
    assert gap > 0, "nothing was lost: this test proves nothing"
    account = reconcile(tmp_path)
    print(f"\n{gap} of {len(wire.sent)} events were lost on the wire and came back")
    before, after = account["before"], account["after"]
    assert of(before, wire.sensor, "missing") == gap
    assert of(before, wire.sensor, "sent") == of(settled, wire.sensor, "sent") + len(wire.sent)
    assert after["missing"] == 0
    assert after["new_losses"] == []
    assert of(after, wire.sensor, "recovered") == of(settled, wire.sensor, "recovered") + gap
    assert of(after, wire.sensor, "stored") == of(settled, wire.sensor, "stored") + len(wire.sent)
    assert wire.stored() == sorted(wire.sent.items())


def test_reconciling_again_sends_nothing(collector: Machine, sensors: list[Machine], tmp_path: Path) -> None:
    count = "SELECT to_json(sum(duplicates)) FROM strandline.tally"
    before = collector.sql(count)
    account = reconcile(tmp_path)
    assert (account["before"]["missing"], account["after"]["missing"]) == (0, 0)
    assert collector.sql(count) == before
    assert {day["sensor"] for day in account["after"]["days"]} >= {sensor.name for sensor in sensors}


def test_the_spool_holds_what_the_account_says(inventory: Inventory, collector: Machine, tmp_path: Path) -> None:
    """The sensor's own count of a run's last number agrees with the database's."""
    reconcile(tmp_path)
    for sensor in inventory.members("sensors"):
        program = [
            "env",
            "-C",
            "/usr/lib/strandline",
            "python3",
            "-S",
            "-B",
            "-m",
            "strandline.sensor.forwarding.replay",
        ]
        index = json.loads(sensor.check(*program, "index"))["runs"]
        query = f"""SELECT json_build_array(r.run, n.high_n) FROM strandline.run_numbers n
                    JOIN strandline.run r ON r.id = n.run_id JOIN strandline.sensor s ON s.id = r.sensor_id
                    WHERE s.name = '{sensor.name}'"""  # noqa: S608
        known = dict(collector.sql(query))
        for run, held in index.items():
            assert known[run] >= held["last"], run


def run_model(collector: Machine, program: Path, *arguments: str, seconds: float) -> dict[str, Any]:
    """Run a program on the collector, in a database of its own."""
    where = f"/var/tmp/strandline-{secrets.token_hex(4)}.py"  # noqa: S108 - in a container of the test
    content = base64.b64encode(program.read_bytes()).decode()
    collector.check("sh", "-c", f"base64 -d > {where}", stdin=content)
    try:
        argv = ["nice", "env", "PYTHONPATH=/usr/lib/strandline", "PYTHONDONTWRITEBYTECODE=1", "python3", where]
        out = collector.check(*argv, *arguments, seconds=seconds)
    finally:
        collector.run("rm", "-f", where)
    print("\n" + out.strip())
    answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    return answer


def test_the_account_of_worlds_that_are_known(collector: Machine, long: bool) -> None:
    """Heads, tails, whole runs, rejects, pruned spools, silent sensors: see tests/reconcile/ledger_model.py."""
    figures = ["--seeds", "30", "--rounds", "40"] if long else ["--seeds", "2", "--rounds", "15"]
    total = run_model(collector, ROOT / "tests" / "reconcile" / "ledger_model.py", *figures, seconds=900)
    assert total["resent"] > 0
    assert total["outlived"] > 0


@pytest.mark.long
def test_the_account_of_a_week(collector: Machine) -> None:
    """100 sensors, ten million rows, under 10 seconds."""
    figures = run_model(collector, ROOT / "files" / "bench" / "account" / "measure.py", seconds=900)
    assert figures["rows"] == 10_000_000 - figures["missing"]
    assert figures["missing"] == figures["removed"] > 0
    assert figures["dropped"] == 100 * 7 * 4 * 2 * 10
    assert figures["seconds"] < 10
