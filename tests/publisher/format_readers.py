"""How consumers take the formats apart: each returns the addresses that it finds."""

from __future__ import annotations

import csv
import io
import ipaddress
import re
from collections.abc import Callable, Mapping


def of_csv(text: str) -> list[str]:
    return [row["address"] for row in csv.DictReader(io.StringIO(text, newline=""), strict=True)]


def of_list(text: str) -> list[str]:
    return text.splitlines()


def of_cidr(text: str) -> list[str]:
    """Every address that the prefixes hold; those of a single one of a million addresses would be too many."""
    networks = [ipaddress.ip_network(line) for line in text.splitlines()]
    assert all(network.num_addresses <= 4096 for network in networks)
    return [str(address) for network in networks for address in network]


def of_nft(text: str) -> list[str]:
    bodies = re.findall(r"^add element inet strandline \w+_ipv[46] \{([^}]*)\}$", text, re.MULTILINE)
    return [element.strip() for body in bodies for element in body.split(",")]


def of_ipset(text: str) -> list[str]:
    """Only what is added to a set that is swapped in afterwards counts."""
    pending: dict[str, list[str]] = {}
    found = []
    for line in text.splitlines():
        words = line.split()
        if words[0] == "add":
            pending[words[1]].append(words[2])
        elif words[0] == "flush":
            pending[words[1]] = []
        elif words[0] == "swap":
            found += pending.pop(words[1])
    return found


def of_rpz(text: str) -> list[str]:
    found = []
    for owner in re.findall(r"^(\S+)\.rpz-ip CNAME \.$", text, re.MULTILINE):
        length, *labels = owner.split(".")
        labels.reverse()
        if length == "32":
            found.append(".".join(labels))
        else:
            assert length == "128"
            if "zz" in labels:
                at = labels.index("zz")
                labels[at : at + 1] = ["0"] * (9 - len(labels))
            found.append(str(ipaddress.IPv6Address(":".join(labels))))
    return found


def of_dnsbl(text: str) -> list[str]:
    """Everything that is neither comment nor answer, without the test entry, which must be there."""
    entries = [line for line in text.splitlines() if not line.startswith(("#", ":"))]
    tests = {"127.0.0.2", "0::ffff:7f00:2"}
    assert entries[0] in tests
    return [str(ipaddress.ip_address(entry)) for entry in entries[1:]]


BY_FORMAT: Mapping[str, Callable[[str], list[str]]] = {
    "csv": of_csv, "list-ipv4": of_list, "list-ipv6": of_list, "nftables": of_nft, "ipset": of_ipset, "rpz": of_rpz,
    "cidr-ipv4": of_cidr, "cidr-ipv6": of_cidr, "dnsbl-ip4set": of_dnsbl, "dnsbl-ip6trie": of_dnsbl,
}  # fmt: skip
