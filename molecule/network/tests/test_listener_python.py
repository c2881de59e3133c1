"""The SIP and VNC sensors on their hosts: confined for real, small, and right about who spoke to which address."""

from __future__ import annotations

import concurrent.futures
import json
import re
from collections import Counter
from typing import Any

import pytest
from containers import poll
from machines import Machine

UNITS = ("strandline-sip", "strandline-vnc")
PSS_MAX = 8 * 1024
"""KiB for one daemon; with asyncio it would be 12 MB."""
SPOOL = (
    "grep --no-filename --fixed-strings 'event=vnc.client\nevent=sip.request' /var/spool/strandline/events/*.log; true"
)

# Runs on the scanner. Sends what it is given to each address and says where from it sent and who answered.
ASK = """
import json, socket, sys
proto, port, *addresses = sys.argv[1:]
for address in addresses:
    kind = socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as client:
        client.settimeout(5)
        if proto == "udp":
            client.bind(("", 0))  # not connected: an answer from another address must be seen
            target = (address, int(port))
            branch = "z9hG4bK-" + str(client.getsockname()[1])
            client.sendto("\\r\\n".join([
                "OPTIONS sip:100@" + address + " SIP/2.0",
                "Via: SIP/2.0/UDP 192.0.2.66:5060;branch=" + branch + ";rport",
                "From: <sip:100@192.0.2.66>;tag=1234567890", "To: <sip:100@" + address + ">", "Call-ID: " + branch,
                "CSeq: 1 OPTIONS", "Max-Forwards: 70", "User-Agent: " + "u" * 120, "Content-Length: 0", "", "",
            ]).encode(), target)
            answer, peer = client.recvfrom(65535)
            source = answer.partition(b"received=")[2].partition(b"\\r\\n")[0].partition(b";")[0].decode()
        else:
            client.connect((address, int(port)))
            answer, peer = client.recv(12), client.getpeername()
            client.sendall(b"RFB 003.008\\n")
            client.recv(3)
            source = client.getsockname()[0]
        print(json.dumps({"asked": address, "peer": peer[0], "saddr": source, "sport": client.getsockname()[1],
                          "answer": answer[:14].decode()}))
"""

# Runs on the sensor, confined by a copy of a listener's unit. Each attempt must fail with an OSError or a MemoryError.
ESCAPE = """
import mmap, os, socket, sys
def udp(): socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("{target}", 53))
def tcp(): socket.create_connection(("{target}", 6514), 2)
def tcp6(): socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
def raw(): socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
def netlink(): socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
def write_code(): open("{package}/__main__.py", "ab")
def write_state(): open("/var/lib/strandline-probe", "wb")
def write_cron(): open("/etc/cron.d/strandline-probe", "wb")
def read_shadow(): open("/etc/shadow", "rb")
def read_keys(): os.listdir("/etc/strandline")
def read_spool(): os.listdir("/var/spool/strandline")
def make_executable_memory(): mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
def become_root(): os.setuid(0)
def kill_init(): os.kill(1, 0)
escaped = []
for attempt in (udp, tcp, tcp6, raw, netlink, write_code, write_state, write_cron, read_shadow, read_keys, read_spool,
                make_executable_memory, become_root, kill_init):
    try:
        attempt()
    except (OSError, MemoryError):
        continue
    escaped.append(attempt.__name__)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events:
    events.connect("/run/strandline/events/socket")
interfaces = [line.split(":")[0].strip() for line in open("/proc/self/net/dev") if ":" in line]
print("escaped:", escaped, "interfaces:", interfaces, flush=True)
sys.exit(bool(escaped) or interfaces != ["lo"])
"""


def shows(sensor: Machine, unit: str, key: str) -> str:
    """A property of the unit."""
    return sensor.check("systemctl", "show", "--property", key, "--value", f"{unit}.service").strip()


def process(sensor: Machine, unit: str) -> str:
    """Its /proc directory."""
    return f"/proc/{shows(sensor, unit, 'MainPID')}"


def ask(scanner: Machine, proto: str, port: int, addresses: list[str]) -> list[dict[str, Any]]:
    """Ask each address from the scanner."""
    out = scanner.check("python3", "-", proto, str(port), *addresses, stdin=ASK)
    return [json.loads(line) for line in out.splitlines()]


def counted(sensor: Machine, event: str, said: list[dict[str, Any]], proto: str, port: int) -> list[int]:
    """How many spooled events each flow has, once each has one."""
    flows = [
        f"event={event} saddr={one['saddr']} sport={one['sport']} daddr={one['asked']} dport={port} proto={proto}"
        for one in said
    ]

    def look() -> list[int]:
        found = Counter(re.findall(r" (event=\S+ saddr=.*? proto=\S+)", sensor.check("sh", "-c", SPOOL)))
        numbers[:] = [found[flow] for flow in flows]
        return numbers if all(numbers) else []

    numbers: list[int] = []
    poll(look, seconds=10)
    return numbers


@pytest.mark.parametrize("unit", UNITS)
def test_the_daemon_runs_and_its_units_are_sound(sensor: Machine, unit: str) -> None:
    """Both units run, start at boot, and systemd has nothing to say against them."""
    for suffix in ("socket", "service"):
        assert sensor.host.service(f"{unit}.{suffix}").is_running
        assert sensor.host.service(f"{unit}.{suffix}").is_enabled
    done = sensor.run("systemd-analyze", "verify", f"{unit}.socket", f"{unit}.service")
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit in line]) == (0, [])


