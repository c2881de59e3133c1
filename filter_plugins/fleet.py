"""Filters that turn the inventory's entries into what the roles take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError


def fleet_peers(names: Iterable[str], hostvars: Mapping[str, Any], certificates_dir: str) -> list[dict[str, Any]]:
    """The hosts that other hosts must know: name, addresses and public certificate (PEM text), in order of their names.

    Addresses come from the inventory, certificates from ``<certificates_dir>/<name>.pem``, where provisioning put them.
    A host without a certificate was never provisioned and is left out. Raises AnsibleFilterError for a host without
    ``addresses``.
    """
    peers = []
    for name in sorted(names):
        addresses = hostvars[name].get("addresses")
        if not isinstance(addresses, list) or not addresses:
            raise AnsibleFilterError(
                f"{name}: 'addresses' is missing or empty in the inventory; give the list of the host's public "
                f"addresses, for example addresses: [192.0.2.10]"
            )
        certificate = Path(certificates_dir) / f"{name}.pem"
        if certificate.is_file():
            peers.append({"name": name, "addresses": addresses, "certificate": certificate.read_text(encoding="ascii")})
    return peers


def fleet_endpoints(peers: Iterable[Mapping[str, Any]], **extra: Any) -> list[dict[str, Any]]:
    """Peers as something to connect to or to be connected from: name, first address, certificate, and ``extra``."""
    return [
        {"name": peer["name"], "address": peer["addresses"][0], "certificate": peer["certificate"], **extra}
        for peer in peers
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"fleet_peers": fleet_peers, "fleet_endpoints": fleet_endpoints}
