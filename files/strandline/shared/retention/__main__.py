"""python3 -m strandline.shared.retention CONFIGURATION [--check]: one round over the directories of the configuration.

The configuration is a JSON object: {"account": FILE, "directories": [{"path": DIRECTORY, "keep_days": 7, ...}]},
with the names of policy.Bounds and keeper.Directory; "runs" names the file in which removed numbers are remembered.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

from ..settings import ConfigurationError, Section, read_json
from . import keeper, policy


def directory(section: Section) -> keeper.Directory:
    """Read one directory of the configuration. Raises ConfigurationError."""
    bounds = [field.name for field in fields(policy.Bounds)]
    section.only("path", *bounds, "release", "count_lines", "reopen", "runs")
    return keeper.Directory(
        section.path("path"),
        policy.Bounds(**{name: section.number(name, 0, 0, 1 << 62) for name in bounds}),
        release=section.flag("release"),
        count_lines=section.flag("count_lines"),
        reopen=section.texts("reopen"),
        before_removal=_remember(section.path("runs")) if section.has("runs") else None,
    )


def _remember(runs: Path) -> Callable[[Path], None]:
    """What notes a file's numbers before it is removed. Only sensors have such files, and the code that reads them."""
    from ...sensor.forwarding import removed  # noqa: PLC0415

    return lambda file: removed.note(runs, file)


def load(path: Path) -> tuple[Path, list[keeper.Directory]]:
    """The account's path and the directories. Raises ConfigurationError."""
    top = read_json(path)
    top.only("account", "directories")
    return top.path("account"), [directory(section) for section in top.sections("directories")]


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
