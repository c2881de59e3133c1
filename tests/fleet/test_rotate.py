"""Which hosts get new keys, in which order, and what stops the run."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from strandline_fleet.inventory.load import load

from strandline_cli.errors import Refusal
from strandline_cli.fleet import rotate
from strandline_cli.fleet.listing import Entry
from strandline_cli.fleet.rotate import Course, Marks, State
from strandline_cli.progress import Progress
from tests.generate_fleet import write_fleet

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
OLD = State("settled", NOW - 700 * DAY, NOW + 100 * DAY)
NEW = State("settled", NOW - DAY / 24, NOW + 800 * DAY)
HOSTS = {
    name: Entry(name, function, ("192.0.2.1",), 20022)
    for name, function in [("a1", "sensors"), ("a2", "sensors"), ("b1", "sensors"), ("col", "collectors")]
}


def test_old_certificates_and_those_half_way_are_due() -> None:
    known = {
        "old": OLD,
        "new": NEW,
        "made": State("prepared", NEW.begins, NEW.ends),
        "on": State("switched", *span(NEW)),
    }
    assert rotate.due(known, NOW - rotate.FRESH, None) == ["old", "made", "on"]
    assert rotate.due(known, NOW, None) == ["old", "new", "made", "on"]


def span(state: State) -> tuple[dt.datetime, dt.datetime]:
    return state.begins, state.ends


@pytest.mark.parametrize(("days", "names"), [(30, []), (99, []), (101, ["old"]), (900, ["old", "new"])])
def test_by_their_end(days: int, names: list[str]) -> None:
    assert rotate.due({"old": OLD, "new": NEW}, NOW - rotate.FRESH, NOW + days * DAY) == names


def test_a_point_in_time_without_a_zone_is_utc() -> None:
    assert rotate.moment("2026-11-25T12:00") == NOW
    assert rotate.moment("2026-11-25T13:00+01:00") == NOW
    with pytest.raises(Refusal, match="'yesterday' is no point in time"):
        rotate.moment("yesterday")


def test_sensors_first_and_a_collector_alone_at_the_end() -> None:
    order = rotate.plan(HOSTS, ["col", "a1", "a2", "b1"], {"a1": "a", "a2": "a", "b1": "b"}, 10)
    assert order[-1] == ["col"]
    assert len(order[0]) == 1
    assert sorted(name for batch in order for name in batch) == sorted(HOSTS)


def test_what_the_hosts_said(tmp_path: Path) -> None:
    said = {"step": "prepared", "begins": "1764072000", "ends": "1833192000"}
    (tmp_path / "a1.json").write_text(json.dumps(said))
    known = rotate.states(tmp_path, ["a1", "a2"])
    assert list(known) == ["a1"]
    assert (known["a1"].step, known["a1"].begins) == ("prepared", dt.datetime.fromtimestamp(1764072000, dt.UTC))


class Hosts:
    """Stands for the playbook and the canary."""

    def __init__(
        self,
        *,
        bad: Sequence[str] = (),
        away: Sequence[str] = (),
        deaf: Sequence[str] = (),
        silent: str = "",
        trusted: Sequence[str] = (),
    ) -> None:
        self.bad, self.away, self.deaf, self.silent, self.trusted = bad, away, deaf, silent, trusted
        self.steps: list[tuple[str, list[str]]] = []
        self.canaries: list[list[str]] = []

    def run(self, _progress: Progress, _place: str, names: Sequence[str], tag: str, _what: tuple[str, str]) -> Marks:
        self.steps.append((tag, list(names)))
        there = {name for name in names if name not in self.away}
        peers = {"a1", "a2", "b1"} - set(self.away) if "col" in names else set()
        return Marks(
            dict.fromkeys(there, OLD),
            proven=there - set(self.bad) if tag == rotate.SWITCH else set(),
            done=there - set(self.trusted) if tag == rotate.WITHDRAW else set(),
            learned=peers,
            takes=peers - set(self.deaf),
        )

    def canary(self, _progress: Progress, _place: str, hosts: Sequence[Entry]) -> bool:
        assert {host.function for host in hosts} == {"sensors"}
        self.canaries.append([host.name for host in hosts])
        return self.silent not in self.canaries[-1]


ORDER = [["a1"], ["a2", "b1"], ["col"]]


def course(monkeypatch: pytest.MonkeyPatch, hosts: Hosts) -> Course:
    monkeypatch.setattr(rotate, "run", hosts.run)
    monkeypatch.setattr(rotate, "canary", hosts.canary)
    return rotate.go(Progress("test"), "inventory", ORDER, HOSTS)


def said(result: Course) -> str:
    out = io.StringIO()
    rotate.conclude(Console(file=out, width=300), result)
    return out.getvalue()


def test_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch proves itself; then all old certificates go at once, and events come through the new connections."""
    hosts = Hosts()
    result = course(monkeypatch, hosts)
    assert (result.done, result.stopped) == (["a1", "a2", "b1", "col"], "")
    assert hosts.steps == [*(("switch", batch) for batch in ORDER), ("withdraw", ["a1", "a2", "b1", "col"])]
    assert hosts.canaries == [["a1"], ["a2", "b1"], ["a1", "a2", "b1"]]


def test_a_failed_host_stops_the_rest_and_nothing_of_its_batch_is_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(bad=["b1"])
    result = course(monkeypatch, hosts)
    assert (result.done, result.failed, result.left) == (["a1"], ["b1"], ["col"])
    assert hosts.steps[-1] == ("withdraw", ["a1"])
    assert "Stopped, for b1 failed. Not begun: col." in said(result)


def test_a_missing_canary_stops_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = Hosts(silent="a1")
    result = course(monkeypatch, hosts)
    assert (result.left, result.done) == (["a2", "b1", "col"], [])
    assert hosts.steps == [("switch", ["a1"])]


def test_a_collector_that_a_sensor_can_not_connect_to_keeps_its_old_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hosts = Hosts(deaf=["a2"])
    result = course(monkeypatch, hosts)
    assert hosts.steps[-1] == ("withdraw", ["a1", "a2", "b1"])
    assert "a2 could not connect to col" in said(result)


def test_a_host_that_is_away_stops_nobody_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    result = course(monkeypatch, Hosts(away=["a1"]))
    assert (result.away, result.done) == (["a1"], ["a2", "b1", "col"])
    assert result.ignorant == ["a1"]
    assert "--limit a1" in said(result)


def test_an_old_certificate_that_is_trusted_still_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    result = course(monkeypatch, Hosts(trusted=["b1"]))
    assert result.done == ["a1", "a2", "col"]
    assert "the old certificates of b1 are trusted still" in said(result)


def test_the_plan_of_a_hundred_hosts_mixes_the_providers(tmp_path: Path) -> None:
    write_fleet(tmp_path, hosts=100, providers=30, seed=1, today=NOW.date())
    provider_of = {host.name: host.provider for host in load(tmp_path, NOW.date()).hosts()}
    hosts = {name: Entry(name, "sensors", ("192.0.2.1",), 20022) for name in provider_of}
    order = rotate.plan(hosts, list(hosts), provider_of, 10)
    assert [len(order[0]), max(map(len, order))] == [1, 10]
    assert all(len({provider_of[name] for name in batch}) == len(batch) for batch in order)
