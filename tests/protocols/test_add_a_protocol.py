"""docs/add-a-protocol.md, followed word by word on a copy of the repository: its files are added, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from strandline_cli.testing import documented
from strandline_cli.testing.lint import tracked

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = """\
- hosts: sensors
  gather_facts: false
  vars_files: [../roles/unit_sandbox/vars/main.yml]
  vars:
    __listener_python_listener: "{{ listener_python_listeners | selectattr('name', 'eq', 'finger') | first }}"
    units: ../roles/listener_python/templates/etc/systemd/system
  tasks:
    - ansible.builtin.include_role: {name: listener_python, tasks_from: preflight, public: true}
    - ansible.builtin.copy:
        content: "{{ dict(names | zip(lookup('ansible.builtin.vars', *names, wantlist=true))) | to_json }}"
        dest: "{{ out }}/variables.json"
        mode: "0644"
      delegate_to: localhost
      vars:
        names: [base_inbound, event_forwarding_listeners, verify_listening]
    - ansible.builtin.template:
        src: "{{ units }}/strandline-listener.{{ item }}.j2"
        dest: "{{ out }}/strandline-finger.{{ item }}"
        mode: "0644"
      loop: [socket, service]
      delegate_to: localhost
    - ansible.builtin.copy:
        content: "{{ __listener_python_given | map('last') | map(attribute='key') | unique | sort | to_json }}"
        dest: "{{ out }}/given.json"
        mode: "0644"
      delegate_to: localhost
"""
PUBLISHED = """\
from datetime import timedelta

from publisher_fakes import END, row
from strandline.publisher import publish, window


def test_the_feed_is_published(settings, source):
    source.categories["fingerquery"] = [row("198.18.0.1")]
    publish.run(settings, source, window.ending_at(END), now=END + timedelta(minutes=3), accept=publish.Accept())
    assert "198.18.0.1" in (settings.webroot / "current" / "fingerquery.txt").read_text()
