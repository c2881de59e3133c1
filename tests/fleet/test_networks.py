"""What may go into a firewall's rules."""

from __future__ import annotations

import pytest

from filter_plugins import networks


@pytest.mark.parametrize("value", ["192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::1", "2001:db8::/32", "::/0"])
def test_addresses_and_networks_are(value: str) -> None:
    assert networks.not_networks([value]) == []


@pytest.mark.parametrize("value", ["localhost", "mirror.example.org", "cafe.be", "192.0.2.1/24", "192.0.2", "", "{ }"])
def test_names_and_the_rest_are_not(value: str) -> None:
    assert networks.not_networks(["192.0.2.1", value]) == [value]
