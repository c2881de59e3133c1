"""The report: its figures, its page, and what an inventory's text can't do to it."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import html
import json
import os
import re
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from strandline_fleet.inventory.former import former_leases
from strandline_fleet.inventory.load import load
from strandline_fleet.journal import Entry, Kind
from strandline_fleet.origins import origins, table_of
from strandline_fleet.report import Known, render, short, summarise, write
from strandline_fleet.serving import Serving, read

from strandline_cli.errors import Refusal
from tests.generate_fleet import write_fleet

ROOT = Path(__file__).resolve().parents[2]
NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)

BY_HAND = "status: active, auto_renew: false"
HOST = """        {name}:
          addresses: [{addresses}]
          place: {{city: Amsterdam, country: NL, continent: EU}}
          lease: {{plan: nano, price: {price}, currency: USD, period: year, renews: {renews}, {status}}}
"""


def fleet_of(directory: Path, hosts: list[tuple[str, str, float, str]], provider: str = "Alder Hosting") -> Path:
    (directory / "providers").mkdir(parents=True)
    text = (
        "sensors:\n  children:\n    provider_alder:\n"
        f"      vars: {{provider: {{name: '{provider}', since: 2025-11-25}}}}\n      hosts:\n"
    )
    text += "".join(HOST.format(status=BY_HAND, name=n, addresses=a, price=p, renews=r) for n, a, p, r in hosts)
    (directory / "providers" / "alder.yml").write_text(text)
    return directory


@pytest.fixture
def three(tmp_path: Path) -> Path:
    return fleet_of(
        tmp_path / "three",
        [
            ("cheap", "45.0.0.1, 46.0.0.1", 10, "2026-12-01"),
            ("dear", "45.0.0.2", 50, "2027-06-01"),
            ("lone", "81.0.0.1", 20, "2026-11-01"),
        ],
    )


def test_figures(three: Path) -> None:
    report = summarise(load(three, NOW.date()), NOW, Known())
    assert (report["hosts"], report["addresses"]) == (3, 4)
    assert report["coverage"]["slash8s"] == [45, 46, 81]
    assert report["coverage"]["addresses_by_slash8"] == {"45": 2, "46": 1, "81": 1}
    assert str(report["cost"]["year"]) == "80.00"
    assert str(report["cost"]["per_slash8"]) == "26.67"
    assert [row["host"] for row in report["renewals"]["lapsed"]] == ["lone"]
    assert [row["host"] for row in report["renewals"]["due"]] == ["cheap"]
    assert report["providers"][0]["months"] == 11


def test_the_lease_without_a_slash8_of_its_own_goes_first(three: Path) -> None:
    report = summarise(load(three, NOW.date()), NOW, Known())
    assert [(row["host"], row["slash8s_alone"]) for row in report["give_up_first"]] == [
        ("dear", []),
        ("lone", [81]),
        ("cheap", [46]),
    ]


def test_certificates_are_listed_by_their_end(three: Path) -> None:
    ends = {"dear": NOW + dt.timedelta(days=400), "lone": NOW + dt.timedelta(days=20)}
    rows = summarise(load(three, NOW.date()), NOW, Known(certificates=ends))["certificates"]
    assert [(row["host"], row["days"], row["soon"]) for row in rows] == [("lone", 20, True), ("dear", 400, False)]


class Page(HTMLParser):
    """Collects the tags, the map's squares and whatever would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.squares = 0
        self.loaded: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.squares += tag == "rect" and dict(attrs).get("width") == "18.5"
        # A link is opened by the reader, not by the page.
        self.loaded += [str(value) for key, value in attrs if key == "src" or (key == "href" and tag != "a")]
        self.links += [str(value) for key, value in attrs if key == "href" and tag == "a"]


def test_the_page_draws_256_squares_and_loads_nothing(tmp_path: Path) -> None:
    write_fleet(tmp_path / "fleet", hosts=100, providers=30, seed=1, today=NOW.date())
    write(summarise(load(tmp_path / "fleet", NOW.date()), NOW, Known()), tmp_path / "out")
    page = Page()
    page.feed((tmp_path / "out" / "index.html").read_text())
    assert page.squares == 256
    assert page.loaded == []
    assert page.tags.count("script") == 1
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert data["hosts"] == 100
    assert 0.30 < data["coverage"]["share"] < 0.36
    assert len(data["continents"]) == 6
    assert data["cost"]["year"] == pytest.approx(sum(row["cost"] for row in data["providers"]), abs=0.01)


