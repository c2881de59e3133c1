"""Progress: which step, what it does, how long so far.

On a terminal one line per step that moves; elsewhere plain lines, one at least every 15 seconds. Everything that a
step's commands print goes to build/log/<verb>-<step>.log; the end of it is shown when the step fails.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from strandline_cli.errors import StepFailed
from strandline_cli.paths import LOGS, ROOT, shown

PLAIN_INTERVAL = 15.0  # seconds between progress lines where there is no terminal
TAIL = 25  # lines of a failed step's log that are shown
STOP_GRACE = 15.0  # seconds that an interrupted command has to end by itself
WIDTH = 240  # characters of each of them
NAME_WIDTH = 13
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Watch = Callable[[str], "str | None"]


def spent(seconds: float) -> str:
    """Return a duration as minutes:seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def plain(line: str) -> str:
    """Return a line of a command's output without colours and control characters."""
    return ESCAPES.sub("", line).strip()


def any_line(line: str) -> str | None:
    """Show whatever the command said last."""
    return line or None


def ansible_task(line: str) -> str | None:
    """Show only the task or play that Ansible has reached."""
    found = re.match(r"(?:TASK|PLAY|RUNNING HANDLER) \[(.*)\]", line)
    return found.group(1) if found else None


def molecule_action() -> Watch:
    """Show Molecule's action and the task or test that it has reached."""
    action = ""

    def watch(line: str) -> str | None:
        nonlocal action
        if found := re.match(r"INFO +\[\S+ > (\w+)\] Executing", line):
            action = found.group(1)
            return action
        if found := re.match(r"(\S+\.py(?:::\S+)?) (?:PASSED|FAILED|ERROR|SKIPPED)\b", line):
            return f"{action}: {found.group(1)}"
        task = ansible_task(line)
        return f"{action}: {task}" if task else None

    return watch


def telling(log: str) -> list[str]:
    """Return the lines of a log that tell why it failed: from Ansible's last error on, else the last ones."""
    lines = [line[:WIDTH] for line in (ESCAPES.sub("", raw).rstrip() for raw in log.splitlines()) if line]
    for number, line in reversed(list(enumerate(lines))):
        if re.match(r"(fatal|failed): \[|\[ERROR\]", line):
            return lines[max(0, number - 1) : number + TAIL]
    return lines[-TAIL:]


