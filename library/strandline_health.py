#!/usr/bin/python
"""Ansible module: what `./strandline verify` wants to know of a host. Measures, and judges nothing."""

from __future__ import annotations

import datetime as dt
import hashlib
import http.client
import ipaddress
import json
import os
import re
import ssl
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_health
short_description: Measure a host's clock, certificate, disks, memory, updates, listening ports and published site
description:
  - Changes nothing. A part that can't be measured says so under C(error) and leaves the others alone.
options:
  certificate:
    description: The host's own certificate (PEM). Needed for the part of that name.
    type: path
  parts:
    description: What to measure.
    type: list
    elements: str
    choices: [clock, certificate, disks, memory, updates, ports, publisher]
    default: [clock, certificate, disks, memory, updates, ports, publisher]
  paths:
    description: Directories whose file systems are measured; those on one file system are measured once.
    type: list
    elements: path
    default: [/, /var/lib, /var/log, /var/spool]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: Strandline developers
"""
EXAMPLES = r"""
- name: Measure the host
  strandline_health:
    certificate: /etc/strandline/tls/cert.pem
  register: measured
"""
RETURN = r"""
clock:
  description: Whether chrony follows a source, and the clock's offset in seconds (positive when it is fast).
  type: dict
  returned: always
certificate:
  description: When it ends (seconds since 1970) and the SHA-256 of its DER form.
  type: dict
  returned: always
disks:
  description: For each file system its path, share of bytes and of inodes in use, and bytes left.
  type: dict
  returned: always
memory:
  description: Bytes in all, and bytes that programs can still have without swapping.
  type: dict
  returned: always
updates:
  description: Pending packages, those of them that Debian's security archive brings, and why a reboot is due.
  type: dict
  returned: always
publisher:
  description:
    - What the site says of itself, and whether its files are what it says.
    - Times are seconds since 1970; C(tls_ends) is null without TLS.
  type: dict
  returned: on a publisher
ports:
  description: Each socket that others can reach, with port, protocol, address, program, its unit and Debian package.
  type: dict
  returned: always
"""

LISTEN, UNCONNECTED = "0A", "07"  # states of TCP and UDP sockets, proc_pid_net(5)
IPV6_IN_IPV4 = 41  # the protocol's number
SIT, UP = 776, 1  # ARPHRD_SIT of <linux/if_arp.h>, IFF_UP of <linux/if.h>
PARTS = ("clock", "certificate", "disks", "memory", "updates", "ports", "publisher")
PUBLISHER = Path("/etc/strandline/publisher.yml")
SECONDS, WEB_BYTES = 20, 256 << 20  # that the site may take for an answer, and that one may have
Part = dict[str, Any]


class Unmeasured(Exception):
    """A part can't be measured; the message says why."""


def run(*argv: str, given: str = "") -> str:
    """What a command prints when it is given a text. Raises Unmeasured when it fails or takes longer than a minute."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            argv, input=given, capture_output=True, text=True, check=False, env=environment, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unmeasured(f"{argv[0]}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "nothing said").splitlines()[-1]
        raise Unmeasured(f"{argv[0]}: {said}")
    return done.stdout


def clock(sources: str) -> Part:
    """Read `chronyc -c sources`: mode, state, name, stratum, poll, reach, age, offset (positive: fast), ...

    The selected source's offset says how wrong the clock is also where chronyd may not set it, as in a container; what
    `tracking` calls the system time's offset is only what chronyd has still to correct.
    """
    for line in sources.splitlines():
        fields = line.split(",")
        if len(fields) < 10:
            raise Unmeasured(f"chronyc says {line!r}")
        if fields[1] == "*":
            return {"synchronised": fields[5] != "0", "source": fields[2], "offset": float(fields[7])}
    return {"synchronised": False, "source": "", "offset": 0.0}


def certificate(path: Path) -> Part:
    """When the certificate ends, and which one it is."""
    text = path.read_text(encoding="ascii")
    ends = run("/usr/bin/openssl", "x509", "-in", str(path), "-noout", "-enddate").strip().removeprefix("notAfter=")
    return {
        "ends": ssl.cert_time_to_seconds(ends),
        "sha256": hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest(),
    }


def disks(paths: Iterable[str]) -> Part:
    """How full the file systems are, as df(1) counts: root's reserve is not left to anybody."""
    found: dict[int, Part] = {}
    for path in paths:
        if not os.path.isdir(path) or (device := os.stat(path).st_dev) in found:
            continue
        state = os.statvfs(path)
        used = state.f_blocks - state.f_bfree
        inodes = state.f_files - state.f_ffree
        found[device] = {
            "path": path,
            "used": used / (used + state.f_bavail) if used + state.f_bavail else 0.0,
            "inodes_used": inodes / state.f_files if state.f_files else 0.0,
            "left": state.f_bavail * state.f_frsize,
        }
    return {"file_systems": list(found.values())}


