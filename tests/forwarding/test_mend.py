"""What a host that lost its power left of a line stays apart from what is written next."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from strandline.sensor.forwarding import spool
from strandline.shared import mend

HEADER = "<134>1 2026-01-01T00:00:00.000000+00:00 s1 strandline-ssh 7 - "


def line(run: str, n: int) -> str:
    """A line of the spool."""
    return f'{HEADER}[ev@32473 run="{run}" n="{n}"] event=ssh.client ident="x"\n'


@pytest.mark.parametrize("zeros", [0, 1, 4096, 10_000])
@pytest.mark.parametrize("kept", [0, 1, 30, len(HEADER) + 20, len(line("a", 3)) - 2])
def test_the_next_run_loses_nothing_to_a_torn_line(tmp_path: Path, kept: int, zeros: int) -> None:
    file = tmp_path / "2026-01-01.0.log"
    file.write_text(line("a", 1) + line("a", 2) + line("a", 3)[:kept] + "\0" * zeros)
    assert mend.main([f"{tmp_path}/2*.log"]) == 0
    with file.open("a") as more:
        more.write(line("b", 1) + line("b", 2))
    assert b"\0" not in file.read_bytes()
    index = spool.Index(tmp_path)
    index.refresh()
    assert index.runs()["b"].ranges == [(1, 2)]
    assert index.runs()["a"].ranges[0][0] == 1


def test_whole_lines_stay_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {"2a.log": "", "2b.log": "x\n", "2c.log": "x\ny", "2d.log": "\0\0", "3.log": "x"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "2link.log").symlink_to(tmp_path / "3.log")
    os.mkfifo(tmp_path / "2pipe.log")
    (tmp_path / "2dir.log").mkdir()
    for _ in range(2):
        assert mend.main([f"{tmp_path}/2*.log", f"{tmp_path}/none/*"]) == 0
    assert {name: (tmp_path / name).read_text() for name in texts} == texts | {"2c.log": "x\ny\n", "2d.log": ""}
    assert capsys.readouterr().err.count("ended its last line") == 2


def test_a_full_disk_keeps_nobody_from_the_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def full(path: str) -> bool:
        done.append(path)
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    monkeypatch.setattr(mend, "mend", full)
    assert mend.main([f"{tmp_path}/*"]) == 1
    assert len(done) == 2
