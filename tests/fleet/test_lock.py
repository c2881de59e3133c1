"""One run at a time changes an inventory: real processes and real locks."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from strandline_fleet import lock
from strandline_fleet.errors import Refusal

MODULE_UTILS = Path(lock.__file__).parents[1]
# As ansible-playbook does: the main process opens, a forked worker takes the lock and ends.
RUN = """
import os, sys, time
from strandline_fleet import lock
lock.prepare([sys.argv[1]])
worker = os.fork()
if not worker:
    lock.take([sys.argv[1]], sys.argv[2], "retire")
    os._exit(0)
os.waitpid(worker, 0)
{more}
print("held", flush=True)
time.sleep(60)
"""
STRAGGLER = "if not os.fork(): time.sleep(float(sys.argv[3])); os._exit(0)"


@contextmanager
def run(directory: Path, kind: str, more: str = "", *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run that holds the lock of an inventory."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN.format(more=more), str(directory), kind, *arguments],
        env={**os.environ, "PYTHONPATH": str(MODULE_UTILS)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(autouse=True)
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process opens the lock file as the callback does."""
    monkeypatch.setattr(lock, "_files", {})
    lock.prepare([str(tmp_path)])
    yield
    for file in lock._files.values():
        if isinstance(file, int):
            os.close(file)


def test_a_second_run_is_refused_with_who_holds_the_lock(tmp_path: Path) -> None:
    with run(tmp_path, "exclusive") as other, pytest.raises(Refusal) as refused:
        lock.take([str(tmp_path)], "exclusive", "onboard")
    assert f"{tmp_path} is in use: retire by " in str(refused.value)
    assert f"(process {other.pid})" in str(refused.value)
    assert "Wait until that run has ended" in str(refused.value)


def test_a_run_that_was_killed_holds_nobody_off(tmp_path: Path) -> None:
    with run(tmp_path, "exclusive") as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        lock.take([str(tmp_path)], "exclusive", "onboard")


def test_a_task_that_a_killed_run_left_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run(tmp_path, "exclusive", STRAGGLER, "1.5") as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        monkeypatch.setattr(lock, "LEFT_OVER", 0.1)
        with pytest.raises(Refusal, match="killed, and a task of it goes on"):
            lock.take([str(tmp_path)], "exclusive", "onboard")
        monkeypatch.setattr(lock, "LEFT_OVER", 30.0)
        lock.take([str(tmp_path)], "exclusive", "onboard")


def test_runs_that_share_go_side_by_side_and_hold_off_one_that_changes(tmp_path: Path) -> None:
    with run(tmp_path, "shared"):
        lock.take([str(tmp_path)], "shared", "reconcile")
        with pytest.raises(Refusal, match="is in use"):
            lock.take([str(tmp_path)], "exclusive", "onboard")


def test_who_looks_is_told_of_a_run_that_changes_and_holds_nobody_off(tmp_path: Path) -> None:
    assert lock.holder([str(tmp_path)]) == ""
    with run(tmp_path, "shared"):
        assert lock.holder([str(tmp_path)]) == ""
    with run(tmp_path, "exclusive") as other:
        assert lock.holder([str(tmp_path)]).startswith("retire by ")
        assert f"(process {other.pid})" in lock.holder([str(tmp_path)])
    assert lock.holder([str(tmp_path)]) == ""
    lock.take([str(tmp_path)], "exclusive", "onboard")


def test_a_look_that_falls_into_a_runs_begin_does_not_refuse_it(tmp_path: Path) -> None:
    with (tmp_path / lock.NAME).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        ended = threading.Timer(0.1, fcntl.flock, (file, fcntl.LOCK_UN))
        ended.start()
        lock.take([str(tmp_path)], "exclusive", "onboard")
        ended.join()


def test_without_the_callback_the_lock_is_refused_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_files", {})
    with pytest.raises(Refusal, match=r"strandline_lock is not loaded.*ANSIBLE_CALLBACK_PLUGINS"):
        lock.take([str(tmp_path)], "exclusive", "onboard")


def test_a_file_and_a_list_of_hosts_have_their_folder_and_none(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").touch()
    assert lock.directories([str(tmp_path / "hosts.yml"), "host1,host2,"]) == [tmp_path]
