"""A site that is switched once: killed anywhere, on a full disk, and with a reader that never sees two halves."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
from publisher_fakes import END, ROOT, FakeSource, row
from strandline.publisher import config, publish, store, window
from strandline.publisher.errors import SourceUnavailableError
from strandline.publisher.source import Condition

HOUR = timedelta(hours=1)


def run(settings: config.Config, source: FakeSource, *, hours: int = 0) -> publish.Outcome:
    end = END + hours * HOUR
    return publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3))


def fill(settings: config.Config, source: FakeSource, count: int = 5) -> None:
    source.categories = {
        feed.category: [*(row(f"198.18.1.{i}") for i in range(count)), row("2001:db8::1")] for feed in settings.feeds
    }


def whole(directory: Path) -> dict[str, object]:
    """Check all that a generation promises, and return its list."""
    store.check(directory)
    document: dict[str, object] = json.loads((directory / "feeds.json").read_text(encoding="utf-8"))
    feeds = document["feeds"]
    assert isinstance(feeds, list)
    for feed in feeds:
        for file in feed["files"]:
            content = (directory / file["name"]).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
            assert (directory / f"{file['name']}.sha256").read_text() == f"{file['sha256']}  {file['name']}\n"
    return document


def generations(settings: config.Config) -> list[str]:
    return [name for _, _, name in store.names(settings.webroot)]


def test_a_run_makes_a_generation_and_leads_to_it(settings: config.Config, source: FakeSource) -> None:
    fill(settings, source)
    run(settings, source)
    assert os.readlink(settings.webroot / "current") == "generations/2026/11/25/03"
    document = whole(settings.webroot / "current")
    assert document["generation"] == "/2026/11/25/03/"
    sums = (settings.webroot / "current/SHA256SUMS").read_text(encoding="utf-8").splitlines()
    files = {
        str(p.relative_to(settings.webroot / "current"))
        for p in (settings.webroot / "current").rglob("*")
        if p.is_file()
    }
    assert {line.split("  ")[1] for line in sums} == files - {"SHA256SUMS"}
    assert {p.stat().st_mode & 0o777 for p in (settings.webroot / "current").rglob("*") if p.is_file()} == {0o644}
    done = subprocess.run(
        ["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=settings.webroot / "current", capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_list_is_what_its_schema_says(settings: config.Config, source: FakeSource) -> None:
    """With feeds published, kept, and never seen; the schema is in the generation itself."""
    fill(settings, source)
    del source.categories["dnsrd"]
    run(settings, source)
    schema = json.loads((settings.webroot / "current/feeds.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    first = whole(settings.webroot / "current")
    source.categories["sshclient"] = []
    run(settings, source, hours=1)
    second = whole(settings.webroot / "current")
    for document in (first, second):
        jsonschema.validate(document, schema)
    feeds = second["feeds"]
    assert isinstance(feeds, list)
    assert {feed["status"] for feed in feeds} == {"published", "kept", "none"}
    assert (second["generated"], second["next_update"], second["stale_after"]) == (
        "2026-11-25T04:03:00Z", "2026-11-25T04:04:00Z", "2026-11-25T06:04:00Z",
    )  # fmt: skip
    [kept] = [feed for feed in feeds if feed["status"] == "kept"]
    assert (kept["window_end"], kept["stale_after"]) == ("2026-11-25T03:00:00Z", "2026-11-25T06:04:00Z")
    named = {**second, "feeds": [{**feed, "category": "dns_rd"} for feed in feeds]}
    jsonschema.validate(named, schema)  # a feed's name may have an underscore
    broken = {**second, "generated": "yesterday"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_the_same_again_makes_no_generation(settings: config.Config, source: FakeSource) -> None:
    fill(settings, source)
    run(settings, source)
    run(settings, source)
    assert generations(settings) == ["2026/11/25/03"]
    source.categories["dnsrd"] = [*source.categories["dnsrd"], row("198.18.1.77")]  # type: ignore[misc]
    run(settings, source)
    assert generations(settings) == ["2026/11/25/03", "2026/11/25/03-2"]
    assert os.readlink(settings.webroot / "current") == "generations/2026/11/25/03-2"


def test_a_kept_feeds_files_are_the_very_same(settings: config.Config, source: FakeSource) -> None:
    """Their ETag and Last-Modified hold, and they take no room twice."""
    fill(settings, source)
    run(settings, source)
    before = (settings.webroot / "current/dnsrd.txt").stat()
    source.categories["dnsrd"] = []
    run(settings, source, hours=1)
    after = (settings.webroot / "current/dnsrd.txt").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    whole(settings.webroot / "current")


def test_generations_are_thinned_and_removed_in_time(settings: config.Config, source: FakeSource) -> None:
    fill(settings, source)
    for hours in (0, 1, 2, 21, 22, 23):  # 03, 04, 05 of one day, 00, 01, 02 of the next
        run(settings, source, hours=hours)
    assert generations(settings)[3:] == ["2026/11/26/00", "2026/11/26/01", "2026/11/26/02"]
    old = settings.webroot / "generations/2026/11/25/04"
    assert not (old / "dnsrd.txt").exists()
    assert (old / "dnsrd.txt.gz").exists()
    assert (settings.webroot / "generations/2026/11/26/00/dnsrd.txt").exists()
    store.prune(settings.webroot, END + 7 * 24 * HOUR + timedelta(hours=3, minutes=3))
    assert generations(settings) == [
        "2026/11/25/03", "2026/11/26/00", "2026/11/26/01", "2026/11/26/02",
    ]  # fmt: skip
    store.prune(settings.webroot, END + 400 * 24 * HOUR)
    assert generations(settings) == ["2026/11/26/02"], "what the site leads to stays in any case"
    assert [p.name for p in (settings.webroot / "generations").iterdir()] == ["2026"]
    whole(settings.webroot / "current")


def test_the_flat_site_of_an_earlier_release_is_taken_over(settings: config.Config, source: FakeSource) -> None:
    fill(settings, source)
    run(dataclasses.replace(settings, formats=()), source)
    flat = settings.webroot / "current"
    for path in flat.resolve().iterdir():
        if path.is_file() and path.name not in ("SHA256SUMS", "lookup.js", "status.atom"):  # those releases had none
            shutil.copy2(path, settings.webroot / path.name)
    shutil.rmtree(settings.webroot / "generations")
    flat.unlink()
    (settings.webroot / "operators-own.png").touch()
    source.categories["dnsrd"] = []
    outcome = run(settings, source, hours=1)
    assert outcome.failed == ("dnsrd",), "its rows are missed"
    whole(settings.webroot / "current")
    assert sorted(p.name for p in settings.webroot.iterdir()) == ["current", "generations", "operators-own.png"]


PROGRAM = """
import itertools, os, pickle, signal, sys
from datetime import timedelta
from pathlib import Path
sys.path[:0] = [{program!r}, {tests!r}]
from publisher_fakes import END, FakeSource
from strandline.publisher import publish, window
settings, source = pickle.loads(Path({pickled!r}).read_bytes())
countdown = itertools.count(1)  # next() is one step, whichever thread takes it
renames = []
def killing(name):
    real = getattr(os, name)
    def call(*arguments, **options):
        number = next(countdown)
        mine = number == {kill}
        if name in ("rename", "replace", "symlink"):
            renames.append(number)
        if mine and {before}:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return real(*arguments, **options)
        finally:
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
    setattr(os, name, call)