@pytest.mark.parametrize("unit", UNITS)
def test_the_exposure_level_is_low(sensor: Machine, unit: str) -> None:
    """`systemd-analyze security`, 0 to 10. Says what the unit asks for; the effects are tested below."""
    out = sensor.check("systemd-analyze", "security", "--no-pager", f"{unit}.service")
    level = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", out)[1])  # type: ignore[index]
    print(f"\n{sensor.name} {unit}: exposure level {level}")
    assert level <= 0.5


@pytest.mark.parametrize("unit", UNITS)
def test_the_daemon_is_nobody_in_an_empty_network(sensor: Machine, unit: str) -> None:
    """An account of its own, no capability, no way to gain one, and a network namespace with nothing but loopback."""
    status = sensor.check("cat", f"{process(sensor, unit)}/status")
    values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in values["Uid"].split()
    assert "0" not in values["Gid"].split()
    assert {int(values[key], 16) for key in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "CapInh")} == {0}
    assert (values["NoNewPrivs"], values["Seccomp"]) == ("1", "2")
    devices = sensor.check("cat", f"{process(sensor, unit)}/net/dev")
    assert re.findall(r"^\s*(\S+):", devices, re.MULTILINE) == ["lo"]
    assert not sensor.check("cat", f"{process(sensor, unit)}/net/route").splitlines()[1:]


@pytest.mark.parametrize("unit", UNITS)
def test_code_that_took_over_the_daemon_gets_nowhere(sensor: Machine, collector: Machine, unit: str) -> None:
    """The listener's own unit with other code in it: no connection, no file, no key; the event socket still."""
    own = sensor.check("cat", f"/etc/systemd/system/{unit}.service")
    dropped = r"^(ExecStart|Type|WatchdogSec|Restart|RestartSec|Requires|After|Wants|WantedBy|\[Install\]).*\n"
    probe = re.sub(dropped, "", own, flags=re.MULTILINE).replace(
        "[Service]\n",
        "[Service]\nType=oneshot\nExecStart=/usr/bin/python3 -I -S -B /usr/local/lib/strandline-probe.py\n",
    )
    code = ESCAPE.format(target=collector.addresses[0], package="/usr/lib/strandline/strandline/sensor/listener")
    files = {"/run/systemd/system/strandline-probe.service": probe, "/usr/local/lib/strandline-probe.py": code}
    try:
        for path, text in files.items():
            sensor.check("sh", "-c", f"cat >{path}", stdin=text)
        sensor.check("systemctl", "daemon-reload")
        done = sensor.run("systemctl", "start", "strandline-probe.service")
        said = sensor.check("journalctl", "--no-pager", "--output=cat", "--lines=30", "--unit=strandline-probe.service")
        assert done.returncode == 0, said
        assert "escaped: [] interfaces: ['lo']" in said
    finally:
        sensor.run("rm", "-f", *files)
        sensor.run("systemctl", "daemon-reload")
        sensor.run("systemctl", "reset-failed", "strandline-probe.service")


def test_the_daemons_are_small(sensor: Machine) -> None:
    """Memory of each, printed; the share of pages used with others counts in part (PSS)."""
    for unit in UNITS:
        rollup = sensor.check("cat", f"{process(sensor, unit)}/smaps_rollup")
        rss, pss = (int(re.search(rf"^{key}:\s+(\d+) kB", rollup, re.MULTILINE)[1]) for key in ("Rss", "Pss"))  # type: ignore[index]
        print(f"\n{sensor.name} {unit}: RSS {rss} KiB, PSS {pss} KiB")
        assert pss <= PSS_MAX


@pytest.mark.parametrize(
    ("proto", "port", "event"), [("udp", 5060, "sip.request"), ("tcp", 5900, "vnc.client")], ids=["sip", "vnc"]
)
def test_each_address_answers_for_itself(sensor: Machine, scanner: Machine, proto: str, port: int, event: str) -> None:
    """The answer comes from the address that was asked, and the event names it and the socket that asked."""
    said = ask(scanner, proto, port, sensor.addresses)
    assert [one["peer"] for one in said] == sensor.addresses
    assert {one["answer"] for one in said} == {"SIP/2.0 200 OK" if proto == "udp" else "RFB 003.008\n"}
    assert counted(sensor, event, said, proto, port) == [1] * len(said)


def test_a_restart_loses_no_connection(sensor: Machine, scanner: Machine) -> None:
    """systemd keeps the sockets: what arrives meanwhile waits in them."""
    addresses = sensor.addresses * 40
    with concurrent.futures.ThreadPoolExecutor() as pool:
        said = pool.submit(ask, scanner, "tcp", 5900, addresses)
        for _ in range(2):
            sensor.check("systemctl", "restart", "strandline-vnc.service")
        assert [one["asked"] for one in said.result(120)] == addresses
    assert counted(sensor, "vnc.client", said.result(), "tcp", 5900) == [1] * len(addresses)


@pytest.mark.parametrize("unit", UNITS)
def test_a_killed_daemon_comes_back(sensor: Machine, scanner: Machine, unit: str) -> None:
    """And whoever connected meanwhile is answered."""
    before = shows(sensor, unit, "MainPID")
    sensor.check("kill", "-KILL", before)
    proto, port = ("udp", 5060) if unit == "strandline-sip" else ("tcp", 5900)
    assert len(ask(scanner, proto, port, sensor.addresses)) == len(sensor.addresses)
    assert poll(lambda: shows(sensor, unit, "MainPID") not in (before, "0"), seconds=10)
