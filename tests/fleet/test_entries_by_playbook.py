"""The verbs that change the inventory, by plain ansible-playbook on the example: entries, refusals, check mode."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
OSLO = {
    "add_host": "osl1",
    "add_provider": "alder",
    "add_addresses": ["203.0.113.77"],
    "add_city": "Oslo",
    "add_country": "NO",
    "add_plan": "nano",
    "add_price": "24.00",
    "add_currency": "USD",
    "add_period": "year",
    "add_renews": "2027-03-01",
}
LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the example, which may be changed."""
    return Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "inventory"))


def play(inventory: Path, verb: str, variables: Mapping[str, object], *arguments: str) -> tuple[int, str]:
    """Run a verb's playbook: exit code, and what was said with single spaces."""
    done = subprocess.run(
        [
            *("ansible-playbook", f"--inventory={inventory}", f"playbooks/{verb}.yml"),
            *(f"--extra-vars={json.dumps(variables)}", *arguments),
        ],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def nobody_answers(inventory: Path) -> Path:
    """Let no time be lost by waiting for hosts that are not there; return the changed file."""
    ssh = inventory.parent / "ssh"
    ssh.write_text("#!/bin/sh\necho 'ssh: connect to host: No route to host' >&2\nexit 255\n")
    ssh.chmod(0o755)
    leased = inventory / "group_vars" / "leased.yml"
    leased.write_text(f"{leased.read_text()}ansible_ssh_executable: {ssh}\n")
    return leased


def files(inventory: Path) -> dict[str, str]:
    """The inventory's files."""
    return {str(path.relative_to(inventory)): path.read_text() for path in inventory.rglob("*.yml")}


def test_add_asks_writes_once_and_in_check_mode_only_shows(inventory: Path) -> None:
    before = files(inventory)
    code, said = play(inventory, "add", OSLO)
    assert code == 2, said
    assert "Nothing was changed." in said
    code, said = play(inventory, "add", OSLO, "--check", "--diff")
    assert code == 0, said
    assert "+ osl1:" in said
    assert files(inventory) == before
    code, said = play(inventory, "add", {**OSLO, "confirm": "yes"})
    assert code == 0, said
    after = files(inventory)
    assert [name for name in after if after[name] != before.get(name)] == ["providers/alder.yml"]
    assert 'country: "NO"' in after["providers/alder.yml"]
    code, said = play(inventory, "add", OSLO)
    assert (code, "is in the inventory already, with this entry" in said) == (0, True), said
    assert files(inventory) == after


@pytest.mark.parametrize(
    ("verb", "variables", "expected"),
    [
        ("add", {"add_host": "osl1", "add_city": "Oslo"}, "is missing: add_provider, add_addresses, add_country"),
        ("renumber", {"target": "ams1", "renumber_file": "/nowhere/x"}, "or renumber_file (--file)"),
        ("renumber", {"renumber_file": "/nowhere/x"}, "renumber_file: /nowhere/x can't be read"),
        ("address", {"address_action": "swap", "target": "ams1", "address_list": "192.0.2.1"}, "-e address_action=add"),
        ("provider", {"provider_action": "rename"}, "-e provider_action=rename (or merge) -e provider_old="),
        ("renumber", {"target": "ams1", "renumber_from": "198.51.100.11"}, "-e renumber_to="),
        (
            "address",
            {"address_action": "add", "target": ["ams1", "sin1"], "address_list": "192.0.2.1"},
            "ams1,sin1 is no host",
        ),
        ("import", {}, "Name the table of hosts: -e import_file="),
        ("import", {"import_file": "/nowhere/x"}, "/nowhere/x can't be read (No such file or directory)"),
        ("add", {"add_host": "osl1", "add_like": "ams9"}, "ams9 is no host in"),
        ("renewed", {}, "Name the leases that were paid: -e target="),
        ("reinstall", {}, "Name the hosts that were reinstalled: -e target="),
        ("reinstall", {"target": "collector1"}, "collector1 is no host of sensors"),
        ("retire", {}, "Name the hosts to retire: -e target="),
        ("onboard", {}, "Name the hosts to onboard: -e target="),
        ("onboard", {"target": "ams1", "onboard_password_file": "/nowhere/x"}, "there is no file /nowhere/x"),
    ],
)
def test_what_a_verb_needs_is_said_before_anything_is_changed(
    inventory: Path, verb: str, variables: dict[str, object], expected: str
) -> None:
    before = files(inventory)
    code, said = play(inventory, verb, variables)
    assert code == 2, said
    assert expected in said
    assert files(inventory) == before


def test_passwords_for_another_number_of_hosts_are_refused_and_not_shown(inventory: Path, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("hush1\nhush2\n")
    code, said = play(inventory, "onboard", {"target": "ams1,sin1,scl1", "onboard_password_file": str(passwords)})
    assert code == 2, said
    assert "has 2 lines for 3 hosts" in said
    assert "hush" not in said


def test_renewed_shows_asks_and_writes_once(inventory: Path) -> None:
    before = files(inventory)
    paid = {"target": ["alder"], "renewed_price": "26.00"}
    code, said = play(inventory, "renewed", paid, "--check", "--diff")
    assert (code, "price: 26.00" in said) == (0, True), said
    assert files(inventory) == before
    code, said = play(inventory, "renewed", paid)
    assert (code, "Nothing was changed." in said) == (2, True), said
    code, said = play(inventory, "renewed", {**paid, "confirm": "yes"})
    assert code == 0, said
    after = files(inventory)
    assert sorted(name for name in after if after[name] != before.get(name)) == [
        "journal/alder.yml",
        "providers/alder.yml",
    ]
    assert 'kind: price, host: ams1, text: "24.00 became 26.00 EUR a year"' in after["journal/alder.yml"]
    code, said = play(inventory, "renewed", paid)
    assert (code, "ams1: the file says so already" in said) == (0, True), said
    assert files(inventory) == after


def test_what_export_writes_import_finds_in_the_inventory(inventory: Path, tmp_path: Path) -> None:
    table = tmp_path / "tables" / "fleet.csv"
    before = files(inventory)
    code, said = play(inventory, "export", {"export_output": str(table)}, "--check")
    assert (code, table.exists()) == (0, False), said
    code, said = play(inventory, "export", {"export_output": str(table)})
    assert (code, f"3 hosts: {table}" in said) == (0, True), said
    code, said = play(inventory, "export", {"export_output": str(inventory / "fleet.csv")})
    assert (code, "is in the inventory's folder" in said) == (2, True), said
    assert not (inventory / "fleet.csv").exists()
    code, said = play(inventory, "import", {"import_file": str(table)})
    assert (code, "like that already" in said) == (0, True), said
    with table.open("a") as out:
        out.write("waw1,cedar,Cedar Hosting,,203.0.113.40,Warsaw,PL,micro,2.50,USD,month,2027-01-25\n")
    code, said = play(inventory, "import", {"import_file": str(table), "confirm": "yes"})
    assert code == 2, said
    assert f"{table}:5: the line has 12 columns and the first one 16" in said
    assert files(inventory) == before
    table.write_text(table.read_text().replace("2027-01-25", "2027-01-25,,,,"))
    code, said = play(inventory, "import", {"import_file": str(table), "confirm": "yes"})
    assert code == 0, said
    after = files(inventory)
    assert [name for name in after if after[name] != before.get(name)] == ["providers/cedar.yml"]


def test_a_host_like_another_needs_its_addresses_only(inventory: Path) -> None:
    code, said = play(inventory, "add", {"add_host": "ams2", "add_like": "ams1"})
    assert (code, "is missing: add_addresses." in said) == (2, True), said
    more = {"add_host": "ams2", "add_like": "ams1", "add_addresses": "203.0.113.77", "confirm": "yes"}
    code, said = play(inventory, "add", more)
    assert code == 0, said
    text = files(inventory)["providers/alder.yml"]
    assert "addresses: [203.0.113.77]" in text
    assert text.count("lease: {plan: nano-256, price: 24.00, currency: EUR, period: year, renews:") == 2


def test_a_range_and_more_addresses_are_shown_in_check_mode(inventory: Path, tmp_path: Path) -> None:
    before = files(inventory)
    pairs = tmp_path / "pairs"
    pairs.write_text("198.51.100.8/29 203.0.113.8/29\n")
    code, said = play(inventory, "renumber", {"renumber_file": str(pairs)}, "--check", "--diff")
    assert code == 0, said
    assert "+ addresses: [203.0.113.11, 203.0.113.12]" in said
    more = {"address_action": "add", "target": "sin1", "address_list": "203.0.113.75"}
    code, said = play(inventory, "address", more, "--check", "--diff")
    assert code == 0, said
    assert "+ addresses: [198.51.100.75, 203.0.113.75]" in said
    less = {"address_action": "remove", "target": "ams1", "address_list": ["198.51.100.11", "198.51.100.99"]}
    code, said = play(inventory, "address", less, "--check", "--diff")
    assert code == 0, said
    assert "198.51.100.99 is no address of ams1, or no more." in said
    assert "+ addresses: [198.51.100.12]" in said
    assert files(inventory) == before


def test_an_address_that_the_host_does_not_have_is_not_added(inventory: Path) -> None:
    """This machine stands in for the host."""
    before = files(inventory)
    more = {"address_action": "add", "target": "sin1", "address_list": "203.0.113.75", "confirm": "yes", **LOCAL}
    code, said = play(inventory, "address", more)
    assert code == 2, said
    assert "sin1 does not have 203.0.113.75 yet; nothing was changed." in said
    assert files(inventory) == before


def test_an_address_from_which_events_come_is_not_removed(inventory: Path) -> None:
    """This machine stands in for the host, and reaches the collector by its loopback interface."""
    settings, central = inventory / "group_vars" / "all.yml", inventory / "central.yml"
    settings.write_text(settings.read_text().replace("fleet_allowed_ranges: [", "fleet_allowed_ranges: [127.0.0.0/8, "))
    central.write_text(
        central.read_text().replace("collector1:\n      addresses: [", "collector1:\n      addresses: [127.0.0.9, ")
    )
    alder = inventory / "providers" / "alder.yml"
    alder.write_text(alder.read_text().replace("addresses: [198.51.100.75]", "addresses: [198.51.100.75, 127.0.0.1]"))
    before = files(inventory)
    less = {"address_action": "remove", "target": "sin1", "address_list": "127.0.0.1", "confirm": "yes", **LOCAL}
    code, said = play(inventory, "address", less)
    assert code == 2, said
    assert "sin1 still sends its events from 127.0.0.1; nothing was changed." in said
    assert files(inventory) == before


def test_a_provider_is_renamed_once_and_by_its_new_name_it_is_found(inventory: Path) -> None:
    change = {"provider_action": "rename", "provider_old": "birch", "provider_new": "elm", "provider_name": "Elm Cloud"}
    code, said = play(inventory, "provider", change)
    assert (code, "Nothing was changed." in said) == (2, True), said
    code, said = play(inventory, "provider", {**change, "confirm": "yes"})
    assert code == 0, said
    after = files(inventory)
    assert "providers/birch.yml" not in after
    assert "name: Elm Cloud" in after["providers/elm.yml"]
    assert "is called Elm Cloud now" in after["journal/elm.yml"]
    code, said = play(inventory, "provider", change)
    assert (code, "The inventory says so already." in said) == (0, True), said
    code, said = play(inventory, "renewed", {"target": "elm"})
    assert (code, "scl1: renews by itself" in said) == (0, True), said
    assert files(inventory) == after


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB8eHRwbGhkYFxYVFBMSERAPDg0MCwoJCAcGBQQDAgEA"


HERE = "127.0.0.7"


def scans_find(key: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ssh-keyscan find a key on every port, or none."""
    scan = directory / "ssh-keyscan"
    scan.parent.mkdir()
    scan.write_text(f"#!/bin/sh\n[ -z '{key}' ] || echo \"198.51.100.11 {key}\"\n")
    scan.chmod(0o755)
    monkeypatch.setenv("PATH", f"{scan.parent}:{os.environ['PATH']}")


def test_reinstall_forgets_nothing_of_a_sensor_that_still_serves(
    inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The admin port is filtered, and the key is that of the SSH listener, which would record the root password."""
    nobody_answers(inventory)
    scans_find(OTHER, tmp_path / "bin", monkeypatch)
    known = inventory / "known_hosts"
    known.write_text(f"ams1 {KEY}\n")
    with socket.create_server((HERE, 5900)):
        code, said = play(inventory, "reinstall", {"target": "ams1", "ansible_host": HERE, "confirm": "yes"})
    assert code == 2, said
    assert "ams1 answers on port 5900 as the sensor does, so it was not reinstalled" in said
    assert "could not be entered" not in said
    assert known.read_text() == f"ams1 {KEY}\n"


@pytest.mark.parametrize(("shown", "gone"), [(KEY, False), (OTHER, True), ("", False)])
def test_reinstall_forgets_a_host_that_shows_another_key_and_no_other(
    inventory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str, *, gone: bool
) -> None:
    """ssh-keyscan and ssh are programs of ours here: the host's key is the test's, and nobody lets us in."""
    nobody_answers(inventory)
    scans_find(shown, tmp_path / "bin", monkeypatch)
    known, certificate = inventory / "known_hosts", inventory / "certificates" / "ams1.pem"
    known.write_text(f"ams1 {KEY}\nsin1 {KEY}\n")
    certificate.parent.mkdir()
    certificate.write_text("old\n")
    # Whether the sensor still serves is asked of this machine, where nobody does.
    named = {"target": "ams1", "ansible_host": HERE}
    code, said = play(inventory, "reinstall", named, "--check")
    assert (code, known.read_text()) == (0 if shown else 2, f"ams1 {KEY}\nsin1 {KEY}\n"), said
    assert ("now SHA256:" in said) is gone, said
    code, said = play(inventory, "reinstall", named)
    assert (code, certificate.exists()) == (2, True), said
    code, said = play(inventory, "reinstall", {**named, "confirm": "yes"})
    assert code == 2, said
    if shown == KEY:
        assert "ams1 shows the key that is known" in said
        assert "could not be entered" in said
    elif shown:
        assert "known SHA256:" in said
        assert "could not be entered" in said
    else:
        assert "answers neither on port 20022 nor on port 22, so nothing was forgotten" in said
    entered = inventory / "journal" / "alder.yml"
    assert (entered.exists() and "kind: reinstall, host: ams1" in entered.read_text()) is gone
    assert certificate.exists() is not gone
    assert known.read_text() == (f"sin1 {KEY}\n" if gone else f"ams1 {KEY}\nsin1 {KEY}\n")


def test_a_limit_that_leaves_the_collectors_out_is_refused(inventory: Path) -> None:
    code, said = play(inventory, "retire", {"target": "ams1"}, "--limit=ams1")
    assert code == 2, said
    assert "--limit leaves out collector1" in said


def test_renumber_in_check_mode_shows_the_change_and_where_else_the_address_stands(inventory: Path) -> None:
    central = inventory / "central.yml"
    central.write_text(central.read_text() + "\n# 198.51.100.11\nother: {hosts: {x1: {addresses: [198.51.100.11]}}}\n")
    last = len(central.read_text().splitlines())
    before = files(inventory)
    change = {"target": "ams1", "renumber_from": "198.51.100.11", "renumber_to": "198.51.100.99"}
    code, said = play(inventory, "renumber", change, "--check", "--diff")
    assert code == 0, said
    assert "+ addresses: [198.51.100.99, 198.51.100.12]" in said
    assert f"central.yml:{last}: 198.51.100.11 is here too" in said
    assert files(inventory) == before


def test_onboard_says_why_a_host_could_not_be_entered(inventory: Path) -> None:
    nobody_answers(inventory)
    code, said = play(inventory, "onboard", {"target": "ams1"}, "--check")
    assert code == 2, said
    assert "ams1 (198.51.100.11) could not be entered as root on port 22:" in said
    assert "No route to host" in said
    assert "Give its password (onboard_password_file, --password-file)" in said


def test_what_retire_writes_in_the_inventory_it_writes_with_the_vaults_password_too(
    inventory: Path, tmp_path: Path
) -> None:
    """The plan, in check mode, of hosts that do not answer; group_vars is encrypted."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    vault = ["ansible-vault", "encrypt", f"--vault-password-file={password}", str(inventory / "group_vars" / "all.yml")]
    subprocess.run(vault, check=True, capture_output=True)
    before = files(inventory)
    leased = nobody_answers(inventory)
    arguments = ["--check", "--diff", f"--vault-password-file={password}"]
    code, said = play(inventory, "retire", {"target": "birch", "retire_reason": "vanished"}, *arguments)
    assert code == 0, said
    assert "no: trust ends" in said
    assert "+ reason: vanished" in said
    before["group_vars/leased.yml"] = leased.read_text()
    assert files(inventory) == before


def test_delist_shows_asks_writes_once_and_refuses(inventory: Path) -> None:
    """The publisher does not answer here: what stands in the list is brought to it by the next run."""
    never = inventory.parent / "never.txt"
    never.write_text("8.8.8.8  # a resolver\n")
    before = never.read_text()
    leased = nobody_answers(inventory)
    asked = {"delist_address": "192.0.2.7", "delist_until": "2099-05-28", "delist_reason": "asked by mail"}
    own = ROOT / "files" / "strandline" / "publisher" / "never-publish.txt"
    own_before = own.read_text()
    code, found = play(inventory, "delist", asked, "--check")
    assert code == 4, found  # the publisher
    assert "+ 192.0.2.7 until=2099-05-28 # asked by mail" in found
    assert own.read_text() == own_before
    leased.write_text(f"{leased.read_text()}publisher_never_publish_file: {never}\n")
    for changed, said in (
        ({"delist_address": "host.example.org"}, "Names are not looked up"),
        ({"delist_until": "2020-01-01"}, "2020-01-01 (--until) is past"),
        ({"delist_reason": ""}, "Say what to keep out, until when, and why"),
        ({"delist_address": "8.8.8.8"}, "never.txt line 1 has 8.8.8.8/32 for good (a resolver)"),
    ):
        code, found = play(inventory, "delist", {**asked, **changed})
        assert code == 2, found
        assert said in found
    code, found = play(inventory, "delist", asked)
    assert code == 2, found
    assert "+ 192.0.2.7 until=2099-05-28 # asked by mail" in found
    assert "Nothing was changed." in found
    assert never.read_text() == before
    for _ in range(2):
        code, found = play(inventory, "delist", {**asked, "confirm": "yes"})
        assert code == 4, found
        assert [line.split() for line in never.read_text().splitlines()[1:]] == [
            ["192.0.2.7", "until=2099-05-28", "#", "asked", "by", "mail"]
        ]
