"""What is due: by the inventory and a clock of the test's own, and the verb by plain ansible-playbook."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from strandline_fleet import due
from strandline_fleet.due import Item, Kind
from strandline_fleet.inventory.load import load

ROOT = Path(__file__).resolve().parents[2]
TODAY = dt.date(2026, 11, 25)
LEASE = "renews: 2027-03-01, status: active"


def day(days: int, since: dt.date = TODAY) -> dt.date:
    """So many days later."""
    return since + dt.timedelta(days=days)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the example, which may be changed. Alder wants to know 14 days ahead."""
    return Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))


def lease(inventory: Path, text: str, old: str = LEASE) -> None:
    """Give ams1 another lease."""
    path = inventory / "providers" / "alder.yml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, text, 1))


def of_ams1(inventory: Path, today: dt.date = TODAY) -> list[tuple[dt.date, Kind]]:
    """The days of ams1."""
    found = due.items(load(inventory, today), {}, today)
    return [(item.day, item.kind) for item in found if item.host == "ams1"]


@pytest.mark.parametrize(
    ("renews", "more", "expected"),
    [
        (40, "status: active", [(26, Kind.CANCEL), (40, Kind.RENEWAL)]),
        (14, "status: active", [(0, Kind.CANCEL), (14, Kind.RENEWAL)]),
        (13, "status: active", [(13, Kind.RENEWAL)]),
        (0, "status: active", [(0, Kind.RENEWAL)]),
        (-1, "status: active, auto_renew: false", [(-1, Kind.LAPSED)]),
        (-1, "status: active", [(350, Kind.CANCEL), (364, Kind.RENEWAL)]),
        (40, "status: active, auto_renew: false", [(40, Kind.RENEWAL)]),
        (40, "status: active, cancel_days: 30", [(10, Kind.CANCEL), (40, Kind.RENEWAL)]),
        (40, "status: active, cancel_days: 0", [(40, Kind.RENEWAL)]),
        (5, "status: cancelled", [(5, Kind.ENDS)]),
        (0, "status: cancelled", [(0, Kind.ENDS)]),
        (-5, "status: cancelled", [(-5, Kind.ENDED)]),
    ],
)
def test_the_days_of_a_lease(inventory: Path, renews: int, more: str, expected: list[tuple[int, Kind]]) -> None:
    lease(inventory, f"renews: {day(renews)}, {more}")
    assert of_ams1(inventory) == [(day(days), kind) for days, kind in expected]


def test_a_provider_that_says_nothing_has_no_last_day_to_cancel(inventory: Path) -> None:
    found = due.items(load(inventory, TODAY), {}, TODAY)
    assert [item.kind for item in found if item.host == "scl1"] == [Kind.RENEWAL]


def test_what_is_due_is_so_many_days_ahead_and_a_certificate_earlier(inventory: Path) -> None:
    soon, far = (dt.datetime.combine(day(days), dt.time(5), dt.UTC) for days in (45, 3000))
    ends = {"ams1": soon, "collector1": far}
    lease(inventory, f"renews: {day(45)}, status: active")
    found = due.items(load(inventory, TODAY), ends, TODAY)
    assert [(item.host, item.kind) for item in found if item.is_due(TODAY, 30, 60)] == [("ams1", Kind.CERTIFICATE)]
    at_once = [item for item in found if item.is_due(TODAY, 31, 60)]
    assert [(item.host, item.kind) for item in at_once] == [("ams1", Kind.CANCEL), ("ams1", Kind.CERTIFICATE)]
    assert [item.day for item in found] == sorted(item.day for item in found)
    central = next(item for item in found if item.host == "collector1")
    assert (central.provider, central.panel) == ("", "")


def test_what_is_told_names_price_day_and_panel_and_too_late(inventory: Path) -> None:
    lease(inventory, f"renews: {day(3)}, status: active")
    (item,) = (item for item in due.items(load(inventory, TODAY), {}, TODAY) if item.host == "ams1")
    (notice,) = due.notices([item], TODAY)
    assert notice == {
        "subject": "renews ams1",
        "state": "due",
        "text": "ams1 (Alder Hosting): 2026-11-28, in 3 days: renews for 24.00 EUR a year; it is too late to cancel."
        " https://panel.alder.example.org/",
    }


