"""The watcher tells each change once, never a storm, and it arrives: by real servers on the loopback."""

from __future__ import annotations

import http.server
import json
import os
import random
import socketserver
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from strandline.collector.watch import __main__ as watch
from strandline.collector.watch import deliver, facts, judge, settings, tell
from strandline.collector.watch.judge import Collector, Known, Listener, Sensor, Told
from strandline.collector.watch.settings import Limits, Mail, Webhook
from strandline.shared.settings import ConfigurationError, Section

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=30)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LIMITS = Limits()


def sensor(name: str, minutes: float | None = 1, now: datetime = NOW, **changes: Any) -> Sensor:
    """A sensor that was heard so many minutes ago, all its listeners alive."""
    heard = None if minutes is None else now - minutes * MINUTE
    listeners = {} if heard is None else {name: Listener(heard, "alive", "-", now) for name in ("ssh", "dns")}
    return Sensor(name, changes.pop("since", LONG_AGO), heard, listeners=changes.pop("listeners", listeners), **changes)


def collector(**changes: Any) -> Collector:
    """A collector that has been well for long."""
    values: dict[str, Any] = {"name": "col1", "up_since": LONG_AGO, "hearing_since": LONG_AGO, **changes}
    return Collector(**values)


class World:
    """The watcher, round after round."""

    def __init__(self) -> None:
        self.now = NOW
        self.known: dict[str, Known] = {}
        self.hearing = LONG_AGO
        self.told: list[list[Told]] = []

    def round(self, sensors: list[Sensor], after: float = 1, **changes: Any) -> list[tuple[str, str]]:
        """Look again, so many minutes later; what was told."""
        self.now += after * MINUTE
        host = collector(hearing_since=self.hearing, **changes)
        found, judged = judge.observe(self.now, LIMITS, sensors, host, self.known)
        if not judged:
            self.hearing = self.now
        self.known, told = judge.step(self.now, LIMITS, self.known, found, collector="col1", judged=judged)
        if told:
            self.told.append(told)
        return [(one.subject, one.state) for one in told]

    def fleet(self, *silent: str, since: datetime = NOW, count: int = 5) -> list[Sensor]:
        """Sensors s1, s2, ..., all of them just heard but for those that are silent since a time."""
        return [
            sensor(name, 1 if name not in silent else (self.now - since) / MINUTE, now=self.now)
            for name in (f"s{number}" for number in range(1, count + 1))
        ]


@pytest.fixture
def world() -> World:
    """One that is well."""
    made = World()
    assert made.round(made.fleet()) == []
    return made


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        (judge.Publisher("pub1", NOW, NOW + HOUR), "ok", ""),
        (judge.Publisher("pub1", NOW, None), "ok", ""),
        (judge.Publisher("pub1", NOW, NOW + HOUR, ("dnsrd: 3 rows", "x")), "failing", "dnsrd: 3 rows (and 1 more)"),
        (judge.Publisher("pub1", NOW, NOW - MINUTE, ("no event has come for 30 hours",)), "stale", "no event has come"),
        (judge.Publisher("pub1", NOW - 5 * HOUR, NOW - HOUR), "stale", "held until 2026-11-25 11:00 UTC"),
        (judge.Publisher("pub1", NOW - 5 * HOUR, None), "silent", "has not run since 2026-11-25 07:00 UTC"),
    ],
)
def test_a_publisher_is_told_of_like_a_sensor(said: judge.Publisher, state: str, words: str) -> None:
    """Once when it fails or falls silent, once when it is well again."""
    known: dict[str, Known] = {}
    told: list[Told] = []
    for minute, one in enumerate((said, said, judge.Publisher("pub1", NOW + HOUR, NOW + 3 * HOUR))):
        now = NOW + minute * MINUTE
        found = judge.publishers(now, [one])
        known, news = judge.step(now, LIMITS, known, found, collector="col1", judged=True)
        told += news
    assert [(one.subject, one.state) for one in told] == (
        [] if state == "ok" else [("publisher pub1", state), ("publisher pub1", "ok")]
    )
    if told:
        assert words in told[0].text


