"""Renumber: the provider gives a server another address, and the old one answers no more."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import servers
from servers import COLLECTOR, INVENTORY, ROOT, SENSOR2, sql

NEW = "198.51.100.77"
THIRD = "198.51.100.78"
FOURTH = "198.51.100.79"
# As deep in the tree as the original: its paths are relative.
COPY = ROOT / "build" / "molecule" / "fleet-renumbered"
NUMBER = "SELECT id FROM strandline.sensor WHERE name = 'fleet-sensor2'"
RAW = f"/var/log/strandline/raw/{SENSOR2.name}"


def events(sensor: str, address: str) -> int:
    """How many events of a sensor, by its number, came to an address."""
    rows = "strandline.event JOIN strandline.run ON run.id = run_id"
    return int(sql(f"SELECT count(*) FROM {rows} WHERE sensor_id = {sensor} AND daddr = '{address}'"))  # noqa: S608


@pytest.fixture(scope="module")
def inventory() -> Iterator[Path]:
    """A copy of the inventory: the verb edits it."""
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.copytree(INVENTORY, COPY)
    yield COPY
    shutil.rmtree(COPY)


def give(address: str) -> None:
    """What the provider does: another address in the old one's place."""
    device = SENSOR2.inside("ip", "-o", "-4", "address", "show", "to", "198.51.100.0/24").split()[1]
    SENSOR2.inside("ip", "address", "flush", "dev", device)
    SENSOR2.inside("ip", "address", "add", f"{address}/24", "dev", device)
    SENSOR2.inside("ip", "route", "add", "default", "via", "198.51.100.1")


def collector(*argv: str) -> str:
    """What a command in the collector prints."""
    return servers.Server(COLLECTOR, "").inside(*argv)


def follow(inventory: Path, old: str, new: str, said: str) -> None:
    """Everything knows the new address, and the old one no more."""
    assert "All 6 marked events were found in the database." in said
    provider = (inventory / "providers" / "alder.yml").read_text()
    original = (INVENTORY / "providers" / "alder.yml").read_text()
    assert provider == original.replace(SENSOR2.address, new)
    assert events(sql(NUMBER), new) >= 6
    assert {SENSOR2.address, new} <= set(collector("ls", RAW).split())
    rules = collector("nft", "list", "table", "inet", "strandline")
    assert new in rules
    assert old not in rules


def test_everything_follows_and_history_stays_joined(inventory: Path) -> None:
    sensor = sql(NUMBER)
    before = events(sensor, SENSOR2.address)
    assert before
    give(NEW)
    code, said = servers.strandline("renumber", "--yes", "-i", str(inventory), SENSOR2.name, SENSOR2.address, NEW)
    assert code == 0, said[-4000:]
    follow(inventory, SENSOR2.address, NEW, said)
    # One sensor, whose events have both addresses; the raw files of both stand side by side.
    assert sql(NUMBER) == sensor
    assert events(sensor, SENSOR2.address) == before


def test_ansible_alone_does_the_same(inventory: Path) -> None:
    give(THIRD)
    change = {"target": SENSOR2.name, "renumber_from": NEW, "renumber_to": THIRD}
    code, said = servers.play("renumber", inventory, **change, confirm="yes")
    assert code == 0, said[-4000:]
    follow(inventory, NEW, THIRD, said)


@pytest.mark.long
def test_again_it_changes_nothing(inventory: Path) -> None:
    again = ["renumber", "--yes", "-i", str(inventory), SENSOR2.name, NEW, THIRD]
    code, said = servers.strandline(*again, **servers.RECAP)
    assert code == 0, said[-4000:]
    assert set(servers.changed(said).values()) == {0}, said[-4000:]


def active(*units: str) -> list[str]:
    """Which of some units of the sensor are active."""
    shown = SENSOR2.inside("systemctl", "show", "--property=Id,ActiveState", *units)
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n")]
    return [block["Id"] for block in blocks if block["ActiveState"] == "active"]


def test_what_a_stopped_run_left_is_made_good_and_a_listener_that_is_left_out_stops(inventory: Path) -> None:
    """A unit and a configuration are newer than what runs by them, as after a run that was stopped in between."""
    units = ["strandline-vnc.socket", "strandline-vnc.service", "strandline-sip.service", "named.service"]
    assert active(*units) == units
    begun = SENSOR2.inside("systemctl", "show", "--property=ActiveEnterTimestamp", "strandline-sip.service")
    SENSOR2.inside("touch", "/etc/systemd/system/strandline-sip.service", "/etc/bind/named.conf")
    code, said = servers.play("site", inventory, target=SENSOR2.name, fleet_listeners=["ssh", "dns", "sip"])
    assert code == 0, said[-4000:]
    assert active(*units) == units[2:]
    assert SENSOR2.inside("systemctl", "show", "--property=ActiveEnterTimestamp", "strandline-sip.service") != begun
    code, said = servers.play("site", inventory, target=SENSOR2.name)
    assert code == 0, said[-4000:]
    assert active(*units) == units