def memory(meminfo: str) -> Part:
    """Read /proc/meminfo (proc_meminfo(5)), kibibytes."""
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", meminfo, re.MULTILINE)}
    return {"total": sizes["MemTotal"], "available": sizes["MemAvailable"]}


def updates(simulated: str) -> Part:
    """Read `apt-get --simulate upgrade`: Inst NAME [OLD] (NEW ORIGIN:RELEASE [ARCH])."""
    found = re.findall(r"^Inst (\S+) .*$", simulated, re.MULTILINE)
    security = re.findall(r"^Inst (\S+) .*\bDebian-Security:", simulated, re.MULTILINE)
    return {"packages": found, "security": security}


def version_key(release: str) -> list[tuple[int, int | str]]:
    """A key that sorts kernel releases as `sort --version-sort` does for Debian's names."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.findall(r"\d+|\D+", release)]


def reboot(boot: Path, running: str, required: Path) -> str:
    """Why the host must be rebooted; empty when it need not. A container has no kernel of its own."""
    if required.exists():
        return "a package asks for it"
    kernels = [path.name.removeprefix("vmlinuz-") for path in boot.glob("vmlinuz-*")]
    newest = max(kernels, key=version_key, default=running)
    return f"kernel {newest} is installed and {running} runs" if newest != running else ""


def address_of(text: str) -> str:
    """An address as /proc/net writes it: 32-bit words, each in the byte order of the machine."""
    raw = b"".join(int(text[start : start + 8], 16).to_bytes(4, "little") for start in range(0, len(text), 8))
    address = ipaddress.ip_address(raw)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def sockets(table: str, proto: str) -> Iterator[tuple[Part, str]]:
    """Each socket of a table of /proc/net that others can reach, and its inode. The host's own ones are left out."""
    wanted = LISTEN if proto == "tcp" else UNCONNECTED
    for line in table.splitlines()[1:]:
        fields = line.split()
        where, port = fields[1].split(":")
        address = address_of(where)
        if fields[3] == wanted and not ipaddress.ip_address(address).is_loopback:
            yield {"proto": proto, "port": int(port, 16), "address": address}, fields[9]


def target(link: Path) -> str:
    """Where a link of /proc leads; empty when what it belongs to has ended meanwhile."""
    try:
        return os.readlink(link)
    except OSError:
        return ""


INIT = "/usr/lib/systemd/systemd"


def owners(proc: Path) -> dict[str, tuple[str, str]]:
    """The program and the unit of each socket, by inode. systemd opens sockets for others and keeps them."""
    found: dict[str, tuple[str, str]] = {}
    for descriptors in proc.glob("[0-9]*/fd"):
        program = target(descriptors.parent / "exe").removesuffix(" (deleted)")
        try:
            links = [target(link) for link in descriptors.iterdir()]
            unit = unit_of((descriptors.parent / "cgroup").read_text())
        except OSError:  # it ended meanwhile
            continue
        for link in links:
            if link.startswith("socket:[") and found.get(link[8:-1], ("", ""))[0] in ("", INIT):
                found[link[8:-1]] = (program, unit)
    return found


def unit_of(cgroup: str) -> str:
    """The service that a process belongs to, by its /proc/PID/cgroup (cgroups(7)); nothing for a session's."""
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "name=systemd") and (found := re.findall(r"[^/]+\.service", path)):
            return str(found[-1])
    return ""


