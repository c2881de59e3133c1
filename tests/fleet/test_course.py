"""The course of the playbooks that go through the fleet in batches: order, what stops them, how they are carried on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from local_fleet import CANARY, GROUPS, PROGRAM, LocalFleet, failing, noted

pytestmark = pytest.mark.slow

ALL = [host for members in GROUPS.values() for host in members]
ROTATE = "rotate_certificates"


class Rotation(LocalFleet):
    """Each host has an identity by the real program, in a folder of its own."""

    def __init__(self, directory: Path, unreachable: tuple[str, ...] = ()) -> None:
        super().__init__(
            directory,
            {
                "roles/tls_identity/tasks/program.yml": [],
                "playbooks/tasks/rotate_connections.yml": [],
                "playbooks/tasks/rotate_prove.yml": [noted("switched"), failing("bad")],
                "playbooks/tasks/rotate_collectors_learn.yml": [noted("trusts-{{ rotate_hosts | join(',') }}")],
                "playbooks/tasks/rotate_others_learn.yml": [],
                "playbooks/tasks/rotate_connect.yml": [failing("deaf")],
                "playbooks/tasks/rotate_refused.yml": [],
                "playbooks/tasks/canary.yml": CANARY,
            },
            unreachable,
        )
        self.defaults(ROTATE, program=str(PROGRAM), directory=f"{directory}/hosts/{{{{ inventory_hostname }}}}")
        for host in ALL:
            tls = directory / "hosts" / host
            tls.mkdir(parents=True)
            path = {"PATH": f"{directory / 'bin'}:/usr/bin:/bin"}
            subprocess.run([PROGRAM, "make", tls, host, "9"], check=True, capture_output=True, env=path)
            self.held(host).write_text((tls / "cert.pem").read_text())
        self.before = {host: self.certificate(host) for host in ALL}

    def held(self, host: str) -> Path:
        """What the controller has of a host."""
        return self.directory / "inventory" / "certificates" / f"{host}.pem"

    def certificate(self, host: str) -> str:
        """What a host uses."""
        return (self.directory / "hosts" / host / "cert.pem").read_text()

    def state(self, host: str) -> str:
        """How far a host is, with whether it uses another certificate than before."""
        done = subprocess.run(
            [PROGRAM, "state", self.directory / "hosts" / host], check=True, capture_output=True, text=True
        )
        new = "new" if self.certificate(host) != self.before[host] else "old"
        return f"{new} {done.stdout.split()[0]}"

    def states(self) -> dict[str, str]:
        """All of them."""
        return {host: self.state(host) for host in ALL}


def flat(said: str) -> str:
    """What a run said, however it was wrapped."""
    return " ".join(said.split())


def test_a_host_that_fails_stops_a_rotation_and_the_same_command_carries_on(tmp_path: Path) -> None:
    """What was good before is withdrawn all the same; who does not answer stops nobody and is named."""
    fleet = Rotation(tmp_path, unreachable=("www",))
    code, said = fleet.play(ROTATE, rotate_made_before="2099-01-01")
    assert code != 0
    assert "Nothing was changed." in flat(said), "nobody answered"
    assert fleet.steps() == []
    code, said = fleet.play(ROTATE, confirm="yes", rotate_made_before="2099-01-01", bad=["b1"])
    assert code != 0
    steps = fleet.steps()
    assert steps[:3] == ["trusts-a1,a2,b1,col col", "switched a1", "canary a1"]
    assert sorted(steps[3:5]) == ["switched a2", "switched b1"]
    assert steps[5:] == ["canary a2", "trusts-a1 col"]
    assert fleet.states() == {
        "a1": "new settled",
        "a2": "new switched",
        "b1": "new switched",
        "col": "old prepared",
        "www": "old settled",
    }
    assert "failed: b1 is bad" in flat(said)
    assert "Not begun: col. To carry on, give the same command again." in flat(said)
    assert "No answer: www." in flat(said)
    # Without rotate_made_before: what is half way is due, and nothing else.
    code, said = fleet.play(ROTATE, confirm="yes")
    assert code != 0
    assert "switched a1" not in fleet.steps()
    assert fleet.states() == {**dict.fromkeys(ALL, "new settled"), "www": "old settled"}
    for host in ALL:
        assert fleet.held(host).read_text() == fleet.certificate(host)
    assert not list((tmp_path / "inventory" / "certificates").glob("*.next.pem"))
    assert "uninformed of a collector's new certificate: www." in flat(said)


@pytest.mark.long
def test_a_collector_that_a_sensor_does_not_take_keeps_its_old_certificate(tmp_path: Path) -> None:
    fleet = Rotation(tmp_path)
    code, said = fleet.play(ROTATE, confirm="yes", rotate_made_before="2099-01-01", deaf=["a2"])
    assert code != 0
    assert fleet.states() == {**dict.fromkeys(ALL, "new settled"), "col": "new switched"}
    assert fleet.held("col").read_text() == fleet.before["col"]
    assert "failed: it does not take a collector's new certificate" in flat(said)


def test_nothing_is_changed_without_a_yes_or_in_check_mode(tmp_path: Path) -> None:
    fleet = Rotation(tmp_path)
    code, said = fleet.play(ROTATE, rotate_made_before="2099-01-01")
    assert code != 0
    assert "Nothing was changed." in said
    code, said = fleet.play(ROTATE, "--check", "--diff", rotate_made_before="2099-01-01")
    assert code == 0, said
    assert "www" in said
    assert fleet.states() == dict.fromkeys(ALL, "old settled")
    assert fleet.steps() == []


def test_a_limit_that_leaves_a_collector_out_ends_a_rotation_before_anything(tmp_path: Path) -> None:
    fleet = Rotation(tmp_path)
    code, said = fleet.play(ROTATE, "--limit=sensors", confirm="yes", target="a1")
    assert code != 0
    assert "--limit leaves out col" in flat(said)
    assert fleet.steps() == []


@pytest.fixture
def upgrade(tmp_path: Path) -> LocalFleet:
    outcome = {
        "upgraded": ["libc6"],
        "kept_back": [],
        "restarted": [],
        "rebooted": False,
        "reboot_needed": [],
        "failed": [],
    }
    return LocalFleet(
        tmp_path,
        {
            "playbooks/packages.yml": [{"name": "Build nothing", "hosts": "all", "gather_facts": False, "tasks": []}],
            "playbooks/tasks/upgrade_packages.yml": [],
            "playbooks/tasks/canary.yml": CANARY,
            "roles/system_upgrade/tasks/main.yml": [
                noted("upgraded"),
                {"name": "Note it", "ansible.builtin.set_fact": {"system_upgrade_outcome": outcome}},
                failing("bad"),
            ],
        },
        unreachable=("b1",),
    )


def test_an_upgrade_stops_at_a_host_that_fails_and_names_the_rest(upgrade: LocalFleet) -> None:
    code, said = upgrade.play("upgrade", bad=["a2"])
    assert code != 0
    assert upgrade.steps() == ["upgraded a1", "canary a1", "upgraded a2"]
    assert "failed: a2 is bad" in flat(said)
    assert "left out: b1." in flat(said)
    assert "Not upgraded: col, www." in flat(said)


@pytest.mark.long
def test_an_upgrade_stops_at_a_canary_and_goes_through_when_all_is_well(upgrade: LocalFleet) -> None:
    code, _ = upgrade.play("upgrade", silent=["a1"])
    assert (code != 0, upgrade.steps()) == (True, ["upgraded a1", "canary a1"])
    code, said = upgrade.play("upgrade", "--limit=provider_alder:collectors")
    assert code == 0, said
    assert upgrade.steps() == ["upgraded a1", "canary a1", "upgraded a2", "canary a2", "upgraded col"]
