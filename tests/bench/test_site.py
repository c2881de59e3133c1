"""What bench site reads from Ansible's end and what it concludes; CPU is counted of all that a command starts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from strandline_cli.bench import cpu, site
from strandline_cli.bench.site import Run

OUTPUT = """\
PLAY RECAP *********
in an old run : ok=1 changed=1
PLAY RECAP *********************************************************************
bench-site-collector       : ok=71   changed=0    unreachable=0    failed=0    skipped=9    rescued=0    ignored=0
bench-site-sensor1         : ok=101  changed=2    unreachable=0    failed=0    skipped=19   rescued=0    ignored=0
"""


def run(sensors: int, controller: float) -> Run:
    return Run(sensors, 60.0, controller, sensors_cpu=sensors * 5.0, collector_cpu=3.0, tasks=120)


def test_the_last_recap_counts() -> None:
    assert set(site.recap(OUTPUT)) == {"bench-site-collector", "bench-site-sensor1"}
    assert site.recap(OUTPUT)["bench-site-sensor1"]["changed"] == 2


def test_what_one_sensor_more_costs_is_told_apart_from_the_rest() -> None:
    found = site.account([run(2, 22.0), run(6, 46.0), run(2, 24.0), run(6, 48.0)])
    assert (found["controller_cpu_per_sensor"], found["controller_cpu_besides"]) == (6.0, 11.0)
    assert found["hundred_sensors_on_two_cores_seconds"] == round((11 + 600) / 2)
    assert found["sensor_cpu"] == 5.0


def test_every_host_has_its_own_address_in_the_network() -> None:
    hosts = site.inventory(200)["providers/alder.yml"]["sensors"]["children"]["provider_alder"]["hosts"]
    last = [int(host["addresses"][0].rsplit(".", 1)[1]) for host in hosts.values()]
    assert len(set(last)) == 200
    assert max(last) < 255
    assert not {10, 12} & set(last)


PROGRAM = """\
import json, sys
from pathlib import Path
from strandline_cli.bench import cpu

cpu.adopt_orphans()
print(json.dumps(cpu.of_command(["sh", "-c", sys.argv[1]], Path(sys.argv[2]), {}, lambda: None)))
"""
BUSY = "import time\nwhile time.process_time() < 0.5: pass"


@pytest.mark.parametrize("end", ["", " &"])
def test_cpu_of_what_a_command_leaves_behind_counts_too(tmp_path: Path, end: str) -> None:
    # In a process of its own, which adopts what is left behind for good.
    command = [sys.executable, "-c", PROGRAM, f"'{sys.executable}' -c '{BUSY}'{end}", str(tmp_path / "log")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, seconds = json.loads(done.stdout)
    assert code == 0
    assert 0.5 <= seconds < 3


def test_the_machine_is_named() -> None:
    assert cpu.machine()["cores"] >= 1  # type: ignore[operator]
