"""Small networks in namespaces of a server's, behind its rules as they stand: what passes is seen from outside."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from servers import Server

HOST, ROUTER, SWITCH = "host", "router", "switch"


@dataclass(frozen=True)
class Namespace:
    """A network namespace within a server."""

    server: Server
    name: str

    def run(self, *argv: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        command = ["podman", "exec", self.server.name, "ip", "netns", "exec", self.name, *argv]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)

    def check(self, *argv: str, seconds: float = 60) -> str:
        """Run a command that must succeed, and return what it prints."""
        done = self.run(*argv, seconds=seconds)
        assert done.returncode == 0, f"{self.name}: {shlex.join(argv)}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a command in it."""
        command = ["podman", "exec", self.server.name, "ip", "netns", "exec", self.name, *argv]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def addresses(self, family: str) -> list[str]:
        """Global addresses of its card, without those that are still being looked for twice."""
        found = json.loads(
            self.check("ip", "-j", f"-{family}", "address", "show", "dev", "eth0", "scope", "global", "-tentative")
        )
        return [each["local"] for card in found for each in card.get("addr_info", []) if "local" in each]


@dataclass(frozen=True)
class Network:
    """A host behind the rules and its router; the switch between them sends multicast only to who asked for it."""

    host: Namespace
    router: Namespace


@contextmanager
def network(server: Server) -> Iterator[Network]:
    """Make one; all of it goes at the end."""
    names = f"{HOST} {ROUTER} {SWITCH}"
    script = f"""set -e
for name in {names}; do ip netns add $name; ip -n $name link set lo up; done
# The rules first: what the host says when its card comes up has to pass them.
ip netns exec {HOST} nft -f /etc/nftables.conf
ip -n {SWITCH} link add br0 type bridge mcast_snooping 1 mcast_query_response_interval 100
for name in {HOST} {ROUTER}; do
  ip -n {SWITCH} link add $name type veth peer name eth0 netns $name
  ip -n {SWITCH} link set $name master br0 up
done
ip -n {SWITCH} link set br0 up
# Who has not answered within a second gets no multicast any more. Without an address the switch could not ask.
ip -n {SWITCH} address add fe80::53/64 dev br0 nodad
ip -n {SWITCH} link set br0 type bridge mcast_querier 1
for name in {ROUTER} {HOST}; do ip -n $name link set eth0 up; done
ip -n {ROUTER} address add 198.18.5.1/24 dev eth0
ip -n {ROUTER} address add 2001:db8:5::1/64 dev eth0 nodad
"""
    end = f"for name in {names}; do ip netns pids $name | xargs -r kill -9; ip netns delete $name; done; true"
    inside = ["podman", "exec", server.name, "sh", "-c"]
    subprocess.run([*inside, end], check=False, capture_output=True)
    try:
        done = subprocess.run([*inside, script], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        yield Network(Namespace(server, HOST), Namespace(server, ROUTER))
    finally:
        subprocess.run([*inside, end], check=False, capture_output=True)
