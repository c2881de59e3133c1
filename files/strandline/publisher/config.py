"""The publisher's two configuration files: publisher.yml, and feeds.yml, where one entry defines a feed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..event import feeds
from ..shared.settings import ConfigurationError, Section, read_yaml
from . import addresses
from .limits import FORMAT_NAMES, POLICIES, SHARING_NAMES, Guard, Sharing
from .mirror import Mirror
from .pairs import Limits

# Each becomes part of a command or of a file's name.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_DIRECTORY = re.compile(r"/[A-Za-z0-9_./-]{0,200}")
_HOST_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]+=*")


@dataclass(frozen=True)
class Feed:
    """One entry of feeds.yml, as far as the publisher needs it."""

    category: str
    title: str
    description: str
    first_seen: bool = False


@dataclass(frozen=True)
class Network:
    """Who publishes, in words for the headers and the index page."""

    name: str
    tagline: str
    contact: str
    url: str
    licence: str
    removal: str


@dataclass(frozen=True)
class Config:
    """publisher.yml. `database` holds libpq's parameters."""

    network: Network
    feeds: tuple[Feed, ...]
    webroot: Path
    state: Path
    asn_table: Path
    never: addresses.NeverList
    guard: Guard = field(default_factory=Guard)
    database: Mapping[str, str] = field(default_factory=dict)
    statement_timeout: int = 300
    through_now: bool = False
    publisher: str = "publisher"
    """The name that the watcher knows it by."""
    signing_key: Path | None = None
    """minisign's secret key; the public one is beside it and ends with .pub."""
    publish_delay: int = 240
    """Seconds after the full hour by which a generation is published."""
    mirrors: tuple[Mirror, ...] = ()
    mirror_key: Path | None = None
    """The SSH key for all mirrors."""
    stale_hours: int = 2
    """For how long after the next generation was due the old one may still be acted on."""
    formats: tuple[str, ...] = FORMAT_NAMES
    """What is published beside text and NDJSON; see formats.py."""
    pairs: Limits = field(default_factory=Limits)
    sharing: Sharing = field(default_factory=Sharing)


def load_feeds(path: Path) -> tuple[Feed, ...]:
    """Return the feeds in the file's order, read as the loader reads them. Raises ConfigurationError."""
    try:
        rules = feeds.load(path).rules
    except feeds.FeedError as error:
        where, _, problem = str(error).partition(": ")
        raise ConfigurationError(where, problem, "See docs/feeds.md") from error
    return tuple(Feed(rule.category, rule.title, rule.description, rule.first_seen) for rule in rules)


def load(path: Path) -> Config:
    """Read publisher.yml and the files that it names, but for the large AS table. Raises ConfigurationError."""
    top = read_yaml(path)
    top.only(
        "network", "feeds", "webroot", "state", "asn_table", "never_publish", "publish_ranges", "fleet_addresses",
        "guard", "database", "statement_timeout", "through_now", "publisher", "signing_key", "publish_delay",
        "stale_hours", "mirrors", "mirror_key", "formats", "pairs", "sharing",
    )  # fmt: skip
    mirrors = tuple(_mirror(section) for section in top.sections("mirrors"))
    if len({mirror.name for mirror in mirrors}) < len(mirrors):
        raise top.wrong("mirrors", "have the same name twice", "Give each a name of its own")
    words = top.section("network")
    words.only("name", "tagline", "contact", "url", "licence", "removal")
    return Config(
        network=Network(
            name=words.sentence("name"),
            tagline=words.sentence("tagline"),
            contact=words.sentence("contact"),
            url=words.sentence("url"),
            licence=words.sentence("licence"),
            removal=words.sentence("removal"),
        ),
        feeds=load_feeds(top.path("feeds")),
        webroot=top.path("webroot"),
        state=top.path("state"),
        asn_table=top.path("asn_table"),
        never=addresses.NeverList(
            listed=addresses.load_never_publish(top.path("never_publish")),
            fleet=_networks(top, "fleet_addresses"),
            publish_ranges=_networks(top, "publish_ranges"),
        ),
        guard=_guard(top.section("guard")),
        database=top.section("database").as_texts(),
        statement_timeout=top.number("statement_timeout", 300, 1, 3000),
        through_now=top.flag("through_now"),
        publisher=top.text("publisher", "publisher"),
        signing_key=top.path("signing_key") if top.has("signing_key") else None,
        publish_delay=top.number("publish_delay", 240, 0, 3599),
        stale_hours=top.number("stale_hours", 2, 1, 168),
        mirrors=mirrors,
        mirror_key=top.path("mirror_key") if mirrors else None,
        formats=_formats(top) if top.has("formats") else FORMAT_NAMES,
        pairs=_pairs(top.section("pairs")) if top.has("pairs") else Limits(),
        sharing=_sharing(top.section("sharing")) if top.has("sharing") else Sharing(),
    )


