"""CPU seconds: of a command with everything that it starts, and of containers."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from strandline_cli import paths

PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
NANO = 1e9
CGROUPS = Path("/sys/fs/cgroup")


def adopt_orphans() -> None:
    """Become the parent of processes whose parents end first, such as ssh's masters, so that their CPU is counted."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def of_command(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str], finish: Callable[[], None]
) -> tuple[int, float]:
    """Run a command; its exit code, and the CPU seconds of it and of every process that it started.

    `finish` ends what the command left in the background. Needs `adopt_orphans`, and a process that starts nothing
    else meanwhile.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=paths.ROOT,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    finish()
    while True:
        try:
            _, _, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return process.returncode, seconds
        seconds += usage.ru_utime + usage.ru_stime


def of_container(pid: int) -> float:
    """The CPU seconds that a container has taken so far, by its first process."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        # systemd moves itself into init.scope; the container's own group is the one above.
        group = path.removesuffix("/init.scope").lstrip("/")
        if "cpuacct" in controllers.split(","):
            return int((CGROUPS / "cpuacct" / group / "cpuacct.usage").read_text()) / NANO
        if controllers == "" and (stat := CGROUPS / group / "cpu.stat").exists():
            return int(stat.read_text().split()[1]) / 1e6
    raise OSError(f"process {pid} has no CPU account")


def machine() -> dict[str, object]:
    """What this was measured on."""
    model = [
        line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "processor": model[0] if model else platform.machine(),
        "cores": os.cpu_count() or 1,
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }
