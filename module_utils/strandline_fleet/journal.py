"""What happened with each provider, day by day, and the scorecard that follows from it.

A provider's journal stands in the inventory as journal/PROVIDER.yml. The operator writes in it by ``./strandline note``
or in an editor; the verbs write what they learn. :func:`entered` is the one way in: it returns texts, as everything
that changes an inventory does, so that they are shown and checked before they are written.
"""

from __future__ import annotations

import datetime as dt
import enum
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml as pyyaml
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from strandline_fleet import text as terminal
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory import document
from strandline_fleet.inventory.files import JOURNAL, yaml
from strandline_fleet.inventory.former import former_leases
from strandline_fleet.inventory.model import Fleet, Provider

HEAD = "---\n# What happened with this provider. ./strandline note and the other verbs write here; so may you.\n"
LONGEST = 500
"""Characters of an entry's text; journal.schema.json says the same."""
RECENT = dt.timedelta(days=365)
"""Incidents count for so long."""
STALE = dt.timedelta(days=365)
"""A criterion that nobody has looked at for longer is to be checked again."""
SCORES = range(1, 6)

Texts = dict[Path, str | None]


class Kind(enum.StrEnum):
    """What an entry is about; journal.schema.json lists the same."""

    NOTE = "note"
    OUTAGE = "outage"
    BACK = "back"
    ADDRESS = "address"
    PRICE = "price"
    REINSTALL = "reinstall"
    REPUTATION = "reputation"
    NAME = "name"


class Criterion(enum.StrEnum):
    """By what a provider is judged."""

    HISTORICITY = "historicity"
    REPUTATION = "reputation"
    PAYMENT = "payment"
    SUPPORT = "support"
    PROFESSIONALISM = "professionalism"


INCIDENTS: Mapping[Kind, str] = {
    Kind.OUTAGE: "outage",
    Kind.ADDRESS: "address change",
    Kind.PRICE: "price change",
    Kind.REINSTALL: "reinstall",
    Kind.REPUTATION: "reputation change",
}
"""Kinds that count against a provider, in words."""


@dataclass(frozen=True)
class Entry:
    """One line of a journal."""

    provider: str
    """As its file is called: alder."""
    day: dt.date
    kind: Kind
    text: str
    host: str = ""
    about: Criterion | None = None
    score: int | None = None
    """Of the criterion ``about``: 1 (bad) to 5 (good)."""


@dataclass(frozen=True)
class Mark:
    """How a provider does by one criterion."""

    criterion: Criterion
    score: int | None
    says: str
    checked: dt.date | None
    """The day on which the operator last noted something about it."""

    def stale(self, today: dt.date) -> bool:
        """Whether it is time to look at it again."""
        return self.checked is None or today - self.checked > STALE


def path_of(directory: Path, provider: str) -> Path:
    """Where a provider's journal stands in an inventory."""
    return directory / JOURNAL / f"{provider}.yml"


# Writing ------------------------------------------------------------------------------------------------------------


def entered(fleet: Fleet, entries: Iterable[Entry], texts: Mapping[Path, str | None] | None = None) -> Texts:
    """The journals with further entries, beside the ``texts`` of the same change. What stands there already is not
    written again.

    Raises Refusal for a provider that the inventory does not have, or a text that can't be an entry.
    """
    found: Texts = dict(texts or {})
    wanted: dict[str, list[Entry]] = {}
    for entry in entries:
        _check(fleet, entry)
        wanted.setdefault(entry.provider, []).append(entry)
    for provider, new in wanted.items():
        path = path_of(fleet.directory, provider)
        before = found.get(path) or (path.read_text(encoding="utf-8") if path.exists() else "")
        tree = yaml().load(before) if before else CommentedMap()
        if not isinstance(tree, dict):  # a file of comments alone
            tree = CommentedMap()
        if not tree.get("journal"):
            tree["journal"] = CommentedSeq()
        known = {_key(item) for item in tree["journal"]}
        added = [entry for entry in new if _key(_node(entry)) not in known]
        for entry in dict.fromkeys(added):
            tree["journal"].append(_node(entry))
        if added:
            found[path] = _dumped(tree, before)
    return found


