"""Ansible callback: what a verb shows while it runs. A line for each play, failures with their host and message."""

from __future__ import annotations

import copy
import os
import shutil
import sys
import textwrap
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.playbook.block import Block
from ansible.plugins.callback.default import CallbackModule as Default
from ansible.utils.color import stringc

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import health

DOCUMENTATION = r"""
name: strandline
type: stdout
short_description: A line for each play with its time, results as they are, and failures that can be read
description:
  - On a terminal one line moves while a play runs. It says the task, the time, and how many hosts have done the task.
    What stays is a line for each play.
  - Without a terminal, plain lines come now and then, so that a log of them stays short.
  - A failure is shown with its host, task and message; so is a host that can't be reached. Warnings are shown.
  - The C(msg) of C(debug) is printed as it is, without quotes, so that a playbook can print a table.
  - With C(--diff) differences are shown, and in check mode each task that would change something.
  - What hosts say is shown without control characters.
  - With C(-v) everything is as by the callback P(ansible.builtin.default#callback).
  - The output that this would have goes to a file of its own, a log for each playbook of this clone.
  - It honours what hides or colours output, such as C(no_log) and E(ANSIBLE_NOCOLOR).
requirements:
  - set as stdout callback in the configuration, as this clone's ansible.cfg does
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  log_directory:
    description:
      - Where the log of each playbook goes, as NAME-ansible.log. Runs are appended; a file that has grown beyond 8 MiB
        becomes NAME-ansible.log.1.
      - Without it, logs of playbooks of this clone go to build/log (in E(STRANDLINE_BUILD) when that is set), and
        others have none.
    type: path
    env:
      - name: STRANDLINE_LOG_DIRECTORY
    ini:
      - section: callback_strandline
        key: log_directory
  interval:
    description: Seconds between lines where there is no terminal.
    type: float
    default: 15
    env:
      - name: STRANDLINE_INTERVAL
    ini:
      - section: callback_strandline
        key: interval
author: Strandline developers
"""
EXAMPLES = r"""
# ansible.cfg
[defaults]
callback_plugins = callback_plugins
stdout_callback = strandline
"""

ROOT = Path(__file__).resolve().parents[1]
LOG_BYTES = 8 * 2**20
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME = 0.25  # seconds between two pictures of the line that moves
SAID = 2000  # characters of a host's output that are shown with a failure
NAMED = 3  # hosts of a batch that its line names
BEFORE_MESSAGES = ("Task failed: ", "Action failed: ", "Module failed: ")


