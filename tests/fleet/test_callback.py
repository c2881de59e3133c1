"""What ansible-playbook shows by our callback: on a terminal, without one, with -v, and in its log."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
CLOSED = "127.83.17.3"  # an address of this machine on which nothing listens
INVENTORY = f"""
a ansible_connection=local
b ansible_connection=local
c ansible_connection=ssh ansible_host={CLOSED} ansible_port=9
"""
HEAD = """
- name: Do some things
  hosts: a:b
  gather_facts: false
  tasks:
"""


def environment(tmp_path: Path, **more: str) -> Mapping[str, str]:
    """What ansible-playbook runs in."""
    return {**os.environ, "STRANDLINE_LOG_DIRECTORY": str(tmp_path / "log"), "COLUMNS": "120", **more}


def command(tmp_path: Path, playbook: str, *arguments: str) -> list[str]:
    """Write the playbook and the inventory; return what runs it."""
    (tmp_path / "hosts").write_text(INVENTORY)
    (tmp_path / "things.yml").write_text(playbook)
    return ["ansible-playbook", f"--inventory={tmp_path}/hosts", str(tmp_path / "things.yml"), *arguments]


def play(tmp_path: Path, playbook: str, *arguments: str, **more: str) -> tuple[int, str]:
    """Run a playbook without a terminal: exit code and what was shown."""
    env = environment(tmp_path, ANSIBLE_NOCOLOR="1", **more)
    done = subprocess.run(
        command(tmp_path, playbook, *arguments), cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def on_terminal(tmp_path: Path, playbook: str, question: str = "", answer: str = "") -> str:
    """Run a playbook on a terminal of its own, and answer a question; return every byte that the terminal got."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command(tmp_path, playbook)], cwd=ROOT,
        env=environment(tmp_path, TERM="xterm"), stdin=follower, stdout=follower, stderr=follower,
    )  # fmt: skip
    os.close(follower)
    got = b""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if select.select([leader], [], [], 0.2)[0]:
            try:
                got += os.read(leader, 65536)
            except OSError:
                break
        elif process.poll() is not None:
            break
        elif question and question in got.decode():
            time.sleep(1)  # what would be drawn over the question has the time for it
            os.write(leader, answer.encode())
            question = ""
    os.close(leader)
    assert process.wait(10) == 0, got
    return got.decode()


def test_a_play_is_a_line_and_debug_is_printed_word_for_word(tmp_path: Path) -> None:
    code, said = play(
        tmp_path,
        HEAD
        + """
    - ansible.builtin.debug: {msg: "host  says\\n✘ a   not well"}
      run_once: true
    - ansible.builtin.debug: {msg: "I am {{ inventory_hostname }}"}
    - ansible.builtin.command: echo something
    - ansible.builtin.debug: {msg: "only with -v", verbosity: 1}
""",
    )
    assert code == 0
    lines = said.splitlines()
    assert lines[1:3] == ["host  says", "✘ a   not well"]
    assert sorted(lines[3:5]) == ["a: I am a", "b: I am b"]  # whichever host answers first
    assert re.fullmatch(r"✔ Do some things  0:\d\d  2 changed", lines[-1]), said
    assert "only with -v" not in said
    assert "something" not in said


def test_a_failure_has_host_task_and_message_and_no_dump(tmp_path: Path) -> None:
    code, said = play(
        tmp_path,
        HEAD
        + """
    - name: Look for a file
      ansible.builtin.command: ls /nonexistent
      when: inventory_hostname == 'b'
""",
    )
    assert code == 2
    assert "✘ b: Look for a file\n    non-zero return code\n    ls: cannot access '/nonexistent'" in said
    assert "✘ 1 failed: b, after 0:0" in said
    assert "rc:" not in said
    log = (tmp_path / "log" / "things-ansible.log").read_text()
    assert f"The whole output: {tmp_path}/log/things-ansible.log" in said
    assert "TASK [Look for a file]" in log
    assert "rc: 2" in log
    assert re.search(r"a +: ok=0 .* skipped=1", log)