def test_text_of_the_inventory_is_escaped(tmp_path: Path) -> None:
    directory = fleet_of(tmp_path / "f", [("a", "45.0.0.1", 1, "2027-01-01")], provider="<script>alert(1)</script>")
    page = render(summarise(load(directory, NOW.date()), NOW, Known()))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_the_only_script_that_may_run_is_named_by_its_hash(three: Path) -> None:
    page = render(summarise(load(three, NOW.date()), NOW, Known()))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html.unescape(page)


def test_what_has_to_be_done_stands_first_and_the_most_urgent_at_the_top(three: Path) -> None:
    path = three / "providers" / "alder.yml"
    text = path.read_text().replace("name: 'Alder Hosting'", "name: A, panel: 'https://panel.example.org/?a=1&b=2'")
    path.write_text(text)
    today = NOW.date()
    said = {"dear": Serving(today - dt.timedelta(days=90), today - dt.timedelta(days=9), 80)}
    known = Known(
        serving=said | {"cheap": Serving(today, today, 0), "lone": Serving(today, today, 0)},
        certificates={"dear": NOW + dt.timedelta(days=20), "cheap": NOW - dt.timedelta(days=1)},
    )
    report = summarise(load(three, today), NOW, known)
    assert [(row["host"], row["day"], row["command"]) for row in report["actions"]] == [
        ("dear", "2026-11-16", "./strandline verify -i INVENTORY dear"),
        ("lone", "2026-11-01", "./strandline renewed -i INVENTORY lone"),
        ("cheap", "2026-11-24", "./strandline rotate_certificates -i INVENTORY cheap"),
        ("cheap", "2026-12-01", "./strandline renewed -i INVENTORY cheap"),
        ("dear", "2026-12-15", "./strandline rotate_certificates -i INVENTORY dear"),
    ]
    page = Page()
    page.feed(render(report))
    assert set(page.links) == {"https://panel.example.org/?a=1&b=2"}


def test_a_link_that_would_run_something_is_none(three: Path) -> None:
    path = three / "providers" / "alder.yml"
    path.write_text(path.read_text().replace("name: 'Alder Hosting'", "name: A, panel: 'javascript:alert(1)'"))
    report = summarise(load(three, NOW.date()), NOW, Known())
    assert {row["panel"] for row in report["fleet"]} == {""}


def test_cash_falls_due_in_its_month_and_a_cancelled_lease_is_not_paid(tmp_path: Path) -> None:
    directory = fleet_of(
        tmp_path / "f",
        [
            ("a", "45.0.0.1", 10, "2026-11-25"),
            ("b", "46.0.0.1", 20, "2027-01-31"),
            ("gone", "47.0.0.1", 70, "2027-02-01"),
        ],
    )
    path = directory / "providers" / "alder.yml"
    lines = path.read_text().splitlines(keepends=True)
    lines = [line.replace("period: year", "period: month") if "2027-01-31" in line else line for line in lines]
    lines = [line.replace("status: active", "status: cancelled") if "2027-02-01" in line else line for line in lines]
    path.write_text("".join(lines))
    report = summarise(load(directory, NOW.date()), NOW, Known())
    amounts = {row["month"]: (str(row["amount"]), row["hosts"]) for row in report["cash"]}
    assert next(iter(amounts)) == "2026-11"
    assert list(amounts)[-1] == "2027-10"
    assert amounts["2026-11"] == ("10.00", ["a"])
    assert amounts["2026-12"] == ("0.00", [])
    assert amounts["2027-01"] == amounts["2027-02"] == amounts["2027-10"] == ("20.00", ["b"])
    after = report["after_cancellations"]
    assert (after["hosts"], after["covered"], after["lost"]) == (["gone"], 2, [47])


