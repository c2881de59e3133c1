"""What a sensor says of itself: counters beyond their resets, what kernel, journal and syslog-ng tell, the events."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from strandline.event import catalogue as catalogue_files
from strandline.protocols.client import client
from strandline.sensor.forwarding import asking, heartbeat, sockets
from strandline.shared import journal, stats
from strandline.shared.journal import Entry
from strandline.shared.totals import MAX_KEYS, Totals

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE: dict[str, Any] = catalogue_files.load()


# --- totals ---


def test_a_total_goes_on_through_resets(tmp_path: Path) -> None:
    """Sockets and processes that come and go, and the watcher's own restarts, against the true sum."""
    dice = random.Random(3)
    path, truth, life = tmp_path / "totals.json", 0, ""
    living: dict[str, int] = {}
    for turn in range(300):
        for key in list(living):
            more = dice.randrange(4)
            living[key] += more
            truth += more
        totals = Totals.load(path)
        life = life or totals.life
        assert totals.life == life
        totals.observe("drops", living)
        assert totals.sum("drops") == truth
        totals.save()
        if turn % 3 == 0:
            living[f"socket{turn}"] = 0
        if living and dice.random() < 0.3:
            del living[dice.choice(sorted(living))]


def test_a_counter_that_fell_began_again(tmp_path: Path) -> None:
    totals = Totals(tmp_path / "t")
    for value in (5, 7, 2, 2, 3):
        totals.observe("drops", {"one": value})
    assert totals.sum("drops") == 7 + 3


def test_one_that_was_out_of_sight_is_not_counted_twice(tmp_path: Path) -> None:
    totals = Totals(tmp_path / "t")
    for seen in ({"one": 5}, {}, {"one": 6}):
        totals.observe("drops", seen)
    assert totals.sum("drops") == 6


def test_totals_are_bounded_and_survive_damage(tmp_path: Path) -> None:
    totals = Totals(tmp_path / "t")
    for number in range(MAX_KEYS + 50):
        totals.observe("drops", {f"k{number}": 1})
    assert (totals.sum("drops"), len(totals.raw["drops"])) == (MAX_KEYS + 50, MAX_KEYS)
    for damage in ("", "{", "[]", '{"life": 1}', '{"life": "x", "sums": {"a": "b"}, "raw": {}, "notes": {}}'):
        (tmp_path / "d").write_text(damage)
        fresh = Totals.load(tmp_path / "d")
        assert fresh.sums == {}
        assert fresh.life != totals.life


# --- the kernel ---

SS = """\
udp UNCONN 214528 0  127.0.0.1:53    0.0.0.0:* uid:101 ino:7341342 sk:128e cgroup:/x <-> skmem:(r214528,rb212992,t0,tb212992,f0,w0,o0,bl0,d17)
udp UNCONN 0      0  [fe80::8c3b%eth0]:53 [::]:* ino:9 sk:1 skmem:(r0,rb212992,t0,tb212992,f0,w0,o0,bl0,d1)
tcp LISTEN 0      128  0.0.0.0:22    0.0.0.0:* uid:995 ino:7334599 sk:1293 cgroup:/y <-> skmem:(r0,rb131072,t0,tb16384,f0,w0,o0,bl0,d4)
tcp LISTEN 0      1024         *:5060        *:* ino:7345173 sk:1297 v6only:0 <-> skmem:(r0,rb32768,t0,tb16384,f0,w0,o0,bl0,d0)
tcp LISTEN 0      1024 192.0.2.7:5900 0.0.0.0:* ino:77 sk:1
tcp LISTEN 0      1024 garbage
"""  # noqa: E501
RAW = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  58: 00000000:003A 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 104 2 0000000000000000 0
 209: 00000000:0029 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 88 2 0000000000000000 3
 226: 070200C0:0029 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 89 2 0000000000000000 0