def test_what_a_provider_is_called_moves_no_terminal_and_adds_no_line(inventory: Path) -> None:
    item = Item(TODAY, Kind.ENDED, "x1", "A\x1b[2J\nB", "it has ended")
    (notice,) = due.notices([item], TODAY)
    assert notice["text"] == "x1 (A?[2J B): 2026-11-25, today: it has ended."


def test_an_event_keeps_its_identity_and_two_networks_have_two() -> None:
    item = Item(TODAY, Kind.CANCEL, "ams1", "Alder", "last day to cancel", "https://panel.example.org/")
    (one,), (again,), (other,) = (list(due.events([item], name)) for name in ("Net", "Net", "Ünd, so"))
    assert one == again
    assert one.uid != other.uid
    assert re.fullmatch(r"[a-z0-9@.-]+", other.uid)


def play(inventory: Path, *arguments: str, **variables: object) -> tuple[int, str]:
    """Run the verb: exit code, and what was said with single spaces."""
    done = subprocess.run(
        [
            *("ansible-playbook", f"--inventory={inventory}", "playbooks/due.yml"),
            *(f"--extra-vars={json.dumps(variables)}", *arguments),
        ],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def certificate(path: Path, ends: dt.datetime) -> None:
    """Write one that ends then."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, dt.datetime(2020, 1, 1), ends)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


@pytest.mark.slow
def test_the_verb_fails_when_something_is_due_writes_the_calendar_and_tells(inventory: Path, tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC).date()
    lease(inventory, f"renews: {day(400, now)}, status: active")
    lease(inventory, f"renews: {day(300, now)}, status: active", "renews: 2027-01-15, status: active")
    birch = inventory / "providers" / "birch.yml"
    birch.write_text(birch.read_text().replace("renews: 2027-08-15", f"renews: {day(200, now)}"))
    told = tmp_path / "told"
    ics = tmp_path / "fleet.ics"
    all_yml = inventory / "group_vars" / "all.yml"
    all_yml.write_text(f"{all_yml.read_text()}fleet_tell_command: [tee, '{told}']\n")
    code, said = play(inventory, due_mail=True, due_ics=str(ics))
    assert (code, "Nothing is due" in said) == (0, True), said
    assert not told.exists()
    first = ics.read_bytes()
    assert first.count(b"BEGIN:VEVENT") == 5, "three renewals, and two last days to cancel"

    code, said = play(inventory, due_ics=str(ics))
    assert (code, ics.read_bytes() == first) == (0, True), said

    certificate(inventory / "certificates" / "ams1.pem", dt.datetime.combine(day(20, now), dt.time()))
    certificate(inventory / "certificates" / "gone1.pem", dt.datetime.combine(day(20, now), dt.time()))
    code, said = play(inventory, "--check", "--diff", due_mail=True, due_ics=str(ics))
    assert (code, "+SUMMARY:ams1: certificate" in said) == (2, True), said
    assert (ics.read_bytes() == first, told.exists()) == (True, False)

    code, said = play(inventory, due_mail=True, due_ics=str(ics), due_days=190)
    assert code == 2, said
    assert "1 item is due" in said
    assert "in 20 days: its certificate ends: ./strandline rotate_certificates -i INVENTORY ams1" in said
    assert told.read_text().count("\n") == 1
    assert "its certificate ends" in told.read_text()
    assert ics.read_bytes().count(b"BEGIN:VEVENT") == 6

    code, said = play(inventory, due_days=200, due_certificate_days=5)
    assert (code, "scl1" in said) == (2, True), said


@pytest.mark.slow
def test_a_calendar_that_can_not_be_written_is_named(inventory: Path) -> None:
    code, said = play(inventory, due_ics="/nowhere/fleet.ics")
    assert code == 2
    assert "/nowhere/fleet.ics: No such file or directory. Name a file (due_ics, --ics)" in said
