"""Providers' journals: what is entered, how often, what is refused, and the scorecard that follows."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from strandline_fleet import journal
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import change
from strandline_fleet.inventory.change import Change
from strandline_fleet.inventory.load import load
from strandline_fleet.inventory.model import Fleet
from strandline_fleet.journal import Criterion, Entry, Kind

ROOT = Path(__file__).resolve().parents[2]
TODAY = dt.date(2026, 11, 25)
DAY = dt.timedelta(days=1)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the example, which may be changed."""
    return Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))


def fleet_of(inventory: Path) -> Fleet:
    fleet = load(inventory, TODAY)
    assert fleet.errors == ()
    return fleet


def note(text: str, day: dt.date = TODAY, **more: object) -> Entry:
    return Entry("alder", day, Kind.NOTE, text, **more)  # type: ignore[arg-type]


def enter(inventory: Path, *entries: Entry) -> bool:
    """Enter them, and say whether something was written."""
    planned = Change(journal.entered(fleet_of(inventory), entries))
    planned.apply()
    return bool(planned)


def test_entries_are_read_as_they_were_entered_and_once_only(inventory: Path) -> None:
    entries = [
        note('a "quoted": text, {{ with }} # signs and \\ ä', host="ams1", about=Criterion.SUPPORT, score=4),
        Entry("alder", TODAY, Kind.OUTAGE, "12:00 UTC: gone", "no"),
        note("yes"),
    ]
    assert enter(inventory, *entries, entries[0])
    assert not enter(inventory, *entries)
    assert journal.read(inventory) == {"alder": entries}
    assert fleet_of(inventory).problems == ()
    # YAML 1.1 is what Ansible and many editors read.
    items = yaml.safe_load((inventory / "journal" / "alder.yml").read_text())["journal"]
    assert [(item["text"], item.get("host")) for item in items] == [(each.text, each.host or None) for each in entries]


@pytest.mark.parametrize(
    "before",
    [
        "# mine\n---\n# and mine\njournal:\n- {day: 2026-01-02, kind: note, text: old}  # why\n",
        "journal:\n    -   day: 2026-01-02\n        kind: note\n        text: old\n",
        "---\njournal: [{day: 2026-01-02, kind: note, text: old}]\n",
    ],
)
def test_an_operators_file_keeps_what_stands_in_it(inventory: Path, before: str) -> None:
    path = inventory / "journal" / "alder.yml"
    path.parent.mkdir()
    path.write_text(before)
    assert enter(inventory, note("new"))
    after = path.read_text()
    assert [entry.text for entry in journal.read(inventory)["alder"]] == ["old", "new"]
    assert after.startswith("# mine\n---\n# and mine\n") or not before.startswith("#")
    assert ("# why" in after) == ("# why" in before)


@pytest.mark.parametrize("before", ["", "# nothing yet\n", "---\njournal:\n", "---\njournal: []\n"])
def test_a_file_without_entries_gets_its_first_one(inventory: Path, before: str) -> None:
    (inventory / "journal").mkdir()
    (inventory / "journal" / "alder.yml").write_text(before)
    planned = journal.entered(load(inventory, TODAY), [note("new")])
    Change(planned).apply()
    assert [entry.text for entry in journal.read(inventory)["alder"]] == ["new"]
    assert fleet_of(inventory)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (Entry("adler", TODAY, Kind.NOTE, "x"), "no provider 'adler'.*alder, birch"),
        (note("two\nlines"), "one line of printable"),
        (note(""), "one line of printable"),
        (note("\x1b[2Jgone"), "one line of printable"),
        (note("x" * 501), "501 characters; 500 is the most"),
        (note("x", score=3), "of one criterion"),
        (note("x", score=6, about=Criterion.SUPPORT), "6 is none"),
    ],
)
def test_what_can_be_no_entry_is_refused(inventory: Path, entry: Entry, expected: str) -> None:
    with pytest.raises(Refusal, match=expected):
        journal.entered(fleet_of(inventory), [entry])


