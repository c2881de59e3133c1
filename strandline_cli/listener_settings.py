"""A Python listener's settings where no inventory changes them, for programs that start one without its unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from strandline.event import catalogue

from strandline_cli import paths

DEFAULTS = paths.ROOT / "roles" / "listener_python" / "defaults" / "main.yml"
OF_SYSTEMD = ("addresses", "memory_max")
"""Settings that go into the units' own directives."""


def settings(protocol: str) -> dict[str, Any]:
    """Return what the role gives a listener: its defaults, with those of the protocol's events.yml over them."""
    ours: Mapping[str, Any] = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))["listener_python_defaults"]
    return {**ours, **catalogue.load()["listeners"][protocol]["settings"]}


def environment(protocol: str) -> dict[str, str]:
    """Return the environment variables of the listener's unit, but for the socket of its events."""
    return {
        f"STRANDLINE_{name.upper()}": str(value) for name, value in settings(protocol).items() if name not in OF_SYSTEMD
    }