def test_a_silent_sensor_is_told_once_and_once_when_it_is_back(world: World) -> None:
    told = [one for _ in range(60) for one in world.round(world.fleet("s2"))]
    assert told == [("sensor s2", "silent")]
    assert world.told[-1][0].text == "s2 has not been heard since 2026-11-25 12:00 UTC, 16 min"
    assert [one for _ in range(60) for one in world.round(world.fleet())] == [("sensor s2", "ok")]


def test_many_at_once_are_one_message(world: World) -> None:
    for _ in range(40):
        world.round(world.fleet("s1", "s2", "s3", "s4"))
    assert [len(told) for told in world.told] == [4]


def test_its_listeners_are_not_told_beside_a_silent_sensor(world: World) -> None:
    dead = {"ssh": Listener(NOW, "mute", "22/tcp", None)}
    assert world.round([sensor("s1", listeners=dead), sensor("s2")]) == [("listener s1 ssh", "dead")]
    silent = [sensor("s1", 20, now=world.now + MINUTE, listeners=dead), sensor("s2", 1, now=world.now + MINUTE)]
    assert world.round(silent) == [("sensor s1", "silent")]
    assert "listener s1 ssh" in world.known, "it is still known to have been told"
    assert world.round(world.fleet(count=2)) == [("listener s1 ssh", "ok"), ("sensor s1", "ok")]


@pytest.mark.parametrize(
    ("listener", "state", "text"),
    [
        (Listener(NOW, "inactive", "22/tcp", NOW), "dead", "s1: ssh: its service does not run"),
        (Listener(NOW, "mute", "53/udp+53/tcp", NOW), "dead", "does not answer on 53/udp, 53/tcp"),
        (Listener(NOW - 20 * MINUTE, "alive", "-", NOW), "silent", "has not spoken of it since"),
        (Listener(NOW, "alive", "-", NOW - timedelta(hours=49)), "quiet", "no visitor for 2 days"),
        (Listener(NOW, "alive", "-", None), "ok", ""),
    ],
)
def test_a_listener(listener: Listener, state: str, text: str) -> None:
    found, judged = judge.observe(NOW, LIMITS, [sensor("s1", listeners={"ssh": listener})], collector(), {})
    assert judged
    assert found["listener s1 ssh"].state == state
    assert text in found["listener s1 ssh"].text


def test_a_collector_that_hears_nothing_accuses_nobody(world: World) -> None:
    """Its network is gone for an hour, then everybody is back, one sensor excepted."""
    names = [f"s{number}" for number in range(1, 6)]
    since = world.now
    told = [one for _ in range(60) for one in world.round(world.fleet(*names, since=since))]
    assert told == [("collector col1", "deaf")]
    assert "none of its 5 sensors" in world.told[-1][0].text
    back = [world.round(world.fleet("s4", since=since)) for _ in range(20)]
    assert back[0] == [("collector col1", "ok")]
    assert [one for told in back[1:] for one in told] == [("sensor s4", "silent")]
    assert back.index([("sensor s4", "silent")]) >= LIMITS.silence / MINUTE, "it had the whole limit again"


def test_a_collector_that_just_started_says_so_once(world: World) -> None:
    """Off for three hours: nobody was heard, its syslog-ng runs for a minute."""
    names = [f"s{number}" for number in range(1, 6)]
    since, world.now = world.now, world.now + timedelta(hours=3)
    up = world.now
    told = [world.round(world.fleet(*names, since=since), up_since=up) for _ in range(3)]
    assert told == [[("collector col1", "deaf")], [], []]
    assert f"runs since {judge.stamp(up)}" in world.told[-1][0].text
    assert world.round(world.fleet(), up_since=up) == [("collector col1", "ok")]