def _check(fleet: Fleet, entry: Entry) -> None:
    if entry.provider not in providers(fleet):
        names = ", ".join(sorted(providers(fleet))) or "none"
        raise Refusal(f"There is no provider {entry.provider!r} in {fleet.directory}. There are: {names}.")
    if not entry.text or entry.text != terminal.shown(entry.text):
        raise Refusal(f"The text of a note is one line of printable characters, not {entry.text!r}.")
    if len(entry.text) > LONGEST:
        raise Refusal(f"The text of a note has {len(entry.text)} characters; {LONGEST} is the most. Shorten it.")
    if entry.score is not None and (entry.about is None or entry.score not in SCORES):
        raise Refusal(
            f"A score is 1 (bad) to 5 (good) of one criterion: --score 4 --about support. {entry.score!r} is none."
        )


def _key(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return str(item.get("day")), str(item.get("kind")), str(item.get("host", "")), str(item.get("text"))


def _word(text: str) -> str:
    """A word that YAML 1.1, too, reads as this word."""
    return text if pyyaml.safe_load(text) == text else DoubleQuotedScalarString(text)


def _node(entry: Entry) -> CommentedMap:
    node = CommentedMap({"day": entry.day, "kind": str(entry.kind)})
    if entry.host:
        node["host"] = _word(entry.host)
    if entry.about is not None:
        node["about"] = str(entry.about)
    if entry.score is not None:
        node["score"] = entry.score
    node["text"] = DoubleQuotedScalarString(entry.text)
    node.fa.set_flow_style()
    return node


def _dumped(tree: Any, before: str) -> str:
    out = io.StringIO()
    yaml().dump(tree, out)
    written = out.getvalue().removeprefix("---\n")
    if not before:
        return HEAD + written
    marked = document.MARKER.match(before)
    return (before[: marked.end()] + "\n" if marked else "") + written


def renamed(fleet: Fleet, old: str, new: str, texts: Mapping[Path, str | None] | None = None) -> Texts:
    """The journals when a provider has another short name, or is merged with another: the entries of ``old`` go on in
    the journal of ``new``, in the order of their days."""
    found: Texts = dict(texts or {})
    source, target = path_of(fleet.directory, old), path_of(fleet.directory, new)
    moving = found.get(source) or (source.read_text(encoding="utf-8") if source.exists() else "")
    if not moving:
        return found
    staying = found.get(target) or (target.read_text(encoding="utf-8") if target.exists() else "")
    found[source] = None
    if not staying:
        found[target] = moving
        return found
    tree = yaml().load(staying)
    items = [*(tree.get("journal") or ()), *(yaml().load(moving).get("journal") or ())]
    tree["journal"] = CommentedSeq(sorted(items, key=lambda item: str(item["day"])))
    found[target] = _dumped(tree, staying)
    return found


# Reading ------------------------------------------------------------------------------------------------------------


def read(directory: Path) -> dict[str, list[Entry]]:
    """The entries of an inventory by provider, the oldest first. Raises Refusal with the first mistake: the inventory's
    check names all of them."""
    return {path.stem: list(_entries(path)) for path in sorted((directory / JOURNAL).glob("*.yml"))}


def _entries(path: Path) -> Iterator[Entry]:
    found, problems = document.read(path, str(path))
    if problems:
        raise Refusal(str(problems[0]))
    tree = found.plain if found is not None and isinstance(found.plain, dict) else {}
    try:
        entries = [
            Entry(
                path.stem, dt.date.fromisoformat(item["day"]), Kind(item["kind"]), item["text"], item.get("host") or "",
                Criterion(item["about"]) if item.get("about") else None, item.get("score"),
            )
            for item in tree.get("journal") or ()
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refusal(
            f"{path} is no journal ({error!r}). What is wrong in it: ./strandline check -i INVENTORY"
        ) from error
    yield from sorted(entries, key=lambda entry: entry.day)


def providers(fleet: Fleet) -> dict[str, str]:
    """The names in full of all providers, also of those that nothing is leased from any more, by short name."""
    former = {lease.group: lease.provider for lease in former_leases(fleet.directory) if lease.group}
    return former | {provider.group.removeprefix("provider_"): provider.name for provider in fleet.providers}


def provider_of(fleet: Fleet, host: str) -> str:
    """The short name of the provider that a host is or was leased from; "" for a host that is in no record."""
    for each in fleet.hosts():
        if each.name == host:
            return each.provider.removeprefix("provider_")
    return next((lease.group for lease in former_leases(fleet.directory) if lease.name == host), "")


# The watcher's news -------------------------------------------------------------------------------------------------


def news(fleet: Fleet, answer: str, where: str) -> list[Entry]:
    """The entries that the watcher's notices make: when a sensor fell silent, and when it was heard again.

    ``answer`` is what playbooks/journal.yml asks the database for. Raises Refusal for anything else. Of sensors that
    are in no record nothing is said.
    """
    found = []
    try:
        for row in json.loads(answer):
            at = dt.datetime.fromisoformat(row["at"])
            host = str(row["sensor"])
            kind = Kind.BACK if row["state"] == "ok" else Kind.OUTAGE
            if provider := provider_of(fleet, host):
                says = terminal.shown(f"{at:%H:%M} UTC: {row['text']}")[:LONGEST]
                found.append(Entry(provider, at.date(), kind, says, host))
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(f"The database on {where} answered something else than the watcher's notices ({error!r}).") from (
            error
        )
    return found


# The scorecard ------------------------------------------------------------------------------------------------------


def incidents(entries: Iterable[Entry], today: dt.date) -> dict[str, int]:
    """How many incidents of each kind the last year had, in words of INCIDENTS."""
    counted = Counter(entry.kind for entry in entries if today - RECENT < entry.day <= today)
    return {word: counted[kind] for kind, word in INCIDENTS.items() if counted[kind]}


def plural(number: int, word: str) -> str:
    """A number with its word: 1 outage, 2 outages."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def scorecard(provider: Provider, entries: Iterable[Entry], today: dt.date) -> list[Mark]:
    """How a provider does by each criterion: what its file and its journal say, and when it was last looked at."""
    entries = [entry for entry in entries if entry.day <= today]
    counted = incidents(entries, today)
    since = provider.details.get("since")
    known = {
        Criterion.HISTORICITY: f"customer since {since}" if isinstance(since, dt.date) else "",
        Criterion.PAYMENT: plural(counted[word], word) + " in a year"
        if (word := INCIDENTS[Kind.PRICE]) in counted
        else "",
        Criterion.REPUTATION: plural(counted[word], word) + " in a year"
        if (word := INCIDENTS[Kind.REPUTATION]) in counted
        else "",
        Criterion.PROFESSIONALISM: (
            ", ".join(
                plural(counted[INCIDENTS[kind]], INCIDENTS[kind])
                for kind in (Kind.OUTAGE, Kind.ADDRESS, Kind.REINSTALL)
                if INCIDENTS[kind] in counted
            )
            or "no incident"
        )
        + " in a year",
    }
    marks = []
    for criterion in Criterion:
        about = [entry for entry in entries if entry.about is criterion and entry.kind is Kind.NOTE]
        scored = [entry.score for entry in about if entry.score is not None]
        said = about[-1].text if about else str(provider.details.get(criterion.value) or "")
        says = "; ".join(part for part in (said, known.get(criterion, "")) if part)
        marks.append(Mark(criterion, scored[-1] if scored else None, says, about[-1].day if about else None))
    return marks


def shown(name: str, marks: Iterable[Mark], entries: Iterable[Entry], newest: int = 20) -> str:
    """A provider's scorecard and the newest of its entries, for the terminal."""
    card = [
        (mark.criterion, "-" if mark.score is None else mark.score, mark.checked or "never", mark.says)
        for mark in marks
    ]
    parts = [name, terminal.table(card, ("criterion", "score", "checked", "what is known"))]
    lines = [(entry.day, entry.kind, entry.host, entry.text) for entry in list(entries)[::-1][:newest]]
    if lines:
        parts.append(terminal.table(lines, ("day", "what", "host", "")))
    return "\n\n".join(parts)
