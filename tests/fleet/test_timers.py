"""The units that run verbs by the clock: as systemd reads them, what a run without anybody needs, and the verb's plan.

That they are installed, run and removed is seen in the fleet scenario.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from strandline_fleet import timers
from strandline_fleet.errors import Refusal
from strandline_fleet.timers import Controller

ROOT = Path(__file__).resolve().parents[2]


def controller(folder: Path, **changes: object) -> Controller:
    """A clone and an inventory that are there."""
    clone, inventory = folder / "clone", folder / "production"
    clone.mkdir(parents=True, exist_ok=True)
    inventory.mkdir(exist_ok=True)
    (clone / "strandline").write_text("#!/bin/sh\n")
    (clone / "strandline").chmod(0o755)
    return Controller(**{"clone": clone, "inventory": inventory, "user": "root", **changes})  # type: ignore[arg-type]


def write(units: dict[str, str], folder: Path) -> list[str]:
    """Write units into a folder; their paths."""
    for name, content in units.items():
        (folder / name).write_text(content)
    return [str(folder / name) for name in units]


@pytest.mark.parametrize("folder", ["plain", "with blanks", "50%n $HOME ${x}", "ümlaut;#"])
def test_systemd_takes_the_units_wherever_the_clone_is(tmp_path: Path, folder: str) -> None:
    where = tmp_path / folder
    made = controller(
        where, vault_password_file=where / "pass word", ssh_agent=where / "agent", cache=where / "cache",
        build=where / "build", state=where / "state",
    )  # fmt: skip
    units = timers.units(made, timers.schedule({}))
    assert len(units) == 2 * len(timers.CLOCKED)
    (tmp_path / "units").mkdir()
    verify = ["systemd-analyze", "verify", *write(units, tmp_path / "units")]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "strandline-" in line]
    # systemd-analyze looks whether the program is there, and so finds what is quoted wrongly.
    assert said == []


@pytest.mark.parametrize("place", ["/usr/local/src/my net", "/etc/strandline", "/opt/strandline"])
def test_a_clone_or_an_inventory_in_a_folder_of_the_systems_can_be_written(place: str) -> None:
    made = Controller(Path(place), Path("/srv/production"), "root", state=Path("/etc/state"))
    unit = timers.units(made, timers.schedule({}))["strandline-production-journal.service"]
    writable = [line for line in unit.splitlines() if line.startswith("ReadWritePaths=")]
    clone = [f'ReadWritePaths="-{place}"'] if place != "/opt/strandline" else []
    assert writable == [*clone, 'ReadWritePaths="-/etc/state"']


def test_a_run_has_the_folders_of_who_installed_it(tmp_path: Path) -> None:
    made = controller(tmp_path, cache=Path("/a b"), build=Path("/c"), state=Path("/d"))
    unit = timers.service(made, timers.CLOCKED[0])
    for said in ("STRANDLINE_CACHE=/a b", "STRANDLINE_BUILD=/c", "XDG_STATE_HOME=/d"):
        assert f'Environment="{said}"\n' in unit
    assert "XDG_STATE_HOME" not in timers.service(controller(tmp_path), timers.CLOCKED[0])


def test_a_program_that_is_quoted_wrongly_would_have_been_found(tmp_path: Path) -> None:
    made = controller(tmp_path / "50%n")
    unit = timers.units(made, timers.schedule({}))["strandline-production-due.service"]
    (path,) = write({"strandline-production-due.service": unit.replace("%%", "%")}, tmp_path)
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert "is not executable" in done.stderr


def test_what_can_not_stand_in_a_unit_is_refused(tmp_path: Path) -> None:
    made = controller(tmp_path / "a", inventory=Path("/x/two\nlines"))
    with pytest.raises(Refusal, match="Rename it"):
        timers.units(made, timers.schedule({}))


def test_times_are_the_operators_and_a_verb_can_be_left_out() -> None:
    found = timers.schedule({"verify": "hourly", "report": False})
    assert found["verify"] == "hourly"
    assert "report" not in found
    assert found["due"] == next(each.calendar for each in timers.CLOCKED if each.verb == "due")


@pytest.mark.parametrize(
    ("wanted", "says"),
    [({"retire": "daily"}, "retire does not run by the clock"), ({"due": 5}, "fleet_timers.due: 5 is no time"),
     ({"due": "daily\nExecStart=/bin/x"}, "is no time"), ({"due": True}, "is no time")],
)  # fmt: skip
def test_a_time_that_is_none_is_refused(wanted: dict[str, object], says: str) -> None:
    with pytest.raises(Refusal, match=says):
        timers.schedule(wanted)


def test_units_of_another_inventory_are_left_alone(tmp_path: Path) -> None:
    ours, other = controller(tmp_path / "a"), controller(tmp_path / "b")
    units = timers.units(ours, timers.schedule({"report": False}))
    assert set(units) < set(timers.all_names(ours)) == set(timers.all_names(other))
    for name, content in units.items():
        first = content.partition("\n")[0]
        timers.belongs_to(ours, name, first)
        with pytest.raises(Refusal, match=r"belongs to the inventory .*/a/production, not to .*/b/production"):
            timers.belongs_to(other, name, first)
    with pytest.raises(Refusal, match="belongs to somebody else"):
        timers.belongs_to(ours, "x.timer", "[Unit]")


def key(path: Path, passphrase: str) -> Path:
    """Make a pair of keys."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)], check=True)
    return path


