"""How much systemd lets each of our services do, by its own measure, on the units as the roles would write them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

ROLES = Path(__file__).resolve().parents[2] / "roles"
SANDBOX = yaml.safe_load((ROLES / "unit_sandbox" / "vars" / "main.yml").read_text())
TEMPLATES = sorted(
    [
        *ROLES.glob("*/templates/etc/systemd/system/*.service.j2"),
        *ROLES.glob("*/templates/etc/systemd/system/*.service.d/*.j2"),
    ]
)
# What the templates take from the roles: any value that makes a unit of them.
VARIABLES: dict[str, Any] = {
    **SANDBOX,
    "ansible_facts": {"architecture": "x86_64"},
    "collector_loader_database": "host=/var/run/postgresql",
    "collector_watch_mail_to": [],
    "collector_watch_webhook_url": "",
    "event_forwarding_addresses": ["192.0.2.1"],
    "event_forwarding_listeners": [],
    "listener_ssh_max_connections": 20,
    "listener_ssh_ports": [22],
    "publisher_database": {"address": "192.0.2.2"},
    "publisher_mirrors": [{"address": "192.0.2.9"}],
    "__listener_python_listener": {"name": "vnc", "title": "VNC"},
    "__listener_python_raw": False,
    "collector_archive_memory_mib": 256,
    "__listener_python_unit": "strandline-vnc",
    "__listener_python_wanted": {"memory_max": "64M", "connections": 8},
    **{
        name: "64M"
        for name in (
            "collector_loader_memory_max",
            "collector_memory_max",
            "event_forwarding_memory_max",
            "listener_dns_memory_max",
            "listener_ssh_memory_max",
            "publisher_memory_max",
        )
    },
    **{
        name: "/srv/some"
        for name in (
            "collector_archive_dir",
            "collector_parsed_dir",
            "collector_raw_dir",
            "event_forwarding_spool_dir",
            "listener_python_event_socket",
            "publisher_webroot",
            "__collector_state",
            "__event_database_bin",
            "__listener_python_directory",
            "__listener_ssh_config_dir",
            "__listener_ssh_program",
            "__publisher_state",
        )
    },
    **{
        name: "some"
        for name in (
            "ansible_managed",
            "listener_python_event_group",
            "__collector_user",
            "__listener_python_code",
            "__listener_ssh_user",
        )
    },
}
# 0 is nothing, 10 is all. Each is what the unit may do today: one that is to do more has to be argued for here.
EXPOSURE = {
    # As root and early in the boot it puts back the firewall and sshd, which nothing confined could.
    "base strandline-guard.service": 9.5,
    "collector strandline-archive.service": 0.9,
    "collector strandline-loader.service": 0.7,
    "collector strandline-retention.service": 1.1,
    "collector strandline-watch.service": 0.9,
    "collector syslog-ng.service": 1.8,
    "event_database strandline-database-maintenance.service": 0.9,
    "event_forwarding strandline-heartbeat.service": 2.1,
    "event_forwarding strandline-prune.service": 1.5,
    "event_forwarding syslog-ng.service": 2.2,
    "listener_dns named.service": 1.7,
    "listener_python strandline-listener.service": 0.6,
    "listener_ssh strandline-ssh.service": 1.6,
    "publisher strandline-publisher.service": 1.3,
}

pytestmark = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze (package systemd)")


def unit_name(template: Path) -> str:
    """The unit that a template is, or whose drop-in it is."""
    return template.name.removesuffix(".j2") if template.parent.name == "system" else template.parent.name[:-2]


def title(template: Path) -> str:
    """The unit with the role that installs it."""
    return f"{template.relative_to(ROLES).parts[0]} {unit_name(template)}"


def exposure(template: Path, folder: Path) -> tuple[float, list[dict[str, Any]]]:
    """systemd's measure of the unit, and what it is made of."""
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - no markup
    environment.filters["basename"] = lambda path: Path(path).name
    unit = folder / unit_name(template)
    text = environment.from_string(template.read_text()).render(VARIABLES)
    # A drop-in that leaves the program to Debian's unit is none that can be measured alone.
    unit.write_text(text if "\nExecStart=/" in text else f"{text}\nExecStart=/usr/bin/true\n")
    analyze = ["systemd-analyze", "security", "--no-pager", "--offline=yes"]
    said = subprocess.run([*analyze, str(unit)], capture_output=True, text=True, check=True).stdout
    detail = subprocess.run([*analyze, "--json=short", str(unit)], capture_output=True, text=True, check=True).stdout
    return float(said.rpartition("Overall exposure level for ")[2].split()[1]), json.loads(detail)


@pytest.mark.parametrize("template", TEMPLATES, ids=title)
def test_a_unit_may_do_no_more_than_it_needs(template: Path, tmp_path: Path) -> None:
    level, detail = exposure(template, tmp_path)
    assert level <= EXPOSURE[title(template)], detail
