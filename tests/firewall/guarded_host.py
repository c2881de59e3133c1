"""A sensor in a network namespace: the rules of roles/base by nft, real listeners, and a stranger at the other end."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from strandline.event import catalogue as catalogue_files

from strandline_cli import listener_settings

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "roles" / "base"
LISTENER = ROOT / "files" / "strandline" / "sensor" / "listener"
CATALOGUE: dict[str, Any] = catalogue_files.load()

HOST4, STRANGER4, COLLECTOR4 = "198.18.7.2", "198.18.7.1", "198.18.7.9"
HOST6, STRANGER6 = "2001:db8:7::2", "2001:db8:7::1"
ADMIN = 20022

POSSIBLE = os.geteuid() == 0 and bool(shutil.which("ip")) and bool(shutil.which("nft"))

# Opens what systemd would, and becomes the daemon.
START = """
import os, socket, sys
program, protocol, *wanted = sys.argv[1:]
opened = []
for one in wanted:
    kind, port, mark = one.split(":")
    if kind == "raw":
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, int(port))
    else:
        made = socket.socket(socket.AF_INET6, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if int(mark):  # Transparent= and Mark= of systemd.socket(5)
            made.setsockopt(socket.IPPROTO_IPV6, 75, 1)
            made.setsockopt(socket.SOL_SOCKET, 36, int(mark))
        made.bind(("::", int(port)))
        if kind == "tcp":
            made.listen(1024)
    opened.append(os.dup(made.fileno()))
for number, descriptor in enumerate([os.dup2(each, 100 + i) for i, each in enumerate(opened)]):
    os.dup2(descriptor, 3 + number, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(opened)))
os.execv(sys.executable, [sys.executable, "-I", "-S", "-B", program, protocol])
"""


def rules(**variables: Any) -> str:
    """The rules as roles/base writes them."""
    defaults = yaml.safe_load((BASE / "defaults" / "main.yml").read_text(encoding="utf-8"))
    given = {
        **defaults,
        "ansible_managed": "made by a test",
        "base_admin_port": ADMIN,
        "base_resolving_users": ["root"],
        "base_outbound": [{"port": 6514, "proto": "tcp", "users": ["root"], "destinations": [COLLECTOR4]}],
        "__base_owners": {"dhcp_accounts": [], "resolving_accounts": []},
        **variables,
    }
    template = trust_as_template((BASE / "templates" / "etc" / "nftables.conf.j2").read_text(encoding="utf-8"))
    text = str(Templar(DataLoader(), variables=given).template(template))
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("_apt", "_chrony"):  # a sensor has them; this machine may not
        if name not in known:
            text = text.replace(f', "{name}"', "")
    return text


def inbound(*names: str) -> list[dict[str, Any]]:
    """What the playbook gives as base_inbound for these listeners."""
    return [port for each in catalogue_files.listeners(CATALOGUE, names) for port in each["ports"]]


class Host:
    """A namespace with the rules, one outside of it, and a veth pair between them."""

    def __init__(self, directory: Path, tag: str) -> None:
        self._directory, self._stack = directory, ExitStack()
        self.inside, self.outside = f"apin{tag}", f"apout{tag}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._stack.enter_context(self.socket)
        self.socket.bind(str(directory / "events"))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        for name in (self.inside, self.outside):
            ip("netns", "add", name)
            self._stack.callback(ip, "netns", "delete", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", self.inside, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.outside)
        for name, v4, v6 in ((self.inside, [HOST4], HOST6), (self.outside, [STRANGER4, COLLECTOR4], STRANGER6)):
            for address in v4:
                ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            ip("-n", name, "address", "add", f"{v6}/64", "dev", "eth0", "nodad")
            ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", self.inside, "route", "add", "default", "via", STRANGER4)

    def close(self) -> None:
        """End all of it."""
        self._stack.close()

    def load(self, text: str) -> None:
        """Load rules."""
        file = self._directory / "nftables.conf"
        file.write_text(text, encoding="utf-8")
        run("ip", "netns", "exec", self.inside, "nft", "-f", str(file))

    def listen(self, protocol: str, mark: int = 0, **settings: str) -> subprocess.Popen[str]:
        """Start the protocol's daemon on its ports."""
        wanted = [
            "raw:41:0" if port["proto"] == "ipv6" else f"{port['proto']}:{port['port']}:{mark}"
            for port in CATALOGUE["listeners"][protocol]["ports"]
        ]
        environment = listener_settings.environment(protocol) | settings
        environment["STRANDLINE_EVENT_SOCKET"] = str(self._directory / "events")
        daemon = self.start(self.inside, START, str(LISTENER), protocol, *wanted, environment=environment)
        kind, port, _ = wanted[0].split(":")
        table = {"raw": ["--raw"], "tcp": ["--tcp"], "udp": ["--udp"]}[kind]
        for _ in range(200):
            found = run("ip", "netns", "exec", self.inside, "ss", "-Hnl", *table)
            if f":{port} " in found and "python" in found + run("ps", "-o", "args=", "-p", str(daemon.pid)):
                break
        return daemon

    def start(
        self, where: str, program: str, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Run a Python program in a namespace, in the background."""
        command = ["ip", "netns", "exec", where, sys.executable, "-c", program, *arguments]
        started = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        self._stack.callback(end, started)
        return started

    def python(self, where: str, program: str, *arguments: str) -> str:
        """Run a Python program in a namespace, and return what it prints."""
        return run("ip", "netns", "exec", where, sys.executable, "-c", program, *arguments)

    def events(self, number: int, seconds: float = 10.0) -> list[str]:
        """The next events; an error when there are fewer."""
        self.socket.settimeout(seconds)
        return [self.socket.recv(65536).decode("ascii").partition(" - - ")[2] for _ in range(number)]

    def silence(self, seconds: float = 0.5) -> list[str]:
        """The events that come although none should."""
        self.socket.settimeout(seconds)
        found = []
        try:
            while True:
                found.append(self.socket.recv(65536).decode("ascii"))
        except TimeoutError:
            return found


def end(started: subprocess.Popen[str]) -> None:
    """End what was started."""
    started.kill()
    started.wait()
    for pipe in (started.stdin, started.stdout):
        if pipe is not None:
            pipe.close()


def run(*command: str) -> str:
    """A command's output. Raises AssertionError with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def ip(*arguments: str) -> None:
    """Run ip(8)."""
    run("ip", *arguments)


@contextmanager
def host(directory: Path, tag: str) -> Iterator[Host]:
    """Make one."""
    made = Host(directory, tag)
    try:
        yield made
    finally:
        made.close()


def fields(line: str, *names: str) -> Sequence[str]:
    """Some bare fields of an event's line."""
    known = dict(part.split("=", 1) for part in line.split(" ") if "=" in part)
    return [known[name] for name in names]
