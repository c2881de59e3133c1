"""strandline-identity: what it makes may be pinned, and nothing else may."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "files" / "tls" / "strandline-identity"


def openssl(directory: Path, stem: str, name: str, *more: str) -> Path:
    """A certificate of another making."""
    path = directory / f"{stem}.pem"
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "9",
    ]
    argv += ["-subj", f"/CN={name}", "-keyout", str(directory / f"{stem}.key"), "-out", str(path), *more]
    subprocess.run(argv, check=True, capture_output=True)
    return path


def run(*argv: str, path: str = "") -> subprocess.CompletedProcess[str]:
    """Call the program."""
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"}
    return subprocess.run([str(PROGRAM), *argv], capture_output=True, text=True, check=False, env=environment)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A directory with an identity; chgrp stands in, for the group is the hosts'."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "chgrp").write_text("#!/bin/sh\n")
    (tools / "chgrp").chmod(0o755)
    directory = tmp_path / "tls"
    directory.mkdir()
    done = run("make", str(directory), "ams1", "800", path=str(tools))
    assert (done.returncode, done.stdout) == (0, "made\n"), done.stderr
    return directory


def test_an_identity_is_what_peers_pin(made: Path) -> None:
    """The certificate passes the check under its own name alone; the key is kept to its group; nothing is left over."""
    assert run("check", "ams1", str(made / "cert.pem")).returncode == 0
    assert "another name" in run("check", "ams2", str(made / "cert.pem")).stderr
    assert (made / "key.pem").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in made.iterdir()) == ["cert.pem", "key.pem"]
    text = subprocess.run(
        ["openssl", "x509", "-in", str(made / "cert.pem"), "-noout", "-text"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for wanted in (
        "prime256v1",
        "CA:FALSE",
        "DNS:ams1",
        "TLS Web Client Authentication, TLS Web Server Authentication",
    ):
        assert wanted in text
    assert (
        subprocess.run(
            ["openssl", "x509", "-in", str(made / "cert.pem"), "-checkend", str(799 * 86400)], check=False
        ).returncode
        == 0
    )


def test_an_identity_is_never_overwritten(made: Path) -> None:
    """Making it again does nothing."""
    before = (made / "cert.pem").read_bytes(), (made / "key.pem").read_bytes()
    done = run("make", str(made), "ams1", "800")
    assert (done.returncode, done.stdout) == (0, "")
    assert before == ((made / "cert.pem").read_bytes(), (made / "key.pem").read_bytes())


def test_a_certificate_that_may_sign_is_refused(tmp_path: Path) -> None:
    """openssl's default is one."""
    done = run("check", "ams1", str(openssl(tmp_path, "ca", "ams1")))
    assert done.returncode == 1
    assert "CA:FALSE" in done.stderr


def test_only_one_certificate_is_pinned_at_a_time(made: Path, tmp_path: Path) -> None:
    """A second one in the file would be trusted too."""
    both = tmp_path / "both.pem"
    extra = openssl(tmp_path, "extra", "ams1", "-addext", "basicConstraints=critical,CA:FALSE")
    both.write_bytes((made / "cert.pem").read_bytes() + extra.read_bytes())
    assert "one certificate" in run("check", "ams1", str(both)).stderr


def test_a_certificate_signed_by_another_is_refused(made: Path, tmp_path: Path) -> None:
    """Its issuer would have to be trusted."""
    openssl(tmp_path, "issuer", "issuer")
    argv = [
        "openssl",
        "x509",
        "-in",
        str(made / "cert.pem"),
        "-CA",
        str(tmp_path / "issuer.pem"),
        "-CAkey",
        str(tmp_path / "issuer.key"),
    ]
    subprocess.run([*argv, "-out", str(tmp_path / "signed.pem"), "-days", "9"], check=True, capture_output=True)
    assert "not self-signed" in run("check", "ams1", str(tmp_path / "signed.pem")).stderr


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "a b", "-x", "a\nb", "ä", "x" * 65])
def test_a_name_that_is_no_path_component_is_refused(name: str, tmp_path: Path) -> None:
    """The name becomes the name of a folder."""
    assert run("make", str(tmp_path), name, "1").returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_anything_else_is_no_certificate(tmp_path: Path) -> None:
    """An empty file, a text, a key."""
    openssl(tmp_path, "x", "ams1")
    (tmp_path / "text").write_text("-----BEGIN nonsense\n")
    (tmp_path / "empty").write_text("")
    for name in ("empty", "text", "x.key"):
        assert run("check", "ams1", str(tmp_path / name)).returncode == 1, name


