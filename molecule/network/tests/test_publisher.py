"""What was published after the scan: the feeds, their readers, and the site that serves them."""

from __future__ import annotations

import csv
import gzip
import hashlib
import http.client
import io
import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from containers import PSQL
from machines import ROOT, Inventory, Machine

sys.path.insert(0, str(ROOT / "tests" / "publisher"))

import client_venv
import feed_readers as readers

WEBROOT = "/var/www/strandline"
NEWEST = f"{WEBROOT}/current"
PROGRAM = [
    "runuser", "-u", "strandline-publisher", "--", "env", "PYTHONPATH=/usr/lib/strandline", "PYTHONDONTWRITEBYTECODE=1",
    "python3", "-m", "strandline.publisher",
]  # fmt: skip


@pytest.fixture(scope="module")
def texts(publisher: Machine, record: list[dict[str, Any]]) -> dict[str, str]:
    """The published text files by category, as they are on the disk."""
    assert record, "the publisher ran after the scan"
    names = publisher.check(
        "find", f"{NEWEST}/", "-maxdepth", "1", "-name", "*.txt", "!", "-name", "robots.txt", "-printf", "%f\\n"
    ).split()
    return {name.removesuffix(".txt"): publisher.check("cat", f"{NEWEST}/{name}") for name in names}


