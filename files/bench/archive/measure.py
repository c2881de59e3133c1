"""A day of events into the archive: bytes an event, CPU seconds, memory. In a PostgreSQL of its own on this machine.

`./strandline bench archive` runs it. The events' values are as hard to pack as real ones: half of the passwords occur
once, each SIP request has a Call-ID and a tag of its own, sources come back as scanners do. Prints a line of JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import yaml
from strandline.event import catalogue

FILES = Path(__file__).resolve().parents[2]
SENSORS = 100
SOURCES = 30_000
SETTINGS = (
    "-c listen_addresses='' -c fsync=off -c autovacuum=off -c shared_buffers=256MB -c jit=off -c max_wal_size=4GB"
)
TICKS = os.sysconf("SC_CLK_TCK")
WORDS = string.ascii_letters + string.digits
USERS = ["root", "admin", "ubuntu", "test", "oracle", "postgres", "git", "user", "pi", "ftpuser"]
IDENTS = [
    "SSH-2.0-Go",
    "SSH-2.0-libssh_0.9.6",
    "SSH-2.0-libssh2_1.11.0",
    "SSH-2.0-OpenSSH_9.2p1 Debian-2",
    "SSH-2.0-PUTTY",
]
AGENTS = ["friendly-scanner", "PolycomSoundPointIP-SPIP_550-UA/3.3.2", "VaxSIPUserAgent/3.1", "Asterisk PBX", "pplsip"]
NAMES = ["example.com.", "example.net.", "example.org.", "version.bind.", ".", "www.example.com."]


def random_text(rng: random.Random, least: int, most: int, letters: str = WORDS) -> str:
    """A text that nobody writes twice."""
    return "".join(rng.choices(letters, k=rng.randint(least, most)))


class Maker:
    """Makes the fields of events."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.passwords = [random_text(rng, 5, 11) for _ in range(20_000)]

    def often(self, values: list[str]) -> str:
        """One of some values, the first ones much more often."""
        return values[int(len(values) * self.rng.random() ** 3)]

    def ssh_password(self) -> dict[str, str]:
        """A login: half of the passwords are of a list, half are tried once."""
        rng = self.rng
        password = self.often(self.passwords) if rng.random() < 0.5 else random_text(rng, 6, 14)
        user = self.often(USERS) if rng.random() < 0.8 else random_text(rng, 4, 9, string.ascii_lowercase)
        return {"method": "password", "user": user, "password": password}

    def ssh_client(self) -> dict[str, str]:
        """A client's version."""
        return {"valid": "yes", "ident": self.often(IDENTS)}

    def sip_request(self) -> dict[str, str]:
        """A call or a registration, with a Call-ID and a tag of its own."""
        rng = self.rng
        number, own = f"00{rng.randrange(10**11)}", f"{rng.randrange(100, 9999)}"
        host = f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}"
        return {
            "malformed": "-", "method": rng.choice(["OPTIONS", "INVITE", "REGISTER"]),
            "uri": f"sip:{number}@192.0.2.{own[:2]}",
            "from": f"<sip:{own}@192.0.2.1>;tag={random_text(rng, 10, 10, string.hexdigits)}",
            "to": f"<sip:{number}@192.0.2.1>", "contact": f"<sip:{own}@{host}:5060>",
            "call_id": random_text(rng, 32, 32, "0123456789abcdef"), "cseq": f"{rng.randrange(1, 200)} INVITE",
            "user_agent": self.often(AGENTS),
        }  # fmt: skip

    def dns_query(self) -> dict[str, str]:
        """A question, with an ID of its own."""
        rng = self.rng
        label = f"{random_text(rng, 8, 12, string.ascii_lowercase)}." if rng.random() < 0.3 else ""
        return {"id": str(rng.randrange(65536)), "opcode": "0", "rd": "1", "cd": "0", "ad": "0", "edns": "-",
                "udpsize": "-", "do": "0", "ecs": "0", "cookie": "0", "qclass": "IN",
                "qtype": self.often(["A", "ANY", "TXT", "AAAA"]),
                "qname": label + self.often(NAMES)}  # fmt: skip

    def telnet_login(self) -> dict[str, str]:
        """A login."""
        values = self.ssh_password()
        return {"user": values["user"], "password": values["password"]}


