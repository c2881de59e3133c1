"""What publisher.yml may say of limits, of sources that were never proven to be real, and of formats."""

from __future__ import annotations

from dataclasses import dataclass

POLICIES = ("plausible", "publish", "several", "omit", "separate")
# What each of them is: sharing.py and formats.py.
SHARING_NAMES = ("misp", "stix")
FORMAT_NAMES = ("csv", "plain", "cidr", "nftables", "ipset", "rpz", "rbldnsd")


@dataclass(frozen=True)
class Sharing:
    """Which files for sharing platforms are published (see sharing.py), and after how many hours they are renewed."""

    wanted: tuple[str, ...] = ()
    hours: int = 24


@dataclass(frozen=True)
class Guard:
    """The limits.

    Drop: the measure is the published rows that still lie in the new window; all of them should come back. A feed is
    refused when there were more than `min_rows` of them and fewer than `percent` % come back.
    Growth: it is refused above `growth_factor` times the published rows (or times `growth_min_rows` for fewer).
    Unproven sources: see `unproven_limit`, and POLICIES in docs/feeds.md.
    """

    percent: int = 50
    min_rows: int = 20
    growth_factor: int = 4
    growth_min_rows: int = 2500
    first_rows: int = 200_000
    unproven: str = "plausible"
    unproven_factor: int = 3
    unproven_floor: int = 2000
    unproven_first: int = 20_000
    unproven_most: int = 200_000
    unproven_sensors: int = 2
    silent_hours: int = 6
