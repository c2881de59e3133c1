"""The files of an inventory by their names, and how they are written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

# The record of former leases, beside the provider files; not an inventory source, so that Ansible never sees it.
FORMER = "former_leases.yml"
# The folder of the providers' journals, likewise.
JOURNAL = "journal"
PROVIDERS = "providers"
YAML_FILES = (".yml", ".yaml")


def yaml() -> YAML:
    """A reader and writer that keeps comments, order and quotes, and that refuses a key given twice."""
    writer = YAML(typ="rt")
    writer.preserve_quotes = True
    writer.width = 4096  # never wrap what the operator wrote on one line
    writer.indent(mapping=2, sequence=4, offset=2)
    return writer


def files(directory: Path) -> Iterator[Path]:
    """The files of a folder as Ansible reads them: not what is hidden, a backup, or kept aside."""
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            if path.is_file() and not path.name.startswith(".") and not path.name.endswith(("~", ".orig", ".bak")):
                yield path


def variable_files(directory: Path) -> Iterator[tuple[Path, bool]]:
    """The files of group_vars and host_vars, each with whether it is for all hosts."""
    for folder in ("group_vars", "host_vars"):
        for path in sorted((directory / folder).rglob("*")):
            if path.is_file() and path.suffix in YAML_FILES:
                of = path.relative_to(directory / folder).parts[0].partition(".")[0]
                yield path, folder == "group_vars" and of == "all"
