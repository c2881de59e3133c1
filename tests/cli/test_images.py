"""The images: their names follow their inputs, and they come from the mirror that the machine uses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from strandline_cli import podman
from strandline_cli.errors import StepFailed
from strandline_cli.images import base, derived, mirror
from strandline_cli.images.mirror import Mirror, parse_targets

DEBIAN = """\
Debian|Debian-Security|http://mirror.example/debian-security/
Debian|Debian|http://mirror.example/debian/
Debian|Debian|http://second.example/debian/
Docker|Docker CE|https://docker.example/linux/debian/
"""
WEDNESDAY = 1795572000.0  # 2026-11-25, week 48


def test_the_machines_own_mirror_is_used() -> None:
    assert parse_targets(DEBIAN) == ("http://mirror.example/debian", "http://mirror.example/debian-security")


@pytest.mark.parametrize(
    "text",
    ["", "Ubuntu|Ubuntu|http://archive.ubuntu.example/ubuntu/\n", "||\n\nDebian", "Debian|Debian|cdrom:[disc]/\n"],
)
def test_otherwise_mmdebstrap_chooses(text: str) -> None:
    assert parse_targets(text) is None


def test_suites_that_the_mirror_lacks_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: subprocess.CompletedProcess([], 0, DEBIAN, ""))
    monkeypatch.setattr(mirror, "has_suite", lambda _address, suite: suite != "trixie-updates")
    found = mirror.find()
    assert [suite for _, suite in found.suites] == ["trixie", "trixie-security"]
    assert found.one_line()[1].endswith("http://mirror.example/debian-security trixie-security main")


def test_a_mirror_without_debian_13_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_a, **_k: subprocess.CompletedProcess([], 0, DEBIAN, ""))
    monkeypatch.setattr(mirror, "has_suite", lambda _address, _suite: False)
    with pytest.raises(StepFailed, match=r"mirror\.example.*apt sources"):
        mirror.find()


def test_the_image_has_the_source_packages_too() -> None:
    text = Mirror((("http://m/debian", "trixie"), ("http://m/debian", "trixie-updates"))).deb822()
    assert text.count("Types: deb deb-src\n") == 2
    assert "\n\nTypes:" in text
    assert text.count(f"Signed-By: {mirror.KEYRING}\n") == 2


def test_the_base_images_name_follows_its_inputs_and_the_week(monkeypatch: pytest.MonkeyPatch) -> None:
    name = base.tag("", WEDNESDAY)
    assert name.startswith("localhost/strandline-base:trixie-")
    assert name.endswith("-202648")
    assert base.tag("", WEDNESDAY + 3600) == name
    assert base.tag("", WEDNESDAY + 7 * 86400).endswith("-202649")
    assert base.tag("docker.io/library/debian:trixie", WEDNESDAY) != name
    monkeypatch.setattr(base, "PACKAGES", (*base.PACKAGES, "another"))
    assert base.tag("", WEDNESDAY) != name


def test_there_are_no_host_keys_to_share() -> None:
    assert "openssh-server" not in base.PACKAGES


def test_only_images_of_earlier_weeks_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    repository = base.REPOSITORY
    tags = [f"{repository}:trixie-aa-202647", f"{repository}:trixie-bb-202648", f"{repository}:trixie-cc-202649"]
    monkeypatch.setattr(podman, "image_tags", lambda _repository: tags)
    monkeypatch.setattr(podman, "ask", lambda *arguments: asked.append(arguments))
    base.remove_outdated(f"{repository}:trixie-bb-202648")
    assert asked == [("rmi", f"{repository}:trixie-aa-202647")]


def test_a_derived_image_follows_each_input(tmp_path: Path) -> None:
    program = tmp_path / "run"
    program.write_text("#!/bin/sh\n")
    first = derived.digest(tmp_path, "base:1")
    assert derived.digest(tmp_path, "base:2") != first
    program.chmod(0o755)
    executable = derived.digest(tmp_path, "base:1")
    assert executable != first
    program.write_text("#!/bin/sh\nexit 1\n")
    changed = derived.digest(tmp_path, "base:1")
    assert changed != executable
    program.rename(tmp_path / "other")
    assert derived.digest(tmp_path, "base:1") != changed


def test_a_derived_image_follows_its_arguments(tmp_path: Path) -> None:
    first = derived.digest(tmp_path, "base:1", {"PACKAGES": "chrony"})
    assert first not in (
        derived.digest(tmp_path, "base:1"),
        derived.digest(tmp_path, "base:1", {"PACKAGES": "nftables"}),
    )


def test_what_tools_leave_behind_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "Containerfile").write_text("ARG BASE\n")
    first = derived.digest(tmp_path, "base:1")
    for left in ("__pycache__/x.pyc", ".mypy_cache/y", ".swp"):
        (tmp_path / left).parent.mkdir(exist_ok=True)
        (tmp_path / left).touch()
    assert derived.digest(tmp_path, "base:1") == first
