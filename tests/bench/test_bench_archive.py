"""`./strandline bench archive` measures the real thing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from strandline_cli import duckdb_library, paths
from strandline_cli.bench import archive


@pytest.mark.slow
@pytest.mark.skipif(not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")), reason="PostgreSQL is not installed")
def test_a_small_day_is_written_and_measured() -> None:
    path = f"{paths.ROOT / 'files'}{os.pathsep}{duckdb_library.folder()}"
    done = subprocess.run(
        [sys.executable, str(archive.PROGRAM), "--events", "5000"],
        check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["events"] == 5000
    assert set(found["bytes_by_listener"]) == {"dns", "sip", "ssh", "telnet"}
    assert found["bytes"] == sum(found["bytes_by_listener"].values())
    assert 10 < found["bytes_per_event"] < found["database_bytes_per_event"]
    assert found["cpu_seconds"] > 0
    assert found["peak_mib"] > 30
