"""The command line: its verbs, and one clear sentence for whatever goes wrong."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType

import click

from strandline_cli import builder, environment, paths, playbook, runbook, verbs
from strandline_cli import doctor as doctor_
from strandline_cli.bench import ingest
from strandline_cli.demo import down, up
from strandline_cli.errors import Refusal, StepFailed
from strandline_cli.images import base, derived, packages
from strandline_cli.progress import Progress
from strandline_cli.testing import run as tests
from strandline_cli.testing import scenarios

INTERRUPTED = 130
REFUSED = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def cli() -> None:
    """Run a network of passive Internet sensors, from one machine."""


@cli.command(short_help="Run the whole network on this machine.")
@click.option("--down", "remove", is_flag=True, help="Remove every trace of the demo, but keep the cache.")
@click.option("--cache", is_flag=True, help="With --down: remove the cache and the images too.")
def demo(remove: bool, cache: bool) -> None:
    """Run the whole network on this machine: from a scanner's packet to published feeds.

    Interrupted or run again, it carries on from what is there.
    """
    if cache and not remove:
        raise click.UsageError("--cache belongs to --down: ./strandline demo --down --cache")
    progress = Progress("demo")
    if remove:
        down.down(progress, cache=cache)
    else:
        up.up(progress)


@cli.command(short_help="Run the tests.")
@click.option(
    "--fast", "tier", flag_value=tests.FAST, help="Lint, quick unit tests and patterndb rules only: about 3 minutes."
)
@click.option("--long", "tier", flag_value=tests.LONG, help="The tests marked long as well.")
@click.option(
    "-s", "--scenario", "only", multiple=True, help="Only this Molecule scenario; may be given more than once."
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 4),
    default=tests.JOBS,
    show_default=True,
    help="Scenarios at a time. 1 on a machine that is slow or does other things.",
)
def test(tier: str | None, only: tuple[str, ...], jobs: int) -> None:
    """Run the tests: linters, unit tests, patterndb rules, and the Molecule scenarios in containers."""
    for name in only:
        if name not in scenarios.names():
            raise Refusal(f"There is no scenario {name}. There are: {', '.join(scenarios.names()) or 'none'}.")
    sys.exit(tests.run(tier or tests.NORMAL, only, jobs))


@cli.command(short_help="Check this machine.")
def doctor() -> None:
    """Check this machine and say how to correct what is wrong."""
    sys.exit(doctor_.run())


@cli.command(short_help="Run a command in our environment.", context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, required=True)
def run(arguments: tuple[str, ...]) -> None:
    """Run a command in strandline's own environment: Ansible for the operator, linters and tests for work on the code.

    \b
    ./strandline run ansible-playbook -i inventory/production playbooks/verify.yml
    ./strandline run ansible-doc -t module strandline_canary
    ./strandline run molecule converge -s network
    """
    progress = Progress("run")
    playbook.prepare_ansible(progress)
    if arguments[0] == "molecule":  # the only one that starts containers
        with progress.step("images", "Build the images that hosts start from") as step:
            base_image = base.ensure(step)
            derived.ensure_scanner(step, base_image)
            derived.ensure_troubled(step, derived.ensure_vps(step, base_image))
            packages.ensure(step, base_image)
    sys.exit(environment.call(arguments))


@cli.command(short_help='Print our environment for a shell: eval "$(./strandline env)"')
def env() -> None:
    """Print shell commands that make ansible-playbook and the other tools of our environment a shell's own.

    Then plain Ansible does each verb: eval "$(./strandline env)"; ansible-playbook -i inventory/production
    playbooks/verify.yml
    """
    playbook.prepare_ansible(Progress("env"))
    print(environment.exports())


@cli.command(name="help", short_help="Print a verb's runbook in short.")
@click.argument("verb", required=False)
@click.pass_context
def help_(context: click.Context, verb: str | None) -> None:
    """Print a verb's runbook in short: what it does, its options, and what to know before."""
    above = context.parent or context
    if verb is None:
        print(above.get_help())
        return
    command = cli.get_command(context, verb)
    if command is None:
        raise Refusal(f"There is no verb {verb}. ./strandline help lists them.")
    print(runbook.of(verb) or command.get_help(click.Context(command, info_name=verb, parent=above)))


@cli.command(name="builder", hidden=True)
@click.argument("name")
def builder_(name: str) -> None:
    """Start the container NAME in which our packages are built: playbooks/packages.yml asks for it."""
    print("started" if builder.start(Progress("builder"), name) else "runs")


for _verb in verbs.VERBS:
    cli.add_command(verbs.command(_verb))
cli.add_command(ingest.bench)


def terminate(_number: int, _frame: FrameType | None) -> None:
    """Treat a polite end like the operator's Ctrl-C: what runs is ended in order."""
    raise KeyboardInterrupt


def bug() -> None:
    """Keep an unexpected error's traceback away from the terminal but within reach."""
    path = paths.LOGS / "traceback.log"
    try:
        paths.LOGS.mkdir(parents=True, exist_ok=True)
        path.write_text(traceback.format_exc())
        where = f" Please report it with {paths.shown(path)}."
    except OSError:
        where = ""
    print(f"strandline: An error in strandline itself: {sys.exc_info()[1]!r}.{where}", file=sys.stderr)


def main() -> None:
    """Run a verb. Exit codes: 0 done, 1 something failed, 2 refused before anything was changed, 130 interrupted."""
    os.environ.pop("PYTHONPATH", None)  # it was for finding this package, not for Ansible and what it starts
    signal.signal(signal.SIGTERM, terminate)
    try:
        cli(prog_name="./strandline", standalone_mode=False)
    except Refusal as refusal:
        print(f"strandline: {refusal}", file=sys.stderr)
        sys.exit(REFUSED)
    except StepFailed:
        sys.exit(1)
    except click.exceptions.NoArgsIsHelpError as help_wanted:
        print(help_wanted.format_message())
        sys.exit(REFUSED)
    except click.ClickException as error:
        print(f"strandline: {error.format_message()}  Help: ./strandline --help", file=sys.stderr)
        sys.exit(REFUSED)
    except (KeyboardInterrupt, click.Abort):
        print("strandline: Interrupted. To continue with what is there, give the same command again.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except OSError as error:
        print(f"strandline: {error.filename or 'A file'}: {error.strerror or error}.", file=sys.stderr)
        sys.exit(1)
    except Exception:  # the last resort: no traceback for the operator
        bug()
        sys.exit(1)
