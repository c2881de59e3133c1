"""Which autonomous systems announce the fleet's addresses, by the table that the publisher uses for the feeds."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from strandline.publisher import astable
from strandline.shared.settings import ConfigurationError

from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.model import Fleet, Host

SETTING = "fleet_asn_table"


def table_of(fleet: Fleet, named: Path | None) -> tuple[Path | None, str]:
    """Return the table to read and, without one, why there is none.

    ``named`` comes first, then the inventory's fleet_asn_table. Raises Refusal when ``named`` does not exist.
    """
    if named is not None:
        if not named.is_file():
            raise Refusal(f"--asn-table {named} is no file. Name a table in iptoasn's layout: docs/feeds.md")
        return named, ""
    setting = str(fleet.settings.get(SETTING) or "")
    if not setting:
        return None, f"{SETTING} is not set in group_vars/all.yml"
    if "{{" in setting:
        return None, f"{SETTING} is a template: name the file with --asn-table"
    path = Path(setting).expanduser()
    return (path, "") if path.is_file() else (None, f"{SETTING} names {setting}, which is not on this machine")


def origins(hosts: Iterable[Host], table: Path) -> list[dict[str, Any]]:
    """The origin ASes of the hosts' addresses with their counts, the one with most addresses first.

    ``asn`` is None for addresses that no range of the table holds. Raises Refusal when the table can't be read.
    """
    systems = _load(table)
    members: dict[tuple[int | None, str], list[Host]] = defaultdict(list)
    for host in hosts:
        for address in host.addresses:
            system = systems.find(ipaddress.ip_address(address).packed)
            members[(system.asn, system.full_name) if system else (None, "")].append(host)
    rows = [
        {
            "asn": asn,
            "name": name,
            "addresses": len(held),
            "hosts": len({host.name for host in held}),
            "providers": sorted({host.provider.removeprefix("provider_") for host in held}),
        }
        for (asn, name), held in members.items()
    ]
    return sorted(rows, key=lambda row: (-row["addresses"], row["asn"] or 0))


def of_addresses(addresses: Iterable[str], table: Path | None) -> dict[str, int | None]:
    """The origin AS of each address; None where no range of the table holds it. Empty without a table.

    Raises Refusal when the table can't be read.
    """
    if table is None:
        return {}
    systems = _load(table)
    found = {address: systems.find(ipaddress.ip_address(address).packed) for address in addresses}
    return {address: system.asn if system else None for address, system in found.items()}


def _load(table: Path) -> Any:
    """The publisher's reader: the table has one parser, which runs on the publisher and here."""
    try:
        return astable.AsTable.load(table)
    except ConfigurationError as error:
        raise Refusal(str(error)) from error
