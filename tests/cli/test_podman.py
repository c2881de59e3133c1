"""Podman's settings for each kind of machine."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from strandline_cli import podman


@pytest.mark.parametrize("unified", [True, False])
def test_the_settings_are_toml(unified: bool) -> None:
    settings = tomllib.loads(podman.settings(unified=unified))
    assert settings["engine"].get("runtime") == (None if unified else "runc")
    assert settings["network"] == {"network_backend": "netavark"}
    assert settings["containers"]["pids_limit"] == -1


def test_everything_finds_our_settings(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTAINERS_CONF", raising=False)
    podman.prepare_environment()
    assert os.environ["CONTAINERS_CONF"] == str(cache / "containers.conf")
    assert tomllib.loads((cache / "containers.conf").read_text())


def test_the_operators_own_settings_are_respected(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setenv("CONTAINERS_CONF", "/etc/mine.conf")
    podman.prepare_environment()
    assert os.environ["CONTAINERS_CONF"] == "/etc/mine.conf"
    assert not (cache / "containers.conf").exists()


def test_without_podman_there_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert podman.ask("ps").returncode == 127
    assert podman.image_tags("localhost/x") == []
    assert podman.published_by(8080) is None
    assert not podman.running("x")
