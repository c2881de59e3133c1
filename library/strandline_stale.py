#!/usr/bin/python
"""Ansible module: which services still run program code that an upgrade has replaced.

Why not Debian's needrestart: it would stay on every host as Perl with its libraries, hooked into every run of apt,
where it restarts services by itself unless it is told not to. To find stale scripts it runs interpreters as root over
what other accounts' processes name, which has been a way to become root (CVE-2024-48990 and its kin); what listens to
strangers here is such a process. A service of ours that runs a script is restarted by the role that installs the
script, so what is left to find is mapped program code, and the kernel tells that in a line of /proc/PID/maps. Whether a
new kernel waits is a comparison of two names (roles/system_upgrade/tasks/reboot.yml), and packages ask for a reboot by
/run/reboot-required.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_stale
short_description: Find the services that still run replaced program code
description:
  - dpkg puts a new file beside the old one and renames it. A process that runs goes on with the old file, which the
    kernel marks as deleted in C(/proc/PID/maps) (proc(5)). A security update takes effect only when these processes
    start anew.
options:
  keep:
    description: Names of units that are not to be restarted while the system runs, as shell patterns without ranges.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author: Strandline developers
"""
EXAMPLES = r"""
- name: Find services that run replaced code
  strandline_stale:
  register: stale
"""
RETURN = r"""
units:
  description: Units to restart, sorted.
  type: list
  returned: always
kept:
  description: Units that run replaced code and that only a reboot may end.
  type: list
  returned: always
init:
  description: Whether process 1 runs replaced code; C(systemctl daemon-reexec) renews it.
  type: bool
  returned: always
"""

# address, permissions with x, offset, device, inode, path: only program code counts, not a log that was rotated.
STALE = re.compile(r"^\S+ ..x. \S+ \S+ \S+\s+(/(?:usr|lib|lib64|bin|sbin|opt)/.*) \(deleted\)$", re.MULTILINE)


def runs_replaced_code(maps: str) -> bool:
    """Whether a process with these memory maps runs a file that has been replaced."""
    return STALE.search(maps) is not None


def unit_of(cgroup: str) -> str | None:
    """The service that a process belongs to, by its /proc/PID/cgroup (cgroups(7)); None for a session."""
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "name=systemd") and (found := re.findall(r"[^/]+\.service", path)):
            return str(found[-1])
    return None


def processes(proc: Path) -> Iterable[tuple[int, str, str]]:
    """Each process with its maps and its cgroup; those that end meanwhile are left out."""
    for entry in proc.iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "maps").read_text(errors="replace"), (entry / "cgroup").read_text()
            except OSError:
                continue


def matches(unit: str, patterns: Iterable[str]) -> bool:
    """Whether a unit's name fits one of the patterns, in which * stands for anything."""
    return any(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), unit) for pattern in patterns)


def find(proc: Path, keep: Iterable[str]) -> dict[str, Any]:
    """The answer for a /proc."""
    keep = tuple(keep)
    found = set()
    init = False
    for pid, maps, cgroup in processes(proc):
        if runs_replaced_code(maps):
            init = init or pid == 1
            unit = unit_of(cgroup)
            if unit and pid != 1:
                found.add(unit)
    kept = {unit for unit in found if matches(unit, keep)}
    return {"units": sorted(found - kept), "kept": sorted(kept), "init": init}


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={"keep": {"type": "list", "elements": "str", "default": []}}, supports_check_mode=True
    )
    module.exit_json(changed=False, **find(Path("/proc"), module.params["keep"]))


if __name__ == "__main__":
    main()
