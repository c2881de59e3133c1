"""The formats beside text and NDJSON: one entry in FORMATS each, with one writer for every kind of its files.

What a firewall, a resolver or a mail server blocks by (`blocks`) holds only sources that were proven to be real: the
others may be forged, and blocking them is what whoever forges them wants. Addresses are in numerical order. The same
addresses give the same bytes, whatever the hour.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .addresses import address_text, packed
from .astable import System
from .config import Network
from .feedfile import Entry, iso
from .names import ascii_name

COMBINED = "combined"
"""Stands for a feed's name in the names of the files that hold the proven sources of all feeds."""
_IPSET_NAME = 31  # bytes, IPSET_MAXNAMELEN less its NUL
_IPSET_MOST = 4_194_304
_NFT_STATEMENT = 4096  # addresses in one statement
_SERIAL = re.compile(rb"^@ SOA \S+ \S+ ([0-9]+) ", re.MULTILINE)
_SERIAL_PLACE = b"@serial@"
_CSV_FIELDS = (
    "address", "asn", "as_name", "category", "first_seen", "last_seen", "events", "verified", "confidence",
    "valid_until",
)  # fmt: skip


def by_number(addresses: Iterable[str]) -> dict[int, list[str]]:
    """Return the addresses of each family (4 and 6), each once, in numerical order."""
    found = sorted({packed(address) for address in addresses})
    return {
        4: [address_text(value) for value in found if len(value) == 4],
        6: [address_text(value) for value in found if len(value) == 16],
    }


@dataclass(frozen=True)
class Listing:
    """What the writers write: a feed, or the sources of all of them."""

    name: str
    """The feed's, or COMBINED."""
    network: Network
    proven: Mapping[int, Sequence[str]]
    """The addresses that were proven to be real, of each family; see `by_number`."""
    entries: Sequence[Entry] = ()
    """All of the feed's, as its text file has them; a combined listing has none."""
    serial: int = 0
    """The lowest that a zone may have when it says something new: the end of the seven days in seconds since 1970."""
    former: Mapping[str, bytes] = field(default_factory=dict)
    """What was published last of the files whose writers ask for it, by kind."""

    @property
    def about(self) -> str:
        """A line for the files' first comment, in ASCII."""
        who = f"{ascii_name(self.network.name)}, {_word(self.network.url)}"
        return f"{self.name}: sources that were proven to be real. {who}"


