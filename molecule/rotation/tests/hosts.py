"""The scenario's hosts, the verbs that change them, and the traffic that goes on meanwhile."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from containers import PSQL, Machine, operators_environment, poll

ROOT = Path(__file__).resolve().parents[3]
SCENARIO = ROOT / "molecule" / "rotation"
BUILD = ROOT / "build" / "molecule" / "rotation"
INVENTORY = BUILD / "inventory"
"""A copy of the scenario's inventory: the verbs change it."""
TLS = "/etc/strandline/tls"


COLLECTOR = Machine("rot-collector", "198.19.128.10")
COLLECTOR2 = Machine("rot-collector2", "198.19.128.13")
COLLECTORS = [COLLECTOR, COLLECTOR2]
BUILDER = Machine("rot-builder", "198.19.128.12")
PUBLISHER = Machine("rot-publisher", "198.19.128.11")
SCANNER = Machine("rot-scanner", "198.19.140.1")
SENSORS = [Machine(f"rot-sensor{n}", f"198.19.129.{n}") for n in range(1, 6)]
ROTATED = [*SENSORS, *COLLECTORS, PUBLISHER]


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start ./strandline as the leader of a group of processes, so that all of it can be killed at once."""
    return subprocess.Popen(
        [str(ROOT / "strandline"), *arguments],
        cwd=ROOT, env=operators_environment(), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def start_playbook(verb: str, **variables: object) -> subprocess.Popen[str]:
    """Start the verb's playbook without ./strandline, as a timer or a web front end would do it."""
    return subprocess.Popen(
        [
            *("ansible-playbook", f"--inventory={INVENTORY}", f"playbooks/{verb}.yml"),
            f"--extra-vars={json.dumps(variables)}",
        ],
        cwd=ROOT, env=operators_environment(), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait until a verb ends; its exit code and what it said."""
    said, _ = process.communicate()
    return process.returncode, said


def strandline(*arguments: str) -> str:
    """Run ./strandline, which must succeed; return what it said."""
    process = start(*arguments)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def kill(process: subprocess.Popen[str]) -> str:
    """End a verb with everything it started, without a chance to tidy up; return what it had said."""
    os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


def sql(query: str) -> list[str]:
    """The rows of a query of one column, from the collector's database."""
    return COLLECTOR.check(*PSQL, "--set=ON_ERROR_STOP=1", f"--command={query}").split()


def fresh_inventory() -> None:
    """Copy the scenario's inventory, with the certificates that the hosts have now."""
    shutil.rmtree(INVENTORY, ignore_errors=True)
    shutil.copytree(SCENARIO / "inventory", INVENTORY)
    for machine in ROTATED:
        held = machine.run("cat", f"{TLS}/cert.pem")
        if held.returncode == 0:
            (INVENTORY / "certificates" / f"{machine.name}.pem").write_text(held.stdout)


class Traffic:
    """Requests that go out until :meth:`stop`, and the client's own record of them."""

    def __init__(self, name: str, rate: float, sensors: Sequence[Machine]) -> None:
        """Begin."""
        self.mark = f"{name}-{secrets.token_hex(4)}"
        self._stop = f"/run/{self.mark}.stop"
        self._record = BUILD / f"{name}.record"
        with self._record.open("w") as record:
            self._client = subprocess.Popen(
                [
                    *("podman", "exec", SCANNER.name, "python3", "-c"),
                    (Path(__file__).parent / "traffic.py").read_text(),
                    *(self.mark, str(rate), self._stop, *(sensor.address for sensor in sensors)),
                ],
                stdout=record,
                text=True,
            )

    def __enter__(self) -> Traffic:
        """Nothing is left to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """End it in any case."""
        self.stop()

    def sent(self) -> dict[str, tuple[float, str]]:
        """When each Call-ID left, and to which address. The last line may be half written yet."""
        lines = self._record.read_text().rpartition("\n")[0].splitlines()
        found = {}
        for when, address, call in (line.split() for line in lines if not line.startswith("answers")):
            found[call] = (float(when), address)
        return found

    def stop(self) -> None:
        """End it."""
        SCANNER.check("touch", self._stop)
        assert self._client.wait(timeout=30) == 0

    def stored(self) -> list[str]:
        """The Call-IDs in the database, each as often as it is there."""
        calls = sql("SELECT data->>'call_id' FROM strandline.event WHERE event = 'sip.request'")
        return [call for call in calls if call.startswith(f"{self.mark}-")]

    def missing(self, among: Sequence[Machine] = (), before: float = float("inf"), patience: float = 30) -> set[str]:
        """What left for these sensors (all without one) before that moment and is not in the database."""
        addresses = {machine.address for machine in among}
        wanted = {c for c, (when, to) in self.sent().items() if (not among or to in addresses) and when < before}
        assert len(wanted) > 10, "the comparison is empty"
        poll(lambda: wanted <= set(self.stored()), patience, 1)
        return wanted - set(self.stored())


def handshake(where: Machine, key: str, certificate: str, collector: Machine = COLLECTOR) -> bool:
    """Whether a collector takes a certificate, from a host that its firewall lets in (RFC 5246, section 7.4.8)."""
    done = where.run(
        *("timeout", "10", "sh", "-c"),
        f"openssl s_client -brief -tls1_2 -connect {collector.address}:6514 -cert {certificate} -key {key} </dev/null",
    )
    return done.returncode == 0
