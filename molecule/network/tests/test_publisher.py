"""What was published after the scan: the feeds, their readers, and the site that serves them."""

from __future__ import annotations

import hashlib
import http.client
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from machines import ROOT, Inventory, Machine

sys.path.insert(0, str(ROOT / "tests" / "publisher"))

import feed_readers as readers
import intelmq_venv

WEBROOT = "/var/www/strandline"
PROGRAM = [
    "runuser", "-u", "strandline-publisher", "--", "env", "PYTHONPATH=/usr/lib/strandline", "PYTHONDONTWRITEBYTECODE=1",
    "python3", "-m", "strandline_publisher",
]  # fmt: skip


@pytest.fixture(scope="module")
def texts(publisher: Machine, record: list[dict[str, Any]]) -> dict[str, str]:
    """The published text files by category, as they are on the disk."""
    assert record, "the publisher ran after the scan"
    names = publisher.check("find", WEBROOT, "-name", "*.txt", "!", "-name", "robots.txt", "-printf", "%f\\n").split()
    return {name.removesuffix(".txt"): publisher.check("cat", f"{WEBROOT}/{name}") for name in names}


def fetch(
    machine: Machine, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    """Ask the site as any reader would; the body is in the second part."""
    connection = http.client.HTTPConnection(machine.addresses[0], 80, timeout=10)
    connection.request(method, path, headers=headers or {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def addresses(text: str) -> list[str]:
    return [line.split(readers.SEPARATOR)[2].strip() for line in readers.data_lines(text)]


def test_every_feed_has_the_scanners_addresses_alone(
    texts: dict[str, str], feeds: dict[str, Any], scanner: Machine
) -> None:
    """Each of the catalogue's feeds is there, with a data line at least, and nobody else was seen."""
    assert set(texts) == set(feeds)
    for category, text in texts.items():
        found = addresses(text)
        assert found, category
        assert len(set(found)) == len(found)
        assert set(found) <= set(scanner.addresses), category


def test_no_file_has_an_address_of_the_fleet(publisher: Machine, inventory: Inventory) -> None:
    """Whatever the sensors saw of each other: their addresses are for nobody to know."""
    fleet = {
        a for group in ("sensors", "collectors", "publishers") for m in inventory.members(group) for a in m.addresses
    }
    files = publisher.check("sh", "-c", f"cat {WEBROOT}/*.txt {WEBROOT}/*.ndjson")
    assert fleet
    assert not fleet & set(readers.dotted_quads(files))


def test_intelmq_parses_every_feed(texts: dict[str, str], tmp_path: Path) -> None:
    """IntelMQ's own dataplane parser: as many events as data lines, and no error."""
    for category, text in texts.items():
        (tmp_path / f"{category}.txt").write_text(text, encoding="utf-8")
    result = intelmq_venv.parse(sorted(tmp_path.iterdir()))
    print(f"\n{result.stdout}")
    assert result.returncode == 0, result.stderr


def test_other_readers_take_every_line(texts: dict[str, str]) -> None:
    """Yeti's slice, maltrail's rule, and a search for dotted quads give the data lines' addresses."""
    for text in texts.values():
        found = addresses(text)
        assert readers.maltrail(text) == found
        assert readers.dotted_quads(text) == found
        for skip in (64, 66, 68):
            assert [fields[2] for fields in readers.yeti(text, skip=skip)] == found


def test_names_of_systems_come_from_the_table(texts: dict[str, str]) -> None:
    """The demo's table has a name with pipes for the scanner's first addresses, and none at all for the last one."""
    rows = [line.split(readers.SEPARATOR) for text in texts.values() for line in readers.data_lines(text)]
    assert {len(fields) for fields in rows} == {5}
    assert any("/" in fields[1] for fields in rows)
    assert any(fields[0].strip() == "NA" for fields in rows)


def test_an_unchanged_file_is_not_sent_again(publisher: Machine) -> None:
    """Conditional requests by ETag and by date, with and without compression."""
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        first, _ = fetch(publisher, "/dnsrd.txt", headers)
        assert first.status == 200
        assert first.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert first.headers.get("Content-Encoding") == headers.get("Accept-Encoding")
        etag = first.headers["ETag"]
        assert etag.startswith('"'), "a strong one"
        again, body = fetch(publisher, "/dnsrd.txt", {**headers, "If-None-Match": etag})
        assert (again.status, body) == (304, b"")
        again, _ = fetch(publisher, "/dnsrd.txt", {**headers, "If-Modified-Since": first.headers["Last-Modified"]})
        assert again.status == 304


def test_the_list_leads_to_every_file_and_its_checksums(publisher: Machine, feeds: dict[str, Any]) -> None:
    """feeds.json names what is there, and what is served is what it says."""
    response, body = fetch(publisher, "/feeds.json")
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    listed = json.loads(body)["feeds"]
    assert [feed["category"] for feed in listed] == list(feeds)
    for feed in listed:
        assert feed["status"] == "published"
        assert feed["addresses"] > 0
        assert feed["events"] >= feed["addresses"]
        for file in feed["files"]:
            _, content = fetch(publisher, f"/{file['name']}")
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
            for algorithm in ("sha256", "md5"):
                _, line = fetch(publisher, f"/{file['name']}.{algorithm}")
                digest = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
                assert line.decode() == f"{digest}  {file['name']}\n"


def test_the_site_serves_its_files_and_nothing_else(publisher: Machine) -> None:
    """An index page; no way out of the directory, no other method, no version."""
    response, page = fetch(publisher, "/")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"sshpwauth.txt" in page
    assert response.headers["Server"] == "nginx"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    for path in ("/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/.hidden", "/nothing"):
        response, body = fetch(publisher, path)
        assert response.status in (400, 404), path
        assert b"root:" not in body
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert fetch(publisher, "/feeds.json", method=method)[0].status == 405, method
    assert fetch(publisher, "/feeds.json", method="HEAD")[0].status == 200


def test_the_timer_runs_every_hour(publisher: Machine) -> None:
    """Armed, catching up after a time switched off, and the last run went well."""
    timer = publisher.check(
        "systemctl", "show", "strandline-publisher.timer", "-p", "ActiveState,Persistent,TimersCalendar"
    )
    assert "ActiveState=active" in timer
    assert "Persistent=yes" in timer
    assert "OnCalendar=*-*-* *:03:00" in timer
    assert "Result=success" in publisher.check("systemctl", "show", "strandline-publisher.service", "-p", "Result")


def test_the_publisher_may_read_sightings_alone(publisher: Machine) -> None:
    """Its role in the database sees no event: no password, no user name."""
    query = (
        "import psycopg2, sys; from pathlib import Path; from strandline_publisher import config, source\n"
        "settings = config.load(Path('/etc/strandline/publisher.yml'))\n"
        "reader = source.PostgresSource(settings.database, statement_timeout=9)\n"
        "cursor = psycopg2.connect(reader._dsn).cursor()\n"
        "try: cursor.execute(sys.argv[1])\n"
        "except psycopg2.Error as error: print(error.pgcode)\n"
    )
    run = [*PROGRAM[:-2], "-c", query]
    assert publisher.check(*run, "SELECT count(*) FROM strandline.sighting").strip() == ""
    for statement in (
        "SELECT * FROM strandline.event",
        "SELECT * FROM strandline.reject",
        "DELETE FROM strandline.sighting",
        "CREATE TABLE strandline.x (a int)",
    ):
        # Insufficient privilege, or the session's own read-only mode.
        assert publisher.check(*run, statement).strip() in ("42501", "25006"), statement


def test_a_database_out_of_reach_leaves_the_site_alone(publisher: Machine) -> None:
    """Exit status 75 makes systemd try again; until then the files stay as they are."""
    wrong = "/run/publisher-wrong.yml"
    listing = ["sh", "-c", f"cd {WEBROOT} && sha256sum *.txt *.ndjson"]
    before = publisher.check(*listing)
    publisher.check("sh", "-c", f"sed 's/^  port: .*/  port: 9/' /etc/strandline/publisher.yml > {wrong}")
    try:
        done = publisher.run(*PROGRAM, "--config", wrong)
        assert done.returncode == 75, done.stderr
        assert "can't be reached" in done.stderr
        assert publisher.check(*listing) == before
    finally:
        publisher.check("rm", wrong)
        publisher.check("systemctl", "start", "strandline-publisher.service")
