#!/usr/bin/python
"""Ansible module: a systemd unit that runs by the files as they are now."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: strandline_service
short_description: Have a systemd unit run, enabled, by the files as they are now
description:
  - Starts and enables the unit, restarts it when one of its files was changed after it was started, and reloads it
    when one that it reads anew was changed after it was started or reloaded.
  - M(ansible.builtin.systemd_service) in a handler restarts what the same run has changed. When a run is stopped
    between the change and its handlers, no later run makes up for it, and all of them end well. This module looks at
    the host.
options:
  name: {description: The unit., type: str}
  stopped:
    description: In place of O(name), units that are to be stopped and disabled where the host has them.
    type: list
    elements: str
  files:
    description: Files, and directories with all that is in them, which the unit reads when it starts, its own included.
    type: list
    elements: path
    default: []
  reload:
    description: The same for files that the unit reads anew when it is reloaded.
    type: list
    elements: path
    default: []
  stop:
    description: Units that can't run while this one is restarted. They are left stopped.
    type: list
    elements: str
    default: []
  check:
    description: Command that must succeed before anything is started, restarted or reloaded.
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
- name: Run the daemon
  strandline_service:
    name: example.service
    files: [/etc/systemd/system/example.service, /etc/example, /usr/lib/example]
    check: [/usr/sbin/example, --check]

- name: Stop what is not wanted any more
  strandline_service:
    stopped: [other.socket, other.service]
"""
RETURN = r"""
action:
  description:
    - What was done, or would be. One of C(started), C(restarted), C(reloaded), C(enabled), C(stopped), or nothing.
  type: str
  returned: always
units:
  description: The units that were stopped, or would be.
  type: list
  returned: with O(stopped)
because:
  description: The file that is newer than the running unit.
  type: str
  returned: always
"""
PROPERTIES = (
    "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "ActiveEnterTimestampMonotonic",
    "StateChangeTimestampMonotonic", "Id",
)  # fmt: skip
TOLERANCE = 0.05
"""Seconds by which the clock of a file system may be behind the other ones."""


class Refused(Exception):
    """What can't be done, in one sentence."""


def run(module: AnsibleModule, argv: Sequence[str]) -> str:
    """What a command prints. Raises Refused when it fails."""
    code, out, said = module.run_command(list(argv))
    if code != 0:
        raise Refused(f"{shlex.join(argv)} failed: {(said or out).strip()[-1000:]}")
    return str(out)


def look(module: AnsibleModule, unit: str) -> dict[str, str]:
    """What systemd says of a unit. Raises Refused."""
    out = run(module, ["systemctl", "show", f"--property={','.join(PROPERTIES)}", unit])
    return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)


def below(paths: Sequence[str]) -> Iterator[Path]:
    """The files, and those in directories, without what Python compiled, which is written when it is first used."""
    for path in map(Path, paths):
        if path.is_dir():
            yield from (one for one in path.rglob("*") if one.is_file() and one.suffix != ".pyc")
        elif path.exists():
            yield path


def newer(paths: Sequence[str], since: float) -> str:
    """The first file that was written after `since` (seconds since the epoch), or nothing.

    One from the future does not count: a clock was wrong then, and it would count in every run until that time.
    """
    now = time.time()
    for path in below(paths):
        # Not the time of the last write, which a package brings with it.
        if since + TOLERANCE < path.stat().st_ctime <= now:
            return str(path)
    return ""


def moment(found: dict[str, str], name: str) -> float:
    """A moment that systemd counted from boot, in seconds since the epoch by today's clock."""
    ago = time.clock_gettime(time.CLOCK_MONOTONIC) - int(found.get(f"{name}TimestampMonotonic") or 0) / 1e6
    return time.time() - ago


def needed(found: dict[str, str], files: Sequence[str], reload: Sequence[str]) -> tuple[str, str]:
    """What has to be done, in RETURN's words, and the file because of which."""
    if found.get("ActiveState") not in ("active", "reloading"):
        return "started", ""
    if because := newer(files, moment(found, "ActiveEnter")):
        return "restarted", because
    # A reload changes a unit's state, too, and leaves the time of its start.
    if because := newer(reload, moment(found, "StateChange")):
        return "reloaded", because
    return "", ""


def stop(module: AnsibleModule, units: Sequence[str]) -> dict[str, object]:
    """Stop and disable those of the units that the host has; say what that was. Raises Refused."""
    out = run(module, ["systemctl", "show", f"--property={','.join(PROPERTIES)}", *units]) if units else ""
    found = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n")]
    running = [
        unit["Id"]
        for unit in found
        if unit.get("LoadState") == "loaded"
        and (unit["ActiveState"] not in ("inactive", "failed") or unit["UnitFileState"] == "enabled")
    ]
    if running and not module.check_mode:
        run(module, ["systemctl", "disable", "--now", *running])
    return {"changed": bool(running), "action": "stopped" if running else "", "because": "", "units": running}


def settle(module: AnsibleModule) -> dict[str, object]:
    """Do what is needed; say what that was. Raises Refused."""
    unit = module.params["name"]
    found = look(module, unit)
    if not module.check_mode and (found.get("NeedDaemonReload") == "yes" or found.get("LoadState") == "not-found"):
        run(module, ["systemctl", "daemon-reload"])
        found = look(module, unit)
    action, because = needed(found, module.params["files"], module.params["reload"])
    enabled = found.get("UnitFileState") in ("enabled", "static", "generated", "alias", "indirect")
    if not module.check_mode:
        if action:
            if module.params["check"]:
                run(module, module.params["check"])
            if module.params["stop"] and action != "reloaded":
                run(module, ["systemctl", "stop", *module.params["stop"]])
            run(module, ["systemctl", "reload" if action == "reloaded" else "restart", unit])
        if not enabled:
            run(module, ["systemctl", "enable", unit])
    action = action or ("" if enabled else "enabled")
    return {"changed": bool(action), "action": action, "because": because}


def main() -> None:
    """Run as Ansible's module."""
    module = AnsibleModule(
        {
            "name": {"type": "str"},
            "stopped": {"type": "list", "elements": "str"},
            "files": {"type": "list", "elements": "path", "default": []},
            "reload": {"type": "list", "elements": "path", "default": []},
            "stop": {"type": "list", "elements": "str", "default": []},
            "check": {"type": "list", "elements": "str", "default": []},
        },
        mutually_exclusive=[("name", "stopped")],
        required_one_of=[("name", "stopped")],
        supports_check_mode=True,
    )
    try:
        unwanted = module.params["stopped"]
        result = settle(module) if unwanted is None else stop(module, unwanted)
    except (Refused, OSError, ValueError) as error:
        module.fail_json(msg=f"{module.params['name'] or 'units to stop'}: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