def test_keys_that_ask_for_a_passphrase_do_not_do(tmp_path: Path) -> None:
    free, locked, none = key(tmp_path / "free", ""), key(tmp_path / "locked", "secret"), tmp_path / "none"
    assert timers.usable_keys([free], []) == ""
    assert timers.usable_keys([], [none, locked, free]) == ""
    assert timers.usable_keys([free, locked], []) == f"{locked} has a passphrase, or is no private key"
    assert timers.usable_keys([none], [free]) == f"{none} is no file"
    assert timers.usable_keys([], [none, locked]) == f"{locked} has a passphrase"
    assert timers.usable_keys([], [none]) == "ssh finds no key"


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """A copy of the example, whose hosts are entered by a key of their own."""
    made = Path(shutil.copytree(ROOT / "inventory" / "example", tmp_path / "production"))
    leased = made / "group_vars" / "leased.yml"
    leased.write_text(f"{leased.read_text()}ansible_ssh_private_key_file: {key(tmp_path / 'key', '')}\n")
    return made


def play(inventory: Path, *arguments: str, **variables: object) -> tuple[int, str]:
    """Show the verb's plan: exit code, and what was said with single spaces."""
    done = subprocess.run(
        [
            *("ansible-playbook", f"--inventory={inventory}", "playbooks/timers.yml", "--check", "--diff"),
            *(f"--extra-vars={json.dumps(variables)}", *arguments),
        ],
        cwd=ROOT, env={**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "1000"}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).split())


@pytest.mark.slow
def test_the_plan_shows_the_units_and_installs_none(inventory: Path) -> None:
    code, said = play(inventory, fleet_timers={"due": "Fri 12:00"})
    assert code == 0, said
    assert f'+ExecStart="{ROOT}/strandline" "due" "-i" "{inventory}" "--mail"' in said
    assert "+OnCalendar=Fri 12:00" in said
    assert "They run as root" in said or os.geteuid() != 0
    assert not list(timers.UNIT_DIRECTORY.glob("strandline-production-*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("times", "says"),
    [({"due": "at noon"}, "fleet_timers.due: 'at noon' is no time that systemd knows"),
     ({"site": "daily"}, "site does not run by the clock")],
)  # fmt: skip
def test_a_time_that_systemd_does_not_know_is_named(inventory: Path, times: dict[str, str], says: str) -> None:
    code, said = play(inventory, fleet_timers=times)
    assert (code, says in said) == (2, True), said


@pytest.mark.slow
def test_an_encrypted_inventory_needs_a_password_file_that_the_units_name(inventory: Path, tmp_path: Path) -> None:
    password = tmp_path / "vault password"
    password.write_text("secret\n")
    (inventory / "group_vars" / "collectors.yml").write_text("---\ncollector_watch_smtp_password: hush\n")
    encrypt = ["ansible-vault", "encrypt", f"--vault-password-file={password}"]
    subprocess.run([*encrypt, str(inventory / "group_vars" / "collectors.yml")], check=True, capture_output=True)
    asked = tmp_path / "asked"
    asked.write_text("#!/bin/sh\necho secret\n")
    asked.chmod(0o700)
    code, said = play(inventory, f"--vault-id=typed@{asked}")
    assert code == 2, said
    assert "collectors.yml is encrypted, and nobody is there to type the password" in said
    code, said = play(inventory, f"--vault-password-file={password}")
    assert code == 0, said
    assert f'"--mail" "--" "--vault-password-file={password}"' in said
    assert "hush" not in said
    assert "secret" not in said


@pytest.mark.slow
def test_a_key_with_a_passphrase_needs_an_agent(inventory: Path, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(tmp_path / "key")], check=True)
    code, said = play(inventory)
    assert code == 2, said
    assert "nobody is there: " + str(tmp_path / "key") + " has a passphrase" in said
    code, said = play(inventory, timers_ssh_agent=str(tmp_path / "gone"))
    assert (code, f"The ssh agent {tmp_path / 'gone'} is not there" in said) == (2, True), said
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if socket.exists():
                break
            agent.poll()
            subprocess.run(["sleep", "0.05"], check=True)
        code, said = play(inventory, timers_ssh_agent=str(socket))
        assert code == 0, said
        assert f'+Environment="SSH_AUTH_SOCK={socket}"' in said
    finally:
        agent.terminate()
        agent.wait()
