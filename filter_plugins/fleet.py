"""Filters that turn the inventory's entries into what the roles take."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError


def fleet_peers(names: Iterable[str], hostvars: Mapping[str, Any], certificates_dir: str) -> list[dict[str, Any]]:
    """The hosts that other hosts must know: name, addresses and public certificate (PEM text), in order of their names.

    Addresses come from the inventory, certificates from ``<certificates_dir>/<name>.pem``, where provisioning put them.
    While a rotation is under way, ``successor`` is the certificate that takes its place (``<name>.next.pem``). A host
    without a certificate was never provisioned and is left out. Raises AnsibleFilterError for a host without
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
        certificate, successor = (Path(certificates_dir) / f"{name}{end}" for end in (".pem", ".next.pem"))
        if certificate.is_file():
            peer = {"name": name, "addresses": addresses, "certificate": certificate.read_text(encoding="ascii")}
            if successor.is_file() and successor.read_bytes().strip() != certificate.read_bytes().strip():
                peer["successor"] = successor.read_text(encoding="ascii")
            peers.append(peer)
    return peers


def pinned(peers: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The certificates to pin for the peers, each with its file's name: one for each peer, two while it changes."""
    files = []
    for peer in peers:
        for key, end in (("certificate", ".pem"), ("successor", ".next.pem")):
            if peer.get(key):
                text = str(peer[key]).strip() + "\n"
                files.append({"name": str(peer["name"]), "file": f"{peer['name']}{end}", "certificate": text})
    return files


def pinned_files(peers: Iterable[Mapping[str, Any]], directory: str) -> list[dict[str, str]]:
    """What :func:`pinned` gives, as module strandline_files takes it; each is checked before it takes its place."""
    check = "/usr/lib/strandline/strandline-identity check"
    return [
        {
            "dest": f"{directory}/{each['file']}",
            "content": each["certificate"],
            "validate": f"{check} {shlex.quote(each['name'])} %s",
        }
        for each in pinned(peers)
    ]


def fleet_endpoints(peers: Iterable[Mapping[str, Any]], **extra: Any) -> list[dict[str, Any]]:
    """Peers as something to connect to or to be connected from: name, first address, certificates, and ``extra``."""
    return [
        {**{key: value for key, value in peer.items() if key != "addresses"}, "address": peer["addresses"][0], **extra}
        for peer in peers
    ]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        functions = (fleet_peers, fleet_endpoints, pinned, pinned_files)
        return {function.__name__: function for function in functions}
