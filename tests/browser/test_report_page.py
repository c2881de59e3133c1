"""The fleet's report as a reader sees it: headless Chromium opens the page of an invented fleet.

`./strandline test` makes the image with Chromium and names it in STRANDLINE_BROWSER_IMAGE.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from strandline_fleet.arithmetic import ROUTABLE_SLASH8
from strandline_fleet.inventory.former import FormerLease
from strandline_fleet.inventory.load import load
from strandline_fleet.journal import Entry, Kind
from strandline_fleet.report import Known, summarise, write
from strandline_fleet.serving import Serving

from tests.generate_fleet import write_fleet

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)
READABLE = 4.5  # contrast of text, WCAG 2.2, 1.4.3


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("report")
    write_fleet(top / "fleet", hosts=100, providers=30, seed=1, today=NOW.date())
    fleet = load(top / "fleet", NOW.date())
    names = [host.name for host in fleet.hosts()]
    today = NOW.date()
    known = Known(
        certificates={name: NOW + dt.timedelta(days=20 + n) for n, name in enumerate(names)},
        origins=[
            {"asn": 64496, "name": "ALDER <img src=x>", "addresses": 190, "hosts": 99, "providers": ["alder", "birch"]},
            {"asn": None, "name": "", "addresses": 2, "hosts": 1, "providers": ["elm"]},
        ],
        serving={name: Serving(today - dt.timedelta(days=300), today, 85) for name in names[1:]},
        journals={
            provider.group.removeprefix("provider_"): [
                Entry("x", today - dt.timedelta(days=9 * n + 3), Kind.OUTAGE, f"{n}:02 UTC: silent", "h")
                for n in range(number % 4)
            ]
            for number, provider in enumerate(fleet.providers)
        },
        asns={address: 64496 + n % 9 for n, host in enumerate(fleet.hosts()) for address in host.addresses},
        former=[FormerLease("old1", "Elm " + "Hosting" * 8, today, "vanished without a word")],
    )
    write(summarise(fleet, NOW, known), top / "out")
    return top / "out"


@pytest.fixture(scope="module")
def seen(directory: Path) -> dict[str, Any]:
    command = [
        "podman",
        "run",
        "--rm",
        "--network=none",
        f"--volume={directory}:/report",
        os.environ["STRANDLINE_BROWSER_IMAGE"],
    ]
    done = subprocess.run(
        [*command, "inspect_page", "file:///report/index.html", "/report/page.png"],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def luminance(colour: str) -> float:
    """The relative luminance of an rgb() colour, by WCAG 2.2."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, by WCAG 2.2."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_browser_has_nothing_to_complain_of_and_fetches_nothing(seen: dict[str, Any]) -> None:
    assert seen["errors"] == []
    assert seen["desktop"]["resources"] == []


def test_every_part_has_its_heading(seen: dict[str, Any]) -> None:
    wanted = [
        "To do",
        "Coverage of the IPv4 /8s",
        "Continents",
        "Countries",
        "Origin ASNs",
        "Silent sensors",
        "Renewals",
        "Cash by month",
        "Providers",
        "Incidents by provider",
        "Scorecards",
        "Hosts",
    ]
    headings = seen["desktop"]["headings"]
    assert headings[0] == "Invented Sensor Network"
    assert [heading for heading in headings if heading in wanted] == wanted
    assert {"Which lease to give up first", "Former leases", "Certificates"} <= set(headings)


def test_the_map_is_16_by_16_and_a_square_stands_where_its_slash8_belongs(seen: dict[str, Any]) -> None:
    squares = seen["desktop"]["squares"]
    assert len(squares) == 256
    left, top, width, height = squares[0]["box"]
    step_x = squares[1]["box"][0] - left
    step_y = squares[16]["box"][1] - top
    assert step_x > width > 10
    assert step_y > height > 10
    for octet, square in enumerate(squares):
        assert square["title"].startswith(f"{octet}.0.0.0/8")
        assert square["box"][0] == pytest.approx(left + octet % 16 * step_x, abs=0.5)
        assert square["box"][1] == pytest.approx(top + octet // 16 * step_y, abs=0.5)


@pytest.mark.parametrize("view", ["desktop", "dark"])
def test_covered_uncovered_and_unroutable_squares_differ_in_colour(
    seen: dict[str, Any], directory: Path, view: str
) -> None:
    covered = set(json.loads((directory / "report.json").read_text())["coverage"]["slash8s"])
    fills: dict[str, set[str]] = {"covered": set(), "uncovered": set(), "unroutable": set()}
    for octet, square in enumerate(seen[view]["squares"]):
        kind = "unroutable" if octet not in ROUTABLE_SLASH8 else "covered" if octet in covered else "uncovered"
        fills[kind].add(square["fill"])
    assert len(fills["uncovered"]) == len(fills["unroutable"]) == 1
    assert not fills["covered"] & fills["uncovered"]
    assert not fills["uncovered"] & fills["unroutable"]


@pytest.mark.parametrize("view", ["desktop", "phone", "dark"])
def test_the_page_fits_its_window_and_can_be_read(seen: dict[str, Any], view: str) -> None:
    assert seen[view]["overflow"] == 0
    assert contrast(seen[view]["ink"], seen[view]["paper"]) >= READABLE


def test_a_click_on_a_heading_sorts_its_table_and_another_one_turns_it_round(seen: dict[str, Any]) -> None:
    assert len(seen["sorted"]) >= 8
    changed = 0
    for before, up, down in seen["sorted"]:
        assert sorted(before) == sorted(up) == sorted(down)
        assert len(set(up)) < 2 or up != down
        changed += before != up
    assert changed > 0
    hosts = max(seen["sorted"], key=lambda columns: len(set(columns[0])))
    assert hosts[1] == sorted(hosts[1], key=str.casefold)


def test_a_phone_shows_a_list_in_place_of_the_map(seen: dict[str, Any]) -> None:
    assert seen["phone"]["squares"] == []
    assert len(seen["desktop"]["squares"]) == 256


def test_dark_is_dark(seen: dict[str, Any]) -> None:
    assert luminance(seen["dark"]["paper"]) < 0.1 < luminance(seen["desktop"]["paper"])


def test_a_picture_was_taken(directory: Path, seen: dict[str, Any]) -> None:
    assert seen
    assert (directory / "page.png").read_bytes().startswith(b"\x89PNG")