"""


def test_sockets_and_their_drops() -> None:
    found = [*sockets.parse(SS), *sockets.parse_raw(RAW)]
    assert [(s.proto, s.address, s.port, s.inode, s.drops) for s in found] == [
        ("udp", "127.0.0.1", 53, "7341342", 17),
        ("udp", "fe80::8c3b", 53, "9", 1),
        ("tcp", "0.0.0.0", 22, "7334599", 4),
        ("tcp", "*", 5060, "7345173", 0),
        ("tcp", "192.0.2.7", 5900, "77", 0),
        ("ipv6", "0.0.0.0", 0, "88", 3),
        ("ipv6", "192.0.2.7", 0, "89", 0),
    ]
    assert [sockets.reachable(found, *where) for where in (("udp", 53), ("tcp", 22), ("tcp", 5060), ("tcp", 5900))] == [
        *["127.0.0.1"] * 3,
        "192.0.2.7",
    ]
    assert sockets.reachable(found, "tcp", 53) is None
    assert sockets.reachable(found, "ipv6", 0) == "127.0.0.1"


@pytest.mark.skipif(os.geteuid() != 0, reason="raw sockets need root")
def test_a_raw_socket_of_this_host_is_found() -> None:
    """By what this kernel has, whatever ss knows of it."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, sockets.IPV6_IN_IPV4) as raw:
        inode = str(os.fstat(raw.fileno()).st_ino)
        assert ("ipv6", inode) in {(found.proto, found.inode) for found in sockets.listening()}


def test_netstat() -> None:
    text = "IpExt: A\nIpExt: 9\nTcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 33\n"
    assert [sockets.netstat(text, name) for name in ("ListenOverflows", "ListenDrops", "Other")] == [22, 33, 0]
    assert sockets.netstat("", "ListenDrops") == 0


# --- syslog-ng ---


def test_what_syslog_ng_dropped() -> None:
    output = (
        "SourceName;SourceId;SourceInstance;State;Type;Number\n"
        "dst.file;d_spool#0;/var/spool/a;b.log;a;dropped;12\n"
        "dst.file;d_spool#0;/var/spool/c.log;o;dropped;3\n"
        "dst.file;d_spool#0;/var/spool/c.log;o;queued;99\n"
        "dst.syslog;d_collector#0;tls,192.0.2.1:6514;a;dropped;4\n"
        "nonsense\ndst.file;d_spool#0;x;a;dropped;-\n"
    )
    assert sum(stats.dropped(output, "d_spool").values()) == 15
    assert sum(stats.dropped(output, "d_collector").values()) == 4
    assert len(stats.dropped(output, "d_spool")) == 2


# --- the journal ---


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ("events dropped because syslog-ng did not take them: 3 more, 10 since the start", 3),
        ("sensor: 4 events dropped: /run/strandline/events/socket: Resource temporarily unavailable", 4),
        ("sensor: 4 events dropped: /run/strandline/events/socket: Connection refused\r", 4),
        ("sensor: 4 events dropped: /run/strandline/events/socket: No such file or directory [preauth]", 4),
        ("strandline: 5 events dropped: Connection refused", 5),
        ("Invalid user sensor: 4 events dropped: /run from 192.0.2.7 port 5", 0),
        ("x strandline: 5 events dropped: Connection refused", 0),
        ("strandline: five events dropped: Connection refused", 0),
    ],
)
def test_what_listeners_dropped(message: str, number: int) -> None:
    assert journal.dropped(message) == number


@pytest.mark.parametrize(
    ("message", "full"),
    [
        (
            "[2026-11-25T07:34:18.024685] I/O error occurred while writing; fd='18',"
            " error='No space left on device (28)'",
            True,
        ),
        (
            "[2026-11-25T07:34:18.024685] Error opening file for writing; filename='/var/spool/x',"
            " error='No space left on device (28)'",
            True,
        ),
        ("[2026-11-25T07:34:18.024685] Suspending write operation because of an I/O error; fd='18'", False),
        ("[2026-11-25T07:34:18.024685] I/O error occurred while writing; fd='9', error='Broken pipe (32)'", False),
        ("hello error='No space left on device (28)'", False),
    ],
)
def test_what_a_full_disk_looks_like(message: str, full: bool) -> None:
    assert journal.is_full(message) == full


def test_failed_writes_make_pauses(tmp_path: Path) -> None:
    """Two pauses, the first one seen in two looks; each lasts until the try behind its last failure."""
    totals = Totals(tmp_path / "t")
    second = 1_000_000
    looks = [[100, 102, 104], [106, 108], [300], []]
    for look in looks:
        journal.count_pauses(totals, "full", [Entry("syslog-ng.service", "", at * second) for at in look])
    assert totals.sum("full_pauses") == 2
    assert totals.sum("full_microseconds") == (8 + 2 + 2) * second


