"""`./strandline bench listeners`: our SIP, VNC and Telnet listeners and OpenCanary's, side by side on the loopback."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from strandline_cli import listener_settings, paths
from strandline_cli.bench import network
from strandline_cli.errors import StepFailed
from strandline_cli.progress import Progress, Step

RESULT = network.BUILD / "listeners.json"
FILES = network.FILES / "listeners"
LOCK = FILES / "opencanary.txt"
LOAD = FILES / "load.py"
LISTENERS = paths.ROOT / "files" / "strandline" / "sensor" / "listener"
HOST = "127.0.0.1"
NEVER = 900.0  # seconds: whatever takes longer hangs
PATIENCE = 30.0  # seconds until a listener answers, and until its last event is written
HAND_OVER = """
import os, sys
descriptors, *program = sys.argv[1:]
for number, descriptor in enumerate(descriptors.split(",")):
    os.dup2(int(descriptor), 3 + number)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(program[0], program)
"""
"""Becomes the listener, with its sockets where systemd puts them (sd_listen_fds(3))."""
QUEUE = 'echo 4096 > /proc/sys/net/unix/max_dgram_qlen 2> /dev/null; exec "$@"'
AS_ON_A_SENSOR = ("unshare", "--net", "sh", "-c", QUEUE, "sh") if os.geteuid() == 0 else ()
"""Starts the reader of our events with a queue as long as a sensor's, without changing this machine's."""
OURS, THEIRS = "strandline", "opencanary"
PROTOCOLS = {"OPTIONS": "sip", "REGISTER": "sip", "vnc": "vnc", "telnet": "telnet"}
"""The loads, and who takes them."""
EVENTS = {"sip": 1, "vnc": 3, "telnet": 1}
"""How many events ours has of a request or session; of VNC its beginning, the type, the response."""


class Server(NamedTuple):
    """A running listener: its process, where it listens, and where its events go."""

    process: subprocess.Popen[bytes]
    ports: Mapping[str, int]

    def cpu(self) -> int:
        """Nanoseconds of CPU of all its threads, by the scheduler's account (/proc/PID/schedstat)."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks)

    def pss(self) -> int:
        """KiB of memory, shared pages counted by their share."""
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
        raise StepFailed("the kernel does not tell the PSS of a process")


class Measured(NamedTuple):
    """One round of one load on one side: `events` of what was `sent`, at `cpu` seconds."""

    sent: int
    events: int
    answers: int
    cpu: float

    @property
    def per_second(self) -> float:
        """Events per CPU second."""
        return self.events / self.cpu


def opencanary(step: Step) -> Path:
    """The bin directory of OpenCanary's own environment; made when it is not there. Raises StepFailed."""
    version = f"py{sys.version_info.major}{sys.version_info.minor}"
    target = paths.cache() / f"opencanary-{version}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    ready = target / "ready"
    with target.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            shutil.rmtree(target, ignore_errors=True)  # of a run that was interrupted
            venv.create(target, with_pip=True)
            step.run([target / "bin" / "pip", "install", "--quiet", "--require-hashes", "-r", LOCK])
            ready.touch()
    return target / "bin"


