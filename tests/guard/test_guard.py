"""The guard over sshd and the firewall, interrupted at every single step."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "files" / "guard" / "strandline-guard"


def load() -> Any:
    loader = importlib.machinery.SourceFileLoader("strandline_guard", str(PROGRAM))
    spec = importlib.util.spec_from_loader("strandline_guard", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["strandline_guard"] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module


guard_module = load()


class Killed(Exception):
    """The power went."""


class Host:
    """A file system, and what its daemons run with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps = 0
        self.die_at: int | None = None
        self.timer = False
        self.running: dict[str, str | None] = {}
        for name, text in {"etc/nftables.conf": "old firewall", "etc/ssh/sshd_config": "old sshd"}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        self.boot()
        for name, text in {"nftables.conf": "new firewall", "sshd_config": "new sshd"}.items():
            (root / "etc/strandline/guard").mkdir(parents=True, exist_ok=True)
            (root / "etc/strandline/guard" / name).write_text(text)

    def boot(self) -> None:
        """Daemons read the files they find; timers are gone."""
        self.timer = False
        self.running = {
            "firewall": (self.root / "etc/nftables.conf").read_text(),
            "sshd": (self.root / "etc/ssh/sshd_config").read_text(),
        }

    def run(self, argv: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[bytes]:
        self.steps += 1
        if self.steps == self.die_at:
            raise Killed
        match argv:
            case ("nft", "-f", _):
                if (self.root / "etc/nftables.conf").exists():
                    self.running["firewall"] = (self.root / "etc/nftables.conf").read_text()
            case ("nft", "delete", *_):
                self.running["firewall"] = None
            case ("systemctl", "restart", "ssh.service") | ("systemctl", "--no-block", "try-restart", "ssh.service"):
                self.running["sshd"] = (self.root / "etc/ssh/sshd_config").read_text()
            case ("systemctl", "restart", guard_module.TIMER):
                self.timer = True
            case ("systemctl", "stop", guard_module.TIMER):
                self.timer = False
        return subprocess.CompletedProcess(argv, 0)

    def guard(self) -> Any:
        return guard_module.Guard(self.root, self.run)

    @property
    def state(self) -> tuple[str | None, str | None]:
        return self.running["firewall"], self.running["sshd"]


OLD = ("old firewall", "old sshd")
NEW = ("new firewall", "new sshd")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_confirmed_changes_stay(host: Host) -> None:
    assert host.guard().try_candidates(60)
    assert host.state == NEW
    assert host.timer
    assert host.guard().confirm()
    assert not host.timer
    host.boot()
    assert host.state == NEW
    assert not host.guard().try_candidates(60)
    assert not host.guard().revert()


def test_the_timer_brings_the_old_files_back(host: Host) -> None:
    host.guard().try_candidates(60)
    assert host.guard().revert()
    assert host.state == OLD
    host.boot()
    assert host.state == OLD


def test_a_second_try_starts_from_the_old_files(host: Host) -> None:
    host.guard().try_candidates(60)
    (host.root / "etc/strandline/guard/sshd_config").write_text("newer sshd")
    assert host.guard().try_candidates(60)
    assert host.state == ("new firewall", "newer sshd")
    host.guard().revert()
    assert host.state == OLD


@pytest.mark.parametrize("way", ["the timer", "a reboot", "running it again"])
@pytest.mark.parametrize("step", range(1, 8))
def test_killed_at_any_step_the_host_comes_back(host: Host, step: int, way: str) -> None:
    host.die_at = step
    try:
        host.guard().try_candidates(60)
    except Killed:
        killed = True
    else:
        killed = False
    host.die_at = None
    if way == "running it again":
        host.guard().try_candidates(60)
        assert host.state == NEW
        assert host.guard().confirm()
        host.boot()
        assert host.state == NEW
        return
    if way == "the timer":
        # Before the timer is armed nothing has changed.
        assert host.timer or host.state == OLD
        host.guard().revert()
    else:
        # The unit runs before sshd and the firewall.
        host.guard().revert()
        host.boot()
    assert host.state == OLD
    assert killed == (step <= 4)


def test_a_file_written_but_never_applied_is_applied(host: Host) -> None:
    """Somebody wrote the new file by hand, or was killed right after: what runs is still the old one."""
    (host.root / "etc/ssh/sshd_config").write_text("new sshd")
    assert host.guard().try_candidates(60)
    assert host.state == NEW


def test_a_host_without_a_firewall_file_gets_rid_of_it_again(host: Host) -> None:
    (host.root / "etc/nftables.conf").unlink()
    host.guard().try_candidates(60)
    host.guard().revert()
    assert not (host.root / "etc/nftables.conf").exists()
    assert host.state == (None, "old sshd")


def test_the_old_files_are_kept_from_other_eyes(host: Host) -> None:
    host.guard().try_candidates(60)
    assert (host.root / "var/lib/strandline/guard/pending").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("arguments", [(), ("try",), ("try", "soon"), ("try", "0"), ("confirm", "x")])
def test_wrong_arguments_print_the_usage(arguments: tuple[str, ...]) -> None:
    main: Callable[[list[str]], str] = guard_module.main
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert "strandline-guard try SECONDS" in str(end.value)
