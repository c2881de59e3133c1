"""Measuring a host: parsers over texts as the programs and the kernel write them, and the real /proc."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from strandline_fleet import health as judge

from library import strandline_health as health

SOURCES = """\
^,-,192.0.2.7,2,6,377,12,0.000811,0.000812,0.020
^,*,198.51.100.1,1,6,{reach},16,{offset},-0.1,0.000089
"""
MEMINFO = (
    "MemTotal:         250000 kB\nMemFree:           10000 kB\nMemAvailable:     100000 kB\nHugePages_Total:   0\n"
)
SIMULATED = """\
NOTE: This is only a simulation!
Inst libssl3t64 [3.5.1-1] (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64])
Inst tzdata [2025a-1] (2025b-4 Debian:13.2/stable [all])
Conf libssl3t64 (3.5.1-1+deb13u1 Debian-Security:13/stable-security [amd64])
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1 0 100 0 0 10 0
   1: 0100007F:03B9 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 102 1 0 100 0 0 10 0
   2: 156433C6:0016 016433C6:D431 01 00000000:00000000 00:00000000 00000000     0        0 103 1 0 100 0 0 10 0
"""
UDP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue
   1: 00000000000000000000000000000000:0035 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 104 2 0 0
   2: 00000000000000000000000001000000:0143 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 105 2 0 0
   3: 0000000000000000FFFF0000156433C6:0044 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 106 2 0 0
"""


@pytest.mark.parametrize(("offset", "reach", "synchronised"), [("0.25", "377", True), ("-3.000036", "0", False)])
def test_the_selected_source_says_how_wrong_the_clock_is(offset: str, reach: str, synchronised: bool) -> None:
    said = health.clock(SOURCES.format(offset=offset, reach=reach))
    assert said == {"synchronised": synchronised, "source": "198.51.100.1", "offset": float(offset)}


@pytest.mark.parametrize("sources", ["", "^,?,198.51.100.1,0,6,0,4294967295,0.000,0.000,0.000\n"])
def test_without_a_selected_source_nothing_is_followed(sources: str) -> None:
    assert not health.clock(sources)["synchronised"]


def test_chronyc_without_a_daemon_is_said() -> None:
    with pytest.raises(health.Unmeasured, match="506 Cannot talk to daemon"):
        health.clock("506 Cannot talk to daemon\n")


def test_memory_is_what_programs_can_have() -> None:
    assert health.memory(MEMINFO) == {"total": 250000 * 1024, "available": 100000 * 1024}


def test_updates_of_the_security_archive_are_told_apart() -> None:
    assert health.updates(SIMULATED) == {"packages": ["libssl3t64", "tzdata"], "security": ["libssl3t64"]}


@pytest.mark.parametrize(
    ("kernels", "running", "due"),
    [
        (["6.12.9+deb13-amd64", "6.12.57+deb13-amd64"], "6.12.9+deb13-amd64", True),
        (["6.12.9+deb13-amd64", "6.12.57+deb13-amd64"], "6.12.57+deb13-amd64", False),
        ([], "6.1.0-provider", False),
    ],
)
def test_a_newer_kernel_wants_a_reboot(tmp_path: Path, kernels: list[str], running: str, due: bool) -> None:
    for kernel in kernels:
        (tmp_path / f"vmlinuz-{kernel}").touch()
    assert bool(health.reboot(tmp_path, running, tmp_path / "reboot-required")) is due


def test_a_package_may_ask_for_a_reboot(tmp_path: Path) -> None:
    (tmp_path / "reboot-required").touch()
    assert health.reboot(tmp_path, "6.1", tmp_path / "reboot-required") == "a package asks for it"


