"""Finding what else governs a host: parsers over what systemd, nft, apt and files say."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from strandline_owners import evidence, look
from strandline_owners.known import OWNERS

ROOT = Path(__file__).resolve().parents[2]
FILES = """\
ufw.service                  enabled         enabled
firewalld.service            masked          enabled
fail2ban.service             disabled        enabled
cloud-init-local.service     enabled         enabled
cloud-init-hotplugd.socket   static          -
ssh.socket                   disabled        enabled
ssh.service                  enabled         enabled
dropbear.service             disabled        enabled
"""
UNITS = """\
ufw.service       loaded active   exited  Uncomplicated firewall
fail2ban.service  loaded active   running Fail2Ban Service
ssh.service       loaded active   running OpenBSD Secure Shell server
firewalld.service masked inactive dead    firewalld.service
dropbear.service  loaded inactive dead    Dropbear
"""


def found(files: str = FILES, units: str = UNITS, *, ufw: bool = True, cloud_disabled: bool = False) -> tuple[Any, Any]:
    states, known = evidence.unit_states(files, units)
    return evidence.owners(states, known, lambda _switch: ufw, cloud_disabled=cloud_disabled)


def test_what_acts_or_would_at_the_next_boot_is_found_and_what_is_masked_is_not() -> None:
    disable, refuse = found()
    assert {each["name"]: each["seen"] for each in disable} == {
        "ufw": ["ufw.service"],
        "fail2ban": ["fail2ban.service"],
        "systemd's socket for ssh": ["ssh.socket"],
        "cloud-init": ["cloud-init-local.service"],
    }
    assert not refuse


def test_all_units_of_an_owner_are_disabled_also_those_that_only_wait() -> None:
    (cloud,) = [each for each in found()[0] if each["name"] == "cloud-init"]
    assert cloud["units"] == ["cloud-init-local.service", "cloud-init-hotplugd.socket"]
    assert set(cloud["files"]) == {"/etc/cloud/cloud-init.disabled", "/etc/cloud/cloud.cfg.d/99-strandline.cfg"}


def test_ufw_that_is_installed_and_off_does_nothing() -> None:
    assert "ufw" not in {each["name"] for each in found(ufw=False)[0]}


@pytest.mark.parametrize(
    ("text", "on"), [("ENABLED=yes", True), ("ENABLED=no", False), ("# ENABLED=yes", False), ("", False)]
)
def test_ufws_switch(text: str, on: bool) -> None:
    (ufw,) = [owner for owner in OWNERS if owner.name == "ufw"]
    assert ufw.switch
    assert (re.search(ufw.switch[1], f"# /etc/ufw/ufw.conf\n{text}\nLOGLEVEL=low\n") is not None) is on


def test_cloud_init_that_its_generator_leaves_out_is_no_finding() -> None:
    assert "cloud-init" not in {each["name"] for each in found(cloud_disabled=True)[0]}


def test_what_only_the_operator_can_decide_is_refused_with_the_remedy() -> None:
    _, refuse = found(FILES.replace("dropbear.service             disabled", "dropbear.service             enabled "))
    assert [each["name"] for each in refuse] == ["dropbear"]
    assert "apt-get purge dropbear" in refuse[0]["says"]


def test_the_table_is_in_order() -> None:
    """Each owner once, each unit at one owner, and every field a word that the module's documentation knows."""
    names = [owner.name for owner in OWNERS]
    units = [unit for owner in OWNERS for unit in owner.units]
    assert len(set(names)) == len(names)
    assert len(set(units)) == len(units)
    assert {owner.owns for owner in OWNERS} <= {"firewall", "sshd", "accounts", "addresses"}
    assert not {"ssh.service", "nftables.service"} & set(units)


def table(
    name: str, *, policy: str = "accept", verdict: str = "accept", hook: str | None = "input"
) -> list[dict[str, Any]]:
    family, _, bare = name.partition(" ")
    chain: dict[str, Any] = {"family": family, "table": bare, "name": "c"}
    if hook:
        chain |= {"type": "filter", "hook": hook, "prio": 0, "policy": policy}
    rule = {"family": family, "table": bare, "chain": "c", "expr": [{"counter": {}}, {verdict: None}]}
    return [{"table": {"family": family, "name": bare}}, {"chain": chain}, {"rule": rule}]


