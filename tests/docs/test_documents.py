"""The documents as a whole: links lead somewhere, files that they name exist, and each can be found from README.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from strandline_cli import verbs

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("roles/*/README.md")])
LINK = re.compile(r"\[[^\]\n]+\]\(([^)#\s]*)(#[^)\s]*)?\)")
FOLDERS = (
    "files",
    "inventory",
    "library",
    "molecule",
    "module_utils",
    "playbooks",
    "requirements",
    "roles",
    "strandline_cli",
    "tests",
)
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`")
MENTION = re.compile(r"\bdocs/[\w-]+\.md\b")
WITHOUT_A_RUNBOOK = {"check"}  # README.md says all of it in a line
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def anchors(document: Path) -> set[str]:
    """What follows # in links to the headings of a document."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for target, anchor in LINK.findall(document.read_text()):
        if "://" in target:
            continue
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), f"{target}: there is no such file"
        assert not anchor or anchor in anchors(path), f"{target}{anchor}: there is no such heading"


@each_document
def test_files_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    gone = [name for name in PATH.findall(text) + MENTION.findall(text) if not (ROOT / name).exists()]
    # What the operator makes, and what stands for a name.
    assert [name for name in gone if "production" not in name and "VERB" not in name] == []


def test_each_document_can_be_found_from_the_readme() -> None:
    found, left = {ROOT / "README.md"}, [ROOT / "README.md"]
    while left:
        document = left.pop()
        text = document.read_text()
        targets = {(document.parent / target).resolve() for target, _ in LINK.findall(text) if "://" not in target}
        targets |= {ROOT / name for name in MENTION.findall(text)}
        left += [path for path in targets - found if path.suffix == ".md" and path.is_file()]
        found |= targets
    assert sorted(path.name for path in ROOT.glob("docs/*.md") if path not in found) == []


@pytest.mark.parametrize("verb", [verb.name for verb in verbs.VERBS if verb.name not in WITHOUT_A_RUNBOOK])
def test_each_verb_has_a_runbook_that_is_named_after_it(verb: str) -> None:
    heading = (ROOT / "docs" / f"{verb}.md").read_text().splitlines()[0]
    assert heading.startswith(f"# {verb}: "), heading
