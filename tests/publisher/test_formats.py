"""The formats beside text and NDJSON: the same addresses, and none to block by that may be forged."""

from __future__ import annotations

import csv
import dataclasses
import io
import ipaddress
import json
import os
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import feed_readers
import format_readers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from publisher_fakes import END, FakeSource, every_feed, row
from strandline.event import feeds as feed_files
from strandline.publisher import config, feedfile, formats, formatted, limits, publish, store, window
from strandline.publisher.addresses import NeverList, address_text, packed
from strandline.publisher.astable import System
from strandline.publisher.errors import SourceUnavailableError
from strandline.shared.settings import ConfigurationError

NETWORK = config.Network("Test Network", "tag", "feeds@example.net", "https://feeds.example.net/", "CC", "Write.")
IPV6 = ("list-ipv6", "cidr-ipv6", "dnsbl-ip6trie")
BLOCKING = sorted(kind.name for one in formats.FORMATS.values() if one.blocks for kind in one.kinds)


def run(settings: config.Config, source: FakeSource, *, hours: int = 0) -> publish.Outcome:
    end = END + timedelta(hours=hours)
    return publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3))


def site(settings: config.Config) -> Path:
    return settings.webroot / "current"


def listed(settings: config.Config) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((site(settings) / "feeds.json").read_text(encoding="utf-8"))
    return found


def read(settings: config.Config, files: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The addresses of the files, by format; each file must have as many as the list says."""
    found = {}
    for file in files:
        if reader := format_readers.BY_FORMAT.get(file["format"]):
            found[file["format"]] = reader((site(settings) / file["name"]).read_bytes().decode())
            rows = formats.kinds()[file["format"]].rows((site(settings) / file["name"]).read_bytes())
            assert file["rows"] == rows, file
            assert len(found[file["format"]]) == rows or file["format"].startswith("cidr"), file
    return found


def of_text(settings: config.Config, category: str) -> list[str]:
    """The addresses of a feed's text files."""
    found = []
    for name in (f"{category}.txt", f"{category}-ipv6.txt"):
        path = site(settings) / name
        if path.exists():
            lines = feed_readers.data_lines(path.read_text(encoding="ascii"))
            found += [line.split("|")[2].strip() for line in lines]
    return found


def files(settings: config.Config, category: str) -> list[dict[str, Any]]:
    [found] = [feed["files"] for feed in listed(settings)["feeds"] if feed["category"] == category]
    return list(found)


def test_the_settings_know_the_formats_that_there_are() -> None:
    assert tuple(formats.FORMATS) == limits.FORMAT_NAMES
    assert set(formats.kinds()) == set(format_readers.BY_FORMAT)
    assert formats.COMBINED in feed_files.RESERVED


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str).filter(lambda text: "%" not in text)
SYSTEMS = st.one_of(
    st.none(),
    st.builds(lambda name: System(64496, "NAME", name), st.text(st.characters(exclude_categories=["C", "Z"]))),
)


@given(st.dictionaries(ADDRESSES, st.tuples(st.integers(0, 2), SYSTEMS), max_size=40))
def test_each_format_read_again_has_the_addresses_of_the_feed(
    sources: dict[str, tuple[int, System | None]],
) -> None:
    canonical = {address_text(packed(address)): value for address, value in sources.items()}
    entries = sorted(
        feedfile.Entry(-1, address, system, "2026-11-25 01:00:00", "2026-11-25 02:00:00", 3, verified)
        for address, (verified, system) in canonical.items()
    )
    proven = [entry.address for entry in entries if entry.verified_events]
    listing = formats.Listing("sshclient", NETWORK, formats.by_number(proven), entries, 1)
    for kind in formats.kinds().values():
        content = kind.write(listing)
        found = format_readers.BY_FORMAT[kind.name](content.decode())
        wanted = [entry.address for entry in entries] if kind.name == "csv" else proven
        assert sorted(found) == sorted(
            address for address in wanted if (6 if ":" in address else 4) in kind.families
        ), kind.name
        assert len(found) == kind.rows(content) or kind.aggregates, kind.name
        if kind.name != "csv":
            assert found == sorted(found, key=lambda text: (":" in text, packed(text))), kind.name
        assert kind.write(dataclasses.replace(listing, former={"rpz": content})) == content


RUNS = st.lists(st.tuples(st.integers(0, 2**12), st.integers(0, 70)), max_size=30)