def test_only_what_others_can_reach_listens(tmp_path: Path) -> None:
    """Loopback and connections are left out; an IPv4 address inside IPv6 is written as IPv4."""
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(TCP)
    (tmp_path / "net" / "udp6").write_text(UDP6)
    for pid, program, inode, cgroup in (
        ("1", "/usr/lib/systemd/systemd", 101, "0::/init.scope\n"),
        ("70", "/usr/sbin/sshd (deleted)", 101, "0::/system.slice/ssh.service\n"),
    ):
        (tmp_path / pid / "fd").mkdir(parents=True)
        (tmp_path / pid / "exe").symlink_to(program)
        (tmp_path / pid / "cgroup").write_text(cgroup)
        (tmp_path / pid / "fd" / "3").symlink_to(f"socket:[{inode}]")
    assert health.reachable(tmp_path) == [
        {"proto": "tcp", "port": 22, "address": "0.0.0.0", "program": "/usr/sbin/sshd", "unit": "ssh.service"},
        {"proto": "udp", "port": 53, "address": "::", "program": "", "unit": ""},
        {"proto": "udp", "port": 68, "address": "198.51.100.21", "program": "", "unit": ""},
    ]


RAW = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  58: 00000000:003A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 104 2 0000000000000000 0
 209: 00000000:0029 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 105 2 0000000000000000 0
"""


def test_a_raw_socket_for_ipv6_in_ipv4_is_found(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "raw").write_text(RAW)
    assert health.reachable(tmp_path) == [{"proto": "ipv6", "port": 0, "address": "0.0.0.0", "program": "", "unit": ""}]


def test_a_tunnel_for_ipv6_in_ipv4_that_is_up_is_found(tmp_path: Path) -> None:
    """It would take the packets from the listener; sit0, which the module always brings, is down."""
    for name, kind, flags in (("eth0", 1, "0x1003"), ("sit0", 776, "0x80"), ("he-ipv6", 776, "0x91")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
        (tmp_path / name / "flags").write_text(f"{flags}\n")
    (found,) = health.tunnels(tmp_path)
    assert (found["proto"], found["port"], found["program"]) == ("ipv6", 0, "the kernel's tunnel he-ipv6")


def test_a_socket_that_systemd_keeps_belongs_to_what_it_starts() -> None:
    said = """\
Id=strandline-sip.socket
Listen=[::]:5060 (Stream)
Listen=0.0.0.0:5060 (Datagram)
Triggers=strandline-sip.service

Id=dbus.socket
Listen=/run/dbus/system_bus_socket (Stream)
Triggers=dbus.service

Id=sshd-vsock.socket
Listen=vsock::22 (Stream)
Triggers=sshd@.service
"""
    assert health.activated(said) == {
        (5060, "tcp"): "strandline-sip.service",
        (5060, "udp"): "strandline-sip.service",
    }


def test_a_program_that_really_listens_has_its_unit_and_package() -> None:
    """This process belongs to no unit; its interpreter is Debian's, or unknown to dpkg."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        (mine,) = [each for each in health.ports(Path("/proc"))["sockets"] if each["port"] == port]
    assert mine["program"] == str(Path("/proc/self/exe").resolve())
    assert mine["package"] == health.packages([mine["program"]])[mine["program"]]


def test_the_package_of_a_program() -> None:
    assert health.packages(["/usr/bin/env", "/no/such/program", ""]) == {
        "/usr/bin/env": "coreutils",
        "/no/such/program": "",
        "": "",
    }


def test_this_process_is_found_behind_its_socket() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind(("0.0.0.0", 0))
        port = endpoint.getsockname()[1]
        found = [each for each in health.ports(Path("/proc"))["sockets"] if each["port"] == port]
    assert [(each["proto"], each["program"]) for each in found] == [("udp", os.readlink("/proc/self/exe"))]


def test_one_file_system_is_measured_once() -> None:
    said = health.disks(["/", "/", "/no/such/directory"])["file_systems"]
    assert [each["path"] for each in said] == ["/"]
    assert 0 <= said[0]["used"] <= 1