def test_one_sensor_alone_can_not_tell(world: World) -> None:
    alone = World()
    assert alone.round([sensor("s1")]) == []
    told = [one for _ in range(30) for one in alone.round([sensor("s1", (alone.now - NOW) / MINUTE, now=alone.now)])]
    assert told == [("sensor s1", "silent")]
    assert "may be this collector's network" in alone.told[-1][0].text


def test_a_loader_that_is_behind_is_told_instead(world: World) -> None:
    names = [f"s{number}" for number in range(1, 6)]
    told = [one for _ in range(30) for one in world.round(world.fleet(*names), loader="the loader can't load: x")]
    assert told == [("loader col1", "behind")]
    assert [one for _ in range(10) for one in world.round(world.fleet())] == [("loader col1", "ok")]


def test_syslog_ng_that_does_not_run_is_told(world: World) -> None:
    assert world.round(world.fleet(), up_since=None) == [("collector col1", "stopped")]
    assert world.round(world.fleet()) == [("collector col1", "ok")]


def test_a_sensor_that_was_never_heard(world: World) -> None:
    fresh = World()
    told = []
    for _ in range(20):
        told.append(fresh.round([*fresh.fleet(count=2), sensor("new", None, since=NOW)]))
    assert [one for each in told for one in each] == [("sensor new", "silent")]
    assert len(told[: told.index([("sensor new", "silent")])]) >= 14
    assert "yet, not once" in fresh.told[-1][0].text


def test_a_flapping_sensor_is_damped(world: World) -> None:
    """Up and down every minute for two hours: three notices, one that says so, and one when it has settled."""
    for turn in range(120):
        world.round(world.fleet("s1", since=world.now - timedelta(hours=1)) if turn % 2 == 0 else world.fleet())
    states = [one.state for told in world.told for one in told]
    assert states == ["silent", "ok", "silent", "flapping"]
    for _ in range(40):
        world.round(world.fleet())
    assert [one.state for told in world.told for one in told][4:] == ["ok"]
    assert "settled" in world.told[-1][0].text
    assert world.round(world.fleet("s1", since=world.now - timedelta(hours=1))) == [("sensor s1", "silent")]


def test_a_disk_has_a_margin() -> None:
    one = World()
    free = [12, 10, 9, 10, 11, 9, 12]
    told = [one.round([sensor("s1", disk_free=percent, now=one.now)], after=1) for percent in free]
    assert [bool(each) for each in told] == [False, False, True, False, False, False, True]
    assert one.told[0][0].text == "s1: the spool's file system has 9 % left"
    host = [one.round([], disks={"/var": percent}) for percent in (50, 3, 3, 50)]
    assert host == [[], [("disk col1:/var", "full")], [], [("disk col1:/var", "ok")]]


def test_who_is_no_sensor_any_more_is_forgotten_without_a_word(world: World) -> None:
    for _ in range(20):
        world.round(world.fleet("s2"))
    assert world.round([one for one in world.fleet("s2") if one.name != "s2"]) == []
    assert not any("s2" in subject for subject in world.known)


def test_what_another_collector_knows_of_itself_stays(world: World) -> None:
    others = {
        f"{kind} col2{rest}": Known("x", NOW) for kind, rest in (("collector", ""), ("loader", ""), ("disk", ":/v"))
    }
    world.known |= others
    world.round(world.fleet())
    assert others.items() <= world.known.items()


@pytest.mark.slow
def test_whatever_happens_each_change_is_told_at_most_once() -> None:
    """Random worlds: a subject is never told the state that it was told before, and a round is one message."""
    dice = random.Random(7)
    for _ in range(20):
        one, last = World(), dict[str, str]()
        heard = {f"s{n}": one.now for n in range(6)}
        for _ in range(300):
            for name in heard:
                if dice.random() < dice.choice((0.02, 0.5)):
                    heard[name] = one.now
            fleet = [sensor(name, (one.now - at) / MINUTE, now=one.now) for name, at in heard.items()]
            before = len(one.told)
            one.round(fleet, loader="x" if dice.random() < 0.02 else "")
            assert len(one.told) <= before + 1
            for told in one.told[before:]:
                for each in told:
                    settled = "settled" in each.text
                    assert settled or last.get(each.subject, "ok") != each.state, each
                    last[each.subject] = each.state


