"""loader.yml: what is taken, and what is said of a wrong file."""

from __future__ import annotations

from pathlib import Path

import pytest
from strandline.collector import config, loader
from strandline.collector.config import ConfigError
from strandline.event import catalogue as catalogue_files

GOOD = {"collector": "c1", "database": "dbname=strandline"}


def test_defaults_are_the_documented_ones() -> None:
    read = config.parse(GOOD, "x")
    assert (read.spool, read.keep_hours, read.poll_seconds) == (Path("/var/spool/strandline/parsed"), 72, 0.2)
    assert config.parse(GOOD | {"spool": "/a", "poll_seconds": 1}, "x").spool == Path("/a")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "x: must be fields"),
        ({"database": "d"}, "x: field collector is missing"),
        (GOOD | {"spol": "/a"}, "x: unknown field 'spol'; known are collector,"),
        (GOOD | {"spool": 3}, "x: spool must be text, not 3"),
        (GOOD | {"database": ""}, "x: database must be text"),
        (GOOD | {"keep_hours": "72"}, "x: keep_hours must be a number from 3 to 8760, not '72'"),
        (GOOD | {"keep_hours": 2.5}, "x: keep_hours must be a number"),
        (GOOD | {"poll_seconds": True}, "x: poll_seconds must be a number from 0.01 to 60, not True"),
        (GOOD | {"poll_seconds": 0}, "x: poll_seconds must be a number"),
        (GOOD | {"chunk_bytes": 65536}, "x: chunk_bytes must be at least twice max_line_bytes"),
    ],
)
def test_a_wrong_file_is_named_with_field_and_remedy(document: object, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config.parse(document, "x")
    assert str(refused.value).startswith(message)


def test_the_command_checks_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "loader.yml"
    feeds = catalogue_files.PACKAGE / "protocols" / "ssh" / "feeds.yml"
    assert loader.main(["--check", "--config", str(path)]) == 2
    path.write_text("collector: [")
    assert loader.main(["--check", "--config", str(path)]) == 2
    path.write_text("{collector: c, database: d, feeds: /none}")
    assert loader.main(["--check", "--config", str(path)]) == 2
    path.write_text(f"{{collector: c, database: d, feeds: {feeds}}}")
    assert loader.main(["--check", "--config", str(path)]) == 0
    named = [line.partition(": ")[0] for line in capsys.readouterr().err.splitlines()]
    assert [name for name in named if name.startswith("/")] == [str(path), str(path), "/none"]
