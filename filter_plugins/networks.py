"""Filter for what goes into a firewall's rules."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable


def is_network(value: object) -> bool:
    """Whether a text is an IP address or a network without host bits."""
    try:
        ipaddress.ip_network(str(value))
    except ValueError:
        return False
    return True


def not_networks(values: Iterable[object]) -> list[str]:
    """Return the values that are neither an IP address nor a network."""
    return [str(value) for value in values if not is_network(value)]


class FilterModule:
    """Ansible's entry."""

    def filters(self) -> dict[str, Callable[..., object]]:
        """Return the filters by name."""
        return {"not_networks": not_networks}
