"""IntelMQ in a virtual environment of its own: it is a client of our feeds under another licence, not a dependency.

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
from collections.abc import Iterable
from pathlib import Path

_HERE = Path(__file__).parent
_LOCK = _HERE / "intelmq-requirements.txt"
_INSTALL_TIMEOUT = 600  # seconds
_CHECK_TIMEOUT = 300


def _cache() -> Path:
    # ./strandline names its cache; a bare pytest finds the same one.
    if named := os.environ.get("STRANDLINE_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strandline"


def python() -> Path:
    """Return the environment's interpreter; make the environment when it is not there."""
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    target = _cache() / f"intelmq-{version}-{hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]}"
    interpreter = target / "bin" / "python"
    ready = target / "ready"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(target, ignore_errors=True)  # of a run that was interrupted
            venv.create(target, with_pip=True)
            pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(_LOCK)]
            subprocess.run(pip, check=True, timeout=_INSTALL_TIMEOUT)
            ready.touch()
    return interpreter


def parse(files: Iterable[Path]) -> subprocess.CompletedProcess[str]:
    """Run IntelMQ's dataplane parser over the files; its exit status is 0 when each data line became an event."""
    command = [str(python()), str(_HERE / "intelmq_check.py"), *(str(file) for file in files)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=_CHECK_TIMEOUT)
