"""The linters, each a command over the files that git knows."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from strandline_cli import paths
from strandline_cli.progress import Step, stop

NAMESPACES = (
    paths.ROOT / "action_plugins",
    paths.ROOT / "callback_plugins",
    paths.ROOT / "connection_plugins",
    paths.ROOT / "filter_plugins",
    paths.ROOT / "library",
    paths.ROOT / "tests",
)
"""Directories without an __init__.py that are imported from the top of the clone by their own name."""

UNSEEN_BY_ANSIBLE = ("docs/", "strandline_cli/", "tests/")
"""What no playbook, role or plugin of ours reads, so that it makes no difference to ansible-lint."""


@dataclass(frozen=True)
class Linter:
    """A linter: its name, what it looks at, its commands and their environment."""

    name: str
    what: str
    commands: Sequence[Sequence[str]]
    environment: Mapping[str, str] = field(default_factory=dict)


def tracked(top: Path = paths.ROOT) -> list[str]:
    """Return the clone's files, those not yet committed included and those that git ignores left out."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=top, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (top / name).is_file()]


def is_python(name: str, first_line: bytes) -> bool:
    """Say whether a file is Python: by its name, or by its first line for the programs without an ending."""
    return name.endswith(".py") or (first_line.startswith(b"#!") and b"python" in first_line)


def python_files() -> list[str]:
    """Return the clone's Python files."""
    found = []
    for name in tracked():
        with (paths.ROOT / name).open("rb") as file:
            if is_python(name, file.readline(200)):
                found.append(name)
    return found


def package_root(name: str) -> str:
    """Return the directory from which a Python file is imported: the nearest one above it that isn't a package."""
    directory = (paths.ROOT / name).parent
    while (directory / "__init__.py").exists():
        directory = directory.parent
    if directory in NAMESPACES:
        return "."
    return str(directory.relative_to(paths.ROOT))


def module_name(name: str) -> str:
    """Return the name under which a Python file is imported."""
    return Path(name).with_suffix("").relative_to(package_root(name)).as_posix().removesuffix("/__init__")


def without_clashes(names: Sequence[str]) -> list[list[str]]:
    """Return the files in as few lists as possible, none of which has two files that are the same module.

    Each directory of tests has its own conftest, and mypy can look at one of them only at a time.
    """
    lists: list[dict[str, str]] = []
    for name in names:
        module = module_name(name)
        fitting = next((modules for modules in lists if module not in modules), None)
        if fitting is None:
            lists.append(fitting := {})
        fitting[module] = name
    return [list(modules.values()) for modules in lists]


class Early:
    """A linter that runs in the background until its turn comes."""

    def __init__(self, linter: Linter, output: IO[bytes], process: subprocess.Popen[bytes]) -> None:
        self.linter = linter
        self.output = output
        self.process = process

    def end(self, step: Step) -> None:
        """Wait for it and put what it said into the step's log. Raises StepFailed when it found something."""
        code = step.wait(self.process)
        self.output.seek(0)
        step.log.write_bytes(self.output.read())
        step.check(code == 0, "found something to correct")


class Passed:
    """What a linter found nothing in the last time, by a hash of all that it can see."""

    def __init__(self, stamp: Path, top: Path = paths.ROOT) -> None:
        self.stamp = stamp
        self.top = top
        self.seen = self._hash()

    def _hash(self) -> str:
        account = hashlib.sha256()
        for name in sorted(tracked(self.top)):
            if not name.startswith(UNSEEN_BY_ANSIBLE) and not name.endswith(".md"):
                content = hashlib.sha256((self.top / name).read_bytes()).hexdigest()
                account.update(f"{name}\0{content}\n".encode())
        return account.hexdigest()

    def before(self) -> bool:
        """Say whether it passed these very files before."""
        return self.stamp.exists() and self.stamp.read_text() == self.seen

    def note(self) -> None:
        """Note that it passed, unless a file has changed since this object was made."""
        if self._hash() == self.seen:
            self.stamp.parent.mkdir(parents=True, exist_ok=True)
            self.stamp.write_text(self.seen)


@contextmanager
def early(linter: Linter) -> Iterator[Early]:
    """Start a linter in the background; it doesn't outlive the block."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            linter.commands[0],
            cwd=paths.ROOT,
            env={**os.environ, **linter.environment, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Early(linter, output, process)
        finally:
            stop(process)


def ansible() -> Linter:
    """Return the slowest linter."""
    return Linter("ansible-lint", "Check roles and playbooks", [["ansible-lint", "--offline", "-q"]])


def linters() -> list[Linter]:
    """Return the other linters with the files that each looks at."""
    python = python_files()
    yaml = [name for name in tracked() if name.endswith((".yml", ".yaml"))]
    roots = ":".join(sorted({package_root(name) for name in python}))
    mypy = [["mypy", "--explicit-package-bases", "--scripts-are-modules", *names] for names in without_clashes(python)]
    return [
        Linter("ruff", f"Check {len(python)} Python files", [["ruff", "check", "--quiet", *python]]),
        Linter("format", "Check how they are formatted", [["ruff", "format", "--check", *python]]),
        Linter("mypy", "Check their types", mypy, {"MYPYPATH": roots}),
        Linter("yamllint", f"Check {len(yaml)} YAML files", [["yamllint", "--strict", *yaml]]),
    ]
