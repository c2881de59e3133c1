"""Which hosts get new keys, and what is shown of it: before, as a plan, and at the end.

How far a host is, it says itself (module strandline_identity); nothing else is kept that another run would need.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from strandline_fleet.errors import Refusal
from strandline_fleet.text import table

FRESH = dt.timedelta(days=1)
"""A certificate younger than this was made by the run that is being carried on."""

State = Mapping[str, Any]
"""What strandline_identity says of a host: step, begins, ends. Without a step the host could not be asked."""


def moment(text: str) -> dt.datetime:
    """A point in time as the operator writes it; without a zone it is UTC. Raises Refusal."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(f"rotate_made_before: {text!r} is no point in time. Write it as 2026-11-25T12:00.") from None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def due(states: Mapping[str, State], now: dt.datetime, made_before: str = "", days: int | None = None) -> list[str]:
    """The hosts to rotate: those half way, and those whose certificate is old enough, or ends within ``days``.

    Without either, a certificate is old enough after a day, so that a run which was stopped can be carried on. Raises
    Refusal for a ``made_before`` that is no point in time.
    """
    oldest = (moment(made_before) if made_before else now - FRESH).timestamp()
    latest = (now + dt.timedelta(days=days)).timestamp() if days is not None else None

    def wanted(state: State) -> bool:
        if state.get("step") in (None, "absent"):
            return False
        old = state["begins"] < oldest if latest is None else state["ends"] < latest
        return bool(state["step"] != "settled" or old)

    return [name for name, state in states.items() if wanted(state)]


def day(seconds: int) -> str:
    """A moment as it is shown: UTC, to the minute."""
    return f"{dt.datetime.fromtimestamp(seconds, dt.UTC):%Y-%m-%d %H:%M}"


def plan(states: Mapping[str, State], batches: Iterable[Sequence[str]]) -> str:
    """The plan as a table: which host comes when, the certificate that it has, and what about it is done already."""
    rows = [
        (number, name, day(state["begins"]), day(state["ends"]), "" if state["step"] == "settled" else state["step"])
        for number, batch in enumerate(batches, 1)
        for name in batch
        for state in [states[name]]
    ]
    said = [table(rows, ("batch", "host", "made", "ends", "half way"))] if rows else ["No certificate is due."]
    asked = {
        "Never provisioned, and left out": [name for name, state in states.items() if state.get("step") == "absent"],
        "No answer": [name for name, state in states.items() if "step" not in state],
    }
    said += [f"{what}: {', '.join(names)}." for what, names in asked.items() if names]
    return "\n".join(said)


def outcome(hosts: Iterable[str], variables: Mapping[str, Mapping[str, Any]], uninformed: Sequence[str] = ()) -> str:
    """What came of it, in a line for each host and a sentence for each thing that is left to do.

    ``variables`` are the hosts' (hostvars): rollout_done, rotate_switched, rollout_failed with the reason,
    rollout_unreachable.
    ``uninformed`` are peers that did not learn a collector's new certificate.
    """
    rows, left = [], []
    for name in hosts:
        own = variables[name]
        if own.get("rollout_failed"):
            rows.append((name, f"failed: {own['rollout_failed']}"))
        elif own.get("rollout_done"):
            rows.append((name, "new key"))
        elif own.get("rotate_switched"):
            rows.append((name, "switched, and its old certificate is trusted still"))
        elif own.get("rollout_unreachable"):
            rows.append((name, "no answer, left as it was"))
        else:
            rows.append((name, "not begun"))
            left.append(name)
    said = [table(rows, ("host", "outcome"))] if rows else []
    if left:
        said.append(f"Stopped. Not begun: {', '.join(left)}. To carry on, give the same command again.")
    if uninformed:
        said.append(
            "No answer, and uninformed of a collector's new certificate: "
            f"{', '.join(uninformed)}. Their events wait for playbooks/site.yml with --limit {','.join(uninformed)}."
        )
    return "\n".join(said)
