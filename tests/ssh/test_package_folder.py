"""The folder of the patched OpenSSH is whole: what the build reads is there, and nothing lies beside it unused."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parents[2] / "files" / "native"
OPENSSH = PACKAGES / "openssh"
SERIES = (OPENSSH / "patches" / "series").read_text().split()


def test_the_series_names_each_patch_once() -> None:
    assert sorted(SERIES) == sorted(path.name for path in (OPENSSH / "patches").glob("*.patch"))


@pytest.mark.parametrize("name", SERIES)
def test_a_patch_says_why(name: str) -> None:
    """A header in the form of DEP-3 stands before the first hunk."""
    header = (OPENSSH / "patches" / name).read_text().partition("\n---\n")[0]
    assert re.match(r"Description: \S", header)
    assert len(header.splitlines()) > 3


@pytest.mark.parametrize("name", ["build", "inputs"])
def test_a_script_can_be_run(name: str) -> None:
    script = OPENSSH / name
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", script], check=True)


def test_each_request_that_could_authenticate_is_walled_off() -> None:
    """The patch takes the requests that compare keys out of the monitor's table, and dies where one succeeds."""
    patch = (OPENSSH / "patches" / "nobody-gets-in.patch").read_text()
    removed = re.findall(r"^-.*(MONITOR_REQ_\w+)", patch, re.MULTILINE)
    assert removed == ["MONITOR_REQ_KEYALLOWED", "MONITOR_REQ_KEYVERIFY"]
    assert re.search(r"^\+\t\tif \(authenticated\)\n\+\t\t\tfatal_f\(", patch, re.MULTILINE)
    assert re.search(r'^\+\tfatal\("sensor: no session"\);', patch, re.MULTILINE)
