"""Whom a host must know, and by which certificates, in a rotation too."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError

from filter_plugins.fleet import fleet_endpoints, fleet_peers, pinned

HOSTVARS = {"ams1": {"addresses": ["192.0.2.1", "192.0.2.2"]}, "sin1": {"addresses": ["192.0.2.3"]}}


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    (tmp_path / "ams1.pem").write_text("OLD\n")
    return tmp_path


def test_a_host_that_was_never_provisioned_is_left_out(certificates: Path) -> None:
    peers = fleet_peers(["sin1", "ams1"], HOSTVARS, str(certificates))
    assert peers == [{"name": "ams1", "addresses": ["192.0.2.1", "192.0.2.2"], "certificate": "OLD\n"}]


def test_a_host_without_addresses_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="ams2: 'addresses' is missing"):
        fleet_peers(["ams2"], {"ams2": {}}, "nowhere")


def test_one_file_for_each_peer_and_two_while_its_certificate_changes(certificates: Path) -> None:
    peers = fleet_peers(["ams1"], HOSTVARS, str(certificates))
    assert pinned(peers) == [{"name": "ams1", "file": "ams1.pem", "certificate": "OLD\n"}]
    (certificates / "ams1.next.pem").write_text("\nNEW\n\n")
    both = pinned(fleet_peers(["ams1"], HOSTVARS, str(certificates)))
    assert [(each["name"], each["file"], each["certificate"]) for each in both] == [
        ("ams1", "ams1.pem", "OLD\n"),
        ("ams1", "ams1.next.pem", "NEW\n"),
    ]


def test_both_certificates_go_with_an_endpoint(certificates: Path) -> None:
    (certificates / "ams1.next.pem").write_text("NEW\n")
    (endpoint,) = fleet_endpoints(fleet_peers(["ams1"], HOSTVARS, str(certificates)), port=6514)
    assert endpoint == {
        "name": "ams1",
        "address": "192.0.2.1",
        "port": 6514,
        "certificate": "OLD\n",
        "successor": "NEW\n",
    }
    assert [each["certificate"] for each in pinned([endpoint])] == ["OLD\n", "NEW\n"]


def test_an_empty_successor_is_ignored() -> None:
    assert len(pinned([{"name": "a", "certificate": "OLD", "successor": ""}])) == 1


def test_a_successor_that_is_in_use_already_is_ignored(certificates: Path) -> None:
    (certificates / "ams1.next.pem").write_text("OLD\n\n")
    assert len(pinned(fleet_peers(["ams1"], HOSTVARS, str(certificates)))) == 1
