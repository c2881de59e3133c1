"""The report: its figures, its page, and what an inventory's text can't do to it."""

from __future__ import annotations

import datetime as dt
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from strandline_cli.fleet.load import load
from strandline_cli.fleet.report import render, summarise, write
from tests.generate_fleet import write_fleet

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)

HOST = """        {name}:
          addresses: [{addresses}]
          place: {{city: Amsterdam, country: NL, continent: EU}}
          lease: {{plan: nano, price: {price}, currency: USD, period: year, renews: {renews}, status: active}}
"""


def fleet_of(directory: Path, hosts: list[tuple[str, str, float, str]], provider: str = "Alder Hosting") -> Path:
    (directory / "providers").mkdir(parents=True)
    text = (
        "sensors:\n  children:\n    provider_alder:\n"
        f"      vars: {{provider: {{name: '{provider}', since: 2025-11-25}}}}\n      hosts:\n"
    )
    text += "".join(HOST.format(name=n, addresses=a, price=p, renews=r) for n, a, p, r in hosts)
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
    report = summarise(load(three, NOW.date()), NOW, {})
    assert (report["hosts"], report["addresses"]) == (3, 4)
    assert report["coverage"]["slash8s"] == [45, 46, 81]
    assert report["coverage"]["addresses_by_slash8"] == {"45": 2, "46": 1, "81": 1}
    assert str(report["cost"]["year"]) == "80.00"
    assert str(report["cost"]["per_slash8"]) == "26.67"
    assert [row["host"] for row in report["renewals"]["lapsed"]] == ["lone"]
    assert [row["host"] for row in report["renewals"]["due"]] == ["cheap"]
    assert report["providers"][0]["months"] == 11


def test_the_lease_without_a_slash8_of_its_own_goes_first(three: Path) -> None:
    report = summarise(load(three, NOW.date()), NOW, {})
    assert [(row["host"], row["slash8s_alone"]) for row in report["give_up_first"]] == [
        ("dear", []),
        ("lone", [81]),
        ("cheap", [46]),
    ]


def test_certificates_are_listed_by_their_end(three: Path) -> None:
    ends = {"dear": NOW + dt.timedelta(days=400), "lone": NOW + dt.timedelta(days=20)}
    rows = summarise(load(three, NOW.date()), NOW, ends)["certificates"]
    assert [(row["host"], row["days"], row["soon"]) for row in rows] == [("lone", 20, True), ("dear", 400, False)]


class Page(HTMLParser):
    """Collects the tags, the map's squares and whatever would be loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.squares = 0
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.squares += tag == "rect" and dict(attrs).get("width") == "18.5"
        self.loaded += [str(value) for key, value in attrs if key in ("src", "href")]


def test_the_page_draws_256_squares_and_loads_nothing(tmp_path: Path) -> None:
    write_fleet(tmp_path / "fleet", hosts=100, providers=30, seed=1, today=NOW.date())
    write(summarise(load(tmp_path / "fleet", NOW.date()), NOW, {}), tmp_path / "out")
    page = Page()
    page.feed((tmp_path / "out" / "index.html").read_text())
    assert page.squares == 256
    assert page.loaded == []
    assert "script" not in page.tags
    data = json.loads((tmp_path / "out" / "report.json").read_text())
    assert data["hosts"] == 100
    assert 0.30 < data["coverage"]["share"] < 0.36
    assert len(data["continents"]) == 6
    assert data["cost"]["year"] == pytest.approx(sum(row["cost"] for row in data["providers"]), abs=0.01)


def test_text_of_the_inventory_is_escaped(tmp_path: Path) -> None:
    directory = fleet_of(tmp_path / "f", [("a", "45.0.0.1", 1, "2027-01-01")], provider="<script>alert(1)</script>")
    page = render(summarise(load(directory, NOW.date()), NOW, {}))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_an_empty_fleet_has_a_report(tmp_path: Path) -> None:
    page = render(summarise(load(tmp_path, NOW.date()), NOW, {}))
    assert "copy inventory/example" in page