# --- delivery ---


class Smtp(socketserver.StreamRequestHandler):
    """A mail server that takes everything, or nothing (RFC 5321, as far as a client needs it)."""

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self) -> None:
        server: Any = self.server
        self.say("220 test")
        while line := self.rfile.readline():
            verb = line.split()[0].upper() if line.split() else b""
            if verb == b"DATA":
                self.say("354 go on")
                body = b""
                while (part := self.rfile.readline()) != b".\r\n":
                    body += part.removeprefix(b".") if part.startswith(b"..") else part
                server.mails.append(body)
                self.say("250 ok")
            elif verb == b"QUIT":
                if not server.rude:
                    self.say("221 bye")
                return
            elif verb == b"RCPT" and server.refuses:
                self.say("550 nobody here")
            else:
                self.say("250 ok")


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted, and answers what the test wants."""

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.posts.append((self.path, dict(self.headers), json.loads(body)))
        if server.hangs:
            server.released.wait(5)
        self.send_response(server.status)
        if server.status == 302:
            self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Not on the test's output."""


@pytest.fixture
def smtp() -> Iterator[Any]:
    """A mail server on the loopback."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp) as server:
        server.mails, server.refuses, server.rude = [], False, False  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def hook() -> Iterator[Any]:
    """A web server on the loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        server.posts, server.status, server.hangs = [], 204, False  # type: ignore[attr-defined]
        server.released = threading.Event()  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.released.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


ITEMS = (
    Told("sensor ams1", "silent", "ams1 has not been heard since 2026-11-25 12:00 UTC, 15 min"),
    Told("listener scl1 ssh", "ok", "scl1: ssh lives again"),
)


def test_a_mail_arrives(smtp: Any) -> None:
    mail = Mail(("a@example.org", "b@example.org"), "strandline@col1.example.org", "127.0.0.1", smtp.server_address[1])
    deliver.by_mail(mail, deliver.mail_message(mail, "col1", (7, 8), NOW, ITEMS))
    (raw,) = smtp.mails
    found = message_from_bytes(raw, policy=policy.default)
    assert found["Subject"] == "[strandline] 1 silent: ams1; 1 well again: scl1 ssh"
    assert found["To"] == "a@example.org, b@example.org"
    assert found["Message-ID"] == f"<watch-7-8.{int(NOW.timestamp())}@col1>"
    text = found.get_content().replace("\r\n", "\n")
    assert text.startswith("- ams1 has not been heard since 2026-11-25 12:00 UTC, 15 min\n- scl1: ssh lives again\n")


def test_a_mail_that_was_taken_is_delivered_without_a_goodbye(smtp: Any) -> None:
    smtp.rude = True
    mail = Mail(("a@example.org",), "s@example.org", "127.0.0.1", smtp.server_address[1])
    deliver.by_mail(mail, deliver.mail_message(mail, "col1", (1,), NOW, ITEMS))
    assert len(smtp.mails) == 1


def test_a_mail_that_is_refused_is_a_failure(smtp: Any) -> None:
    smtp.refuses = True
    mail = Mail(("a@example.org",), "s@example.org", "127.0.0.1", smtp.server_address[1])
    with pytest.raises(deliver.DeliveryError, match="nobody here"):
        deliver.by_mail(mail, deliver.mail_message(mail, "col1", (1,), NOW, ITEMS))
    assert smtp.mails == []