@given(RUNS, st.sampled_from([0, 0xC6120000, 2**32 - 2**12 - 71, 0x20010DB8 << 96, 2**128 - 2**12 - 71]))
def test_prefixes_are_the_fewest_that_hold_the_addresses_and_no_other(runs: list[tuple[int, int]], base: int) -> None:
    """As the standard library joins them, which takes a hundred times as long."""
    values = sorted({base + first + more for first, length in runs for more in range(length)})
    # By `address_text`: the text of a mapped address is another one's in the standard library.
    if base < 2**32:
        addresses = [address_text(value.to_bytes(4)) for value in values]
        wanted = [str(one) for one in ipaddress.collapse_addresses(map(ipaddress.IPv4Network, values))]
    else:
        addresses = [address_text(value.to_bytes(16)) for value in values]
        wanted = [str(one) for one in ipaddress.collapse_addresses(map(ipaddress.IPv6Network, values))]
    assert list(formats.prefixes(addresses)) == wanted


def test_neighbours_are_one_prefix(settings: config.Config, source: FakeSource) -> None:
    """A source that was not proven between them keeps them apart: a prefix that held it would block it."""
    neighbours = [row(f"198.18.0.{last}") for last in range(8, 16)]
    source.categories["dnsrd"] = [*neighbours, row("198.18.0.16", verified=0), row("198.18.0.17"), row("2001:db8::")]
    run(settings, source)
    assert (site(settings) / "dnsrd.cidr").read_text() == "198.18.0.8/29\n198.18.0.17/32\n"
    assert (site(settings) / "combined-ipv6.cidr").read_text() == "2001:db8::/128\n"
    rows = {file["format"]: file["rows"] for file in files(settings, "dnsrd")}
    assert (rows["cidr-ipv4"], rows["list-ipv4"]) == (2, 9)


def test_what_a_firewall_blocks_by_has_no_source_that_may_be_forged(
    settings: config.Config, source: FakeSource
) -> None:
    """Nor one that is never listed; CSV has all, and says which are proven."""
    mixed = [row("198.18.0.1"), row("198.18.0.2", verified=0), row("8.8.8.8"), row("10.0.0.1"), row("198.18.0.200")]
    source.categories = {"dnsrd": mixed, "sshclient": [row("198.18.0.1"), row("198.18.9.9"), row("2001:db8::5")]}
    run(settings, source)
    assert of_text(settings, "dnsrd") == ["198.18.0.1", "198.18.0.2"]
    found = read(settings, files(settings, "dnsrd"))
    assert found.pop("csv") == ["198.18.0.1", "198.18.0.2"]
    assert found == {name: ["198.18.0.1"] for name in BLOCKING if name not in IPV6}
    combined = listed(settings)["combined"]
    assert (combined["addresses"], combined["addresses_ipv6"], combined["problems"]) == (2, 1, [])
    everything = ["198.18.0.1", "198.18.9.9", "2001:db8::5"]
    assert read(settings, combined["files"]) == {
        "list-ipv4": everything[:2], "list-ipv6": everything[2:], "nftables": everything, "ipset": everything,
        "cidr-ipv4": everything[:2], "cidr-ipv6": everything[2:],
    }  # fmt: skip
    assert {file["url"] for file in combined["files"]} == {
        f"/2026/11/25/03/combined{ending}"
        for ending in (".list", "-ipv6.list", ".cidr", "-ipv6.cidr", ".nft", ".ipset")
    }


def test_a_feed_of_forgeable_sources_alone_has_nothing_to_block_by(settings: config.Config, source: FakeSource) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1", verified=0), row("198.18.0.2", verified=0)]
    run(settings, source)
    assert [file["name"] for file in files(settings, "dnsrd")] == ["dnsrd.txt", "dnsrd.ndjson", "dnsrd.csv"]
    assert listed(settings)["combined"]["files"] == []


def test_the_last_proven_source_leaves_a_list_that_says_so(settings: config.Config, source: FakeSource) -> None:
    """A missing file would leave its reader with the old addresses."""
    seen = END - timedelta(days=6, hours=23)
    source.categories["dnsrd"] = [row("198.18.0.1", seen=seen), row("198.18.0.2", verified=0)]
    run(settings, source)
    source.categories["dnsrd"] = [row("198.18.0.2", verified=0)]
    assert run(settings, source, hours=3).failed == ()
    found = read(settings, files(settings, "dnsrd"))
    assert all(found[name] == [] for name in BLOCKING if name not in IPV6)


