"""Addresses that never appear, and the look-up of an address's system."""

from __future__ import annotations

import gzip
import ipaddress
import itertools
import random
from pathlib import Path
from random import Random

import pytest
from publisher_fakes import AS_TABLE, ROOT
from strandline.publisher import addresses
from strandline.publisher.astable import AsTable, load_or_last
from strandline.shared.settings import ConfigurationError


def networks(*texts: str) -> list[addresses.Network]:
    return [addresses.parse_network(text) for text in texts]


@pytest.mark.parametrize(
    "address",
    [
        "0.1.2.3", "10.0.0.1", "100.127.255.255", "127.0.0.1", "169.254.1.1", "172.31.255.255", "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1", "192.168.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255",
        "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:10.0.0.1", "64:ff9b::808:808", "100::1", "2001:db8::1",
        "2001:0:1::1", "2001:2::1", "2002:c000:204::1", "3fff::1", "4000::1", "fc00::1", "fe80::1", "ff02::1",
    ],
)  # fmt: skip
def test_special_purpose_addresses_never_appear(address: str) -> None:
    assert addresses.packed(address) in addresses.NeverList()


@pytest.mark.parametrize(
    "address",
    ["1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
     "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2001:db7::1", "2a01:4f8::1", "2620:4f:8001::1"],
)  # fmt: skip
def test_their_neighbours_do(address: str) -> None:
    assert addresses.packed(address) not in addresses.NeverList()


def test_the_special_ranges_are_those_that_python_knows_as_not_global() -> None:
    """An independent list. AS112, AMT and 6to4 relays are global by the registry, yet no single host's own."""
    never = addresses.NeverList()
    chance = random.Random(41)
    for _ in range(20_000):
        address = ipaddress.ip_address(chance.getrandbits(32))
        if not address.is_global or address.is_multicast:
            assert address.packed in never, address


def test_opened_ranges_open_special_addresses_only() -> None:
    never = addresses.NeverList(
        listed=networks("198.18.9.9", "8.8.8.8"),
        fleet=networks("198.18.1.0/24", "2001:db8::53"),
        publish_ranges=networks("198.18.0.0/15", "8.8.8.0/24", "2001:db8::/32"),
    )
    appears = {
        "198.18.0.1": True, "198.18.9.9": False, "198.18.1.77": False, "8.8.8.8": False, "192.0.2.1": False,
        "2001:db8::1": True, "2001:db8::53": False,
    }  # fmt: skip
    assert {text: addresses.packed(text) not in never for text in appears} == appears


@pytest.mark.parametrize("resolver", ["8.8.8.8", "1.1.1.1", "9.9.9.9", "208.67.222.222", "2001:4860:4860::8888",
                                      "2606:4700:4700::1111", "104.16.1.1", "151.101.1.1"])  # fmt: skip
def test_a_forged_public_resolver_is_not_in_a_feed(resolver: str) -> None:
    """Case 15, the publisher's half: the default list knows resolvers and content delivery networks."""
    listed = addresses.load_never_publish(ROOT / "files/strandline/publisher/never-publish.txt")
    assert addresses.packed(resolver) in addresses.NeverList(listed=listed)


