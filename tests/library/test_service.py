"""The module that has a unit run by the files as they are now, with a systemctl that remembers what it was told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).parents[2] / "library" / "strandline_service.py"
SYSTEMCTL = """\
#!/bin/sh
echo "$@" >> "$STRANDLINE_TEST/told"
[ "$1" != daemon-reload ] || sed -i 's/^NeedDaemonReload=.*/NeedDaemonReload=no/' "$STRANDLINE_TEST/unit"
[ "$1" != show ] || cat "$STRANDLINE_TEST/unit"
[ "$1" != restart ] || [ ! -e "$STRANDLINE_TEST/broken" ] || { echo "it does not start" >&2; exit 1; }
"""


class Host:
    """A host with one unit."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.file = top / "example.conf"
        self.file.write_text("a = 1\n")
        program = top / "bin" / "systemctl"
        program.parent.mkdir()
        program.write_text(SYSTEMCTL)
        program.chmod(0o755)
        self.unit()

    def unit(
        self, *, state: str = "active", enabled: str = "enabled", stale: str = "no", start: float = 1, change: float = 1
    ) -> None:
        """What systemd says of it: it was started and changed so many seconds from now on."""
        now = time.clock_gettime(time.CLOCK_MONOTONIC)
        (self.top / "unit").write_text(
            f"LoadState=loaded\nActiveState={state}\nUnitFileState={enabled}\nNeedDaemonReload={stale}\n"
            f"ActiveEnterTimestampMonotonic={(now + start) * 1e6:.0f}\n"
            f"StateChangeTimestampMonotonic={(now + change) * 1e6:.0f}\n"
        )

    def run(self, *, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run the module as Ansible does; what it tells."""
        given = {"_ansible_check_mode": check_mode, "_ansible_remote_tmp": "/tmp", **arguments}  # noqa: S108
        if "stopped" not in given:
            given["name"] = "example.service"
        done = subprocess.run(
            [sys.executable, MODULE], input=json.dumps({"ANSIBLE_MODULE_ARGS": given}), capture_output=True, text=True,
            env={**os.environ, "PATH": f"{self.top / 'bin'}:{os.environ['PATH']}", "STRANDLINE_TEST": str(self.top)},
            check=False,
        )  # fmt: skip
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def told(self) -> list[str]:
        """What systemctl was asked to do."""
        file = self.top / "told"
        said = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [line for line in said if not line.startswith("show")]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_what_runs_by_its_files_is_left_alone(host: Host) -> None:
    found = host.run(files=[str(host.file)], reload=[str(host.file)])
    assert (found["changed"], found["action"], host.told()) == (False, "", [])


def test_a_file_that_was_written_after_the_start_restarts_it_however_long_ago(host: Host) -> None:
    """A run that was stopped after it had written the file has left it so."""
    host.unit(start=-3600, change=-3600)
    found = host.run(files=[str(host.file)], stop=["other.service"])
    assert (found["changed"], found["action"], found["because"]) == (True, "restarted", str(host.file))
    assert host.told() == ["stop other.service", "restart example.service"]


def test_files_in_directories_count_and_what_python_compiled_does_not(host: Host) -> None:
    host.unit(start=-3600, change=-3600)
    package = host.top / "package" / "deep"
    package.mkdir(parents=True)
    (package / "a.pyc").write_text("x")
    assert host.run(files=[str(host.top / "package")])["action"] == ""
    (package / "a.py").write_text("x")
    assert host.run(files=[str(host.top / "package")])["because"] == str(package / "a.py")


def test_what_it_reads_anew_reloads_it_unless_it_was_reloaded_since(host: Host) -> None:
    host.unit(start=-3600, change=-1800)
    assert host.run(reload=[str(host.file)])["action"] == "reloaded"
    assert host.told() == ["reload example.service"]
    host.unit(start=-3600, change=1)
    assert host.run(reload=[str(host.file)])["action"] == ""


def test_what_does_not_run_is_started_and_enabled_after_systemd_has_read_it(host: Host) -> None:
    host.unit(state="failed", enabled="disabled", stale="yes")
    assert host.run(files=[str(host.file)])["action"] == "started"
    assert host.told() == ["daemon-reload", "restart example.service", "enable example.service"]


def test_what_runs_and_is_not_enabled_is_enabled(host: Host) -> None:
    host.unit(enabled="disabled")
    assert host.run()["action"] == "enabled"
    assert host.told() == ["enable example.service"]


def test_check_mode_says_what_would_be_done(host: Host) -> None:
    host.unit(state="inactive", enabled="disabled", stale="yes")
    assert host.run(check_mode=True)["action"] == "started"
    assert host.told() == []


def test_nothing_is_restarted_when_the_check_fails(host: Host) -> None:
    host.unit(start=-3600, change=-3600)
    found = host.run(files=[str(host.file)], check=["/bin/sh", "-c", "echo line 3 is wrong >&2; exit 1"])
    assert found["failed"]
    assert "line 3 is wrong" in found["msg"]
    assert host.told() == []


def test_what_does_not_start_is_an_error(host: Host) -> None:
    host.unit(state="inactive")
    (host.top / "broken").touch()
    found = host.run()
    assert (found["failed"], "example.service: " in found["msg"], "it does not start" in found["msg"]) == (True,) * 3


def test_what_is_not_wanted_is_stopped_where_it_is(host: Host) -> None:
    """A host that never had it, or has it stopped already, is left alone."""
    (host.top / "unit").write_text(
        "Id=a.socket\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n"
        "Id=b.service\nLoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\n\n"
        "Id=c.service\nLoadState=not-found\nActiveState=inactive\nUnitFileState=\n\n"
        "Id=d.service\nLoadState=loaded\nActiveState=failed\nUnitFileState=enabled\n"
    )
    units = ["a.socket", "b.service", "c.service", "d.service"]
    assert host.run(stopped=units, check_mode=True)["units"] == ["a.socket", "d.service"]
    assert host.told() == []
    assert host.run(stopped=units)["action"] == "stopped"
    assert host.told() == ["disable --now a.socket d.service"]
    assert host.run(stopped=[])["changed"] is False
