"""The record of leases that ended, as `./strandline retire` writes it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml.error import YAMLError

from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.files import FORMER, yaml


@dataclass(frozen=True)
class FormerLease:
    """A lease that ended: the host, its provider's name, the day, why, the provider's file, addresses."""

    host: str
    provider: str
    retired: dt.date
    reason: str
    group: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The host's name. Where it was leased more than once, the record counts: `ams1 (2)`."""
        return self.host.partition(" ")[0]


def former_leases(inventory: Path) -> list[FormerLease]:
    """The former leases of an inventory, the latest first. Raises Refusal when the record can't be read."""
    path = inventory / FORMER
    if not path.exists():
        return []
    try:
        record = (yaml().load(path.read_text(encoding="utf-8")) or {}).get("former_leases") or {}
        leases = [_lease(str(host), entry) for host, entry in record.items()]
    except (YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise Refusal(f"{path} is not as ./strandline retire writes it ({error}). Correct the entry.") from error
    return sorted(leases, key=lambda lease: (lease.retired, lease.host), reverse=True)


def _lease(host: str, entry: Mapping[str, object]) -> FormerLease:
    retired = entry["retired"]
    if not isinstance(retired, dt.date):
        raise ValueError(f"{host}: retired {retired!r} is no date")
    addresses = entry.get("addresses")
    return FormerLease(
        host,
        str(entry["provider"]),
        retired,
        str(entry.get("reason", "")),
        str(entry.get("group", "")),
        tuple(map(str, addresses)) if isinstance(addresses, list) else (),
    )