def test_intervals_merge_and_agree_with_a_plain_search() -> None:
    chance = random.Random(7)
    ranges = [(start, start + chance.randrange(40)) for start in (chance.randrange(1000) for _ in range(40))]
    found = addresses.Intervals(ranges)
    assert [n in found for n in range(1100)] == [any(a <= n <= b for a, b in ranges) for n in range(1100)]
    assert 5 not in addresses.Intervals([])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("8.8.8.8", "line 2: '8.8.8.8' is not an entry"),
        ("8.8.8.8 #", "the reason is required"),
        ("8.8.8.8/24 # host bits", "line 2: 8.8.8.8/24 has host bits set"),
        ("8.8.8 # short", "line 2: '8.8.8' does not appear"),
        ("8.8.8.8 1.1.1.1 # two", "is not an entry"),
    ],
)
def test_a_wrong_never_list_names_the_line(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "never.txt"
    path.write_text(f"# comment\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        addresses.load_never_publish(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "1.2.3", "01.2.3.4", "1.2.3.4\n", "1.2.3.4\0", "é", "1:2", "fe80::1%eth0"])
def test_what_is_not_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address"):
        addresses.packed(text)


def table(tmp_path: Path, text: str | bytes) -> AsTable:
    path = tmp_path / "asn.tsv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return AsTable.load(path)


def asn(found: AsTable, address: str) -> int | None:
    system = found.find(addresses.packed(address))
    return system.asn if system else None


def test_the_table_finds_both_ends_and_nothing_beside(tmp_path: Path) -> None:
    found = table(tmp_path, AS_TABLE)
    assert [asn(found, a) for a in ("192.0.1.255", "192.0.2.0", "192.0.2.127", "192.0.2.128")] == [
        None, 64496, 64496, None,
    ]  # fmt: skip
    assert asn(found, "198.18.7.1") is None, "0 says that nobody announces the range"
    assert asn(found, "2001:db8::ffff") == 64511
    assert asn(found, "2001:db8::1:0") is None
    assert asn(found, "::c000:200") is None, "an IPv6 address is not the IPv4 address of the same number"


def test_the_table_may_be_gzip_and_unsorted(tmp_path: Path) -> None:
    lines = AS_TABLE.splitlines(keepends=True)
    random.Random(3).shuffle(lines)
    found = table(tmp_path, gzip.compress("".join(["# comment\n", "\n", *lines]).encode()))
    assert len(found) == len(lines) - 1
    assert asn(found, "198.18.1.77") == 209


GOOD = "192.0.2.0\t192.0.2.255\t1\tZZ\tONE\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("192.0.2.0\t192.0.2.255\t1\tZZ\n", "line 2: 4 fields instead of 5. Separate"),
        ("192.0.2.0 192.0.2.255 1 ZZ ONE\n", "line 2: 1 fields instead of 5"),
        ("192.0.2.x\t192.0.2.255\t1\tZZ\tA\n", "line 2 range_start: '192.0.2.x' is not an address"),
        ("198.18.0.0\t198.18.0.256\t1\tZZ\tA\n", "line 2 range_end: '198.18.0.256' is not an address"),
        ("198.18.0.9\t198.18.0.1\t1\tZZ\tA\n", "line 2 range_end: below range_start"),
        ("198.18.0.9\t2001:db8::\t1\tZZ\tA\n", "line 2 range_end: not of range_start's family"),
        ("198.18.0.0\t198.18.0.1\tAS1\tZZ\tA\n", "line 2 number: 'AS1' is not an AS number"),
        ("198.18.0.0\t198.18.0.1\t4294967296\tZZ\tA\n", "is not an AS number"),
        ("198.18.0.0\t198.18.0.1\t٣\tZZ\tA\n", "is not an AS number"),
    ],
)
def test_a_wrong_table_names_line_and_field(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        table(tmp_path, GOOD + text)
    assert words in str(caught.value)
    assert str(tmp_path / "asn.tsv") in str(caught.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "holds no announced range"),
        (b"# only\n", "holds no announced range"),
        (b"\xff\xfe" + GOOD.encode(), "can't be read"),
        (gzip.compress(GOOD.encode() * 999)[:-9], "can't be read"),
        (b"\x1f\x8bnot gzip", "can't be read"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        table(tmp_path, data)


def test_a_missing_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Put a table in iptoasn's layout there"):
        AsTable.load(tmp_path / "none.tsv")


def brute(ranges: list[tuple[int, int, int]], address: int) -> int | None:
    """The smallest range with the address; of equals the one that begins later."""
    best = min(((end - start, -start, asn) for start, end, asn in ranges if start <= address <= end), default=None)
    return best[2] if best else None


def test_where_ranges_overlap_the_more_specific_one_holds(tmp_path: Path) -> None:
    """Nested, crossing, and equal ones, against a search of all; each that overlaps is counted."""
    random = Random(13)
    for _ in range(60):
        ranges = []
        for asn in range(1, random.randint(3, 12)):
            start = random.randint(0, 200)
            ranges.append((start, min(255, start + random.choice((0, 3, 15, 63, 200))), asn))
        if len({(start, end) for start, end, _ in ranges}) < len(ranges):
            continue
        text = "".join(f"198.18.0.{a}\t198.18.0.{b}\t{asn}\tZZ\tN\n" for a, b, asn in ranges)
        found = table(tmp_path, text)
        for last in range(256):
            system = found.find(addresses.packed(f"198.18.0.{last}"))
            assert (system.asn if system else None) == brute(ranges, last), (ranges, last)
        disjoint = all(b < c for (_, b, _), (c, _, _) in itertools.pairwise(sorted(ranges)))
        assert (found.overlaps == 0) == disjoint


def test_one_overlap_in_ipv6_is_counted(tmp_path: Path) -> None:
    found = table(tmp_path, "2001:db8::\t2001:db8::ffff\t1\tZZ\tA\n2001:db8::10\t2001:db8::1f\t2\tZZ\tB\n")
    assert found.overlaps == 1
    assert [found.find(addresses.packed(f"2001:db8::{a}")).asn for a in ("f", "10", "1f", "20")] == [1, 2, 2, 1]  # type: ignore[union-attr]


def test_what_is_kept_of_a_table_is_the_table(tmp_path: Path) -> None:
    text = GOOD + "2001:db8::\t2001:db8::ffff\t7\tZZ\tSix – Six\n"  # noqa: RUF001
    (tmp_path / "asn.tsv").write_text(text, encoding="utf-8")
    first = load_or_last(tmp_path / "asn.tsv", tmp_path / "cache")
    again = load_or_last(tmp_path / "asn.tsv", tmp_path / "cache")
    assert (first.problem, again.problem) == ("", "")
    for address in ("192.0.2.0", "192.0.2.255", "192.0.3.0", "2001:db8::1", "2001:db9::"):
        assert first.table.find(addresses.packed(address)) == again.table.find(addresses.packed(address))
    kept = (tmp_path / "cache").read_bytes()
    for damage in (b"", b"x" * 100, kept[:-3], kept + b"x", kept[:-4] + b"\xff" * 4):
        (tmp_path / "cache").write_bytes(damage)
        found = load_or_last(tmp_path / "asn.tsv", tmp_path / "cache").table
        assert found.find(addresses.packed("192.0.2.0"))
        assert found.find(addresses.packed("2001:db8::1")), "its system is the last number of the file"