@pytest.mark.parametrize(
    ("entries", "filtering"),
    [
        (table("inet filter"), []),
        (table("inet filter", policy="drop"), [("inet", "filter")]),
        (table("ip filter", verdict="reject"), [("ip", "filter")]),
        (table("ip filter", verdict="xt"), [("ip", "filter")]),
        (table("ip nat", verdict="drop", hook=None), []),
        (table("ip fw", verdict="drop", hook="forward"), []),
        (table("inet strandline", policy="drop"), []),
    ],
)
def test_tables_that_can_refuse_a_packet(entries: list[dict[str, Any]], filtering: list[tuple[str, str]]) -> None:
    assert evidence.filtering_tables(json.dumps({"nftables": [{"metainfo": {}}, *entries]})) == filtering


def test_a_verdict_deep_inside_a_rule_counts() -> None:
    assert evidence.filters([{"vmap": {"key": {"meta": {"key": "iif"}}, "data": {"set": [["lo", {"drop": None}]]}}}])
    assert not evidence.filters(
        [{"match": {"left": {"payload": {"field": "saddr"}}, "right": "192.0.2.1"}}, {"accept": None}]
    )


@pytest.mark.parametrize(
    ("name", "explained"),
    [("inet filter", True), ("ip old", True), ("ip filter", True), ("inet firewalld", False), ("inet mine", False)],
)
def test_leftovers_are_told_from_rules_of_unknown_origin(name: str, explained: bool) -> None:
    """ufw is about to be disabled; the old nftables.conf makes two tables."""
    family, _, bare = name.partition(" ")
    text = "flush ruleset\ntable inet filter {\n}\n  table old {\n}\n# table inet mine {\n"
    disable = [{"name": "ufw", "owns": "firewall"}]
    assert evidence.explained((family, bare), disable, text) is explained


def test_included_files_are_a_part_of_nftables_rules(tmp_path: Path) -> None:
    (tmp_path / "etc/nftables.d").mkdir(parents=True)
    (tmp_path / "etc/nftables.conf").write_text('include "/etc/nftables.d/*.nft"\n')
    (tmp_path / "etc/nftables.d/web.nft").write_text("table inet web {}\n")
    assert evidence.loads(look.nftables_files(tmp_path), ("inet", "web"))


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("etc/network/if-pre-up.d/iptables", "#!/bin/sh\niptables-restore < /etc/iptables.rules\n", ["2"]),
        ("etc/network/interfaces", "iface eth0 inet dhcp\n  pre-up /sbin/iptables-restore < /etc/fw\n", ["2"]),
        ("etc/rc.local", "exec nft -f /root/fw\n", ["1"]),
        ("etc/cron.d/fw", "@reboot root /usr/sbin/ipset restore\n", ["1"]),
        ("var/spool/cron/crontabs/root", "@reboot ip6tables -P INPUT DROP\n", ["1"]),
        ("etc/systemd/system/fw.service", "[Service]\nExecStart=/usr/sbin/nft -f /root/fw\n", ["2"]),
        ("etc/systemd/system/strandline-x.service", "ExecStart=/usr/sbin/nft -f x\n", []),
        ("etc/network/if-up.d/mtu", "# no iptables here\nip link set dev $IFACE mtu 1400\n", []),
        ("etc/cron.d/chkshift", "1 1 * * * root /usr/bin/shift-nfts\n", []),
        ("etc/init.d/ufw", "iptables -F\n", []),
        ("etc/init.d/myfirewall", "iptables -F\n", ["1"]),
    ],
)
def test_scripts_that_load_rules(tmp_path: Path, path: str, text: str, found: list[str]) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert evidence.listed_hooks(tmp_path) == [f"/{path}:{line}" for line in found]


def test_a_unit_that_is_only_enabled_is_its_packages_own(tmp_path: Path) -> None:
    """What `systemctl enable` makes is a link."""
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "lib.service").write_text("ExecStart=/usr/sbin/nft -f x\n")
    (tmp_path / "etc/systemd/system/lib.service").symlink_to(tmp_path / "lib.service")
    assert evidence.listed_hooks(tmp_path) == []


