"""`./strandline verify`: is every host as it should be? One table; each wrong cell says why."""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text
from strandline_fleet import health, probes
from strandline_fleet.health import Finding, Row
from strandline_fleet.inventory.read import fleet_of

from strandline_cli import paths, verbs
from strandline_cli.errors import StepFailed
from strandline_cli.fleet import canary, listing
from strandline_cli.fleet.listing import Entry
from strandline_cli.progress import Progress

DATABASE = ".database.json"
Answer = Mapping[str, Any]
Answers = dict[str, Answer]


def known_certificate(directory: Path, name: str) -> str | None:
    """SHA-256 of the certificate by which the network knows a host; None when it knows none."""
    try:
        text = (directory / f"{name}.pem").read_text(encoding="ascii")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()
    except (OSError, ValueError):
        return None


def measure(progress: Progress, inventory: str, hosts: Sequence[Entry]) -> tuple[Answers, Answers]:
    """Have the hosts measured and the collectors asked: answers by host, and by collector. Raises StepFailed."""
    with tempfile.TemporaryDirectory(prefix="strandline-") as directory:
        variables = {"verify_hosts": [host.name for host in hosts], "verify_result_dir": directory}
        with progress.step("hosts", f"Measure {len(hosts)} hosts, and ask for the sensors' last events") as step:
            extra = [f"--extra-vars={json.dumps(variables)}"]
            code = verbs.play(step, paths.PLAYBOOKS / "verify.yml", [inventory], extra, check=False)
            files = sorted(Path(directory).glob("*.json"))
            step.check(bool(files), f"no host could be asked (ansible-playbook ended with {code})")
            answers = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in files}
    databases = {name.removesuffix(DATABASE): said for name, said in answers.items() if name.endswith(DATABASE)}
    measured = {name.removesuffix(".json"): said for name, said in answers.items() if not name.endswith(DATABASE)}
    return measured, databases


def last_events(databases: Mapping[str, Answer]) -> tuple[dict[str, float], str]:
    """Each sensor's last event (seconds since 1970), and why it is unknown where no database answered."""
    found, reasons = [], []
    for name, answer in databases.items():
        try:
            rows = json.loads(answer["stdout"])
            found.append({str(sensor): health.number(last) for sensor, last in rows.items()})
        except (KeyError, ValueError, AttributeError):
            said = answer.get("msg") or answer.get("stderr") or "no answer"
            reasons.append(f"{name}: {health.escaped(' '.join(str(said).split()))}")
    return health.seen(found), "" if found else "; ".join(reasons) or "no collector was asked"


def send_canary(progress: Progress, inventory: str, sensors: Sequence[Entry]) -> dict[str, Finding]:
    """Send marked events through every listener of the sensors and look for them; a finding for each sensor."""
    wanted = canary.wanted_of(sensors)
    sent, unsent = canary.send_off(progress, wanted)
    try:
        rows, _ = canary.look(progress, inventory, wanted, len(sent) - unsent)
    except StepFailed as failure:
        return {sensor.name: Finding(False, f"no database to look into: {failure}") for sensor in sensors}
    return canary_findings(sensors, sent, rows)


def canary_findings(
    sensors: Sequence[Entry], sent: Sequence[canary.Sent], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Finding]:
    """What became of each sensor's marked events. The reasons are ours: nothing of a host's text is in them."""
    found = probes.match((each.probe for each in sent), rows)
    wrong: dict[str, dict[str, list[str]]] = {sensor.name: {} for sensor in sensors}
    for each in sent:
        if each.failure or found[each.probe] is None:
            many = len({other.probe.address for other in sent if other.probe.sensor == each.probe.sensor}) > 1
            where = f"{each.probe.address} " if many else ""
            reason = each.failure or "answered, and no event came"
            listener = f"{where}{each.probe.listener} {each.probe.port}/{each.probe.proto}"
            wrong[each.probe.sensor].setdefault(reason, []).append(listener)
    findings = {}
    for name, reasons in wrong.items():
        count = sum(each.probe.sensor == name for each in sent)
        failed = sum(map(len, reasons.values()))
        says = "; ".join(f"{health.some(listeners)}: {reason}" for reason, listeners in reasons.items())
        figures = {"sent": count, "failed": failed}
        findings[name] = Finding(not failed, says or f"{count} of {count}", figures)
    return findings