def test_a_failing_item_is_named(tmp_path: Path) -> None:
    _, said = play(
        tmp_path,
        HEAD
        + """
    - name: Compare
      ansible.builtin.command: "test {{ item }} = x"
      loop: [x, y]
      when: inventory_hostname == 'a'
""",
    )
    assert said.count("✘ a: Compare") == 1
    assert "    y: non-zero return code" in said


def test_what_the_playbook_ignores_or_mends_is_no_failure_of_the_play(tmp_path: Path) -> None:
    code, said = play(
        tmp_path,
        HEAD
        + """
    - name: Ignore
      ansible.builtin.command: "false"
      ignore_errors: true
    - name: Mend
      when: inventory_hostname == 'a'
      block:
        - name: Try
          ansible.builtin.fail: {msg: for a reason}
      rescue:
        - ansible.builtin.debug: {msg: mended}
""",
    )
    assert code == 0
    assert "Ignore" not in said
    assert "! a: Try\n    for a reason\na: mended\n✔ Do some things" in said
    assert "✘" not in said


def test_a_host_that_is_not_reached_is_named_unless_the_playbook_does_it(tmp_path: Path) -> None:
    one_unreachable = """
- name: Reach all
  hosts: a:c
  gather_facts: false
  tasks:
    - name: Reach
      ansible.builtin.command: "true"
      ignore_unreachable: {ignore}
"""
    code, said = play(tmp_path, one_unreachable.format(ignore="false"))
    assert code == 4
    assert f"✘ c: Reach\n    not reached: ssh: connect to host {CLOSED} port 9: Connection refused" in said
    assert "✘ 1 not reached: c, after 0:0" in said
    code, said = play(tmp_path, one_unreachable.format(ignore="true"))
    assert code == 0
    assert "not reached" not in said


def test_secrets_stay_hidden_on_the_screen_and_in_the_log(tmp_path: Path) -> None:
    task = """
    - name: Use a secret
      ansible.builtin.shell: "echo not-for-you; echo not-for-you >&2; exit 1"
      no_log: true
"""
    for arguments in ([], ["-vv"]):
        code, said = play(tmp_path, HEAD + task, *arguments)
        assert code == 2
        assert "not-for-you" not in said
        assert "Use a secret" in said
    assert "not-for-you" not in (tmp_path / "log" / "things-ansible.log").read_text()


def test_what_hosts_say_moves_nothing_on_the_terminal(tmp_path: Path) -> None:
    _, said = play(
        tmp_path,
        HEAD
        + """
    - name: Trick
      ansible.builtin.fail: {msg: "\\e]8;;https://evil.example/\\a\\e[31mred \\u202e back\\r"}
""",
    )
    assert not set(said) & {"\x1b", "\x07", "\r", "\u202e"}
    assert "red" in said


def test_check_and_diff_show_what_would_change(tmp_path: Path) -> None:
    code, said = play(
        tmp_path,
        HEAD
        + f"""
    - name: Write a file
      ansible.builtin.copy: {{content: "new\\n", dest: "{tmp_path}/{{{{ inventory_hostname }}}}", mode: "0644"}}
    - name: Touch nothing
      ansible.builtin.file: {{path: "{tmp_path}", state: directory}}
    - name: Make a folder
      ansible.builtin.file: {{path: "{tmp_path}/f-{{{{ inventory_hostname }}}}", state: directory, mode: "0755"}}
""",
        "--check", "--diff",
    )  # fmt: skip
    assert code == 0
    assert said.count("~ a: Write a file") == 1
    assert "+new" in said
    assert "~ b: Make a folder" in said
    assert "Touch nothing" not in said
    assert "4 would change" in said


