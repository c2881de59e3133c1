#!/usr/bin/env python3
"""Compares a record of the scanner with rows of the database, both JSON lines; see README.md."""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from strandline_scanner.compare import compare


def main() -> int:
    """Exit status: 0 they agree, 1 they do not."""
    parser = argparse.ArgumentParser(description="Is there exactly one right row for every action of the scanner?")
    parser.add_argument("--record", type=Path, required=True, help="the scanner's record")
    parser.add_argument("--rows", type=Path, required=True, help="rows as compare.QUERY gives them")
    options = parser.parse_args()
    record, rows = (
        map(json.loads, path.read_text(encoding="utf-8").splitlines()) for path in (options.record, options.rows)
    )
    report = compare(record, rows)
    print(report.text())
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
