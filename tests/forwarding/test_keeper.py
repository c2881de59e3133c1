"""What the spool's keeper removes, in which order, and what it leaves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from strandline.shared.retention import __main__ as program
from strandline.shared.retention import policy
from strandline.shared.retention.policy import Bounds, File

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
PLENTY = 1 << 50


def file(name: str, size: int, age: timedelta) -> File:
    """A file of the spool, last written so long ago."""
    day = policy.day_of(name)
    assert day
    return File(Path("/spool", name), day[0], size, NOW - age, day[1])


def plan(files: list[File], bounds: Bounds, free: int = PLENTY) -> list[tuple[str, str, bool]]:
    """Name, reason, in use of each step."""
    return [(step.file.path.name, step.reason, step.in_use) for step in policy.prune(files, bounds, NOW, free)]


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("2026-11-25.log", (date(2026, 11, 25), False)),
        ("2026-11-25.12.log", (date(2026, 11, 25), False)),
        ("2026-11-25.log.zst", (date(2026, 11, 25), True)),
        ("20261125-02.jsonl", (date(2026, 11, 25), False)),
        ("2026-99-25.log", None),
        ("2026-11-25.log.zst.new", None),
        ("notes.log", None),
        ("2026-11-25", None),
        ("x2026-11-25.log", None),
    ],
)
def test_day_of(name: str, day: tuple[date, bool] | None) -> None:
    """Only what syslog-ng names is ours to remove."""
    assert policy.day_of(name) == day


def test_age_counts_whole_days_beside_todays() -> None:
    """Seven days are kept, and today."""
    files = [file(f"2026-11-{day:02}.0.log", 10, timedelta(days=25 - day)) for day in range(15, 26)]
    assert plan(files, Bounds(keep_days=7)) == [(f"2026-11-{day}.0.log", "age", False) for day in (15, 16, 17)]
    assert plan(files, Bounds()) == []


def test_size_takes_the_oldest_and_no_more() -> None:
    """By the day, then by the last write: numbers begin anew with each run."""
    files = [
        file("2026-11-25.0.log", 10, timedelta(minutes=10)),
        file("2026-11-25.7.log", 10, timedelta(hours=3)),
        file("2026-11-24.1.log", 10, timedelta(hours=20)),
        file("2026-11-25.1.log", 10, timedelta(seconds=1)),
    ]
    assert plan(files, Bounds(max_bytes=40)) == []
    assert plan(files, Bounds(max_bytes=29)) == [
        ("2026-11-24.1.log", "size", False),
        ("2026-11-25.7.log", "size", False),
    ]


def test_a_file_in_use_goes_last() -> None:
    """Files written a moment ago go only when they alone break the bound; of those the oldest first."""
    files = [
        file("2026-11-24.9.log", 10, timedelta(seconds=100)),
        file("2026-11-25.0.log", 10, timedelta(hours=1)),
        file("2026-11-25.1.log", 10, timedelta(seconds=1)),
    ]
    assert plan(files, Bounds(max_bytes=25)) == [("2026-11-25.0.log", "size", False)]
    assert plan(files, Bounds(max_bytes=15)) == [
        ("2026-11-25.0.log", "size", False),
        ("2026-11-24.9.log", "size", True),
    ]


def test_the_newest_file_of_a_quiet_spool_counts_as_in_use() -> None:
    """Nothing came for hours: the next event goes into it."""
    assert plan([file("2026-11-25.0.log", 10, timedelta(hours=5))], Bounds(max_bytes=1)) == [
        ("2026-11-25.0.log", "size", True)
    ]


def test_free_space_counts_what_is_removed() -> None:
    """Until the file system has enough, and what age removed counts."""
    files = [file(f"2026-11-{day}.log", 10, timedelta(days=25 - day)) for day in (10, 22, 23, 24)]
    assert plan(files, Bounds(keep_days=7, min_free_bytes=25), free=5) == [
        ("2026-11-10.log", "age", False),
        ("2026-11-22.log", "free", False),
    ]


def test_compress_leaves_what_is_young_or_done() -> None:
    """From the given age on, and nothing twice."""
    files = [
        file("2026-11-20.log.zst", 10, timedelta(days=5)),
        file("2026-11-22.log", 10, timedelta(days=3)),
        file("2026-11-23.log", 10, timedelta(seconds=5)),
        file("2026-11-24.log", 10, timedelta(days=1)),
    ]
    assert [one.path.name for one in policy.compress(files, Bounds(compress_days=2), NOW)] == ["2026-11-22.log"]
    assert policy.compress(files, Bounds(), NOW) == []


def make(directory: Path, name: str, lines: int, age: timedelta) -> Path:
    """A file on disk."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 99 + b"\n" if lines == 1 else (b"x" * 99 + b"\n") * lines)
    stamp = (datetime.now(UTC) - age).timestamp()
    os.utime(path, (stamp, stamp))
    return path


