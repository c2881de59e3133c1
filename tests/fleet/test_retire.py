"""Who is retired, what the fleet loses by it, and what stays behind on this machine."""

from __future__ import annotations

import datetime as dt
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from strandline_fleet.inventory import edit
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Fleet

from strandline_cli.errors import Refusal, StepFailed
from strandline_cli.fleet import retire
from strandline_cli.progress import Progress, Step
from tests.generate_fleet import write_fleet

EXAMPLE = Path(__file__).resolve().parents[2] / "inventory" / "example"
TODAY = dt.date(2026, 11, 25)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    shutil.copytree(EXAMPLE, tmp_path / "inventory")
    return load(tmp_path / "inventory", TODAY)


def move(fleet: Fleet, *names: str) -> Fleet:
    """Retire hosts as far as the inventory goes."""
    edit.apply(edit.retire_hosts(fleet, [host for host in fleet.hosts() if host.name in names], TODAY, "gone"))
    return load(fleet.directory, TODAY)


def test_a_provider_stands_for_its_hosts_each_once(fleet: Fleet) -> None:
    hosts, moved = retire.chosen(fleet, ["alder", "ams1", "scl1"])
    assert ([host.name for host in hosts], moved) == (["ams1", "sin1", "scl1"], [])


def test_an_unknown_name_is_refused_with_the_providers_there_are(fleet: Fleet) -> None:
    with pytest.raises(Refusal, match=r"elder is no leased host and no provider .* alder, birch"):
        retire.chosen(fleet, ["elder"])


@pytest.mark.parametrize("name", ["scl1", "birch", "Birch Servers"])
def test_a_run_that_was_stopped_after_the_inventory_had_changed_carries_on(fleet: Fleet, name: str) -> None:
    assert retire.chosen(move(fleet, "scl1"), [name]) == ([], ["scl1"])


def test_what_is_left_of_a_provider_is_meant_and_not_what_went_before(fleet: Fleet) -> None:
    hosts, moved = retire.chosen(move(fleet, "sin1"), ["alder"])
    assert ([host.name for host in hosts], moved) == (["ams1"], [])


def test_a_name_that_was_leased_again_is_in_service(fleet: Fleet) -> None:
    text = (fleet.directory / "providers" / "birch.yml").read_text()
    gone = move(fleet, "scl1")
    (fleet.directory / "providers" / "birch.yml").write_text(text)
    assert gone.providers[-1].group == "provider_alder"
    hosts, moved = retire.chosen(load(fleet.directory, TODAY), ["scl1"])
    assert ([host.name for host in hosts], moved) == (["scl1"], [])


def test_the_table_says_what_the_fleet_loses(fleet: Fleet) -> None:
    hosts, _ = retire.chosen(fleet, ["ams1", "scl1"])
    out = io.StringIO()
    Console(file=out, width=200).print(retire.table(fleet, hosts, ["scl1"]))
    lines = {line.split()[0]: line for line in out.getvalue().splitlines()}
    assert "none" in lines["ams1"]  # sin1 is in the same /8
    assert "trust ends at once" in lines["ams1"]
    assert " 203 " in lines["scl1"]
    assert "30.00" in lines["scl1"]
    assert "is wiped" in lines["scl1"]


def test_certificates_and_host_keys_go(fleet: Fleet) -> None:
    certificates = fleet.directory / "certificates"
    certificates.mkdir()
    for name in ("ams1.pem", "ams1.next.pem", "ams10.pem"):
        (certificates / name).touch()
    (fleet.directory / "known_hosts").write_text("ams1 ssh-ed25519 AAAA\nams10 ssh-ed25519 BBBB\n")
    retire.forget(fleet, ["ams1", "never-there"])
    assert [path.name for path in certificates.iterdir()] == ["ams10.pem"]
    assert (fleet.directory / "known_hosts").read_text() == "ams10 ssh-ed25519 BBBB\n"


def test_hosts_that_stay_and_are_not_known_here_are_named(fleet: Fleet) -> None:
    """Lost certificates would cut off hosts that are in service."""
    (fleet.directory / "certificates").mkdir()
    (fleet.directory / "certificates" / "sin1.pem").touch()
    hosts, _ = retire.chosen(fleet, ["scl1"])
    assert retire.strangers(fleet, hosts) == ["ams1"]


class Playbooks:
    """Stands for Ansible: notes which steps were begun, and says how reconciling ends."""

    def __init__(
        self, directory: Path, monkeypatch: pytest.MonkeyPatch, *, holding: bool = True, code: int = 0
    ) -> None:
        self.directory, self.holding, self.code = directory, holding, code
        self.steps: list[str] = []
        monkeypatch.setattr(Step, "run", self.reconcile)
        monkeypatch.setattr(retire.Retirement, "step", self.step)

    def step(self, tag: str, names: Sequence[str], _what: str) -> int:
        self.steps.append(tag)
        for name in names:
            if tag == "wipe" or (tag == "quiet" and self.holding):
                (self.directory / f"{name}.{'wiped' if tag == 'wipe' else 'events'}").touch()
        return 0

    def reconcile(self, command: Sequence[str | Path], **_: object) -> int:
        assert any(str(part).endswith("reconcile.yml") for part in command)
        assert "--limit=scl1" in command
        self.steps.append("reconcile")
        return self.code


@pytest.mark.parametrize(
    ("holding", "code", "give_up", "steps"),
    [
        (True, 0, False, ["quiet", "reconcile", "wipe"]),
        (True, 2, True, ["quiet", "reconcile", "wipe"]),
        (False, 2, False, ["quiet", "wipe"]),
    ],
    ids=["all came", "given up", "wiped half already"],
)
def test_a_host_is_wiped_when_its_events_have_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holding: bool, code: int, give_up: bool, steps: list[str]
) -> None:
    played = Playbooks(tmp_path, monkeypatch, holding=holding, code=code)
    run = retire.Retirement(Progress("test"), "inventory", tmp_path)
    assert run.farewell(["scl1"], give_up=give_up) == ["scl1"]
    assert played.steps == steps


def test_a_host_that_holds_events_is_not_wiped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    played = Playbooks(tmp_path, monkeypatch, code=2)
    with pytest.raises(StepFailed):
        retire.Retirement(Progress("test"), "inventory", tmp_path).farewell(["scl1"], give_up=False)
    assert played.steps == ["quiet", "reconcile"]


def test_a_provider_of_a_large_fleet_is_found_at_once(tmp_path: Path) -> None:
    write_fleet(tmp_path, hosts=100, providers=30, seed=1, today=TODAY)
    fleet = load(tmp_path, TODAY)
    provider = fleet.providers[3]
    hosts, _ = retire.chosen(fleet, [provider.group])
    assert hosts == list(provider.hosts)
