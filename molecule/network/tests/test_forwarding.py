"""From a listener's socket to the collector's files: nothing lost, nothing forged, nobody let in."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from containers import poll
from machines import Machine, reconcile

SPOOL = "/var/spool/strandline/events"
PARSED = "/var/spool/strandline/parsed"
RAW = "/var/log/strandline/raw"
NUMBER = re.compile(r'run="([^"]+)" n="([0-9]+)"')

WRITE = r"""
import json, socket, sys, time
def connect():
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.connect("/run/strandline/events/socket")
    return s
s = connect()
for message in json.load(sys.stdin):
    pause = message.startswith("PAUSE")
    if pause:
        time.sleep(float(message[5:]))
        continue
    for attempt in range(50):
        try:
            s.send(message.encode("latin1"))
            break
        except OSError:
            time.sleep(0.1)
            s = connect()
    else:
        sys.exit("syslog-ng's socket is gone")
"""


def datagram(text: str, host: str = "-", data: str = "-") -> str:
    """What a listener sends (RFC 5424)."""
    return f"<134>1 2026-11-25T02:12:18.123456Z {host} strandline-ssh 77 - {data} {text}"


def event(mark: str, daddr: str, ident: str = "") -> str:
    """An event whose `ident` holds the mark; a benchmark source that no feed would show."""
    return (
        f"event=ssh.client saddr=198.51.100.99 sport=40000 daddr={daddr} dport=22 proto=tcp valid=yes"
        f' ident="{mark}{ident}"'
    )


@dataclass
class Way:
    """Both ends of the way, and a mark by which the events of one test are found again."""

    sensor: Machine
    collector: Machine
    mark: str
    folder: Path
    """For what ./strandline has to write."""

    def write(self, *messages: str) -> None:
        """Send datagrams as a listener does."""
        self.sensor.check("python3", "-c", WRITE, stdin=json.dumps(messages))

    def parsed(self, count: int, seconds: float = 60) -> list[dict[str, Any]]:
        """Return the lines of the parsed spool with the mark, once so many are there: events, then what is none."""
        find = f"cat {PARSED}/*.log {PARSED}/*.jsonl | grep -F {self.mark} || true"

        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = map(fields, self.collector.check("sh", "-c", find).splitlines())
            return len(found) >= count

        poll(look, seconds=seconds)
        assert len(found) == count, f"{len(found)} lines, {count} events"
        return found

    def all_arrive(self, numbers: set[tuple[str, str]]) -> None:
        """Wait until the database has each of these runs and numbers, once: by themselves, or as sent again.

        What was in the kernel's buffers when a connection broke arrives by `./strandline reconcile` alone.
        """
        query = (
            "SELECT json_build_array(r.run, e.n::text) FROM strandline.event e JOIN strandline.run r ON r.id = e.run_id"  # noqa: S608 - the mark is ours
            f" WHERE e.data->>'ident' LIKE '{self.mark}-%'"
        )
        found: list[tuple[str, str]] = []

        def look() -> bool:
            found[:] = map(tuple, self.collector.sql(query))
            return len(found) >= len(numbers)

        if not poll(look, seconds=15):
            print(f"{len(numbers) - len(found)} of {len(numbers)} were lost on the wire")
            reconcile(self.folder)
        assert poll(look, seconds=15)
        assert sorted(found) == sorted(numbers)

    def raw(self) -> dict[str, list[str]]:
        """The raw lines with the mark, by their file."""
        find = f"find {RAW} -name '*.log' -exec grep -HF {self.mark} {{}} + || true"
        files: dict[str, list[str]] = {}
        for line in self.collector.check("sh", "-c", find).splitlines():
            path, _, text = line.partition(":")
            files.setdefault(path.removeprefix(f"{RAW}/"), []).append(text)
        return files

    def spooled(self) -> list[str]:
        """The lines of the sensor's spool with the mark, in their order."""
        return self.sensor.check("sh", "-c", f"cat {SPOOL}/2*.log | grep -F {self.mark} || true").splitlines()


