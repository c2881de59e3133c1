"""Entries of the list that hold for a while: what is written, what is refused, and what the publisher makes of it."""

from __future__ import annotations

import dataclasses
import json
import logging
import re
from datetime import date, timedelta
from pathlib import Path

import pytest
from publisher_fakes import END, ROOT, FakeSource, row
from strandline.publisher import addresses, config, delist, publish, window
from strandline.shared.settings import ConfigurationError

TODAY = date(2026, 11, 28)
LATER = date(2027, 5, 28)
LIST = "# The operator's own\n8.8.8.0/24   # a resolver\n\n198.51.100.0/25 until=2026-12-01  # asked # by phone\n"


def added(address: str, *, until: object = LATER, reason: str = "asked by mail", text: str = LIST) -> str:
    return delist.add_entry(text, address, str(until), reason, today=TODAY)


def holding(text: str, path: Path, today: date) -> list[str]:
    path.write_text(text, encoding="utf-8")
    return [str(network) for network in addresses.load_never_publish(path, today)]


@pytest.mark.parametrize("address", ["203.0.113.7", "203.0.113.0/28", "2001:db8::7", "2001:DB8:5:0::/48"])
def test_an_entry_holds_through_its_day_and_ends_by_itself(
    tmp_path: Path, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = added(address)
    assert text.startswith(LIST)
    network = str(addresses.parse_network(address))
    assert network in holding(text, tmp_path / "list", LATER)
    with caplog.at_level(logging.INFO):
        assert holding(text, tmp_path / "list", LATER + timedelta(days=1)) == ["8.8.8.0/24"]
    assert f"line 5: {network} was kept out until 2027-05-28, and is no more" in caplog.text


def test_a_later_day_takes_the_place_of_the_former_one() -> None:
    text = added("198.51.100.0/25", reason="  asked\nagain ")
    assert text == LIST.replace("198.51.100.0/25 until=2026-12-01  # asked # by phone", text.splitlines()[3])
    [_, entry] = addresses.read_entries(text, "list")
    assert (str(entry.network), entry.until, entry.reason) == ("198.51.100.0/25", LATER, "asked again")
    assert added("198.51.100.0/25", reason="asked again", text=text) == text, "the same again changes nothing"


def test_an_address_in_a_prefix_that_will_expire_may_have_an_entry_of_its_own() -> None:
    assert len(addresses.read_entries(added("198.51.100.7"), "list")) == 3


@pytest.mark.parametrize(
    ("address", "until", "reason", "said"),
    [
        ("scanner.example.org", LATER, "x", "neither an address nor a prefix. Names are not looked up"),
        ("", LATER, "x", "neither an address nor a prefix"),
        ("198.51.100.256", LATER, "x", "neither an address nor a prefix"),
        ("198.51.100.7/24", LATER, "x", "Write 198.51.100.0/24"),
        ("::ffff:198.51.100.7", LATER, "x", "Write 198.51.100.7"),
        ("0.0.0.0/0", LATER, "x", "wider than /8"),
        ("2000::/3", LATER, "x", "wider than /16"),
        ("8.8.8.8", LATER, "x", "list line 2 has 8.8.8.0/24 for good (a resolver)"),
        ("198.51.100.7", TODAY - timedelta(days=1), "x", "is past: today is 2026-11-28"),
        ("198.51.100.7", "tomorrow", "x", "'tomorrow' is no date"),
        ("198.51.100.7", LATER, " \n", "A reason is missing"),
        ("198.51.100.7", LATER, "x" * 201, "201 characters"),
    ],
)
def test_what_can_not_be_meant_is_refused(address: str, until: object, reason: str, said: str) -> None:
    with pytest.raises(delist.DelistError) as error:
        added(address, until=until, reason=reason)
    assert said in str(error.value)


def test_today_is_no_day_of_the_past() -> None:
    assert added("203.0.113.7", until=TODAY).splitlines()[-1].endswith("until=2026-11-28  # asked by mail")


@pytest.mark.parametrize("line", ["192.0.2.1 until=soon # x", "192.0.2.1 until=2026-11-28", "192.0.2.1 until= # x"])
def test_a_broken_entry_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigurationError, match="line 5"):
        holding(f"{LIST}{line}\n", tmp_path / "list", TODAY)
    with pytest.raises(ConfigurationError, match="line 5"):
        added("203.0.113.7", text=f"{LIST}{line}\n")


def test_the_projects_own_list_can_be_added_to() -> None:
    text = (ROOT / "files/strandline/publisher/never-publish.txt").read_text(encoding="utf-8")
    assert added("203.0.113.7", text=text).startswith(text)


def test_the_next_publication_has_it_in_no_file(settings: config.Config, source: FakeSource, tmp_path: Path) -> None:
    """Though many addresses go at once, which is no loss of data. The delta alone names it, so that readers drop it."""
    source.categories = {
        feed.category: [row(f"198.18.3.{n}") for n in range(100)] + [row("198.18.4.1")] for feed in settings.feeds
    }
    ranges = [addresses.parse_network("198.18.0.0/15")]

    def published(today: date) -> set[str]:
        path = tmp_path / "list"
        path.write_text(added("198.18.3.0/24", text=""), encoding="utf-8")
        never = addresses.NeverList(listed=addresses.load_never_publish(path, today), publish_ranges=ranges)
        outcome = publish.run(dataclasses.replace(settings, never=never), source, window.ending_at(END), now=END)
        assert outcome.failed == ()
        return {
            file.name
            for file in (settings.webroot / "current").iterdir()
            if file.is_file() and re.search(rb"198\.18\.3\.99|99\.3\.18\.198", file.read_bytes())
        }

    everywhere = published(LATER + timedelta(days=1))
    assert {"dnsrd.txt", "dnsrd.ndjson", "dnsrd.csv", "dnsrd.nft", "dnsrd.rpz", "combined.list"} <= everywhere
    assert published(LATER) == {f"{feed.category}.delta.ndjson" for feed in settings.feeds}
    changes = (settings.webroot / "current/dnsrd.delta.ndjson").read_text(encoding="utf-8").splitlines()
    assert changes == [json.dumps({"change": "gone", "address": f"198.18.3.{n}"}) for n in sorted(range(100), key=str)]
