"""Read feeds.yml: which events count for which category, and how its feed is written. Loader and publisher read it so.

On the controller each protocol has its own (protocols/*/feeds.yml); hosts get all of them as one file.

Each entry names one event and, optionally, the values some of its fields must have. The rules are compiled once, so
that categorising an event costs a dictionary look-up and a few comparisons.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CATEGORY = re.compile(r"[a-z][a-z0-9_]{0,31}")
# Names of the website's own files, which a feed's files must not replace.
RESERVED = frozenset({
    "index", "feeds", "robots", "style", "minisign", "current", "generations", "signals", "combined",
    "sshidpw", "lookup", "status", "deltas", "quality",
})  # fmt: skip
EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
FIELD = re.compile(r"[a-z][a-z0-9_]{0,62}")
KNOWN_KEYS = frozenset({"event", "where", "where_fold", "title", "description", "columns"})
LAYOUTS = ("standard", "first_seen")
"""What `columns` may say: with first_seen each line has the time of the first sighting before that of the last."""
# Columns of the event table that a rule may name besides the event's own fields.
COLUMNS = ("proto", "dport", "verified")


class FeedError(Exception):
    """feeds.yml is wrong; the text names file, entry and field, and says what to write there."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One field that must have one of some values."""

    name: str
    values: frozenset[str]
    spellings: frozenset[str] = field(init=False)  # each value with and without the quotes of the spool's lines

    def __post_init__(self) -> None:
        """Add the quoted spellings."""
        object.__setattr__(self, "spellings", self.values | {f'"{value}"' for value in self.values})


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of feeds.yml."""

    category: str
    event: str
    conditions: tuple[Condition, ...]
    fold: bool
    title: str = ""
    description: str = ""
    first_seen: bool = False
    """Whether the feed's text file has a column for it."""

    def matches(self, data: Mapping[str, str]) -> bool:
        """Tell whether an event with these fields, as in the database or still in quotes, counts for the category."""
        for condition in self.conditions:
            value = data.get(condition.name)
            # Values are ASCII: bytes above 0x7e are escaped.
            if value is None or (value.lower() if self.fold else value) not in condition.spellings:
                return False
        return True

    def sql(self) -> tuple[str, dict[str, object]]:
        """Return the rule as an SQL condition on strandline.event with its parameters (for psycopg2)."""
        clauses = ["event = %(event)s"]
        parameters: dict[str, object] = {"event": self.event}
        for number, condition in enumerate(self.conditions):
            name = condition.name  # [a-z0-9_]+, checked when it was read
            if name == "verified":
                expression = "(CASE WHEN verified THEN 'yes' ELSE 'no' END)"
            elif name in COLUMNS:
                expression = f"{name}::text"
            else:
                expression = f"data->>'{name}'"
            if self.fold:
                expression = f'lower({expression} COLLATE "C")'
            clauses.append(f"{expression} = ANY(%(values{number})s)")
            parameters[f"values{number}"] = sorted(condition.values)
        return " AND ".join(clauses), parameters


@dataclass(frozen=True, slots=True)
class Feeds:
    """All rules, ready to ask."""

    rules: tuple[Rule, ...]
    by_event: dict[str, tuple[Rule, ...]] = field(init=False)
    uses_columns: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Index the rules by event name."""
        by_event: dict[str, tuple[Rule, ...]] = {}
        for rule in self.rules:
            by_event[rule.event] = (*by_event.get(rule.event, ()), rule)
        object.__setattr__(self, "by_event", by_event)
        object.__setattr__(
            self,
            "uses_columns",
            frozenset(r.event for r in self.rules if any(c.name in COLUMNS for c in r.conditions)),
        )

    def categories(self, event: str, data: Mapping[str, str], proto: str, dport: int, verified: bool) -> list[str]:
        """Return the categories that an event counts for."""
        rules = self.by_event.get(event)
        if rules is None:
            return []
        if event in self.uses_columns:
            data = {**data, "proto": proto, "dport": str(dport), "verified": "yes" if verified else "no"}
        return [rule.category for rule in rules if not rule.conditions or rule.matches(data)]

    def rule(self, category: str) -> Rule:
        """Return a category's rule; raise FeedError for an unknown category."""
        for rule in self.rules:
            if rule.category == category:
                return rule
        raise FeedError(f"no feed {category!r}; there are: {', '.join(r.category for r in self.rules)}")


