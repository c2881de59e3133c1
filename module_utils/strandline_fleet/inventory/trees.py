"""Provider files under change: each is read once, however many of its hosts change, and written from its tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.comments import CommentedMap

from strandline_fleet.errors import Refusal
from strandline_fleet.inventory.edit import PROVIDER_GROUP, Texts, dumped
from strandline_fleet.inventory.files import PROVIDERS, yaml
from strandline_fleet.inventory.model import Fleet, Host

NEW_FILE = "---\n# One provider, one file: who it is, and the hosts leased from it.\n"


class Trees:
    """The files of one change. What is taken from a tree and set in it is written by :meth:`texts`."""

    def __init__(self) -> None:
        """Begin with none."""
        self._trees: dict[Path, Any] = {}
        self._before: dict[Path, str] = {}
        self._gone: set[Path] = set()

    def tree(self, path: Path) -> Any:
        """A file's tree with comments and order."""
        if path not in self._trees:
            self._before[path] = path.read_text(encoding="utf-8")
            self._trees[path] = yaml().load(self._before[path])
        return self._trees[path]

    def group(self, path: Path, group: str) -> Any:
        """A provider's part of its file."""
        return self.tree(path)["sensors"]["children"][group]

    def host(self, host: Host) -> Any:
        """A host's entry."""
        return self.group(host.file, host.provider)["hosts"][host.name]

    def holds(self, path: Path) -> bool:
        """Whether a file is among those under change."""
        return path in self._trees

    def create(self, path: Path, tree: Any) -> None:
        """Begin a file that is not there yet."""
        self._trees[path], self._before[path] = tree, ""

    def remove(self, path: Path) -> None:
        """Have a file go."""
        self._gone.add(path)

    def texts(self) -> Texts:
        """The texts of files that are another now; None for those that go."""
        found: Texts = {}
        for path, tree in self._trees.items():
            before = self._before[path]
            text = dumped(tree, before) if before else NEW_FILE + dumped(tree).removeprefix("---\n")
            if text != before and path not in self._gone:
                found[path] = text
        return {**found, **dict.fromkeys(sorted(self._gone))}


def place_host(
    trees: Trees, fleet: Fleet, provider: str, name: str, entry: CommentedMap, details: Mapping[str, Any] | None = None
) -> None:
    """Put a host into its provider's tree; with ``details`` the provider may be a new one.

    Raises Refusal when the host's name is taken, or the provider is unknown and no details are given.
    """
    taken = {host.name: host.file for host in fleet.hosts()}
    if name in taken:
        raise Refusal(f"{name} is already a host in {taken[name]}. Choose another name.")
    group = provider if provider.startswith("provider_") else f"provider_{provider}"
    if not PROVIDER_GROUP.fullmatch(group):
        raise Refusal(f"{provider!r} is no provider's short name. Use a-z, 0-9 and _, as its file is called: alder.")
    known = {each.group: each.file for each in fleet.providers}
    path = known.get(group, fleet.directory / PROVIDERS / f"{group.removeprefix('provider_')}.yml")
    if group not in known and not trees.holds(path):
        if details is None:
            names = ", ".join(sorted(each.removeprefix("provider_") for each in known))
            raise Refusal(
                f"There is no provider {provider!r} in {fleet.directory}/providers. Known are {names}; "
                "for a new one give its name in full: --provider-name (add_provider_name)."
            )
        body = CommentedMap({"vars": {"provider": dict(details)}, "hosts": CommentedMap()})
        trees.create(path, CommentedMap({"sensors": CommentedMap({"children": CommentedMap({group: body})})}))
    node = trees.group(path, group)
    if node.get("hosts") is None:
        node["hosts"] = CommentedMap()
    node["hosts"][name] = entry


def add_host(
    fleet: Fleet, provider: str, name: str, entry: CommentedMap, details: Mapping[str, Any] | None = None
) -> Texts:
    """Add one host: see :func:`place_host`."""
    trees = Trees()
    place_host(trees, fleet, provider, name, entry, details)
    return trees.texts()
