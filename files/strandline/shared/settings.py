"""The one reader of the files that configure our programs: mappings with known names and checked values.

The roles write these files; a person who edits one must learn from the message what to write instead. On sensors they
are JSON, which the standard library reads; elsewhere they may be YAML.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast


class ConfigurationError(Exception):
    """A file that the operator wrote can't be used. The message names the file, the place in it and the remedy."""

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        self.where = where
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{where}: {problem}. {remedy}.")


class Section:
    """A mapping that knows its place in its file, for the messages.

    Each method that returns a value raises ConfigurationError when the key has another kind of value, or has none and
    there is no default.
    """

    def __init__(self, where: str, value: object) -> None:
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise ConfigurationError(where, "is not a mapping of names to values", "Write names with values")
        self.where = where
        self._values = cast("dict[str, object]", value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def has(self, key: str) -> bool:
        """Say whether the key is there."""
        return key in self._values

    def only(self, *known: str) -> None:
        """Refuse misspelt names: a setting that is not understood would silently not hold."""
        for key in self._values:
            if key not in known:
                raise self.wrong(key, "is not a known setting", f"Known: {', '.join(known)}")

    def wrong(self, key: str, problem: str, remedy: str) -> ConfigurationError:
        """Return the error that says what is wrong with a key's value."""
        return ConfigurationError(f"{self.where} {key}", problem, remedy)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text with more than blanks in it, as it is."""
        value = self._values.get(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, "is missing or not a text", "Give it a text")
        return value

    def optional(self, key: str) -> str:
        """Return a text, or an empty one for a key that is missing or has no text."""
        return self.text(key) if self._values.get(key) not in (None, "") else ""

    def sentence(self, key: str) -> str:
        """Return a text on one line, with single blanks."""
        return " ".join(self.text(key).split())

    def match(self, key: str, pattern: re.Pattern[str], remedy: str, default: str | None = None) -> str:
        """Return a text that a pattern matches whole."""
        value = self.text(key, default)
        if not pattern.fullmatch(value):
            raise self.wrong(key, f"{value!r} can't be used", remedy)
        return value

    def choice(self, key: str, known: Iterable[str], default: str | None = None) -> str:
        """Return one of some words."""
        known = list(known)
        value = self.text(key, default)
        if value not in known:
            raise self.wrong(key, f"{value!r} is unknown", f"Write one of {', '.join(known)}")
        return value

    def number(self, key: str, default: int | None, low: int, high: int) -> int:
        """Return a whole number within its bounds."""
        value = self._values.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            good = f"Write one, such as {low if default is None else default}"
            raise self.wrong(key, f"is not a whole number from {low} to {high}", good)
        return value

    def decimal(self, key: str, default: float, low: float, high: float) -> float:
        """Return a number within its bounds."""
        value = self._values.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise self.wrong(key, f"is not a number from {low:g} to {high:g}", f"Write one, such as {default:g}")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false, which is what a missing key means."""
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "is neither true nor false", "Write true or false")
        return value

    def path(self, key: str, default: str | None = None) -> Path:
        """Return an absolute path."""
        value = Path(self.text(key, default))
        if not value.is_absolute():
            raise self.wrong(key, "is not an absolute path", "Begin it with /")
        return value

    def list_(self, key: str) -> list[object]:
        """Return a list, which may be missing."""
        value = self._values.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "is not a list", "Write a list")
        return value

    def entries(self, key: str) -> Mapping[str, str]:
        """Return a mapping of texts, which may be missing."""
        return self.section(key).as_texts() if self.has(key) else {}

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts, which may be missing."""
        values = self.list_(key)
        for number, value in enumerate(values):
            if not isinstance(value, str):
                raise self.wrong(f"{key}[{number}]", "is not a text", "Give it a text")
        return tuple(cast("list[str]", values))

    def section(self, key: str) -> Section:
        """Return a mapping within this one."""
        return Section(f"{self.where} {key}", self._values.get(key))

    def sections(self, key: str) -> list[Section]:
        """Return a list of mappings, which may be missing."""
        return [Section(f"{self.where} {key}[{number}]", item) for number, item in enumerate(self.list_(key))]

    def as_texts(self) -> Mapping[str, str]:
        """Return the whole mapping, each value a text or a number written as one."""
        for key, value in self._values.items():
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise self.wrong(key, "is neither text nor number", "Give it one of the two")
        return {key: str(value) for key, value in self._values.items()}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(str(path), f"can't be read ({error})", "Put a readable UTF-8 file there") from error


def read_json(path: Path) -> Section:
    """Return the mapping that a JSON file holds. Raises ConfigurationError."""
    try:
        return Section(str(path), json.loads(_read(path)))
    except ValueError as error:
        raise ConfigurationError(str(path), f"is not JSON ({error})", "Mend the place that it names") from error


def read_yaml(path: Path) -> Section:
    """Return the mapping that a YAML file holds. Raises ConfigurationError."""
    import yaml  # noqa: PLC0415 - sensors have no such library, and no YAML

    try:
        return Section(str(path), yaml.safe_load(_read(path)))
    except yaml.YAMLError as error:
        raise ConfigurationError(str(path), f"is not YAML ({error})", "Mend the place that it names") from error
