"""Addresses that come, go and change: a host's, or a provider's whole range in one run.

Each function raises Refusal for what can't be, and returns an empty change where an earlier run has made it.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from strandline_fleet import journal, known_hosts
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.change import Change, address, checked, entered, held_keys, host_of
from strandline_fleet.inventory.model import Fleet, Host, Problem
from strandline_fleet.inventory.trees import Trees

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SHOWN = 20
"""Mistakes that are told at once."""


@dataclass(frozen=True)
class Pair:
    """A line of a file of pairs: what takes the place of what. A single address is a network of one."""

    line: int
    old: Network
    new: Network

    def follow(self, text: str) -> str | None:
        """The address in the new range that takes the place of one in the old; None for one that is not in it."""
        return _moved(text, self.old, self.new)

    def origin(self, text: str) -> str | None:
        """The address in the old range whose place one in the new has taken; None for one that is not in it."""
        return _moved(text, self.new, self.old)


def _moved(text: str, source: Network, target: Network) -> str | None:
    found = ipaddress.ip_address(text)
    if found not in source:
        return None
    return str(target.network_address + (int(found) - int(source.network_address)))


@dataclass(frozen=True)
class Move:
    """A host's address in the place of another."""

    host: str
    old: str
    new: str


@dataclass(frozen=True)
class Moved:
    """What a run of renumberings changes, and all its moves, those of an earlier run included."""

    change: Change
    moves: tuple[Move, ...]