@pytest.mark.parametrize(
    ("exec_start", "default", "options"),
    [
        (
            "ExecStart={ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D $SSHD_OPTS ; ignore_errors=no }",
            "SSHD_OPTS=\n",
            [],
        ),
        ("ExecStart={ path=/usr/sbin/sshd ; argv[]=/usr/sbin/sshd -D -p 2222 ; ignore_errors=no }", "", ["-p", "2222"]),
        ("", "# Options\nSSHD_OPTS='-o Port=2222'  # no\n", ["-o", "Port=2222"]),
        ("", 'SSHD_OPTS=""\nOTHER=-p', []),
    ],
)
def test_options_that_win_over_sshds_file(exec_start: str, default: str, options: list[str]) -> None:
    assert evidence.sshd_options(exec_start, default) == options


@pytest.mark.parametrize(
    ("line", "refuses"),
    [("sshd: ALL", True), ("ALL: ALL", True), ("ALL : PARANOID", True), ("vsftpd, sshd : 192.0.2.7", True),
     ("# sshd: ALL", False), ("vsftpd: ALL", False), ("", False)],
)  # fmt: skip
def test_hosts_deny(line: str, refuses: bool) -> None:
    assert bool(evidence.wrapper_lines(f"# hosts.deny\n{line}\n")) is refuses


def test_proxies_of_apt() -> None:
    said = (
        'Acquire::http::Proxy "http://192.0.2.1:3128";\nAcquire::http::Proxy::mirror.example.org "DIRECT";\n'
        'Acquire::https::Proxy "http://192.0.2.1:3128";\nAcquire::ftp::Proxy "http://192.0.2.2/";\n'
    )
    assert evidence.proxies(said) == ["http://192.0.2.1:3128"]


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ("http://192.0.2.1:80", ""),
        ("http://192.0.2.1", ""),
        ("http://192.0.2.1:3128", "is on port 3128, which base_package_ports doesn't name"),
        ("http://192.0.2.9:80", "doesn't answer (gone)"),
        ("nonsense", "is no address of a proxy"),
        ("http://192.0.2.1:99999", "is no address of a proxy"),
    ],
)
def test_a_proxy_must_answer_and_the_firewall_leave_its_port_open(proxy: str, problem: str) -> None:
    said = evidence.proxy_problem(proxy, [80, 443], lambda host, _port: "gone" if host == "192.0.2.9" else "")
    assert said.startswith(problem) if problem else not said


def test_a_port_where_nobody_listens_is_not_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert look.connect("127.0.0.1", port) == ""
    assert "refused" in look.connect("127.0.0.1", port)


@pytest.mark.parametrize(
    ("path", "text", "keeps"),
    [
        ("etc/network/interfaces.d/50-cloud-init", "auto eth0\niface eth0 inet dhcp\n", True),
        ("etc/network/interfaces", "auto lo\niface lo inet loopback\n", False),
        ("etc/netplan/50-cloud-init.yaml", "network: {}", True),
        ("etc/systemd/network/10-cloud-init-eth0.network", "[Match]", True),
        ("run/systemd/container", "podman", True),
        ("etc/hostname", "x", False),
    ],
)
def test_addresses_must_be_written_down_before_cloud_init_goes(
    tmp_path: Path, path: str, text: str, keeps: bool
) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert look.keeps_addresses(tmp_path) is keeps


def test_rules_of_iptables_legacy() -> None:
    assert not evidence.legacy_filters(
        "*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n"
    )
    assert evidence.legacy_filters("*filter\n:INPUT DROP [0:0]\nCOMMIT\n")
    assert evidence.legacy_filters("-A INPUT -p tcp -j REJECT --reject-with tcp-reset\n")
    assert evidence.legacy_filters("")


def test_this_machine_can_be_looked_at() -> None:
    """Whatever it is: every part has its type, and nothing is raised."""
    result = look.look(Path("/"), [80, 443])
    assert set(result) == {"disable", "refuse", "tables", "loaded", "dhcp_accounts", "resolving_accounts"}
    assert isinstance(result["loaded"], bool)


@pytest.mark.slow
def test_the_module_takes_its_parts_to_the_host() -> None:
    """As Ansible runs it: by the host's own Python, with nothing of this repository beside it."""
    done = subprocess.run(
        [
            "ansible", "localhost", "-c", "local", "-e", "ansible_python_interpreter=/usr/bin/python3",
            "-m", "strandline_owners", "-a", json.dumps({"package_ports": [80, 443]}),
        ],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        | {"ANSIBLE_STDOUT_CALLBACK": "json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"dhcp_accounts"' in done.stdout
