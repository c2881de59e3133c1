"""The checks: what is found, and the sentence that says what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from strandline_cli import checks, host, podman
from strandline_cli.checks import Check
from strandline_cli.errors import Refusal


def os_release(tmp_path: Path, text: str) -> dict[str, str]:
    file = tmp_path / "os-release"
    file.write_text(text)
    return host.os_release(file)


@pytest.mark.parametrize(
    ("identity", "supported"),
    [
        ('ID=debian\nVERSION_ID="12"\n', True),
        ('ID=debian\nVERSION_ID="13"\n', True),
        ('ID=ubuntu\nVERSION_ID="24.04"\n', True),
        ('ID=debian\nVERSION_ID="11"\n', False),
        ('ID=ubuntu\nVERSION_ID="22.04"\n', False),
        ("ID=fedora\nVERSION_ID=41\nPRETTY_NAME='Fedora Linux 41'\n", False),
        ("", False),
    ],
)
def test_only_tried_systems_are_taken(tmp_path: Path, identity: str, supported: bool) -> None:
    assert (host.unsupported(os_release(tmp_path, identity)) is None) is supported


def test_the_refusal_names_the_system_and_the_remedy(tmp_path: Path) -> None:
    sentence = host.unsupported(os_release(tmp_path, 'ID=fedora\nPRETTY_NAME="Fedora Linux 41"\n'))
    assert sentence
    assert "Fedora Linux 41" in sentence
    assert "Debian 13" in sentence


def test_there_may_be_no_os_release(tmp_path: Path) -> None:
    assert host.os_release(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("effective", "missing"),
    [
        ("000001ffffffffff", []),
        ("00000000a80425fb", ["CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_SYS_PTRACE"]),
        ("000001fffff7ffff", ["CAP_SYS_PTRACE"]),
    ],
)
def test_a_confined_root_is_seen(effective: str, missing: list[str]) -> None:
    assert checks.missing_capabilities(f"Name:\tx\nCapEff:\t{effective}\nCapBnd:\t0\n") == missing


def test_a_used_port_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podman, "published_by", lambda _port: None)
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        check = checks.free_port("demo-publisher", "127.0.0.1", port)
    assert not check.ok
    assert f"Port {port} on 127.0.0.1 is used by" in check.remedy
    assert "inventory/demo/central.yml" in check.remedy
    assert checks.free_port("demo-publisher", "127.0.0.1", port).ok


def test_the_demos_own_port_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podman, "published_by", lambda _port: "demo-publisher")
    assert checks.free_port("demo-publisher", "127.0.0.1", 8080).ok


@pytest.mark.parametrize(
    ("destination", "clashes"),
    [("198.18.5.0/24", True), ("198.18.0.0/15", True), ("10.0.0.0/8", False), ("default", False), ("198.18.1.1", True)],
)
def test_a_route_into_the_demos_network_is_found(destination: str, clashes: bool) -> None:
    found = checks.overlapping_route("198.18.0.0/16", [{"dst": destination, "dev": "wg0"}])
    assert (found == f"{destination} dev wg0") is clashes


def test_all_that_fails_is_said_at_once() -> None:
    with pytest.raises(Refusal, match=r"Free 6 GB\.\s+Use root\."):
        checks.require(
            [Check("Disk", "1 GB", "Free 6 GB."), Check("System", "fine"), Check("Rights", "user", "Use root.")]
        )
    checks.require([Check("System", "fine")])


def test_a_path_that_does_not_exist_yet_lies_on_its_parents_disk(tmp_path: Path) -> None:
    assert checks.existing(tmp_path / "a" / "b") == tmp_path


def test_this_machines_facts_can_be_read() -> None:
    for check in (checks.system(), checks.root(), checks.capabilities(), checks.disk(), checks.memory()):
        assert check.name
        assert check.found
        assert check.ok is not bool(check.remedy)