@pytest.fixture
def way(sensor: Machine, collector: Machine, tmp_path: Path) -> Iterator[Way]:
    """A sensor, the collector, and a mark of this test's own."""
    mark = f"mark-{secrets.token_hex(8)}"
    yield Way(sensor, collector, mark, tmp_path)
    # What was rejected here must not be taken for the scanner's; its numbers stay accounted
    # for as long as retention does not take it.
    collector.sql(
        "WITH past AS (UPDATE strandline.reject SET rejected_at = rejected_at - interval '1 day'"  # noqa: S608 - the mark is ours
        f" WHERE position('{mark}'::bytea in raw) > 0 RETURNING n) SELECT to_json(n) FROM past"
    )


def fields(line: str) -> dict[str, Any]:
    """What a line of the parsed spool says."""
    if line.startswith("{"):
        found: dict[str, Any] = json.loads(line)
        return found
    who, number, ts, rts, message, end = line.split("\t")
    assert end == "", "the tab behind the message says that the line is whole"
    sensor, run = who.split(" ")
    said = dict(re.findall(r'([a-z_]+)=("[^"]*"|[^ ]+)(?: |$)', message))
    return {"sensor": sensor, "run": run, "n": number, "ts": ts, "rts": rts, **said}


def rejects(way: Way, count: int) -> None:
    """Wait until the loader has put the rejects of this test away."""
    query = f"SELECT to_json(n) FROM strandline.reject WHERE position('{way.mark}'::bytea in raw) > 0"  # noqa: S608
    found: list[Any] = []

    def look() -> bool:
        found[:] = way.collector.sql(query)
        return len(found) >= count

    poll(look)
    assert len(found) == count


def test_an_event_arrives_as_it_was_written(way: Way) -> None:
    """The same line in spool and raw file, its fields in the parsed spool, time to the microsecond."""
    daddr = way.sensor.addresses[-1]
    text = event(way.mark, daddr, r"\x22 saddr=192.0.2.66")
    way.write(datagram(text))
    (found,) = way.parsed(1)
    number = {name: found.pop(name) for name in ("run", "n")}
    assert re.fullmatch(r"\d{16}-[0-9a-f]{4}", number["run"])
    assert re.fullmatch(r"1\d{9}\.\d{6}", found.pop("rts"))
    assert found == {
        "sensor": way.sensor.name, "ts": "1795572738.123456",
        "event": "ssh.client", "saddr": "198.51.100.99", "sport": "40000", "daddr": daddr, "dport": "22",
        "proto": "tcp", "valid": "yes", "ident": rf'"{way.mark}\x22 saddr=192.0.2.66"',
    }  # fmt: skip
    line = (
        f"<134>1 2026-11-25T02:12:18.123456+00:00 {way.sensor.name} strandline-ssh 77 - "
        f'[ev@32473 run="{number["run"]}" n="{number["n"]}"] {text}'
    )
    assert way.spooled() == [line]
    ((path, lines),) = way.raw().items()
    assert re.fullmatch(rf"{re.escape(way.sensor.name)}/{re.escape(daddr)}/20\d\d-\d\d-\d\d\.log", path)
    received, _, rest = lines[0].partition(" ")
    source, _, message = rest.partition(" ")
    assert source in way.sensor.addresses
    assert received.endswith("+00:00")
    assert (message, len(lines)) == (line, 1)


def test_a_sensor_is_its_certificate(way: Way, inventory: Any) -> None:
    """A host name in a message, another sensor's or a path, changes nothing."""
    other = next(m.name for m in inventory.members("sensors") if m is not way.sensor)
    daddr = way.sensor.addresses[0]
    way.write(*(datagram(event(way.mark, daddr), host=host) for host in (other, "../../../etc", "x" * 255)))
    assert {one["sensor"] for one in way.parsed(3)} == {way.sensor.name}
    assert {path.rpartition("/")[0] for path in way.raw()} == {f"{way.sensor.name}/{daddr}"}


