"""Which connections a collector cuts when certificates count no longer: real ones, on the loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

TASKS = Path(__file__).resolve().parents[2] / "roles" / "collector" / "tasks" / "forget.yml"
RETIRED, RENEWED, OTHER = "127.0.3.2", "127.0.3.3", "127.0.3.4"


class Collector:
    """A port with connections from several addresses, both ends of each."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port = self.listener.getsockname()[1]

    def connect(self, address: str) -> socket.socket:
        """A connection from an address, as that end sees it."""
        client = self.stack.enter_context(
            socket.create_connection(self.listener.getsockname(), source_address=(address, 0))
        )
        self.stack.enter_context(self.listener.accept()[0])
        client.settimeout(0.5)
        return client


def is_open(client: socket.socket) -> bool:
    """Whether the other end is still there: nothing was said, and nothing was closed."""
    try:
        return client.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


@pytest.fixture
def collector() -> Iterator[Collector]:
    with ExitStack() as stack:
        yield Collector(stack)


def forget(directory: Path, collector: Collector, **variables: Any) -> list[str]:
    """Run the role's tasks here; returns what was asked of systemctl."""
    (directory / "bin").mkdir()
    (directory / "bin" / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{directory}/asked\n')
    (directory / "bin" / "systemctl").chmod(0o755)
    (directory / "peers").mkdir()
    (directory / "forget.yml").write_text(TASKS.read_text().replace("/usr/sbin/syslog-ng", "true"))
    given = {
        "__collector_peers": str(directory / "peers"),
        "__tls_identity_found": {"files": []},
        "collector_port": collector.port,
        "collector_forget": False,
        "collector_renewed": [],
        **variables,
    }
    play = {"hosts": "localhost", "gather_facts": False, "tasks": [{"ansible.builtin.include_tasks": "forget.yml"}]}
    (directory / "play.yml").write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [
            *("ansible-playbook", "-i", "localhost,", "-c", "local", str(directory / "play.yml")),
            *("-e", json.dumps(given), "-e", f"ansible_python_interpreter={sys.executable}"),
        ],
        env={
            **os.environ,
            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}",
            "ANSIBLE_STDOUT_CALLBACK": "default",
        },
        cwd=TASKS.parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    asked = directory / "asked"
    return asked.read_text().splitlines() if asked.exists() else []


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may end a connection")
def test_what_stands_by_old_certificates_is_cut_and_nothing_else(tmp_path: Path, collector: Collector) -> None:
    retired, old, kept, other = map(collector.connect, (RETIRED, RENEWED, RENEWED, OTHER))
    sensors = [{"name": "new", "addresses": [RENEWED]}, {"name": "other", "addresses": [OTHER]}]
    own = f"{RENEWED}:{kept.getsockname()[1]}"
    asked = forget(
        tmp_path,
        collector,
        collector_sensors=sensors,
        collector_renewed=[{"addresses": [RENEWED], "connections": [own]}],
    )
    assert [is_open(each) for each in (retired, old, kept, other)] == [False, False, True, True]
    assert "reload syslog-ng.service" in asked
    assert "restart syslog-ng.service" not in asked


@pytest.mark.slow
def test_nothing_happens_where_nothing_is_withdrawn(tmp_path: Path, collector: Collector) -> None:
    other = collector.connect(OTHER)
    assert forget(tmp_path, collector, collector_sensors=[{"name": "other", "addresses": [OTHER]}]) == []
    assert is_open(other)