def free_port(kind: socket.SocketKind) -> int:
    """A port that nobody has at this moment."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def end(process: subprocess.Popen[bytes]) -> None:
    """Have a process end."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def our_listener(protocol: str, events: Path, log: Path) -> Iterator[Server]:
    """A listener of ours with its sockets handed over as systemd does."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))]
        sockets[0].bind((HOST, 0))
        sockets[0].listen(1024)
        port: int = sockets[0].getsockname()[1]
        if protocol == "sip":
            sockets.append(stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
            sockets[1].bind((HOST, port))
        # Above the numbers that they get in the new process, so that none is written over before it is copied.
        high = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 100) for sock in sockets]
        for descriptor in high:
            stack.callback(os.close, descriptor)

        environment = {
            **os.environ,
            **listener_settings.environment(protocol),
            "LISTEN_FDS": str(len(high)),
            "STRANDLINE_EVENT_SOCKET": str(events),
            # Every source is one here, and each answer is to be paid for.
            "STRANDLINE_REPLIES_PER_SECOND": "100000",
            "STRANDLINE_REPLIES_PER_SECOND_TOTAL": "1000000",
        }
        start = [sys.executable, "-I", "-S", "-c", HAND_OVER, ",".join(map(str, high))]
        with log.open("a") as said:
            process = subprocess.Popen(
                [*start, sys.executable, "-I", "-S", str(LISTENERS), protocol],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=high,
            )
        stack.callback(end, process)
        yield Server(process, {protocol: port})


@contextlib.contextmanager
def their_listener(programs: Path, place: Path, log: Path) -> Iterator[Server]:
    """OpenCanary with SIP, VNC and Telnet, writing its events to a file."""
    ports = {"sip": free_port(socket.SOCK_DGRAM)} | {name: free_port(socket.SOCK_STREAM) for name in ("vnc", "telnet")}
    handler = {"class": "logging.FileHandler", "filename": str(place / "opencanary.log")}
    settings = {
        "device.node_id": "bench",
        "device.listen_addr": HOST,
        **{f"{name}.enabled": True for name in ports},
        **{f"{name}.port": port for name, port in ports.items()},
        "logger": {
            "class": "PyLogger",
            "kwargs": {"formatters": {"plain": {"format": "%(message)s"}}, "handlers": {"file": handler}},
        },
    }
    (place / "opencanary.conf").write_text(json.dumps(settings), encoding="utf-8")
    with log.open("a") as said:
        process = subprocess.Popen(
            [programs / "python", programs / "twistd", "--nodaemon", "--pidfile=", "-y", programs / "opencanary.tac"],
            env=os.environ | {"HOME": str(place)},
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        wait_for(ports["vnc"], process)
        yield Server(process, ports)
    finally:
        end(process)


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until something accepts there. Raises StepFailed."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(0.1)
    raise StepFailed("OpenCanary did not start: its words are in the log of this step")


class Sink:
    """Takes our events in a process of its own, as syslog-ng does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        reader = [*AS_ON_A_SENSOR, sys.executable, str(LOAD), "sink", str(path)]
        self._process = subprocess.Popen(reader, stdout=subprocess.PIPE, text=True)
        if self._process.stdout is None or self._process.stdout.readline() != "ready\n":
            raise StepFailed("the reader of our events did not start")

    def count(self) -> int:
        """End it; how many there were."""
        self._process.send_signal(signal.SIGTERM)
        said, _ = self._process.communicate(timeout=PATIENCE)
        return int(said)


def play(load: str, server: Server, count: int, rate: int) -> int:
    """Play the clients; how many answers, or whole sessions, there were. Raises StepFailed."""
    protocol = PROTOCOLS[load]
    what = [protocol, HOST, str(server.ports[protocol])]
    what += [load, str(count), str(rate)] if protocol == "sip" else [str(count)]
    done = subprocess.run([sys.executable, LOAD, *what], capture_output=True, text=True, timeout=NEVER, check=False)
    if done.returncode != 0:
        raise StepFailed(f"load.py {load} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return int(done.stdout)


def cpu_when_idle(server: Server) -> int:
    """The CPU time that the server has taken, once it takes no more."""
    before, after = -1, server.cpu()
    until = time.monotonic() + PATIENCE
    while after - before > 2_000_000 and time.monotonic() < until:
        time.sleep(0.5)
        before, after = after, server.cpu()
    return after


def ours(load: str, count: int, rate: int, place: Path, log: Path) -> tuple[Measured, int]:
    """One round on our side; also the listener's idle PSS in KiB."""
    path = place / "events"
    path.unlink(missing_ok=True)
    sink = Sink(path)
    with our_listener(PROTOCOLS[load], path, log) as server:
        play(load, server, 20, rate)  # warm
        begin, idle = cpu_when_idle(server), server.pss()
        answers = play(load, server, count, rate)
        spent = cpu_when_idle(server) - begin
    events = sink.count() // EVENTS[PROTOCOLS[load]] - 20
    return Measured(count, events, answers, spent / 1e9), idle


def theirs(load: str, count: int, rate: int, server: Server, place: Path) -> Measured:
    """One round on OpenCanary."""
    log = place / "opencanary.log"
    play(load, server, 20, rate)
    begin = cpu_when_idle(server)
    known = lines(log)
    answers = play(load, server, count, rate)
    spent = cpu_when_idle(server) - begin
    return Measured(count, lines(log) - known, answers, spent / 1e9)


def lines(path: Path) -> int:
    """How many lines a file has."""
    return path.read_bytes().count(b"\n")


def measure(progress: Progress, requests: int, sessions: int, logins: int, rounds: int, rate: int) -> dict[str, Any]:
    """All rounds, by turns; the result."""
    with progress.step("opencanary", "Make OpenCanary's environment") as step:
        programs = opencanary(step)
    loads = {"OPTIONS": requests, "REGISTER": requests, "vnc": sessions, "telnet": logins}
    found: dict[str, dict[str, list[Measured]]] = {load: {OURS: [], THEIRS: []} for load in loads}
    idle: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="strandline-bench-") as name, contextlib.ExitStack() as stack:
        place = Path(name)
        with progress.step("start", "Start OpenCanary") as step:
            server = stack.enter_context(their_listener(programs, place, step.log))
            cpu_when_idle(server)
            idle[THEIRS] = server.pss()
        for number in range(rounds):
            for load, count in loads.items():
                with progress.step(f"{load}-{number + 1}", f"{count:,} {load} to each") as step:
                    one, pss = ours(load, count, rate, place, step.log)
                    idle[PROTOCOLS[load]] = pss
                    other = theirs(load, count, rate, server, place)
                    # A busy machine's kernel drops datagrams, which counts for neither side; what was read is both.
                    step.check(
                        one.events == one.answers > 0,
                        f"of {count} our listener logged {one.events} and answered {one.answers}",
                    )
                    step.check(other.events > 0, "OpenCanary logged nothing")
                    found[load][OURS].append(one)
                    found[load][THEIRS].append(other)
                    step.say(f"{one.per_second:,.0f} and {other.per_second:,.0f} events per CPU second")
    return result(found, idle) | {
        "asked": {"requests": requests, "sessions": sessions, "logins": logins, "rounds": rounds, "rate": rate},
        "opencanary": next(line.split()[0] for line in LOCK.read_text().splitlines() if line.startswith("opencanary=")),
        "python": sys.version.split()[0],
    }


