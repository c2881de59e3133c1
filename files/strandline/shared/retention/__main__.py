"""python3 -m strandline.shared.retention CONFIGURATION [--check]: one round over the directories of the configuration.

The configuration is a JSON object: {"account": FILE, "directories": [{"path": DIRECTORY, "keep_days": 7, ...}]},
with the names of policy.Bounds and keeper.Directory; "runs" names the file in which removed numbers are remembered.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import keeper, policy


class ConfigurationError(Exception):
    """What is wrong with the configuration, in one sentence."""


def directory(entry: dict[str, Any]) -> keeper.Directory:
    """One directory of the configuration. Raises ConfigurationError."""
    numbers = {field.name for field in fields(policy.Bounds)}
    switches = {"release", "count_lines"}
    unknown = sorted(set(entry) - numbers - switches - {"path", "reopen", "runs"})
    if unknown:
        raise ConfigurationError(f"unknown: {', '.join(unknown)}")
    if not isinstance(entry.get("path"), str) or not entry["path"].startswith("/"):
        raise ConfigurationError("path must be an absolute path")
    for name in numbers & set(entry):
        if type(entry[name]) is not int or entry[name] < 0:
            raise ConfigurationError(f"{name} must be a number from 0 on")
    for name in switches & set(entry):
        if not isinstance(entry[name], bool):
            raise ConfigurationError(f"{name} must be true or false")
    reopen = entry.get("reopen", [])
    if not isinstance(reopen, list) or not all(isinstance(word, str) for word in reopen):
        raise ConfigurationError("reopen must be a list of words")
    runs = entry.get("runs")
    if runs is not None and not (isinstance(runs, str) and runs.startswith("/")):
        raise ConfigurationError("runs must be an absolute path")
    bounds = policy.Bounds(**{name: entry[name] for name in numbers & set(entry)})
    return keeper.Directory(
        Path(entry["path"]),
        bounds,
        reopen=tuple(reopen),
        before_removal=_remember(Path(runs)) if runs else None,
        **{name: entry[name] for name in switches & set(entry)},
    )


def _remember(runs: Path) -> Callable[[Path], None]:
    """What notes a file's numbers before it is removed. Only sensors have such files, and the code that reads them."""
    from ...sensor.forwarding import removed  # noqa: PLC0415

    return lambda file: removed.note(runs, file)


def load(path: Path) -> tuple[Path, list[keeper.Directory]]:
    """The account's path and the directories. Raises ConfigurationError."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return Path(tree["account"]), [directory(entry) for entry in tree["directories"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def main(arguments: list[str] | None = None) -> int:
    """Run one round; exit status 1 when something could not be done, 2 when the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="strandline.shared.retention", description=__doc__)
    parser.add_argument("configuration", type=Path)
    parser.add_argument("--check", action="store_true", help="read the configuration and do nothing")
    options = parser.parse_args(arguments)
    try:
        account_path, directories = load(options.configuration)
    except ConfigurationError as error:
        print(f"<3>{error}", file=sys.stderr)
        return 2
    if options.check:
        return 0
    account = keeper.Account.load(account_path)
    failures: list[str] = []
    for one in directories:
        try:
            failures += keeper.keep(one, account, datetime.now(UTC))
        except OSError as error:
            failures.append(str(error))
            print(f"<3>{error}", file=sys.stderr)
    account.save()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
