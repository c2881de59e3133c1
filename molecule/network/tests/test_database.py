"""The database and its loader: who may do what, what a kill costs, what happens when either is away."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from containers import PSQL, poll
from jinja2 import Environment
from machines import ROOT, Machine

LOADER = ["runuser", "-u", "strandline-loader", "--"]
LIBRARY = ["env", "PYTHONPATH=/usr/lib/strandline", "PYTHONDONTWRITEBYTECODE=1"]
SPOOL = "/var/spool/strandline/parsed"
STATUS = "/run/strandline-loader/status.json"


def psql(collector: Machine, query: str) -> str:
    """Ask the database as its administrator; one bare value."""
    return collector.check(*PSQL, "--set=ON_ERROR_STOP=1", f"--command={query}").strip()


def as_loader(collector: Machine, query: str) -> tuple[int, str]:
    """Ask the database as the loader's account; exit status and all that was said."""
    done = collector.run(*LOADER, "psql", "-XAt", "-U", "strandline_loader", "-d", "strandline", "-c", query)
    return done.returncode, done.stdout + done.stderr


def lag(collector: Machine) -> int | None:
    """Bytes that the loader has still to read, as it says itself; None when it has not said."""
    done = collector.run("cat", STATUS)
    status: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return status["lag_bytes"] if status.get("database") == "connected" else None


def test_the_server_runs_with_what_it_was_given(collector: Machine) -> None:
    for name, value in {
        "server_version_num": "17",
        "timezone": "Etc/UTC",
        "synchronous_commit": "on",
        "fsync": "on",
        "ssl": "on",
        "jit": "off",
    }.items():
        assert psql(collector, f"SHOW {name}").startswith(value), name
    assert psql(collector, "SELECT count(*) FROM pg_settings WHERE pending_restart") == "0"
    assert psql(collector, "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL") == "0"
    assert psql(collector, "SELECT datcollate FROM pg_database WHERE datname = 'strandline'") == "C"


def test_no_way_in_asks_for_a_password(collector: Machine) -> None:
    methods = psql(collector, "SELECT string_agg(DISTINCT type || ' ' || auth_method, ',') FROM pg_hba_file_rules")
    assert set(methods.split(",")) <= {"local peer", "hostssl cert"}
    assert psql(collector, "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL") == "0"
    supers = psql(collector, "SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolsuper AND rolcanlogin")
    assert supers == "postgres"


def test_another_account_gets_nowhere(collector: Machine) -> None:
    for role in ("strandline_loader", "strandline_owner", "strandline_publisher", "postgres"):
        done = collector.run(
            "runuser", "-u", "nobody", "--", "psql", "-X", "-U", role, "-d", "strandline", "-c", "SELECT 1"
        )
        assert done.returncode != 0, role


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM strandline.event",
        "UPDATE strandline.event SET n = 0",
        "DELETE FROM strandline.reject",
        "DELETE FROM strandline.tally",
        "DROP VIEW strandline.event",
        "DROP TABLE strandline.event_row",
        "DELETE FROM strandline.event_row",
        "UPDATE strandline.event_row SET n = 0",
        "INSERT INTO strandline.event_kind (event) VALUES ('x')",
        "INSERT INTO strandline.event_before SELECT * FROM strandline.event_before",
        "TRUNCATE strandline.sighting",
        "UPDATE strandline.sighting_fresh SET events = 0",
        "DELETE FROM strandline.sighting_day",
        "CREATE TABLE public.x ()",
        "CREATE TABLE strandline.x ()",
        "UPDATE strandline.retention SET days = 1",
        "SELECT strandline.maintain()",
        "SELECT strandline.make_partition('event', '2026-01-01')",
        "SELECT pg_read_file('/etc/passwd')",
        "SET ROLE strandline_owner",
    ],
)
def test_the_loader_can_do_no_more_than_it_needs(collector: Machine, query: str) -> None:
    status, said = as_loader(collector, f"BEGIN; {query}; ROLLBACK")
    assert status != 0, said
    # A view that nobody can delete from says so before it looks who asks.
    assert any(word in said for word in ("permission denied", "must be owner", "cannot delete from view")), said


def test_partitions_stand_ready_for_a_week(collector: Machine) -> None:
    for parent in ("event_row", "sighting", "sighting_day"):
        ahead = psql(
            collector,
            f"""SELECT count(to_regclass('strandline.{parent}_p' || to_char(day, 'YYYYMMDD')))
                FROM generate_series(timezone('UTC', now()), timezone('UTC', now()) + '7 days', '1 day') day
            """,  # noqa: S608
        )
        assert ahead == "8"
    assert collector.host.service("strandline-database-maintenance.timer").is_running
    collector.check("systemctl", "start", "strandline-database-maintenance.service")


