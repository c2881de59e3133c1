"""loader.yml: what is taken, and what is said of a wrong file."""

from __future__ import annotations

from pathlib import Path

import pytest
from strandline.collector import config, loader
from strandline.event import catalogue as catalogue_files
from strandline.shared.settings import ConfigurationError, Section

GOOD = {"collector": "c1", "database": "dbname=strandline"}


def test_defaults_are_the_documented_ones() -> None:
    read = config.parse(Section("x", GOOD))
    assert (read.spool, read.keep_hours, read.poll_seconds) == (Path("/var/spool/strandline/parsed"), 72, 0.2)
    assert config.parse(Section("x", GOOD | {"spool": "/a", "poll_seconds": 1})).spool == Path("/a")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "x: is not a mapping"),
        ({"database": "d"}, "x collector: is missing"),
        (GOOD | {"spol": "/a"}, "x spol: is not a known setting. Known: collector,"),
        (GOOD | {"spool": 3}, "x spool: is missing or not a text"),
        (GOOD | {"spool": "a"}, "x spool: is not an absolute path"),
        (GOOD | {"database": ""}, "x database: is missing or not a text"),
        (GOOD | {"keep_hours": "72"}, "x keep_hours: is not a whole number from 3 to 8760. Write one, such as 72."),
        (GOOD | {"keep_hours": 2.5}, "x keep_hours: is not a whole number"),
        (GOOD | {"poll_seconds": True}, "x poll_seconds: is not a number from 0.01 to 60"),
        (GOOD | {"poll_seconds": 0}, "x poll_seconds: is not a number"),
        (GOOD | {"chunk_bytes": 65536}, "x chunk_bytes: is less than twice max_line_bytes"),
    ],
)
def test_a_wrong_file_is_named_with_field_and_remedy(document: object, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        config.parse(Section("x", document))
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