def test_verbose_is_like_the_default_callback(tmp_path: Path) -> None:
    _, said = play(tmp_path, HEAD + "    - name: Say\n      ansible.builtin.command: echo something\n", "-v")
    assert "TASK [Say] ***" in said
    assert "stdout: something" in said
    assert "PLAY RECAP" in said


def test_warnings_and_batches_are_shown(tmp_path: Path) -> None:
    _, said = play(
        tmp_path,
        HEAD.replace("gather_facts: false", "gather_facts: false\n  serial: 1")
        + "    - ansible.builtin.group_by: {key: 'not-a-name'}\n"
        + HEAD.replace("a:b", "nosuch")
        + "    - ansible.builtin.debug:\n",
        ANSIBLE_TRANSFORM_INVALID_GROUP_CHARS="always",
    )
    assert "✔ Do some things: a  0:0" in said
    assert "✔ Do some things: b  0:0" in said
    assert "- Do some things: no hosts" in said
    assert "Could not match supplied host pattern, ignoring: nosuch" in said


def test_without_a_terminal_a_long_task_is_told_now_and_then(tmp_path: Path) -> None:
    tasks = "    - name: Take a while\n      ansible.builtin.command: sleep 3\n"
    _, said = play(tmp_path, HEAD + tasks, STRANDLINE_INTERVAL="1")
    told = re.findall(r"^  0:\d\d  \d/2  Do some things: Take a while$", said, re.MULTILINE)
    ended = re.search(r"✔ Do some things  0:(\d\d)", said)
    assert ended
    assert 2 <= len(told) <= int(ended[1]), said
    _, said = play(tmp_path, HEAD + tasks, STRANDLINE_INTERVAL="600")
    assert "Take a while" not in said


def test_on_a_terminal_a_line_moves_and_leaves_nothing_behind(tmp_path: Path) -> None:
    got = on_terminal(
        tmp_path,
        HEAD
        + """
    - name: Take a while
      ansible.builtin.command: sleep 2
    - ansible.builtin.debug: {msg: done}
      run_once: true
""",
    )
    assert "0/2  Do some things: Take a while" in got
    # What stays on the screen: each line without what was erased before it.
    stays = [
        re.sub(r"\x1b\[[0-9;]*m", "", line.rsplit("\x1b[2K", 1)[-1]) for line in got.replace("\r\n", "\n").split("\n")
    ]
    assert [line for line in stays if line.strip()][:1] == ["done"]
    assert re.fullmatch(r"✔ Do some things  0:0\d  2 changed", [line for line in stays if line.strip()][-1])


def test_a_question_has_the_terminal_for_itself(tmp_path: Path) -> None:
    tasks = """
    - name: Ask
      ansible.builtin.pause: {prompt: Really}
      run_once: true
      register: asked
    - ansible.builtin.debug: {msg: "you said {{ asked.user_input }}"}
      run_once: true
"""
    got = on_terminal(tmp_path, HEAD + tasks, "Really", "yes\r")
    assert "you said yes" in got
    asked = got[got.index("Really") : got.index("yes")]
    assert "Do some things" not in asked


def test_a_log_is_kept_of_our_own_playbooks_alone_unless_a_folder_is_named(tmp_path: Path) -> None:
    own = {name: text for name, text in os.environ.items() if not name.startswith(("STRANDLINE_", "ANSIBLE_"))}
    own |= {"STRANDLINE_BUILD": str(tmp_path / "build"), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    subprocess.run(command(tmp_path, HEAD), cwd=tmp_path, env=own, check=True, capture_output=True)
    assert not list(tmp_path.rglob("*.log"))
    report = ["ansible-playbook", f"--inventory={ROOT}/inventory/example", f"{ROOT}/playbooks/report.yml"]
    said = subprocess.run([*report, "--check"], cwd=tmp_path, env=own, check=True, capture_output=True, text=True)
    log = tmp_path / "build" / "log" / "report-ansible.log"
    assert "TASK [Make the report]" in log.read_text(), said.stdout
