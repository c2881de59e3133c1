"""Mirrors: a real rsync to a real sshd that confines the key to one directory, in a container; see mirror_rounds.py."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    done = subprocess.run(
        [
            "podman", "run", "--rm", "--network=none", f"--volume={ROOT / 'files'}:/strandline/files:ro",
            f"--volume={ROOT / 'tests'}:/strandline/tests:ro", os.environ["STRANDLINE_PUBLISHER_IMAGE"],
            "python3", "-B", "/strandline/tests/site/mirror_rounds.py",
        ],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_mirror_gets_whole_generations_and_is_switched(seen: dict[str, Any]) -> None:
    """Files, times, hard links and the link are those of the publisher; what is not ours is left alone."""
    for step in ("first", "second", "thinned"):
        assert seen[step] == {"problem": "", "same": True, "sums": "whole"}, step
    assert seen["own_file"] == "mine"


def test_cut_off_anywhere_the_mirror_is_the_old_or_the_new_one(seen: dict[str, Any]) -> None:
    """The connection ends after so many bytes; the next time makes up for it."""
    assert len(seen["cut"]) == 11
    assert all(one["sums"] == "whole" for one in seen["cut"]), seen["cut"]
    assert sum(one["problem"] != "" for one in seen["cut"]) > 4, seen["cut"]
    for one in seen["cut"]:
        if one["spared"] != 1:  # those that were cut in the switch itself may be either
            assert one["newest"] == (one["spared"] == 2), one


def test_a_reader_of_the_mirror_never_sees_two_halves(seen: dict[str, Any]) -> None:
    assert seen["reader"]["wrong"] == []
    assert seen["reader"]["rounds"] > 50
    assert seen["reader"]["generations"] >= 4


def test_a_mirror_that_fails_is_named_and_the_site_is_not_held_up(seen: dict[str, Any]) -> None:
    assert seen["other_host_key"]["problem"].startswith("mirror web2: its generation could not be sent (")
    assert "verification failed" in seen["other_host_key"]["problem"]
    assert seen["nobody_there"]["problem"].startswith("mirror web2: its generation could not be sent (")
    program = seen["program"]
    assert (program["status"], program["published"]) == (1, True)
    assert "mirror web2" in program["said"]


def test_the_key_is_for_one_directory_only(seen: dict[str, Any]) -> None:
    assert seen["shell"] != 0
    assert seen["outside"] is False