def _formats(section: Section) -> tuple[str, ...]:
    return _some_of(section, "formats", FORMAT_NAMES)


def _some_of(section: Section, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    wanted = section.texts(key)
    for name in wanted:
        if name not in known:
            raise section.wrong(key, f"{name!r} is unknown", f"Write some of {', '.join(known)}")
    return tuple(dict.fromkeys(wanted))


def _sharing(section: Section) -> Sharing:
    section.only("formats", "hours")
    hours = section.number("hours", 24, 1, 24)
    if 24 % hours:
        raise section.wrong("hours", f"{hours} does not divide a day", "Write 1, 2, 3, 4, 6, 8, 12 or 24")
    return Sharing(_some_of(section, "formats", SHARING_NAMES), hours)


def _networks(section: Section, key: str) -> list[addresses.Network]:
    try:
        return [addresses.parse_network(str(item)) for item in section.list_(key)]
    except ValueError as error:
        raise section.wrong(key, str(error), "Write addresses, or prefixes without host bits") from None


def _mirror(section: Section) -> Mirror:
    section.only("name", "address", "port", "user", "directory", "host_key")
    address = section.text("address")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        # No name: the unit and the firewall let exactly this address through.
        raise section.wrong("address", f"{address!r} is no address", "Write one") from None
    return Mirror(
        name=section.match("name", _NAME, "Use letters, digits, - _ and ."),
        address=address,
        port=section.number("port", 22, 1, 65535),
        user=section.match("user", _NAME, "Write an account of that host"),
        directory=section.match("directory", _DIRECTORY, "Begin it with /, without blanks", "/"),
        host_key=section.match("host_key", _HOST_KEY, "Write type and key, as in the host's ssh_host_ed25519_key.pub"),
    )


def _pairs(section: Section) -> Limits:
    section.only("sources", "most")
    normal = Limits()
    return Limits(
        sources=section.number("sources", normal.sources, 0, 10**6), most=section.number("most", normal.most, 1, 10**6)
    )


def _guard(section: Section) -> Guard:
    """Read the guards' limits; what is not given is as Guard has it."""
    normal = Guard()
    limits = {
        "percent": (0, 100), "min_rows": (0, 10**9), "growth_factor": (2, 10**6), "growth_min_rows": (1, 10**9),
        "first_rows": (1, 10**7), "unproven_factor": (1, 10**6), "unproven_floor": (0, 10**7),
        "unproven_first": (0, 10**7), "unproven_most": (0, 10**7), "unproven_sensors": (2, 1000),
        "silent_hours": (1, 24 * 365),
    }  # fmt: skip
    section.only(*limits, "unproven")
    policy = section.choice("unproven", POLICIES, normal.unproven)
    numbers = {name: section.number(name, getattr(normal, name), *bounds) for name, bounds in limits.items()}
    return Guard(unproven=policy, **numbers)