def run(tmp_path: Path, **entry: object) -> int:
    """One round of the program."""
    configuration = tmp_path / "configuration.json"
    tree = {"account": str(tmp_path / "account.json"), "directories": [{"path": str(tmp_path / "spool"), **entry}]}
    configuration.write_text(json.dumps(tree))
    return program.main([str(configuration)])


def test_a_round_removes_and_counts(tmp_path: Path) -> None:
    """Across rounds, and with subdirectories."""
    old = make(tmp_path / "spool", "a/b/2020-01-01.0.log", 3, timedelta(days=2000))
    kept = make(tmp_path / "spool", "notes.txt", 1, timedelta(days=2000))
    assert run(tmp_path, keep_days=7, count_lines=True) == 0
    make(tmp_path / "spool", "2020-01-02.0.log", 2, timedelta(days=2000))
    assert run(tmp_path, keep_days=7, count_lines=True) == 0
    account = json.loads((tmp_path / "account.json").read_text())[str(tmp_path / "spool")]["age"]
    assert (account["files"], account["lines"]) == (2, 5)
    assert not old.exists()
    assert kept.exists()


def test_a_reader_holds_no_space(tmp_path: Path) -> None:
    """With `release`, who is stuck in a removed file keeps nothing of it."""
    path = make(tmp_path / "spool", "2020-01-01.0.log", 1000, timedelta(days=2000))
    with path.open("rb") as reader:
        assert run(tmp_path, keep_days=7, release=True) == 0
        assert os.fstat(reader.fileno()).st_size == 0


def test_a_file_in_use_goes_with_its_writers_consent(tmp_path: Path) -> None:
    """The command is run after the file is gone, so that the writer makes a new one; without a command it stays."""
    path = make(tmp_path / "spool", "2026-11-25.0.log", 1000, timedelta())
    assert run(tmp_path, max_bytes=1) == 1
    assert path.exists()
    witness = tmp_path / "witness"
    script = f"test ! -e {path} && touch {witness}"
    assert run(tmp_path, max_bytes=1, reopen=["sh", "-c", script]) == 0
    assert not path.exists()
    assert witness.exists()


