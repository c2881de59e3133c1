"""The guard over sshd and the firewall, interrupted at every single step."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
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
    """A file system, systemd's units, and what daemons run with."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.steps = 0
        self.die_at: int | None = None
        self.timer = False
        self.running: dict[str, str | None] = {}
        self.enabled = {"ssh.service": "enabled", "nftables.service": "enabled"}
        self.active: set[str] = set()
        self.tables: set[str] = set()
        for name, text in {"etc/nftables.conf": "old firewall", "etc/ssh/sshd_config": "old sshd"}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        self.boot()
        for name, text in {"nftables.conf": "new firewall", "sshd_config": "new sshd"}.items():
            (root / "etc/strandline/guard").mkdir(parents=True, exist_ok=True)
            (root / "etc/strandline/guard" / name).write_text(text)
        self.ask_for()

    def ask_for(self, *units: str, tables: tuple[str, ...] = (), files: dict[str, str] | None = None) -> None:
        """What is to be disabled."""
        asked = {"disable": units, "tables": tables, "files": files or {}}
        (self.root / "etc/strandline/guard/owners.json").write_text(json.dumps(asked))

    def boot(self) -> None:
        """Enabled units start and read the files they find; timers are gone."""
        self.timer = False
        self.running = {"firewall": None, "sshd": None}
        self.tables = set()
        self.active = set()
        for unit, state in self.enabled.items():
            if state == "enabled":
                self.start(unit)

    def start(self, unit: str) -> None:
        """A unit starts."""
        if self.enabled.get(unit) == "masked":
            return
        self.active.add(unit)
        if unit == "nftables.service":
            self.load()
        elif unit in ("ssh.service", "ssh.socket"):
            self.running["sshd"] = (self.root / "etc/ssh/sshd_config").read_text()
        elif unit == "ufw.service":
            self.tables.add("ip filter")

    def stop(self, unit: str) -> None:
        """A unit stops. ssh.service ends with the socket that requires it; ufw's rules stay, as others' do."""
        if unit in self.active and unit == "nftables.service":
            self.running["firewall"] = None
        self.active.discard(unit)
        if unit == "ssh.socket":
            self.active.discard("ssh.service")
        if not {"ssh.service", "ssh.socket"} & self.active:
            self.running["sshd"] = None

    def load(self) -> None:
        """nft reads the rules."""
        if (self.root / "etc/nftables.conf").exists():
            self.running["firewall"] = (self.root / "etc/nftables.conf").read_text()

    def run(self, argv: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        code, said = 0, ""
        if argv[1] not in ("is-enabled", "is-active", "list"):
            self.steps += 1
            if self.steps == self.die_at:
                raise Killed
        words = tuple(word for word in argv if word != "--no-block")
        match words:
            case ("systemctl", *_):
                said = self.systemctl(*words[1:])
            case ("nft", "-f", _):
                self.load()
            case ("nft", "delete", "table", "inet", "strandline"):
                self.running["firewall"] = None
            case ("nft", "delete", "table", family, name):
                self.tables.discard(f"{family} {name}")
            case ("nft", "list", "table", family, name):
                code = 0 if f"{family} {name}" in self.tables else 1
        return subprocess.CompletedProcess(argv, code, stdout=said)

    def systemctl(self, verb: str, *units: str) -> str:
        """What systemd does, and what it says."""
        states = {"enable": "enabled", "disable": "disabled", "mask": "masked", "unmask": "disabled"}
        for unit in units:
            if unit == guard_module.TIMER:
                self.timer = verb == "restart"
            elif verb == "is-enabled":
                return self.enabled.get(unit, "not-found")
            elif verb == "is-active":
                return "active" if unit in self.active else "inactive"
            elif verb in states and (self.enabled.get(unit) != "masked" or verb in ("mask", "unmask")):
                self.enabled[unit] = states[verb]
            if verb in ("stop", "restart"):
                self.stop(unit)
            if verb in ("start", "restart") or (verb == "try-restart" and unit in self.active):
                self.start(unit)
        return ""

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
    assert killed == (step <= 5)


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


CLOUD = "/etc/cloud/cloud-init.disabled"


@pytest.fixture
def troubled(host: Host) -> Host:
    """ufw governs the firewall, sshd runs by systemd's socket, nftables.service is there and does nothing."""
    host.enabled |= {
        "ufw.service": "enabled",
        "ssh.socket": "enabled",
        "ssh.service": "disabled",
        "nftables.service": "disabled",
        "cloud-init.service": "enabled",
    }
    host.ask_for("ufw.service", "ssh.socket", "cloud-init.service", tables=("ip filter",), files={CLOUD: "disabled\n"})
    host.boot()
    return host


def found(host: Host) -> dict[str, Any]:
    """What matters at the next boot, and now."""
    return {
        "enabled": dict(host.enabled),
        "active": {unit for unit in host.active if unit not in ("nftables.service", guard_module.TIMER)},
        "running": dict(host.running),
        "tables": set(host.tables),
        "cloud-init": (host.root / CLOUD[1:]).exists(),
    }


def test_other_owners_are_disabled_for_good(troubled: Host) -> None:
    assert troubled.running["firewall"] is None
    assert troubled.guard().try_candidates(60)
    assert troubled.guard().confirm()
    for _ in range(2):
        assert troubled.state == NEW
        assert not troubled.tables
        assert not {"ufw.service", "ssh.socket", "cloud-init.service"} & troubled.active
        assert (troubled.root / CLOUD[1:]).read_text() == "disabled\n"
        troubled.boot()
    assert troubled.enabled["ssh.service"] == troubled.enabled["nftables.service"] == "enabled"
    assert not troubled.guard().try_candidates(60)


@pytest.mark.parametrize("way", ["the timer", "a reboot"])
@pytest.mark.parametrize("step", range(1, 18))
def test_killed_at_any_step_other_owners_come_back(troubled: Host, step: int, way: str) -> None:
    before = found(troubled)
    troubled.die_at = step
    try:
        troubled.guard().try_candidates(60)
    except Killed:
        killed = True
    else:
        killed = False
    troubled.die_at = None
    assert killed == (step <= 15)
    if way == "the timer":
        assert troubled.timer or found(troubled) == before
        troubled.guard().revert()
        assert found(troubled) == before | {"tables": found(troubled)["tables"]}
    else:
        # The guard's unit runs before the others start.
        troubled.active = set()
        troubled.guard().revert()
    troubled.boot()
    assert found(troubled) == before


def test_rules_that_were_not_in_force_are_not_loaded_by_the_way_back(troubled: Host) -> None:
    """Debian's nftables.conf may hold anything while its service is disabled."""
    troubled.guard().try_candidates(60)
    troubled.guard().revert()
    assert troubled.running["firewall"] is None
    assert (troubled.root / "etc/nftables.conf").read_text() == "old firewall"


def test_a_unit_that_goes_on_fails_the_try_and_all_comes_back(troubled: Host) -> None:
    before = found(troubled)
    own = troubled.root / "etc/systemd/system/ufw.service"
    own.parent.mkdir(parents=True)
    own.write_text("[Service]\n")  # can't be masked
    honest = troubled.run

    def run(argv: tuple[str, ...], **given: object) -> subprocess.CompletedProcess[str]:
        if argv == ("systemctl", "disable", "ufw.service"):
            return subprocess.CompletedProcess(argv, 1, stdout="")
        return honest(argv, **given)

    guard = guard_module.Guard(troubled.root, run)
    with pytest.raises(OSError, match=r"ufw\.service can't be disabled"):
        guard.try_candidates(60)
    assert troubled.timer
    troubled.guard().revert()
    assert found(troubled) == before | {"tables": found(troubled)["tables"]}


def test_what_an_older_guard_left_pending_is_undone(host: Host) -> None:
    host.guard().try_candidates(60)
    (host.root / "var/lib/strandline/guard/pending/owners.json").unlink()
    assert host.guard().revert()
    assert host.state == OLD


def test_the_old_files_are_kept_from_other_eyes(host: Host) -> None:
    host.guard().try_candidates(60)
    assert (host.root / "var/lib/strandline/guard/pending").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("arguments", [(), ("try",), ("try", "soon"), ("try", "0"), ("confirm", "x")])
def test_wrong_arguments_print_the_usage(arguments: tuple[str, ...]) -> None:
    main: Callable[[list[str]], str] = guard_module.main
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert "strandline-guard try SECONDS" in str(end.value)
