"""Signatures of a generation's manifest: minisign(1) with a key without a passphrase that only this program reads."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ..shared.settings import ConfigurationError

_SECONDS = 30


def _minisign(*arguments: str | Path) -> None:
    try:
        done = subprocess.run(
            ["/usr/bin/minisign", *arguments],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_SECONDS,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError("minisign", f"can't be run ({error})", "Install the package minisign") from error
    if done.returncode != 0:
        said = " ".join(f"{done.stdout} {done.stderr}".split())
        raise ConfigurationError("minisign", f"failed: {said[:300]}", "Look at signing_key in publisher.yml")


def sign(key: Path, public: Path, file: Path, comment: str) -> None:
    """Write FILE.minisig with the trusted comment, and check it with the public key. Raises ConfigurationError."""
    _minisign("-S", "-s", key, "-m", file, "-x", f"{file}.minisig", "-t", comment)
    _minisign("-V", "-q", "-p", public, "-m", file, "-x", f"{file}.minisig")
