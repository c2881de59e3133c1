#!/usr/bin/env python3
"""Write what follows from the catalogue: `render.py` writes docs/events.md, `render.py patterndb [FILE]` the rules."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[0] = str(ROOT / "files")

from strandline.event import catalogue, patterndb, tables  # noqa: E402 - found by the line above


def main(arguments: list[str]) -> int:
    """Render; 1 for a catalogue that is wrong, 2 for a wrong call."""
    try:
        known = catalogue.load()
        match arguments:
            case []:
                (ROOT / "docs" / "events.md").write_text(tables.event_tables(known), encoding="utf-8")
            case ["patterndb"]:
                sys.stdout.write(patterndb.patterndb(known))
            case ["patterndb", file]:
                Path(file).write_text(patterndb.patterndb(known), encoding="utf-8")
            case _:
                print(__doc__, file=sys.stderr)
                return 2
    except catalogue.CatalogueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