def test_an_address_of_nobody_has_no_folder(way: Way) -> None:
    """Only addresses that the inventory gives this sensor become folders."""
    way.write(datagram(event(way.mark, "203.0.113.250")), datagram(event(way.mark, "2001:db8::1")))
    way.parsed(2)
    assert {path.rpartition("/")[0] for path in way.raw()} == {f"{way.sensor.name}/other"}


def test_a_message_brings_no_number(way: Way) -> None:
    """Structured data and what looks like it are replaced, or stay text."""
    daddr = way.sensor.addresses[0]
    forged = '[ev@32473 run="evil" n="7"]'
    way.write(
        datagram(event(way.mark, daddr), data=forged),
        datagram(event(way.mark, daddr), data=f'{forged}[x y="z"]'),
        datagram(f"{forged} {event(way.mark, daddr)}"),
    )
    found = way.parsed(3)
    assert "evil" not in {one["run"] for one in found}
    numbers = [int(one["n"]) for one in found]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert found[2]["reject"] == "unknown"
    assert found[2]["msg"].startswith(forged)
    rejects(way, 1)


def test_what_is_no_event_stops_no_event(way: Way) -> None:
    """Whatever comes, one line each, and the next event arrives."""
    daddr = way.sensor.addresses[0]
    good = datagram(event(way.mark, daddr))
    hostile = [
        f"no syslog {way.mark} at all",
        f"<134>1 2026-99-99T99:99:99Z - strandline-ssh - - - {way.mark}",
        f"<134>1 2026-11-25T02:12:18.123456Z - strandline-ssh\n<134>1 - - - - - - - {way.mark}",
        datagram(f"{way.mark}\nsecond line\r\nthird"),
        datagram(f"{way.mark}\xff\xfe${{HOST}} $(hostname) @ESTRING:x: @"),
        datagram(f"{event(way.mark, daddr)} trailing=1"),
        datagram(event(way.mark, daddr).replace("sport=40000", "sport=0x9c")),
        datagram(way.mark + "x" * 9000),
    ]
    messages = []
    for message in hostile:
        messages += [message, good]
    way.write(*messages)
    found = [one for one in way.parsed(2 * len(hostile)) if "reject" not in one]
    assert len(found) == len(hostile)
    assert {one["ident"] for one in found} == {f'"{way.mark}"'}
    assert max(map(len, way.spooled())) < 8192
    rejects(way, len(hostile))


def in_the_spool(way: Way, count: int) -> set[tuple[str, str]]:
    """Wait until the spool has so many events with the mark, each with an `ident` of its own; return their numbers."""
    poll(lambda: len(way.spooled()) >= count, seconds=30)
    lines = way.spooled()
    assert {line.rpartition("-")[2] for line in lines} == {f'{index}"' for index in range(count)}
    assert len(lines) == count
    return {(match[1], match[2]) for match in map(NUMBER.search, lines) if match}


def test_a_restart_on_the_sensor_loses_nothing(way: Way) -> None:
    """Events wait in the socket that systemd holds, and then in the spool; each run counts from 1."""
    daddr = way.sensor.addresses[0]
    count = 600
    messages = []
    for index in range(count):
        messages.append(datagram(event(way.mark, daddr, f"-{index}")))
        if index % 10 == 9:
            messages.append("PAUSE0.05")
    way.sensor.check("sh", "-c", "cat > /run/way.json", stdin=json.dumps(messages))
    way.sensor.check("sh", "-c", "cat > /run/way.py", stdin=WRITE)
    writer = ["systemd-run", "--unit=way", "--collect", "sh", "-c", "python3 /run/way.py < /run/way.json"]
    way.sensor.check(*writer)
    for verb in ("restart", "reload", "restart"):
        assert poll(way.spooled, seconds=10)
        way.sensor.check("systemctl", verb, "syslog-ng.service")
    numbers = in_the_spool(way, count)
    assert len(numbers) == count
    runs = {run for run, _ in numbers}
    assert len(runs) > 1
    assert all((run, "1") in numbers for run in sorted(runs)[1:])
    way.all_arrive(numbers)