def activated(units: str) -> dict[tuple[int, str], str]:
    """Which service systemd starts for a socket, by port and protocol.

    Reads `systemctl show --property=Id,Listen,Triggers '*.socket'`: a paragraph for each unit.
    """
    found = {}
    for paragraph in units.split("\n\n"):
        triggers = re.search(r"(?m)^Triggers=(\S+)", paragraph)
        for port, kind in re.findall(r"(?m)^Listen=(?:\[\S+\]|[\d.]+):(\d+) \((Stream|Datagram)\)$", paragraph):
            if triggers:
                found[int(port), "tcp" if kind == "Stream" else "udp"] = triggers[1]
    return found


def packages(programs: Iterable[str]) -> dict[str, str]:
    """The Debian package of each program, as far as dpkg knows it. A path below /usr may stand there without /usr."""
    paths = sorted({path for program in programs if program for path in (program, program.removeprefix("/usr"))})
    if not paths:
        return {}
    found = subprocess.run(["dpkg-query", "--search", *paths], capture_output=True, text=True, check=False, timeout=60)
    lines = [line.rsplit(": ", 1) for line in found.stdout.splitlines() if ": " in line]
    names = {path: package.split(",")[0].split(":")[0] for package, path in lines if " " not in package}
    return {program: names.get(program) or names.get(program.removeprefix("/usr"), "") for program in programs}


def reachable(proc: Path) -> list[Part]:
    """Everything that waits for others, with the program and the unit behind it."""
    programs = owners(proc)
    found = []
    for name in ("tcp", "tcp6", "udp", "udp6", "raw"):
        table = proc / "net" / name
        for socket, inode in sockets(table.read_text(), name.removesuffix("6")) if table.exists() else ():
            program, unit = programs.get(inode, ("", ""))
            if name != "raw":
                found.append({**socket, "program": program, "unit": unit})
            elif socket["port"] == IPV6_IN_IPV4:  # a protocol's number stands there in place of a port
                found.append({**socket, "proto": "ipv6", "port": 0, "program": program, "unit": unit})
    return found


def tunnels(devices: Path) -> list[Part]:
    """The kernel's own tunnels for IPv6 in IPv4 that are up: they take such packets before any program."""
    found = []
    for device in sorted(devices.glob("*")):
        try:
            kind, flags = (int((device / name).read_text(), 0) for name in ("type", "flags"))
        except (OSError, ValueError):  # it ended meanwhile
            continue
        if kind == SIT and flags & UP:
            program = f"the kernel's tunnel {device.name}"
            found.append({"proto": "ipv6", "port": 0, "address": "0.0.0.0", "program": program, "unit": ""})  # noqa: S104 - told
    return found


def ports(proc: Path, devices: Path = Path("/sys/class/net")) -> Part:
    """Everything that waits for others, with program, unit and Debian package."""
    found = reachable(proc) + tunnels(devices)
    waiting = [each for each in found if each["program"] == INIT]
    if waiting:
        services = activated(run("systemctl", "show", "--property=Id,Listen,Triggers", "*.socket"))
        for each in waiting:
            each["unit"] = services.get((each["port"], each["proto"]), "")
    named = packages({each["program"] for each in found})
    return {"sockets": [{**each, "package": named.get(each["program"], "")} for each in found]}


class Site:
    """The publisher's own site as its readers have it, asked here. Raises OSError, HTTPException, Unmeasured."""

    def __init__(self, port: int = 80, tls_port: int = 443) -> None:
        self.tls_port = tls_port
        self.connection: http.client.HTTPConnection = http.client.HTTPConnection("localhost", port, timeout=SECONDS)
        self.headers: dict[str, str] = {}
        self.certificate = b""

    def get(self, path: str) -> bytes:
        """The body behind a path; a site that sends its readers to HTTPS is followed there once."""
        self.connection.request("GET", path, headers=self.headers)
        answer = self.connection.getresponse()
        body = answer.read(WEB_BYTES)
        if answer.status == 301 and not self.certificate:
            name = urllib.parse.urlsplit(answer.getheader("Location", "")).hostname or ""
            # Whether strangers trust the certificate is not the question here; when it ends is.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.connection.close()
            secure = http.client.HTTPSConnection("localhost", self.tls_port, timeout=SECONDS, context=context)
            secure.connect()
            if isinstance(secure.sock, ssl.SSLSocket):
                self.certificate = secure.sock.getpeercert(binary_form=True) or b""
            self.connection, self.headers = secure, {"Host": name}
            return self.get(path)
        if answer.status != 200:
            raise Unmeasured(f"the site answers {answer.status} to {path}")
        return body


