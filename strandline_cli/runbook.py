"""A verb's runbook in short, for the terminal: what docs/VERB.md says before its details, and its options."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from strandline_fleet import text

from strandline_cli import paths

DOCS = paths.ROOT / "docs"
OPTIONS = "Options"
WIDTH = 80


def of(verb: str, docs: Path = DOCS) -> str | None:
    """Synopsis, options and first section of a verb's runbook, as plain text; None when there is none."""
    path = docs / f"{verb}.md"
    if not path.is_file():
        return None
    beginning, *sections = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    options = [section for section in sections if section.startswith(f"{OPTIONS}\n")]
    others = [section for section in sections if section not in options]
    parts = [beginning.removeprefix("# "), *options, *others[:1]]
    more = [section.split("\n", 1)[0] for section in others[1:]]
    rest = f"More in {paths.shown(path)}" + (f": {', '.join(more)}." if more else ".")
    return "\n\n".join([*("\n\n".join(_blocks(part)) for part in parts), "\n".join(textwrap.wrap(rest, WIDTH))])


def _blocks(markdown: str) -> Iterator[str]:
    """The blocks of a part: its heading first, tables laid out, code as it is, and the rest in lines of 80 columns."""
    heading, _, body = markdown.partition("\n")
    yield plain(heading).upper()
    for block in re.split(r"\n{2,}", body.strip("\n")):
        lines = block.splitlines()
        if not lines or lines[0].startswith("!["):
            continue
        if lines[0].startswith("    "):
            yield block
        elif lines[0].startswith("|"):
            yield _table(lines)
        elif re.match(r"([0-9]+\.|-) ", lines[0]):
            yield "\n".join(_item(item) for item in re.split(r"\n(?=[0-9]+\. |- )", block))
        else:
            yield "\n".join(textwrap.wrap(plain(block), WIDTH, break_on_hyphens=False))


def _table(lines: list[str]) -> str:
    """A table of Markdown; what stands in its last column is wrapped."""
    heading, _, *rows = [
        [plain(cell.strip()) for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines
    ]
    if len(heading) > 2 and sum(max(len(row[n]) for row in rows) for n in range(len(heading) - 1)) > WIDTH - 20:
        # Too wide for columns: each row a paragraph.
        return "\n".join(
            textwrap.fill(f"{row[0]}: " + "; ".join(filter(None, row[1:])), WIDTH, subsequent_indent="  ")
            for row in rows
        )
    return text.table(rows, heading, WIDTH)


def _item(item: str) -> str:
    return textwrap.fill(plain(item), WIDTH, subsequent_indent="   ", break_on_hyphens=False)


def plain(markdown: str) -> str:
    """A piece of text without Markdown's marks."""
    without = re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"\1", markdown.replace("\\|", "|"))
    return re.sub(r"\*\*([^*]+)\*\*|(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])|`([^`]+)`", _inner, " ".join(without.split()))


def _inner(found: re.Match[str]) -> str:
    return next(group for group in found.groups() if group is not None)