def test_a_host_is_shown_with_what_an_operator_looks_up(three: Path) -> None:
    (three / "group_vars").mkdir()
    (three / "group_vars" / "all.yml").write_text("fleet_admin_user: admin\nfleet_admin_port: 20022\n")
    report = summarise(load(three, NOW.date()), NOW, Known(asns={"45.0.0.1": 64496, "46.0.0.1": None}))
    row = report["fleet"][0]
    assert (row["host"], row["asns"], row["admin"]) == ("cheap", [64496], "ssh -p 20022 admin@45.0.0.1")
    assert (row["city"], row["addresses"]) == ("Amsterdam", ["45.0.0.1", "46.0.0.1"])


def test_incidents_come_from_the_journals(three: Path) -> None:
    today = NOW.date()
    entries = [
        Entry("alder", today - dt.timedelta(days=400), Kind.OUTAGE, "long ago", "dear"),
        Entry("alder", today - dt.timedelta(days=2), Kind.OUTAGE, "<b>gone</b>", "dear"),
        Entry("alder", today, Kind.NOTE, "kind"),
    ]
    report = summarise(load(three, today), NOW, Known(journals={"alder": entries}))
    (row,) = report["incidents"]
    assert (row["incidents"], row["per_host"], row["newest"]) == (1, 0.33, "2026-11-23: dear: <b>gone</b>")
    assert "&lt;b&gt;gone" in render(report)


def test_a_hundred_hosts_take_less_than_three_seconds(tmp_path: Path) -> None:
    write_fleet(tmp_path / "fleet", hosts=100, providers=30, seed=1, today=NOW.date())
    began = time.process_time()
    write(summarise(load(tmp_path / "fleet", NOW.date()), NOW, Known()), tmp_path / "out")
    assert time.process_time() - began < 3


def test_an_empty_fleet_has_a_report(tmp_path: Path) -> None:
    page = render(summarise(load(tmp_path, NOW.date()), NOW, Known()))
    assert "copy inventory/example" in page


def test_origins_are_counted_by_the_publishers_table(three: Path, tmp_path: Path) -> None:
    table = tmp_path / "asn.tsv"
    table.write_text("45.0.0.0\t45.255.255.255\t64496\tNL\tALDER\n46.0.0.0\t46.255.255.255\t64497\tDE\tBIRCH <b>\n")
    rows = origins(load(three, NOW.date()).hosts(), table)
    assert [(row["asn"], row["addresses"], row["hosts"]) for row in rows] == [
        (64496, 2, 2),
        (None, 1, 1),
        (64497, 1, 1),
    ]
    page = render(summarise(load(three, NOW.date()), NOW, Known(origins=rows)))
    assert "BIRCH &lt;b&gt;" in page
    assert "not announced, by the table" in page


def test_a_bad_table_is_refused_with_its_line(three: Path, tmp_path: Path) -> None:
    table = tmp_path / "asn.tsv"
    table.write_text("45.0.0.0\t45.0.0.255\tmany\tNL\tALDER\n")
    with pytest.raises(Refusal, match="line 1 number: 'many' is not an AS number"):
        origins(load(three, NOW.date()).hosts(), table)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("{}", "is not set"),
        ('fleet_asn_table: "{{ somewhere }}/asn.tsv"', "--asn-table"),
        ("fleet_asn_table: /nowhere/asn.tsv", "/nowhere/asn.tsv, which is not on this machine"),
    ],
)
def test_without_a_table_the_report_says_why(three: Path, settings: str, why: str) -> None:
    (three / "group_vars").mkdir()
    (three / "group_vars" / "all.yml").write_text(settings)
    fleet = load(three, NOW.date())
    table, missing = table_of(fleet, None)
    assert table is None
    assert why in missing
    assert missing.split(":")[0] in render(summarise(fleet, NOW, Known(origins_missing=missing)))


def test_silent_days_and_who_is_silent(three: Path) -> None:
    today = NOW.date()
    days = dt.timedelta(days=1)
    said = {
        "cheap": Serving(first=today - 400 * days, last=today, days=87),
        "dear": Serving(first=today - 10 * days, last=today - 3 * days, days=8),
    }
    report = summarise(load(three, today), NOW, Known(serving=said))
    assert report["providers"][0]["silent_days"] == 3 + 2
    assert [(row["host"], row["last"]) for row in report["silent"]] == [("lone", None), ("dear", today - 3 * days)]
    assert summarise(load(three, today), NOW, Known())["silent"] is None


