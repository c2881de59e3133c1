"""Filters: the list of addresses that never appear in a feed, with an entry for a while."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "files"))

from strandline.publisher import delist
from strandline.shared.settings import ConfigurationError


def _added(text: str, address: object, until: object, reason: object, where: str) -> str:
    today = datetime.now(UTC).date()
    return delist.add_entry(str(text), str(address), str(until), str(reason), today=today, where=where)


def with_delisting(text: str, address: object, until: object, reason: object, where: str = "the list") -> str:
    """The list's text with the entry."""
    try:
        return _added(text, address, until, reason, where)
    except (delist.DelistError, ConfigurationError) as error:
        raise AnsibleFilterError(str(error)) from error


def delisting_problem(text: str, address: object, until: object, reason: object, where: str = "the list") -> str:
    """Why the entry can't be written, as a sentence; empty when it can."""
    try:
        _added(text, address, until, reason, where)
    except (delist.DelistError, ConfigurationError) as error:
        return f"{str(error).rstrip('.')}."
    return ""


class FilterModule:
    """The filters, by the names that templates use."""

    def filters(self) -> dict[str, Any]:
        """By the names that templates use."""
        return {"with_delisting": with_delisting, "delisting_problem": delisting_problem}
