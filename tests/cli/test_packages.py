"""The images with Debian's packages hold what the roles install, read from the roles themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from strandline_cli.errors import StepFailed
from strandline_cli.images import packages
from strandline_cli.images.packages import Packages

ROOT = Path(__file__).parents[2]


def role(top: Path, name: str, **files: object) -> None:
    """Write a role; each argument is a folder and its main.yml's content."""
    for folder, content in files.items():
        path = top / name / folder / "main.yml"
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(content))


def test_each_group_gets_what_its_roles_install() -> None:
    sensor, collector, publisher = (packages.of_group(group) for group in packages.IMAGES.values())
    assert {"openssh-server", "chrony", "nftables"} <= sensor.names & collector.names & publisher.names
    assert sensor.not_started == {"bind9", "iproute2", "openssl", "syslog-ng-core"}
    assert {"postgresql-17", "python3-psycopg2", "zstd"} <= collector.names
    assert "nginx" in publisher.names - sensor.names
    assert not sensor.names & {"exim4-base", "postfix"}, "what the role removes"


def test_the_roles_of_a_group_are_those_that_the_playbook_gives_it(tmp_path: Path) -> None:
    playbook = tmp_path / "site.yml"
    playbook.write_text(
        yaml.safe_dump(
            [
                {"ansible.builtin.import_playbook": "packages.yml"},
                {"hosts": "collectors:sensors{{ except | default('') }}", "roles": [{"role": "base"}]},
                {"hosts": "collectors[0]", "roles": ["database"]},
                {"hosts": "sensors", "roles": [{"role": "dns", "when": "true"}]},
            ]
        )
    )
    assert packages.roles_of("sensors", playbook) == ["base", "dns"]
    assert packages.roles_of("collectors", playbook) == ["base", "database"]


def test_blocks_dependencies_and_the_roles_variables_are_followed(tmp_path: Path) -> None:
    role(tmp_path, "common", tasks=[{"ansible.builtin.apt": {"name": "python3"}}])
    role(
        tmp_path,
        "server",
        tasks=[
            {"block": [{"ansible.builtin.apt": {"name": ["server-{{ __version }}", "helper"], "policy_rc_d": 101}}]},
            {"ansible.builtin.apt": {"name": ["mailer"], "state": "absent"}},
            {"ansible.builtin.apt": {"update_cache": True}},
            {"ansible.builtin.apt": {"deb": "/var/cache/our-own.deb"}},
        ],
        defaults={"__version": 1},
        vars={"__version": 17},
        meta={"dependencies": [{"role": "common"}]},
    )
    assert packages.of_role("server", tmp_path) == Packages(
        frozenset({"server-17", "helper", "python3"}), frozenset({"server-17", "helper"})
    )


def test_a_name_that_only_a_host_knows_is_refused(tmp_path: Path) -> None:
    role(tmp_path, "late", tasks=[{"ansible.builtin.apt": {"name": "linux-image-{{ ansible_facts.architecture }}"}}])
    with pytest.raises(StepFailed, match=r"roles/late/tasks/main\.yml: the package 'linux-image-.*ansible_facts"):
        packages.of_role("late", tmp_path)


def test_a_group_without_packages_is_refused() -> None:
    with pytest.raises(StepFailed, match="no play gives the group scanners"):
        packages.of_group("scanners")
