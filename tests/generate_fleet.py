#!/usr/bin/env python3
"""Write an inventory of invented providers and hosts for tests: text only, none of its addresses is ever contacted.

    tests/generate_fleet.py --hosts 100 --providers 30 DIR [--seed 1] [--today 2026-11-25]

The addresses are spread over a third of the routable IPv4 /8s, the hosts over six continents. The same arguments write
the same files.
"""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from strandline_fleet.arithmetic import ROUTABLE_SLASH8

PLACES = [
    ("Johannesburg", "ZA", "AF"), ("Lagos", "NG", "AF"), ("Nairobi", "KE", "AF"), ("Singapore", "SG", "AS"),
    ("Tokyo", "JP", "AS"), ("Mumbai", "IN", "AS"), ("Seoul", "KR", "AS"), ("Dubai", "AE", "AS"),
    ("Amsterdam", "NL", "EU"), ("Frankfurt", "DE", "EU"), ("Warsaw", "PL", "EU"), ("Oslo", '"NO"', "EU"),
    ("Sofia", "BG", "EU"), ("Dallas", "US", "NA"), ("Seattle", "US", "NA"), ("Montreal", "CA", "NA"),
    ("Querétaro", "MX", "NA"), ("Sydney", "AU", "OC"), ("Auckland", "NZ", "OC"), ("Santiago", "CL", "SA"),
    ("São Paulo", "BR", "SA"), ("Bogotá", "CO", "SA"),
]  # fmt: skip
WORDS = [
    "acacia", "alder", "ash", "aspen", "bamboo", "beech", "birch", "cedar", "cherry", "cypress", "ebony", "elder",
    "elm", "fir", "ginkgo", "hazel", "hickory", "holly", "juniper", "larch", "laurel", "linden", "maple", "myrtle",
    "oak", "olive", "pear", "pine", "plane", "poplar", "rowan", "spruce", "sumac", "teak", "walnut", "willow", "yew",
]  # fmt: skip
PAYMENTS = ["card", "paypal", "bank transfer"]
SUPPORT = ["answers within an hour", "answers within a day", "slow, by mail only", "no answer to the last ticket"]

CENTRAL = """---
collectors:
  hosts:
    collector1:
      addresses: [192.0.2.10]

publishers:
  hosts:
    www1:
      addresses: [192.0.2.11]

leased:
  children:
    collectors:
    publishers:
    sensors:
"""
SETTINGS = """---
fleet_admin_user: root
fleet_admin_port: 20022
fleet_admin_sources: ["0.0.0.0/0"]
fleet_admin_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA invented"]
fleet_ntp_servers: [ntp.example.org]
fleet_name: Invented Sensor Network
fleet_contact: feeds@example.org
fleet_site: https://feeds.example.org/
fleet_currency: USD
fleet_rates: {EUR: 1.08, GBP: 1.27}
# Collector and publisher have addresses of a documentation range.
fleet_allowed_ranges: [192.0.2.0/24]
"""
LEASED = """---
ansible_host: "{{ addresses[0] }}"
"""


def addresses(rng: random.Random, hosts: int) -> list[list[str]]:
    """Between one and three addresses for each host, spread over a third of the routable /8s, each used once."""
    slash8s = sorted(rng.sample(ROUTABLE_SLASH8, k=max(1, len(ROUTABLE_SLASH8) // 3)))
    used: set[ipaddress.IPv4Address] = set()
    result = []
    turn = 0
    for _ in range(hosts):
        own: list[str] = []
        while len(own) < rng.choice((1, 2, 2, 3)):
            address = ipaddress.IPv4Address((slash8s[turn % len(slash8s)] << 24) | rng.randrange(1 << 24))
            if address.is_global and address not in used:
                used.add(address)
                own.append(str(address))
                turn += 1
        result.append(own)
    return result


def provider_file(rng: random.Random, word: str, hosts: list[tuple[str, list[str]]], today: dt.date) -> str:
    """The text of one provider's file."""
    since = today - dt.timedelta(days=rng.randrange(200, 2500))
    lines = [
        "---",
        "# One provider, one file.",
        "sensors:",
        "  children:",
        f"    provider_{word}:",
        "      vars:",
        "        provider:",
        f"          name: {word.capitalize()} Hosting",
        f"          site: https://{word}.example.org/",
        f"          since: {since}",
        f"          payment: {rng.choice(PAYMENTS)}",
        f"          support: {rng.choice(SUPPORT)}",
        "      hosts:",
    ]
    for name, own in hosts:
        city, country, continent = rng.choice(PLACES)
        currency = rng.choice(("USD", "USD", "EUR", "GBP"))
        period, price = rng.choice((("year", rng.uniform(12, 40)), ("month", rng.uniform(1.5, 4))))
        renews = today + dt.timedelta(days=rng.randrange(1, 360))
        lines += [
            f"        {name}:",
            f"          addresses: [{', '.join(own)}]",
            f"          place: {{city: {city}, country: {country}, continent: {continent}}}",
            f"          lease: {{plan: nano, price: {price:.2f}, currency: {currency}, period: {period}, "
            f"renews: {renews}, status: active}}",
        ]
    return "\n".join(lines) + "\n"


def write_fleet(directory: Path, hosts: int, providers: int, seed: int, today: dt.date) -> None:
    """Write the inventory. Raises ValueError when there are more providers than hosts or names."""
    if not 1 <= providers <= min(hosts, len(WORDS)):
        raise ValueError(f"--providers must be between 1 and {min(hosts, len(WORDS))} for {hosts} hosts")
    rng = random.Random(seed)
    (directory / "providers").mkdir(parents=True, exist_ok=True)
    (directory / "group_vars").mkdir(exist_ok=True)
    (directory / "central.yml").write_text(CENTRAL, encoding="utf-8")
    (directory / "group_vars" / "all.yml").write_text(SETTINGS, encoding="utf-8")
    (directory / "group_vars" / "leased.yml").write_text(LEASED, encoding="utf-8")
    words = rng.sample(WORDS, k=providers)
    shares: list[list[tuple[str, list[str]]]] = [[] for _ in words]
    for number, own in enumerate(addresses(rng, hosts)):
        index = number % providers
        shares[index].append((f"{words[index]}{len(shares[index]) + 1}", own))
    for word, share in zip(words, shares, strict=True):
        (directory / "providers" / f"{word}.yml").write_text(provider_file(rng, word, share, today), encoding="utf-8")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--providers", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--today", type=dt.date.fromisoformat, default=dt.datetime.now(dt.UTC).date())
    given = parser.parse_args()
    try:
        write_fleet(given.directory, given.hosts, given.providers, given.seed, given.today)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