MIX: list[tuple[str, int, str, int]] = [
    ("ssh.password", 22, "tcp", 40), ("ssh.client", 22, "tcp", 15), ("sip.request", 5060, "udp", 20),
    ("dns.query", 53, "udp", 15), ("telnet.login", 23, "tcp", 10),
]  # fmt: skip


def rows(
    count: int, kinds: dict[str, tuple[int, tuple[str, ...]]], runs: list[int], midnight: datetime
) -> Iterator[str]:
    """The day's rows as COPY reads them, in the order in which they come."""
    rng = random.Random(1)  # noqa: S311 - no secret
    maker = Maker(rng)
    makers: dict[str, Callable[[], dict[str, str]]] = {name: getattr(maker, name.replace(".", "_")) for name, *_ in MIX}
    sources = [
        f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}"
        for _ in range(SOURCES)
    ]
    habits = [rng.choices(MIX, [weight for *_, weight in MIX])[0] for _ in range(SOURCES)]
    numbers = dict.fromkeys(runs, 0)
    begin = midnight.timestamp()
    for at in range(count):
        source = int(SOURCES * rng.random() ** 2.5)
        event, port, _, _ = habits[source]
        run = rng.choice(runs)
        numbers[run] += 1
        ts = begin + (at + rng.random()) * 86399 / count
        kind, names = kinds[event]
        own = makers[event]()
        values = "\\t".join(own.get(name, "") for name in names)
        moments = (
            datetime.fromtimestamp(moment, UTC).isoformat(sep=" ") for moment in (ts, ts + rng.uniform(0.001, 1))
        )
        yield "\t".join(
            (*moments, str(numbers[run]), str(run), str(rng.randrange(1024, 65536)), str(port), str(kind),
             sources[source], f"192.0.2.{run % 200 + 1}", values)
        )  # fmt: skip


class Lines(io.RawIOBase):
    """Rows as the file that psycopg2 reads."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines, self.left = lines, b""

    def read(self, size: int = -1) -> bytes:
        """As much as there is room for."""
        while len(self.left) < size:
            line = next(self.lines, None)
            if line is None:
                break
            self.left += line.encode() + b"\n"
        found, self.left = self.left[:size], self.left[size:]
        return found


def fill(dsn: str, count: int, midnight: datetime) -> None:
    """Store a day of events, with its account."""
    known = {event.name: event for event in catalogue.read(catalogue.load())}
    connection = psycopg2.connect(dsn, options="-c timezone=UTC")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT strandline.ensure_day(%s)", (midnight.date(),))
        cursor.execute(
            "INSERT INTO strandline.sensor (name) SELECT 'sensor' || g FROM generate_series(1, %s) g", (SENSORS,)
        )
        cursor.execute(
            "INSERT INTO strandline.run (sensor_id, run) SELECT id, '1764036738' || lpad(id::text, 6, '0') || '-00a1'"
            " FROM strandline.sensor RETURNING id"
        )
        runs = [row[0] for row in cursor.fetchall()]
        kinds = {}
        for name, _, proto, _ in MIX:
            fields = [*known[name].trusted, *(value.name for value in known[name].values)]
            names = tuple(field for field in fields if field != "verified")
            cursor.execute(
                "SELECT strandline.find_kind(%s, %s, %s, false, %s)", (name, proto, proto == "tcp", list(names))
            )
            kinds[name] = (cursor.fetchone()[0], names)
        columns = "ts, rts, n, run_id, sport, dport, kind, saddr, daddr, fields"
        cursor.copy_expert(
            f"COPY strandline.event_row ({columns}) FROM STDIN", Lines(rows(count, kinds, runs, midnight)), size=1 << 18
        )
        cursor.execute(
            "INSERT INTO strandline.tally SELECT run_id, timezone('UTC', ts)::date, count(*), 0, 0"
            " FROM strandline.event_row GROUP BY 1, 2"
        )
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    connection.close()


def database_bytes(dsn: str) -> int:
    """What the day's partition and its indexes take."""
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits"
            " WHERE inhparent = 'strandline.event_row'::regclass"
        )
        (size,) = cursor.fetchone() or (0,)
    connection.close()
    return int(size)


