"""The sensor's side: what the spool holds, and exactly these lines once more."""

from __future__ import annotations

import io
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from strandline.sensor.forwarding import removed, replay, spool
from strandline.shared import ranges

RUN = "1764036738123456-9f3a"
NEXT = "1764036739000000-00aa"


def line(n: int, run: str = RUN, day: str = "2026-11-25", text: str = "event=ssh.client") -> bytes:
    """A line as syslog-ng writes it."""
    return (
        f'<134>1 {day}T02:12:18.123456+00:00 ams1 strandline-ssh 77 - [ev@32473 run="{run}" n="{n}"] {text}\n'
    ).encode("latin1")


class Sensor:
    """A spool, and a replay socket that somebody reads."""

    def __init__(self, folder: Path) -> None:
        self.spool = folder / "spool"
        self.spool.mkdir()
        self.state = folder / "state.json"
        self.socket = folder / "socket"
        self.got: list[bytes] = []
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._server.bind(str(self.socket))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while datagram := self._server.recv(1 << 16):
            self.got.append(datagram)

    def stop(self) -> None:
        """Stop reading when all that was sent has been read."""
        if not self._thread.is_alive():
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self.socket))
        self._thread.join()
        self._server.close()

    def write(self, name: str, *lines: bytes) -> None:
        with (self.spool / name).open("ab") as file:
            file.writelines(lines)

    def index(self) -> spool.Index:
        index = spool.Index.load(self.spool, self.state)
        index.refresh()
        index.save(self.state)
        return index

    def ranges(self) -> dict[str, Any]:
        return {run: held.ranges for run, held in self.index().runs().items()}

    def resend(self, wanted: dict[str, Any]) -> dict[str, Any]:
        sender = replay.Sender(self.socket, 1e6, patience=0.3)
        return replay.resend(self.index(), replay.parse(json.dumps(wanted)), sender)


@pytest.fixture
def sensor(tmp_path: Path) -> Iterator[Sensor]:
    made = Sensor(tmp_path)
    yield made
    made.stop()


def test_ranges_against_sets() -> None:
    dice = random.Random(7)
    for _ in range(300):
        numbers = {dice.randrange(1, 60) for _ in range(dice.randrange(1, 40))}
        other = {dice.randrange(1, 60) for _ in range(dice.randrange(1, 6))}
        made = ranges.normal([(n, n) for n in dice.sample(sorted(numbers), len(numbers))])
        assert ranges.size(made) == len(numbers)
        assert {n for n in range(61) if ranges.contains(made, n)} == numbers
        assert ranges.overlap(made, ranges.normal([(n, n) for n in other])) == bool(numbers & other)
        rough = ranges.coarse(made, 3)
        assert len(rough) <= 3
        assert all(ranges.contains(rough, n) for n in numbers)
        assert ranges.size(ranges.normal([*made, *rough])) == ranges.size(rough)