Writer = Callable[[Listing], bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of files."""

    name: str
    """As feeds.json calls it."""
    ending: str
    """What follows the feed's name in the file's."""
    families: tuple[int, ...]
    """Whose addresses it holds."""
    write: Writer
    row: re.Pattern[bytes]
    """Matches once for each of its rows."""
    needs_former: bool = False
    aggregates: bool = False
    """One of its rows may stand for several addresses."""

    def rows(self, content: bytes) -> int:
        """Return the number of rows of a file of this kind."""
        return sum(1 for _ in self.row.finditer(content))


@dataclass(frozen=True)
class Format:
    """An entry of `publisher_formats`: files that one kind of consumers reads."""

    name: str
    title: str
    """For the website."""
    kinds: tuple[Kind, ...]
    blocks: bool = True
    """Something is blocked by it: it holds proven sources only."""
    combined: bool = False
    """There is also a file for all feeds together."""


def _word(text: str) -> str:
    """Return an operator's text without what could end a comment or a quoted text, in ASCII."""
    return "".join(c for c in text if "!" <= c <= "~" and c not in '"$\\;')


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _csv(listing: Listing) -> bytes:
    """RFC 4180, with a header line. A name that a spreadsheet would run as a formula has an apostrophe before it."""
    lines = [",".join(_CSV_FIELDS)]
    system: System | None = None
    about = ","
    for entry in listing.entries:
        if entry.system is not system:  # entries are sorted: most have the system of the one before
            system = entry.system
            about = f"{system.asn},{_csv_field(system.full_name)}" if system else ","
        lines.append(
            f"{entry.address},{about},{listing.name},{iso(entry.first_seen)},{iso(entry.last_seen)},{entry.events},"
            f"{'true' if entry.verified_events else 'false'},{entry.confidence},{entry.valid_until}"
        )
    return "".join(f"{line}\r\n" for line in lines).encode()


def _csv_field(text: str) -> str:
    if text.startswith(("=", "+", "-", "@")):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text


def _list(family: int) -> Writer:
    """One address a line and nothing else."""
    return lambda listing: _lines(listing.proven[family])


def prefixes(addresses: Sequence[str]) -> Iterator[str]:
    """Yield the fewest prefixes that hold the addresses and no other one, in numerical order.

    The addresses are of one family and as `by_number` has them. RFC 4632 section 3.1: a prefix of 2^n addresses begins
    at a multiple of 2^n.
    """
    values = [int.from_bytes(packed(address)) for address in addresses]
    length = 16 if addresses and ":" in addresses[0] else 4
    at = 0
    while at < len(values):
        run = 1
        while at + run < len(values) and values[at + run] == values[at] + run:
            run += 1
        while run:
            first = values[at]
            # As far as the number is a multiple of it, and the run goes.
            bits = min((first & -first).bit_length() or 8 * length + 1, run.bit_length()) - 1
            yield f"{addresses[at]}/{8 * length - bits}"
            at += 1 << bits
            run -= 1 << bits


def _cidr(family: int) -> Writer:
    """Prefixes, one a line; a single address is one, too."""
    return lambda listing: _lines(prefixes(listing.proven[family]))


def _nftables(listing: Listing) -> bytes:
    """A script for `nft -f`, which is one transaction: the sets are never half full.

    The sets hash single addresses. Neither `interval` nor `timeout`: the first would make a tree of ranges, slower to
    fill and to search; by the second, addresses would vanish one after another when nobody renews the set, and each
    would take more memory. The table is its own, so that what the reader has in others is not touched.
    """
    lines = ["#!/usr/sbin/nft -f", f"# {listing.about}", "add table inet strandline"]
    names = {family: f"inet strandline {listing.name}_ipv{family}" for family in (4, 6)}
    for family, name in names.items():
        lines += [f"add set {name} {{ type ipv{family}_addr; }}", f"flush set {name}"]
    for family, name in names.items():
        addresses = listing.proven[family]
        for at in range(0, len(addresses), _NFT_STATEMENT):
            elements = ",\n ".join(addresses[at : at + _NFT_STATEMENT])
            lines += [f"add element {name} {{", f" {elements}", "}"]
    return _lines(lines)


def _ipset_name(listing: Listing, ending: str) -> str:
    """Return a set's name; one that would be too long for the kernel ends with a hash of the feed's."""
    name = f"{listing.name}_{ending}"
    if len(name) <= _IPSET_NAME:
        return name
    digest = hashlib.sha256(listing.name.encode()).hexdigest()[:6]
    return f"{listing.name[: _IPSET_NAME - len(ending) - len(digest) - 2]}_{digest}_{ending}"


def _ipset(listing: Listing) -> bytes:
    """Commands for `ipset restore`: a new set is filled and then takes the old one's place, at once for every rule."""
    lines = [f"# {listing.about}"]
    for family, kind in ((4, "inet"), (6, "inet6")):
        addresses = listing.proven[family]
        if len(addresses) > _IPSET_MOST:
            raise ValueError(f"more than {_IPSET_MOST} addresses")
        name, new = _ipset_name(listing, f"ipv{family}"), _ipset_name(listing, f"new{family}")
        # hashsize and maxelem are the same every time: a set can be swapped, and created again, only as what it is.
        like = f"hash:ip family {kind} hashsize 4096 maxelem {_IPSET_MOST} -exist"
        lines += [f"create {name} {like}", f"create {new} {like}", f"flush {new}"]
        lines += [f"add {new} {address} -exist" for address in addresses]
        lines += [f"swap {new} {name}", f"destroy {new}"]
    return _lines(lines)


def _rpz_trigger(address: str) -> str:
    """Return the owner name of an address in a response policy zone, in the only form that BIND finds canonical."""
    if ":" not in address:
        return "32." + ".".join(reversed(address.split("."))) + ".rpz-ip"
    left, gap, right = address.partition("::")
    groups = [*left.split(":"), *(["zz"] if gap else []), *(right.split(":") if right else [])]
    return "128." + ".".join(group for group in reversed(groups) if group) + ".rpz-ip"


def _rpz(listing: Listing) -> bytes:
    """A zone that turns answers with such an address into NXDOMAIN.

    Its serial grows whenever the zone says something new, also twice within an hour, and stays while it does not.
    """
    head = [
        f"; {listing.about}",
        "$TTL 3600",
        f"@ SOA localhost. hostmaster.localhost. {_SERIAL_PLACE.decode()} 3600 900 604800 300",
        "@ NS localhost.",
    ]
    triggers = (f"{_rpz_trigger(address)} CNAME ." for family in (4, 6) for address in listing.proven[family])
    zone = _lines([*head, *triggers])
    former = listing.former.get("rpz", b"")
    last = _SERIAL.search(former)
    if last is None:
        return zone.replace(_SERIAL_PLACE, str(listing.serial).encode(), 1)
    if zone.replace(_SERIAL_PLACE, last[1], 1) == former:
        return former
    return zone.replace(_SERIAL_PLACE, str(max(listing.serial, int(last[1]) + 1)).encode(), 1)


def _dnsbl(family: int) -> Writer:
    """A data file for rbldnsd, with the test entry of RFC 5782 section 5; $ stands for the address asked for."""

    def write(listing: Listing) -> bytes:
        answer = f":127.0.0.2:$ {listing.name} {_word(listing.network.url)}"[:200]
        test = "127.0.0.2" if family == 4 else "0::ffff:7f00:2"
        # A line that begins with a colon is an answer.
        entries = (f"0{address}" if address.startswith(":") else address for address in listing.proven[family])
        return _lines([f"# {listing.about}", answer, test, *entries])

    return write


_PREFIX_LINE = re.compile(rb"^[0-9a-f:.]+/[0-9]+$", re.MULTILINE)
_ADDRESS_LINE = re.compile(rb"^[0-9a-f:.]+$", re.MULTILINE)
# Not the test entry, nor the answer, which has a blank.
_DNSBL_LINE = re.compile(rb"^(?!127\.0\.0\.2$|0::ffff:7f00:2$)[0-9a-f:.]+$", re.MULTILINE)

FORMATS: Mapping[str, Format] = {
    one.name: one
    for one in (
        Format(
            "csv",
            "CSV",
            (Kind("csv", ".csv", (4, 6), _csv, re.compile(rb"^[0-9a-f:.]+,", re.MULTILINE)),),
            blocks=False,
        ),
        Format(
            "plain",
            "Plain addresses",
            (
                Kind("list-ipv4", ".list", (4,), _list(4), _ADDRESS_LINE),
                Kind("list-ipv6", "-ipv6.list", (6,), _list(6), _ADDRESS_LINE),
            ),
            combined=True,
        ),
        Format(
            "cidr",
            "CIDR prefixes",
            (
                Kind("cidr-ipv4", ".cidr", (4,), _cidr(4), _PREFIX_LINE, aggregates=True),
                Kind("cidr-ipv6", "-ipv6.cidr", (6,), _cidr(6), _PREFIX_LINE, aggregates=True),
            ),
            combined=True,
        ),
        Format(
            "nftables",
            "nftables",
            (Kind("nftables", ".nft", (4, 6), _nftables, re.compile(rb"^ [0-9a-f:.]+", re.MULTILINE)),),
            combined=True,
        ),
        Format(
            "ipset",
            "ipset",
            (Kind("ipset", ".ipset", (4, 6), _ipset, re.compile(rb"^add ", re.MULTILINE)),),
            combined=True,
        ),
        Format(
            "rpz",
            "RPZ zone",
            (Kind("rpz", ".rpz", (4, 6), _rpz, re.compile(rb"\.rpz-ip CNAME ", re.MULTILINE), needs_former=True),),
        ),
        Format(
            "rbldnsd",
            "DNSBL of rbldnsd",
            (
                Kind("dnsbl-ip4set", ".ip4set", (4,), _dnsbl(4), _DNSBL_LINE),
                Kind("dnsbl-ip6trie", ".ip6trie", (6,), _dnsbl(6), _DNSBL_LINE),
            ),
        ),
    )
}


def kinds(names: Iterable[str] = tuple(FORMATS)) -> dict[str, Kind]:
    """Return the kinds of files of some formats, by name."""
    return {kind.name: kind for name in names for kind in FORMATS[name].kinds}
