"""Which program has a port, and which should: what is said before a host is changed, and by verify."""

from __future__ import annotations

from typing import Any

import pytest
from strandline_fleet import listening

WANTED = [
    {"port": 22, "proto": "tcp", "unit": "strandline-ssh.service"},
    {"port": 53, "proto": "udp", "unit": "named.service"},
    {"port": 53, "proto": "tcp", "unit": "named.service"},
]


def socket(
    port: int, proto: str, unit: str, program: str = "/usr/sbin/dnsmasq", package: str = "dnsmasq-base"
) -> dict[str, Any]:
    return {"port": port, "proto": proto, "address": "0.0.0.0", "program": program, "unit": unit, "package": package}


def strange(*sockets: dict[str, Any], tolerated: tuple[str, ...] = ()) -> list[str]:
    return listening.strange_programs({"sockets": list(sockets)}, WANTED, tolerated)


def test_the_programs_that_should_be_there_are_no_strangers() -> None:
    assert strange(socket(53, "udp", "named.service"), socket(8080, "tcp", "nginx.service")) == []


def test_another_program_is_named_once_with_its_ports_and_the_remedy() -> None:
    assert strange(*(socket(53, proto, "dnsmasq.service") for proto in ("udp", "tcp", "udp"))) == [
        "53/udp and 53/tcp belongs to dnsmasq (dnsmasq.service, package dnsmasq-base), and named.service is to have it:"
        " systemctl disable --now dnsmasq.service or apt-get purge dnsmasq-base on the host"
    ]


def test_a_tunnel_that_takes_the_listeners_packets_is_a_stranger() -> None:
    wanted = [{"port": 0, "proto": "ipv6", "unit": "strandline-proto41.service"}]
    measured = {"sockets": [socket(0, "ipv6", "", "the kernel's tunnel he-ipv6", "")]}
    assert listening.strange_programs(measured, wanted) == [
        "IP protocol 41 belongs to the kernel's tunnel he-ipv6, and strandline-proto41.service is to have it:"
        " find out what starts it, and end it on the host"
    ]


def test_one_stranger_beside_the_right_program_is_found() -> None:
    """dnsmasq on all addresses, named on each of them: who answers is the kernel's choice."""
    assert len(strange(socket(53, "udp", "named.service"), socket(53, "udp", "dnsmasq.service"))) == 1


def test_the_administrators_sshd_may_have_port_22_until_it_moves() -> None:
    sshd = socket(22, "tcp", "ssh.service", "/usr/sbin/sshd", "openssh-server")
    assert strange(sshd, tolerated=("ssh.service",)) == []
    assert "strandline-ssh.service is to have it" in strange(sshd)[0]


def test_a_program_without_unit_and_package_is_found_too() -> None:
    assert strange(socket(22, "tcp", "", "/root/a.out", "")) == [
        "22/tcp belongs to a.out, and strandline-ssh.service is to have it:"
        " find out what starts it, and end it on the host"
    ]
    assert "an unknown program" in strange(socket(22, "tcp", "", "", ""))[0]


def test_what_can_not_be_measured_is_said() -> None:
    assert listening.strange_programs({"error": "no /proc"}, WANTED) == ["what listens can't be measured: no /proc"]


def test_a_port_without_a_unit_may_be_anybodys() -> None:
    sockets = {"sockets": [socket(6514, "tcp", "x.service")]}
    assert listening.strange_programs(sockets, [{"port": 6514, "proto": "tcp"}]) == []


@pytest.mark.parametrize(
    "listeners", [[], [{"name": "dns", "unit": "named.service", "ports": [{"port": 53, "proto": "udp"}]}]]
)
def test_ports_of_the_catalogue_bear_their_unit(listeners: list[dict[str, Any]]) -> None:
    expected = [{"port": 53, "proto": "udp", "unit": "named.service"}] if listeners else []
    assert listening.listener_ports(listeners) == expected
