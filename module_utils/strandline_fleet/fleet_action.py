"""What the actions share that work something out from an inventory: they read it, and refuse what it says wrongly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.load import SETTINGS
from strandline_fleet.inventory.model import Fleet
from strandline_fleet.inventory.read import fleet_of


class FleetAction(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """Runs on the controller and contacts no host of the fleet."""

    OPTIONS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Options besides `inventory`, as Ansible's argument specifications describe them."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the inventory and return what follows from it; a Refusal or OSError becomes the task's failure."""
        super().run(tmp, task_vars)
        self.variables: Mapping[str, Any] = task_vars or {}
        _, arguments = self.validate_argument_spec(
            argument_spec={"inventory": {"type": "path", "required": True}, **self.OPTIONS}
        )
        try:
            settings = {
                name: self._templar.template(self.variables[name]) for name in SETTINGS if name in self.variables
            }
            fleet = fleet_of(arguments["inventory"], settings)
            return {"changed": False, **self.result(fleet, arguments)}
        except Refusal as refusal:
            raise AnsibleActionFail(str(refusal)) from refusal
        except OSError as error:
            raise AnsibleActionFail(f"{error.filename or 'A file'}: {error.strerror or error}.") from error

    def result(self, fleet: Fleet, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the task's result; `changed` is false unless it says otherwise. Raises Refusal and OSError."""
        raise NotImplementedError