def test_csv_is_what_rfc_4180_says(settings: config.Config, source: FakeSource) -> None:
    everyone = [row("192.0.2.1"), row("198.18.1.1", events=7, verified=0), row("203.0.112.1")]
    source.categories["dnsrd"] = everyone
    settings.asn_table.write_text('192.0.2.0\t192.0.2.9\t5\tZZ\t=cmd("x"), Inc.\n', encoding="utf-8")
    run(settings, source)
    text = (site(settings) / "dnsrd.csv").read_bytes().decode()
    assert text.count("\n") == text.count("\r\n") == len(everyone) + 1
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert rows[-1] == {
        "address": "192.0.2.1", "asn": "5", "as_name": "'=cmd(\"x\"), Inc.", "category": "dnsrd",
        "first_seen": "2026-11-25T01:55:00Z", "last_seen": "2026-11-25T02:00:00Z", "events": "1", "verified": "true",
        "confidence": "", "valid_until": "",
    }  # fmt: skip
    assert {one["address"]: (one["asn"], one["events"], one["verified"]) for one in rows[:-1]} == {
        "198.18.1.1": ("", "7", "false"), "203.0.112.1": ("", "1", "true"),
    }  # fmt: skip


def test_only_the_wanted_formats_are_published(settings: config.Config, source: FakeSource) -> None:
    """And one that is not wanted any more goes, from a feed that is kept as well."""
    source.categories["dnsrd"] = [row("198.18.0.1")]
    run(dataclasses.replace(settings, formats=("nftables", "csv")), source)
    names = ["dnsrd.txt", "dnsrd.ndjson", "dnsrd.nft", "dnsrd.csv"]
    assert [file["name"] for file in files(settings, "dnsrd")] == names
    source.categories["dnsrd"] = []
    run(dataclasses.replace(settings, formats=("csv",)), source, hours=1)
    names = ["dnsrd.txt", "dnsrd.ndjson", "dnsrd.csv", "dnsrd.delta.ndjson"]
    assert [file["name"] for file in files(settings, "dnsrd")] == names
    assert not list(site(settings).glob("*.nft*"))
    store.check(site(settings))


def broken(monkeypatch: pytest.MonkeyPatch, kind: str, write: formats.Writer) -> None:
    """Let the writer of this kind of files be another one."""
    changed = {
        name: dataclasses.replace(
            one, kinds=tuple(dataclasses.replace(k, write=write) if k.name == kind else k for k in one.kinds)
        )
        for name, one in formats.FORMATS.items()
    }
    monkeypatch.setattr(formats, "FORMATS", changed)


def fails(_: formats.Listing) -> bytes:
    raise ZeroDivisionError("the writer's\nmistake")


def hangs(_: formats.Listing) -> bytes:
    while True:
        time.sleep(0.01)


@pytest.mark.parametrize(("write", "said"), [(fails, "the writer's mistake"), (hangs, "its writer took longer than")])
def test_a_writer_that_fails_or_hangs_holds_nothing_up(
    settings: config.Config,
    source: FakeSource,
    monkeypatch: pytest.MonkeyPatch,
    write: formats.Writer,
    said: str,
) -> None:
    source.categories["dnsrd"] = [row("198.18.0.1")]
    run(settings, source)
    monkeypatch.setattr(formatted, "SECONDS_EACH", 0.2)
    broken(monkeypatch, "nftables", write)
    source.categories["dnsrd"] = [row("198.18.0.1"), row("198.18.0.2")]
    outcome = run(settings, source, hours=1)
    assert (outcome.published, outcome.failed) == (("dnsrd",), ())
    assert of_text(settings, "dnsrd") == ["198.18.0.1", "198.18.0.2"]
    assert not list(site(settings).glob("*.nft*")), "an old file in a new generation would not be of its moment"
    problems = listed(settings)["problems"]
    assert len(problems) == 2, problems
    assert all(said in problem for problem in problems)
    assert [problem.split()[0] for problem in problems] == ["dnsrd.nft", "combined.nft"]
    assert list(outcome.problems) == problems
    assert read(settings, files(settings, "dnsrd"))["ipset"] == ["198.18.0.1", "198.18.0.2"]
    store.check(site(settings))
    # The same again is nothing new, and when the writer works again the file is back.
    before = os.readlink(site(settings))
    run(settings, source, hours=1)
    assert os.readlink(site(settings)) == before
    monkeypatch.undo()
    run(settings, source, hours=1)
    assert listed(settings)["problems"] == []
    assert read(settings, files(settings, "dnsrd"))["nftables"] == ["198.18.0.1", "198.18.0.2"]


def test_writers_that_are_slow_together_leave_the_rest_out(
    settings: config.Config, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formatted, "SECONDS_ALL", 0.3)
    broken(monkeypatch, "csv", hangs)
    source.categories = {feed.category: [row("198.18.0.1")] for feed in settings.feeds}
    began = time.monotonic()
    outcome = run(settings, source)
    assert time.monotonic() - began < 20
    assert len(outcome.published) == len(settings.feeds)
    assert f"{settings.feeds[-1].category}.csv is left out" in " ".join(outcome.problems)


