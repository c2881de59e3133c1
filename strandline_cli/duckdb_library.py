"""DuckDB for our own tests and benches, from the lock that collectors get it by.

The controller itself does without it, so it has a folder of its own in the cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

LOCK = Path(__file__).resolve().parent.parent / "requirements" / "archive.txt"
_TIMEOUT = 600  # seconds


def _cache() -> Path:
    # ./strandline names its cache; a bare pytest finds the same one.
    if named := os.environ.get("STRANDLINE_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strandline"


def folder() -> Path:
    """Where the package is, for PYTHONPATH; installed there when it is not. Raises subprocess.CalledProcessError."""
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    target = _cache() / f"duckdb-{version}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            aside = target.with_suffix(".new")
            shutil.rmtree(aside, ignore_errors=True)  # of a run that was interrupted
            pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
            only = ["--no-deps", "--require-hashes", "--only-binary=:all:", "-r", str(LOCK), "--target", str(aside)]
            subprocess.run([*pip, *only], check=True, timeout=_TIMEOUT)
            aside.rename(target)
    return target