def ask_once(
    machine: Machine, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    """Make one request; the body is in the second part."""
    connection = http.client.HTTPConnection(machine.addresses[0], 80, timeout=10)
    connection.request(method, path, headers=headers or {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def fetch(
    machine: Machine, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[http.client.HTTPResponse, bytes]:
    """Ask the site as a patient reader does, who comes back when he is told that he asks too often."""
    while True:
        response, body = ask_once(machine, path, headers, method)
        if response.status != 429:
            return response, body
        time.sleep(int(response.headers["Retry-After"]))


def fetch_file(machine: Machine, path: str) -> bytes:
    """Fetch a file that must be there."""
    response, body = fetch(machine, path)
    assert response.status == 200, path
    return body


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
    files = publisher.check("sh", "-c", f"cat {NEWEST}/*.txt {NEWEST}/*.ndjson")
    assert fleet
    assert not fleet & set(readers.dotted_quads(files))


def test_intelmq_parses_every_feed(texts: dict[str, str], tmp_path: Path) -> None:
    """IntelMQ's own dataplane parser: as many events as data lines, and no error."""
    for category, text in texts.items():
        (tmp_path / f"{category}.txt").write_text(text, encoding="utf-8")
    result = client_venv.run("intelmq", "intelmq_check.py", *sorted(tmp_path.iterdir()))
    print(f"\n{result.stdout}")
    assert result.returncode == 0, result.stderr


def test_other_readers_take_every_line(texts: dict[str, str]) -> None:
    """Yeti's slice, maltrail's rule, and a search for dotted quads give the data lines' addresses."""
    for category, text in texts.items():
        found = addresses(text)
        columns = 6 if category == "proto41" else 5
        assert readers.maltrail(text) == found
        assert readers.dotted_quads(text) == found
        assert readers.without_comments(text) == found
        for skip in (64, 66, 68):
            assert [fields[2] for fields in readers.yeti(text, skip=skip, columns=columns)] == found


def test_names_of_systems_come_from_the_table(texts: dict[str, str]) -> None:
    """The demo's table has a name with pipes for the scanner's first addresses, and none at all for the last one."""
    lines = {name: [line.split(readers.SEPARATOR) for line in readers.data_lines(text)] for name, text in texts.items()}
    # IPv6 in IPv4 has the time first seen, too: docs/feeds.md.
    assert {name: {len(fields) for fields in rows} for name, rows in lines.items()} == {
        name: {6 if name == "proto41" else 5} for name in texts
    }
    rows = [fields for found in lines.values() for fields in found]
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
            content = fetch_file(publisher, file["url"])
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
            if not file["name"].endswith((".txt", ".ndjson")):
                continue
            for path in (f"/{file['name']}", f"/signals/{file['name']}"):
                assert fetch_file(publisher, path) == content
            for algorithm in ("sha256", "md5"):
                line = fetch_file(publisher, f"/{file['name']}.{algorithm}")
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
    for method in ("POST", "PUT", "DELETE", "TRACE"):
        response, _ = fetch(publisher, "/feeds.json", method=method)
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS"), method
    assert fetch(publisher, "/feeds.json", method="HEAD")[0].status == 200


def test_an_address_can_be_looked_up(publisher: Machine, scanner: Machine) -> None:
    """The page may run the site's own script, which finds a scanner's address in the file of its /8."""
    page, body = fetch(publisher, "/lookup.html")
    policy = page.headers["Content-Security-Policy"]
    assert {"script-src 'self'", "connect-src 'self'", "form-action 'none'"} <= set(policy.split("; "))
    assert b'<script src="lookup.js" defer>' in body
    script, _ = fetch(publisher, "/lookup.js")
    assert (script.status, script.headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    [address] = [a for a in scanner.addresses if ":" not in a][:1]
    lines = fetch_file(publisher, f"/lookup/{address.split('.')[0]}.ndjson").decode().splitlines()
    found = {row["category"] for row in map(json.loads, lines) if row["address"] == address}
    assert {"sshpwauth", "sipquery", "dnsrd"} <= found


def test_a_browsers_preflight_is_answered(publisher: Machine) -> None:
    """A page of another site may ask for a feed with If-None-Match, which is not a simple header."""
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    response, body = fetch(publisher, "/dnsrd.txt", asked, method="OPTIONS")
    assert (response.status, body) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "GET" in response.headers["Access-Control-Allow-Methods"]
    assert "If-None-Match" in response.headers["Access-Control-Allow-Headers"]
    plain, _ = fetch(publisher, "/dnsrd.txt")
    assert "Access-Control-Allow-Methods" not in plain.headers
    assert "Allow" not in plain.headers


def test_caching_ends_when_the_next_generation_comes(publisher: Machine) -> None:
    """The newest files may be kept for less than an hour, a generation's own for ever."""
    response, _ = fetch(publisher, "/dnsrd.txt")
    found = re.fullmatch(r"public, max-age=([0-9]+)(, must-revalidate)?", response.headers["Cache-Control"])
    assert found
    minute = int(publisher.check("date", "-u", "+%M"))
    assert int(found[1]) <= max(30, 60 * ((3 - minute) % 60))
    _, body = fetch(publisher, "/feeds.json")
    response, _ = fetch(publisher, json.loads(body)["feeds"][0]["files"][0]["url"])
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert fetch(publisher, "/nothing")[0].headers["Cache-Control"] is None


def test_who_asks_too_much_is_told_when_to_come_back(publisher: Machine) -> None:
    """429 with Retry-After."""
    for _ in range(2000):
        response, _ = ask_once(publisher, "/robots.txt")
        if response.status == 429:
            break
    assert response.status == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    time.sleep(int(response.headers["Retry-After"]))
    assert ask_once(publisher, "/robots.txt")[0].status == 200


# http.client from an address that only the route of a whole prefix to lo makes ours: IPV6_FREEBIND.
FROM_ANYWHERE = """
import http.client, socket
class From(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_INET6)
        self.sock.setsockopt(socket.IPPROTO_IPV6, 78, 1)
        self.sock.settimeout(self.timeout)
        self.sock.bind(self.source_address)
        self.sock.connect((self.host, self.port))
"""


def test_an_ipv6_network_is_one_client(publisher: Machine) -> None:
    """Addresses of one /64 share the limit; those of the next have their own."""
    ours, other = [f"fd00:65:0:1::{n:x}" for n in range(1, 5)], "fd00:65:0:2::1"
    script = (
        f"{FROM_ANYWHERE}import sys\n"
        "seen = {}\n"
        "for number in range(400):\n"
        "    source = sys.argv[1 + number % (len(sys.argv) - 1)]\n"
        "    site = From('::1', 80, timeout=9, source_address=(source, 0))\n"
        "    site.request('GET', '/robots.txt'); status = site.getresponse().status; site.close()\n"
        "    seen.setdefault(source, []).append(status)\n"
        "print(sum(status == 200 for statuses in seen.values() for status in statuses))\n"
    )
    publisher.check("ip", "-6", "route", "add", "local", "fd00:65::/32", "dev", "lo")
    try:
        assert int(publisher.check("python3", "-c", script, *ours)) < 300, "not 120 at once for each of the four"
        assert int(publisher.check("python3", "-c", script.replace("400", "50"), other)) == 50
    finally:
        publisher.check("ip", "-6", "route", "del", "local", "fd00:65::/32", "dev", "lo")


def test_security_txt(publisher: Machine) -> None:
    """RFC 9116: a contact that is a URI, and an end within a year."""
    response, body = fetch(publisher, "/.well-known/security.txt")
    assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    fields = dict(line.split(": ", 1) for line in body.decode().splitlines())
    assert fields["Contact"].startswith(("mailto:", "https://"))
    ends = datetime.fromisoformat(fields["Expires"])
    assert timedelta(days=7) < ends - datetime.now(UTC) < timedelta(days=365)
    generation = json.loads(fetch_file(publisher, "/feeds.json"))["generation"]
    assert fetch_file(publisher, f"{generation}.well-known/security.txt") == body


def test_the_generation_is_signed(publisher: Machine) -> None:
    """minisign takes the signature with the site's key, sha256sum every file; one changed byte is noticed."""
    check = f"cd {NEWEST} && minisign -V -q -p minisign.pub -m SHA256SUMS && sha256sum -c --quiet SHA256SUMS"
    publisher.check("sh", "-c", check)
    copy = f"rm -rf /run/forged && cp -rL {NEWEST} /run/forged && cd /run/forged && echo >> SHA256SUMS"
    done = publisher.run("sh", "-c", f"{copy} && minisign -V -q -p minisign.pub -m SHA256SUMS")
    assert done.returncode != 0
    publisher.check("rm", "-rf", "/run/forged")
    # Who serves the files can't sign others.
    assert (
        publisher.run("runuser", "-u", "www-data", "--", "cat", "/etc/strandline/publisher-signing.key").returncode != 0
    )


def test_only_the_one_link_is_followed(publisher: Machine) -> None:
    """A link inside a generation leads nowhere."""
    publisher.check("sh", "-c", f"ln -sf /etc/passwd {NEWEST}/link.txt")
    try:
        for path in ("/link.txt", "/signals/link.txt"):
            assert fetch(publisher, path)[0].status in (403, 404)
    finally:
        publisher.check("rm", "-f", f"{NEWEST}/link.txt")


def test_an_old_generation_is_served_from_its_compressed_files(publisher: Machine) -> None:
    """As when it has been thinned: with and without compression the same text."""
    _, body = fetch(publisher, "/feeds.json")
    document = json.loads(body)
    old = f"{WEBROOT}/generations/2020/02/29"
    publisher.check("sh", "-c", f"mkdir -p {old} && cp -rL {NEWEST}/ {old}/00 && rm {old}/00/dnsrd.txt")
    try:
        plain, content = fetch(publisher, "/2020/02/29/00/dnsrd.txt")
        assert plain.status == 200
        [wanted] = [f for feed in document["feeds"] for f in feed["files"] if f["name"] == "dnsrd.txt"]
        assert hashlib.sha256(content).hexdigest() == wanted["sha256"]
        packed, content = fetch(publisher, "/2020/02/29/00/dnsrd.txt", {"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert hashlib.sha256(gzip.decompress(content)).hexdigest() == wanted["sha256"]
        assert fetch(publisher, "/2020/02/29/00/")[0].status == 200
        assert fetch(publisher, "/2020/02/29/00/nothing.txt")[0].status == 404
    finally:
        publisher.check("rm", "-rf", f"{WEBROOT}/generations/2020")


READER = """
import hashlib, http.client, json, os, random, sys
rounds = wrong = 0
seen = set()
def get(site, path):
    site.request("GET", path)
    answer = site.getresponse()
    body = answer.read()
    assert answer.status == 200, (path, answer.status)
    return body
while rounds < 1000 or not os.path.exists("/run/reader.done"):
    # A client of its own each time: the limit for one is not what this is about.
    source = f"fd00:65:{rounds & 0xffff:x}::1"
    site = From("::1", 80, timeout=20, source_address=(source, 0))
    document = json.loads(get(site, "/feeds.json"))
    seen.add(document["generation"])
    files = [file for feed in document["feeds"] for file in feed["files"]]
    for file in random.sample(files, 4):
        wrong += hashlib.sha256(get(site, file["url"])).hexdigest() != file["sha256"]
    site.close()
    rounds += 1
print(json.dumps({"rounds": rounds, "wrong": wrong, "generations": len(seen)}))
"""


def test_a_reader_who_follows_the_list_during_runs(publisher: Machine) -> None:
    """A thousand rounds by HTTP while the publisher publishes again and again: no mismatch."""
    runs = (
        "cp /etc/strandline/publisher.yml /run/reader.yml; for n in 1 2 3 4 5 6; do"
        ' sed -i "s/^  tagline: .*/  tagline: run $n/" /run/reader.yml;'
        f" {' '.join(PROGRAM)} --config /run/reader.yml || exit 1; done; touch /run/reader.done"
    )
    publisher.check("ip", "-6", "route", "add", "local", "fd00:65::/32", "dev", "lo")
    try:
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(publisher.check, "sh", "-c", runs, seconds=300)
            found = json.loads(publisher.check("timeout", "280", "python3", "-c", FROM_ANYWHERE + READER, seconds=300))
            publishing.result()
        assert found["wrong"] == 0
        assert found["rounds"] >= 1000
        assert found["generations"] >= 4
    finally:
        publisher.check("ip", "-6", "route", "del", "local", "fd00:65::/32", "dev", "lo")
        publisher.check("rm", "-f", "/run/reader.done", "/run/reader.yml")
        publisher.check("systemctl", "start", "strandline-publisher.service")


def test_days_and_hours_give_the_feed_that_the_hours_give(collector: Machine) -> None:
    """Sightings of ten days, settled in any order, some of them twice and some long after their day: the feed of every
    kind of window is what a plain count of the hours gives. Nothing of it stays.
    """
    said = collector.check(
        *PSQL,
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--command",
        """
        BEGIN;
        SET LOCAL timezone = 'UTC';
        CREATE TEMP TABLE seen ON COMMIT DROP AS
            SELECT date_trunc('hour', at) AS hour, at AS first_seen, at + interval '1 min' AS last_seen,
                   1 + n % 5 AS events, n % 2 AS verified_events, 'x' || n % 3 AS category,
                   '192.0.2.0'::inet + (n % 50) AS saddr, n % 7 AS part
            FROM (SELECT n, date_trunc('hour', now()) - n * interval '5 min 7 s' AS at
                  FROM generate_series(1, 3000) n) made;
        CREATE FUNCTION pg_temp.settle(which integer) RETURNS bigint LANGUAGE sql AS $$
            INSERT INTO strandline.sighting_fresh
                SELECT hour, first_seen, last_seen, events, verified_events, category, saddr
                FROM seen WHERE part = which;
            SELECT strandline.settle_sightings() $$;
        SELECT json_build_object('settled', sum(pg_temp.settle(part)) > 0) FROM unnest(ARRAY[3, 0, 6, 1, 5, 2]) part;
        INSERT INTO strandline.sighting_fresh  -- of these the feed is right before they are settled
            SELECT hour, first_seen, last_seen, events, verified_events, category, saddr FROM seen WHERE part = 4;
        WITH windows AS (
            SELECT date_trunc('hour', now()) - n * interval '1 hour' AS upto, length
            FROM generate_series(0, 30, 5) n, unnest(ARRAY['7 days', '1 day', '3 h', '25 h']::interval[]) length
        ), wrong AS (
            SELECT 1 FROM windows, unnest(ARRAY['x0', 'x1', 'x2']) category
            CROSS JOIN LATERAL (
                (SELECT * FROM strandline.feed(category, upto - length, upto)
                 EXCEPT
                 SELECT saddr, min(first_seen), max(last_seen), sum(events)::bigint, sum(verified_events)::bigint
                 FROM seen
                 WHERE seen.category = category.category AND hour >= upto - length AND hour < upto GROUP BY saddr)
                UNION ALL
                (SELECT saddr, min(first_seen), max(last_seen), sum(events)::bigint, sum(verified_events)::bigint
                 FROM seen
                 WHERE seen.category = category.category AND hour >= upto - length AND hour < upto GROUP BY saddr
                 EXCEPT SELECT * FROM strandline.feed(category, upto - length, upto))
            ) difference
        ) SELECT json_build_object('windows', (SELECT count(*) FROM windows), 'wrong', (SELECT count(*) FROM wrong));
        DELETE FROM strandline.sighting WHERE category = 'x1' AND saddr = '192.0.2.7';
        SELECT json_build_object('left', count(*)) FROM strandline.sighting_day
        WHERE category = 'x1' AND saddr = '192.0.2.7';
        ROLLBACK;
        """,
    )
    result = [json.loads(line) for line in said.splitlines() if line]
    assert result == [{"settled": True}, {"windows": 28, "wrong": 0}, {"left": 0}]


def test_sources_that_one_sensor_saw_are_not_those_of_several(collector: Machine, scanner: Machine) -> None:
    """What a publisher asks when it doubts: nobody was seen by more sensors than there are."""
    query = (
        "SELECT json_build_object('sensors', {0}, 'sources', count(*)) FROM strandline.feed_of_several("
        "'dnsrd', now() - interval '7 days', now() + interval '1 hour', {0}, 1000)"
    )
    sensors = collector.sql("SELECT to_json(count(DISTINCT sensor_id)) FROM strandline.run")[0]
    [[beyond], [one]] = [collector.sql(query.format(count)) for count in (sensors + 1, 1)]
    assert beyond["sources"] == 0
    assert one["sources"] <= len(scanner.addresses)


def test_the_database_knows_how_the_publisher_fares(collector: Machine, publisher: Machine) -> None:
    """Its last run went well, and it says until when its feeds hold."""
    publisher.check("systemctl", "start", "strandline-publisher.service")
    [noted] = collector.sql("SELECT row_to_json(p) FROM strandline.publication p")
    assert noted["publisher"] == publisher.name
    assert noted["problems"] == []
    assert datetime.fromisoformat(noted["stale_after"]) > datetime.now(UTC)


def test_passwords_are_counted_by_sources(collector: Machine) -> None:
    """One /48 is one source, and what was cut, or tried on another day, does not count. Nothing of it stays."""
    said = collector.check(
        *PSQL,
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--command",
        r"""
        BEGIN;
        DO $$ BEGIN
            PERFORM strandline.make_partition('event_row', day)
            FROM unnest(ARRAY['2020-02-28', '2020-02-29']::date[]) day;
        END $$;
        INSERT INTO strandline.event_row (ts, rts, n, run_id, sport, dport, kind, saddr, daddr, fields)
        SELECT ts::timestamptz, ts::timestamptz, row_number() OVER (), 0, 1, 22,
               strandline.find_kind(event, 'tcp', true, cut, ARRAY['method', 'user', 'password']),
               saddr::inet, '192.0.2.1',
               concat_ws(E'\t', 'password', username, password, CASE WHEN cut THEN E'user\t999' END)
        FROM (VALUES
            ('2020-02-28 00:00:00Z', 'ssh.password', false, '198.51.100.1', 'root', 'first'),
            ('2020-02-28 23:59:59.9Z', 'ssh.password', false, '198.51.100.2', 'root', 'first'),
            ('2020-02-28 12:00:00Z', 'ssh.password', false, '198.51.100.2', 'root', 'first'),
            ('2020-02-28 12:00:00Z', 'ssh.password', false, '2001:db8:1:1::1', 'root', 'first'),
            ('2020-02-28 12:00:00Z', 'ssh.password', false, '2001:db8:1:2::1', 'a', 'one /48'),
            ('2020-02-28 12:00:00Z', 'ssh.password', false, '2001:db8:1:3::1', 'a', 'one /48'),
            ('2020-02-28 12:00:00Z', 'ssh.password', false, '198.51.100.3', 'a', ''),
            ('2020-02-28 12:00:00Z', 'ssh.password', false, '198.51.100.4', 'a', ''),
            ('2020-02-28 12:00:00Z', 'ssh.password', false, '198.51.100.5', '\x22', 'two\x0a'),
            ('2020-02-28 12:00:00Z', 'ssh.password', false, '198.51.100.6', '\x22', 'two\x0a'),
            ('2020-02-28 12:00:00Z', 'ssh.password', false, '198.51.100.6', '\x22', 'two\x0a'),
            ('2020-02-28 12:00:00Z', 'ssh.password', true, '198.51.100.7', 'cut', 'p'),
            ('2020-02-28 12:00:00Z', 'ssh.password', true, '198.51.100.8', 'cut', 'p'),
            ('2020-02-28 12:00:00Z', 'telnet.login', false, '198.51.100.7', 'telnet', 'p'),
            ('2020-02-28 12:00:00Z', 'telnet.login', false, '198.51.100.8', 'telnet', 'p'),
            ('2020-02-29 00:00:00Z', 'ssh.password', false, '198.51.100.8', 'a', 'one /48')
        ) AS tried (ts, event, cut, saddr, username, password);
        SELECT to_json(array_agg(p)) FROM strandline.password_pairs('2020-02-28', 2, 10) p;
        SELECT to_json(array_agg(p)) FROM strandline.password_pairs('2020-02-28', 3, 10) p;
        SELECT to_json(array_agg(p.password)) FROM strandline.password_pairs('2020-02-28', 1, 3) p;
        ROLLBACK;
        """,
    )
    two, three, limited = (json.loads(line) for line in said.splitlines() if line)
    assert [tuple(pair.values()) for pair in two] == [
        ("root", "first", 3, 4),
        (r"\x22", r"two\x0a", 2, 3),
        ("a", "", 2, 2),
    ]
    assert three == two[:1]
    assert limited == ["first", r"two\x0a", ""]


def test_the_days_passwords_are_published(publisher: Machine, rows: list[dict[str, Any]]) -> None:
    """The list has whatever clients tried on its day: for the demo's, one source is enough."""
    for _ in range(2):  # counted after a publication, published by the next one
        publisher.check("systemctl", "start", "strandline-publisher.service")
    listed = json.loads(fetch_file(publisher, "/feeds.json"))
    (daily,) = listed["daily"]
    pairs = [json.loads(line) for line in fetch_file(publisher, "/sshidpw.ndjson").splitlines()]
    assert [(pair["username"], pair["password"]) for pair in pairs] == [
        tuple(line) for line in csv.reader(io.StringIO(fetch_file(publisher, "/sshidpw.csv").decode()))
    ]
    assert {pair["day"] for pair in pairs} == {daily["day"]}
    assert daily["rows"] == len(pairs)
    tried = [row for row in rows if row["event"] == "ssh.password" and row["ts"].startswith(daily["day"])]
    whole = [row["data"] for row in tried if not {"user_length", "password_length"} & set(row["data"])]
    assert {(data["user"], data["password"]) for data in whole} <= {(p["username"], p["password"]) for p in pairs}
    assert whole or datetime.now(UTC).hour == 0, "an SSH client tried passwords in this run"


def test_the_newest_event_is_known_after_a_silence_and_without_any(collector: Machine) -> None:
    """What tells a publisher that nothing has come for long, when every sighting is settled."""
    said = collector.check(
        *PSQL,
        "--quiet",
        "--set=ON_ERROR_STOP=1",
        "--command",
        """
        BEGIN;
        DELETE FROM strandline.sighting_fresh;
        DELETE FROM strandline.sighting;
        DELETE FROM strandline.sighting_day;
        SELECT to_json(newest_event) FROM strandline.feed_status();
        INSERT INTO strandline.sighting_fresh (hour, first_seen, last_seen, events, verified_events, category, saddr)
            SELECT date_trunc('hour', seen), seen, seen, 1, 0, 'dnsrd', '192.0.2.1'
            FROM (SELECT now() + unnest(ARRAY['-30 hours', '-9 days', '1 hour']::interval[]) AS seen) made;
        DO $$ BEGIN PERFORM strandline.settle_sightings(); END $$;
        SELECT to_json(extract(epoch FROM clock - newest_event) / 3600) FROM strandline.feed_status();
        ROLLBACK;
        """,
    )
    assert [float(line) for line in said.split()] == [30.0]


def test_a_session_that_ends_in_the_middle_leaves_every_feed_as_it_was(
    collector: Machine, publisher: Machine, feeds: dict[str, Any]
) -> None:
    """The database cuts it off while it sends a category; what was read before is not published either."""
    names = list(feeds)
    cut = f"""
        CREATE SCHEMA whole;
        GRANT USAGE ON SCHEMA whole TO strandline_publisher;
        ALTER FUNCTION strandline.feed_days SET SCHEMA whole;
        CREATE FUNCTION strandline.feed_days(category text, window_start timestamptz, window_end timestamptz)
        RETURNS TABLE (saddr inet, first_seen timestamptz, last_seen timestamptz, events bigint, verified_events bigint,
                       days integer)
        LANGUAGE plpgsql AS $$
        BEGIN
            RETURN QUERY SELECT * FROM whole.feed_days(category, window_start, window_end);
            IF category = '{names[len(names) // 2]}' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
        END
        $$;
        GRANT EXECUTE ON FUNCTION strandline.feed_days TO strandline_publisher;
    """  # noqa: S608 - a category of the catalogue
    mend = """
        DROP FUNCTION strandline.feed_days;
        ALTER FUNCTION whole.feed_days SET SCHEMA strandline;
        DROP SCHEMA whole;
    """
    # A delta is of two generations: that of feeds that are kept has no changes.
    listing = ["sh", "-c", f"cd {NEWEST} && sha256sum *.txt $(ls *.ndjson | grep -v delta)"]
    before = publisher.check(*listing)
    collector.check(*PSQL, "--set=ON_ERROR_STOP=1", "--single-transaction", "--command", cut)
    try:
        done = publisher.run(*PROGRAM)
        assert done.returncode == 75, done.stderr
        assert "the database gave no rows: " in done.stderr
        assert "closed the connection" in done.stderr or "terminating connection" in done.stderr
        assert publisher.check(*listing) == before
        listed = json.loads(fetch_file(publisher, "/feeds.json"))["feeds"]
        assert [(feed["category"], feed["status"]) for feed in listed] == [(name, "kept") for name in names]
    finally:
        collector.check(*PSQL, "--set=ON_ERROR_STOP=1", "--single-transaction", "--command", mend)
        publisher.check("systemctl", "start", "strandline-publisher.service")
    listed = json.loads(fetch_file(publisher, "/feeds.json"))["feeds"]
    assert {feed["status"] for feed in listed} == {"published"}


def test_the_mirror_has_every_generation(publisher: Machine, inventory: Inventory) -> None:
    """As the role set it up: the unit, the firewall and the key let the publisher write there, and only that."""
    [mirror] = inventory.members("builders")
    publisher.check("systemctl", "start", "strandline-publisher.service")
    listing = ["sh", "-c", "readlink current; find generations -type f -exec sha256sum {} + | sort"]
    at_home = publisher.check("env", f"--chdir={WEBROOT}", *listing)
    assert len(at_home.splitlines()) > 20
    assert mirror.check("env", "--chdir=/srv/mirror", *listing) == at_home
    key = ["-i", "/etc/strandline/publisher-mirror.key", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"]
    asked = publisher.run("ssh", "-F", "none", *key, f"mirror@{mirror.addresses[0]}", "id")
    assert (asked.returncode != 0, "uid=" in asked.stdout) == (True, False)


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
    """Its role in the database sees no event, and of passwords no more than who counts them: never whose they were."""
    query = (
        "import psycopg2, sys; from pathlib import Path; from strandline.publisher import config, source\n"
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
        "SELECT * FROM strandline.event_row",
        "SELECT * FROM strandline.reject",
        "DELETE FROM strandline.sighting",
        "CREATE TABLE strandline.x (a int)",
    ):
        # Insufficient privilege, or the session's own read-only mode.
        assert publisher.check(*run, statement).strip() in ("42501", "25006"), statement


def test_a_database_out_of_reach_leaves_the_site_alone(publisher: Machine) -> None:
    """Exit status 75 makes systemd try again; until then the files stay as they are."""
    wrong = "/run/publisher-wrong.yml"
    # A delta is of two generations: that of feeds that are kept has no changes.
    listing = ["sh", "-c", f"cd {NEWEST} && sha256sum *.txt $(ls *.ndjson | grep -v delta)"]
    before = publisher.check(*listing)
    publisher.check("sh", "-c", f"sed 's/^  port: .*/  port: 9/' /etc/strandline/publisher.yml > {wrong}")
    try:
        done = publisher.run(*PROGRAM, "--config", wrong)
        assert done.returncode == 75, done.stderr
        assert "can't be reached" in done.stderr
        assert publisher.check(*listing) == before
        _, body = fetch(publisher, "/feeds.json")
        assert {feed["status"] for feed in json.loads(body)["feeds"]} == {"kept"}
    finally:
        publisher.check("rm", wrong)
        publisher.check("systemctl", "start", "strandline-publisher.service")
