"""`./strandline bench ingest`: the article's sql() and our loader, side by side, over TLS, with the same messages."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from strandline_cli import paths
from strandline_cli.bench import figures, machine, network
from strandline_cli.bench.account import account
from strandline_cli.bench.archive import archive
from strandline_cli.bench.figures import Round
from strandline_cli.bench.listeners import listeners
from strandline_cli.bench.network import AGAINST, AREA, ARTICLE, OURS, SENDER
from strandline_cli.bench.publish import publish
from strandline_cli.bench.site import site
from strandline_cli.errors import StepFailed
from strandline_cli.progress import Progress, Step

RESULT = network.BUILD / "ingest.json"
PATIENCE = 30  # seconds without a new row after which a side counts as done
SIDE = {ARTICLE: "article", OURS: "strandline", AGAINST: "against"}
# What the events of all rounds take, indexes and free space included, by what was stored.
BYTES = """
    SELECT sum(pg_total_relation_size(i.inhrelid)) / nullif((SELECT sum(stored) FROM strandline.tally), 0)
    FROM pg_inherits i
    WHERE i.inhparent IN (to_regclass('strandline.event_row'), to_regclass('strandline.event_before'))
"""
LOADER = "strandline-loader.service"
NEVER = 900.0  # seconds: whatever takes longer hangs


def run_name(number: int) -> str:
    """A run's name as a sensor makes it: microseconds since 1970, and four hex digits."""
    return f"{int(time.time() * 1_000_000)}-{number & 0xFFFF:04x}"


def output(step: Step, process: subprocess.Popen[str], what: str) -> str:
    """Wait for a program in a container; what it printed. Raises StepFailed."""
    said, wrong = process.communicate(timeout=NEVER)
    with step.log.open("a") as log:
        log.write(f"\n{what}: {said}{wrong}")
    step.check(process.returncode == 0, f"{what} ended with {process.returncode}")
    return said


