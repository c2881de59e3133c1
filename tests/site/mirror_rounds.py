#!/usr/bin/env python3
"""Publish to a mirror again and again and print, as JSON, how it went. Runs as root in a container of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import filecmp
import hashlib
import io
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "files"), str(ROOT / "tests" / "publisher")]

from publisher_fakes import AS_TABLE, END, FakeSource, every_feed, row  # noqa: E402
from strandline.publisher import __main__ as program  # noqa: E402
from strandline.publisher import addresses, config, mirror, publish, store, window  # noqa: E402

HERE = Path("/srv/publisher")
THERE = Path("/srv/mirror")
KEY = HERE / "mirror.key"
PORT = 2222
HOURS = timedelta(hours=1)


def run(*argv: str | Path) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)


def authorise() -> None:
    """Let the key write into the mirror's directory and nothing else."""
    confined = f'restrict,command="/usr/bin/rrsync -wo {THERE}"'
    public = KEY.with_name("mirror.key.pub").read_text(encoding="ascii")
    Path("/home/web/.ssh/authorized_keys").write_text(f"{confined} {public}", encoding="ascii")


class Wire:
    """Stands before the mirror's sshd. After `spared` connections it breaks every one when `left` bytes have gone."""

    def __init__(self) -> None:
        self.sent = self.left = self.spared = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listening.accept()
            server = socket.create_connection(("127.0.0.1", PORT))
            counted = self.spared <= 0
            self.spared -= 1
            threading.Thread(target=self._copy, args=(client, server, counted), daemon=True).start()
            threading.Thread(target=self._copy, args=(server, client, False), daemon=True).start()

    def _copy(self, from_: socket.socket, to: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := from_.recv(65536):
                if counted:
                    data = data[: self.left]
                    self.left -= len(data)
                    self.sent += len(data)
                    if not data:
                        break
                to.sendall(data)
        for end in (from_, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def start_sshd() -> str:
    """Make an account and an sshd that knows it; return the host key."""
    run("useradd", "--create-home", "--shell", "/bin/sh", "web")
    run("usermod", "--password", "*", "web")  # neither a password nor locked
    THERE.mkdir()
    shutil.chown(THERE, "web", "web")
    Path("/home/web/.ssh").mkdir()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/srv/host_key")
    authorise()
    Path("/run/sshd").mkdir(exist_ok=True)
    run("/usr/sbin/sshd", "-f", "/dev/null", "-p", str(PORT), "-h", "/srv/host_key", "-o", "UsePAM=no",
        "-o", "PidFile=/run/mirror.pid", "-o", "StrictModes=no")  # fmt: skip
    time.sleep(1)
    return " ".join(Path("/srv/host_key.pub").read_text(encoding="ascii").split()[:2])


def settings_here() -> config.Config:
    for name in ("www", "state"):
        (HERE / name).mkdir()
    (HERE / "asn.tsv").write_text(AS_TABLE, encoding="utf-8")
    return config.Config(
        network=config.Network(
            "Test", "a test", "feeds@example.org", "https://feeds.example.org/", "CC BY 4.0", "Write to us."
        ),
        feeds=config.load_feeds(every_feed(HERE))[:4],
        webroot=HERE / "www", state=HERE / "state", asn_table=HERE / "asn.tsv",
        never=addresses.NeverList(publish_ranges=[addresses.parse_network("198.18.0.0/15")]),
    )  # fmt: skip


class World:
    """A publisher and its mirror."""

    def __init__(self) -> None:
        HERE.mkdir()
        self.mirror = mirror.Mirror("web2", "127.0.0.1", PORT, "web", "/", start_sshd())
        self.settings = settings_here()
        self.source = FakeSource()
        self.hour = 0

    def publish(self, count: int, *, keep: bool = False) -> None:
        """Publish the next hour's generation here, one feed as it was."""
        self.hour += 1
        for feed in self.settings.feeds:
            rows = [row(f"198.18.{i // 250}.{i % 250}", seen=END + (self.hour - 1) * HOURS) for i in range(count)]
            self.source.categories[feed.category] = rows
        if keep:
            self.source.categories[self.settings.feeds[0].category] = []
        end = END + self.hour * HOURS
        publish.run(self.settings, self.source, window.ending_at(end), now=end + timedelta(minutes=3))

    def push(self, **changes: Any) -> dict[str, Any]:
        """Bring the mirror up to date, and say how it is then."""
        to = dataclasses.replace(self.mirror, **changes)
        problem = mirror.push(
            to, self.settings.webroot, key=KEY, state=self.settings.state, until=time.monotonic() + 120
        )
        return {"problem": problem, "same": same(self.settings.webroot, THERE), "sums": sums(THERE)}

    def push_after_a_cut(self) -> None:
        """Bring the mirror up to date once its side of the broken connection has ended; fail if it can't be."""
        until = time.monotonic() + 60
        while subprocess.run(["pgrep", "-u", "web", "rsync"], check=False, stdout=subprocess.DEVNULL).returncode == 0:
            assert time.monotonic() < until, "the mirror's rsync outlives its connection"
            time.sleep(0.1)
        outcome = self.push()
        assert not outcome["problem"], outcome["problem"]


def tree(top: Path) -> dict[str, tuple[int, int, int, int]]:
    """Each file's mode, size, time and number of links."""
    found = {}
    for path in (top / "generations").rglob("*"):
        if path.is_file():
            at = path.stat()
            found[str(path.relative_to(top))] = (at.st_mode, at.st_size, int(at.st_mtime), at.st_nlink)
    return found


def same(here: Path, there: Path) -> bool:
    """Say whether a mirror is what the publisher has."""
    files = tree(here)
    equal = filecmp.cmpfiles(here, there, list(files), shallow=False)[0]
    return files == tree(there) and len(equal) == len(files) and os.readlink(here / "current") == os.readlink(
        there / "current"
    )  # fmt: skip


def sums(top: Path) -> str:
    """Say whether the generation that a site leads to is whole."""
    try:
        store.check(top / "current")
    except (OSError, ValueError) as error:
        return str(error)
    return "whole"


class Reader(threading.Thread):
    """Follows the mirror's list, as readers do, until it is told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.done = threading.Event()
        self.rounds = 0
        self.wrong: list[str] = []
        self.generations: set[str] = set()

    def run(self) -> None:
        """Compare each file with what the list says of it."""
        while not self.done.is_set():
            document = json.loads((THERE / "current/feeds.json").read_text(encoding="utf-8"))
            self.generations.add(document["generation"])
            for file in (file for feed in document["feeds"] for file in feed["files"]):
                content = (THERE / "generations" / file["url"].lstrip("/")).read_bytes()
                if hashlib.sha256(content).hexdigest() != file["sha256"]:
                    self.wrong.append(file["url"])
            self.rounds += 1


def through_the_program(world: World) -> dict[str, Any]:
    """A whole run whose mirror is not there: its exit status, what it said, and whether it published all the same."""
    away = dataclasses.replace(world.mirror, port=PORT + 1)
    world.settings = dataclasses.replace(world.settings, mirrors=(away,), mirror_key=KEY)
    world.hour += 1
    end = END + world.hour * HOURS
    for feed in world.settings.feeds:
        world.source.categories[feed.category] = [row(f"198.18.7.{i}", seen=end - HOURS) for i in range(9)]
    # The sightings are made up; everything else is the program's own.
    said = io.StringIO()
    with (
        patch.object(program, "PostgresSource", lambda *_, **__: world.source),
        patch.object(config, "load", lambda _: world.settings),
        contextlib.redirect_stderr(said),
    ):
        logging.getLogger().handlers[:] = [logging.StreamHandler(said)]
        status = program.main(["--end", f"{end:%Y-%m-%dT%H:00Z}", "--accept-drop"])
    published = os.readlink(world.settings.webroot / "current").endswith(f"{end:%Y/%m/%d/%H}")
    assert any("mirror web2" in problem for problem in world.source.notes[-1][2]), world.source.notes
    return {"status": status, "said": said.getvalue(), "published": published}


def main() -> None:
    """Go through it."""
    world = World()
    result: dict[str, Any] = {}
    (THERE / "own.txt").write_text("mine", encoding="ascii")
    world.publish(300)
    result["first"] = world.push()
    assert not result["first"]["problem"], result["first"]
    world.publish(400, keep=True)
    result["second"] = world.push()
    result["cut"] = []
    wire = Wire()
    wire.left = 10**9
    world.publish(399)
    assert not (counted := world.push(port=wire.port))["problem"], counted["problem"]
    whole = wire.sent
    # While the files are sent, while the link is, and while what is gone is removed.
    for spared, cut in (
        *((0, whole * part // 6) for part in range(5)),
        *((n, m) for n in (1, 2) for m in (0, 2500, 4000)),
    ):
        world.publish(400 + cut % 7)
        wire.spared, wire.left = spared, cut
        one = world.push(port=wire.port)
        newest = os.readlink(THERE / "current") == os.readlink(world.settings.webroot / "current")
        result["cut"].append({"spared": spared, "cut": cut, **one, "newest": newest})
        world.push_after_a_cut()
    reader = Reader()
    world.push()
    reader.start()
    for count in range(5):
        world.publish(300 + count)
        world.push()
    reader.done.set()
    reader.join()
    result["reader"] = {
        "rounds": reader.rounds, "wrong": reader.wrong, "generations": len(reader.generations),
    }  # fmt: skip
    world.publish(300)
    store.prune(world.settings.webroot, END + timedelta(days=9))
    result["thinned"] = world.push()
    result["own_file"] = (THERE / "own.txt").read_text(encoding="ascii")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/srv/wrong"], check=True)
    other = " ".join(Path("/srv/wrong.pub").read_text(encoding="ascii").split()[:2])
    result["other_host_key"] = world.push(host_key=other)
    result["nobody_there"] = world.push(port=PORT + 1)
    ssh = [
        "ssh",
        "-F",
        "none",
        "-p",
        str(PORT),
        "-i",
        str(KEY),
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
    ]
    result["shell"] = subprocess.run([*ssh, "web@127.0.0.1", "id"], check=False, capture_output=True).returncode
    world.push(directory="/../../home/web")
    result["outside"] = Path("/home/web/generations").exists()
    result["program"] = through_the_program(world)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
