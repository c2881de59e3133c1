"""One run at a time changes an inventory.

A run holds an flock(2) lock on a file in the inventory's folder for as long as its ansible-playbook lives, however it
ends. Such a lock belongs to the open file, which forked processes share: the callback strandline_lock opens the file in
the main process (:func:`prepare`), and the task that takes the lock may run in a worker (:func:`take`) and end without
giving it up.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import getpass
import json
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from strandline_fleet.errors import Refusal

NAME = ".strandline.lock"
LEFT_OVER = 120.0
"""Seconds to wait for what is left of a run that was killed: a task that goes on until it ends."""
LOOK = 0.3
"""Seconds for which the lock may be somebody's who only looks at it: see :func:`holder`."""
KINDS = {"shared": fcntl.LOCK_SH, "exclusive": fcntl.LOCK_EX}

_files: dict[Path, int | OSError] = {}
"""The lock files that this process or the one that it was forked from has open, or why one can't be opened."""
_holds = {"process": 0}
"""The process with whose end the locks end."""


def directories(sources: Iterable[str]) -> list[Path]:
    """The folders in which the inventory's lock stands, of `ansible_inventory_sources`; a list of hosts has none."""
    found = []
    for source in sources:
        path = Path(source)
        if path.exists():
            found.append((path if path.is_dir() else path.parent).resolve())
    return list(dict.fromkeys(found))


def prepare(sources: Iterable[str]) -> None:
    """Open the inventories' lock files, without taking a lock. Call it in the process that is to hold them."""
    _holds["process"] = os.getpid()
    for directory in directories(sources):
        if directory not in _files:
            try:
                _files[directory] = os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                _files[directory] = error


def take(sources: Iterable[str], kind: str, what: str) -> None:
    """Take the lock of each inventory for ``what`` (a playbook's name), or refuse with who holds it.

    ``kind`` is shared or exclusive. A run that has it already keeps it. Raises Refusal, also when a lock file can't be
    opened, and when :func:`prepare` was never called: a lock that ends with the task would hold nobody off.
    """
    for directory in directories(sources):
        file = _files.get(directory)
        if file is None:
            raise Refusal(
                "Nothing can hold the inventory's lock in this run, for the callback strandline_lock is not loaded. "
                "Start ansible-playbook in the clone's folder, or add its callback_plugins to ANSIBLE_CALLBACK_PLUGINS."
            )
        if isinstance(file, OSError):
            raise Refusal(
                f"{directory / NAME} can't be written ({file.strerror}), so another run can't be held off. Correct the "
                "folder's permissions."
            )
        begun = time.monotonic()
        while not _taken(file, kind):
            said = _read(file)
            if time.monotonic() > begun + (LEFT_OVER if _killed(said) else LOOK):
                raise Refusal(f"{directory} is in use: {_described(said)}. Wait until that run has ended.")
            time.sleep(0.1)
        if kind == "exclusive":
            _sign(file, what)


def holder(sources: Iterable[str]) -> str:
    """Who changes one of the inventories now, in words; empty when nobody does. Holds nobody off."""
    for directory in directories(sources):
        try:
            file = os.open(directory / NAME, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue  # nobody has ever locked it, or it is a stranger's
        try:
            if not _taken(file, "shared"):
                return _described(_read(file))
        finally:
            os.close(file)
    return ""


def _sign(file: int, what: str) -> None:
    said = {
        "what": what,
        "user": getpass.getuser(),
        "host": socket.gethostname(),
        "process": _holds["process"],
        "since": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(said).encode() + b"\n", 0)


def _taken(file: int, kind: str) -> bool:
    try:
        fcntl.flock(file, KINDS[kind] | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> dict[str, Any]:
    try:
        said = json.loads(os.pread(file, 4096, 0))
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _killed(holder: dict[str, Any]) -> bool:
    """Whether the run ended without its workers, which end their task before they notice."""
    here = holder.get("host") == socket.gethostname()
    return here and not Path("/proc", str(holder.get("process"))).exists()


def _described(holder: dict[str, Any]) -> str:
    try:
        since = dt.datetime.fromisoformat(holder["since"])
        process = f"process {holder['process']}" + (", killed, and a task of it goes on" if _killed(holder) else "")
        return f"{holder['what']} by {holder['user']} on {holder['host']} since {since:%H:%M:%S} UTC ({process})"
    except (ValueError, KeyError, TypeError):
        return "another run"