def test_maintenance_drops_what_is_too_old_and_a_late_event_finds_its_day(collector: Machine) -> None:
    out = psql(
        collector,
        """BEGIN;
           UPDATE strandline.retention SET days = 10 WHERE what = 'event';
           SELECT strandline.ensure_day((now() AT TIME ZONE 'UTC')::date - 10),
                  strandline.ensure_day((now() AT TIME ZONE 'UTC')::date - 11),
                  strandline.ensure_day((now() AT TIME ZONE 'UTC')::date + 2),
                  strandline.ensure_day((now() AT TIME ZONE 'UTC')::date + 3);
           UPDATE strandline.retention SET days = 9 WHERE what = 'event';
           SELECT (strandline.maintain()).dropped >= 1, to_regclass(
               'strandline.event_p' || to_char(now() AT TIME ZONE 'UTC' - interval '10 days', 'YYYYMMDD')) IS NULL;
           ROLLBACK""",
    )
    assert [line for line in out.splitlines() if "|" in line] == ["t|f|t|f", "t|t"]


def test_the_schema_is_what_the_files_say(collector: Machine) -> None:
    files = sorted(path.name for path in (ROOT / "files" / "database").glob("*.sql"))
    applied = psql(collector, "SELECT string_agg(name, ',' ORDER BY number) FROM strandline_migration.applied")
    assert applied.split(",") == files
    again = collector.check("python3", "/usr/lib/strandline/database/migrate.py")
    assert again == ""


