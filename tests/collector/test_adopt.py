"""Other daemons' logs become events of ours, each once, whatever stands in them. The database is PostgreSQL itself."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import local_postgres
import psycopg2
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from local_postgres import needs_postgresql
from other_logs import SENSORS, Truth, cowrie, dataplane, log, opencanary, syslog
from strandline.collector.adopt import dataplane as parser
from strandline.collector.adopt import documents, reading
from strandline.collector.adopt.found import CAPS, Found, Skip, message
from strandline.collector.adopt.origin import Origin, Unknown, in_path
from strandline.collector.adopt.store import Numbers
from strandline.collector.lines import decode
from strandline.event import catalogue, feeds

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "files"
NOW = datetime.now(UTC)
WHOLE = [truth for truth in log(400, 7, NOW)]


def place(found: Found) -> tuple[datetime, str, int, int]:
    """When, from where and to which port."""
    return found.moment, found.saddr, found.sport, found.dport


def event_of(found: Found, sensor: str = "ams1") -> dict[str, Any]:
    """What the loader makes of what was found."""
    daddr = found.daddr or SENSORS[sensor]
    line = f"{sensor} run\t1\t1764036738.000000\t1764036738.000000\t{message(found, daddr, found.ambiguous)}\t"
    record = decode(line.encode())
    return {"event": record.event, "verified": record.verified, "data": record.data, "cut": record.cut}


# What the lines say


@pytest.mark.parametrize("form", ["old", "iso", "new"])
@given(seed=st.integers(0, 10**6), sensor=st.sampled_from(sorted(SENSORS)))
def test_each_line_of_dataplane_says_what_happened(form: str, seed: int, sensor: str) -> None:
    truth = dataplane(random.Random(seed), NOW - timedelta(hours=3), sensor, form)
    found = parser.Reader(UTC, NOW.timestamp()).read(truth.line)
    assert place(found) == (truth.ts, truth.saddr, truth.sport, truth.dport)
    assert found.daddr in ("", truth.daddr)
    assert found.host == truth.daddr
    assert event_of(found, sensor) == {
        "event": truth.event, "verified": truth.verified, "data": truth.data, "cut": False,
    }  # fmt: skip


def test_each_event_has_the_fields_of_the_catalogue() -> None:
    known = {event.name: event for event in catalogue.read(catalogue.load())}
    rows = [*WHOLE, *(truth for _, truth in cowrie(20, 1, NOW) + opencanary(200, 1, NOW) if truth)]
    odd = [
        b"saddr: 192.0.2.1; sport: 1; daddr: 203.0.113.9; dport: 5900; vnc_version invalid",
        b"saddr: 192.0.2.1; sport: 1; proto: UDP4; content: GET / HTTP/1.1||",
        b"saddr: 192.0.2.1; sport: 1; proto: UDP4; content: SIP/2.0 200 OK||",
    ]
    found = [parser.fvncd(odd[0]), parser.fsipd(odd[1]), parser.fsipd(odd[2])]
    notify = b"Query: 192.0.2.1,5,203.0.113.9,17,1,0,NOTIFY,0,0,0,0,0,0,0,NOERROR,1,0,0,0,0,0,0,0,IN,SOA,x"
    found.append(parser.fdnsd(notify))
    seen = {truth.event: set(truth.data) for truth in rows}
    seen |= {event["event"]: set(event["data"]) for event in map(event_of, found)}
    for name, fields in seen.items():
        wanted = {*known[name].trusted, *(value.name for value in known[name].values)} - {"verified"}
        assert fields == wanted | {"origin", "ambiguous"}, name
        for value in known[name].values:
            assert CAPS.get(value.name, 256) == value.cap
    assert {"sip.malformed", "vnc.malformed", "vnc.auth", "dns.message", "ssh.key"} <= set(seen)


def test_what_a_stranger_writes_never_becomes_the_source_or_the_time() -> None:
    reader = parser.Reader(UTC, NOW.timestamp())
    forged = b"; saddr 192.0.2.66; sport 7"
    password = b"Password authentication attempt; saddr 192.0.2.1; sport 9; user a; password b"
    for text in (
        b"Client protocol version 2.0; client software version x%s; saddr 198.18.0.1; sport 9" % forged,
        b"Password authentication attempt; saddr 198.18.0.1; sport 9; user a%s; password b%s" % (forged, forged),
        b"Password authentication attempt; saddr 198.18.0.1; sport 9; user Jan  1 00:00:00 h sshd: x; password ",
    ):
        found = reader.read(syslog("iso", NOW, "h", "sshd", text))
        assert (found.saddr, found.sport, found.moment) == ("198.18.0.1", 9, NOW)
    # Another program's message may begin with what a stranger chose.
    with pytest.raises(Skip, match="not one of DataPlane"):
        reader.read(syslog("iso", NOW, "h", "app", password))


def test_an_ambiguous_password_is_named() -> None:
    found = parser.sshd(b"Password authentication attempt; saddr 198.18.0.1; sport 9; user a; password b; password c")
    assert found.ambiguous == ("user", "password")
    assert found.event.values == {"user": b"a", "password": b"b; password c"}
    short = parser.sshd(b"Password authentication attempt; saddr 198.18.0.1; sport 9; user a; password")
    assert short.event.values == {"user": b"a", "password": b""}
    assert short.ambiguous == ()


def test_dns_that_is_no_plain_question_is_a_message() -> None:
    line = "Query: 192.0.2.1,5,203.0.113.9,{},9,{},{},0,0,1,0,0,0,0,NOERROR,{},0,0,0,0,0,0,0,{},{},{}"
    cases = [("17", "1", "QUERY", "1", "IN", "A", "x", "response"),
             ("6", "0", "UPDATE", "1", "IN", "SOA", "x", "opcode"),
             ("17", "0", "QUERY", "0", "", "", "", "question")]  # fmt: skip
    for number, qr, opcode, count, qclass, qtype, qname, reason in cases:
        found = parser.fdnsd(line.format(number, qr, opcode, count, qclass, qtype, qname).encode())
        event = event_of(found)
        assert (event["event"], event["data"]["reason"], event["verified"]) == ("dns.message", reason, number == "6")
        assert event["data"]["qclass"] == (qclass or "-")


def test_a_year_is_given_by_when_the_file_was_changed() -> None:
    newest = datetime(2026, 1, 3, tzinfo=UTC).timestamp()
    text = b"Password authentication attempt; saddr 198.18.0.1; sport 9; user a; password b"
    reader = parser.Reader(UTC, newest)
    assert reader.read(b"Dec 31 23:00:00 h sshd: " + text).moment == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert reader.read(b"Jan  3 11:00:00 h sshd: " + text).moment == datetime(2026, 1, 3, 11, tzinfo=UTC)
    assert reader.read(b"Feb 29 11:00:00 h sshd: " + text).moment == datetime(2024, 2, 29, 11, tzinfo=UTC)
    for day in (b"Feb 30 11:00:00", b"Jan  0 11:00:00", b"Jan  1 25:00:00"):
        with pytest.raises(Skip, match="time"):
            reader.read(day + b" h sshd: " + text)


def test_cowrie_and_opencanary_say_what_happened() -> None:
    readers: list[tuple[Any, Sequence[tuple[bytes, Truth | None]]]] = [
        (documents.Cowrie(), cowrie(60, 3, NOW)), (documents.OpenCanary(), opencanary(300, 3, NOW)),
    ]  # fmt: skip
    for reader, rows in readers:
        seen = 0
        for line, truth in rows:
            try:
                found = reader.read(line)
            except Skip:
                assert truth is None, line
                continue
            assert truth is not None, line
            seen += 1
            assert place(found) == (truth.ts, truth.saddr, truth.sport, truth.dport)
            wanted = {"event": truth.event, "verified": truth.verified, "data": truth.data, "cut": False}
            assert event_of(found) == wanted
        assert seen > 100


# Anything at all


def survives(reader: Any, line: bytes) -> None:
    """The line is an event that the loader takes, or is left out for a reason."""
    try:
        found = reader.read(line)
    except Skip as skip:
        reason = str(skip)
    else:
        event_of(found)
        return
    assert reason.isascii()
    assert len(reason) < 120


@st.composite
def mutated(draw: st.DrawFn, lines: Sequence[bytes]) -> bytes:
    """A line with some of its bytes changed, cut or doubled."""
    line = draw(st.sampled_from(lines))
    at, length = draw(st.integers(0, len(line))), draw(st.integers(0, 12))
    return line[:at] + draw(st.binary(max_size=12)) + line[at + length :]


DATAPLANE = [truth.line for truth in WHOLE[:100]]
DOCUMENTS = [line for line, _ in cowrie(5, 1, NOW) + opencanary(40, 1, NOW)]


@given(line=st.one_of(st.binary(max_size=300), mutated(DATAPLANE)))
@example(line=b"<134>1 2026-11-28T00:00:00Z h sshd - - " + b'[a b="' * 2000)
@example(line=b"Nov 28 00:00:00 h sshd: Client protocol version 2.0; client software version x" + b"; saddr 1::" * 5000)
def test_no_line_of_syslog_breaks_the_reader(line: bytes) -> None:
    began = time.monotonic()
    survives(parser.Reader(UTC, NOW.timestamp()), line)
    assert time.monotonic() - began < 2


MESSAGES = [line.partition(b": ")[2] for line in DATAPLANE]


@given(
    daemon=st.sampled_from([name for name, _ in parser.DAEMONS]),
    text=st.one_of(st.binary(max_size=300), st.sampled_from(MESSAGES), mutated(MESSAGES)),
)
def test_no_message_breaks_a_daemons_reader(daemon: bytes, text: bytes) -> None:
    survives(parser.Reader(UTC, NOW.timestamp()), b"Nov 28 00:00:00 h " + daemon + b": " + text)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=5), one, max_size=3),
    max_leaves=6,
)
SESSION = b'{"eventid":"cowrie.session.connect","session":"s","src_ip":"192.0.2.1","src_port":1,"dst_port":2}'


@given(
    line=st.one_of(st.binary(max_size=200), mutated(DOCUMENTS)),
    base=st.sampled_from(DOCUMENTS),
    key=st.integers(0, 30),
    value=_json,
)
def test_no_document_breaks_the_readers(line: bytes, base: bytes, key: int, value: Any) -> None:
    changed = json.loads(base)
    names = sorted(changed)
    changed[names[key % len(names)]] = value
    for reader in (documents.Cowrie(), documents.OpenCanary()):
        survives(reader, SESSION)
        survives(reader, line)
        survives(reader, json.dumps(changed).encode())


# Files


def packed(data: bytes, form: str) -> bytes:
    """A file as operators keep them."""
    if form == "zst":
        return subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    if form == "gz":
        return gzip.compress(data)
    return lzma.compress(data) if form == "xz" else data


def lines_of(tmp_path: Path, data: bytes) -> list[reading.Line]:
    """The lines of a file."""
    path = tmp_path / "log"
    path.write_bytes(data)
    with path.open("rb") as file:
        return list(reading.lines(file))


FORMS = ["plain", "gz", "xz", *(["zst"] if shutil.which("zstd") else [])]


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_read_however_it_is_packed(form: str, tmp_path: Path) -> None:
    texts = [b"a" * (n % 900) for n in range(3000)]
    data = b"".join(text + (b"\r\n" if n % 2 else b"\n") for n, text in enumerate(texts))
    half = len(data) // 2
    whole = lines_of(tmp_path, packed(data[:half], form) + packed(data[half:], form))
    assert [line.text for line in whole] == texts
    assert [line.number for line in whole] == list(range(1, 3001))
    assert not any(line.wrong for line in whole)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_in_front_of_damage_is_read(form: str, tmp_path: Path) -> None:
    rng_lines = [os.urandom(30).hex().encode() for _ in range(9000)]
    file = packed(b"\n".join(rng_lines) + b"\n", form)
    found = lines_of(tmp_path, file[: len(file) * 2 // 3 + 5])
    *good, last = found
    assert [line.text for line in good] == rng_lines[: len(good)]
    assert len(good) > 2000
    assert last.wrong in (reading.DAMAGED, reading.UNFINISHED)


def test_long_lines_and_an_unfinished_one_are_left_out(tmp_path: Path) -> None:
    data = b"one\n" + b"x" * 300_000 + b"\ntwo\n" + b"y" * 70_000 + b"\nthree\nfour; saddr 192.0.2.1; sport 5"
    found = lines_of(tmp_path, data)
    assert [(line.number, line.text[:5], line.wrong) for line in found] == [
        (1, b"one", ""), (2, b"xxxxx", reading.TOO_LONG), (3, b"two", ""), (4, b"yyyyy", reading.TOO_LONG),
        (5, b"three", ""), (6, b"four;", reading.UNFINISHED),
    ]  # fmt: skip


@given(data=st.binary(max_size=400), start=st.sampled_from([b"", reading.GZIP, reading.XZ]))
def test_no_file_breaks_the_reader(data: bytes, start: bytes) -> None:
    for line in reading.lines(io.BytesIO(start + data)):
        assert len(line.text) <= reading.MAX_LINE


def test_equal_lines_are_told_apart_and_known_again() -> None:
    first, second = Numbers(), Numbers()
    lines = [b"a", b"b", b"a", b"a", b"c"]
    numbers = [first.of(line) for line in lines]
    assert len(set(numbers)) == 5
    assert sorted(numbers) == sorted(second.of(line) for line in sorted(lines))
    assert all(0 < number < 10**18 for number in numbers)


# Whose it is

KNOWN = {"203.0.113.9": "ams1", "2001:db8::9": "ams1", "203.0.113.77": "scl1"}


def test_the_path_tells_the_sensor_and_a_line_cannot() -> None:
    assert in_path("/logs/203.0.113.9/2026-11-27.log.gz") == ["203.0.113.9"]
    assert in_path("/logs/203.0.113.9.log.1") == ["203.0.113.9"]
    assert in_path("/logs/2001:db8::9.log.xz") == ["2001:db8::9"]
    assert in_path("/logs/1.2.3.4.5/300.1.1.1") == []
    origin = Origin("", [], KNOWN, "/logs/203.0.113.9/x.log")
    assert origin.of("203.0.113.77", "198.18.0.1") == ("ams1", "203.0.113.9", True)
    assert origin.of("203.0.113.77", "2001:db8:7::1") == ("ams1", "2001:db8::9", True)


def test_without_an_address_in_the_path_each_line_tells() -> None:
    origin = Origin("", [], KNOWN, "/logs/all.log")
    assert origin.of("203.0.113.77", "198.18.0.1") == ("scl1", "203.0.113.77", True)
    assert origin.of("203.0.113.77", "2001:db8:7::1") == ("scl1", "203.0.113.77", False)
    for host in ("ams1", "192.0.2.99", ""):
        with pytest.raises(Skip, match="sensor"):
            origin.of(host, "198.18.0.1")


def test_a_sensor_that_cannot_be_told_is_refused_with_the_remedy() -> None:
    for sensor, own, path, remedy in (
        ("old1", [], "x", "--address"), ("", [], "/192.0.2.99/x", "--sensor NAME"),
        ("", [], "/203.0.113.9/203.0.113.77", "several"),
        ("a b", [], "x", "no name"), ("old1", ["nonsense"], "x", "no address"),
    ):  # fmt: skip
        with pytest.raises(Unknown, match=remedy):
            Origin(sensor, own, KNOWN, path)
    assert Origin("old1", ["192.0.2.99"], KNOWN, "x").of("203.0.113.9", "198.18.0.1") == ("old1", "192.0.2.99", True)


# The database


class World:
    """A PostgreSQL of its own with our schema, and the program as the playbook starts it."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder, self.server = folder, server
        self.dsn = f"{server} dbname=strandline"
        (folder / "feeds.yml").write_text(yaml.safe_dump(feeds.collect(FILES / "strandline"), sort_keys=False))
        database = f"{self.dsn} user=strandline_loader"
        loader = {"collector": "c1", "database": database, "feeds": str(folder / "feeds.yml")}
        (folder / "loader.yml").write_text(yaml.safe_dump(loader))
        (folder / "addresses.list").write_text("".join(f"{name} {at}\n" for name, at in sorted(SENSORS.items())))
        self.files = 0

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask as the database's administrator."""
        return local_postgres.ask(self.dsn, sql, *parameters)

    def empty(self) -> None:
        """Forget all events."""
        self.ask(
            "TRUNCATE strandline.event_row, strandline.sighting, strandline.sighting_day, strandline.sighting_fresh,"
            " strandline.tally, strandline.run, strandline.sensor, strandline.reject CASCADE"
        )

    def start(self, data: bytes, *options: str) -> subprocess.Popen[str]:
        """Start an import."""
        self.files += 1
        path = self.folder / f"log{self.files}"
        path.write_bytes(data)
        command = [sys.executable, "-m", "strandline.collector.adopt", "--config", str(self.folder / "loader.yml"),
                   "--sensors", str(self.folder / "addresses.list"), *(options or ("--by-address",))]  # fmt: skip
        with path.open("rb") as file:
            return subprocess.Popen(
                command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
                env={**os.environ, "PYTHONPATH": str(FILES)},
            )  # fmt: skip

    def adopt(self, data: bytes, *options: str, code: int = 0) -> str:
        """Import, and return what it said."""
        program = self.start(data, *options)
        out, err = program.communicate(timeout=120)
        assert program.returncode == code, (out, err)
        return out + err

    def events(self) -> Counter[str]:
        """What is stored, each event as text."""
        rows = self.ask(
            "SELECT e.ts, s.name, e.event, host(e.saddr), e.sport, host(e.daddr), e.dport, e.proto, e.verified, e.data"
            " FROM strandline.event e JOIN strandline.run r ON r.id = e.run_id"
            " JOIN strandline.sensor s ON s.id = r.sensor_id"
        )
        return Counter(repr((*row[:9], sorted(row[9].items()))) for row in rows)

    def sightings(self) -> dict[tuple[Any, ...], tuple[Any, ...]]:
        """What the publisher sees of each category and source in a week."""
        end = (NOW + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
        rows: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for (category,) in self.ask("SELECT DISTINCT category FROM strandline.sighting_day"):
            for row in self.ask(
                "SELECT host(saddr), first_seen, last_seen, events, verified_events FROM strandline.feed(%s, %s, %s)",
                category, end - timedelta(days=7), end,
            ):  # fmt: skip
                rows[category, row[0]] = row[1:]
        return rows


def rows_of(truths: Sequence[Truth]) -> Counter[str]:
    """What must be stored."""
    return Counter(repr((*truth[1:10], sorted(truth.data.items()))) for truth in truths)


def sightings_of(truths: Sequence[Truth]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """What the publisher must see."""
    seen: dict[tuple[Any, ...], list[Truth]] = defaultdict(list)
    for truth in truths:
        for category in truth.categories:
            seen[category, truth.saddr].append(truth)
    return {
        key: (min(t.ts for t in some), max(t.ts for t in some), len(some), sum(t.verified for t in some))
        for key, some in seen.items()
    }


def joined(truths: Sequence[Truth]) -> bytes:
    """Their lines as a file."""
    return b"".join(truth.line + b"\n" for truth in truths)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A PostgreSQL with our schema."""
    with local_postgres.server() as where:
        yield World(tmp_path_factory.mktemp("adopt"), where)


@pytest.fixture
def world(server: World) -> World:
    """It, without events."""
    server.empty()
    return server


@pytest.mark.slow
@needs_postgresql
def test_a_log_is_stored_as_it_happened_once_and_fills_the_feeds_week(world: World) -> None:
    said = world.adopt(joined(WHOLE))
    assert world.events() == rows_of(WHOLE)
    assert world.sightings() == sightings_of(WHOLE)
    assert f"{len(WHOLE)} events stored, 0 were stored before, 0 lines left out" in said
    # Again, packed, in pieces that overlap, and joined in another order: nothing is counted twice.
    for form in FORMS:
        assert f"0 events stored, {len(WHOLE)} were stored before" in world.adopt(packed(joined(WHOLE), form))
    world.adopt(joined(WHOLE[:250]))
    world.adopt(joined(WHOLE[100:]))
    world.adopt(joined(WHOLE[200:] + WHOLE[:200]))
    assert world.events() == rows_of(WHOLE)
    assert world.sightings() == sightings_of(WHOLE)
    assert world.ask("SELECT sum(stored), sum(late) FROM strandline.tally") == [(len(WHOLE), 0)]


@needs_postgresql
def test_equal_lines_are_events_of_their_own(world: World) -> None:
    truths = [*WHOLE[:5], WHOLE[4], WHOLE[4], *WHOLE[5:9]]
    world.adopt(joined(truths))
    world.adopt(joined(truths[2:]))
    assert world.events() == rows_of(truths)
    assert world.sightings() == sightings_of(truths)


@pytest.mark.slow
@needs_postgresql
def test_an_import_that_is_killed_and_started_again_stores_each_event_once(world: World) -> None:
    truths = log(14_000, 11, NOW, sensors=["ams1", "scl1"])
    stopped = 0
    for goal in (1, 5000):
        program = world.start(joined(truths))
        while program.poll() is None:
            if world.ask("SELECT coalesce(sum(stored), 0) >= %s FROM strandline.tally", goal)[0][0]:
                program.send_signal(signal.SIGKILL)
                break
            time.sleep(0.02)
        program.communicate()
        (stored,) = world.ask("SELECT count(*) FROM strandline.event_row")[0]
        stopped += 0 < stored < len(truths)
        # Rows, account and sightings agree at each moment.
        assert world.ask("SELECT sum(stored) FROM strandline.tally") == [(stored,)]
    assert stopped, "it was never killed in the middle"
    world.adopt(joined(truths))
    assert world.events() == rows_of(truths)
    assert world.sightings() == sightings_of(truths)


@needs_postgresql
def test_a_dry_run_says_what_would_be_stored_and_stores_nothing(world: World) -> None:
    world.adopt(joined(WHOLE[:100]))
    tables = ("event_row", "run", "sensor", "event_kind", "tally", "sighting", "sighting_fresh", "reject")
    count = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM strandline.{name}" for name in tables)  # noqa: S608
    count += " UNION ALL SELECT 'relations', count(*) FROM pg_class"
    before = world.ask(count)
    said = world.adopt(joined(WHOLE), "--by-address", "--dry-run")
    assert f"{len(WHOLE) - 100} events would be stored, 100 were stored before" in said
    assert world.ask(count) == before
    assert f"{len(WHOLE) - 100} events stored" in world.adopt(joined(WHOLE))


@needs_postgresql
@pytest.mark.parametrize(("kind", "rows"), [("cowrie", cowrie(80, 5, NOW)), ("opencanary", opencanary(400, 5, NOW))])
def test_logs_of_json_are_stored_as_it_happened(
    world: World, kind: str, rows: list[tuple[bytes, Truth | None]]
) -> None:
    data = b"".join(line + b"\n" for line, _ in rows)
    truths = [truth for _, truth in rows if truth]
    for _ in range(2):
        said = world.adopt(data, "--sensor", "ams1")
        assert f"read as {kind}: {len(rows)} lines" in said
        assert f"{len(rows) - len(truths)} lines left out" in said
    assert world.events() == rows_of(truths)
    assert world.sightings() == sightings_of(truths)


@needs_postgresql
def test_what_is_left_out_is_counted_by_reason_and_the_rest_is_stored(world: World) -> None:
    password = b"Password authentication attempt; saddr 198.18.0.1; sport 9; user a; password b"
    kept = int(world.ask("SELECT days FROM strandline.retention WHERE what = 'event'")[0][0])
    too_old = NOW - timedelta(days=kept + 2)
    to_zero = b"saddr: 127.0.0.1; sport: 1; daddr: 127.0.0.1; dport: 0; ProtocolVersion 003.008"
    odd = {
        "time: in the future": [syslog("iso", NOW + timedelta(hours=2), SENSORS["ams1"], "sshd", password)],
        "time: before 2016": [syslog("iso", datetime(2015, 1, 1, tzinfo=UTC), SENSORS["ams1"], "sshd", password)],
        "time: outside the days": [syslog("iso", too_old, SENSORS["ams1"], "sshd", password)] * 2,
        "not a line of syslog": [b"\x1b]0;owned\x07 \xff"] * 5,
        "an empty line": [b"", b"  "],
        "not one of DataPlane": [syslog("old", NOW, SENSORS["ams1"], "CRON", b"(root) CMD (x)")],
        "sensor: the line is from an address that no sensor": [syslog("iso", NOW, "192.0.2.99", "sshd", password)],
        "dport: 0 is no port": [syslog("iso", NOW, SENSORS["ams1"], "fvncd", to_zero)],
        "the file ends inside": [syslog("iso", NOW, SENSORS["ams1"], "sshd", password[:-20])],
    }  # fmt: skip
    flat = [line for lines in odd.values() for line in lines]
    data = joined(WHOLE[:50]) + b"\n".join(flat)
    said = world.adopt(data)
    assert world.events() == rows_of(WHOLE[:50])
    for reason, lines in odd.items():
        (row,) = [row for row in said.splitlines() if reason in row]
        assert row.split()[2] == str(len(lines)), row
    # The first three are shown, and no terminal obeys them.
    assert said.count("owned") == 3
    assert "\x1b" not in said
    assert f"line {51 + flat.index(b'')}" in said


@needs_postgresql
def test_a_foreign_file_is_an_error_and_changes_nothing(world: World) -> None:
    said = world.adopt(bz2.compress(joined(WHOLE)), code=3)
    assert "No line of it is an event" in said
    assert world.events() == Counter()


@needs_postgresql
def test_imports_do_not_look_like_numbers_that_are_missing(world: World) -> None:
    world.adopt(joined(WHOLE))
    assert world.ask("SELECT * FROM strandline.gaps()") == []
    since = NOW.date() - timedelta(days=9)
    account = world.ask("SELECT sum(stored), sum(missing), sum(lost) FROM strandline.account(%s)", since)
    assert account == [(len(WHOLE), 0, 0)]


@needs_postgresql
def test_a_sensor_of_former_times_can_be_named(world: World) -> None:
    some = [truth for truth in WHOLE if truth.event.startswith("ssh") and truth.sensor == "ams1"]
    said = world.adopt(joined(some), "--sensor", "old1", code=2)
    assert "--address" in said
    world.adopt(joined(some), "--sensor", "old1", "--address", "192.0.2.99")
    assert world.events() == rows_of([truth._replace(sensor="old1", daddr="192.0.2.99") for truth in some])


@needs_postgresql
def test_a_second_import_at_the_same_time_is_refused(world: World) -> None:
    with contextlib.closing(psycopg2.connect(world.dsn + " user=postgres")) as connection:
        connection.cursor().execute("SELECT pg_advisory_lock(hashtextextended('strandline.spool (adopt)', 0))")
        assert "Another import is under way" in world.adopt(joined(WHOLE), code=1)


@pytest.mark.slow
@needs_postgresql
def test_an_import_is_taken_back_as_the_runbook_says(world: World) -> None:
    world.adopt(joined(WHOLE))
    for statement in (line for line in (ROOT / "docs" / "adopt.md").read_text().splitlines() if "    DELETE" in line):
        world.ask(statement)
    for rule in feeds.load(world.folder / "feeds.yml").rules:
        backfill = [sys.executable, "-m", "strandline.collector.backfill", rule.category]
        config = ["--config", str(world.folder / "loader.yml")]
        env = {**os.environ, "PYTHONPATH": str(FILES)}
        subprocess.run([*backfill, *config], check=True, stdout=subprocess.DEVNULL, env=env)
    left = [truth for truth in WHOLE if truth.sensor != "ams1"]
    assert 0 < len(left) < len(WHOLE)
    assert world.events() == rows_of(left)
    assert world.sightings() == sightings_of(left)