def test_a_server_without_tls_gets_no_password(smtp: Any) -> None:
    mail = Mail(
        ("a@example.org",), "s@example.org", "127.0.0.1", smtp.server_address[1], "starttls", "user", "secret-word"
    )
    with pytest.raises(deliver.DeliveryError, match="STARTTLS"):
        deliver.by_mail(mail, deliver.mail_message(mail, "col1", (1,), NOW, ITEMS))
    assert "secret-word" not in repr(mail)


def test_a_webhook_gets_the_document_and_the_secret(hook: Any) -> None:
    webhook = Webhook(f"http://127.0.0.1:{hook.server_address[1]}/a/b?c=d", {"Authorization": "Bearer x"})
    deliver.by_webhook(webhook, deliver.document("col1", (7, 8), NOW, ITEMS))
    ((path, headers, body),) = hook.posts
    assert (path, headers["Authorization"], headers["Content-Type"]) == ("/a/b?c=d", "Bearer x", "application/json")
    assert (body["id"], body["collector"], body["time"]) == ("7-8", "col1", "2026-11-25T12:00:00+00:00")
    assert body["items"][0] == {"subject": "sensor ams1", "state": "silent", "text": ITEMS[0].text}
    assert body["text"].startswith("1 silent: ams1; 1 well again: scl1 ssh\n- ams1 has not")


@pytest.mark.parametrize("status", [302, 404, 500])
def test_any_other_answer_is_a_failure(hook: Any, status: int) -> None:
    hook.status = status
    with pytest.raises(deliver.DeliveryError, match=str(status)):
        deliver.by_webhook(Webhook(f"http://127.0.0.1:{hook.server_address[1]}/"), {})


def test_a_webhook_that_hangs_is_given_up(hook: Any) -> None:
    hook.hangs = True
    begun = time.monotonic()
    with pytest.raises(deliver.DeliveryError, match="timed out"):
        deliver.by_webhook(Webhook(f"http://127.0.0.1:{hook.server_address[1]}/", timeout=0.3), {})
    assert time.monotonic() - begun < 2


def test_a_title_names_a_few() -> None:
    many = [Told(f"sensor s{n}", "silent", "x") for n in range(100)]
    assert deliver.title(many) == "100 silent: s0, s1, s2, s3, s4, and 95 more"


def test_tries_come_later_and_later_and_end() -> None:
    waits = [watch.wait_after(tries) for tries in range(1, watch.GIVE_UP_TRIES + 1)]
    assert waits[0] == timedelta(minutes=1)
    assert waits[-1] is None
    assert all(wait is not None and wait <= watch.LONGEST_WAIT for wait in waits[:-1])
    assert timedelta(days=2) < sum((wait for wait in waits if wait), timedelta()) < timedelta(days=4)


# --- settings, facts ---


