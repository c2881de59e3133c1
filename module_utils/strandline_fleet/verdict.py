"""Whether every host is as it should be: what was measured, the sensors' last events and the canary in one answer.

The judgement of each check is in health.py; what a host says is escaped there.
"""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from strandline_fleet import health, text
from strandline_fleet.health import Finding, Row

FIGURES = ("clock", "certificate", "disk", "memory", "last event", "canary")
"""Checks whose findings of a host in which all is well are short enough for columns."""
Answer = Mapping[str, Any]


def known_certificate(directory: Path, name: str) -> str | None:
    """SHA-256 of the certificate by which the network knows a host; None when it knows none."""
    try:
        pem = (directory / f"{name}.pem").read_text(encoding="ascii")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    except (OSError, ValueError):
        return None


def last_events(answer: Answer) -> tuple[dict[str, float], str]:
    """Each sensor's last event (seconds since 1970) by the database's answer; without one, why it is unknown."""
    try:
        rows = json.loads(answer["stdout"])
        return {str(sensor): health.number(last) for sensor, last in rows.items()}, ""
    except (KeyError, ValueError, AttributeError):
        said = answer.get("stderr") or answer.get("msg") or "no answer"
        return {}, health.why_unreachable({"unreachable": True, "msg": said})


def rows_of(
    functions: Mapping[str, str],
    answers: Mapping[str, Answer],
    events: tuple[Mapping[str, float], str],
    canaries: Iterable[Mapping[str, Any]],
    certificates: Path,
    now: float,
) -> list[Row]:
    """Judge every host of ``functions`` (name: its group). ``answers`` are by host: ``measured`` and ``limits``.

    One that could not be asked still has what the database and the canary say of it.
    """
    last, unknown = events
    canary = {
        str(each["sensor"]): Finding(
            bool(each["ok"]), str(each["says"]), {"sent": each["sent"], "failed": each["failed"]}
        )
        for each in canaries
    }
    rows = []
    for name, function in functions.items():
        answer = answers.get(name) or {"measured": {"unreachable": True, "msg": "Ansible did not get to it"}}
        measured, limits = answer["measured"], answer.get("limits", {})
        unreachable = health.why_unreachable(measured)
        findings: dict[str, Finding] = {}
        if not unreachable:
            findings |= health.host_findings(measured, limits, now, known_certificate(certificates, name))
        if function == "sensors":
            if unknown:
                findings["last event"] = Finding(False, f"no database could be asked: {unknown}")
            elif "silent_hours" in limits:
                findings["last event"] = health.last_event(last.get(name), limits, now)
            findings["canary"] = canary.get(name, Finding(False, "not sent"))
        rows.append(Row(name, function, findings, unreachable))
    return rows


def table(rows: Sequence[Row]) -> str:
    """For the terminal: first the hosts that need attention, with every reason, then the others with their figures."""
    bad = [("✘", row.host, _reasons(row)) for row in sorted(rows, key=lambda row: not row.unreachable) if not row.ok]
    good = [
        ("✔", row.host, *(finding.says if (finding := row.findings.get(check)) else "" for check in FIGURES))
        for row in rows
        if row.ok
    ]
    tables = ([text.table(bad, ("", "host", "what is wrong"))] if bad else []) + (
        [text.table(good, ("", "host", *FIGURES))] if good else []
    )
    return "\n\n".join(tables)


def _reasons(row: Row) -> str:
    wrong = [f"{check}: {finding.says}" for check, finding in row.findings.items() if not finding.ok]
    return "; ".join([*([f"not reached: {row.unreachable}"] if row.unreachable else []), *wrong])


def sentence(rows: Sequence[Row]) -> str:
    """How it is, in a sentence."""
    wrong = [row.host for row in rows if not row.ok]
    if wrong:
        return f"{len(wrong)} of {len(rows)} hosts need attention: {', '.join(wrong)}. What to do: docs/verify.md"
    return f"All {len(rows)} hosts are as they should be."


def document(rows: Sequence[Row], inventory: str, now: float) -> dict[str, Any]:
    """What is written for programs."""
    return {
        "inventory": inventory,
        "time": now,
        "ok": all(row.ok for row in rows),
        "hosts": [
            {
                "host": row.host,
                "function": row.function,
                "ok": row.ok,
                "unreachable": row.unreachable or None,
                "checks": {
                    check: {"ok": finding.ok, "says": finding.says, **finding.figures}
                    for check, finding in row.findings.items()
                },
            }
            for row in rows
        ],
    }