def test_a_wrong_call_says_how() -> None:
    """Verb and number of arguments."""
    for argv in ([], ["make"], ["check", "x"], ["renew", "x", "y"]):
        done = run(*argv)
        assert done.returncode == 1
        assert "usage" in done.stderr


@pytest.fixture
def tools(made: Path) -> str:
    """Where the stand-in for chgrp is."""
    return str(made.parent / "tools")


def held(directory: Path) -> tuple[str, str]:
    """The key and the certificate in a directory."""
    return (directory / "key.pem").read_text(), (directory / "cert.pem").read_text()


def fits(directory: Path) -> bool:
    """Whether a directory's key belongs to its certificate."""
    ask = {"key.pem": ["pkey", "-pubout"], "cert.pem": ["x509", "-noout", "-pubkey"]}
    public = [
        subprocess.run(["openssl", *words, "-in", str(directory / file)], check=True, capture_output=True).stdout
        for file, words in ask.items()
    ]
    return public[0] == public[1]


def state(directory: Path) -> str:
    """How far the rotation is."""
    return run("state", str(directory)).stdout.split()[0]


def test_a_new_identity_takes_the_place_of_the_old_one(made: Path, tools: str) -> None:
    old = held(made)
    assert state(made) == "settled"
    prepared = run("prepare", str(made), "ams1", "800", path=tools)
    assert prepared.stdout == (made / "next" / "cert.pem").read_text()
    assert (held(made), state(made)) == (old, "prepared")
    new = held(made / "next")
    assert run("switch", str(made)).returncode == 0
    assert (held(made), held(made / "previous"), state(made)) == (new, old, "switched")
    assert fits(made)
    assert (made / "key.pem").stat().st_mode & 0o777 == 0o640
    assert run("settle", str(made)).returncode == 0
    assert sorted(path.name for path in made.iterdir()) == ["cert.pem", "key.pem"]
    assert (held(made), state(made)) == (new, "settled")


def test_each_step_may_be_repeated_and_makes_no_third_identity(made: Path, tools: str) -> None:
    first = run("prepare", str(made), "ams1", "800", path=tools).stdout
    assert run("prepare", str(made), "ams1", "800", path=tools).stdout == first
    run("switch", str(made))
    old = held(made / "previous")
    # Whoever was stopped here begins with the first step again.
    assert run("prepare", str(made), "ams1", "800", path=tools).stdout == first
    assert run("switch", str(made)).returncode == 0
    assert ((made / "cert.pem").read_text(), held(made / "previous")) == (first, old)
    for _ in range(2):
        assert run("settle", str(made)).returncode == 0
    assert (made / "cert.pem").read_text() == first


@pytest.mark.parametrize("moved", [0, 1])
def test_a_switch_that_was_cut_short_is_finished(made: Path, tools: str, moved: int) -> None:
    run("prepare", str(made), "ams1", "800", path=tools)
    new = held(made / "next")
    previous = made / "previous"
    previous.mkdir()
    for file in ("key.pem", "cert.pem"):
        (previous / file).write_bytes((made / file).read_bytes())
    for file in ("key.pem", "cert.pem")[:moved]:
        (made / "next" / file).rename(made / file)
    assert run("settle", str(made)).returncode != 0
    assert run("switch", str(made)).returncode == 0
    assert held(made) == new
    assert fits(made)


def test_nothing_to_switch_to_is_said(made: Path, tmp_path: Path) -> None:
    assert "nothing in" in run("switch", str(made)).stderr
    assert "holds no identity" in run("prepare", str(tmp_path), "ams1", "800").stderr
    assert "holds no identity" in run("state", str(tmp_path)).stderr


def test_the_state_tells_how_long_the_certificate_is_valid(made: Path) -> None:
    _, begins, ends = run("state", str(made)).stdout.split()
    assert int(ends) - int(begins) == 800 * 86400
    assert abs(int(begins) - time.time()) < 120


def test_a_peer_can_trust_both_while_one_takes_the_place_of_the_other(made: Path, tools: str, tmp_path: Path) -> None:
    """OpenSSL looks at one trusted certificate of a name, and a self-signed one must be that very certificate."""
    assert run("prepare", str(made), "ams1", "800", path=tools).returncode == 0
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    for which, path in {"old": made / "cert.pem", "new": made / "next" / "cert.pem"}.items():
        (trusted / f"{which}.pem").write_text(path.read_text())
    subprocess.run(["openssl", "rehash", str(trusted)], check=True, capture_output=True)
    for which in ("old", "new"):
        argv = ["openssl", "verify", "-CApath", str(trusted), str(trusted / f"{which}.pem")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