def publisher(site: Site) -> Part:
    """What the site says of its feeds, and whether each file of its list is what it says."""
    try:
        document = json.loads(site.get("/feeds.json"))
        wrong = []
        for feed in document["feeds"]:
            for file in feed["files"]:
                if hashlib.sha256(site.get(file["url"])).hexdigest() != file["sha256"]:
                    wrong.append(str(file["name"]))
        found = {
            "generated": iso_seconds(document["generated"]),
            "stale_after": iso_seconds(document["stale_after"]),
            "problems": [str(problem) for problem in document["problems"]],
            "kept": [str(feed["category"]) for feed in document["feeds"] if feed["status"] == "kept"],
            "wrong_sums": wrong,
            "tls_ends": None,
        }
    except (http.client.HTTPException, TypeError) as error:
        raise Unmeasured(f"the site's list can't be read ({type(error).__name__}: {error})") from error
    if site.certificate:
        pem = ssl.DER_cert_to_PEM_cert(site.certificate)
        ends = run("/usr/bin/openssl", "x509", "-noout", "-enddate", given=pem)
        ends = ends.strip().removeprefix("notAfter=")
        found["tls_ends"] = ssl.cert_time_to_seconds(ends)
    return found


def iso_seconds(text: str) -> float:
    """A time of feeds.json as seconds since 1970."""
    return dt.datetime.fromisoformat(text).timestamp()


def pending() -> Part:
    """Updates, and whether a reboot is due."""
    simulated = run("/usr/bin/apt-get", "--simulate", "--with-new-pkgs", "upgrade")
    lists = [path.stat().st_mtime for path in Path("/var/lib/apt/lists").glob("*Release")]
    return {
        **updates(simulated),
        "lists_age": time.time() - max(lists) if lists else None,
        "reboot": reboot(Path("/boot"), os.uname().release, Path("/run/reboot-required")),
    }


def measured(parts: dict[str, Callable[[], Part]]) -> dict[str, Part]:
    """Measure each part; one that can't be measured says why."""
    result = {}
    for name, measure in parts.items():
        try:
            result[name] = measure()
        except (Unmeasured, OSError, ValueError, KeyError) as error:
            result[name] = {"error": str(error)}
    return result


def needed(path: Path | None) -> Path:
    """The certificate's path. Raises Unmeasured when none was given."""
    if path is None:
        raise Unmeasured("no certificate was named")
    return path


def parts(path: Path | None, directories: Sequence[str]) -> dict[str, Callable[[], Part]]:
    """What is measured, and how."""
    found: dict[str, Callable[[], Part]] = {
        "clock": lambda: clock(run("/usr/bin/chronyc", "-c", "-n", "sources")),
        "certificate": lambda: certificate(needed(path)),
        "disks": lambda: disks(directories),
        "memory": lambda: memory(Path("/proc/meminfo").read_text()),
        "updates": pending,
        "ports": lambda: ports(Path("/proc")),
        "time": lambda: {"now": dt.datetime.now(dt.UTC).isoformat()},
    }
    if PUBLISHER.exists():
        found["publisher"] = lambda: publisher(Site())
    return found


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "certificate": {"type": "path"},
            "parts": {"type": "list", "elements": "str", "choices": list(PARTS), "default": list(PARTS)},
            "paths": {
                "type": "list",
                "elements": "path",
                "default": ["/", "/var/lib", "/var/log", "/var/spool"],
            },
        },
        supports_check_mode=True,
    )
    certificate = module.params["certificate"]
    measures = parts(Path(certificate) if certificate else None, module.params["paths"])
    wanted = {name: measure for name, measure in measures.items() if name in (*module.params["parts"], "time")}
    module.exit_json(changed=False, **measured(wanted))


if __name__ == "__main__":
    main()