@pytest.mark.parametrize(
    ("line", "field", "message", "remedy"),
    [
        ("{day: 2026-02-30, kind: note, text: x}", "journal.day", "no date of the past", "2026-11-28"),
        ("{day: 2999-01-01, kind: note, text: x}", "journal.day", "no date of the past", "2026-11-28"),
        ("{day: 2026-01-01, kind: notte, text: x}", "journal.kind", "'notte' is no kind", "did you mean 'note'"),
        ("{day: 2026-01-01, kind: note}", "journal.text", "is missing", ""),
        ('{day: 2026-01-01, kind: note, text: "a\\nb"}', "journal.text", "line's end", "one line"),
        ("{day: 2026-01-01, kind: note, text: x, abuot: support}", "journal.abuot", "no known key", "about"),
        ("{day: 2026-01-01, kind: note, text: x, about: support, score: 9}", "journal.score", "'9' is no", "1 (bad)"),
        ("{day: 2026-01-01, kind: note, text: x, host: no}", "journal.host", "read as the word no", "in quotes"),
        ("ticket answered", "journal", "is no entry", "{day:"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_line_field_and_remedy(
    inventory: Path, line: str, field: str, message: str, remedy: str
) -> None:
    path = inventory / "journal" / "alder.yml"
    path.parent.mkdir()
    path.write_text(f"---\n# head\njournal:\n  - {{day: 2026-01-01, kind: note, text: good}}\n  - {line}\n")
    problems = load(inventory, TODAY).errors
    assert [(problem.file, problem.line, problem.field) for problem in problems] == [(str(path), 5, field)]
    assert message in problems[0].message
    assert remedy in problems[0].remedy


def test_a_journal_by_another_name_is_named(inventory: Path) -> None:
    (inventory / "journal").mkdir()
    (inventory / "journal" / "alder.txt").write_text("hello")
    assert "call it alder.yml" in str(load(inventory, TODAY).errors[0])


def test_renumbering_enters_the_address_and_only_once(inventory: Path) -> None:
    for _ in range(2):
        change.renumbered(fleet_of(inventory), "ams1", "198.51.100.11", "198.51.100.99", day=TODAY).apply()
    text = "198.51.100.11 became 198.51.100.99"
    assert journal.read(inventory) == {"alder": [Entry("alder", TODAY, Kind.ADDRESS, text, "ams1")]}


def test_a_renumbering_that_is_stopped_in_between_has_entered_the_address(
    inventory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = change.renumbered(fleet_of(inventory), "ams1", "198.51.100.11", "198.51.100.99", day=TODAY)
    replaced = os.replace

    def once(*paths: Path) -> None:
        monkeypatch.setattr(os, "replace", stopped)
        replaced(*paths)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", once)
    with pytest.raises(KeyboardInterrupt):
        planned.apply()
    monkeypatch.setattr(os, "replace", replaced)
    assert len(journal.read(inventory)["alder"]) == 1
    # The next run finds the old address still there.
    change.renumbered(fleet_of(inventory), "ams1", "198.51.100.11", "198.51.100.99", day=TODAY).apply()
    assert len(journal.read(inventory)["alder"]) == 1
    assert "198.51.100.99" in (inventory / "providers" / "alder.yml").read_text()


def test_the_watchers_news_become_outages_of_the_right_provider(inventory: Path) -> None:
    (inventory / "former_leases.yml").write_text(
        "former_leases:\n  old1: {provider: Elm Hosting, group: elm, retired: 2026-01-02, reason: vanished}\n"
    )
    rows = [
        {"at": "2026-11-24T14:02:00", "sensor": "scl1", "state": "silent", "text": "scl1 has not been heard"},
        {"at": "2026-11-24T15:02:00", "sensor": "scl1", "state": "ok", "text": "scl1 is heard again"},
        {"at": "2026-11-24T16:02:00", "sensor": "old1", "state": "silent", "text": "old1 has not\x1b been heard"},
        {"at": "2026-11-24T16:02:00", "sensor": "stranger", "state": "silent", "text": "unknown"},
    ]
    fleet = fleet_of(inventory)
    found = journal.news(fleet, json.dumps(rows), "hub1")
    assert [(each.provider, each.kind, each.text) for each in found] == [
        ("birch", Kind.OUTAGE, "14:02 UTC: scl1 has not been heard"),
        ("birch", Kind.BACK, "15:02 UTC: scl1 is heard again"),
        ("elm", Kind.OUTAGE, "16:02 UTC: old1 has not? been heard"),
    ]
    assert enter(inventory, *found)
    assert not enter(inventory, *journal.news(fleet, json.dumps(rows), "hub1"))
    with pytest.raises(Refusal, match="The database on hub1 answered something else"):
        journal.news(fleet, "[{}]", "hub1")


def test_the_scorecard_counts_a_year_and_knows_when_each_criterion_was_checked(inventory: Path) -> None:
    provider = fleet_of(inventory).providers[0]
    entries = [
        Entry("alder", TODAY - 400 * DAY, Kind.OUTAGE, "long ago"),
        note("slow", TODAY - 390 * DAY, about=Criterion.SUPPORT, score=2),
        Entry("alder", TODAY - 30 * DAY, Kind.OUTAGE, "one"),
        Entry("alder", TODAY - 20 * DAY, Kind.OUTAGE, "two"),
        Entry("alder", TODAY - 10 * DAY, Kind.REINSTALL, "three"),
        Entry("alder", TODAY - 10 * DAY, Kind.PRICE, "dearer"),
        note("quick now", TODAY - 5 * DAY, about=Criterion.SUPPORT, score=4),
        note("by phone, too", TODAY - 4 * DAY, about=Criterion.SUPPORT),
        note("not yet", TODAY + DAY, about=Criterion.REPUTATION, score=1),
    ]
    card = {mark.criterion: mark for mark in journal.scorecard(provider, entries, TODAY)}
    assert list(card) == list(Criterion)
    assert card[Criterion.SUPPORT] == journal.Mark(Criterion.SUPPORT, 4, "by phone, too", TODAY - 4 * DAY)
    assert card[Criterion.PROFESSIONALISM].says == "2 outages, 1 reinstall in a year"
    assert card[Criterion.PAYMENT].says == "card; 1 price change in a year"
    assert card[Criterion.HISTORICITY].says == "customer since 2024-03-01"
    assert card[Criterion.REPUTATION].score is None
    assert [mark.criterion for mark in card.values() if mark.stale(TODAY)] == [
        Criterion.HISTORICITY, Criterion.REPUTATION, Criterion.PAYMENT, Criterion.PROFESSIONALISM,
    ]  # fmt: skip
    said = journal.shown("Alder Hosting", card.values(), entries)
    assert max(map(len, said.splitlines())) <= 80


def test_a_renamed_or_merged_providers_journal_goes_on(inventory: Path) -> None:
    enter(inventory, note("first"), note("third", TODAY), Entry("birch", TODAY - DAY, Kind.NOTE, "second"))
    fleet = fleet_of(inventory)
    Change(journal.renamed(fleet, "alder", "alnus")).apply()
    assert [entry.text for entry in journal.read(inventory)["alnus"]] == ["first", "third"]
    assert "alder" not in journal.read(inventory)
    Change(journal.renamed(fleet, "alnus", "birch")).apply()
    assert [entry.text for entry in journal.read(inventory)["birch"]] == ["second", "first", "third"]
    assert journal.renamed(fleet, "alnus", "birch") == {}


def play(inventory: Path, verb: str, variables: Mapping[str, object], *arguments: str) -> tuple[int, str]:
    """Run a verb's playbook by plain Ansible: exit code, and what was said with single spaces."""
    done = subprocess.run(
        [
            *("ansible-playbook", f"--inventory={inventory}", f"playbooks/{verb}.yml"),
            *(f"--extra-vars={json.dumps(variables)}", *arguments),
        ],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.slow
def test_the_playbooks_write_and_show_and_check_mode_does_not_write(inventory: Path) -> None:
    said_so = {"note_provider": "birch", "note_text": "answered", "note_about": "support", "note_score": 2}
    code, said = play(inventory, "note", said_so, "--check", "--diff")
    assert code == 0, said
    assert 'text: "answered' in said
    assert not (inventory / "journal").exists()
    code, said = play(inventory, "journal", {})
    assert code == 0, said
    code, said = play(inventory, "note", {"note_provider": "birch", "note_text": "answered", "note_day": "2026-02-30"})
    assert code == 2, said
    assert "day (--day): '2026-02-30' is no date" in said
    code, said = play(inventory, "note", {"note_provider": "birch", "note_text": "late", "note_host": "ams1"})
    assert code == 2, said
    assert "ams1 is leased from alder, not from birch" in said
    code, said = play(inventory, "note", {"note_provider": "birch"})
    assert code == 2, said
    assert "say what happened" in said
    code, said = play(inventory, "note", {"note_provider": "birch", "note_text": "late", "note_host": "scl1"})
    assert code == 0, said
    code, said = play(inventory, "journal", {"journal_providers": "birch"})
    assert code == 0, said
    assert "Birch Servers" in said
    assert "scl1 late" in said
    assert "Alder" not in said
    code, said = play(inventory, "journal", {"journal_providers": "elm"})
    assert code == 2, said
    assert "There is no provider elm" in said
