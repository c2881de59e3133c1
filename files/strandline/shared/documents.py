"""What a program remembers, as a JSON file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write(path: Path, tree: Any) -> None:
    """Put a document in the place of the one before: whole or not at all, also when the power goes. Raises OSError."""
    aside = path.with_name(path.name + ".new")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(tree, file, separators=(",", ":"), sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