def test_the_journal_is_read_behind_the_cursor(tmp_path: Path) -> None:
    """A stand-in for journalctl: what is of no interest is left out, but moves the cursor, and so do bytes."""
    dropped = "strandline: 5 events dropped: Connection refused"
    entries = [
        {"__CURSOR": "c1", "__MONOTONIC_TIMESTAMP": "5", "_SYSTEMD_UNIT": "named.service", "MESSAGE": dropped},
        {"__CURSOR": "c2", "__MONOTONIC_TIMESTAMP": "6", "_SYSTEMD_UNIT": "named.service", "MESSAGE": [255, 10]},
        {"__CURSOR": "c3", "__MONOTONIC_TIMESTAMP": "7", "MESSAGE": None},
    ]
    said = "\n".join([*map(json.dumps, entries), "no JSON", "[]"])
    program = tmp_path / "journalctl.py"
    program.write_text(f"import sys; open({str(tmp_path / 'argv')!r}, 'w').write(repr(sys.argv)); print({said!r})")
    command = [sys.executable, str(program)]
    assert journal.read(["named.service"], "", command) == ([Entry("named.service", dropped, 5)], "c3")
    assert "after-cursor" not in (tmp_path / "argv").read_text()
    journal.read(["named.service"], "c0", command)
    assert "--after-cursor=c0" in (tmp_path / "argv").read_text()
    with pytest.raises(journal.JournalError, match="ended with 3"):
        journal.read([], "", [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(journal.JournalError, match="No such file"):
        journal.read([], "", ["/nonexistent"])


# --- asking ---


@pytest.fixture
def server() -> Iterator[Any]:
    """Starts a server on the loopback that says one thing to the first client; gives its port."""
    threads = []

    def start(proto: str, hears: bool, says: bytes) -> int:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)

        def serve() -> None:
            with sock:
                if proto == "udp":
                    _, who = sock.recvfrom(2000)
                    sock.sendto(says, who)
                    return
                client, _ = sock.accept()
                with client:
                    client.settimeout(5)
                    if hears:
                        client.recv(2000)
                    client.sendall(says)

        if proto == "tcp":
            sock.listen()
        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return int(sock.getsockname()[1])

    yield start
    for thread in threads:
        thread.join(timeout=6)


@pytest.mark.parametrize(
    ("kind", "proto", "says", "alive"),
    [
        ("ssh", "tcp", b"SSH-2.0-x\r\n", True),
        ("ssh", "tcp", b"220 hello\r\n", False),
        ("vnc", "tcp", b"RFB 003.008\n", True),
        ("dns", "udp", b"ST\x80\x05" + b"\0" * 8, True),
        ("dns", "udp", b"no", False),
        ("dns", "tcp", b"\0\x0cST\x80\x05" + b"\0" * 8, True),
        ("sip", "udp", b"SIP/2.0 200 OK\r\n\r\n", True),
        ("sip", "tcp", b"SIP/2.0 401 Unauthorized\r\n\r\n", True),
        ("sip", "tcp", b"", False),
        ("any", "tcp", b"", True),
        ("any", "tcp", b"hello", False),
    ],
)
def test_an_answer_is_known(server: Any, kind: str, proto: str, says: bytes, alive: bool) -> None:
    port = server(proto, kind in ("any", "dns", "sip"), says)
    assert asking.answers(kind, "127.0.0.1", port, proto) == alive


def test_nobody_and_somebody_who_stands_still_are_mute() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert not asking.answers("ssh", "127.0.0.1", closed.getsockname()[1], "tcp", 0.2)
    with socket.socket() as stopped:
        stopped.bind(("127.0.0.1", 0))
        stopped.listen()
        assert not asking.answers("ssh", "127.0.0.1", stopped.getsockname()[1], "tcp", 0.2)


def test_every_listener_of_the_catalogue_can_be_asked() -> None:
    listeners = catalogue_files.listeners(CATALOGUE)
    assert all(client(one["name"]) for one in listeners)
    assert all(one["unit"].endswith(".service") for one in listeners)


# --- telling ---


def configuration(tmp_path: Path, **changes: Any) -> Path:
    """A configuration file."""
    tree = {
        "socket": str(tmp_path / "socket"), "interval": 300, "spool": str(tmp_path), "pruned": str(tmp_path / "pruned"),
        "state": str(tmp_path / "now.json"), "kept": str(tmp_path / "kept.json"),
        "listeners": catalogue_files.listeners(CATALOGUE), **changes,
    }  # fmt: skip
    path = tmp_path / "heartbeat.json"
    path.write_text(json.dumps(tree))
    return path


def test_the_events_are_those_of_the_catalogue(tmp_path: Path) -> None:
    """Each has the fields of the catalogue in their order, and no byte that a token can't have."""
    found = heartbeat.load(configuration(tmp_path))
    now, kept = Totals(tmp_path / "now"), Totals(tmp_path / "kept")
    now.observe("ssh.kernel", {"tcp:1": 7})
    kept.observe("pruned_free", {"/s": 2})
    kept.observe("pruned_size", {"/s": 3})
    states = {one.name: heartbeat.Found("mute", ("53/udp",), ("53/tcp",), 9) for one in found.listeners}
    said = heartbeat.lines(found, states, now, kept)
    names = [f"sensor.{name}" for name in ("listener", "listener", "listener", "listener", "heartbeat")]
    assert [line.split()[0] for line in said] == [f"event={name}" for name in names]
    for line in said:
        fields = [word.partition("=") for word in line.split(" ")]
        event = fields[0][2]
        assert [name for name, _, _ in fields[6:]] == list(CATALOGUE["events"][event]["trusted"])
        assert all(text for _, _, text in fields)
    [of_ssh] = [line for line in said if " listener=ssh " in line]
    assert "kernel_drops=7 queue_drops=0" in of_ssh
    assert said[-1].endswith("pruned_age=0 pruned_space=5")


def test_events_are_written_as_listeners_write_them(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(str(tmp_path / "socket"))
        reader.settimeout(2)
        heartbeat.send(str(tmp_path / "socket"), ["event=sensor.heartbeat x=1"])
        head, _, text = reader.recv(8192).decode().partition(" - - ")
    assert head.startswith("<134>1 20")
    assert head.split()[2:4] == ["-", "strandline-sensor"]
    assert text == "event=sensor.heartbeat x=1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"listeners": [{"name": "ssh", "unit": "x", "ports": [{"port": 22, "proto": "tcp"}]}]},
            "listeners[0] unit: 'x' can't be used",
        ),
        (
            {"listeners": [{"name": "S", "unit": "x.service", "ports": [{"port": 22, "proto": "tcp"}]}]},
            "listeners[0] name: 'S' can't be used",
        ),
        ({"listeners": [{"name": "ssh", "unit": "x.service", "ports": []}]}, "listeners[0] ports: are missing"),
        ({"interval": "soon"}, "heartbeat.json interval: is not a whole number from 1 to 86400"),
        ({"intervall": 300}, "heartbeat.json intervall: is not a known setting"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, capsys: Any, change: dict[str, Any], says: str) -> None:
    path = configuration(tmp_path, **change)
    assert heartbeat.main([str(path), "--check"]) == 2
    assert says in capsys.readouterr().err


def test_a_right_configuration_passes(tmp_path: Path) -> None:
    assert heartbeat.main([str(configuration(tmp_path)), "--check"]) == 0


def test_pruned_events_by_reason(tmp_path: Path) -> None:
    path = tmp_path / "pruned.json"
    assert heartbeat.pruned(path) == {}
    path.write_text(json.dumps({"/s": {"age": {"lines": 5}, "size": {"lines": 2}}, "/t": {"age": {"lines": 1}}}))
    assert heartbeat.pruned(path) == {"age": {"/s": 5, "/t": 1}, "size": {"/s": 2}}
    path.write_text('{"/s": 5}')
    assert heartbeat.pruned(path) == {}


def test_it_speaks_even_when_nothing_can_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A heartbeat with failures is better than none: the collector learns what state the listeners are in."""

    def fail(*argv: str) -> str:
        raise subprocess.CalledProcessError(1, argv)

    monkeypatch.setattr(heartbeat, "run", fail)
    monkeypatch.setattr(sockets, "SS", ("/nonexistent",))
    monkeypatch.setattr(sockets, "listening", lambda: [])
    monkeypatch.setattr(journal, "read", lambda *_: (_ for _ in ()).throw(journal.JournalError("no journal")))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.bind(str(tmp_path / "socket"))
        reader.settimeout(2)
        assert heartbeat.main([str(configuration(tmp_path))]) == 1
        said = [reader.recv(8192).decode() for _ in range(5)]
    assert all("state=mute" in line for line in said[:4])
    assert "event=sensor.heartbeat" in said[4]
    assert "no journal" in capsys.readouterr().err
