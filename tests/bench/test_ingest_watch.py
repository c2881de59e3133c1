"""files/bench/ingest/watch.py: whose CPU and memory the bench of the ingest counts as whose."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from strandline_cli import paths

WATCH: dict[str, Any] = runpy.run_path(str(paths.ROOT / "files" / "bench" / "ingest" / "watch.py"))
# As /proc/PID/cgroup shows it in a container, with version 1 of control groups, with both, and with version 2.
CGROUPS = {
    "v1": "12:cpuset:/pod/abc\n1:name=systemd:/pod/abc/system.slice/{unit}\n",
    "hybrid": "678:perf_event:/\n9:name=systemd:/pod/abc/system.slice/{unit}\n0::/pod/abc/system.slice/{unit}\n",
    "v2": "0::/system.slice/{unit}\n",
}
POSTGRES = "system-postgresql.slice/postgresql@17-main.service"


def process(proc: Path, pid: int, unit: str, ticks: tuple[int, int, int, int], cgroup: str, peak: int = 0) -> None:
    """Write a process as the kernel describes it. Its command line has nothing to say here."""
    entry = proc / str(pid)
    entry.mkdir()
    (entry / "cgroup").write_text(CGROUPS[cgroup].format(unit=unit))
    fields = ["S", "1", *["0"] * 9, *map(str, ticks), *["0"] * 35]
    (entry / "stat").write_text(f"{pid} (a (name) b) {' '.join(fields)}\n")
    (entry / "status").write_text(f"Name:\tx\nVmHWM:\t{peak} kB\n")


@pytest.fixture(params=list(CGROUPS))
def proc(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A collector's processes."""
    process(tmp_path, 10, "syslog-ng.service", (100, 200, 0, 0), request.param)
    process(tmp_path, 20, POSTGRES, (1, 2, 30, 40), request.param)
    process(tmp_path, 21, POSTGRES, (5, 5, 0, 0), request.param)
    process(tmp_path, 30, "strandline-loader.service", (7, 3, 0, 0), request.param, peak=31_000)
    process(tmp_path, 40, "strandline-watch.service", (999, 999, 0, 0), request.param, peak=99_000)
    (tmp_path / "self").mkdir()
    (tmp_path / "50").mkdir()  # ended while it was looked at
    return tmp_path


def test_a_process_counts_for_its_unit(proc: Path) -> None:
    """Not for its command line: an earlier revision's loader was another module, and its CPU was left out."""
    ticks = WATCH["TICKS"]
    assert WATCH["usage"](proc) == {"syslog-ng": 300 / ticks, "postgres": 83 / ticks, "loader": 10 / ticks}


def test_the_peak_is_the_loaders(proc: Path) -> None:
    assert WATCH["peak"](proc) == 31_000
    (proc / "30" / "status").unlink()
    assert WATCH["peak"](proc) == 0


def test_who_is_not_there_is_named(proc: Path) -> None:
    """What a side lacks has cost nothing in the figures: that must not pass for a result."""
    assert WATCH["absent"]("strandline", proc) == []
    (proc / "30" / "cgroup").write_text("0::/system.slice/other.service\n")
    assert WATCH["absent"]("strandline", proc) == ["loader"]
    assert WATCH["absent"]("article", proc) == []