def _text(where: str, value: object) -> str:
    """Return `value` when it is text; YAML reads a bare yes or 53 as something else, which would never match."""
    if isinstance(value, str):
        return value
    shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
    raise FeedError(f'{where}: {value!r} is not text to YAML; put it in quotes: "{shown}"')


def _rule(source: str, category: object, entry: object) -> Rule:
    """Check one entry and return its rule."""
    where = f"{source}: feed {category!r}"
    if not isinstance(category, str) or not CATEGORY.fullmatch(category):
        raise FeedError(f"{where}: name it with small letters, digits and _, a letter first, at most 32 characters")
    if category in RESERVED:
        raise FeedError(f"{where}: the website has a file of that name; give the feed another one")
    if not isinstance(entry, dict):
        raise FeedError(f"{where}: give it the fields event, title and description")
    unknown = sorted(str(key) for key in set(entry) - KNOWN_KEYS)
    if unknown:
        raise FeedError(f"{where}: unknown field {', '.join(unknown)}; known are {', '.join(sorted(KNOWN_KEYS))}")
    for key in ("event", "title", "description"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise FeedError(f"{where}: field {key} is missing or not text; add `{key}: ...`")
    if not EVENT.fullmatch(entry["event"]):
        raise FeedError(f"{where}: event {entry['event']!r} is not a name like ssh.password (see events.yml)")
    fold = entry.get("where_fold", False)
    if not isinstance(fold, bool):
        raise FeedError(f"{where}: where_fold must be true or false")
    conditions = _conditions(where, entry.get("where", {}), fold)
    columns = entry.get("columns", "standard")
    if columns not in LAYOUTS:
        raise FeedError(f"{where}: columns is {columns!r}; write first_seen, or leave it out")
    title, description = (" ".join(entry[key].split()) for key in ("title", "description"))
    return Rule(category, entry["event"], conditions, fold, title, description, columns == "first_seen")


def _conditions(where: str, wanted: object, fold: bool) -> tuple[Condition, ...]:
    """Check the fields of `where` and return their conditions."""
    if not isinstance(wanted, dict):
        raise FeedError(f"{where}: where must be fields with values, like {{method: OPTIONS}}")
    compiled = []
    for name, given in wanted.items():
        if not isinstance(name, str) or not FIELD.fullmatch(name):
            raise FeedError(f"{where}: where names {name!r}, which is not a field's name")
        values = given if isinstance(given, list) else [given]
        if not values:
            raise FeedError(f"{where}: where.{name} lists no value; give one, or leave the field out")
        texts = [_text(f"{where}: where.{name}", value) for value in values]
        compiled.append(Condition(name, frozenset(text.lower() if fold else text for text in texts)))
    return tuple(compiled)


def parse(document: Any, source: str) -> Feeds:
    """Check a document read from YAML and compile it; raise FeedError with the first mistake."""
    if not isinstance(document, dict) or not isinstance(document.get("feeds"), dict) or not document["feeds"]:
        raise FeedError(f"{source}: put the feeds under the key `feeds`, one entry each")
    return Feeds(tuple(_rule(source, category, entry) for category, entry in document["feeds"].items()))


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FeedError(f"{path}: can't be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise FeedError(f"{path}: not YAML: {error}") from error


def load(path: Path) -> Feeds:
    """Read and compile a file; raise FeedError when it is missing, no YAML, or wrong."""
    return parse(_read(path), str(path))


def collect(package: Path) -> dict[str, Any]:
    """The document that a host gets: the feeds of all protocols' folders of the package. Raises FeedError."""
    found: dict[str, Any] = {}
    for file in sorted((package / "protocols").glob("*/feeds.yml")):
        document = _read(file)
        for rule in parse(document, str(file)).rules:
            if rule.category in found:
                raise FeedError(
                    f"{file}: feed {rule.category!r}: another protocol has a feed of that name; take another"
                )
            if not rule.event.startswith(f"{file.parent.name}."):
                raise FeedError(f"{file}: feed {rule.category!r}: event {rule.event!r} is not of this protocol")
            found[rule.category] = document["feeds"][rule.category]
    return {"feeds": found}


def main() -> int:
    """`python3 -m strandline.event.feeds FILE`: check a file; exit status 1 and the mistake on stderr."""
    try:
        for name in sys.argv[1:]:
            load(Path(name))
    except FeedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