"""


class Copy:
    """A copy of the repository, and programs that run in it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.environment = {
            **os.environ, "PYTHONPATH": f"{top}:{top / 'files'}:{top / 'module_utils'}", "PYTHONDONTWRITEBYTECODE": "1",
            "ANSIBLE_CONFIG": str(top / "ansible.cfg"), "ANSIBLE_LOCALHOST_WARNING": "false",
        }  # fmt: skip

    def run(self, *argv: str | Path, **variables: str) -> str:
        """A program's output; its failure is the test's."""
        done = subprocess.run(
            argv, cwd=self.top, env=self.environment | variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, code: str) -> Any:
        """What a few lines of Python print as JSON."""
        return json.loads(self.run(sys.executable, "-c", f"import json\n{code}"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The repository with the files of the document."""
    top = tmp_path_factory.mktemp("copy")
    for name in tracked():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, top / name)
    written = documented.files()
    assert len(written) == 6
    for name, text in written:
        path = top / name
        if path.exists():
            assert len(text.splitlines()) == 1
            text = path.read_text(encoding="utf-8") + "\n\n" + text  # noqa: PLW2901
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    folders = {Path(name).parent for name, _ in written}
    assert folders == {Path("files/strandline/protocols/finger"), Path("files/demo/scanner/strandline_scanner")}
    return Copy(top)


@pytest.fixture
def listener(copy: Copy, tmp_path: Path) -> Iterator[tuple[int, socket.socket]]:
    """The daemon as systemd starts it: its port, and the socket that its events come to."""
    settings = copy.python(
        "from strandline_cli import listener_settings\nprint(json.dumps(listener_settings.environment('finger')))"
    )
    with (
        socket.create_server(("127.0.0.1", 0)) as served,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as events,
    ):
        events.bind(str(tmp_path / "events"))
        events.settimeout(10)
        command = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        program = copy.top / "files" / "strandline" / "sensor" / "listener"
        process = subprocess.Popen(
            ["bash", "-c", command, "-", str(served.fileno()), sys.executable, "-I", "-S", "-B", program, "finger"],
            pass_fds=[served.fileno()],
            env={**os.environ, **settings, "STRANDLINE_EVENT_SOCKET": str(tmp_path / "events")},
        )
        try:
            yield served.getsockname()[1], events
        finally:
            process.terminate()
            assert process.wait(10) == 0


def test_the_document_holds_the_files_of_one_folder_that_pass_our_linters(copy: Copy) -> None:
    folder = "files/strandline/protocols/finger"
    copy.run("ruff", "check", "--no-cache", folder, "files/demo/scanner/strandline_scanner/script.py")
    copy.run("yamllint", "--strict", folder)


@pytest.mark.slow
def test_docs_and_rules_follow(copy: Copy, tmp_path: Path) -> None:
    rendered = tmp_path / "patterndb.xml"
    copy.run(sys.executable, "files/strandline/event/render.py")
    copy.run(sys.executable, "files/strandline/event/render.py", "patterndb", rendered)
    assert "### finger.query" in (copy.top / "docs" / "events.md").read_text()
    assert 'program="strandline-finger"' in rendered.read_text()
    # The repository's own tests of rules, probes and feeds hold the new protocol like the others.
    (copy.top / "tests" / "publisher" / "test_finger.py").write_text(PUBLISHED)
    schema = copy.top / "module_utils" / "strandline_fleet" / "inventory" / "schemas" / "generated.schema.json"
    copy.run(sys.executable, "-m", "strandline_fleet.inventory.schema")
    assert "finger" in schema.read_text()
    tests = [
        "catalogue",
        "publisher/test_finger.py",
        "fleet/test_probes.py",
        "fleet/test_load.py",
        "collector/test_feeds.py",
    ]
    copy.run(
        sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider",
        "--basetemp", tmp_path / "pytest", *(f"tests/{name}" for name in tests),
    )  # fmt: skip


def rules_that_match(copy: Copy, lines: list[str]) -> list[list[str]]:
    """The events whose patterndb rule takes a line that the daemon wrote.

    pdbtool tests the rules with their own examples, in the tests' phase patterndb.
    """
    messages = [line[line.index("event=") :] for line in lines]
    found: list[list[str]] = copy.python(
        "from tests.catalogue.test_event_catalogue import EVENTS, pcre\n"
        f"print(json.dumps([[e.name for e in EVENTS if pcre(e).fullmatch(text)] for text in {messages!r}]))"
    )
    return found


def test_the_daemon_answers_heartbeat_and_canary_and_logs(copy: Copy, listener: tuple[int, socket.socket]) -> None:
    port, events = listener
    lines: list[str] = []

    def logged() -> str:
        lines.append(events.recv(8192).decode())
        return lines[-1]

    asked = (
        "from strandline.sensor.forwarding import asking\n"
        f"print(json.dumps(asking.answers('finger', '127.0.0.1', {port}, 'tcp')))"
    )
    assert copy.python(asked) is True
    assert re.search(r' proto=tcp query="canary-[0-9a-f]{20}"$', logged())
    sent = copy.python(
        "from strandline_fleet import canary, probes\n"
        "from strandline.protocols.client import mark\n"
        f"probe = probes.Probe('s', 'finger', '127.0.0.1', {port}, 'tcp', mark('finger'))\n"
        "print(json.dumps([canary.send(probe).failure, probe.event, *probe.value]))"
    )
    assert sent[:3] == ["", "finger.query", "query"]
    assert logged().endswith(f' query="{sent[3]}"')
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b'ro"ot\xff\r')
        stranger.sendall(b"\n")
        assert stranger.recv(99) == b"No one logged on.\r\n"
        assert stranger.recv(99) == b""
    assert logged().endswith(r' query="ro\x22ot\xff"')
    with socket.create_connection(("127.0.0.1", port)) as stranger:
        stranger.sendall(b"x" * 3000)
        assert stranger.recv(99) == b""
    assert " reason=oversize data=" in logged()
    assert rules_that_match(copy, lines) == [["finger.query"]] * 3 + [["finger.malformed"]]


def test_an_event_counts_for_its_feed(copy: Copy) -> None:
    counted = copy.python(
        "from pathlib import Path\n"
        "from strandline.event import feeds\n"
        "rules = feeds.parse(feeds.collect(Path('files/strandline')), 'feeds')\n"
        "print(json.dumps(rules.categories('finger.query', {'query': 'root'}, 'tcp', 79, True)))"
    )
    assert counted == ["fingerquery"]


@pytest.mark.slow
def test_firewall_ports_heartbeat_and_units_follow(copy: Copy, tmp_path: Path) -> None:
    playbook = copy.top / "playbooks" / "show.yml"
    playbook.write_text(PLAYBOOK)
    inventory = {
        "all": {
            "vars": {
                "fleet_admin_port": 22,
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
            },
            "children": {
                "sensors": {"hosts": {"s1": {"addresses": ["192.0.2.7"]}}},
                "collectors": {"hosts": {"c1": {"addresses": ["192.0.2.9"]}}},
            },
        }
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(inventory))
    copy.run("ansible-playbook", "-i", tmp_path / "hosts.yml", playbook, "-e", f"out={tmp_path}")
    variables = json.loads((tmp_path / "variables.json").read_text())
    port = {"port": 79, "proto": "tcp"}
    assert port in variables["base_inbound"]
    assert {**port, "unit": "strandline-finger.service"} in variables["verify_listening"]
    asked = [each for each in variables["event_forwarding_listeners"] if each["name"] == "finger"]
    assert asked == [{"name": "finger", "unit": "strandline-finger.service", "ports": [port]}]
    assert "\nListenStream=79\n" in (tmp_path / "strandline-finger.socket").read_text()
    service = (tmp_path / "strandline-finger.service").read_text()
    assert re.search(r"^ExecStart=\S+ -I -S -B \S+/sensor/listener finger$", service, re.MULTILINE)
    assert 'Environment="STRANDLINE_IDLE_SECONDS=30"' in service
    assert "server" in json.loads((tmp_path / "given.json").read_text())


def test_the_scanner_asks_it(copy: Copy) -> None:
    said = copy.python(
        "import sys; sys.path.insert(0, 'files/demo/scanner')\n"
        "from strandline_scanner.script import ACTIONS\n"
        "print(json.dumps([action.name for action in ACTIONS]))"
    )
    assert [name for name in said if name.startswith("finger")] == ["finger-1", "finger-2"]