def start(container: str, *argv: str) -> subprocess.Popen[str]:
    """Start a program in a container."""
    return subprocess.Popen(
        ["podman", "exec", container, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def watched(step: Step, side: str, run: str, count: int) -> subprocess.Popen[str]:
    """Start the watcher in a collector's container, and wait until it watches."""
    process = start(
        side,
        "python3",
        "/root/watch.py",
        "article" if side == ARTICLE else "strandline",
        run,
        str(count),
        str(PATIENCE),
    )
    said = process.stdout.readline() if process.stdout else ""
    step.check(said == "ready\n", f"the watcher on {side} did not start")
    return process


def send(step: Step, side: str, run: str, count: int) -> dict[str, Any]:
    """Send messages to one side; what the sender printed."""
    known = network.addresses("collectors") | network.addresses("articles") | {AGAINST: network.AGAINST_ADDRESS}
    address = known[side]
    said = output(step, start(SENDER, "python3", f"{AREA}/send.py", AREA, address, run, str(count)), "send.py")
    found: dict[str, Any] = json.loads(said)
    return found


def one_round(step: Step, side: str, number: int, count: int) -> Round:
    """Send to one side and wait until its database has everything."""
    run = run_name(number)
    watcher = watched(step, side, run, count)
    sent = send(step, side, run, count)
    return figures.round_of(SIDE[side], sent, json.loads(output(step, watcher, "watch.py")))


def backlog_round(step: Step, number: int, count: int) -> Round:
    """Let the parsed spool fill while the loader is stopped, then start it."""
    run = run_name(number)
    network.inside(step, OURS, "systemctl", "stop", LOADER)
    sent = send(step, OURS, run, count)
    wait_for_spool(run, int(sent["sent"]))
    watcher = watched(step, OURS, run, count)
    began = time.time()
    network.inside(step, OURS, "systemctl", "start", LOADER)
    return figures.round_of("strandline", sent, json.loads(output(step, watcher, "watch.py")), began)


def wait_for_spool(run: str, count: int) -> None:
    """Wait until every message of a run is in the parsed spool."""
    counting = f"cat /var/spool/strandline/parsed/*.log | grep -c {run}"
    end = time.monotonic() + 120
    while time.monotonic() < end:
        said = subprocess.run(
            ["podman", "exec", OURS, "sh", "-c", counting], capture_output=True, text=True, check=False
        )
        if said.stdout.strip() == str(count):
            return
        time.sleep(1)
    raise StepFailed(f"of {count} messages only {said.stdout.strip()} came to the spool")


def bytes_per_event(step: Step) -> float:
    """What an event takes in our database. Raises StepFailed."""
    argv = ["podman", "exec", OURS, "psql", "-XAtq", "-U", "postgres", "-d", "strandline", "-c", BYTES]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    step.check(done.returncode == 0, f"psql ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return round(float(done.stdout), 1)


def measure(
    progress: Progress, count: int, large: int, rounds: int, sources: int, against: str | None = None
) -> dict[str, Any]:
    """All rounds; return the result."""
    with progress.step("machine", "See how fast this machine is") as step:
        about = machine.calibrate(step)
        before = machine.times()
    with progress.step("messages", f"Write {large:,} messages from {sources:,} sources") as step:
        pairs = [f"{name}:{address}" for name, address in network.addresses("sensors").items()]
        network.inside(step, SENDER, "python3", f"{AREA}/messages.py", AREA, str(large), str(sources), *pairs)
    article: list[Round] = []
    ours: list[Round] = []
    other: list[Round] = []
    turns = [(ARTICLE, article), (OURS, ours), *([(AGAINST, other)] if against else [])]
    for number in range(rounds):
        for turn, (side, taken) in enumerate(turns):
            with progress.step(f"{SIDE[side]}-{number + 1}", f"{count:,} messages to {side}") as step:
                taken.append(one_round(step, side, len(turns) * number + turn, count))
                step.say(f"{taken[-1].rows_per_s:,.0f} rows/s")
    with progress.step("steady", f"{large:,} messages to {OURS}, as they come") as step:
        steady = one_round(step, OURS, 1000, large)
        step.say(f"{steady.rows_per_s:,.0f} rows/s")
    with progress.step("backlog", f"{large:,} messages out of the spool") as step:
        backlog = backlog_round(step, 1001, large)
        step.say(f"{backlog.rows_per_s:,.0f} rows/s")
        size = bytes_per_event(step)
    asked = {"messages": count, "large": large, "rounds": rounds, "sources": sources, "against": against}
    spread = {"sql": figures.spread(article), "ours": figures.spread(ours)}
    if other:
        spread["against"] = figures.spread(other)
    about["steal_percent"] = machine.steal(before, machine.times())
    found = figures.result(article, ours, steady, backlog, other)
    return {"asked": asked, "machine": about, "spread": spread, "bytes_per_event": size} | found


def show(result: dict[str, Any]) -> None:
    """Print what matters."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "rows/s", "rounds", "CPU µs a row"):
        table.add_column(heading)

    def spent(by_process: dict[str, float]) -> str:
        return ", ".join(f"{name} {value}" for name, value in by_process.items())

    spread = result["spread"]
    table.add_row(
        "sql(), as in the article", f"{result['sql_rows_per_s']:,}", spread["sql"], spent(result["sql_cpu_us_per_row"])
    )
    if "against" in spread:
        table.add_row(
            f"revision {result['asked']['against'][:12]}",
            f"{result['against_rows_per_s']:,}",
            spread["against"],
            spent(result["against_cpu_us_per_row"]),
        )
    table.add_row("strandline", f"{result['rows_per_s']:,}", spread["ours"], spent(result["cpu_us_per_row"]))
    table.add_row("strandline, steady", f"{result['steady_rows_per_s']:,}", "1", spent(result["steady_cpu_us_per_row"]))
    table.add_row(
        "strandline, backlog", f"{result['backlog_rows_per_s']:,}", "1", spent(result["backlog_cpu_us_per_row"])
    )
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    sums = [f"ours {result['cpu_us_per_row_together']}", f"sql() {result['sql_cpu_us_per_row_together']}"]
    if "against" in spread:
        sums.append(f"the other revision {result['against_cpu_us_per_row_together']}")
    console.print(
        f"CPU µs a row together: {', '.join(sums)}. Bytes an event in the database: {result['bytes_per_event']}"
    )
    about = result["machine"]
    console.print(
        f"This machine: {about['pcre_matches_per_s']:,} PCRE matches/s, {about['fsyncs_per_s']:,} fsyncs/s, "
        f"steal {about['steal_percent']} %, clock {about['clock']} ({about['clock_read_ns']} ns), "
        f"{about['cpus']} x {about['cpu']}."
    )
    console.print(
        f"Ratio {result['ratio']}. Ours: {result['missing']} missing, {result['duplicate']} twice; "
        f"the loader's peak memory {result['loader_peak_mib']} MiB. sql(): {result['sql_missing']} missing."
    )
    console.print(f"Everything: {paths.shown(RESULT)}")


@click.command("ingest", short_help="From TLS to committed rows: the article's sql() and ours.")
@click.option(
    "--messages",
    "count",
    type=click.IntRange(1_000, 10_000_000),
    default=100_000,
    show_default=True,
    help="In each round that alternates.",
)
@click.option(
    "--large",
    type=click.IntRange(1_000, 50_000_000),
    default=500_000,
    show_default=True,
    help="In the steady round and the backlog.",
)
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option(
    "--sources",
    type=click.IntRange(1, 1_000_000),
    default=20_000,
    show_default=True,
    help="Addresses that the messages come from.",
)
@click.option(
    "--against", metavar="REV", help="Another revision of this clone, whose collector takes its turns as well."
)
@click.option("--keep", is_flag=True, help="Leave the containers for another run.")
def ingest(count: int, large: int, rounds: int, sources: int, against: str | None, keep: bool) -> None:
    """Send the same messages over TLS to the article's sql() and to our collector, and count committed rows.

    Takes about six minutes on two cores. Whatever else the machine does meanwhile is in the figures: trust the CPU a
    row more than the rows a second.
    """
    if large < count:
        raise click.UsageError("--large must be at least --messages: the rounds take the first of the same messages")
    progress = Progress("bench")
    commit = None if against is None else network.commit_of(against)
    network.check()
    network.BUILD.mkdir(parents=True, exist_ok=True)
    try:
        network.up(progress, commit)
        result = measure(progress, count, large, rounds, sources, commit)
        network.write(RESULT, result)
    finally:
        if not keep:
            network.down(progress)
    show(result)


@click.group("bench")
def bench() -> None:
    """Measure speed and memory, side by side in one run."""


bench.add_command(ingest)
bench.add_command(account)
bench.add_command(archive)
bench.add_command(listeners)
bench.add_command(publish)
bench.add_command(site)