def test_add_writes_the_same_by_the_command_and_by_ansible_alone(inventory: Path) -> None:
    lease = {"provider": "birch", "city": "Oslo", "country": "NO", "plan": "nano", "price": "2.50"}
    lease |= {"currency": "USD", "period": "month", "renews": "2036-01-01"}
    file = inventory / "providers" / "birch.yml"
    before = file.read_text()
    options = [f"--{name}={value}" for name, value in lease.items()]
    code, said = servers.strandline(
        *("add", "-i", str(inventory), "--yes", "--address=198.51.100.90", "--address=198.51.100.91"), *options, "osl1"
    )
    assert code == 0, said
    by_command = file.read_text()
    assert by_command != before
    file.write_text(before)
    variables = {f"add_{name}": value for name, value in lease.items()}
    addresses = ["198.51.100.90", "198.51.100.91"]
    code, said = servers.play("add", inventory, add_host="osl1", add_addresses=addresses, **variables, confirm="yes")
    assert code == 0, said
    assert file.read_text() == by_command
    file.write_text(before)


@pytest.mark.long
def test_an_address_more_and_one_less(inventory: Path) -> None:
    """Refused while the host does not have it; then known everywhere, and forgotten everywhere."""
    file = inventory / "providers" / "alder.yml"
    before = file.read_text()
    add = ["address", "--yes", "-i", str(inventory), "add", SENSOR2.name, FOURTH]
    code, said = servers.strandline(*add)
    assert code != 0, said[-4000:]
    assert f"does not have {FOURTH} yet" in " ".join(said.split())
    assert file.read_text() == before
    device = SENSOR2.inside("ip", "-o", "-4", "address", "show", "to", f"{THIRD}/32").split()[1]
    SENSOR2.inside("ip", "address", "add", f"{FOURTH}/32", "dev", device)
    code, said = servers.strandline(*add)
    assert code == 0, said[-4000:]
    assert events(sql(NUMBER), FOURTH) >= 6
    assert FOURTH in collector("nft", "list", "table", "inet", "strandline")
    remove = ["address", "--yes", "-i", str(inventory), "remove", SENSOR2.name]
    code, said = servers.strandline(*remove, THIRD)
    assert code != 0, said[-4000:]
    assert f"still sends its events from {THIRD}" in " ".join(said.split())
    code, said = servers.strandline(*remove, FOURTH)
    assert code == 0, said[-4000:]
    assert FOURTH not in collector("nft", "list", "table", "inet", "strandline")
    assert file.read_text() == before


def install_anew(inventory: Path) -> None:
    """What the provider does: Debian anew, with another host key and the root password that he mailed."""
    create = ["ansible-playbook", f"--inventory={inventory}", "molecule/shared/create.yml"]
    subprocess.run(["podman", "rm", "--force", "--volumes", "--time=1", SENSOR2.name], check=True, capture_output=True)
    process = servers.start_program(
        [*create, f"--limit=localhost,{SENSOR2.name}"],
        STRANDLINE_VPS_IMAGE_TAG=os.environ["STRANDLINE_VPS_IMAGE_TAG"],
    )
    said, _ = process.communicate()
    assert process.returncode == 0, said[-3000:]
    password = f"root:{servers.PASSWORD_FILE.read_text().strip()}"
    subprocess.run(["podman", "exec", "-i", SENSOR2.name, "chpasswd"], input=password, text=True, check=True)


@pytest.mark.long
def test_a_reinstalled_server_is_onboarded_again(inventory: Path) -> None:
    """It is the same sensor as before."""
    number = sql(NUMBER)
    again = ["reinstall", "-i", str(inventory), f"--password-file={servers.PASSWORD_FILE}", SENSOR2.name]
    known = (inventory / "known_hosts").read_text()
    code, said = servers.strandline(*again, "--plan")
    assert code == 0, said[-4000:]
    assert "shows the key that is known" in " ".join(said.split())
    install_anew(inventory)
    code, said = servers.strandline(*again, "--plan")
    assert code == 0, said[-4000:]
    assert "now SHA256:" in said
    assert (inventory / "known_hosts").read_text() == known
    code, said = servers.strandline(*again, "--yes")
    assert code == 0, said[-4000:]
    assert "All 6 marked events were found in the database." in said
    assert sql(NUMBER) == number
