"""The filter that lays out a table for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "module_utils"))  # Ansible does so for modules alone

from strandline_fleet import text

DOCUMENTATION = r"""
name: text_table
short_description: Lay out rows as a table of plain text
description:
  - Columns are as wide as their widest cell; what is too long in the last column goes on below itself. Numbers stand on
    the right. Control characters are replaced, so that what hosts say moves nothing on a terminal.
  - Print it by C(ansible.builtin.debug) with C(msg), which the callback P(strandline#callback) prints word for word.
options:
  _input:
    description: The rows, each a list of cells, or a dictionary whose keys are the headings.
    type: list
    required: true
  headings:
    description: What stands above the columns; by default the keys of the first row when it is a dictionary.
    type: list
    elements: str
  width:
    description: How many columns of the terminal it may take.
    type: int
    default: 80
author: Strandline developers
"""
EXAMPLES = r"""
- name: Show what became of the hosts
  ansible.builtin.debug:
    msg: "{{ [['ams1', 'upgraded'], ['sin1', 'not reached']] | text_table(['host', 'what became of it']) }}"
  run_once: true
"""
RETURN = r"""
_value:
  description: The table's lines.
  type: str
"""


def text_table(
    rows: Iterable[Sequence[object] | Mapping[str, object]], headings: Sequence[str] | None = None, width: int = 80
) -> str:
    """Lay out rows: see :func:`strandline_fleet.text.table`."""
    rows = list(rows)
    if headings is None:
        headings = list(rows[0]) if rows and isinstance(rows[0], Mapping) else []
    cells: list[Sequence[object]] = []
    for row in rows:
        if isinstance(row, Mapping):
            cells.append([row.get(heading, "") for heading in headings])
        elif isinstance(row, str) or not isinstance(row, Sequence):
            raise AnsibleFilterError(f"text_table: {row!r} is no row; give a list of lists or of dictionaries.")
        else:
            cells.append(row)
    return text.table(cells, headings, width)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Any]:
        """Return the filters by the name under which templates use them."""
        return {"text_table": text_table}
