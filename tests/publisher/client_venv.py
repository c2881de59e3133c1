"""Clients of our feeds, each in a virtual environment of its own: under another licence, and no dependency of ours.

Cached outside the clone by the hash of its lock file and the Python version; about 10 s to make, nothing after that.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

_HERE = Path(__file__).parent
_INSTALL_TIMEOUT = 600  # seconds
_CHECK_TIMEOUT = 300


def _cache() -> Path:
    # ./strandline names its cache; a bare pytest finds the same one.
    if named := os.environ.get("STRANDLINE_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strandline"


def python(name: str) -> Path:
    """Return the interpreter of an environment with what NAME-requirements.txt locks; make it when it is missing."""
    lock_file = _HERE / f"{name}-requirements.txt"
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    target = _cache() / f"{name}-{version}-{hashlib.sha256(lock_file.read_bytes()).hexdigest()[:16]}"
    interpreter = target / "bin" / "python"
    ready = target / "ready"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(target, ignore_errors=True)  # of a run that was interrupted
            venv.create(target, with_pip=True)
            pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock_file)]
            subprocess.run(pip, check=True, timeout=_INSTALL_TIMEOUT)
            ready.touch()
    return interpreter


def run(name: str, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of this folder in the environment."""
    command = [str(python(name)), str(_HERE / program), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=_CHECK_TIMEOUT)
