#!/usr/bin/env python3
"""Write what follows from the catalogue: `render.py` writes docs/events.md, `render.py patterndb [FILE]` the rules."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from filter_plugins import event_catalogue  # noqa: E402 - found by the line above


def main(arguments: list[str]) -> int:
    """Render; 2 for a wrong call."""
    catalogue = yaml.safe_load((ROOT / "files" / "strandline" / "protocols" / "events.yml").read_text(encoding="utf-8"))
    match arguments:
        case []:
            (ROOT / "docs" / "events.md").write_text(event_catalogue.event_tables(catalogue), encoding="utf-8")
        case ["patterndb"]:
            sys.stdout.write(event_catalogue.patterndb(catalogue))
        case ["patterndb", file]:
            Path(file).write_text(event_catalogue.patterndb(catalogue), encoding="utf-8")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
