"""Action: what others say of our own addresses. Documented in library/strandline_reputation.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import journal, reputation, resolver
from strandline_fleet.errors import Refusal
from strandline_fleet.fleet_action import FleetAction
from strandline_fleet.inventory.model import Fleet

ASKED = ("origin", "origin6", "blocklists")


class ActionModule(FleetAction):
    """Runs on the controller and contacts no host of the fleet."""

    OPTIONS: ClassVar = {
        "settings": {"type": "dict", "default": {}},
        "known": {"type": "str", "default": ""},
        "entered": {"type": "str", "default": ""},
    }

    def result(self, fleet: Fleet, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Look; see the documentation in library/strandline_reputation.py."""
        hosts = {host.name: host.addresses for host in fleet.hosts()}
        provider = {host.name: host.provider.removeprefix("provider_") for host in fleet.hosts()}
        settings = arguments["settings"]
        told = reputation.read(arguments["known"])
        # The newer of the two: a run enters first, and what it then could not tell is known all the same.
        before = reputation.read(arguments["entered"]) or told
        asked = any(settings.get(name) for name in ASKED) and not self._play_context.check_mode
        now = {address: before.get(address, reputation.Seen()) for each in hosts.values() for address in each}
        trouble: list[str] = []
        if asked:
            resolvers = _resolvers(settings)
            now, trouble = reputation.look(
                now, reputation.sources_of(settings), before, lambda name, kind: resolver.lookup(name, kind, resolvers)
            )
        found = reputation.changes(hosts, told, now)
        return {
            "asked": asked,
            "items": [{"subject": f"reputation {each.host}", "state": each.state, "text": each.text} for each in found],
            "notes": [
                {
                    "provider": provider[each.host],
                    "host": each.host,
                    # Being taken off a list is no incident: nothing to count against the provider.
                    "kind": (journal.Kind.NOTE if each.state == "ok" else journal.Kind.REPUTATION).value,
                    "text": each.text,
                }
                for each in reputation.changes(hosts, before, now)
            ],
            "known": reputation.written(now),
            "trouble": trouble,
            "table": reputation.table(hosts, now),
        }


def _resolvers(settings: Mapping[str, Any]) -> list[str]:
    resolvers = [str(each) for each in settings.get("resolvers") or resolver.system_resolvers()]
    for each in resolvers:
        try:
            resolver.endpoint(each)
        except ValueError as error:
            raise Refusal(
                f"fleet_reputation.resolvers: {each!r} is no resolver ({error}). Write its address, for example"
                " 192.0.2.53."
            ) from error
    if not resolvers:
        raise Refusal("This machine has no resolver. Name one: fleet_reputation: {resolvers: [192.0.2.53]}")
    return resolvers