def test_the_loader_is_confined(collector: Machine) -> None:
    pid = collector.check("systemctl", "show", "-P", "MainPID", "strandline-loader.service").strip()
    status = dict(
        line.split(":\t", 1) for line in collector.check("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line
    )
    assert status["CapEff"].strip() == "0000000000000000"
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    memory = int(status["VmRSS"].split()[0])
    print(f"\nloader: {memory / 1024:.1f} MiB resident")
    assert memory < 40 * 1024
    # It reaches the database by a file, so it can do without any network.
    shown = collector.check("systemctl", "show", "strandline-loader.service").splitlines()
    for effective in (
        "PrivateNetwork=yes",
        "ProtectSystem=strict",
        "PrivateDevices=yes",
        "RestrictAddressFamilies=AF_UNIX",
    ):
        assert effective in shown, effective


def test_a_broken_line_is_kept_with_its_reason_and_blocks_nothing(collector: Machine) -> None:
    mark = os.urandom(6).hex()
    text = json.dumps({"sensor": "test", "run": f"test-{mark}", "n": "1", "event": "?"}) + "\n"
    path = f"{SPOOL}/test-{mark}.jsonl"
    # The group comes from the directory.
    collector.check("sh", "-c", f"umask 027 && cat > {path}", stdin=text)
    query = f"SELECT reason || '|' || convert_from(raw, 'UTF8') FROM strandline.reject WHERE run = 'test-{mark}'"  # noqa: S608
    try:
        kept = poll(lambda: psql(collector, query), seconds=15)
        assert kept == f"ts: missing|{text.strip()}"
    finally:
        collector.check("rm", path)
        psql(collector, f"DELETE FROM strandline.reject WHERE run = 'test-{mark}'")  # noqa: S608
        psql(collector, f"DELETE FROM strandline.spool_position WHERE file = 'test-{mark}.jsonl'")  # noqa: S608


def test_nothing_was_rejected_or_miscounted(collector: Machine, rows: list[dict[str, Any]]) -> None:
    assert rows, "the scan has left rows"
    off = psql(
        collector,
        """SELECT count(*) FROM (SELECT run_id, count(*) AS c FROM strandline.event GROUP BY 1) e
           FULL JOIN (SELECT run_id, sum(stored) AS c FROM strandline.tally GROUP BY 1 HAVING sum(stored) > 0) t
           USING (run_id) WHERE e.c IS DISTINCT FROM t.c""",
    )
    assert off == "0"
    missing = psql(
        collector,
        """SELECT coalesce(sum(r.high_n - c.events), 0) FROM strandline.run r
           JOIN (SELECT run_id, count(*) AS events FROM strandline.event GROUP BY 1) c ON c.run_id = r.id
           WHERE r.run NOT LIKE 'adopted-%'""",
    )
    rejected = psql(collector, "SELECT count(*) FROM strandline.reject WHERE n IS NOT NULL AND run NOT LIKE 'test-%'")
    assert int(missing) <= int(rejected)


def test_backfill_changes_nothing_that_was_right(
    collector: Machine, feeds: dict[str, Any], rows: list[dict[str, Any]]
) -> None:
    assert rows
    backfill = [*LOADER, *LIBRARY, "python3", "-m", "strandline.collector.backfill"]
    query = "SELECT md5(string_agg(s::text, ',' ORDER BY category, hour, saddr)) FROM strandline.sighting s"
    before = psql(collector, query)
    for category in feeds:
        collector.check(*backfill, category)
    assert psql(collector, query) == before
    done = collector.run(*backfill, "none")
    assert done.returncode == 1
    assert "no feed 'none'; there are:" in done.stderr


def test_a_database_that_is_away_is_waited_for(collector: Machine) -> None:
    loader = ["systemctl", "show", "-P", "MainPID", "strandline-loader.service"]
    pid = collector.check(*loader)
    collector.check("systemctl", "stop", "postgresql@17-main.service")
    try:
        waiting = poll(lambda: lag(collector) is None, seconds=20)
        assert waiting, "the status file says why it waits"
        assert collector.host.service("syslog-ng").is_running
    finally:
        collector.check("systemctl", "start", "postgresql@17-main.service")
    assert poll(lambda: lag(collector) is not None, seconds=40)
    assert collector.check(*loader) == pid, "the same process goes on"


def test_a_killed_server_comes_back(collector: Machine) -> None:
    collector.check("systemctl", "kill", "--kill-whom=main", "--signal=KILL", "postgresql@17-main.service")
    assert poll(lambda: collector.run(*PSQL, "--command=SELECT 1").returncode == 0, seconds=30)
    assert poll(lambda: lag(collector) is not None, seconds=40)


def test_events_of_an_earlier_release_stay_as_they_are(collector: Machine) -> None:
    """Seen as before, and stored once when they come again: see tests/collector/migrated.py."""
    where = "/var/tmp/strandline-migrated-program"  # noqa: S108 - in a container of the test
    collector.check("mkdir", "-p", where)
    for name in ("migrated.py", "spool_lines.py"):
        content = base64.b64encode((ROOT / "tests" / "collector" / name).read_bytes()).decode()
        collector.check("sh", "-c", f"base64 -d > {where}/{name}", stdin=content)
    done = collector.run(
        "env", "PYTHONPATH=/usr/lib/strandline", "PYTHONDONTWRITEBYTECODE=1", "python3", f"{where}/migrated.py"
    )
    collector.run("rm", "-rf", where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["events"] > 0


def query(file: str, name: str, **variables: int) -> str:
    """The statements that a task of a playbook hands to psql."""
    found = [task for task in tasks_in(yaml.safe_load((ROOT / "playbooks" / file).read_text())) if task["name"] == name]
    text: str = found[0]["ansible.builtin.command"]["stdin"]
    return Environment(autoescape=False, trim_blocks=True).from_string(text).render(**variables)  # noqa: S701 - SQL


def tasks_in(node: Any) -> Iterator[dict[str, Any]]:
    """Every task of a playbook, those of blocks included."""
    if isinstance(node, list):
        for each in node:
            yield from tasks_in(each)
    elif isinstance(node, dict):
        if "name" in node:
            yield node
        yield from tasks_in([node.get("tasks"), node.get("block")])


def test_what_each_sensor_saw_alone_is_counted_at_a_bounded_cost(collector: Machine) -> None:
    """The queries of plan_lease and journal, with a day of a million events: see tests/collector/seen_alone.py."""
    where = "/var/tmp/strandline-seen-alone"  # noqa: S108 - in a container of the test
    program = (ROOT / "tests" / "collector" / "seen_alone.py").read_text()
    seen = query("tasks/seen_alone.yml", "Count the sources that each set of sensors saw", seen_alone_days=3)
    news = query("journal.yml", "Ask the database what the watcher told of sensors")
    collector.check("mkdir", "-p", where)
    for name, content in {"seen_alone.py": program, "seen.sql": seen, "news.sql": news}.items():
        encoded = base64.b64encode(content.encode()).decode()
        collector.check("sh", "-c", f"base64 -d > {where}/{name}", stdin=encoded)
    done = collector.run(
        *("python3", f"{where}/seen_alone.py", f"--seen={where}/seen.sql", f"--news={where}/news.sql"),
        "--rows=1000000",
        seconds=300,
    )
    collector.run("rm", "-rf", where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["seconds"] < 30


def test_exactly_once_under_kills(collector: Machine, long: bool) -> None:
    """Two loaders, one database of their own, kills of both and of PostgreSQL: see tests/collector/torture.py."""
    where = "/var/tmp/strandline-torture-program"  # noqa: S108 - in a container of the test
    collector.check("mkdir", "-p", where)
    for name in ("torture.py", "spool_lines.py"):
        content = base64.b64encode((ROOT / "tests" / "collector" / name).read_bytes()).decode()
        collector.check("sh", "-c", f"base64 -d > {where}/{name}", stdin=content)
    figures = (["--events", "200000", "--loader-kills", "50", "--postgres-kills", "10"] if long
               else ["--events", "16000", "--loader-kills", "6", "--postgres-kills", "2"])  # fmt: skip
    done = collector.run("python3", f"{where}/torture.py", *figures, seconds=900 if long else 240)
    print("\n" + done.stdout.strip())
    collector.run("rm", "-rf", where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["kills"] == int(figures[3])
    assert poll(lambda: lag(collector) is not None, seconds=60), "the real loader has come through it too"
