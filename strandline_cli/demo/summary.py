"""The end of the demo: a table of feeds and where to look."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from strandline.event import feeds as definitions

from strandline_cli import paths
from strandline_cli.demo.network import Network
from strandline_cli.errors import StepFailed
from strandline_cli.progress import spent

PACKAGE = paths.ROOT / "files" / "strandline"


@dataclass(frozen=True)
class Feed:
    """A published feed: its category, and how many addresses and events it stands for."""

    category: str
    addresses: int
    events: int


def feeds(www: Path, package: Path = PACKAGE) -> list[Feed]:
    """Return every feed of the protocols with what the website's feeds.json says of it; zeros when unpublished."""
    wanted = definitions.collect(package)["feeds"]
    try:
        entries: list[dict[str, Any]] = json.loads((www / "feeds.json").read_text())["feeds"]
        published = {entry["category"]: entry for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StepFailed(f"the website's list {paths.shown(www / 'feeds.json')} can't be read ({error})") from error

    def count(category: str, what: str) -> int:
        return int(published.get(category, {}).get(what, 0))

    return [
        Feed(category, count(category, "addresses") + count(category, "addresses_ipv6"), count(category, "events"))
        for category in wanted
    ]


def require_all_feeds(www: Path = paths.WWW) -> None:
    """Raise StepFailed when a feed has no address: the scanner has done something for each of them."""
    empty = [feed.category for feed in feeds(www) if not feed.addresses or not (www / f"{feed.category}.txt").exists()]
    if empty:
        raise StepFailed(f"no address in {', '.join(empty)}")


def show(net: Network, seconds: float) -> None:
    """Print the table and where to look."""
    table = Table(title="Feeds of the last 7 days")
    table.add_column("Category")
    table.add_column("Addresses", justify="right")
    table.add_column("Events", justify="right")
    for feed in feeds(paths.WWW):
        table.add_row(feed.category, str(feed.addresses), str(feed.events))
    console = Console(highlight=False)
    console.print(table)
    console.print(
        f"The site:    {net.site}\nIts files:   {paths.shown(paths.WWW)}/\nAway again:  ./strandline demo --down",
        markup=False,
    )
    console.print(f"Took {spent(seconds)} minutes.", markup=False)
