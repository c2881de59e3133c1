"""Files that are replaced whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def replacing(path: Path, sync: bool = True) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` when the block ends: whole or not at all, also when the power goes.

    Without `sync` it may be empty after a power cut. What fails leaves the old file, and nothing beside it. Raises
    OSError.
    """
    aside = path.with_name(f"{path.name}.new")
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write(path: Path, tree: Any, sync: bool = True) -> None:
    """Replace a document by what a program remembers now, as JSON. Raises OSError."""
    with replacing(path, sync) as file:
        file.write(json.dumps(tree, separators=(",", ":"), sort_keys=True).encode() + b"\n")