def spent(seconds: float) -> str:
    """A duration as minutes:seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def harmless(text: object) -> str:
    """A text of any origin without what would colour, move or hide something on a terminal; its lines stay."""
    return "".join(
        letter for letter in str(text).replace("\r\n", "\n")
        if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
    )  # fmt: skip


class Screen:
    """The line that moves on a terminal, or the plain lines that come now and then elsewhere.

    A thread writes it. What else is printed goes through :meth:`aside`, which takes the line away first. Workers are
    forked while the thread may hold the lock, so they never ask for it.
    """

    def __init__(self, describe: Callable[[], str], interval: float) -> None:
        self.describe = describe
        self.interval = interval
        self.terminal = sys.stdout.isatty()
        self.process = os.getpid()
        self.lock = threading.RLock()
        self.shows = False
        self.paused = False
        self.drawn = False
        self.frame = 0
        self.said = time.monotonic()
        threading.Thread(target=self._run, daemon=True, name="strandline").start()

    def aside(self, write: Callable[[], Any]) -> Any:
        """Print something with the line out of the way."""
        if os.getpid() != self.process:
            return write()
        with self.lock:
            self._erase()
            done = write()
            sys.stdout.flush()
            return done

    def start(self) -> None:
        """Begin to show what :attr:`describe` says."""
        with self.lock:
            self.shows, self.said = True, time.monotonic()

    def stop(self) -> None:
        """Show nothing until the next start."""
        with self.lock:
            self.shows = False
            self._erase()

    def _run(self) -> None:
        while True:
            time.sleep(FRAME)
            with self.lock:
                if not self.shows or self.paused:
                    continue
                if self.terminal:
                    self._draw()
                elif time.monotonic() - self.said >= self.interval:
                    self.said = time.monotonic()
                    self._write(f"  {self.describe()}\n")

    def _draw(self) -> None:
        self.frame += 1
        columns = shutil.get_terminal_size().columns
        line = f"{SPINNER[self.frame % len(SPINNER)]} {self.describe()}"
        self._write("\r\x1b[2K" + (line if len(line) < columns else line[: columns - 2] + "…"))
        self.drawn = True

    def _erase(self) -> None:
        if self.drawn:
            self._write("\r\x1b[2K")
            self.drawn = False

    @staticmethod
    def _write(text: str) -> None:
        """Past sys.stdout, whose own lock a worker would inherit when it is forked just now."""
        try:
            sys.stdout.flush()
            os.write(sys.stdout.fileno(), text.encode())
        except (OSError, ValueError):
            pass  # nobody is there any more; Ansible notices when it prints


class Log:
    """Stands for Ansible's display: what the default callback would show goes to a file."""

    verbosity = 0
    columns = 79

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > LOG_BYTES:
            path.replace(path.with_name(path.name + ".1"))
        self.path = path
        self.file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)

    def display(self, msg: str, *_: Any, screen_only: bool = False, **__: Any) -> None:
        """Write a line."""
        if not screen_only:
            self.file.write(harmless(msg).rstrip("\n") + "\n")

    def banner(self, msg: str, *_: Any, **__: Any) -> None:
        """Write a heading with the time."""
        self.display(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')} {msg}")

    def _warning(self, warning: Any) -> None:
        self.display(f"[WARNING]: {_summary(warning)}")

    def _deprecated(self, warning: Any) -> None:
        self.display(f"[DEPRECATED]: {_summary(warning)}")

    def _error(self, error: Any, **_: Any) -> None:
        self.display(f"[ERROR]: {_summary(error)}")
        trace = getattr(getattr(error, "event", None), "formatted_traceback", None)
        if trace:
            self.display(trace)


def _summary(said: Any) -> str:
    """The text of one of Ansible's messages."""
    return str(getattr(getattr(said, "event", None), "msg", said))


class Full(Default):  # type: ignore[misc]  # Ansible ships no types
    """The default callback, writing to a log."""

    def __init__(self, log: Log, options: dict[str, Any]) -> None:
        super().__init__()
        self._display = log
        self._plugin_options = options


class CallbackModule(Default):  # type: ignore[misc]  # Ansible ships no types
    """Shows little on the screen and keeps all of it in the log."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "strandline"

    def __init__(self) -> None:
        super().__init__()
        self._verbose = self._display.verbosity > 0
        self._full: Full | None = None
        self._screen: Screen | None = None
        self._began = self._play_began = time.monotonic()
        self._name = ""  # of the play that runs; empty between two
        self._task_name = ""
        self._hosts: list[str] = []
        self._empty = False
        self._done: set[str] = set()
        self._failed: set[str] = set()
        self._to_blame: set[str] = set()  # in any play, by a task that was theirs alone
        self._changes = 0
        self._told: set[tuple[str, str]] = set()  # host and task whose change or failure was shown

    # --- the run ---

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Open the log and prepare the screen."""
        path = self._log_path(Path(playbook._file_name))
        if path:
            try:
                self._full = Full(Log(path), self._plugin_options)
            except OSError as error:
                self._display.warning(f"{path} can't be written ({error.strerror}): this run has no log.")
        if self._verbose:
            super().v2_playbook_on_start(playbook)
        else:
            self._screen = Screen(self._describe, float(self.get_option("interval")))
            original = self._display.display
            screen = self._screen

            def display(*arguments: Any, **named: Any) -> Any:
                return screen.aside(lambda: original(*arguments, **named))

            self._display.display = display  # warnings, prompts and what workers send take the line away, too
        self._log("v2_playbook_on_start", playbook)

    def _log_path(self, playbook: Path) -> Path | None:
        named = self.get_option("log_directory")
        if named:
            directory = Path(named)
        elif playbook.resolve().parent == ROOT / "playbooks":
            directory = Path(os.environ.get("STRANDLINE_BUILD") or ROOT / "build") / "log"
        else:
            return None
        return directory / f"{playbook.stem}-ansible.log"

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """End with what failed."""
        self._log("v2_playbook_on_stats", stats)
        if self._verbose:
            super().v2_playbook_on_stats(stats)
            return
        self._end_play()
        hosts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        if self._screen:
            self._screen.stop()
        if not any(counts["failures"] or counts["unreachable"] for counts in hosts.values()):
            return
        # A task that runs once fails for all: its message has said it, and no host is to blame.
        own = {host: counts for host, counts in hosts.items() if host in self._to_blame}
        unreachable = [host for host, counts in own.items() if counts["unreachable"]]
        failed = [host for host, counts in own.items() if counts["failures"] and host not in unreachable]
        said = [f"{len(failed)} failed: {', '.join(failed)}"] if failed else []
        said += [f"{len(unreachable)} not reached: {', '.join(unreachable)}"] if unreachable else []
        where = f" The whole output: {_shown(self._full._display.path)}" if self._full else ""
        took = spent(time.monotonic() - self._began)
        self._say(f"{'; '.join(said) or 'Ended by a failure'}, after {took}.{where}", "✘", C.COLOR_ERROR)

    # --- plays and tasks ---

    def v2_playbook_on_vars_prompt(self, *_: Any, **__: Any) -> None:
        """Leave the terminal to the question."""
        self._end_play()

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Begin a play, or its next batch."""
        self._log("v2_playbook_on_play_start", play)
        if self._verbose:
            super().v2_playbook_on_play_start(play)
            return
        self._end_play()
        self._play = play
        self._hosts = _hosts_of(play)
        batch = f": {_named(self._hosts)}" if play.serial and self._hosts else ""
        self._name = f"{play.get_name().strip() or 'A play without a name'}{batch}"
        self._play_began = time.monotonic()
        self._task_name, self._changes, self._empty = "", 0, False
        self._done, self._failed = set(), set()
        if self._screen:
            if not self._screen.terminal:
                self._display.display(f"  {self._name}")
            self._screen.start()

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Say that a play has nothing to do."""
        self._log("v2_playbook_on_no_hosts_matched")
        if self._verbose:
            super().v2_playbook_on_no_hosts_matched()
        self._empty = True

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        """The failures have been shown."""
        self._log("v2_playbook_on_no_hosts_remaining")
        if self._verbose:
            super().v2_playbook_on_no_hosts_remaining()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Show which task runs."""
        self._log("v2_playbook_on_task_start", task, is_conditional)
        if self._verbose:
            super().v2_playbook_on_task_start(task, is_conditional)
        else:
            self._begin_task(task)

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """Show which handler runs."""
        self._log("v2_playbook_on_handler_task_start", task)
        if self._verbose:
            super().v2_playbook_on_handler_task_start(task)
        else:
            self._begin_task(task)

    def _begin_task(self, task: Any) -> None:
        self._task_name, self._done = harmless(task.get_name().strip()), set()
        if self._screen:
            self._screen.paused = task.action in C.add_internal_fqcns(("pause",))  # it asks
            if self._screen.paused:
                self._screen.aside(lambda: None)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Of no interest on the screen."""
        self._log("v2_playbook_on_include", included_file)
        if self._verbose:
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_notify(self, handler: Any, host: Any) -> None:
        """Of no interest on the screen."""
        if self._verbose:
            super().v2_playbook_on_notify(handler, host)

    def _describe(self) -> str:
        hosts = f"  {len(self._done)}/{len(self._hosts)}" if len(self._hosts) > 1 else ""
        task = f": {self._task_name}" if self._task_name else ""
        return f"{spent(time.monotonic() - self._play_began)}{hosts}  {self._name}{task}"

    def _end_play(self) -> None:
        if not self._name:
            return
        if self._screen:
            self._screen.stop()
        name, self._name = self._name, ""
        if self._empty:
            self._say(f"{name}: no hosts", "-", C.COLOR_SKIP)
            return
        changes = "would change" if context.CLIARGS.get("check") else "changed"
        count = f"  {self._changes} {changes}" if self._changes else ""
        took = spent(time.monotonic() - self._play_began)
        if self._failed:
            self._say(f"{name}  {took}{count}", "✘", C.COLOR_ERROR)
        else:
            self._say(f"{name}  {took}{count}", "✔", C.COLOR_OK)

    # --- results ---

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Of no interest on the screen."""
        if self._verbose:
            super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count it; print what debug has to say, and in check mode what would change."""
        self._log_result("v2_runner_on_ok", result)
        if self._verbose:
            super().v2_runner_on_ok(result)
            return
        self._count(result)
        self._handle_warnings(result.result)
        if result.task.action in C._ACTION_DEBUG:
            if "results" not in result.result:
                self._print(result)
        elif result.result.get("changed"):
            self._changes += 1
            if context.CLIARGS.get("check") or context.CLIARGS.get("diff"):
                self._tell_change(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Print what debug has to say of an item."""
        self._log_result("v2_runner_item_on_ok", result)
        if self._verbose:
            super().v2_runner_item_on_ok(result)
            return
        self._handle_warnings(result.result)
        if result.task.action in C._ACTION_DEBUG:
            self._print(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Show a failure, unless the playbook has been told to go on."""
        self._log_result("v2_runner_on_failed", result, ignore_errors)
        if self._verbose:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        self._count(result)
        self._handle_warnings(result.result)
        if ignore_errors:
            return
        rescued = _rescued(result.task)
        if not rescued:
            self._fail(result)
        if (result.host.get_name(), result.task._uuid) not in self._told:  # its items have said it
            self._tell_failure(result, message_of(result.result), rescued=rescued)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        """Show which item failed."""
        self._log_result("v2_runner_item_on_failed", result)
        if self._verbose:
            super().v2_runner_item_on_failed(result)
            return
        self._handle_warnings(result.result)
        if result.task.ignore_errors is True:
            return
        self._told.add((result.host.get_name(), result.task._uuid))
        item = harmless(self._get_item_label(result.result))
        self._tell_failure(result, f"{item}: {message_of(result.result)}", rescued=_rescued(result.task))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Show a host that can't be reached, unless the playbook has been told to go on: then it names it itself."""
        self._log_result("v2_runner_on_unreachable", result)
        if self._verbose:
            super().v2_runner_on_unreachable(result)
            return
        self._count(result)
        if result.task.ignore_unreachable:
            return
        self._fail(result)
        said = health.why_unreachable({"unreachable": True, **result.result})
        self._tell_failure(result, f"not reached: {said}")

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Count it."""
        self._log_result("v2_runner_on_skipped", result)
        if self._verbose:
            super().v2_runner_on_skipped(result)
            return
        self._count(result)
        self._handle_warnings(result.result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        """Of no interest on the screen."""
        self._log_result("v2_runner_item_on_skipped", result)
        if self._verbose:
            super().v2_runner_item_on_skipped(result)

    def v2_runner_retry(self, result: Any) -> None:
        """Show that a task is tried again."""
        self._log_result("v2_runner_retry", result)
        if self._verbose:
            super().v2_runner_retry(result)
        else:
            attempts = f"{result.result.get('attempts')} of {result.result.get('retries')}"
            self._task_name = f"{result.task.get_name().strip()} (tried {attempts})"

    def v2_runner_on_async_poll(self, result: Any) -> None:
        """Of no interest on the screen."""
        if self._verbose:
            super().v2_runner_on_async_poll(result)

    def v2_runner_on_async_ok(self, result: Any) -> None:
        """Of no interest on the screen."""
        if self._verbose:
            super().v2_runner_on_async_ok(result)

    def v2_runner_on_async_failed(self, result: Any) -> None:
        """The task's own result says it."""
        if self._verbose:
            super().v2_runner_on_async_failed(result)

    def v2_on_file_diff(self, result: Any) -> None:
        """Show the differences below the host and the task."""
        self._log_result("v2_on_file_diff", result)
        if self._verbose:
            super().v2_on_file_diff(result)
            return
        parts = result.result["results"] if result.task.loop and "results" in result.result else [result.result]
        for part in parts:
            if part.get("changed") and part.get("diff") and (diff := self._get_diff(part["diff"])):
                self._tell_change(result)
                self._display.display(diff.rstrip("\n"))

    def _fail(self, result: Any) -> None:
        self._failed.add(result.host.get_name())
        if not result.task.run_once:
            self._to_blame.add(result.host.get_name())

    # --- lines ---

    def _count(self, result: Any) -> None:
        self._done.add(result.host.get_name())

    def _label(self, result: Any) -> str:
        """Host and task; a task that runs once is no single host's."""
        name = harmless(result.task.get_name().strip())
        if not result.task.run_once:
            return f"{self.host_label(result)}: {name}"
        delegated = (result.result.get("_ansible_delegated_vars") or {}).get("ansible_delegated_host")
        return f"{delegated}: {name}" if delegated else name

    def _tell_change(self, result: Any) -> None:
        key = (result.host.get_name(), result.task._uuid)
        if key not in self._told:
            self._told.add(key)
            self._say(self._label(result), "~", C.COLOR_CHANGED)

    def _tell_failure(self, result: Any, message: str, *, rescued: bool = False) -> None:
        mark, colour = ("!", C.COLOR_WARN) if rescued else ("✘", C.COLOR_ERROR)
        self._say(self._label(result), mark, colour)
        self._display.display("\n".join(f"    {line}".rstrip() for line in message.splitlines()))

    def _print(self, result: Any) -> None:
        """What debug says, word for word."""
        said = result.result.get("msg")
        if isinstance(said, list):
            said = "\n".join(map(str, said))
        elif not isinstance(said, str):
            self._clean_results(result.result, result.task.action)
            said = textwrap.dedent(self._dump_results(result.result).strip("\n"))
        several = len(self._hosts) > 1 and not result.task.run_once
        self._display.display((f"{result.host.get_name()}: " if several else "") + harmless(said))

    def _say(self, text: str, mark: str, colour: str) -> None:
        self._display.display(f"{stringc(mark, colour)} {text}")

    # --- the log ---

    def _log(self, method: str, *arguments: Any) -> None:
        if self._full:
            getattr(self._full, method)(*arguments)

    def _log_result(self, method: str, result: Any, *arguments: Any) -> None:
        """Hand the log a copy: the default callback takes out of a result what it has shown."""
        if self._full:
            own = copy.copy(result)
            own.__dict__.pop("result", None)  # made anew from the untouched data
            self._full._current_task_result = own
            getattr(self._full, method)(own, *arguments)


def message_of(result: Mapping[str, Any]) -> str:
    """Why a task failed: its message, and where that says nothing, the end of what the command printed."""
    if "censored" in result:
        return "The task handles a secret, so its message is hidden (no_log)."
    message = harmless(result.get("msg") or "").strip()
    while start := next((each for each in BEFORE_MESSAGES if message.startswith(each)), ""):
        message = message.removeprefix(start)
    if not message or message.startswith(("non-zero return code", "MODULE FAILURE", "The command exited with")):
        printed = [harmless(result.get(key) or "").strip() for key in ("stderr", "module_stderr", "stdout")]
        said = next(filter(None, printed), "")
        message = "\n".join(filter(None, [message, said[-SAID:]]))
    return message or "failed, and gave no reason"


def _rescued(task: Any) -> bool:
    """Whether the playbook has a rescue for the task's failure."""
    node, parent = task, task._parent
    while parent is not None:
        if isinstance(parent, Block) and parent.rescue:
            beside = {each._uuid for each in [*parent.rescue, *parent.always]}
            if node._uuid not in beside:
                return True
        node, parent = parent, parent._parent
    return False


def _hosts_of(play: Any) -> list[str]:
    """The hosts of a play's batch."""
    inventory = play.get_variable_manager()._inventory
    return [host.get_name() for host in inventory.get_hosts(play.hosts)]


def _named(hosts: list[str]) -> str:
    more = f" and {len(hosts) - NAMED} more" if len(hosts) > NAMED else ""
    return ", ".join(hosts[:NAMED]) + more


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