def pairs_of(path: Path) -> list[Pair]:
    """Read a file of pairs: OLD NEW on each line, addresses or networks of one size; # begins a comment.

    Raises Refusal with every mistake, by file and line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise Refusal(f"renumber_file: {path} can't be read ({why}). Name a file with OLD NEW on each line.") from error
    problems: list[Problem] = []
    pairs: list[Pair] = []
    sides: dict[str, list[tuple[int, Network]]] = {"old": [], "new": []}
    for number, line in enumerate(text.splitlines(), 1):
        words = [word for word in re.split(r"[\s,;]+", line.partition("#")[0]) if word]
        if not words:
            continue
        try:
            pair = _pair(number, words)
        except ValueError as error:
            message, _, remedy = str(error).partition("; ")
            problems.append(Problem(str(path), number, "", "", message, remedy))
            continue
        for side, network in (("old", pair.old), ("new", pair.new)):
            for other_side, others in sides.items():
                for other_line, other in others:
                    if network.version == other.version and network.overlaps(other):
                        remedy = "an address has one place in a run; where two are exchanged, take two runs"
                        message = f"{network} ({side}) overlaps {other} ({other_side}) of line {other_line}"
                        problems.append(Problem(str(path), number, "", "", message, remedy))
        sides["old"].append((number, pair.old))
        sides["new"].append((number, pair.new))
        pairs.append(pair)
    if not pairs and not problems:
        raise Refusal(f"{path} has no pairs in it. Write OLD NEW on each line: 192.0.2.10 198.51.100.10.")
    _stop(path, problems)
    return pairs


def _pair(number: int, words: Sequence[str]) -> Pair:
    """A pair. Raises ValueError with what is wrong and the remedy."""
    example = "write OLD NEW: 192.0.2.10 198.51.100.10, or 192.0.2.0/28 198.51.100.0/28"
    if len(words) != 2:
        raise ValueError(f"the line has {len(words)} words; {example}")
    networks: list[Network] = []
    for word in words:
        try:
            networks.append(ipaddress.ip_network(word))
        except ValueError:
            raise ValueError(f"{word!r} is neither an address nor a network; {example}") from None
    old, new = networks
    if old.version != new.version or old.prefixlen != new.prefixlen:
        raise ValueError(f"{old} and {new} are not of one size; give networks of the same length, or single addresses")
    if old.overlaps(new):
        raise ValueError(f"{old} and {new} overlap; {example}")
    return Pair(number, old, new)


def _stop(path: Path, problems: Sequence[Problem]) -> None:
    if problems:
        lines = [str(problem) for problem in problems]
        more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        raise Refusal("\n".join([f"{path} has mistakes, and nothing was written:", *lines[:SHOWN], *more]))


def renumbered(fleet: Fleet, path: Path, ports: Sequence[int] = (22,), day: dt.date | None = None) -> Moved:
    """Every address of a file of pairs in the place of its old one. Host keys kept under the old ones follow.

    The providers' journals get an entry of ``day`` for each move that was still to be made.
    """
    trees = Trees()
    lines: list[tuple[Host, str]] = []
    moves: list[Move] = []
    problems: list[Problem] = []
    for pair in pairs_of(path):
        found = list(_moves(fleet, pair))
        if not found:
            message = f"no host of {fleet.directory} has {_said(pair.old)}, nor {_said(pair.new)} in its place"
            problems.append(Problem(str(path), pair.line, "", "", message, "correct the line, or take it out"))
        for move in found:
            host = host_of(fleet, move.host)
            if move.old in host.addresses and move.new in host.addresses:
                message = f"{move.host} has both {move.old} and {move.new} in {host.file}"
                remedy = f"if {move.old} is gone: ./strandline address remove {move.host} {move.old}"
                problems.append(Problem(str(path), pair.line, move.host, "", message, remedy))
            if move.old in host.addresses:
                lines.append((host, f"{move.old} became {move.new}"))
            listed = trees.host(host)["addresses"]
            for place, text in enumerate(listed):
                if str(ipaddress.ip_address(str(text))) == move.old:
                    listed[place] = type(text)(move.new)
        moves += found
    _stop(path, problems)

    def follow(text: str) -> str:
        for move in moves:
            text = known_hosts.rename(text, move.old, move.new, ports)
        return text

    texts = entered(fleet, journal.Kind.ADDRESS, lines, trees.texts(), day)
    return Moved(Change(checked(fleet, texts), held_keys(fleet, follow)), tuple(dict.fromkeys(moves)))


def _said(network: Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else f"an address of {network}"


def _moves(fleet: Fleet, pair: Pair) -> Iterator[Move]:
    """The moves of a pair: those to be made, and those that an earlier run has made."""
    for host in fleet.hosts():
        for text in host.addresses:
            if new := pair.follow(text):
                yield Move(host.name, text, new)
            elif (old := pair.origin(text)) and old not in host.addresses:
                yield Move(host.name, old, text)


# More or fewer addresses are no incident, as another address in one's place is: the operator may have ordered them so.
def added(fleet: Fleet, name: str, texts: Sequence[str], day: dt.date | None = None) -> Change:
    """More addresses of a host, behind those that it has; its provider's journal gets an entry of ``day``."""
    host = host_of(fleet, name)
    wanted = [address(text) for text in texts]
    trees = Trees()
    listed = trees.host(host)["addresses"]
    new = [text for text in dict.fromkeys(wanted) if text not in host.addresses]
    listed.extend(new)
    lines = [(host, f"has {', '.join(new)} too")] if new else []
    return Change(checked(fleet, entered(fleet, journal.Kind.NOTE, lines, trees.texts(), day)))


def removed(
    fleet: Fleet, name: str, texts: Sequence[str], ports: Sequence[int] = (22,), day: dt.date | None = None
) -> Change:
    """Fewer addresses of a host; nothing kept under them stays. Its provider's journal gets an entry of ``day``."""
    host = host_of(fleet, name)
    gone = [address(text) for text in texts]
    if not set(host.addresses) - set(gone):
        raise Refusal(
            f"{name} in {host.file}: addresses: all of them would go. A host without an address is retired: "
            f"./strandline retire -i INVENTORY {name}"
        )
    trees = Trees()
    listed = trees.host(host)["addresses"]
    for place in reversed(range(len(listed))):
        if str(ipaddress.ip_address(str(listed[place]))) in gone:
            del listed[place]
    others = {text for each in fleet.hosts() if each.name != name for text in each.addresses}
    if foreign := [text for text in gone if text in others]:
        has = ", ".join(host.addresses)
        raise Refusal(f"{foreign[0]} is no address of {name} but another host's. {name} has {has}.")
    lost = [text for text in host.addresses if text in gone]
    lines = [(host, f"has {', '.join(lost)} no more")] if lost else []
    changed = checked(fleet, entered(fleet, journal.Kind.NOTE, lines, trees.texts(), day))
    return Change(changed, held_keys(fleet, lambda text: known_hosts.forget(text, gone, ports)))
