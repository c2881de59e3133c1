"""Clocks that jump: some units of a host run by a clock of their own, which is set while they run.

Containers share the machine's clock. libfaketime, which prepare.yml installs, stands between a program and the C
library and adds to the time what a file says, read anew each time. What counts from boot goes on as it is, as it does
when a real clock is set.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from containers import Machine
from world import Traffic

DAY = 86400.0
SHARE = 0.5
"""Of a second's traffic that must be answered in a second, at least: the machine may be busy."""
_DIRECTORY = "/run/strandline-clock"
_DROP_IN = """\
[Unit]
# However often a test starts it.
StartLimitIntervalSec=0
[Service]
Environment=LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={directory}/ahead
Environment=FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
# syslog-ng's timers, too, count from boot, but for this one the library does not know it.
Environment=IV_EXCLUDE_POLL_METHOD=epoll-timerfd
"""


class Clock:
    """What some units of a host take for the time."""

    def __init__(self, machine: Machine) -> None:
        """Ahead of the true time by nothing."""
        self._directory = machine.file(_DIRECTORY)
        self._directory.mkdir(mode=0o755, exist_ok=True)
        self.set(0)

    def set(self, ahead: float) -> None:
        """From now on it is so many seconds ahead of the true time."""
        aside = self._directory / "ahead.new"
        aside.write_text(f"{ahead:+.6f}\n")
        aside.chmod(0o644)
        aside.replace(self._directory / "ahead")


@contextmanager
def own_clock(machine: Machine, *units: str) -> Iterator[Clock]:
    """Units run by a clock of their own. Those that run are started anew for it, and once more for the true time."""
    [library] = machine.file("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    path = "/" + str(library.relative_to(machine.file("/")))
    clock = Clock(machine)
    # Read last: our own drop-ins preload a library, too.
    drop_ins = [machine.file(f"/run/systemd/system/{unit}.d/zz-clock.conf") for unit in units]
    for file in drop_ins:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_DROP_IN.format(library=path, directory=_DIRECTORY))
    machine.unit("daemon-reload")
    machine.unit("try-restart", *units)
    try:
        yield clock
    finally:
        for file in drop_ins:
            file.unlink()
        machine.unit("daemon-reload")
        machine.unit("try-restart", *units)


def answered_meanwhile(traffic: Traffic, seconds: float) -> set[str]:
    """The Call-IDs of the next so many seconds, without those that were on their way when it was called."""
    # Longer than the client waits for an answer: what is answered later was asked later, too.
    time.sleep(1.2)
    before = traffic.answered()
    time.sleep(seconds)
    meanwhile = traffic.answered() - before
    assert len(meanwhile) > SHARE * traffic.rate * seconds
    return meanwhile
