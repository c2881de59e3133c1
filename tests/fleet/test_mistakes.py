"""Mistakes that an operator makes in an inventory: each is told with file, line, host, field, value and remedy."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from strandline_fleet.inventory.load import load

ROOT = Path(__file__).resolve().parents[2]
TODAY = dt.date(2026, 11, 25)
ALDER, BIRCH = "providers/alder.yml", "providers/birch.yml"
ALL, CENTRAL, COLLECTORS = "group_vars/all.yml", "central.yml", "group_vars/collectors.yml"
AMS1 = "          addresses: [198.51.100.11, 198.51.100.12]\n"
PLACE = "{city: Amsterdam, country: NL, continent: EU}"
LEASE = "{plan: nano-256, price: 24.00, currency: EUR, period: year, renews: 2027-03-01, status: active}"


@dataclass(frozen=True)
class Mistake:
    """What is written in place of what, and what must be said of it."""

    file: str
    old: str
    new: str
    host: str
    field: str
    message: str
    remedy: str
    line: str = ""
    """A piece of the line that must be named; without it the first line of `new` that differs."""


def host(old: str, new: str, field: str, message: str, remedy: str, line: str = "") -> Mistake:
    """A mistake in the entry of ams1."""
    return Mistake(ALDER, old, new, "ams1", field, message, remedy, line)


def lease(old: str, new: str, field: str, message: str, remedy: str) -> Mistake:
    """A mistake in the lease of ams1."""
    return host(LEASE, LEASE.replace(old, new), f"lease.{field}" if field else "lease", message, remedy)


def place(old: str, new: str, field: str, message: str, remedy: str) -> Mistake:
    """A mistake in the place of ams1."""
    return host(PLACE, PLACE.replace(old, new), f"place.{field}" if field else "place", message, remedy)


def settings(old: str, new: str, field: str, message: str, remedy: str) -> Mistake:
    """A mistake in the settings of all hosts."""
    return Mistake(ALL, old, new, "", field, message, remedy)


def name(new: str, message: str, remedy: str) -> Mistake:
    """A name that ams1 can't have."""
    return Mistake(ALDER, "        ams1:\n", f"        {new}:\n", new, "", message, remedy)


def beside(new: str, field: str, message: str, remedy: str) -> Mistake:
    """A variable beside the addresses of ams1."""
    return host(AMS1, f"{AMS1}          {new}\n", field, message, remedy, new)