class Step:
    """One step while it runs."""

    def __init__(self, name: str, what: str, log: Path, stopped: threading.Event | None = None) -> None:
        """Begin; when `stopped` is set, the command that runs is ended, and the step with it."""
        self.stopped = stopped or threading.Event()
        self.name = name
        self.what = what
        self.log = log
        self.now = ""
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self.began

    def say(self, text: str) -> None:
        """Change what the progress line says the step is doing."""
        self.now = text

    def run(
        self,
        command: Sequence[str | Path],
        *,
        watch: Watch = any_line,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float | None = None,
    ) -> int:
        """Run a command from the top of the clone, its output in the step's log; return its exit code.

        The output goes to a file rather than a pipe: a program that leaves something running in the background, as
        podman does, would hold a pipe open for ever. Raises StepFailed when `check` is set and the command fails; a
        command that takes longer than `timeout` seconds is ended and counts as failed.
        """
        argv = [str(part) for part in command]
        with self.log.open("ab") as log:
            log.write(f"\n$ {' '.join(argv)}\n".encode())
            log.flush()
            start = log.tell()
            try:
                process = subprocess.Popen(
                    argv,
                    cwd=ROOT,
                    env={**os.environ, **(env or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            except OSError as error:
                log.write(f"{argv[0]}: {error.strerror}\n".encode())
                if check:
                    raise StepFailed(f"{argv[0]} can't be run: {error.strerror}") from error
                return 127
            code = self._follow(process, start, watch, timeout)
        if check and code != 0:
            raise StepFailed(f"{argv[0].rsplit('/', 1)[-1]} ended with {code}")
        return code

    @staticmethod
    def wait(process: subprocess.Popen[bytes]) -> int:
        """Wait for a command that was started elsewhere; return its exit code."""
        while (code := process.poll()) is None:
            time.sleep(0.1)
        return code

    def _follow(self, process: subprocess.Popen[bytes], start: int, watch: Watch, timeout: float | None) -> int:
        """Wait for a command, showing what it does from the end of its log."""
        ends = time.monotonic() + timeout if timeout else None
        with self.log.open("rb") as reader:
            reader.seek(start)
            try:
                while True:
                    try:
                        return process.wait(timeout=0.2)
                    except subprocess.TimeoutExpired:
                        self._show(reader.read(), watch)
                    if self.stopped.is_set():
                        raise KeyboardInterrupt
                    if ends and time.monotonic() > ends:
                        stop(process)
                        with self.log.open("ab") as log:
                            log.write(f"\nEnded after {timeout:.0f} seconds without an end of its own.\n".encode())
                        return 124
            except BaseException:
                stop(process)
                raise

    def _show(self, output: bytes, watch: Watch) -> None:
        for line in output.decode(errors="replace").splitlines():
            if text := watch(plain(line)):
                self.say(text)

    @staticmethod
    def check(holds: bool, failure: str) -> None:
        """Raise StepFailed unless the condition holds."""
        if not holds:
            raise StepFailed(failure)

    def output(self, command: Sequence[str | Path], *, keep: bool = True) -> str:
        """Run a short command and return what it prints; its errors go to the log, and with `keep` its output too.

        Raises StepFailed when it fails.
        """
        argv = [str(part) for part in command]
        with self.log.open("ab") as log:
            log.write(f"\n$ {' '.join(argv)}\n".encode())
            log.flush()
            try:
                done = subprocess.run(
                    argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, check=False
                )
            except OSError as error:
                raise StepFailed(f"{argv[0]} can't be run: {error.strerror}") from error
            if keep:
                log.write(done.stdout)
        if done.returncode != 0:
            raise StepFailed(f"{argv[0]} ended with {done.returncode}")
        return done.stdout.decode(errors="replace")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a command: first politely, so that Ansible and podman can tidy up."""
    for ask in (process.terminate, process.kill):
        if process.poll() is None:
            ask()
            try:
                process.wait(timeout=STOP_GRACE)
            except subprocess.TimeoutExpired:
                continue


class Progress:
    """Shows the steps of one verb."""

    def __init__(
        self, verb: str, console: Console | None = None, interval: float = PLAIN_INTERVAL, logs: Path = LOGS
    ) -> None:
        self.stopped = threading.Event()
        self.verb = verb
        self.console = console or Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self.interval = interval
        self.logs = logs
        self.began = time.monotonic()

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[Step]:
        """Run the body as one step; show its end, and on failure the tail of its log."""
        self.logs.mkdir(parents=True, exist_ok=True)
        step = Step(name, what, self.logs / f"{self.verb}-{name}.log", self.stopped)
        step.log.write_bytes(b"")
        # A line that moves is one step's; what other threads do meanwhile is told in lines that stay.
        alone = threading.current_thread() is threading.main_thread()
        try:
            with self._live(step) if self.console.is_terminal and alone else self._plain(step):
                yield step
        except StepFailed as failure:
            self._end(step, "✘", "red", f": {failure}")
            self._tail(step)
            raise
        except BaseException:
            self._end(step, "✘", "red", ": stopped")
            raise
        self._end(step, "✔", "green", f": {step.now}" if step.now.endswith(".") else "")

    def _end(self, step: Step, mark: str, colour: str, rest: str) -> None:
        line = Text(f"{mark} ", style=colour)
        line.append(f"{step.name:<{NAME_WIDTH}}", style="bold")
        line.append(f" {step.what}{rest}  {spent(step.seconds)}", style="default")
        self.console.print(line)

    def _tail(self, step: Step) -> None:
        # In one piece: another thread may want to say something, too.
        lines = [f"  {line}" for line in telling(step.log.read_text(errors="replace"))]
        self.console.print(Text("\n".join(lines), style="dim"))
        self.console.print(f"The whole output is in {shown(step.log)}", markup=False)

    @contextmanager
    def _live(self, step: Step) -> Iterator[None]:
        def line() -> Text:
            text = Text(f"{SPINNER[int(time.monotonic() * 8) % len(SPINNER)]} ")
            text.append(f"{step.name:<{NAME_WIDTH}}", style="bold")
            text.append(f" {spent(step.seconds)}  {step.what}")
            if step.now:
                text.append(f": {step.now}", style="dim")
            text.truncate(self.console.width - 1, overflow="ellipsis")
            return text

        with Live(get_renderable=line, console=self.console, transient=True, refresh_per_second=4):
            yield

    @contextmanager
    def _plain(self, step: Step) -> Iterator[None]:
        ended = threading.Event()

        def talk() -> None:
            while not ended.wait(self.interval):
                now = f": {step.now}" if step.now else ""
                self.console.print(f"  {step.name:<{NAME_WIDTH}} {spent(step.seconds)} so far{now}", markup=False)

        self.console.print(f"  {step.name:<{NAME_WIDTH}} {step.what}", markup=False)
        with ExitStack() as stack:
            talker = threading.Thread(target=talk, daemon=True)
            talker.start()
            stack.callback(talker.join)
            stack.callback(ended.set)
            yield