def test_a_sensor_that_began_today_has_no_silent_day() -> None:
    assert Serving(first=NOW.date(), last=NOW.date(), days=0).silent_days(NOW.date()) == 0


def test_a_database_that_answers_something_else_is_named() -> None:
    row = '{"sensor": "a", "first": "2026-01-01", "last": "2026-11-25", "days": 80}'
    assert read(f"[{row}]", "hub1")["a"].days == 80
    with pytest.raises(Refusal, match="The database on hub1 answered something else"):
        read('[{"sensor": "a"}]', "hub1")


def play(inventory: Path, output: Path, *arguments: str) -> tuple[int, str]:
    """Run the verb by plain ansible-playbook."""
    done = subprocess.run(
        [
            "ansible-playbook", f"--inventory={inventory}", "playbooks/report.yml",
            f"--extra-vars=report_output={output}", *arguments,
        ],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "STRANDLINE_LOG_DIRECTORY": str(output.parent / "log")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_the_playbook_makes_the_report_and_asks_no_host(tmp_path: Path) -> None:
    output = tmp_path / "report"
    code, said = play(ROOT / "inventory" / "example", output, "--check")
    assert code == 0, said
    assert "Coverage" in said
    assert not output.exists()
    code, said = play(ROOT / "inventory" / "example", output, "--limit=ams1")
    assert code == 0, said
    assert f"The whole report: {output}/index.html" in said
    assert json.loads((output / "report.json").read_text())["hosts"] > 0
    assert (output / "index.html").exists()


@pytest.mark.slow
def test_the_playbook_says_what_is_wrong_with_its_variables(tmp_path: Path) -> None:
    code, said = play(ROOT / "inventory" / "example", tmp_path / "report", "--extra-vars=report_asn_table=/nonexistent")
    assert code == 2
    assert "/nonexistent is no file" in said
    (tmp_path / "file").touch()
    code, said = play(ROOT / "inventory" / "example", tmp_path / "file" / "report")
    assert code == 2
    assert "Not a directory" in said


def test_the_short_report_can_be_read_at_80_columns(three: Path) -> None:
    silent = {"cheap": Serving(NOW.date(), NOW.date() - dt.timedelta(days=5), 1)}
    said = short(summarise(load(three, NOW.date()), NOW, Known(serving=silent)))
    assert max(map(len, said.splitlines())) <= 80
    lines = {line[:16].strip(): line[16:].strip() for line in said.splitlines()}
    assert lines["Hosts"] == "3 with 4 addresses"
    assert lines["Lapsed"] == "lone (2026-11-01)"
    assert lines["Due in 30 days"] == "cheap (2026-12-01)"
    assert lines["Silent"].startswith("dear (since ever)")


def test_the_price_trend_goes_from_the_first_known_price_to_the_present_one(three: Path) -> None:
    path = three / "providers" / "alder.yml"
    text = path.read_text()
    earlier = "earlier: [{until: 2025-11-01, price: 8}, {until: 2026-11-01, price: 9}]"
    path.write_text(text.replace("status: active", f"status: active, {earlier}", 1))
    assert str(summarise(load(three, NOW.date()), NOW, Known())["providers"][0]["price_trend"]) == "25.0"
    path.write_text(text)
    assert summarise(load(three, NOW.date()), NOW, Known())["providers"][0]["price_trend"] is None


def test_former_leases_are_counted_and_a_broken_record_is_named(three: Path) -> None:
    record = three / "former_leases.yml"
    record.write_text(
        "former_leases:\n  old1: {provider: Alder Hosting, retired: 2026-01-02, reason: vanished}\n"
        "  old2: {provider: Elm, retired: 2026-03-04, reason: dear}\n"
    )
    former = former_leases(three)
    assert [lease.host for lease in former] == ["old2", "old1"]
    report = summarise(load(three, NOW.date()), NOW, Known(former=former))
    assert report["providers"][0]["former"] == 1
    assert "vanished" in render(report)
    record.write_text("former_leases:\n  old1: {provider: Alder}\n")
    with pytest.raises(Refusal, match=r"former_leases.yml is not as"):
        former_leases(three)
