"""Filters of the fleet's arithmetic: coverage of the address space, cost a year, renewals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import arithmetic
from strandline_fleet.errors import Refusal


def _filter(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a filter: what it refuses is a filter's error."""

    @wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Refusal as refusal:
            raise AnsibleFilterError(str(refusal)) from refusal

    return wrapped


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        functions = (arithmetic.slash8s, arithmetic.coverage, arithmetic.yearly_cost, arithmetic.renewals)
        return {function.__name__: _filter(function) for function in functions}
