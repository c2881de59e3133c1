"""Finding the services that run replaced code, in a /proc of our own making and in the real one."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from library.strandline_stale import find, matches, runs_replaced_code, unit_of

CODE = "7f00-7f10 r-xp 00000000 08:01 12 /usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)\n"
DATA = "7f00-7f10 rw-s 00000000 00:01 12 /dev/shm/PostgreSQL.1 (deleted)\n"
READ = "7f00-7f10 r--p 00000000 08:01 12 /usr/lib/locale/C.utf8/LC_CTYPE (deleted)\n"
FRESH = "7f00-7f10 r-xp 00000000 08:01 12 /usr/lib/x86_64-linux-gnu/libssl.so.3\n"


@pytest.mark.parametrize(("maps", "stale"), [(CODE, True), (DATA, False), (READ, False), (FRESH, False), ("", False)])
def test_only_program_code_counts(maps: str, stale: bool) -> None:
    assert runs_replaced_code(FRESH + maps) is stale


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/syslog-ng.service\n", "syslog-ng.service"),
        ("0::/system.slice/system-postgresql.slice/postgresql@17-main.service\n", "postgresql@17-main.service"),
        ("3:memory:/a/wrong.service\n1:name=systemd:/machine/abc/system.slice/ssh.service\n", "ssh.service"),
        ("0::/user.slice/user-0.slice/user@0.service/init.scope\n", "user@0.service"),
        ("0::/user.slice/user-0.slice/session-4.scope\n", None),
        ("0::/init.scope\n", None),
    ],
)
def test_the_unit_of_a_process(cgroup: str, unit: str | None) -> None:
    assert unit_of(cgroup) == unit


def test_patterns_hold_at_both_ends() -> None:
    assert matches("getty@tty1.service", ["getty@*.service"])
    assert not matches("my-getty@tty1.service", ["getty@*.service"])
    assert not matches("dbusXservice", ["dbus.service"])


def process(proc: Path, pid: int, maps: str, cgroup: str) -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "maps").write_text(maps)
    (proc / str(pid) / "cgroup").write_text(cgroup)


def test_each_kind_of_process_has_its_place(tmp_path: Path) -> None:
    process(tmp_path, 1, CODE, "0::/init.scope\n")
    process(tmp_path, 20, CODE, "0::/system.slice/ssh.service\n")
    process(tmp_path, 21, CODE, "0::/system.slice/ssh.service\n")
    process(tmp_path, 22, FRESH, "0::/system.slice/chrony.service\n")
    process(tmp_path, 23, CODE, "0::/system.slice/dbus.service\n")
    process(tmp_path, 24, CODE, "0::/user.slice/user-0.slice/session-4.scope\n")
    (tmp_path / "25").mkdir()  # ended while we looked
    (tmp_path / "self").mkdir()
    assert find(tmp_path, ["dbus.service"]) == {"units": ["ssh.service"], "kept": ["dbus.service"], "init": True}


def test_a_program_that_is_replaced_while_it_runs_is_found(tmp_path: Path) -> None:
    program = tmp_path / "usr" / "sleeper"
    program.parent.mkdir()
    shutil.copy("/bin/sleep", program)
    running = subprocess.Popen([program, "30"])
    try:
        maps = Path("/proc", str(running.pid), "maps")
        for _ in range(100):
            if str(program) in maps.read_text():
                break
            time.sleep(0.05)
        shutil.copy("/bin/sleep", program.with_suffix(".new"))
        os.replace(program.with_suffix(".new"), program)
        # The kernel's own words, as if the program lay below /usr.
        assert runs_replaced_code(maps.read_text().replace(str(tmp_path), ""))
    finally:
        running.kill()
        running.wait()
