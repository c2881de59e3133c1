"""Action: the units that run verbs by the clock. Documented in library/strandline_timers.py."""

from __future__ import annotations

import base64
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import text, timers
from strandline_fleet.errors import Refusal
from strandline_fleet.timers import Controller

ROOT = Path(__file__).resolve().parents[1]


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """Delegated to the controller, it writes nothing and contacts no other host."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Work out the units; see the documentation in library/strandline_timers.py."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "times": {"type": "dict", "default": {}},
                "remove": {"type": "bool", "default": False},
                "vault_password_file": {"type": "path"},
                "ssh_agent": {"type": "path"},
            }
        )
        try:
            controller = _controller(variables, arguments)
            times = {} if arguments["remove"] else timers.schedule(arguments["times"])
            units = timers.units(controller, times)
            installed = self._installed(controller, variables)
            if units:
                self._can_run_alone(controller, variables)
                _verified(units, times)
        except Refusal as refusal:
            raise AnsibleActionFail(str(refusal)) from refusal
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename or 'A file'}: {error.strerror or error}.") from error
        rows = [(each.verb, times[each.verb], each.what) for each in timers.CLOCKED if each.verb in times]
        return {
            "changed": False,
            "files": [
                {"dest": str(timers.UNIT_DIRECTORY / name), "content": content} for name, content in units.items()
            ],
            "timers": [name for name in units if name.endswith(".timer")],
            "obsolete": [name for name in installed if name not in units],
            "directory": str(timers.UNIT_DIRECTORY),
            "user": controller.user,
            "table": text.table(rows, ("verb", "when", "what")),
        }

    def _installed(self, controller: Controller, variables: Mapping[str, Any]) -> list[str]:
        """The inventory's units that are there. Raises Refusal for one of that name that is somebody else's."""
        wanted = {"paths": [str(timers.UNIT_DIRECTORY)], "patterns": timers.all_names(controller), "file_type": "any"}
        found = self._module("find", wanted, variables)["files"]
        for file in found:
            content = self._module("slurp", {"src": file["path"]}, variables)["content"]
            first = base64.b64decode(content).decode("utf-8", "replace").partition("\n")[0]
            timers.belongs_to(controller, file["path"], first)
        return [Path(file["path"]).name for file in found]

    def _module(self, name: str, asked: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        said = self._execute_module(f"ansible.legacy.{name}", module_args=dict(asked), task_vars=dict(variables))
        if said.get("failed") or said.get("unreachable"):
            raise Refusal(f"{timers.UNIT_DIRECTORY} can't be read: {said.get('msg', 'no reason is given')}")
        return dict(said)

    def _can_run_alone(self, controller: Controller, variables: Mapping[str, Any]) -> None:
        """Raise Refusal where a run without anybody could not decrypt the inventory or enter the hosts."""
        if not controller.vault_password_file and (files := timers.encrypted(controller.inventory)):
            raise Refusal(
                f"{files[0]} is encrypted, and nobody is there to type the password when a timer runs. Put it into a"
                " file that only you can read (chmod 600), or have a program print it, and name that:"
                " --vault-password-file FILE. docs/timers.md"
            )
        if controller.ssh_agent:
            return
        named, unnamed = self._keys(variables)
        if why := timers.usable_keys(named, _tried_by_ssh(unnamed) if unnamed else ()):
            raise Refusal(
                f"No host could be entered when a timer runs and nobody is there: {why}. Name an ssh agent that is"
                " always there (--ssh-agent SOCKET), or a key without a passphrase for this machine alone"
                " (ansible_ssh_private_key_file). docs/timers.md"
            )

    def _keys(self, variables: Mapping[str, Any]) -> tuple[list[Path], str]:
        """The keys that the inventory names for its hosts, and the address of a host for which it names none."""
        named: dict[Path, None] = {}
        unnamed = ""
        for name in variables["groups"]["all"]:
            host = variables["hostvars"][name]
            if host.get("ansible_connection", "ssh") not in ("ssh", "smart", "paramiko", "ansible.builtin.ssh"):
                continue
            if key := host.get("ansible_ssh_private_key_file") or host.get("ansible_private_key_file"):
                named[Path(str(key)).expanduser()] = None
            elif not host.get("ansible_password") and not host.get("ansible_ssh_pass"):
                unnamed = unnamed or str(host.get("ansible_host") or name)
        return list(named), unnamed


def _controller(variables: Mapping[str, Any], arguments: Mapping[str, Any]) -> Controller:
    sources = [Path(str(source)) for source in variables.get("ansible_inventory_sources") or ()]
    if len(sources) != 1 or not sources[0].exists():
        raise Refusal("Timers are for one inventory: -i inventory/production. Run this once for each.")
    given = [arguments["vault_password_file"], *(context.CLIARGS.get("vault_password_files") or ())]
    given.append(os.environ.get("ANSIBLE_VAULT_PASSWORD_FILE"))
    vault = next((Path(str(path)) for path in given if path), None)
    folders = {
        field: Path(value).resolve() if (value := os.environ.get(variable)) else None
        for field, variable in (
            ("cache", "STRANDLINE_CACHE"),
            ("build", "STRANDLINE_BUILD"),
            ("state", "XDG_STATE_HOME"),
        )
    }
    controller = Controller(
        clone=ROOT,
        inventory=sources[0].resolve(),
        user=pwd.getpwuid(os.geteuid()).pw_name,
        vault_password_file=_absolute(vault),
        ssh_agent=_absolute(Path(arguments["ssh_agent"])) if arguments["ssh_agent"] else None,
        **folders,
    )
    for what, path in (("vault's password file", controller.vault_password_file), ("ssh agent", controller.ssh_agent)):
        if path and not arguments["remove"] and not os.access(path, os.R_OK):
            raise Refusal(
                f"The {what} {path} is not there, or {controller.user} can't read it. Name one that is there."
            )
    return controller


def _absolute(path: Path | None) -> Path | None:
    return path and Path(os.path.abspath(path.expanduser()))


def _tried_by_ssh(address: str) -> Iterator[Path]:
    """The keys that ssh tries for an address, by its configuration."""
    done = subprocess.run(["ssh", "-G", address], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        word, _, value = line.partition(" ")
        if word == "identityfile":
            yield Path(value).expanduser()


def _verified(units: Mapping[str, str], times: Mapping[str, str]) -> None:
    """Have systemd look at the times and units. Raises Refusal with what it says."""
    for verb, when in times.items():
        done = subprocess.run(["systemd-analyze", "calendar", when], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refusal(
                f"fleet_timers.{verb}: {when!r} is no time that systemd knows. Write for example"
                f' "*-*-* 05:30:00" (man systemd.time): {done.stderr.strip().splitlines()[0]}'
            )
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in units]
        for path in paths:
            path.write_text(units[path.name], encoding="utf-8")
        verify = ["systemd-analyze", "verify", *map(str, paths)]
        done = subprocess.run(verify, capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if folder in line or "strandline-" in line]
    if done.returncode and said:
        raise Refusal(f"systemd refuses the units: {'; '.join(said)}")