def test_what_has_not_changed_is_the_very_same_file(settings: config.Config, source: FakeSource) -> None:
    """Also when the text files say something new: a reader need not fetch it again, nor reload his zone."""
    source.categories["dnsrd"] = [row("198.18.0.1"), row("2001:db8::1")]
    run(settings, source)
    names = [file["name"] for file in files(settings, "dnsrd") if file["format"] in BLOCKING]
    names += [file["name"] for file in listed(settings)["combined"]["files"]]
    before = {name: (site(settings) / name).stat() for name in names}
    source.categories["dnsrd"] = [
        row("198.18.0.1", seen=END + timedelta(minutes=20)), row("2001:db8::1", seen=END + timedelta(minutes=20)),
    ]  # fmt: skip
    run(settings, source, hours=1)
    assert os.readlink(site(settings)) == "generations/2026/11/25/04"
    for name in names:
        after = (site(settings) / name).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before[name].st_ino, before[name].st_mtime_ns), name
        assert (site(settings) / f"{name}.gz").exists()
    store.check(site(settings))


def test_a_zones_serial_grows_with_every_change_and_with_nothing_else(
    settings: config.Config, source: FakeSource
) -> None:
    def serial() -> int:
        found = re.search(r"^@ SOA \S+ \S+ ([0-9]+) ", (site(settings) / "dnsrd.rpz").read_text(), re.MULTILINE)
        assert found
        return int(found[1])

    source.categories["dnsrd"] = [row("198.18.0.1")]
    run(settings, source)
    assert serial() == END.timestamp()
    source.categories["dnsrd"] = [row("198.18.0.1"), row("198.18.0.2")]
    run(settings, source)  # once more within the hour
    assert serial() == END.timestamp() + 1
    source.categories["sshclient"] = [row("198.18.0.3")]
    run(settings, source, hours=1)
    assert serial() == END.timestamp() + 1
    source.categories["dnsrd"] = [row("198.18.0.2")]
    run(settings, source, hours=1)
    assert serial() == END.timestamp() + 3600


def test_a_kept_feeds_sources_stay_in_the_combined_lists(settings: config.Config, source: FakeSource) -> None:
    """But for one that is never to be listed from now on; and the lists don't run empty while the database is away."""
    kept = [row(f"198.18.0.{last}") for last in range(1, 31)]
    source.categories = {"dnsrd": [*kept, row("198.18.0.99", verified=0)], "sshclient": [row("198.18.7.7")]}
    run(settings, source)
    assert listed(settings)["combined"]["addresses"] == 31
    source.categories["dnsrd"] = []
    assert run(settings, source, hours=1).failed == ("dnsrd",)
    assert listed(settings)["combined"]["addresses"] == 31
    source.away = SourceUnavailableError("down")
    run(settings, source, hours=2)
    assert listed(settings)["combined"]["addresses"] == 31
    never = NeverList(
        listed=[ipaddress.ip_network("198.18.0.7")], publish_ranges=[ipaddress.ip_network("198.18.0.0/15")]
    )
    run(dataclasses.replace(settings, never=never), source, hours=2)
    found = read(settings, listed(settings)["combined"]["files"])
    assert len(found["list-ipv4"]) == 30
    assert not {"198.18.0.7", "198.18.0.99"} & set(found["list-ipv4"])


def test_names_of_ipsets_fit_the_kernel_and_differ() -> None:
    names = set()
    categories = ["a" * 32, "a" * 31 + "b", "sshclient", "combined"]
    for category in categories:
        text = formats.kinds()["ipset"].write(formats.Listing(category, NETWORK, formats.by_number(["192.0.2.1"])))
        names |= set(re.findall(r"^create (\S+) ", text.decode(), re.MULTILINE))
    assert len(names) == 4 * len(categories)
    assert all(len(name) <= 31 for name in names)
    assert {"sshclient_ipv4", "combined_ipv6"} <= names


@pytest.mark.parametrize("wanted", [["csv", "xml"], "csv", [3]])
def test_unknown_formats_are_refused(settings: config.Config, tmp_path: Path, wanted: object) -> None:
    never = tmp_path / "never.txt"
    never.touch()
    path = tmp_path / "publisher.yml"
    document = {
        "network": dataclasses.asdict(settings.network), "feeds": str(every_feed(tmp_path)),
        "webroot": str(settings.webroot), "state": str(settings.state), "asn_table": str(settings.asn_table),
        "never_publish": str(never), "guard": {}, "database": {}, "formats": wanted,
    }  # fmt: skip
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="formats"):
        config.load(path)
    path.write_text(json.dumps({**document, "formats": ["rpz", "csv", "rpz"]}), encoding="utf-8")
    assert config.load(path).formats == ("rpz", "csv")
