"""What others have the watcher tell: a JSON list of {subject, state, text}, as ./strandline due sends it."""

from __future__ import annotations

import json
from typing import Any

from .judge import Told

MOST_ITEMS = 2000
LONGEST = {"subject": 200, "state": 40, "text": 2000}
"""Characters of each field."""


class ItemsError(Exception):
    """What should be told is not as it should be; the text says what is wrong."""


def _told(number: int, item: Any) -> Told:
    if not isinstance(item, dict) or set(item) != set(LONGEST):
        raise ItemsError(f"item {number}: must be an object with {', '.join(LONGEST)}")
    for name, longest in LONGEST.items():
        value = item[name]
        if not isinstance(value, str) or not value or not value.isprintable():
            raise ItemsError(f"item {number}: {name} must be a text of one line")
        if len(value) > longest:
            raise ItemsError(f"item {number}: {name} has more than {longest} characters")
    return Told(**item)


def read(text: str) -> list[Told]:
    """The items of a JSON document. Raises ItemsError."""
    try:
        items = json.loads(text)
    except ValueError as error:
        raise ItemsError(f"not JSON: {error}") from error
    if not isinstance(items, list) or len(items) > MOST_ITEMS:
        raise ItemsError(f"must be a list of at most {MOST_ITEMS} items")
    return [_told(number, item) for number, item in enumerate(items, 1)]
