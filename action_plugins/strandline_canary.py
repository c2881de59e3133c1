"""Action: marked events through sensors' listeners, found in the database. Documented in library/."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "files"))

from strandline.event import catalogue
from strandline_fleet import canary, health, probes
from strandline_fleet.probes import Probe

PAUSE = 0.5  # seconds between two looks into the database


class DatabaseUnknown(Exception):
    """The database could not be asked; the text says why."""


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """Sends from the controller; the task's host, which it may be delegated to, has the database."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send, wait, forget; see the documentation in library/strandline_canary.py."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _, arguments = self.validate_argument_spec(
            argument_spec={
                "sensors": {"type": "list", "elements": "str", "required": True},
                "psql": {"type": "list", "elements": "str", "required": True},
                "seconds": {"type": "float", "default": 30.0},
                "required": {"type": "bool", "default": True},
            }
        )
        names = list(dict.fromkeys(arguments["sensors"]))
        try:
            wanted = canary.wanted({name: _entry(variables, name) for name in names}, catalogue.load())
        except ValueError as error:
            raise AnsibleActionFail(f"strandline_canary: {error}") from error
        if self._play_context.check_mode:
            return _plan(names, wanted)
        return self._played(names, wanted, arguments, variables)

    def _played(
        self, names: Sequence[str], wanted: Sequence[Probe], arguments: Mapping[str, Any], variables: Mapping[str, Any]
    ) -> dict[str, Any]:
        self._display.vv(f"strandline_canary: sends {len(wanted)} marked events to {', '.join(names)}")
        sent = canary.send_all(wanted)
        expected = sum(not each.failure for each in sent)
        rows: list[dict[str, Any]] = []
        forgotten, unknown, left = 0, "", ""
        if wanted:
            try:
                rows = self._rows(wanted, expected, arguments, variables)
            except DatabaseUnknown as error:
                unknown = f"no database to look into: {error}"
            # Also when some are missing: what did arrive must not bring the operator into a feed.
            try:
                forgotten = self._forget(wanted, arguments, variables)
            except DatabaseUnknown as error:
                left = (
                    f"The sightings that the canary caused could not be removed ({error}): feeds may name this machine."
                )
        outcomes = canary.outcome(names, sent, rows, unknown)
        lost = [outcome["sensor"] for outcome in outcomes if not outcome["ok"]]
        failed = sum(outcome["failed"] for outcome in outcomes)
        if unknown:
            says = f"{unknown}. So it is unknown whether the {len(sent)} marked events arrived."
        elif lost:
            says = f"{failed} of {len(sent)} marked events did not arrive, of {', '.join(lost)}."
        else:
            says = f"All {len(sent)} marked events were found in the database."
        if lost:
            says += " What to do: docs/canary.md"
        return {
            "changed": forgotten > 0,
            "failed": bool(lost or left) and arguments["required"],
            "msg": f"{says} {left}".strip(),
            "warnings": [left] if left else [],
            "ok": not lost,
            "database": not unknown,
            "lost": lost,
            "sensors": outcomes,
            "table": canary.table(outcomes),
            "forgotten": forgotten,
        }

    def _rows(
        self, wanted: Sequence[Probe], expected: int, arguments: Mapping[str, Any], variables: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """Wait until the database holds the expected number of events, or time is up; return those it has."""
        until = time.monotonic() + arguments["seconds"]
        query = probes.query(wanted)
        while True:
            answer = self._psql(arguments["psql"], query, variables)
            try:
                rows = probes.rows_of(answer)
            except ValueError as error:
                raise DatabaseUnknown(f"it answered {health.escaped(answer)}") from error
            if len(rows) >= expected or time.monotonic() >= until:
                return rows
            time.sleep(PAUSE)

    def _forget(self, wanted: Sequence[Probe], arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> int:
        """Take the sightings out of the database; return how many went."""
        answer = self._psql(arguments["psql"], probes.forget(wanted), variables).strip()
        if not answer.isdecimal():
            raise DatabaseUnknown(f"it answered {health.escaped(answer)}")
        return int(answer)

    def _psql(self, command: Sequence[str], statements: str, variables: Mapping[str, Any]) -> str:
        """Have the database's host run statements; return what they print. Raises DatabaseUnknown."""
        # A directory that the database's account may enter.
        asked = {"argv": list(command), "stdin": statements, "chdir": "/"}
        try:
            said = self._execute_module("ansible.legacy.command", module_args=asked, task_vars=dict(variables))
        except AnsibleConnectionFailure as error:
            said = {"unreachable": True, "msg": str(error)}
        if said.get("unreachable") or said.get("failed") or said.get("rc"):
            why = health.why_unreachable({"unreachable": True, "msg": said.get("stderr") or said.get("msg")})
            raise DatabaseUnknown(why)
        return str(said.get("stdout", ""))


def _entry(variables: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What the inventory says of a sensor, as far as the canary needs it."""
    known = variables["hostvars"]
    if name not in known:
        raise AnsibleActionFail(f"strandline_canary: {name} is no host of this inventory.")
    host = known[name]
    if not host.get("addresses"):
        raise AnsibleActionFail(f"strandline_canary: {name} has no addresses in the inventory.")
    return {"addresses": list(host["addresses"]), "fleet_listeners": host.get("fleet_listeners")}


def _plan(names: Sequence[str], wanted: Sequence[Probe]) -> dict[str, Any]:
    """What check mode answers: what would be sent where."""
    sensors = [
        {
            "sensor": name,
            "ok": True,
            "says": f"{len(planned)} would be sent",
            "sent": 0,
            "failed": 0,
            "probes": [
                {"listener": p.listener, "address": p.address, "port": p.port, "proto": p.proto, "event": p.event}
                for p in planned
            ],
        }
        for name in names
        for planned in [[probe for probe in wanted if probe.sensor == name]]
    ]
    lines = [f"{len(wanted)} marked events would be sent:"]
    lines += [f"{probe.sensor}: {probe.address} {probe.listener} {probe.port}/{probe.proto}" for probe in wanted]
    said = "\n".join(lines)
    return {"changed": False, "msg": lines[0][:-1], "ok": True, "database": True, "lost": [], "sensors": sensors,
            "table": said, "forgotten": 0}  # fmt: skip
