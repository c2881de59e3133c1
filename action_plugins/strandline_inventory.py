"""Action: checks an inventory before a run does anything, and holds off other runs. Documented in library/."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.inventory.manager import split_host_pattern
from ansible.plugins.action import ActionBase

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import lock, targets
from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.load import SETTINGS
from strandline_fleet.inventory.read import fleet_of

Variables = Mapping[str, Any]


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """Runs on the controller and contacts no host."""

    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Bring the inventory into the wanted state; see the documentation in library/strandline_inventory.py."""
        super().run(tmp, task_vars)
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "state": {"choices": list(STATES), "default": "checked"},
                "target": {"type": "raw", "default": ""},
                "among": {"type": "list", "elements": "str", "default": list(targets.FUNCTIONS)},
                "needs": {"type": "list", "elements": "str", "default": []},
                "lock": {"choices": ["none", *lock.KINDS], "default": "none"},
                "verb": {"type": "str", "default": "a playbook"},
            }
        )
        try:
            return STATES[arguments["state"]](self, arguments, task_vars or {})
        except Refusal as refusal:
            raise AnsibleActionFail(str(refusal)) from refusal


def settings_of(variables: Variables, action: ActionModule) -> dict[str, Any]:
    """The settings by which provider files are checked, as Ansible knows them: templated, and from a vault too."""
    return {name: action._templar.template(variables[name]) for name in SETTINGS if name in variables}


def checked(action: ActionModule, arguments: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Check every file, the --limit and the target; then take the lock."""
    groups: Mapping[str, list[str]] = variables["groups"]
    warnings: list[str] = []
    hosts = 0
    for directory in inventory_directories(variables):
        fleet = fleet_of(str(directory), settings_of(variables, action))
        warnings += map(str, fleet.problems)
        hosts += sum(1 for _ in fleet.hosts())
    limit = context.CLIARGS.get("subset")
    if wrong := targets.unmatched(split_host_pattern(limit) if limit else (), groups):
        raise Refusal(f"--limit names {', '.join(wrong)}, which is neither a host nor a group of this inventory.")
    chosen = targets.hosts_of(groups, arguments["target"], arguments["among"])
    in_limit = set(variables.get("ansible_play_hosts_all", ()))
    # Where others have to take part, a --limit is no way to say whom a run acts on.
    needed = [host for group in arguments["needs"] for host in groups.get(group, ())]
    if left_out := [host for host in dict.fromkeys(needed) if host not in in_limit]:
        raise Refusal(
            f"--limit leaves out {', '.join(left_out)}, which must take part in {arguments['verb']}. Name the hosts "
            "that it is to act on by -e target=HOST,... in place of --limit."
        )
    if arguments["target"] and (left_out := [host for host in chosen if host not in in_limit]):
        raise Refusal(f"target names {', '.join(left_out)}, and --limit leaves it out. Give one of the two.")
    if arguments["lock"] != "none" and not action._play_context.check_mode:
        lock.take(sources_of(variables), arguments["lock"], arguments["verb"])
    return {"changed": False, "hosts": hosts, "targets": chosen, "warnings": warnings}


def sources_of(variables: Variables) -> list[str]:
    """The inventory's files and folders, as given to ansible-playbook."""
    return [str(source) for source in variables.get("ansible_inventory_sources") or ()]


def inventory_directories(variables: Variables) -> list[Path]:
    """The folders of the inventory in which providers have files."""
    return [path for path in map(Path, sources_of(variables)) if (path / "providers").is_dir()]


STATES: Mapping[str, Callable[[ActionModule, dict[str, Any], Variables], dict[str, Any]]] = {"checked": checked}