PRICE, DAY = "for example 24.00", "write it as 2027-03-01"
NUMBER, QUOTES = "is no amount", "in quotes"
MISTAKES = {
    # The lease
    "price with a comma": lease("24.00", "24,00", "00", "a comma ends a value here", PRICE),
    "price in words": lease("24.00", "cheap", "price", f"'cheap' {NUMBER}", PRICE),
    "price with its currency": lease("24.00", "24.00 EUR", "price", f"'24.00 EUR' {NUMBER}", PRICE),
    "negative price": lease("24.00", "-24.00", "price", f"'-24.0' {NUMBER}", PRICE),
    "price nan": lease("24.00", "nan", "price", f"'nan' {NUMBER}", PRICE),
    "price .nan": lease("24.00", ".nan", "price", f"'nan' {NUMBER}", PRICE),
    "price .inf": lease("24.00", ".inf", "price", f"'inf' {NUMBER}", PRICE),
    "price yes": lease("24.00", "yes", "price", "yes without quotes is read as the word yes", QUOTES),
    "price empty": lease("24.00", "", "price", f"'None' {NUMBER}", PRICE),
    "price a list": lease("24.00", "[24.00]", "price", f"'[24.0]' {NUMBER}", PRICE),
    "price as a sum in quotes": lease("24.00", '"2 x 12"', "price", f"'2 x 12' {NUMBER}", PRICE),
    "a fortune": lease("24.00", "24000000", "price", f"'24000000' {NUMBER}", PRICE),
    "currency unknown here": lease("EUR", "CHF", "currency", "there is no rate for 'CHF'", "fleet_rates"),
    "currency as a sign": lease("EUR", "€", "currency", "'€' is no currency", "ISO 4217"),
    "currency in small letters": lease("EUR", "eur", "currency", "'eur' is no currency", "ISO 4217"),
    "currency on": lease("EUR", "on", "currency", "on without quotes is read as the word yes", QUOTES),
    "no currency": lease(", currency: EUR", "", "currency", "is missing", "add it"),
    "period misspelt": lease("year", "yaer", "period", "'yaer' is unknown", "'year'"),
    "period in days": lease("year", "365", "period", "'365' is unknown", "month, quarter"),
    "no period": lease(", period: year", "", "period", "is missing", "add it"),
    "status misspelt": lease("active", "actve", "status", "'actve' is unknown", "'active'"),
    "status yes": lease("active", "yes", "status", "yes without quotes is read as the word yes", QUOTES),
    "no status": lease(", status: active", "", "status", "is missing", "add it"),
    "renews in words": lease("2027-03-01", "soon", "renews", "'soon' is no date", DAY),
    "renews as Germans write": lease("2027-03-01", "01.03.2027", "renews", "'01.03.2027' is no date", DAY),
    "renews as Americans write": lease("2027-03-01", "3/1/2027", "renews", "'3/1/2027' is no date", DAY),
    "a day that no calendar has": lease("2027-03-01", "2027-02-30", "renews", "'2027-02-30' is no date", DAY),
    "a month that no calendar has": lease("2027-03-01", "2027-13-01", "renews", "'2027-13-01' is no date", DAY),
    "a year mistyped": lease("2027-03-01", "2207-03-01", "renews", "2207-03-01 is more than ten years away", "2027-"),
    "renews a number": lease("2027-03-01", "20270301", "renews", "'20270301' is no date", DAY),
    "no renewal": lease(", renews: 2027-03-01", "", "renews", "is missing", "add it"),
    "since in the future": lease("plan", "since: 2031-01-01, plan", "since", "is no date of the past", "2024-03-01"),
    "since before there were hosts": lease("plan", "since: 0202-01-01, plan", "since", "no date of the past", "2024-"),
    "no plan": lease("plan: nano-256, ", "", "plan", "is missing", "add it"),
    "a word too much": lease("plan", "discount: 3, plan", "discount", "'discount' is no known key", "known are"),
    "auto_renew in words": lease("plan", "auto_renew: maybe, plan", "auto_renew", "is neither true nor", "write true"),
    "a key misspelt": lease("renews", "renws", "renws", "'renws' is no known key", "'renews'"),
    "earlier no list": lease("plan", "earlier: 20, plan", "earlier", "is no list of days and prices", "the oldest"),
    "earlier a price only": lease("plan", "earlier: [20], plan", "earlier", "is no day with its price", "the oldest"),
    "earlier without a day": lease("plan", "earlier: [{price: 2}], plan", "earlier.until", "is missing", "add it"),
    "earlier out of order": lease(
        "plan",
        "earlier: [{until: 2026-02-01, price: 2}, {until: 2025-02-01, price: 1}], plan",
        "earlier",
        "not past or not in order",
        "the oldest first",
    ),
    "earlier in the future": lease(
        "plan", "earlier: [{until: 2027-02-01, price: 2}], plan", "earlier", "not past or not in order", "oldest first"
    ),
    "earlier price in words": lease(
        "plan", "earlier: [{until: 2026-02-01, price: low}], plan", "earlier.price", f"'low' {NUMBER}", PRICE
    ),
    "no lease at all": host(f"          lease: {LEASE}\n", "", "lease", "is missing", "add it", "        ams1:"),
    "lease in words": host(LEASE, "yearly", "lease", "'yearly' does not fit", "write for example {plan: nano"),
    # The place
    "an unknown country": place("NL", "UK", "country", "'UK' is no country", "ISO 3166"),
    "a country in full": place("NL", "Netherlands", "country", "'Netherlands' is no country", "ISO 3166"),
    "a country in small letters": place("NL", "nl", "country", "'nl' is no country", "'NL'|ISO 3166"),
    "Norway without quotes": place("NL", "NO", "country", "NO without quotes is read as the word no", 'write "NO"'),
    "a continent that is another": place("EU", "AS", "continent", "NL is not in Asia", "write EU (Europe)"),
    "a continent in full": place("EU", "Europe", "continent", "'Europe' is unknown", "one of AF"),
    "no city": place("city: Amsterdam, ", "", "city", "is missing", "add it"),
    "a city without a name": place("Amsterdam", '""', "city", "'' does not fit", "add it"),
    "a word too much of the place": place("city", "region: x, city", "region", "'region' is no known key", "known are"),
    "no place at all": host(f"          place: {PLACE}\n", "", "place", "is missing", "add it", "        ams1:"),
    "place in words": host(PLACE, "Amsterdam", "place", "'Amsterdam' does not fit", "write for example {city"),
    # Addresses
    "an impossible address": host("198.51.100.11,", "192.0.2.256,", "addresses", "'192.0.2.256' is no", "192.0.2.10"),
    "a name for an address": host("198.51.100.11,", "ams1.example.org,", "addresses", "is no IP address", "192.0.2.10"),
    "a network for an address": host("198.51.100.11,", "198.51.100.0/28,", "addresses", "is no IP", "192.0.2.10"),
    "a private address": host("198.51.100.11,", "10.1.2.3,", "addresses", "10.1.2.3 is private or reserved", "public"),
    "loopback": host("198.51.100.11,", "127.0.0.1,", "addresses", "127.0.0.1 is private or reserved", "public address"),
    "an address twice": host("198.51.100.12", "198.51.100.11", "addresses", "198.51.100.11 stands twice", "remove one"),
    "another host's address": Mistake(
        ALDER, "[198.51.100.75]", "[198.51.100.12]", "sin1", "addresses", "belongs to host ams1", "remove it"
    ),
    "the collector's address": host("198.51.100.12", "192.0.2.10", "addresses", "belongs to host collector1", "remove"),
    "no address": host("[198.51.100.11, 198.51.100.12]", "[]", "addresses", "'[]' is no list of", "[192.0.2.10]"),
    "an address, not a list": host(
        "[198.51.100.11, 198.51.100.12]", "198.51.100.11", "addresses", "is no list of addresses", "[192.0.2.10]"
    ),
    "addresses misspelt": host("addresses: [198.51.100.11,", "adresses: [198.51.100.11,", "adresses",
                               "'adresses' is no known key", "'addresses'"),
    # Names
    "a name that YAML takes for no": name("no", "no without quotes is read as the word no", 'write "no" in quotes'),
    "a name that YAML takes for yes": name("on", "on without quotes is read as the word yes", 'write "on" in quotes'),
    "a name that YAML takes for a number": name("101", "101 without quotes is read as a number", QUOTES),
    "a name that is Ansible's": name("all", "'all' has a meaning of its own for Ansible", "another name"),
    "the controller's name": name("localhost", "'localhost' has a meaning of its own", "another name"),
    "a group's name": name("sensors", "'sensors' has a meaning of its own", "another name"),
    "a name with capitals": name("Ams1", "'Ams1' is no host name", "use a-z"),
    "a name with an underscore": name("ams_1", "'ams_1' is no host name", "use a-z"),
    "a name with a path": name("../ams1", "'../ams1' is no host name", "use a-z"),
    "a name too long": name("a" * 64, "is no host name", "at most 63"),
    "a name that begins with a hyphen": name("-ams1", "'-ams1' is no host name", "use a-z"),
    "a name twice in two files": Mistake(BIRCH, "        scl1:\n", "        ams1:\n", "ams1", "", "host of", "rename"),
    "a name twice in one file": Mistake(
        ALDER, "        sin1:\n", "        ams1:\n", "", "", "'ams1' stands twice", "keep one of the two"
    ),
    "a collector that is a sensor": Mistake(
        ALDER, "        sin1:\n", "        collector1:\n", "collector1", "", "is a host of collectors too", "function"
    ),
    "nothing said of a host": Mistake(
        BIRCH, "        scl1:\n", "        ord1:\n        scl1:\n", "ord1", "", "nothing is said", "addresses"
    ),
    # Variables
    "a setting misspelt": settings("fleet_admin_sources", "fleet_admin_sorces", "fleet_admin_sorces",
                                   "'fleet_admin_sorces' is no known variable", "'fleet_admin_sources'"),
    "a host's setting misspelt": beside("fleet_listners: [ssh]", "fleet_listners", "no known key", "'fleet_listeners'"),
    "how it is entered misspelt": beside("onboard_usr: root", "onboard_usr", "no known key", "'onboard_user'"),
    "an unknown listener": beside("fleet_listeners: [ssh, gopher]", "fleet_listeners", "'gopher' is no", "smtp, ssh"),
    "listeners, not a list": beside("fleet_listeners: ssh", "fleet_listeners", "'ssh' is no list", "[ssh, sip]"),
    "a role's variable misspelt": beside("base_ntp_server: [a]", "base_ntp_server", "no known key", "base_ntp_servers"),
    "a collector's variable misspelt": Mistake(
        COLLECTORS, "collector_watch_mail_to:", "collector_watch_mail_too:", "", "collector_watch_mail_too",
        "is no known variable", "'collector_watch_mail_to'",
    ),
    "a number in words": Mistake(
        COLLECTORS, "collector_watch_silence_minutes: 15", "collector_watch_silence_minutes: ten", "",
        "collector_watch_silence_minutes", "'ten' is no number", "README",
    ),
    "a listener's port for the administrator": settings("fleet_admin_port: 20022", "fleet_admin_port: 22",
                                                        "fleet_admin_port", "'22' can't be", "20022"),
    "an impossible port": settings("20022", "70000", "fleet_admin_port", "'70000' can't be", "between 1024 and 65535"),
    "from nowhere": settings('["0.0.0.0/0", "::/0"]', "[]", "fleet_admin_sources", "no list of networks", "lock every"),
    "from a host with a mask": settings('"0.0.0.0/0"', '"192.0.2.1/24"', "fleet_admin_sources", "is no network",
                                        "write 192.0.2.0/24"),
    "a range with bits of a host": settings("[192.0.2.0/24,", "[192.0.2.1/24,", "fleet_allowed_ranges", "is no network",
                                            "write 192.0.2.0/24"),
    "ranges, not a list": settings("[192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24]", "192.0.2.0/24",
                                   "fleet_allowed_ranges", "no list of networks", "[192.0.2.0/24]"),
    "a rate with a comma": settings("{EUR: 1.08}", '{EUR: "1,08"}', "fleet_rates.EUR", "'1,08' is no rate", "1.08"),
    "rates, a list": settings("{EUR: 1.08}", "[EUR, 1.08]", "fleet_rates", "is no table of rates", "{EUR: 1.08}"),
    "a rate of nothing": settings("{EUR: 1.08}", "{EUR: 0}", "fleet_rates.EUR", "'0' is no rate", "1.08"),
    "an impossible contact": settings("feeds@example.org", "feeds", "fleet_contact", "'feeds' is no mail", "feeds@"),
    "an impossible site": settings("https://feeds.example.org/", "feeds", "fleet_site", "'feeds' is no address", "https://"),
    "entered as this machine": settings("fleet_admin_user: root", "fleet_admin_user: root\nansible_user: x",
                                        "ansible_user", "where it is this machine's too", "group_vars/leased.yml"),
    "a mirror by name": settings(
        "fleet_admin_user: root\n",
        "publisher_mirrors: [{name: w, address: w.example.org, user: w, host_key: ssh-rsa A}]\n",
        "publisher_mirrors.address", "'w.example.org' is no IP address", "when the firewall starts at boot",
    ),
    # Groups and files
    "a group misspelt": Mistake(CENTRAL, "collectors:\n  hosts", "collecters:\n  hosts", "", "collecters",
                                "'collecters' is no group that the playbooks know", "'collectors'"),
    "a group's part misspelt": Mistake(CENTRAL, "publishers:\n  hosts:", "publishers:\n  host:", "", "publishers.host",
                                       "'host' is no known key", "'hosts'", "  host:"),
    "a collector without an address": Mistake(CENTRAL, "    collector1:\n      addresses: [192.0.2.10]\n",
                                              "    collector1:\n", "collector1", "", "nothing is said", "addresses",
                                              "    collector1:"),
    "a provider's group misspelt": Mistake(ALDER, "    provider_alder:", "    providers_alder:", "", "providers_alder",
                                           "'providers_alder' is no provider's group", "provider_NAME"),
    "a provider without a name": Mistake(ALDER, "          name: Alder Hosting\n", "", "", "provider.name",
                                         "is missing", "add it", "        provider:"),
    "a provider's detail misspelt": Mistake(ALDER, "          panel:", "          pannel:", "", "provider.pannel",
                                            "'pannel' is no known key", "'panel'"),
    "days to cancel in words": Mistake(ALDER, "cancel_days: 14", "cancel_days: two weeks", "", "provider.cancel_days",
                                       "'two weeks' is no number of days", "for example 14"),
    "days to cancel before it began": lease("renews: 2027-03-01", "renews: 2027-03-01, cancel_days: -1",
                                            "cancel_days", "'-1' is no number of days", "for example 14"),
    "a command in one word": settings("fleet_admin_user: root", "fleet_admin_user: root\nfleet_tell_command: mail me",
                                      "fleet_tell_command", "is no command", "as a list"),
    "hosts of another shape": Mistake(ALDER, "sensors:\n", "sensor:\n", "", "sensor", "no known key", "sensors|shape"),
}  # fmt: skip


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the example, without mistakes."""
    return Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))


def test_there_are_no_mistakes_before_one_is_planted(inventory: Path) -> None:
    assert load(inventory, TODAY).problems == ()


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_told_with_its_place_and_remedy(inventory: Path, mistake: Mistake) -> None:
    path = inventory / mistake.file
    before = path.read_text(encoding="utf-8")
    assert mistake.old in before, "the example has changed"
    after = before.replace(mistake.old, mistake.new, 1)
    path.write_text(after, encoding="utf-8")
    changed = [n for n, (a, b) in enumerate(zip(before.splitlines(), after.splitlines(), strict=False), 1) if a != b]
    line = changed[0]
    if mistake.line:
        line = next(n for n, text in enumerate(after.splitlines(), 1) if mistake.line in text)
    problems = load(inventory, TODAY).problems
    said = "\n".join(map(str, problems))
    found = [p for p in problems if p.field == mistake.field and mistake.message in p.message]
    assert len(found) == 1, said
    assert (found[0].file, found[0].line, found[0].host) == (str(path), line, mistake.host), said
    assert any(word in found[0].remedy for word in mistake.remedy.split("|")), said


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("providers/cedar.txt", "x", "is no provider's file by its name"),
        ("providers/cedar.yml", "---\nsensors:\n  children: [\n", "is no valid YAML"),
        ("providers/cedar.yml", "a: \xff", "is not UTF-8 text"),
        ("group_vars/sensors.yml", "- a\n- list\n", "holds no variables"),
        ("providers/alder2.yaml", (ROOT / "inventory/example/providers/alder.yml").read_text(), "stands in"),
    ],
)
def test_a_file_that_can_not_be_used_is_reported(inventory: Path, name: str, text: str, message: str) -> None:
    (inventory / name).write_bytes(text.encode("latin-1"))
    problems = load(inventory, TODAY).errors
    assert any(message in str(problem) and str(inventory / name) in problem.file for problem in problems), problems


def test_a_provider_in_a_yaml_file_is_read_as_ansible_reads_it(inventory: Path) -> None:
    (inventory / ALDER).rename(inventory / "providers/alder.yaml")
    fleet = load(inventory, TODAY)
    assert fleet.problems == ()
    assert {host.name for host in fleet.hosts()} == {"ams1", "sin1", "scl1"}


def test_a_template_and_a_vaults_value_are_left_to_ansible(inventory: Path) -> None:
    path = inventory / ALL
    text = path.read_text().replace("20022", '"{{ my_port }}"')
    path.write_text(f"{text}my_port: 20022\nmy_secret: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n")
    (inventory / "group_vars" / "publishers.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    assert load(inventory, TODAY).problems == ()


def test_a_quoted_date_is_one(inventory: Path) -> None:
    path = inventory / ALDER
    path.write_text(path.read_text().replace("2027-03-01", '"2027-03-01"'))
    fleet = load(inventory, TODAY)
    assert fleet.problems == ()
    assert next(fleet.hosts()).lease.renews == dt.date(2027, 3, 1)