def result(found: dict[str, dict[str, list[Measured]]], idle: dict[str, int]) -> dict[str, Any]:
    """What build/bench/listeners.json says. A ratio is the median of the rounds' ratios."""

    def ratio(*loads: str) -> float:
        pairs = [pair for load in loads for pair in zip(found[load][OURS], found[load][THEIRS], strict=True)]
        return round(statistics.median(one.per_second / other.per_second for one, other in pairs), 2)

    return {
        "sip_ratio": ratio("OPTIONS", "REGISTER"),
        "vnc_ratio": ratio("vnc"),
        "telnet_ratio": ratio("telnet"),
        "memory_ratio": round(sum(idle[protocol] for protocol in EVENTS) / idle[THEIRS], 2),
        "pss_kib": idle,
        "loads": {
            load: {
                side: {
                    "cpu_us_per_event": [round(one.cpu * 1e6 / one.events, 1) for one in rounds],
                    "sent": sum(one.sent for one in rounds),
                    "events": sum(one.events for one in rounds),
                    "answers": sum(one.answers for one in rounds),
                }
                for side, rounds in sides.items()
            }
            for load, sides in found.items()
        },
    }


def show(found: dict[str, Any]) -> None:
    """Print what matters."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("", "CPU µs an event, by round", "events", "answers"):
        table.add_column(heading)
    for load, sides in found["loads"].items():
        for side, values in sides.items():
            spent = ", ".join(str(value) for value in values["cpu_us_per_event"])
            table.add_row(
                f"{load}, {side}", spent, f"{values['events']:,} of {values['sent']:,}", f"{values['answers']:,}"
            )
    console = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    pss = found["pss_kib"]
    console.print(
        f"Events per CPU second, ours over OpenCanary's: SIP {found['sip_ratio']}, VNC {found['vnc_ratio']}, "
        f"Telnet {found['telnet_ratio']}. Memory: {' + '.join(f'{pss[protocol]:,}' for protocol in EVENTS)} KiB "
        f"against {pss[THEIRS]:,} ({found['memory_ratio']})."
    )
    console.print(f"Everything: {paths.shown(RESULT)}")


@click.command("listeners", short_help="CPU and memory of the Python listeners, beside OpenCanary's.")
@click.option("--requests", type=click.IntRange(100, 1_000_000), default=4_000, show_default=True)
@click.option("--sessions", type=click.IntRange(10, 100_000), default=400, show_default=True, help="Of VNC.")
@click.option("--logins", type=click.IntRange(10, 100_000), default=400, show_default=True, help="By Telnet.")
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True)
@click.option(
    "--rate",
    type=click.IntRange(10, 100_000),
    default=1_000,
    show_default=True,
    help="SIP requests a second, in bursts of 20 as scanners send them: fewer than OpenCanary drops.",
)
def listeners(requests: int, sessions: int, logins: int, rounds: int, rate: int) -> None:
    """Play the same clients against our listeners and OpenCanary's, and count events, answers, CPU and memory.

    OpenCanary comes from PyPI into an environment of its own. It logs SIP and does not answer; ours answers every
    request. Takes about five minutes.
    """
    network.BUILD.mkdir(parents=True, exist_ok=True)
    found = measure(Progress("bench"), requests, sessions, logins, rounds, rate)
    network.write(RESULT, found)
    show(found)