def test_a_crash_on_the_sensor_loses_nothing_that_comes_after_it(way: Way) -> None:
    """Those that had come before are in the spool; those that come before syslog-ng is there again, in the socket."""
    daddr = way.sensor.addresses[0]
    way.write(*(datagram(event(way.mark, daddr, f"-{index}")) for index in range(100)))
    in_the_spool(way, 100)
    way.sensor.check("systemctl", "kill", "--signal=KILL", "syslog-ng.service")
    way.write(*(datagram(event(way.mark, daddr, f"-{index}")) for index in range(100, 200)))
    numbers = in_the_spool(way, 200)
    assert len(numbers) == 200
    way.all_arrive(numbers)


CLIENT = r"""
set -eu
cd "$(mktemp -d)"
ec="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc"
own=/etc/strandline/tls
openssl req -x509 $ec -days 2 -subj "/CN=$2" -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem
openssl req $ec -subj "/CN=$2" -keyout key2.pem -out csr.pem
openssl x509 -req -in csr.pem -CA $own/cert.pem -CAkey $own/key.pem -days 2 -out leaf.pem
text=$(cat)
try() {
    (printf '%s %s' "${#text}" "$text"; sleep 1) |
        timeout 10 openssl s_client -quiet -connect "$1:6514" $2 >/dev/null 2>err ||
        grep -o 'alert [a-z ]*' err | head -n 1
}
try "$1" ""
try "$1" "-cert cert.pem -key key.pem"
try "$1" "-cert leaf.pem -key key2.pem -cert_chain $own/cert.pem"
"""


def test_only_pinned_certificates_speak(way: Way) -> None:
    """None, one that nobody pinned under a sensor's name, and one that a sensor's own key signed: each refused."""
    address = way.collector.addresses[0]
    argv = ["bash", "-c", CLIENT, "client", address, way.sensor.name]
    alerts = way.sensor.check(*argv, stdin=datagram(event(way.mark, way.sensor.addresses[0]))).splitlines()
    assert len(alerts) == 3, alerts
    assert set(alerts[1:]) == {"alert unknown ca"}
    way.write(datagram(event(way.mark, way.sensor.addresses[0])))
    way.parsed(1)


def test_a_reload_of_the_collector_loses_nothing(way: Way) -> None:
    """As when a sensor is added: connections stay, and so does who they are."""
    daddr = way.sensor.addresses[0]
    for index in range(3):
        way.write(*(datagram(event(way.mark, daddr, f"-{index}-{i}")) for i in range(50)))
        way.collector.check("systemctl", "reload", "syslog-ng.service")
    assert {one["sensor"] for one in way.parsed(150)} == {way.sensor.name}


def test_the_spool_is_pruned(sensor: Machine) -> None:
    """A file beyond its age goes and is counted; the timer runs."""
    assert sensor.host.service("strandline-prune.timer").is_running
    old = f"{SPOOL}/2020-01-01.0.log"
    account = "/var/lib/strandline/pruned.json"
    sensor.check("sh", "-c", f"printf '' > {old}; touch -d 2020-01-01 {old}")
    sensor.check("systemctl", "start", "strandline-prune.service")
    assert not sensor.host.file(old).exists
    assert json.loads(sensor.check("cat", account))[SPOOL]["age"]["files"] >= 1


def test_events_are_nobody_elses_business(sensor: Machine, collector: Machine) -> None:
    """An ordinary account reads neither spool nor raw files nor keys, and writes no events."""
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    for host, paths in (
        (sensor, [SPOOL, "/etc/strandline/tls/key.pem"]),
        (collector, [RAW, PARSED, "/etc/strandline/tls/key.pem"]),
    ):
        for path in paths:
            assert host.run(*nobody, "sh", "-c", f"ls {path}/ || cat {path}").returncode != 0, path
    assert sensor.run(*nobody, "python3", "-c", WRITE, stdin='["x"]').returncode != 0