def rows_of(
    hosts: Sequence[Entry],
    answers: Mapping[str, Answer],
    events: tuple[Mapping[str, float], str],
    canaries: Mapping[str, Finding],
    certificates: Path,
    now: float,
) -> list[Row]:
    """Judge every host. One that could not be asked still has what the database and the canary say of it."""
    last, unknown = events
    rows = []
    for host in hosts:
        answer = answers.get(host.name, {"measured": {"unreachable": True, "msg": "Ansible did not get to it"}})
        measured = answer["measured"]
        unreachable = health.why_unreachable(measured)
        findings: dict[str, Finding] = {}
        limits = answer.get("limits", {})
        if not unreachable:
            known = known_certificate(certificates, host.name)
            findings |= health.host_findings(measured, limits, now, known)
        if host.function == "sensors":
            if unknown:
                findings["last event"] = Finding(False, f"no database could be asked: {unknown}")
            elif "silent_hours" in limits:
                findings["last event"] = health.last_event(last.get(host.name), limits, now)
            findings["canary"] = canaries.get(host.name, Finding(False, "not sent"))
        rows.append(Row(host.name, host.function, findings, unreachable))
    return rows


def table_of(rows: Sequence[Row]) -> Table:
    """The table to show. Texts, never markup: what a host says must not colour or link anything."""
    table = Table(padding=(0, 1), show_lines=True, expand=False)
    table.add_column("host", no_wrap=True)
    checks = (*health.HOST_CHECKS, *health.SENSOR_CHECKS)
    for check in checks:
        table.add_column(check, overflow="fold", max_width=34)
    for row in rows:
        cells = [_cell(row.findings.get(check)) for check in checks]
        if row.unreachable:
            cells[0] = Text(f"✘ not reached: {row.unreachable}", style="red")
        table.add_row(Text(row.host, style="" if row.ok else "red"), *cells)
    return table


def _cell(finding: Finding | None) -> Text:
    if finding is None:
        return Text("")
    return Text(f"{'✔' if finding.ok else '✘'} {finding.says}", style="" if finding.ok else "red")


def document(rows: Sequence[Row], inventory: str, now: float) -> dict[str, Any]:
    """What --json writes."""
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


@click.command("verify", short_help="Check every host, and send a marked event through every listener.")
@click.option("-i", "--inventory", required=True, help="The network: inventory/production.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the findings there.")
@click.argument("names", nargs=-1, metavar="[HOST…]")
def verify(inventory: str, json_file: Path | None, names: tuple[str, ...]) -> None:
    """Check the hosts HOST… or all of them: is each as it should be?

    A marked event through every listener from outside, the clock, the certificate, disk, memory, Debian's updates, what
    listens, and each sensor's last event in the database. Changes nothing. Exit status 1 when anything is wrong.
    """
    fleet_of(inventory)
    place = verbs.inventory_path(inventory)
    progress = Progress("verify")
    verbs.prepare_ansible(progress)
    hosts = listing.chosen(listing.of(place), names)
    sensors = [host for host in hosts if host.function == "sensors"]
    answers, databases = measure(progress, place, hosts)
    canaries = send_canary(progress, place, sensors) if sensors else {}
    now = time.time()
    rows = rows_of(hosts, answers, last_events(databases), canaries, Path(place) / "certificates", now)
    if json_file:
        json_file.write_text(json.dumps(document(rows, inventory, now), indent=2) + "\n", encoding="utf-8")
    console = Console(
        file=sys.stdout, highlight=False, markup=False, width=None if sys.stdout.isatty() else canary.TABLE_WIDTH
    )
    console.print(table_of(rows))
    wrong = [row.host for row in rows if not row.ok]
    if wrong:
        need = f"{len(wrong)} of {len(rows)} hosts need attention: {', '.join(wrong)}."
        console.print(f"{need} What to do: docs/verify.md")
        sys.exit(1)
    console.print(f"All {len(rows)} hosts are as they should be.")
