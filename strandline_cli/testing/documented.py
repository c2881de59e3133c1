"""The protocol that docs/add-a-protocol.md adds, as the document has it."""

from __future__ import annotations

import re

from strandline_cli import paths

DOCUMENT = paths.ROOT / "docs" / "add-a-protocol.md"
_FILE = re.compile(r"^\*\*(files/[^*]+)\*\*\n\n```[a-z]+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files() -> list[tuple[str, str]]:
    """Return the path in the repository and the text of each file that the document shows, in its order."""
    return _FILE.findall(DOCUMENT.read_text(encoding="utf-8"))