def tree(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """A configuration as the role writes it."""
    return {
        "collector": "col1", "database": "dbname=x", "limits": {"silence_minutes": 15},
        "mail": {"to": [], "sender": "s@example.org"}, "webhook": {"url": "", "headers": {}},
        "addresses": str(tmp_path / "addresses"), "disks": [str(tmp_path)], "loader_status": str(tmp_path / "status"),
        "stats": str(tmp_path / "stats"), "removed": str(tmp_path / "removed"), "run": str(tmp_path),
        "state": str(tmp_path), **changes,
    }  # fmt: skip


def test_without_recipients_nothing_is_sent(tmp_path: Path) -> None:
    assert watch.ways(settings.parse(Section("f", tree(tmp_path)))) == []
    both = tree(tmp_path, mail={"to": ["a@b"], "sender": "s@b"}, webhook={"url": "https://h.example.org/x"})
    assert watch.ways(settings.parse(Section("f", both))) == ["mail", "webhook"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"webhook": {"url": "http://hooks.example.org/"}}, "webhook url: has another scheme. Begin it with https://"),
        ({"webhook": {"url": "https://h/", "headers": {"X": "a\r\nY: b"}}}, "can't be a header"),
        ({"mail": {"to": ["a@b"], "sender": "s@b", "security": "ssl"}}, "Write one of none, starttls, tls"),
        ({"mail": {"to": ["a@b"], "sender": "s@b", "host": "m.example.org", "password": "x"}}, "in the clear"),
        ({"mail": {"to": ["a"], "sender": "s@b"}}, "no mail address"),
        ({"mail": {"to": ["a@b"], "sender": "s@b", "prot": 1}}, "watch.json mail prot: is not a known setting"),
        ({"limits": {"silence_minutes": "soon"}}, "limits silence_minutes: is not a number from 0.1 to 10080"),
        ({"limits": {"silense_minutes": 9}}, "limits silense_minutes: is not a known setting"),
        ({"state": 3}, "state: is missing or not a text"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        settings.parse(Section("watch.json", tree(tmp_path, **change)))


def test_the_loader_is_judged_by_its_status(tmp_path: Path) -> None:
    path, now = tmp_path / "status", NOW.timestamp()

    def said(**changes: Any) -> str:
        status = {"time": now - 1, "database": "connected", "lag_bytes": 0, "last_rts": None}
        path.write_text(json.dumps(status | changes))
        return facts.loader_trouble(path, now)

    assert "says nothing" in facts.loader_trouble(path, now)
    assert said() == ""
    assert said(lag_bytes=5, last_rts=(NOW - MINUTE).isoformat()) == ""
    assert "is behind: 5 bytes" in said(lag_bytes=5, last_rts=(NOW - 9 * MINUTE).isoformat())
    assert "can't load: gone" in said(database="gone")
    assert "for 10 min" in said(time=now - 600)


def test_names_of_sensors_from_the_list_of_addresses(tmp_path: Path) -> None:
    path = tmp_path / "addresses.list"
    path.write_text("# Ansible\nb 192.0.2.1\na 192.0.2.2\nb 192.0.2.3\n\n")
    assert facts.sensors_of(path) == ["a", "b"]


def test_disks_once_each(tmp_path: Path) -> None:
    found = facts.disks([tmp_path, tmp_path / "gone", tmp_path])
    assert list(found) == [str(tmp_path)]
    assert 0 <= found[str(tmp_path)] <= 100


def test_up_since() -> None:
    entered = str(int((time.clock_gettime(time.CLOCK_MONOTONIC) - 60) * 1e6))
    unit = {"ActiveState": "active", "ActiveEnterTimestampMonotonic": entered}
    since = facts.up_since(unit, NOW)
    assert since is not None
    assert abs((NOW - since).total_seconds() - 60) < 2
    assert facts.up_since({"ActiveState": "failed", "ActiveEnterTimestampMonotonic": "5"}, NOW) is None
    assert facts.up_since({}, NOW) is None


def test_a_database_that_is_away_is_told_once(tmp_path: Path, hook: Any) -> None:
    """Without the database a file remembers, and a way that failed is tried again."""
    webhook = {"url": f"http://127.0.0.1:{hook.server_address[1]}/"}
    config = settings.parse(Section("f", tree(tmp_path, webhook=webhook)))
    at = NOW.timestamp()
    for minute in range(3):
        watch.database_is_away(config, "refused", lambda minute=minute: at + 60 * minute)  # type: ignore[misc]
    assert hook.posts == []
    hook.status = 500
    watch.database_is_away(config, "refused", lambda: at + 240)
    hook.status = 200
    for minute in range(5, 20):
        watch.database_is_away(config, "refused", lambda minute=minute: at + 60 * minute)  # type: ignore[misc]
    assert len(hook.posts) == 2
    assert "can't be reached since" in hook.posts[1][2]["text"]
    assert [one.state for one in watch._returned(config)] == ["ok"]
    assert watch._returned(config) == []


def test_counters_of_the_collector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken over again and again, they say the same."""
    monkeypatch.setattr("strandline.shared.journal.read", lambda *_: ([], "c1"))
    (tmp_path / "run").mkdir()
    dropped = {"d_raw#0;/a": 1, "d_raw_other#0;/b": 2, "d_parsed#0;/c": 3, "d_rejects#0;/d": 1, "d_else#0;/e": 7}
    (tmp_path / "stats").write_text("".join(f"dst.file;{name};a;dropped;{n}\n" for name, n in dropped.items()))
    (tmp_path / "removed").write_text(json.dumps({"/parsed": {"size": {"lines": 9}}, "/raw": {"age": {"lines": 0}}}))
    for _ in range(3):
        found, trouble = facts.count(tmp_path / "run", tmp_path, tmp_path / "stats", tmp_path / "removed", "life1")
    assert trouble == ""
    values = {what: value for what, _, value in found}
    assert values == {"raw_drops": 3, "parsed_drops": 4, "full_pauses": 0, "full_seconds": 0, "parsed_removed": 9}
    facts.count(tmp_path / "run", tmp_path, tmp_path / "stats", tmp_path / "removed", "life2")
    assert json.loads((tmp_path / "run" / "totals.json").read_text())["sums"]["raw_drops"] == 6, "a new syslog-ng"


@pytest.mark.skipif(os.geteuid() != 0, reason="reads what another account may not")
def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "watch.json"
    assert watch.main(["--config", str(path), "--check"]) == 2
    assert "No such file" in capsys.readouterr().err
    path.write_text(json.dumps(tree(tmp_path)))
    assert watch.main(["--config", str(path), "--check"]) == 0
    assert watch.main(["--config", str(path), "--test"]) == 1
    assert "neither mail nor webhook" in capsys.readouterr().err


ITEM = {"subject": "renews ams1", "state": "due", "text": "ams1: 2027-03-01, renews for 24.00 EUR a year"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("{}", "must be a list"),
        ("[1]", "item 1: must be an object with subject, state, text"),
        (json.dumps([ITEM, {**ITEM, "more": "x"}]), "item 2: must be an object"),
        (json.dumps([{**ITEM, "text": "two\nlines"}]), "item 1: text must be a text of one line"),
        (json.dumps([{**ITEM, "subject": "x\x1b[2J"}]), "item 1: subject must be"),
        (json.dumps([{**ITEM, "state": 5}]), "item 1: state must be"),
        (json.dumps([{**ITEM, "text": "x" * 2001}]), "more than 2000 characters"),
    ],
)
def test_what_can_not_be_told_is_refused_and_nothing_sent(
    tmp_path: Path, hook: Any, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    config = settings.parse(
        Section("f", tree(tmp_path, webhook={"url": f"http://127.0.0.1:{hook.server_address[1]}/"}))
    )
    assert watch.tell_others(config, text) == 2
    assert says in capsys.readouterr().err
    assert hook.posts == []


def test_what_others_have_told_goes_out_without_the_database_too(
    tmp_path: Path, hook: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the database, the fleet scenario tells something."""
    url = f"http://127.0.0.1:{hook.server_address[1]}/"
    gone = {"database": "host=127.0.0.1 port=1 dbname=none user=none"}
    config = settings.parse(Section("f", {**tree(tmp_path, webhook={"url": url}), **gone}))
    assert watch.tell_others(config, json.dumps([ITEM])) == 0
    assert hook.posts[0][2]["items"] == [ITEM]
    assert watch.tell_others(config, "[]") == 0
    assert len(hook.posts) == 1  # and no empty message
    hook.status = 500
    assert watch.tell_others(config, json.dumps([ITEM])) == 1
    nobody = settings.parse(Section("f", tree(tmp_path)))
    assert watch.tell_others(nobody, json.dumps([ITEM])) == 1
    assert "collector_watch_mail_to" in capsys.readouterr().err
    assert tell.read("[]") == []