def test_a_part_that_fails_leaves_the_others_alone() -> None:
    def fails(error: Exception) -> Callable[[], dict[str, Any]]:
        def measure() -> dict[str, Any]:
            raise error

        return measure

    said = health.measured(
        {"clock": fails(health.Unmeasured("no chrony")), "disks": dict, "memory": fails(KeyError("x"))}
    )
    assert said == {"clock": {"error": "no chrony"}, "disks": {}, "memory": {"error": "'x'"}}


class Published(http.server.BaseHTTPRequestHandler):
    """A publisher's site with one file."""

    files: ClassVar[dict[str, bytes]] = {}
    elsewhere = ""

    def do_GET(self) -> None:
        """Serve a file, or send the reader elsewhere."""
        body = self.files.get(self.path, b"")
        self.send_response(301 if self.elsewhere else 200 if body else 404)
        if self.elsewhere:
            self.send_header("Location", self.elsewhere)
            body = b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(files: dict[str, bytes], *, elsewhere: str = "", tls: Path | None = None) -> Iterator[int]:
    """A site on the loopback; its port."""
    handler = type("Site", (Published,), {"files": files, "elsewhere": elsewhere})
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def published(content: bytes = b"a feed", **changes: Any) -> dict[str, bytes]:
    """feeds.json and a file."""
    file = {"name": "x.txt", "url": "/2026/11/25/03/x.txt", "sha256": hashlib.sha256(b"a feed").hexdigest()}
    document = {
        "generated": "2026-11-25T03:03:00Z", "stale_after": "2026-11-25T06:04:00Z", "problems": [],
        "feeds": [
            {"category": "x", "status": "published", "files": [file]}, {"category": "y", "status": "none", "files": []},
        ],
        **changes,
    }  # fmt: skip
    return {"/feeds.json": json.dumps(document).encode(), "/2026/11/25/03/x.txt": content}


@pytest.mark.parametrize(
    ("files", "hours", "words"),
    [
        (published(), 1, []),
        (published(), 30, ["the site is 30 h old"]),
        (published(b"another feed"), 1, ["served files differ from the list: x.txt"]),
        (published(problems=["no event has come for 30 hours"]), 1, ["no event has come for 30 hours"]),
        (published(feeds=[{"category": "x", "status": "kept", "files": []}]), 1, ["not renewed: x"]),
    ],
)
def test_a_publisher_is_judged_by_what_its_readers_get(files: dict[str, bytes], hours: int, words: list[str]) -> None:
    with serving(files) as port:
        part = health.publisher(health.Site(port))
    found = judge.site(part, {}, health.iso_seconds("2026-11-25T03:03:00Z") + hours * 3600)
    assert (found.ok, found.says) == (not words, "; ".join(words) or "1.0 h old")


def test_a_publisher_with_tls_says_when_its_certificate_ends(tmp_path: Path) -> None:
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "10"]
    subprocess.run(
        [*make, "-subj", "/CN=feeds.example.org", "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    (tmp_path / "both").write_bytes((tmp_path / "key").read_bytes() + (tmp_path / "cert").read_bytes())
    with (
        serving(published(), tls=tmp_path / "both") as secure,
        serving({}, elsewhere="https://feeds.example.org/feeds.json") as plain,
    ):
        part = health.publisher(health.Site(plain, secure))
    assert abs(part["tls_ends"] - time.time() - 10 * 86400) < 300
    part["stale_after"] = part["generated"] = time.time()
    found = judge.site(part, {}, time.time() - 1)
    assert (found.ok, found.says) == (False, "the site's TLS certificate ends in 10 days")


def test_a_publisher_that_serves_nothing_is_not_measured() -> None:
    for files in ({}, {"/feeds.json": b"[]"}, {"/feeds.json": b"{"}, {"/feeds.json": published()["/feeds.json"]}):
        with serving(files) as port:
            found = health.measured({"publisher": lambda port=port: health.publisher(health.Site(port))})  # type: ignore[misc]
        assert "error" in found["publisher"]
