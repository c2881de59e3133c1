"""The feed's bytes, and what each of its readers makes of them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from datetime import timedelta
from pathlib import Path

import client_venv
import feed_readers as readers
import pytest
from publisher_fakes import END, FakeSource, row
from strandline.publisher import config, feedfile, publish, window
from strandline.publisher.astable import System
from strandline.shared.settings import ConfigurationError


def run(settings: config.Config, source: FakeSource, span: window.Window) -> publish.Outcome:
    return publish.run(settings, source, span, now=END + timedelta(minutes=3))


@pytest.fixture
def files(everyday: config.Config, source: FakeSource, span: window.Window) -> dict[str, str]:
    """Every text file of a run, by name."""
    assert run(everyday, source, span).failed == ()
    return {
        path.name: path.read_bytes().decode("ascii") for path in sorted((everyday.webroot / "current").glob("*.txt"))
    }


@pytest.fixture
def feeds(files: dict[str, str]) -> dict[str, str]:
    """The IPv4 feeds, by name."""
    return {name: text for name, text in files.items() if "ipv6" not in name and name != "robots.txt"}


def entry(address: str, system: System | None) -> feedfile.Entry:
    seen = END - timedelta(hours=3, minutes=14)
    first, last = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (seen - timedelta(1), seen))
    return feedfile.Entry(system.asn if system else -1, address, system, first, last, 3, 1)


def data_line(network: config.Network, feed: config.Feed, entry: feedfile.Entry) -> str:
    """The line of a file with this entry alone."""
    text = feedfile.render(network, feed, window.ending_at(END), [entry], family=4).decode("ascii")
    [line] = readers.data_lines(text)
    return line


def test_lines_are_those_of_the_real_feed(settings: config.Config) -> None:
    cogent = System(174, "COGENT-174 - Cogent Communications", "")
    sshpwauth = config.Feed("sshpwauth", "t", "d")
    assert data_line(settings.network, sshpwauth, entry("149.13.96.133", cogent)) == (
        "174          |  COGENT-174 - Cogent Communicat  |  149.13.96.133    |  2026-11-24 23:46:00  |  sshpwauth"
    )
    proto41 = config.Feed("proto41", "t", "d", first_seen=True)
    assert data_line(settings.network, proto41, entry("45.6.192.1", System(1, "LVLT-1", ""))) == (
        "1            |  LVLT-1                          |  45.6.192.1       "
        "|  2026-11-23 23:46:00  |  2026-11-24 23:46:00  |  proto41"
    )
    assert data_line(settings.network, sshpwauth, entry("192.0.2.200", None)) == (
        "NA           |  NA                              |  192.0.2.200      |  2026-11-24 23:46:00  |  sshpwauth"
    )


def test_header_and_footer(feeds: dict[str, str]) -> None:
    assert len(feeds) == 19
    for name, text in feeds.items():
        lines = text.split("\n")
        category = name.removesuffix(".txt")
        assert lines[1:3] == [f"# {category}", "# 2026-11-18 03:00 - 2026-11-25 03:00"]
        assert all(line.startswith("#") for line in lines[:70])
        assert not any("|" in line for line in lines[64:70]), "Yeti would take it for data"
        assert not lines[70].startswith("#")
        count = len(readers.data_lines(text))
        assert lines[-5:] == ["#", "# Statistics", "#        ASNs: 9", f"#   Addresses: {count}", ""]
        assert max(len(line) for line in lines[:70]) <= 100
    assert "# ASN  |  ASname  |  ipaddr  |  lastseen  |  category\n" in feeds["dnsrd.txt"]
    assert "# ASN  |  ASname  |  ipaddr  |  firstseen  |  lastseen  |  category\n" in feeds["proto41.txt"]


def test_an_as_name_with_the_separator_in_it(feeds: dict[str, str]) -> None:
    """Case 18."""
    [line] = [line for line in readers.data_lines(feeds["sshpwauth.txt"]) if line.startswith("64496 ")]
    assert line.split(readers.SEPARATOR) == [
        "64496      ",
        "BRASIL TECPAR / AMIGO / AVATO ",
        "192.0.2.7      ",
        "2026-11-25 02:00:00",
        "sshpwauth",
    ]
    assert line.count("|") == 4


def test_lines_are_sorted_by_number_then_address_as_text(feeds: dict[str, str]) -> None:
    fields = [[f.strip() for f in x.split(readers.SEPARATOR)] for x in readers.data_lines(feeds["dnsrd.txt"])]
    keys = [(-1 if asn == "NA" else int(asn), address) for asn, _, address, *_ in fields]
    assert keys == sorted(keys)
    assert [address for asn, _, address, *_ in fields if asn == "174"] == [
        "198.18.0.1", "198.18.0.10", "198.18.0.100", "198.18.0.2",
    ]  # fmt: skip
    assert fields[0][:2] == ["NA", "NA"]


def test_readers_take_every_line(everyday: config.Config, feeds: dict[str, str]) -> None:
    for name, text in feeds.items():
        addresses = [line.split(readers.SEPARATOR)[2].strip() for line in readers.data_lines(text)]
        assert len(addresses) == 38
        columns = 6 if name == "proto41.txt" else 5
        assert readers.maltrail(text) == addresses
        assert readers.dotted_quads(text) == addresses
        assert readers.without_comments(text) == addresses
        for skip in (64, 66, 68):
            assert [fields[2] for fields in readers.yeti(text, skip=skip, columns=columns)] == addresses


@pytest.mark.slow
def test_intelmq_parses_every_feed(everyday: config.Config, feeds: dict[str, str], files: dict[str, str]) -> None:
    """Also the IPv6 files, and names that are nothing but pipes; but for five categories, which it does not know."""
    assert "sshpwauth-ipv6.txt" in files
    foreign = ("anytcp", "anyudp", "dnstcp", "ntpmode3", "ntpmode6", "ntpmode7")
    unknown = {f"{name}{family}.txt" for name in foreign for family in ("", "-ipv6")}
    paths = [everyday.webroot / "current" / name for name in files if name != "robots.txt"]
    result = client_venv.run("intelmq", "intelmq_check.py", *paths)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert set(re.findall("unknown to IntelMQ: (.*)", result.stdout)) == unknown
    assert result.stdout.count("ok ") == 2 * len(feeds) - len(unknown)


def test_ipv6_has_files_of_its_own(everyday: config.Config, files: dict[str, str]) -> None:
    assert ":" not in "".join(line.split(readers.SEPARATOR)[2] for line in readers.data_lines(files["dnsrd.txt"]))
    assert readers.data_lines(files["dnsrd-ipv6.txt"]) == [
        "NA           |  NA                              |  2001:db9::1                              "
        "|  2026-11-25 02:00:00  |  dnsrd",
        "64511        |  SIX-AS - Six                    |  2001:db8::1                              "
        "|  2026-11-25 02:00:00  |  dnsrd",
    ]


def test_ndjson_has_both_families_and_whole_names(everyday: config.Config, files: dict[str, str]) -> None:
    lines = (everyday.webroot / "current" / "dnsrd.ndjson").read_text(encoding="utf-8").splitlines()
    objects = {o["address"]: o for o in map(json.loads, lines)}
    assert len(objects) == len(lines) == 40
    assert objects["198.18.1.1"] == {
        "asn": 209, "name": "ÉÇO-NÖRD - Łódź Straße Ærø", "address": "198.18.1.1", "first_seen": "2026-11-25T01:55:00Z",
        "last_seen": "2026-11-25T02:00:00Z", "category": "dnsrd", "events": 1, "verified": True, "verified_events": 1,
        "confidence": None, "valid_until": None,
    }  # fmt: skip
    assert objects["192.0.2.200"]["asn"] is None


def test_checksums_stand_beside_each_file(everyday: config.Config, files: dict[str, str]) -> None:
    names = [path.name for path in (everyday.webroot / "current").iterdir() if path.suffix in (".txt", ".ndjson")]
    assert len(names) == 58
    for name in set(names) - {"robots.txt"}:
        content = (everyday.webroot / "current" / name).read_bytes()
        for algorithm in ("sha256", "md5"):
            line = (everyday.webroot / "current" / f"{name}.{algorithm}").read_text(encoding="ascii")
            assert line == f"{hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()}  {name}\n"


def test_a_source_in_two_forms_is_one_line(settings: config.Config, source: FakeSource, span: window.Window) -> None:
    source.categories["dnsrd"] = [
        row("198.18.0.1", seen=END - timedelta(hours=9), events=2, verified=0),
        row("::ffff:198.18.0.1", seen=END - timedelta(hours=2), events=3),
    ]
    run(settings, source, span)
    [line] = (settings.webroot / "current" / "dnsrd.ndjson").read_text(encoding="utf-8").splitlines()
    found = json.loads(line)
    assert (found["first_seen"], found["last_seen"]) == ("2026-11-24T17:55:00Z", "2026-11-25T01:00:00Z")
    assert (found["events"], found["verified_events"], found["verified"]) == (5, 1, True)
    listed = json.loads((settings.webroot / "current/feeds.json").read_text(encoding="utf-8"))["feeds"]
    assert [feed["held_back"]["unproven"] for feed in listed if feed["status"] == "published"] == [0]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"licence": "ask 192.0.2.1"}, "192.0.2.1"),
        ({"contact": "word " * 300}, "lines too many"),
    ],
)
def test_texts_that_would_break_the_header(
    settings: config.Config, source: FakeSource, span: window.Window, change: dict[str, str], word: str
) -> None:
    settings = dataclasses.replace(settings, network=dataclasses.replace(settings.network, **change))
    with pytest.raises(ConfigurationError, match=word):
        run(settings, source, span)
    assert list(settings.webroot.iterdir()) == []


def test_operators_pipes_and_letters_stay_out_of_the_header(settings: config.Config, span: window.Window) -> None:
    network = dataclasses.replace(settings.network, name="Réseau | Nord\n", contact="a|b")
    text = feedfile.header(network, settings.feeds[0], span, family=4)
    assert text.startswith("# Reseau / Nord - what washes ashore\n")
    assert [line for line in text.splitlines() if "|" in line] == [
        "# ASN  |  ASname  |  ipaddr  |  lastseen  |  category"
    ]


def test_the_demos_table_and_the_never_list_load(settings: config.Config, tmp_path: Path) -> None:
    demo = Path(__file__).parents[2] / "files/demo/asn.tsv"
    assert "|" in demo.read_text(encoding="utf-8"), "the demo shows a name with the separator in it"
    settings = dataclasses.replace(settings, asn_table=demo)
    source = FakeSource()
    source.categories["dnsrd"] = [row(f"198.18.100.{last}") for last in (1, 2, 3, 4)]
    publish.run(settings, source, window.ending_at(END), now=END)
    lines = readers.data_lines((settings.webroot / "current" / "dnsrd.txt").read_text(encoding="ascii"))
    assert [line.split(readers.SEPARATOR)[1].strip() for line in lines] == [
        "NA", "MAREE / MER - Societe des mare", "DRIFTWOOD", "TIDEPOOL-TRANSIT - Tidepool Tr",
    ]  # fmt: skip
