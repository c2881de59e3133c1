"""The course of an upgrade: order, what stops it, and what is said in the end."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from strandline_cli.errors import Refusal
from strandline_cli.fleet import listing, upgrade
from strandline_cli.fleet.listing import Entry
from strandline_cli.fleet.upgrade import Course, Outcome
from strandline_cli.progress import Progress

PROVIDERS = {"a1": "provider_alder", "a2": "provider_alder", "b1": "provider_birch", "b2": "provider_birch"}
HOSTS = {
    name: Entry(name, function, ("192.0.2.1",), 20022)
    for name, function in [*((name, "sensors") for name in PROVIDERS), ("col", "collectors"), ("www", "publishers")]
}
FINE = {"upgraded": ["libc6"], "kept_back": [], "restarted": [], "rebooted": False, "reboot_needed": [], "failed": []}


def test_sensors_first_and_one_alone_then_the_central_hosts_each_by_itself() -> None:
    order = upgrade.plan(list(reversed(HOSTS.values())), PROVIDERS, 10)
    assert len(order[0]) == 1
    assert order[-2:] == [["col"], ["www"]]
    assert sorted(host for batch in order for host in batch) == sorted(HOSTS)


def test_a_providers_name_stands_for_its_hosts() -> None:
    assert listing.spread(["birch", "col"], PROVIDERS) == ["b1", "b2", "col"]
    assert listing.spread(["provider_alder"], PROVIDERS) == ["a1", "a2"]
    with pytest.raises(Refusal, match="elm is no host"):
        listing.chosen(HOSTS, listing.spread(["elm"], PROVIDERS))


def test_what_the_playbook_left_of_a_host(tmp_path: Path) -> None:
    (tmp_path / "a1.answers").touch()
    (tmp_path / "a1.json").write_text(json.dumps({**FINE, "kept_back": ["bind9"]}))
    (tmp_path / "a2.answers").touch()
    fine, broken, away = (upgrade.outcome(name, tmp_path) for name in ("a1", "a2", "b1"))
    assert (fine.good, fine.upgraded, fine.kept_back) == (True, ("libc6",), ("bind9",))
    assert (broken.answered, broken.finished, broken.good) == (True, False, False)
    assert (away.answered, away.good) == (False, True)


class Fleet:
    """Stands for the hosts: says what becomes of each batch, and notes which were begun."""

    def __init__(self, bad: Sequence[str] = (), away: Sequence[str] = (), silent: Sequence[str] = ()) -> None:
        self.bad, self.away, self.silent = bad, away, silent
        self.begun: list[str] = []
        self.canaries: list[str] = []

    def run_batch(self, _progress: Progress, _place: str, batch: Sequence[str], *_rest: object) -> list[Outcome]:
        self.begun += batch
        return [
            Outcome(host, answered=host not in self.away, finished=host not in (*self.bad, *self.away))
            for host in batch
        ]

    def canary(self, _progress: Progress, _place: str, hosts: Sequence[Entry]) -> bool:
        self.canaries += [host.name for host in hosts]
        return not any(host.name in self.silent for host in hosts)


def course(monkeypatch: pytest.MonkeyPatch, fleet: Fleet) -> Course:
    monkeypatch.setattr(upgrade, "run_batch", fleet.run_batch)
    monkeypatch.setattr(upgrade, "canary", fleet.canary)
    return upgrade.go(Progress("test"), "inventory", [["a1"], ["b1", "a2"], ["b2"], ["col"]], HOSTS, reboot=True)


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet()
    assert course(monkeypatch, fleet).stopped == ""
    assert fleet.begun == ["a1", "b1", "a2", "b2", "col"]
    assert fleet.canaries == ["a1", "b1", "a2", "b2"]


def test_a_failed_batch_stops_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(bad=["b1"])
    result = course(monkeypatch, fleet)
    assert fleet.begun == ["a1", "b1", "a2"]
    assert (result.stopped, result.left) == ("b1 failed", ["b2", "col"])


def test_a_missing_canary_stops_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(silent=["a1"])
    assert course(monkeypatch, fleet).left == ["b1", "a2", "b2", "col"]
    assert fleet.begun == ["a1"]


def test_a_host_that_is_away_stops_nobody_and_gets_no_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(away=["a1"])
    result = course(monkeypatch, fleet)
    assert result.stopped == ""
    assert "a1" not in fleet.canaries
    assert [each.host for each in result.outcomes if not each.answered] == ["a1"]


def test_the_table_says_what_to_look_at() -> None:
    outcomes = [
        Outcome("a1", answered=True, finished=True, upgraded=tuple(f"lib{n}" for n in range(9)), rebooted=True),
        Outcome("a2", answered=True, finished=True, kept_back=("bind9",), reboot_needed=("kernel 6.12.90",)),
        Outcome("b1", answered=True, finished=True, failed=("named.service",)),
        Outcome("b2", answered=True),
        Outcome("c1", answered=False),
    ]
    out = io.StringIO()
    Console(file=out, width=200).print(upgrade.table(Course(outcomes)))
    lines = {line.split()[0]: line for line in out.getvalue().splitlines()[1:]}
    assert "lib3 and 5 more" in lines["a1"]
    assert "done" in lines["a1"]
    assert "kept back: bind9" in lines["a2"]
    assert "needed: kernel 6.12.90" in lines["a2"]
    assert "failed since: named.service" in lines["b1"]
    assert "failed:" in lines["b2"]
    assert "does not answer" in lines["c1"]