def test_links_are_left_alone(tmp_path: Path) -> None:
    """A link could lead anywhere."""
    target = make(tmp_path, "target", 1, timedelta(days=2000))
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "2020-01-01.log").symlink_to(target)
    assert run(tmp_path, keep_days=1, release=True) == 0
    assert target.stat().st_size == 100


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd")
def test_compressed_files_hold_the_same(tmp_path: Path) -> None:
    """The original goes, the content stays."""
    path = make(tmp_path / "spool", "2020-01-01.log", 1000, timedelta(days=2000))
    content = path.read_bytes()
    assert run(tmp_path, compress_days=2) == 0
    assert not path.exists()
    packed = path.with_name("2020-01-01.log.zst")
    assert subprocess.run(["zstd", "-dc", str(packed)], check=True, capture_output=True).stdout == content
    assert run(tmp_path, compress_days=2, keep_days=7) == 0
    assert not packed.exists()


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd")
def test_a_day_that_is_written_to_again_loses_nothing_of_what_was_compressed(tmp_path: Path) -> None:
    """As when a clock was set back."""
    written = b""
    for text in (b"one\n" * 500, b"two\n", b"three\n"):
        path = make(tmp_path / "spool", "2020-01-01.log", 1, timedelta(days=2000))
        path.chmod(0o640)
        with path.open("wb") as file:
            file.write(text)
        written_at = 1_600_000_000 + len(text)
        os.utime(path, (written_at, written_at))
        assert run(tmp_path, compress_days=2) == 0
        assert not path.exists()
        written += text
        packed = path.with_name("2020-01-01.log.zst")
        assert subprocess.run(["zstd", "-dc", str(packed)], check=True, capture_output=True).stdout == written
        assert (packed.stat().st_mode & 0o777, packed.stat().st_mtime) == (0o640, written_at)
    assert [entry.name for entry in (tmp_path / "spool").iterdir()] == ["2020-01-01.log.zst"]


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd")
def test_a_file_that_outlived_its_compression_is_not_added_again(tmp_path: Path) -> None:
    """As when the power goes between the two."""
    path = make(tmp_path / "spool", "2020-01-01.log", 1, timedelta(days=2000))
    path.write_bytes(b"one\n" * 500)
    os.utime(path, (1_600_000_000, 1_600_000_000))
    aside = tmp_path / "aside"
    shutil.copy2(path, aside)
    assert run(tmp_path, compress_days=2) == 0
    shutil.copy2(aside, path)
    assert run(tmp_path, compress_days=2) == 0
    assert not path.exists()
    packed = path.with_name("2020-01-01.log.zst")
    assert subprocess.run(["zstd", "-dc", str(packed)], check=True, capture_output=True).stdout == b"one\n" * 500


def test_a_broken_account_stops_nothing(tmp_path: Path) -> None:
    """It is put aside."""
    (tmp_path / "account.json").write_text("{")
    make(tmp_path / "spool", "2020-01-01.log", 1, timedelta(days=2000))
    assert run(tmp_path, keep_days=1) == 0
    assert (tmp_path / "account.broken").exists()
    assert json.loads((tmp_path / "account.json").read_text())


@pytest.mark.parametrize(
    "entry",
    [
        {"keep_days": -1},
        {"keep_days": True},
        {"keep_days": "7"},
        {"release": 1},
        {"keep_day": 7},
        {"path": "spool"},
        {"reopen": "x"},
    ],
)
def test_a_wrong_configuration_is_refused(
    tmp_path: Path, entry: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is removed, with a sentence."""
    path = make(tmp_path / "spool", "2020-01-01.log", 1, timedelta(days=2000))
    assert run(tmp_path, **{"keep_days": 1, **entry}) == 2
    assert capsys.readouterr().err.startswith("<3>")
    assert path.exists()


def test_the_numbers_of_what_is_removed_are_remembered(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(exist_ok=True)
    head = "<134>1 2020-01-01T00:00:00.000000+00:00 ams1 strandline-ssh 7 - "
    (spool / "2020-01-01.0.log").write_text("".join(f'{head}[ev@32473 run="r" n="{n}"] event\n' for n in (1, 2, 3)))
    memory = tmp_path / "runs.json"
    assert run(tmp_path, keep_days=7, runs=str(memory)) == 0
    assert not list(spool.iterdir())
    assert json.loads(memory.read_text()) == {"r": {"last": 3, "days": {"2020-01-01": [1, 3, 3]}}}


def test_a_memory_that_cannot_be_written_keeps_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(exist_ok=True)
    (spool / "2020-01-01.0.log").write_text("x\n")
    assert run(tmp_path, keep_days=7, runs=str(tmp_path / "nowhere" / "runs.json")) == 1
    assert not list(spool.iterdir())
    assert "its numbers are not remembered" in capsys.readouterr().err
    assert run(tmp_path, keep_days=7, runs="relative.json") == 2
