"""The program as the unit runs it: its files of configuration and its exit status."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import yaml
from publisher_fakes import ROOT, FakeSource, every_feed, row
from strandline.collector import loader as load_events
from strandline.event import feeds
from strandline.publisher import __main__ as program
from strandline.publisher import confidence, config, mirror, store
from strandline.publisher.errors import SourceUnavailableError
from strandline.shared.settings import ConfigurationError


@pytest.fixture
def values(tmp_path: Path) -> dict[str, object]:
    """publisher.yml as the role writes it."""
    for name in ("www", "state"):
        (tmp_path / name).mkdir()
    return {
        "network": {
            "name": "Test", "tagline": "a test", "contact": "feeds@example.net", "url": "https://example.net/",
            "licence": "CC BY 4.0", "removal": "Write.",
        },
        "feeds": str(every_feed(tmp_path)),
        "asn_table": str(ROOT / "files/demo/asn.tsv"),
        "webroot": str(tmp_path / "www"),
        "state": str(tmp_path / "state"),
        "through_now": False,
        "never_publish": str(ROOT / "files/strandline/publisher/never-publish.txt"),
        "fleet_addresses": ["198.18.0.10"],
        "publish_ranges": ["198.18.0.0/15"],
        "guard": {"percent": 50, "min_rows": 20},
        "database": {"host": "collector1", "hostaddr": "127.0.0.1", "port": 1, "dbname": "strandline", "user": "x"},
        "statement_timeout": 300,
    }  # fmt: skip


@pytest.fixture
def file(values: dict[str, object], tmp_path: Path) -> Path:
    return written(values, tmp_path)


def written(values: dict[str, object], tmp_path: Path) -> Path:
    path = tmp_path / "publisher.yml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    source = FakeSource()
    source.close = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr(program, "PostgresSource", lambda *_, **__: source)
    return source


def test_check(file: Path) -> None:
    assert program.main(["--check", "--config", str(file)]) == 0


def test_check_file(tmp_path: Path) -> None:
    """The role asks before it puts a file in place."""
    good = {
        "feeds": str(every_feed(tmp_path)), "asn-table": "files/demo/asn.tsv",
        "never-publish": "files/strandline/publisher/never-publish.txt",
    }  # fmt: skip
    bad = tmp_path / "bad"
    bad.write_text("rubbish", encoding="utf-8")
    for kind, name in good.items():
        assert program.main(["--check-file", kind, str(ROOT / name)]) == 0
        assert program.main(["--check-file", kind, str(bad)]) == 78
    with pytest.raises(SystemExit):
        program.main(["--check-file", "other", str(bad)])


def test_exit_status(file: Path, database: FakeSource, tmp_path: Path) -> None:
    arguments = ["--config", str(file), "--end", "2026-11-25T03:00Z"]
    database.categories["dnsrd"] = [row("198.18.0.1")]
    assert program.main(arguments) == 0
    database.categories["dnsrd"] = []
    assert program.main(arguments) == 1
    assert program.main([*arguments, "--accept-drop"]) == 0
    database.categories["sshclient"] = SourceUnavailableError("down")
    assert program.main(arguments) == 75
    with pytest.raises(SystemExit) as wrong:
        program.main(["--config", str(file), "--end", "2026-11-25T03:30Z"])
    assert wrong.value.code == 2
    assert program.main(["--config", str(tmp_path / "none.yml")]) == 78


@pytest.mark.parametrize("error", [SourceUnavailableError("down"), OSError("full"), ZeroDivisionError("a mistake")])
def test_a_confidence_that_can_not_be_fitted_fails_no_run(
    file: Path,
    database: FakeSource,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    told = []

    def fails(*_: object) -> None:
        told.append(len(database.notes))
        raise error

    monkeypatch.setattr(confidence, "renew", fails)
    database.categories["dnsrd"] = [row("198.18.0.1")]
    assert program.main(["--config", str(file), "--end", "2026-11-25T03:00Z"]) == 0
    assert "the confidence can't be fitted again" in caplog.text
    assert told == [1], "the watcher is told first: a run that is killed while it fits has published"
    assert len(database.notes) == 1


def test_while_another_run_goes_on_it_is_tried_again_later(
    file: Path, database: FakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(program, "_LOCK_TIMEOUT", 0.1)
    database.categories["dnsrd"] = [row("198.18.0.1")]
    with store.lock(tmp_path / "state/lock", timeout=0):
        assert program.main(["--config", str(file), "--end", "2026-11-25T03:00Z"]) == 75
    assert "another run has held" in caplog.text
    assert "can't be written" not in caplog.text
    assert store.current(tmp_path / "www") is None


def test_a_mirror_that_can_not_be_prepared_is_told_of(
    values: dict[str, object], database: FakeSource, tmp_path: Path
) -> None:
    """The feeds are published, and the watcher hears what is wrong."""
    values |= {"mirrors": [MIRROR], "mirror_key": "/etc/strandline/publisher-mirror.key"}
    (tmp_path / "state/mirror-web2.known_hosts").mkdir()
    database.categories["dnsrd"] = [row("198.18.0.1")]
    assert program.main(["--config", str(written(values, tmp_path)), "--end", "2026-11-25T03:00Z"]) == 1
    [(_, stale_after, problems)] = database.notes
    assert stale_after is not None
    assert [problem.split(":")[0] for problem in problems] == ["mirror web2"]


def test_a_real_database_that_is_down(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:  # a port that nobody listens on
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    values = yaml.safe_load(file.read_text(encoding="utf-8"))
    values["database"]["port"] = port
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    assert program.main(["--config", str(file)]) == 75


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("network", {"name": "x"}, "network tagline: is missing or not a text. Give it a text."),
        ("network", [], "network: is not a mapping"),
        ("feeds", "/nonexistent", "/nonexistent: can't be read"),
        ("webroot", "relative", "webroot: is not an absolute path. Begin it with /."),
        ("guard", {"percent": 150}, "guard percent: is not a whole number from 0 to 100"),
        ("guard", {"precent": 50}, "guard precent: is not a known setting. Known: percent, min_rows, "),
        ("publish_ranges", ["198.18.0.1/15"], "publish_ranges: 198.18.0.1/15 has host bits set"),
        ("fleet_addresses", "198.18.0.1", "fleet_addresses: is not a list"),
        ("through_now", "maybe", "through_now: is neither true nor false"),
        ("databse", {}, "databse: is not a known setting"),
    ],
)
def test_wrong_settings(values: dict[str, object], tmp_path: Path, key: str, value: object, words: str) -> None:
    values[key] = value
    with pytest.raises(ConfigurationError) as caught:
        config.load(written(values, tmp_path))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("feeds: {}", "put the feeds under the key"),
        ("feeds: {Bad-Name: {event: a.b, title: a, description: b}}", "name it with small letters"),
        ("feeds: {index: {event: a.b, title: a, description: b}}", "give the feed another one"),
        ("feeds: {../x: {event: a.b, title: a, description: b}}", "name it with small letters"),
        ("feeds: {ok: {event: a.b, title: a}}", "feed 'ok': field description is missing"),
        ("feeds: {ok: {title: a, description: b, event: a.b, columns: seven}}", "columns is 'seven'; write first_seen"),
        ("feeds: [", "not YAML"),
        ("- a", "put the feeds under the key"),
    ],
)
def test_wrong_feeds(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "feeds.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        config.load_feeds(path)
    assert words in str(caught.value)


@pytest.mark.parametrize("category", ["proto41", "proto_41"])
def test_loader_and_publisher_take_a_feed_with_the_first_seen_column(tmp_path: Path, category: str) -> None:
    path = tmp_path / "feeds.yml"
    entry = "{event: tunnel.packet, title: a, description: b, columns: first_seen}"
    path.write_text(f"feeds: {{{category}: {entry}}}", encoding="utf-8")
    assert config.load_feeds(path) == (config.Feed(category, "a", "b", first_seen=True),)
    loader = tmp_path / "loader.yml"
    loader.write_text(f"{{collector: c, database: d, feeds: {path}}}", encoding="utf-8")
    assert load_events.main(["--check", "--config", str(loader)]) == 0
    assert feeds.load(path).categories("tunnel.packet", {}, "tcp", 0, False) == [category]


MIRROR = {
    "name": "web2", "address": "2001:db8::9", "user": "web", "directory": "/feeds", "host_key": "ssh-ed25519 AAAAC3Nz",
}  # fmt: skip


def test_mirrors(values: dict[str, object], tmp_path: Path) -> None:
    """What is given is taken, the rest is as usual."""
    values |= {"mirrors": [MIRROR], "mirror_key": "/etc/strandline/key"}
    settings = config.load(written(values, tmp_path))
    assert settings.mirrors == (mirror.Mirror(**MIRROR, port=22),)
    assert settings.mirror_key == Path("/etc/strandline/key")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"address": "web2.example.org"}, "mirrors[0] address: 'web2.example.org' is no address"),
        ({"name": "-oProxyCommand=id"}, "mirrors[0] name"),
        ({"user": "-l root"}, "mirrors[0] user"),
        ({"directory": "feeds"}, "mirrors[0] directory"),
        ({"directory": "/a b;id"}, "mirrors[0] directory"),
        ({"host_key": "AAAAC3Nz"}, "mirrors[0] host_key"),
        ({"port": 0}, "mirrors[0] port"),
        ({"key": "x"}, "mirrors[0] key: is not a known setting"),
    ],
)
def test_wrong_mirrors(values: dict[str, object], tmp_path: Path, change: dict[str, object], words: str) -> None:
    """Nothing becomes an option of ssh or rsync, or a second command."""
    values |= {"mirrors": [{**MIRROR, **change}], "mirror_key": "/etc/strandline/key"}
    with pytest.raises(ConfigurationError) as caught:
        config.load(written(values, tmp_path))
    assert words in str(caught.value)


def test_two_mirrors_of_one_name(values: dict[str, object], tmp_path: Path) -> None:
    values |= {"mirrors": [MIRROR, MIRROR], "mirror_key": "/etc/strandline/key"}
    with pytest.raises(ConfigurationError, match="the same name twice"):
        config.load(written(values, tmp_path))