for name in ("rename", "replace", "symlink", "link", "unlink", "fsync", "mkdir", "rmdir"):
    killing(name)
end = END + timedelta(hours={hours})
publish.run(settings, source, window.ending_at(end), now=end + timedelta(minutes=3))
print("finished", next(countdown) - 1, *renames)
"""


def program(
    tmp_path: Path, settings: config.Config, source: FakeSource, *, kill: int, hours: int = 1, before: bool = True
) -> subprocess.CompletedProcess[str]:
    """A run of its own that is killed at its N-th change of the file system, or right after it."""
    (tmp_path / "pickled").write_bytes(pickle.dumps((settings, source)))
    text = PROGRAM.format(
        program=str(ROOT / "files"), tests=str(ROOT / "tests/publisher"),
        pickled=str(tmp_path / "pickled"), kill=kill, hours=hours, before=before,
    )  # fmt: skip
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def few(settings: config.Config, source: FakeSource) -> config.Config:
    """Settings of three feeds, with a generation published and changed sightings ready for the next."""
    settings = dataclasses.replace(settings, feeds=settings.feeds[:3])
    fill(settings, source)
    run(settings, source)
    fill(settings, source, 7)
    return settings


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False])
def test_killed_at_every_change_of_the_disk_the_site_is_the_old_or_the_new_one(
    few: config.Config, source: FakeSource, tmp_path: Path, before: bool
) -> None:
    """SIGKILL at (and right after) every rename, and at a spread of the other calls that change the disk or sync it."""
    old = whole(few.webroot / "current")["generation"]
    saved = tmp_path / "saved"
    shutil.copytree(few.webroot, saved, symlinks=True)
    dry = program(tmp_path, few, source, kill=10**6)
    assert "finished" in dry.stdout, dry.stderr
    calls, *renames = (int(number) for number in dry.stdout.split()[1:])
    assert len(renames) >= 4, "the generation's, the new link's, the switch, the history's"
    seen = set()
    for kill in sorted({*range(1, calls, 25 if before else 60), *renames, calls}):
        shutil.rmtree(few.webroot)
        shutil.copytree(saved, few.webroot, symlinks=True)
        done = program(tmp_path, few, source, kill=kill, before=before)
        assert done.returncode == -signal.SIGKILL, (kill, done.stdout, done.stderr)
        found = whole(few.webroot / "current")["generation"]
        assert found in (old, "/2026/11/25/04/"), kill
        seen.add(found)
    assert seen == {old, "/2026/11/25/04/"}
    # The next run leaves nothing of the killed one.
    run(few, source, hours=2)
    assert whole(few.webroot / "current")["generation"] == "/2026/11/25/05/"
    assert sorted(p.name for p in few.webroot.iterdir()) == ["current", "generations"]
    assert [p.name for p in (few.webroot / "generations").iterdir()] == ["2026"]


@contextlib.contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place], check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
def test_a_full_disk_leaves_the_site_as_it_was(settings: config.Config, source: FakeSource) -> None:
    fill(settings, source)
    run(settings, source)
    # Room for two generations, each file a page or more, and not for one that is much larger.
    pages = sum(1 + path.stat().st_size // 4096 for path in settings.webroot.rglob("*"))
    with small_disk(f"{pages * 10}k") as disk:
        (disk / "www").mkdir()
        (disk / "state").mkdir()
        settings = dataclasses.replace(settings, webroot=disk / "www", state=disk / "state")
        fill(settings, source)
        run(settings, source)
        old = whole(settings.webroot / "current")["generation"]
        source.categories["sshclient"] = [
            *source.categories["sshclient"], *(row(f"198.18.{i // 250}.{i % 250}") for i in range(9000)),
        ]  # type: ignore[misc] # fmt: skip
        with pytest.raises(OSError, match="No space left"):
            run(settings, source, hours=1)
        assert whole(settings.webroot / "current")["generation"] == old
        assert not (settings.webroot / "generations/.building").exists(), "and makes room again"
        fill(settings, source, 6)
        assert run(settings, source, hours=1).failed == ()
        assert whole(settings.webroot / "current")["generation"] == "/2026/11/25/04/"


@pytest.mark.slow
def test_a_reader_who_follows_the_list_never_sees_two_halves(settings: config.Config, source: FakeSource) -> None:
    """A thousand rounds through the link while runs go on: each file is what the list says of it."""
    settings = dataclasses.replace(settings, feeds=settings.feeds[:4])
    fill(settings, source)
    run(settings, source)
    stop = threading.Event()
    switched = []

    def publishing() -> None:
        hours = 0
        while not stop.is_set():
            hours += 1
            fill(settings, source, 5 + hours % 7)
            run(settings, source, hours=hours)
            switched.append(hours)

    publisher = threading.Thread(target=publishing)
    publisher.start()
    try:
        rounds = 0
        deadline = time.monotonic() + 120
        while (rounds < 1000 or len(switched) <= 5) and time.monotonic() < deadline:
            document = json.loads((settings.webroot / "current/feeds.json").read_text(encoding="utf-8"))
            for feed in document["feeds"]:
                for file in feed["files"]:
                    content = (settings.webroot / "generations" / file["url"].lstrip("/")).read_bytes()
                    assert hashlib.sha256(content).hexdigest() == file["sha256"], (rounds, file["url"])
            rounds += 1
    finally:
        stop.set()
        publisher.join()
    assert rounds >= 1000
    assert len(switched) > 5


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a file system")
def test_a_disk_full_of_old_generations_makes_room_by_itself(settings: config.Config, source: FakeSource) -> None:
    """They go before the new one is written: nothing could be published ever again otherwise."""
    with small_disk("3m") as disk:
        (disk / "www").mkdir()
        settings = dataclasses.replace(settings, webroot=disk / "www", feeds=settings.feeds[:3])
        fill(settings, source)
        for hours in (0, 1, 2):
            run(settings, source, hours=hours)
        old = disk / "www/generations/2026/11/25/04/ballast"
        with contextlib.suppress(OSError):
            old.write_bytes(bytes(4 << 20))
        fill(settings, source, 9)
        with pytest.raises(OSError, match="No space left"):
            run(settings, source, hours=4)
        assert run(settings, source, hours=8 * 24).failed == ()
        assert whole(settings.webroot / "current")["generation"] == "/2026/12/03/03/"


def test_a_wrong_clock_removes_no_generation(settings: config.Config, source: FakeSource) -> None:
    """This machine's is months ahead: while the database is away, and with a window that is named by hand."""
    fill(settings, source)
    for hours in (0, 1, 2):
        run(settings, source, hours=hours)
    before = generations(settings)
    ahead = END + 100 * 24 * HOUR
    source.condition = Condition(END + 4 * HOUR, END)
    source.away = SourceUnavailableError("down")
    publish.run(settings, source, window.ending_at(ahead), now=ahead)
    source.away = None
    publish.run(settings, source, window.ending_at(END + 3 * HOUR), now=ahead)
    assert set(before) < set(generations(settings))
    # One that can't be removed is named, and keeps neither the others nor the feeds.
    foreign = settings.webroot / "generations/2020/02/28/00"
    foreign.parent.mkdir(parents=True)
    foreign.symlink_to(settings.state)
    (settings.webroot / "generations/2026/02/30/00").mkdir(parents=True)  # no day at all
    source.condition = Condition(END + 40 * 24 * HOUR, END + 40 * 24 * HOUR)
    outcome = run(settings, source, hours=39 * 24)
    assert outcome.failed == ()
    assert [problem for problem in outcome.problems if "can't be removed" in problem]
    assert settings.state.is_dir()
    assert "2026/11/25/04" not in generations(settings)


def test_a_history_that_can_not_be_written_stops_no_feed(settings: config.Config, source: FakeSource) -> None:
    fill(settings, source)
    (settings.state / "history.json").mkdir()
    outcome = run(settings, source)
    assert (outcome.failed, len(outcome.problems)) == ((), 1)
    assert "after the publication" in outcome.problems[0]
    assert whole(settings.webroot / "current")["generation"] == "/2026/11/25/03/"


def test_a_site_without_feeds_says_each_hour_that_it_holds(settings: config.Config, source: FakeSource) -> None:
    """Who watches `stale_after` would take a new network for a dead one."""
    for hours in (0, 0, 5):
        run(settings, source, hours=hours)
    assert generations(settings) == ["2026/11/25/03", "2026/11/25/08"]
    assert whole(settings.webroot / "current")["stale_after"] == "2026-11-25T10:04:00Z"
    source.away = SourceUnavailableError("down")
    for hours in (6, 7):
        run(settings, source, hours=hours)
    assert len(generations(settings)) == 3, "while the database is away nothing new is said"
