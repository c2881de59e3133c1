"""Filters of playbooks/rotate_certificates.yml. Documented in the YAML files beside this one, by their names."""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import rotation
from strandline_fleet.errors import Refusal

Known = Mapping[str, Any]


def _filter(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a filter: what it refuses is a filter's error."""

    @wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Refusal as refusal:
            raise AnsibleFilterError(str(refusal)) from refusal

    return wrapped


def rotation_due(known: Known, made_before: str = "", days: Any = None) -> list[str]:
    """The hosts whose certificate is due: see :func:`strandline_fleet.rotation.due`."""
    try:
        limit = None if days is None else int(days)
    except (TypeError, ValueError):
        raise Refusal(f"rotate_due: {days!r} is no number of days; give for example 60.") from None
    return rotation.due(known, dt.datetime.now(dt.UTC), str(made_before or ""), limit)


def rotation_plan(known: Known, batches: Iterable[Sequence[str]]) -> str:
    """The plan, to be shown."""
    return rotation.plan(known, batches)


def rotation_outcome(hosts: Iterable[str], hostvars: Mapping[str, Any], uninformed: Sequence[str] = ()) -> str:
    """What came of it, to be shown."""
    return rotation.outcome(hosts, hostvars, uninformed)


def sensor_connections(said: str) -> list[str]:
    """The sensor's ends of its event connections, ADDRESS:PORT, from what `ss --processes` prints of established ones.

    Only syslog-ng's: another program's connection from that host is not the sensor's own. IPv6 has no brackets, and an
    IPv4 address in an IPv6 socket is IPv4 (RFC 4291, section 2.5.5.2): as the collector writes them.
    """
    found = []
    for line in said.splitlines():
        words = line.split()
        if len(words) >= 5 and words[4].startswith('users:(("syslog-ng"'):
            address, _, port = words[2].rpartition(":")
            found.append(f"{re.sub(r'^::ffff:', '', address.strip('[]'))}:{port}".lower())
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        functions = (rotation_due, rotation_plan, rotation_outcome, sensor_connections)
        return {function.__name__: _filter(function) for function in functions}