def test_the_index_grows_with_the_spool(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor.write("2026-11-25.0.log", *(line(n) for n in (1, 2, 3, 5)), line(6)[:40])
    assert sensor.ranges() == {RUN: [(1, 3), (5, 5)]}
    sensor.write("2026-11-25.0.log", line(6)[40:], line(4), line(7, day="2026-11-26"))
    sensor.write("2026-11-26.0.log", line(8, day="2026-11-26"), line(1, run=NEXT, day="2026-11-26"))
    opened: list[int] = []
    lines_from = spool.lines_from

    def count(path: Path, offset: int) -> Iterator[tuple[bytes, int]]:
        opened.append(offset)
        return lines_from(path, offset)

    monkeypatch.setattr(spool, "lines_from", count)
    answer = replay.describe(sensor.index(), {})
    assert answer["runs"][RUN] == {
        "last": 8,
        "ranges": [(1, 8)],
        "days": {"2026-11-25": [1, 6, 6], "2026-11-26": [7, 8, 2]},
    }
    assert answer["runs"][NEXT]["days"] == {"2026-11-26": [1, 1, 1]}
    assert opened == [4 * len(line(1)), 0], "what was read before is not read again"
    assert sensor.ranges() == {RUN: [(1, 8)], NEXT: [(1, 1)]}
    assert len(opened) == 2


def test_a_file_that_was_removed_or_replaced_is_forgotten(sensor: Sensor) -> None:
    sensor.write("2026-11-25.0.log", line(1), line(2))
    sensor.write("2026-11-25.1.log", line(100_000))
    assert sensor.ranges() == {RUN: [(1, 2), (100_000, 100_000)]}
    (sensor.spool / "2026-11-25.0.log").unlink()
    assert sensor.ranges() == {RUN: [(100_000, 100_000)]}
    (sensor.spool / "2026-11-25.1.log").write_bytes(line(9))
    assert sensor.ranges() == {RUN: [(9, 9)]}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format":1}', '{"format":1,"spool":"S","files":{"a":{"runs":3}}}'])
def test_a_broken_memory_is_no_harm(sensor: Sensor, text: str) -> None:
    sensor.write("2026-11-25.0.log", line(1))
    sensor.state.write_text(text.replace('"S"', json.dumps(str(sensor.spool))))
    assert sensor.ranges() == {RUN: [(1, 1)]}


def test_text_of_the_other_side_is_no_number(sensor: Sensor) -> None:
    forged = f'[ev@32473 run="{RUN}" n="77"] '
    sensor.write(
        "2026-11-25.0.log",
        line(1, text=f"x {forged}"),
        f"<134>1 2026-11-25T02:12:18.123456+00:00 ams1 strandline-ssh 77 - - {forged}\n".encode(),
        f"{forged}\n".encode(),
        line(2)[:-30] + line(78),  # torn by a full disk: the second one does not stand at the beginning of a line
        b"\0" * 200_000,
        b"\n",
        line(3),
        b"\xff\xfe\n\n",
    )
    assert sensor.ranges() == {RUN: [(1, 1), (3, 3)]}


def test_exactly_the_lines_that_were_asked_for(sensor: Sensor) -> None:
    lines = {(run, n): line(n, run, text=f"\xe9\\x22 {n}") for run in (RUN, NEXT) for n in range(1, 3001)}
    for (_, n), one in lines.items():
        sensor.write(f"2026-11-25.{n // 1000}.log", one)
    answer = sensor.resend({RUN: [[1, 1], [500, 1499], [2999, 3005]], "unknown": [[1, 4]], NEXT: [[7, 7]]})
    assert answer == {"asked": 1013, "sent": 1004, "lacking": 9, "stopped": None}
    sensor.stop()
    wanted = {(RUN, n) for n in (1, *range(500, 1500), 2999, 3000)} | {(NEXT, 7)}
    assert sorted(sensor.got) == sorted(lines[one][:-1] for one in wanted)


def test_nobody_reads(sensor: Sensor) -> None:
    sensor.write("2026-11-25.0.log", line(1))
    sender = replay.Sender(sensor.socket.with_name("none"), 1e6, patience=0.3)
    answer = replay.resend(sensor.index(), {RUN: [(1, 1)]}, sender)
    assert (answer["sent"], answer["lacking"]) == (0, None)
    assert "none: No such file" in answer["stopped"]


def test_pace(sensor: Sensor) -> None:
    sensor.write("2026-11-25.0.log", *(line(n) for n in range(1, 61)))
    begun = time.monotonic()
    replay.resend(sensor.index(), {RUN: [(1, 60)]}, replay.Sender(sensor.socket, 100))
    assert time.monotonic() - begun > 0.5


@pytest.mark.parametrize("text", ["x", "[]", '{"r": 3}', '{"r": [[1]]}', '{"r": [[1, "2"]]}', '{"r": [[1, true]]}'])
def test_a_wrong_request(
    sensor: Sensor, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert replay.main(["resend", "--spool", str(sensor.spool), "--state", str(sensor.state)]) == 2
    assert capsys.readouterr().out == ""


def test_a_missing_spool_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay.main(["index", "--spool", str(tmp_path / "none"), "--state", str(tmp_path / "state")]) == 1
    assert "none: No such file" in capsys.readouterr().err


def test_what_the_pruner_removes_is_still_stated(tmp_path: Path) -> None:
    """Of one run the end is gone, of another one everything, and nobody had asked for an index before."""
    folder, memory = tmp_path / "spool", tmp_path / "pruned-runs.json"
    folder.mkdir()
    first, second = folder / "2026-11-24.0.log", folder / "2026-11-25.1.log"
    first.write_bytes(b"".join([line(1), line(2), line(1, NEXT, "2026-11-24"), b"no line of ours\n"]))
    second.write_bytes(b"".join([line(3), line(4), line(5)[:-9]]))
    removed.note(memory, second)
    second.unlink()
    index = spool.Index(folder)
    index.refresh()
    found = replay.describe(index, removed.load(memory))["runs"]
    assert (found[RUN]["last"], found[RUN]["ranges"]) == (4, [(1, 2)])
    assert found[RUN]["days"] == {"2026-11-25": [1, 4, 4]}
    removed.note(memory, first)
    first.unlink()
    index.refresh()
    found = replay.describe(index, removed.load(memory))["runs"]
    assert {run: (entry["last"], entry["ranges"]) for run, entry in found.items()} == {RUN: (4, []), NEXT: (1, [])}


def test_the_pruners_memory_is_bounded_and_a_broken_one_begins_anew(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(removed, "MAX_RUNS", 2)
    memory, file = tmp_path / "pruned-runs.json", tmp_path / "2026-11-25.0.log"
    memory.write_text("[broken")
    for run in ("1000-a", "3000-c", "2000-b"):
        file.write_bytes(line(7, run))
        removed.note(memory, file)
    assert sorted(removed.load(memory)) == ["2000-b", "3000-c"]
