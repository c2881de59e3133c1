"""The programs that the formats are made for read a published generation, in a container; see format_judges.py."""

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
            "podman", "run", "--rm", "--network=none", "--cap-add=NET_ADMIN",
            f"--volume={ROOT / 'files'}:/strandline/files:ro", f"--volume={ROOT / 'tests'}:/strandline/tests:ro",
            os.environ["STRANDLINE_PUBLISHER_IMAGE"], "python3", "-B", "/strandline/tests/site/format_judges.py",
        ],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_nft_replaces_the_sets_by_the_proven_sources(seen: dict[str, Any]) -> None:
    """Of each feed and of all together; nothing of the former file is left in the sets."""
    assert seen["nft"]["said"] == []
    assert seen["nft"]["files"] == seen["feeds"] + 1
    assert seen["nft_before"] == ["198.18.50.1", "2001:db8::50"]
    assert seen["nft"]["found"] == seen["proven"]


def test_ipset_swaps_the_sets(seen: dict[str, Any]) -> None:
    if seen["ipset"] is None:
        pytest.skip("this kernel has no ip_set; tests/publisher/test_formats.py reads the files")
    assert seen["ipset"] == {"said": [], "found": seen["proven"], "sets": ["sshclient_ipv4", "sshclient_ipv6"]}


def test_rbldnsd_answers_for_proven_sources_only(seen: dict[str, Any]) -> None:
    listed = seen["dnsbl"]["listed"]
    assert listed == {
        "198.18.0.0": 1, "198.18.0.1": 1, "2001:db8::1": 1, "2001:db8:0:0:1:0:0:1": 1, "2001:db8:1::": 1,
        "198.18.99.1": 0, "2001:db8::99": 0,
        # RFC 5782 section 5
        "127.0.0.2": 1, "127.0.0.1": 0, "::ffff:7f00:2": 1, "::ffff:7f00:1": 0,
    }, seen["dnsbl"]["log"]  # fmt: skip
    assert seen["dnsbl"]["texts"] == 1


def test_a_resolver_withholds_answers_with_proven_sources_only(seen: dict[str, Any]) -> None:
    """NXDOMAIN for them, and one record for the others; BIND finds no trigger that is not canonical."""
    assert seen["rpz"]["said"] == []
    assert seen["rpz"]["files"] == seen["feeds"]
    withheld, given = [3, 0], [0, 1]
    assert seen["rpz"]["answers"] == {
        "proven4": withheld, "proven6-0": withheld, "proven6-1": withheld, "proven6-2": withheld,
        "forgeable4": given, "forgeable6": given,
    }  # fmt: skip
    assert seen["rpz"]["complaints"] == []
