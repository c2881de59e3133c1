"""What could be done by whoever had taken over one of our services, tried on each host in the confinement of each."""

from __future__ import annotations

import re
import shlex

from machines import Machine

# Exit status 0 and the names of what was possible. None of it takes a right that root in a container lacks.
TRY = """
import ctypes, mmap, os, tempfile
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "refused")
def make_executable_memory(): mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
def make_a_setuid_file():
    with tempfile.NamedTemporaryFile() as file: os.chmod(file.name, 0o4755)
def change_personality(): must(libc.personality(0x0008))
def enter_a_namespace(): must(libc.unshare(0x10000000))
def read_the_homes(): os.listdir("/root")
def write_the_programs(): open("/usr/lib/strandline/probe", "wb")
def write_the_configuration(): open("/etc/strandline/probe", "wb")
def gain_privileges():
    if "NoNewPrivs:\\t1" not in open("/proc/self/status").read(): return
    raise OSError
found = []
for attempt in (make_executable_memory, make_a_setuid_file, change_personality, enter_a_namespace, read_the_homes,
                write_the_programs, write_the_configuration, gain_privileges):
    try:
        attempt()
    except (OSError, MemoryError):
        continue
    found.append(attempt.__name__)
print("possible:", *found)
"""
ALL = {
    *("make_executable_memory", "make_a_setuid_file", "change_personality", "enter_a_namespace", "read_the_homes"),
    *("write_the_programs", "write_the_configuration", "gain_privileges"),
}
# What a unit says of its confinement. Not NoExecPaths: Python itself could not run. Not RemoveIPC: the services run.
CONFINING = re.compile(
    r"(?:Protect|Private|Restrict|SystemCall|Capability|Device)\w+|NoNewPrivileges|LockPersonality|MemoryDenyWriteExecute|UMask"
    r"|KeyringMode|LimitCORE|ProcSubset|User|Group|DynamicUser|SupplementaryGroups|AmbientCapabilities"
)
SERVICES = """
systemctl list-unit-files --type=service --no-legend --plain | cut -d' ' -f1 |
    grep -E '^(strandline-.*|syslog-ng|named)[.]service$'
"""

# The guard puts back firewall and sshd early in the boot; the other one is the container's, not ours.
UNCONFINED = {"strandline-guard.service", "strandline-addresses.service"}


def possible(host: Machine, properties: list[str]) -> set[str]:
    """What the program could do under a service with these properties."""
    confined = [f"--property={each}" for each in properties]
    said = host.check("systemd-run", "--quiet", "--wait", "--pipe", *confined, "/usr/bin/python3", "-c", TRY)
    return set(said.partition("possible:")[2].split())


def confinement(host: Machine, unit: str) -> list[str]:
    """The lines of a unit and its drop-ins that confine it."""
    lines = host.check("systemctl", "cat", "--no-pager", unit).splitlines()
    return [line for line in lines if CONFINING.fullmatch(line.partition("=")[0]) and "=" in line]


def test_root_can_do_all_of_it(anyhost: Machine) -> None:
    """Or the next test would show nothing."""
    assert possible(anyhost, []) == ALL


def test_none_of_it_is_left_to_a_service(anyhost: Machine) -> None:
    units = [unit for unit in anyhost.check("sh", "-c", SERVICES).split() if unit not in UNCONFINED]
    assert len(units) >= 1
    found = {unit: possible(anyhost, confinement(anyhost, unit)) for unit in units}
    assert found == {unit: set() for unit in units}, shlex.join(units)