def ended_sessions(postmaster: int) -> float:
    """CPU seconds of the server's processes that have ended, as soon as no session is left (proc_pid_stat(5))."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        sessions = 0
        for process in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text(encoding="ascii").split():
            try:
                sessions += b"[local]" in Path(f"/proc/{process}/cmdline").read_bytes()
            except OSError:  # it has ended
                continue
        if not sessions:
            break
        time.sleep(0.05)
    fields = Path(f"/proc/{postmaster}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


def measure(top: Path, dsn: str, postmaster: int) -> dict[str, Any]:
    """Write the day, and say what that took."""
    archive = top / "archive"
    archive.mkdir()
    columns = catalogue.columns(catalogue.read(catalogue.load()))
    config = {"database": f"{dsn.replace('user=postgres', 'user=strandline_archive')}", "directory": str(archive),
              "columns": columns}  # fmt: skip
    (top / "archive.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    program = [sys.executable, "-m", "strandline.collector.archive", "write", "--config", str(top / "archive.yml")]
    before, begun = ended_sessions(postmaster), time.monotonic()
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begun
    after = ended_sessions(postmaster)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    files = sorted(archive.glob("day=*/*/*.parquet"))
    return {
        "bytes": sum(file.stat().st_size for file in files),
        "bytes_by_listener": {file.parent.name.partition("=")[2]: file.stat().st_size for file in files},
        "seconds": round(seconds, 2),
        "postgresql_cpu_seconds": round(after - before, 2),
        "peak_mib": used.ru_maxrss >> 10,
    }


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    options = parser.parse_args()
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="strandline-") as folder:
        home = Path(folder) / "database"
        home.mkdir(mode=0o700)
        Path(folder).chmod(0o755)
        if prefix:
            shutil.chown(home, "postgres")

        def run(program: str, *arguments: str) -> None:
            command = [*prefix, str(binaries / program), "-D", f"{home}/data", *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")

        run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        run("pg_ctl", "-w", "-l", f"{home}/log", "-o", f"-k {home} {SETTINGS}", "start")
        try:
            dsn = f"host={home} user=postgres dbname=strandline"
            connection = psycopg2.connect(f"host={home} user=postgres dbname=postgres")
            connection.autocommit = True
            with connection.cursor() as cursor:
                for role in ("owner", "loader LOGIN", "publisher LOGIN", "archive LOGIN"):
                    cursor.execute(f"CREATE ROLE strandline_{role}")
                cursor.execute("CREATE DATABASE strandline OWNER strandline_owner")
            connection.close()
            migrate = [sys.executable, str(FILES / "database" / "migrate.py"), "--dsn", dsn]
            subprocess.run(migrate, check=True, stdout=subprocess.DEVNULL)
            fill(dsn, options.events, midnight)
            stored = database_bytes(dsn)
            postmaster = int((home / "data" / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])
            earlier = resource.getrusage(resource.RUSAGE_CHILDREN)
            found = measure(Path(folder), dsn, postmaster)
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = used.ru_utime + used.ru_stime - earlier.ru_utime - earlier.ru_stime
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
    found |= {
        "events": options.events,
        "cpu_seconds": round(cpu, 2),
        "bytes_per_event": round(found["bytes"] / options.events, 1),
        "database_bytes_per_event": round(stored / options.events, 1),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
