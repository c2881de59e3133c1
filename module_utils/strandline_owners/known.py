"""What is known to govern a firewall, sshd, accounts or addresses, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass

IPTABLES = r"(?:ip|ip6) (?:filter|nat|mangle|raw|security)|(?:arp|bridge) filter"  # what iptables-nft makes


@dataclass(frozen=True)
class Owner:
    """Something that governs what a host of ours must govern alone."""

    name: str
    owns: str  # firewall, sshd, accounts, addresses
    units: tuple[str, ...]  # those that would act at boot or act now; each may be missing
    remedy: str = ""  # what the operator does; empty: it can be disabled under guard
    switch: tuple[str, str] | None = None  # a file and a pattern in it: without them the units do nothing
    files: tuple[tuple[str, str], ...] = ()  # what disabling writes besides: path and content
    tables: str = ""  # a pattern of the nftables tables that it makes, as "family name", beside those of iptables
    always: bool = False  # to be disabled also where it doesn't act yet


# Masking a unit is enough to disable it, now and at every boot; an upgrade of its package leaves it masked.
CLOUD_INIT_FILES = (
    ("/etc/cloud/cloud-init.disabled", "Written by Strandline: cloud-init would rewrite accounts, keys and sshd.\n"),
    # Should it ever be run by hand: the network stays as cloud-init once wrote it.
    ("/etc/cloud/cloud.cfg.d/99-strandline.cfg", "network: {config: disabled}\nssh_deletekeys: false\n"),
)
OWNERS = (
    # --- firewalls ---
    Owner("ufw", "firewall", ("ufw.service",), switch=("/etc/ufw/ufw.conf", r"(?im)^\s*ENABLED\s*=\s*[\"']?yes")),
    Owner("firewalld", "firewall", ("firewalld.service",), tables="inet firewalld"),
    Owner("netfilter-persistent (iptables-persistent)", "firewall", ("netfilter-persistent.service",)),
    Owner("iptables-services", "firewall", ("iptables.service", "ip6tables.service")),
    Owner("Shorewall", "firewall", ("shorewall.service", "shorewall6.service", "shorewall-lite.service")),
    Owner("Shorewall6-lite", "firewall", ("shorewall6-lite.service", "shorewall-init.service")),
    Owner("ferm", "firewall", ("ferm.service",)),
    Owner("FireHOL", "firewall", ("firehol.service",)),
    Owner("arno-iptables-firewall", "firewall", ("arno-iptables-firewall.service",)),
    Owner("uruk", "firewall", ("uruk.service",)),
    Owner("ipset-persistent", "firewall", ("ipset.service", "ipset-persistent.service")),
    Owner("Plesk's firewall", "firewall", ("psa-firewall.service", "psa-firewall-forward.service")),
    Owner("csf", "firewall", ("csf.service", "lfd.service")),
    Owner("APF", "firewall", ("apf.service",)),
    # --- what adds rules against single addresses, the operator's among them ---
    Owner("fail2ban", "firewall", ("fail2ban.service",), tables=r"inet f2b-\S+"),
    Owner("sshguard", "firewall", ("sshguard.service",), tables=r"(?:ip|ip6) sshguard"),
    Owner("DenyHosts", "firewall", ("denyhosts.service",)),
    Owner(
        "CrowdSec's bouncer",
        "firewall",
        ("crowdsec-firewall-bouncer.service", "cs-firewall-bouncer.service"),
        tables=r"(?:ip|ip6) crowdsec6?",
    ),
    Owner("reaction", "firewall", ("reaction.service",), tables="inet reaction"),
    Owner(
        "Imunify360",
        "firewall",
        ("imunify360.service", "imunify360-agent.service", "imunify-agent.service"),
        remedy="Ask the provider for an image without it, or reinstall with plain Debian 13.",
    ),
    Owner(
        "BitNinja",
        "firewall",
        ("bitninja.service",),
        remedy="Ask the provider for an image without it, or reinstall with plain Debian 13.",
    ),
    # --- sshd ---
    # Ignores Port, and where it is enabled a reboot brings port 22 back.
    Owner("systemd's socket for ssh", "sshd", ("ssh.socket", "sshd.socket"), always=True),
    Owner(
        "dropbear",
        "sshd",
        ("dropbear.service", "dropbear.socket"),
        remedy="Enter by OpenSSH instead: apt-get install openssh-server, apt-get purge dropbear, then the same again.",
    ),
    Owner(
        "TinySSH",
        "sshd",
        ("tinysshd.socket", "tinysshd.service"),
        remedy="Enter by OpenSSH instead: apt-get install openssh-server, apt-get purge tinysshd, then the same again.",
    ),
    # --- what writes accounts, keys, sshd's configuration and addresses anew, at boot or when the provider says so ---
    Owner(
        "cloud-init",
        "accounts",
        (
            "cloud-init-local.service",
            "cloud-init-main.service",
            "cloud-init-network.service",
            "cloud-init.service",
            "cloud-config.service",
            "cloud-final.service",
            "cloud-init-hotplugd.socket",
        ),
        files=CLOUD_INIT_FILES,
    ),
    Owner("DigitalOcean's droplet-agent", "accounts", ("droplet-agent.service",)),
    Owner("Tencent's agent", "accounts", ("tat_agent.service",)),
    Owner("Alibaba's assistant", "accounts", ("aliyun.service", "AssistDaemon.service")),
    Owner("Google's startup scripts", "accounts", ("google-startup-scripts.service",)),
    Owner(
        "Google's guest agent",
        "accounts",
        ("google-guest-agent.service", "google-guest-agent-manager.service"),
        remedy="It also brings up addresses: configure them in /etc, apt-get purge google-guest-agent, then again.",
    ),
    Owner(
        "Azure's agent",
        "accounts",
        ("walinuxagent.service", "waagent.service"),
        remedy="It also adds rules of a firewall: apt-get purge waagent, then the same command again.",
    ),
    Owner("Oracle's cloud agent", "accounts", ("oracle-cloud-agent.service", "oracle-cloud-agent-updater.service")),
)

# Scripts that run at boot or when a card comes up, and in which rules of a firewall are loaded.
HOOKS = (
    "etc/network/if-pre-up.d/*",
    "etc/network/if-up.d/*",
    "etc/network/interfaces",
    "etc/network/interfaces.d/*",
    "etc/networkd-dispatcher/*/*",
    "etc/NetworkManager/dispatcher.d/*",
    "etc/NetworkManager/dispatcher.d/pre-up.d/*",
    "etc/dhcp/dhclient-enter-hooks.d/*",
    "etc/dhcp/dhclient-exit-hooks.d/*",
    "etc/rc.local",
    "etc/crontab",
    "etc/cron.d/*",
    "etc/init.d/*",
    "var/spool/cron/crontabs/*",
    "etc/systemd/system/*.service",
)
# In interfaces(5) and units the command follows a keyword.
LOADS_RULES = re.compile(
    r"(?:^|[\s;&|(=/])(?:ip6?tables(?:-legacy|-nft)?(?:-restore)?|nft|ipset|ebtables)(?=\s|$)", re.ASCII
)
OUR_HOOKS = ("strandline-",)
# Init scripts of packages that have a unit of their own in the table above.
KNOWN_SCRIPTS = {unit.partition(".")[0] for owner in OWNERS for unit in owner.units} | {"nftables"}
