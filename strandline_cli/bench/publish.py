"""`./strandline bench publish`: what 17 feeds cost with few and with many hourly rows, beside a plain GROUP BY."""

from __future__ import annotations

from typing import Any

import click

from strandline_cli import paths, podman
from strandline_cli.bench import network
from strandline_cli.images import base, derived
from strandline_cli.progress import Progress, Step

RESULT = network.BUILD / "publish.json"
PROGRAM = "/files/bench/publish/measure.py"
MEMORY = "2g"  # of database, publisher and the files that the kernel keeps for them: as on a small host
CONTAINER = "bench-publish"
FORMATS = ("ndjson", "csv", "plain", "cidr", "nftables", "ipset", "rpz", "rbldnsd")
NEVER = 7200.0  # seconds: whatever takes longer hangs


def measure(step: Step, image: str, scale: float, rounds: int) -> dict[str, Any]:
    """Run the program in a container without a network that is gone afterwards. Raises StepFailed."""
    container = [
        "podman", "run", "--rm", "--replace", f"--name={CONTAINER}", "--network=none",
        f"--memory={MEMORY}", f"--memory-swap={MEMORY}",
        f"--volume={paths.ROOT / 'files'}:/files:ro", image,
    ]  # fmt: skip
    program = [*container, "python3", PROGRAM]
    try:
        return network.figures(step, [*program, "--scale", str(scale), "--rounds", str(rounds)], NEVER)
    finally:
        # After an interrupt it would go on for an hour: the command in a container isn't podman's child.
        podman.ask("rm", "--force", "--ignore", "--time=1", CONTAINER)


@click.command("publish", short_help="What publishing costs, with few and with many hourly rows.")
@click.option("--scale", type=click.FloatRange(0.001, 10), default=1.0, show_default=True, help="Of all amounts.")
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Runs behind each figure.")
def publish(scale: float, rounds: int) -> None:
    """Publish 164,800 addresses in 17 feeds, from 1.7 and 17 million hourly rows, and query 20 million events plainly.

    Takes about ten minutes on two cores and 6 GB of disk, nearly all of it for making the rows; --scale 0.02 takes one.
    """
    progress = Progress("bench")
    podman.prepare_environment()
    network.BUILD.mkdir(parents=True, exist_ok=True)
    with progress.step("image", "Make the image with a database") as step:
        image = derived.ensure(step, "database", derived.DATABASE, base.ensure(step))
    with progress.step("publish", f"Publish {164_800 * scale:,.0f} addresses again and again") as step:
        found = measure(step, image, scale, rounds)
        step.say(f"{found['seconds_low']} and {found['seconds_high']} s")
    network.write(RESULT, found)
    per_format = ", ".join(f"{name} {found[name + '_seconds']}" for name in FORMATS)
    click.echo(
        f"{found['addresses']:,} addresses in {found['feeds']} feeds: {found['seconds_low']} s from"
        f" {found['rows_low']:,} rows, {found['seconds_high']} s from {found['rows_high']:,} (ratio {found['ratio']}),"
        f" at most {found['peak_mib']} MiB; {found['seconds_cold']} s with nothing in memory,"
        f" {found['seconds_again']} s for the hour after, in which {found['changes']:,} addresses changed."
        f" Seconds per format: {per_format}.\n"
        f"With {found['forged_sources']:,} forged sources in one feed: {found['seconds_forged']} s,"
        f" {found['peak_mib_forged']} MiB, {found['forged_published']} of them published.\n"
        f"A generation takes {found['generation_mib']} MiB, {found['generation_thinned_mib']} when only its compressed"
        f" files are left. To settle {found['settle_rows']:,} sightings takes {found['settle_seconds']} s,"
        f" {found['settle_without_days_seconds']} without the daily totals.\n"
        f"One GROUP BY over {found['naive_events']:,} events: {found['naive_one_pass_seconds']} s.\n"
        f"Everything: {paths.shown(RESULT)}"
    )
